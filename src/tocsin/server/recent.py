"""Recent time: where the counts of a data plane stood at two moments, and what lies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tocsin.server import measured as m
from tocsin.telemetry import quantile

if TYPE_CHECKING:
    from tocsin.core.signal import Text
    from tocsin.telemetry import Stage


class Mark(msgspec.Struct, frozen=True):
    """Where the counts stood at one moment."""

    at: float
    stages: dict[str, tuple[int, int, float, tuple[int, ...]]]
    accepted: int
    verdicts: int
    verdicts_late: int
    shed: int
    unwritten_bytes: int
    lines: int
    slow: int


def length(mark: Mark, since: Mark) -> float:
    """Return the seconds between two moments, never 0."""
    return max(mark.at - since.at, 1e-9)


def stage_of(stage: Stage, mark: Mark, since: Mark, text: Text) -> m.StageView:
    """Return a stage as it was between two moments."""
    runs, rows, seconds, bins = mark.stages[stage.name]
    runs0, rows0, seconds0, bins0 = since.stages[stage.name]
    recent = [one - before for one, before in zip(bins, bins0, strict=True)]
    took, lasted = seconds - seconds0, length(mark, since)
    return m.StageView(
        name=stage.name,
        text=text,
        thread=m.THREADS[stage.name],
        runs=runs,
        rows=rows,
        seconds=seconds,
        longest_ms=1e3 * stage.longest,
        share=took / lasted,
        rows_per_s=(rows - rows0) / lasted,
        us_per_row=1e6 * took / (rows - rows0) if rows > rows0 else 0.0,
        rows_per_run=(rows - rows0) / (runs - runs0) if runs > runs0 else 0.0,
        p50_ms=1e3 * min(quantile(recent, 0.5), stage.longest),
        p99_ms=1e3 * min(quantile(recent, 0.99), stage.longest),
    )
