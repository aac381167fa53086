"""Who does the jobs: processes on this machine, or an existing Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ctlung.errors import InputError
from ctlung.trial.jobs import Job, Outcome, failed, keep, run

MEMORY_PER_WORKER = 4_000_000_000
"""Bytes: what the comparison of two scans of 300 slices takes, and some more."""
LEAST_MEMORY = 3_000_000_000
CRASHED = (
    "The process that worked on this scan ended without a word: a decoder crashed, or the memory "
    "ran out. Look at its files with `ctlung check`."
)


def workers_here(asked: int | None = None) -> int:
    """How many processes this machine bears: one a core, and 4 GB of free memory each."""
    if asked is not None:
        return max(1, asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, int(free_memory() // MEMORY_PER_WORKER)))


def free_memory() -> float:
    """Bytes of memory that programs may still take."""
    import psutil

    return float(psutil.virtual_memory().available)


Work = Callable[[Job], Outcome]


def locally(
    jobs: Sequence[Job], workers: int, device: str = "auto", do: Work = run
) -> Iterator[Outcome]:
    """Do the jobs in processes of this machine; outcomes in the order in which they end.

    A process that dies takes no other job with it: those that were under way are done again, each
    alone, and the one that kills its process again is the one that failed. ``do`` is what is done.
    """
    gpus = _gpus() if device in ("auto", "cuda") else 0
    pool = partial(_pool, gpus=gpus)
    waiting = deque(jobs)
    while waiting:
        suspects: list[Job] = []
        yield from _until_broken(waiting, do, partial(pool, workers), workers, suspects)
        for job in suspects:
            alone = deque([job])
            left: list[Job] = []
            yield from _until_broken(alone, do, partial(pool, 1), 1, left)
            if left:
                outcome = failed(job, "crashed", CRASHED)
                keep(job, outcome)
                yield outcome


def on_dask(jobs: Sequence[Job], address: str) -> Iterator[Outcome]:
    """Do the jobs on the Dask cluster whose scheduler has that address.

    Its workers must have this version of ctlung, and see inputs and results under the same paths.

    Raises:
        InputError: dask is not installed, or nobody answers.
    """
    try:
        import distributed
    except ImportError:
        raise InputError(
            "--dask needs the package distributed: pip install 'ctlung[dask]'.", code="no_dask"
        ) from None
    try:
        client: Any = distributed.Client(address, timeout="20s")  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"No Dask scheduler answers at {address} ({type(error).__name__}); start one with "
            "`dask scheduler`, or leave --dask out.",
            code="no_dask",
        ) from None
    with client:
        threads = max(1, sum(client.nthreads().values()))
        pool = client.get_executor(pure=False, retries=0)
        waiting, lost = deque(jobs), deque[Job]()
        yield from _window(waiting, run, pool, threads, lambda job, error: lost.append(job))
        # A worker that died may have been killed by a neighbour's job: once more, one by one.
        gone: list[Job] = []
        yield from _window(lost, run, pool, 1, lambda job, error: gone.append(job))
        for job in gone:
            outcome = failed(job, "crashed", CRASHED)
            keep(job, outcome)
            yield outcome


def _until_broken(
    waiting: deque[Job],
    do: Work,
    pool: Callable[[], AbstractContextManager[Executor]],
    at_once: int,
    suspects: list[Job],
) -> Iterator[Outcome]:
    """Do jobs until all are done or a process died; then those under way are suspects."""
    with pool() as running:
        yield from _window(waiting, do, running, at_once, lambda job, error: suspects.append(job))


def _window(
    waiting: deque[Job],
    do: Work,
    pool: Executor,
    at_once: int,
    lost: Callable[[Job, BaseException], None],
) -> Iterator[Outcome]:
    """Never more than ``at_once`` jobs are with the pool, so that few fall with a dead process."""
    running: dict[Future[Outcome], Job] = {}
    broken = False
    while running or (waiting and not broken):
        while waiting and not broken and len(running) < at_once:
            job = waiting.popleft()
            try:
                running[pool.submit(do, job)] = job
            except BrokenProcessPool:
                waiting.appendleft(job)
                broken = True
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            job = running.pop(future)
            error = future.exception()
            if error is None:
                yield future.result()
            elif isinstance(error, BrokenProcessPool):
                broken = True
                lost(job, error)
            elif type(error).__name__ in ("KilledWorker", "CancelledError"):
                lost(job, error)
            else:
                raise error


def _pool(workers: int, gpus: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    turn = context.Value("i", 0)
    share = max(LEAST_MEMORY, int(0.9 * free_memory() / workers))
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(turn, gpus, share)
    )


def _begin(turn: object, gpus: int, memory: int) -> None:
    """Set up a process: die with the parent, keep to a share of the memory, take a GPU."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    if sys.platform == "linux":
        import resource

        # A scan that asks for more gets a MemoryError, and the machine stays alive.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
    if gpus > 1:
        with turn.get_lock():  # type: ignore[attr-defined]
            number = turn.value  # type: ignore[attr-defined]
            turn.value = number + 1  # type: ignore[attr-defined]
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % gpus)


def _die_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _gpus() -> int:
    """NVIDIA GPUs of this machine, as its driver lists them."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return 0  # whoever set it has shared them out
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
