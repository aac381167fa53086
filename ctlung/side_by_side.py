"""Two pieces of work at once. No state is shared; the answer is that of one after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """What the two return; the second runs in a thread of its own.

    NumPy, SciPy and torch let other threads run while they compute. An error of ``first`` comes
    before one of ``second``, whichever was earlier.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(second)
        done = first()
        return done, waiting.result()
