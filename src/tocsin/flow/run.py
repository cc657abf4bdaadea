"""What one slice brings up on the way to its results."""

from __future__ import annotations

from tocsin.core.signal import Signal

Place = tuple[int, int]
"""Row of the slice; 0 for the wake-ups before it, 1 for the row itself."""
Said = tuple[Place, int, str, Signal]
"""Where a signal was said, its tau, the desk, the signal."""


class Run:
    """What one slice brings up on the way: signals with their places, and the desks that failed."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.faults: dict[str, tuple[Place, str]] = {}

    def fail(self, desk: str, place: Place, error: str) -> None:
        """Note where a desk failed: the earliest place counts."""
        known = self.faults.get(desk)
        if known is None or place < known[0]:
            self.faults[desk] = (place, error)

    def before_fault(self, desk: str, place: Place) -> bool:
        """Return whether a place comes before the desk failed."""
        fault = self.faults.get(desk)
        return fault is None or place < fault[0]
