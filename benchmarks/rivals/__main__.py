"""Run with an interpreter that has them: ``python -m benchmarks.rivals INPUT OUTPUT``; it needs nothing of Tocsin.

INPUT is JSON: ``events``, ``windows`` (see ``work``), ``names`` (whom to run), ``seconds`` (the budget of those that go
event by event), ``whole`` (how many events those get that take a batch), ``sample``. OUTPUT: name -> {version, events,
seconds, values of the first ``sample`` events, computes, reads_all} or {missing: why}; of rule engines (``rules``,
``rows``, ``lists``, see ``rules``) {version, events, seconds, hits, computes}.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from benchmarks.rivals.rules import ENGINES
from benchmarks.rivals.server import redis
from benchmarks.rivals.streaming import bytewax, river
from benchmarks.rivals.tables import duckdb, polars
from benchmarks.rivals.work import Events, Timed, Windows, plain

if TYPE_CHECKING:
    from collections.abc import Callable

_ALL = "all 22"
_WHOLE = "all 22, over the whole batch at once"
_STATE = "all 22, by Python state in stateful_map: its own windows give no value per event"
_ROLLING = "count, sum, mean and std: it has no rolling distinct and no recency; read by entering events only"
RIVALS: dict[str, tuple[Callable[[Events, Windows, float], Timed], str, str, bool, bool]] = {
    "Python dicts and deques": (plain, "", _ALL, True, False),
    "river": (river, "river", _ROLLING, False, False),
    "bytewax": (bytewax, "bytewax", _STATE, True, True),
    "Polars": (polars, "polars", _WHOLE, True, True),
    "DuckDB": (duckdb, "duckdb", _WHOLE, True, True),
    "Redis, pipelined Lua": (redis, "redis", _ALL, True, False),
}
"""Name -> (function, package, what it computes, whether events that do not enter a window read it, whether it takes
a batch that no budget stops in between)."""


def main(given: str, wanted: str) -> None:
    """Run those that are asked for."""
    with open(given, encoding="utf-8") as file:
        work = json.load(file)
    results: dict[str, Any] = {}
    for name in work["names"]:
        if name in ENGINES:
            results[name] = _rules(name, work)
            continue
        function, package, computes, reads_all, whole = RIVALS[name]
        events = work["events"][: work["whole"]] if whole else work["events"]
        try:
            release = version(package) if package else sys.version.split()[0]
            if package:
                import_module(package)
            values, took = function(events, work["windows"], work["seconds"])
        except (ImportError, FileNotFoundError) as error:
            results[name] = {"missing": str(error)}
            continue
        results[name] = {
            "version": release,
            "seconds": took,
            "events": len(values),
            "values": values[: work["sample"]],
            "computes": computes,
            "reads_all": reads_all,
        }
    with open(wanted, "w", encoding="utf-8") as file:
        json.dump(results, file)


def _rules(name: str, work: dict[str, Any]) -> dict[str, Any]:
    function, package = ENGINES[name]
    try:
        release = version(package)
        hits, took, computes = function(work["rules"], work["rows"], work["lists"], work["seconds"])
    except ImportError as error:
        return {"missing": str(error)}
    return {"version": release, "seconds": took, "events": len(hits), "hits": hits, "computes": computes}


if __name__ == "__main__":
    main(*sys.argv[1:])
