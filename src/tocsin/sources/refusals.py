"""What a source did not take: every line of it accounted for."""

from __future__ import annotations

from collections import Counter

import msgspec

REFUSALS_KEPT = 100


class Refusal(msgspec.Struct, frozen=True):
    """One line or row that was not taken: where, why, and the machine word; never what it held."""

    line: int
    reason: str
    code: str = "malformed"
    field: str = ""


class Refusals:
    """What a source did not take: all counted by code, the first ``REFUSALS_KEPT`` kept with line and reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: list[Refusal] = []

    def add(self, line: int, reason: str, code: str = "malformed", field: str = "") -> None:
        """Count one, and keep it while there is room."""
        self.counts[code] += 1
        if len(self.first) < REFUSALS_KEPT:
            self.first.append(Refusal(line, reason, code, field))

    @property
    def total(self) -> int:
        """How many lines were refused."""
        return sum(self.counts.values())
