"""The data plane under the benchmark stream: scan, windows, rules, model, durable journal; rivals beside it.

``windows_*``: 22 exact features over four entity types, batches of 8192, one core. ``scan_rules_*``: bodies of lines
scanned, windows, 50 rules, one core. ``durable_*`` and ``gated_model_*``: the real host for ``TOCSIN_BENCH_MINUTES``
(10) on all cores. Rivals run with ``TOCSIN_RIVALS_PYTHON``, an interpreter that has them, else with this one;
``TOCSIN_BENCH_QUICK=1`` measures everything small: a test of the benchmark and no result.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import NoData, Options, Report, versions
from tocsin.flow.wide.jit import AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Window

GOALS = {
    "windows_events_per_s": ">= 1000000",
    "windows_vs_twin": ">= 60",
    "scan_rules_events_per_s": ">= 500000",
    "durable_events_per_s": ">= 583000",
    "gated_model_events_per_s": ">= 500000",
    "fallback_share": "<= 0.02",
    "bytes_per_key_exact": "<= 200",
    "bytes_per_key_hop": "<= 120",
}
FIELDS = ("ip", "session", "account", "card", "bytes", "duration_ms", "amount", "sku", "device")
STREAM_RIVALS = ("Python dicts and deques", "river", "bytewax", "Polars", "DuckDB", "Redis, pipelined Lua")
TOLERANCE = 1e-9
STEP_US = 2_000


def run(options: Options) -> Report:
    """Measure everything; NoData where kernels cannot be compiled."""
    if not AVAILABLE:
        raise NoData("the compiled plane needs numba; without it there is only the plain flow to measure")
    from benchmarks import flow_parts

    quick = bool(os.environ.get("TOCSIN_BENCH_QUICK"))
    minutes = float(os.environ.get("TOCSIN_BENCH_MINUTES", "10"))
    found = flow_parts.measured(options.seed, quick=quick, minutes=0.05 if quick else minutes)
    return Report(
        name="flow",
        figures=found.figures,
        rivals=found.rivals,
        curves=found.curves,
        seed=options.seed,
        versions=versions("tocsin", "numpy", "numba", "lightgbm", "msgspec"),
        goals=GOALS,
        notes=[*found.notes, machine()],
    )


def machine() -> str:
    """Return what it ran on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else platform.processor()
    load = os.getloadavg()[0]
    return f"{len(os.sched_getaffinity(0))} cores of {name}, {platform.system()}; load {load:.1f} at the end"


# The work of others ----------------------------------------------------------------------------------------------


def work_of(
    documents: Sequence[dict[str, Any]],
    windows: Sequence[Window],
    *,
    names: Sequence[str] = STREAM_RIVALS,
    seconds: float,
    step_us: int = 100_000,
) -> dict[str, Any]:
    """Return the events and windows as ``benchmarks.rivals`` takes them, every event ``step_us`` after the last."""
    events = []
    for number, one in enumerate(documents):
        data = one["data"]
        event = {"t": number * step_us + 10**15, "type": one["type"], "currency": data.get("currency", "CNY")}
        events.append(event | {name: data[name] for name in FIELDS if name in data})
    declared = [
        {"name": w.name, "fold": str(w.fold), "by": w.by, "span_s": w.span_s, "of": list(w.of), "field": w.field}
        for w in windows
    ]
    return {
        "events": events,
        "windows": declared,
        "names": list(names),
        "seconds": seconds,
        "whole": len(events),
        "sample": 5_000,
    }


def plain_values(documents: Sequence[dict[str, Any]], windows: Sequence[Window], step_us: int = 100_000) -> np.ndarray:
    """Return the plain twin's values float64 [n, windows], NaN where missing."""
    from benchmarks.feed import stamped
    from benchmarks.plane import READS
    from tocsin.flow.batch import PlainBatch
    from tocsin.flow.windows import Windows

    twin = Windows()
    twin.declare(windows, READS)
    columns = twin.step(PlainBatch(stamped(documents, 10**15, step_us)))
    return np.column_stack([columns[twin.slots[window.fingerprint()]] for window in windows])


def agreement(result: dict[str, Any], ours: np.ndarray) -> list[str]:
    """Return the names of the windows in which a rival's values are not ours; empty where all agree.

    A rival that reads only on entry (``reads_all`` False) is held to the values that it gives.
    """
    from benchmarks.plane import EXACT

    values = np.array([[np.nan if one is None else one for one in row] for row in result["values"]], np.float64)
    mine = ours[: len(values)]
    values = values[: len(mine)]
    both = np.isnan(values) & np.isnan(mine)
    same = both | np.isclose(values, mine, rtol=TOLERANCE, atol=1e-6)
    if not result["reads_all"]:
        same |= np.isnan(values)
    return [EXACT[place].name for place in np.flatnonzero(~same.all(axis=0)).tolist()]


def ask(work: dict[str, Any]) -> dict[str, Any]:
    """Return what the rivals made of it, in a process of the interpreter that has them."""
    python = os.environ.get("TOCSIN_RIVALS_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        given, wanted = Path(folder) / "in.json", Path(folder) / "out.json"
        given.write_text(json.dumps(work), encoding="utf-8")
        command = [python, "-m", "benchmarks.rivals", str(given), str(wanted)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1], timeout=3600)
        found: dict[str, Any] = json.loads(wanted.read_text(encoding="utf-8"))
        return found
