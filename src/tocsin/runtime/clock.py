"""Clocks: the only places that answer for now."""

from __future__ import annotations

import threading
import time


class SystemClock:
    """The machine's clock."""

    data = False

    def now(self) -> int:
        """Return microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def observe(self, moment: int) -> None:
        """Take no notice: this clock runs by itself."""


class DataClock:
    """The data's clock, for file doors and drills: it stands at the latest time that it was shown."""

    data = True

    def __init__(self, start: int = 0) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> int:
        """Return the latest time seen, microseconds."""
        return self._now

    def observe(self, moment: int) -> None:
        """Move on to ``moment`` where it is later."""
        with self._lock:
            self._now = max(self._now, moment)
