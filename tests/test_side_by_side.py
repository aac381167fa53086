"""Two pieces of work at once answer as one after the other."""

from __future__ import annotations

import threading

import pytest

from ctlung.side_by_side import both


def _fail(error: Exception) -> None:
    raise error


def test_both_answers_come_back_in_order() -> None:
    assert both(lambda: "first", lambda: 2) == ("first", 2)


def test_they_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=20)
    assert sorted(both(meeting.wait, meeting.wait)) == [0, 1]


def test_an_error_of_the_first_comes_before_one_of_the_second() -> None:
    with pytest.raises(KeyError):
        both(lambda: _fail(KeyError("a")), lambda: _fail(ValueError("b")))
    with pytest.raises(ValueError, match="b"):
        both(lambda: 1, lambda: _fail(ValueError("b")))


def test_an_error_of_the_first_does_not_wait_for_the_second() -> None:
    held = threading.Event()
    with pytest.raises(KeyError):
        both(lambda: _fail(KeyError("a")), lambda: held.wait(60))
    assert not held.is_set()
    held.set()
