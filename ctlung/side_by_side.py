"""Two pieces of work at once. No state is shared; the answer is that of one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """What the two return; the second runs in a thread of its own.

    NumPy, SciPy and torch let other threads run while they compute. An error of ``first`` comes
    before one of ``second``, whichever was earlier, and at once: the second is then left to
    itself, so it must only compute and write nowhere.
    """
    answers: list[B] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(second())
        except BaseException as error:
            errors.append(error)

    # A daemon: whoever interrupts the program does not wait for it.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    done = first()
    thread.join()
    if errors:
        raise errors[0]
    return done, answers[0]
