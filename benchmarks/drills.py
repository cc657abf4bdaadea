"""The demo store is broken on purpose and Tocsin is scored: three drills, three strengths, five seeds; and quiet days.

``detected_share`` of the drills; ``median_seconds_to_detect`` and ``median_seconds_to_respond`` in simulated seconds
over those that were detected and answered; ``averted_share`` of the money that the drills cost without Tocsin;
``false_incidents_per_quiet_day`` over 20 days of 24 simulated hours, each with an announced opening minute at 20 times
the traffic (goal: at most 1).

The rival: fixed thresholds on the same series, tuned on the same quiet days to the same rate of false alarms, reacting
with the same verbs.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.report import Options, Report, versions
from tocsin.twin.drill import Quiet, quiet_day, quiet_rows, rehearse
from tocsin.twin.thresholds import Limits, tune
from tocsin.twin.trouble import NAMES, STRENGTHS, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.twin.score import Result

SEEDS = 5
QUIET_SEEDS = 20
FIRST_QUIET_SEED = 900
QUIET_HOURS = 24


class DrillReport(Report, kw_only=True):
    """The report with what it was made from."""

    by_drill: list[dict[str, Any]] = msgspec.field(default_factory=list)
    quiet: list[Quiet] = msgspec.field(default_factory=list)
    results: list[dict[str, Any]] = msgspec.field(default_factory=list)


def run(
    options: Options, *, seeds: int = SEEDS, quiet_seeds: int = QUIET_SEEDS, workers: int | None = None
) -> DrillReport:
    """Run everything on the seeds ``options.seed`` to ``options.seed + seeds - 1``; no data is read."""
    quiet_of = range(FIRST_QUIET_SEED, FIRST_QUIET_SEED + quiet_seeds)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or min(os.cpu_count() or 1, 8), mp_context=spawn) as pool:
        quiet = list(pool.map(_quiet, quiet_of))
        a_day = sum(len(day.false) for day in quiet) / max(len(quiet), 1) * 24 / QUIET_HOURS
        limits = tune(list(pool.map(_rows, quiet_of)), a_day)
        jobs = [
            (name, strength, options.seed + k, limits) for k in range(seeds) for name in NAMES for strength in STRENGTHS
        ]
        results = list(pool.map(_rehearse, jobs))
    without = sum(result.lost_without for result in results)
    rows = _by_drill(results)
    return DrillReport(
        name="drills",
        figures=figures(results, a_day),
        rivals={
            "fixed thresholds": {
                "averted_share": _averted(sum(result.lost_with_thresholds for result in results), without),
                "false_incidents_per_quiet_day": round(a_day, 3),
            }
        },
        seed=options.seed,
        versions=versions("tocsin", "numpy", "msgspec", "uvicorn"),
        goals={"false_incidents_per_quiet_day": "<= 1"},
        notes=[*(_line(row) for row in rows), _of_quiet(quiet)],
        by_drill=rows,
        quiet=quiet,
        results=[{"seed": job[2], **msgspec.to_builtins(one)} for job, one in zip(jobs, results, strict=True)],
    )


def _line(row: dict[str, Any]) -> str:
    detected = f"detected {row['detected_share']:.0%} after {row['median_seconds_to_detect']} s"
    averted = f"averted {row['averted_share']:.0%} (thresholds {row['averted_share_thresholds']:.0%})"
    answered = f"answered after {row['median_seconds_to_respond']} s"
    return f"{row['drill']}, {row['strength']}: {detected}, {answered}, {averted}, {row['false_incidents']} false"


def _of_quiet(days: Sequence[Quiet]) -> str:
    refused, paid = sum(day.refused_honest for day in days), sum(day.paid_honest for day in days)
    cost = sum(day.cost for day in days) / max(len(days), 1) / 100
    share = refused / max(refused + paid, 1)
    return f"{len(days)} quiet days: {share:.2%} of honest payments refused, Tocsin cost {cost:,.0f} CNY a day"


def figures(results: Sequence[Result], false_a_day: float) -> dict[str, float]:
    """Return the flat figures of these results."""
    return {
        "detected_share": round(sum(result.detected for result in results) / max(len(results), 1), 4),
        "median_seconds_to_detect": _median([result.seconds_to_detect for result in results]),
        "median_seconds_to_respond": _median([result.seconds_to_respond for result in results]),
        "averted_share": _averted(
            sum(result.lost_with for result in results), sum(result.lost_without for result in results)
        ),
        "false_incidents_per_quiet_day": round(false_a_day, 3),
    }


def _median(values: Sequence[float | None]) -> float:
    """Return the median of those that are known; NaN (null in JSON) where none is."""
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 1) if known else math.nan


def _averted(lost: int, without: int) -> float:
    return round(1 - lost / without, 4) if without > 0 else 0.0


def _by_drill(results: Sequence[Result]) -> list[dict[str, Any]]:
    rows = []
    for name in NAMES:
        for strength in STRENGTHS:
            some = [one for one in results if (one.drill, one.strength) == (name, strength)]
            without = sum(one.lost_without for one in some)
            row = figures(some, 0.0)
            del row["false_incidents_per_quiet_day"]
            thresholds = _averted(sum(one.lost_with_thresholds for one in some), without)
            false = sum(one.false_incidents for one in some)
            more = {"averted_share_thresholds": thresholds, "false_incidents": false}
            rows.append({"drill": name, "strength": strength, **row, **more})
    return rows


def _quiet(seed: int) -> Quiet:
    from tocsin.cli.rehearsal import opened

    found = quiet_day(seed, opened, QUIET_HOURS)
    print(f"drills: {found}", file=sys.stderr)
    return found


def _rows(seed: int) -> list[tuple[int, int, int, int]]:
    return quiet_rows([seed], QUIET_HOURS)[0]


def _rehearse(job: tuple[str, str, int, Limits]) -> Result:
    from tocsin.cli.rehearsal import opened

    name, strength, seed, limits = job
    result = rehearse(named(name), strength, seed, opened, limits)
    print(f"drills: {result}", file=sys.stderr)
    return result
