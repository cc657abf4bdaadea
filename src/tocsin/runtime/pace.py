"""Pace: whether the stream is fast just now, so that work that can wait does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_S = 0.5


class Busy:
    """Says whether a counter has grown by more than ``most_per_s`` of late; for one thread.

    ``count`` returns the counter, ``clock`` seconds that never run back.
    """

    def __init__(
        self, count: Callable[[], int], most_per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._most = most_per_s
        self._clock = clock
        self._before = (clock(), count())
        self._busy = False

    def __call__(self) -> bool:
        """Return whether it is busy; the answer is at most half a second old."""
        at, seen = self._before
        now = self._clock()
        if now - at >= LOOK_S:
            count = self._count()
            self._busy = count - seen > self._most * (now - at)
            self._before = (now, count)
        return self._busy
