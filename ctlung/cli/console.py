"""What the commands share: errors as one sentence, progress, overrides of settings."""

from __future__ import annotations

import errno
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

import typer

from ctlung.errors import CtlungError
from ctlung.settings import Settings
from ctlung.vocabulary import EXIT_INTERRUPTED, EXIT_REFUSED


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what can go wrong with a user's files into one sentence on stderr and exit 1."""
    try:
        yield
    except CtlungError as error:
        _stop(str(error))
    except MemoryError:
        _stop(
            "The memory is not enough for this scan; close other programs, or use a machine with "
            "more memory."
        )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _stop("A disk is full; free some space and start again.")
    except KeyboardInterrupt:
        print("ctlung: interrupted; nothing was left half written.", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _stop(sentence: str) -> None:
    print(f"ctlung: {sentence}", file=sys.stderr)
    raise typer.Exit(EXIT_REFUSED) from None


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr where that is a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)


def _silent(stage: str, fraction: float) -> None:
    """Say nothing."""


def require_device(device: str) -> None:
    """Refuse a device that has no name, as wrong usage (exit 2)."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(
            f"there is no device {device!r}; known are auto, cpu, cuda and cuda:N",
            param_hint="--device",
        )


def settings_from(overrides: list[str]) -> Settings:
    """Settings with ``name=value`` overrides; a wrong one is wrong usage (exit 2)."""
    known = {f.name: type(getattr(Settings(), f.name)) for f in fields(Settings)}
    chosen: dict[str, int | float] = {}
    for text in overrides:
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in known:
            raise typer.BadParameter(f"there is no setting {name!r}; see docs/measures.md")
        try:
            chosen[name] = known[name](value)
            if not math.isfinite(chosen[name]):
                raise ValueError
        except ValueError:
            raise typer.BadParameter(
                f"{name} takes a number, not {value!r}, as in {name}={getattr(Settings(), name)}"
            ) from None
    try:
        return replace(Settings(), **chosen)  # type: ignore[arg-type]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
