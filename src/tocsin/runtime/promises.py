"""Promises: futures that several threads may try to end, of which the first holds.

Nobody can cancel one: the journal's writer must not stumble over a caller who went away.
"""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def promise() -> Future[T]:
    """Return a future that ``cancel`` does nothing to."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    return future


def keep(future: Future[T], value: T) -> None:
    """Give a promise its value, unless it has ended."""
    with suppress(InvalidStateError):
        future.set_result(value)


def fail(future: Future[T], error: Exception) -> None:
    """Give a promise its error, unless it has ended."""
    with suppress(InvalidStateError):
        future.set_exception(error)
