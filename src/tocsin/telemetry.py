"""Telemetry: what each stage of the plane took, as counters and a histogram of durations. No clock of its own."""

from __future__ import annotations

from itertools import accumulate
from math import exp2, log2
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGES: dict[str, tuple[str, str]] = {
    "scan": ("JSON lines checked and laid out as columns", "校验 JSON 行并转为列"),
    "stamp": ("duplicates recognised, seq and tau given", "识别重复并赋予序号与时间"),
    "fold": ("windows, series, deadlines, desks and rules", "窗口、序列、时限、席位与规则"),
    "derive": ("verdicts and signals written out", "生成裁决与信号"),
    "write": ("journal: bytes handed to the system", "日志：写入系统"),
    "sync": ("journal: until they are on disk", "日志：落盘"),
    "publish": ("views, records and responder told", "更新视图、记录与响应"),
    "verdict": ("from the request to its answer", "从请求到答复"),
}
"""Stage -> what it does, English and Chinese: the one table of names."""
FINEST_S = 1e-6
PER_DOUBLING = 4
BINS = 30 * PER_DOUBLING
"""Bins from one microsecond to a quarter of an hour, a fifth apart: a quantile is right to within 19 %."""


class Stage:
    """One stage: ``runs``, ``rows`` and ``seconds`` since the start, and how long its runs took.

    Written by one thread, read by any: a reader may see a run half counted, never a wrong order of magnitude.
    """

    __slots__ = ("bins", "longest", "name", "rows", "runs", "seconds")

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs = self.rows = 0
        self.seconds = self.longest = 0.0
        self.bins = [0] * BINS

    def add(self, seconds: float, rows: int = 1) -> None:
        """Count one run over so many rows."""
        self.runs += 1
        self.rows += rows
        self.seconds += seconds
        self.longest = max(self.longest, seconds)
        at = int(PER_DOUBLING * log2(seconds / FINEST_S)) if seconds > FINEST_S else 0
        self.bins[at if at < BINS else -1] += 1

    def quantile(self, q: float) -> float:
        """Return the duration in seconds that a share ``q`` of the runs did not exceed, 0 before the first."""
        return min(quantile(list(self.bins), q), self.longest)


def quantile(bins: Sequence[int], q: float) -> float:
    """Return the upper end in seconds of the bin in which a share ``q`` of all counts is reached, 0 without counts."""
    wanted = q * sum(bins)
    if not wanted:
        return 0.0
    at = next(at for at, seen in enumerate(accumulate(bins)) if seen >= wanted)
    return FINEST_S * exp2((at + 1) / PER_DOUBLING)


class Plane:
    """The stages of one installation, by name."""

    def __init__(self) -> None:
        self.stages = {name: Stage(name) for name in STAGES}

    def __getitem__(self, name: str) -> Stage:
        """Return a stage of ``STAGES``."""
        return self.stages[name]

    def report(self) -> list[dict[str, Any]]:
        """Return per stage {name, runs, rows, seconds, us_per_row, p50_ms, p99_ms, longest_ms}."""
        return [
            {
                "name": stage.name,
                "runs": stage.runs,
                "rows": stage.rows,
                "seconds": stage.seconds,
                "us_per_row": 1e6 * stage.seconds / stage.rows if stage.rows else 0.0,
                "p50_ms": 1e3 * stage.quantile(0.5),
                "p99_ms": 1e3 * stage.quantile(0.99),
                "longest_ms": 1e3 * stage.longest,
            }
            for stage in self.stages.values()
        ]
