"""``python -m benchmarks NAME [--data DIR] [--score DIR] [--json FILE] [--seed N]``; ``--list`` names them all.

A benchmark is a module of this package with ``run(options) -> Report``. Exit codes: 0 measured, 2 unknown name or
missing data; a missed goal stays in the table and is no error.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
import time
from importlib import import_module
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.report import NoData, Options, Report, number

APART = (
    {"__main__", "page", "report"}
    | {"churn", "feed", "flow_host", "flow_parts", "flow_rules", "flow_scan", "flow_windows"}
    | {"plane", "recovery_host", "rivals", "rule_book", "stamping", "stream", "texts", "yardsticks"}
)


def names() -> list[str]:
    """Return the names of all benchmarks."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if name not in APART and hasattr(import_module(f"benchmarks.{name}"), "run"))


def table(report: Report) -> Table:
    """Return a row a figure, ours with its goal, and under it the same of each rival: 80 columns are enough."""
    shown = Table(title=f"{report.name}  (seed {report.seed}, {report.seconds:.0f} s)")
    shown.add_column("figure", overflow="fold")
    shown.add_column("value", justify="right", no_wrap=True)
    shown.add_column("goal", overflow="fold")
    for key, value in report.figures.items():
        shown.add_row(key, number(value), report.judged(key), style="bold")
        for rival, figures in report.rivals.items():
            if key in figures:
                shown.add_row(f"  {rival}", number(figures[key]), "")
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark, print its table and write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--score", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args(arguments)
    known = names()
    if given.list:
        print("\n".join(known))
        return 0
    if given.name not in known:
        print(f"no benchmark {given.name!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    started = time.perf_counter()
    try:
        report: Report = import_module(f"benchmarks.{given.name}").run(
            Options(data=given.data, score=given.score, seed=given.seed)
        )
    except NoData as error:
        print(error, file=sys.stderr)
        return 2
    report.seconds = round(time.perf_counter() - started, 1)
    console = Console()
    console.print(table(report))
    for note in report.notes:
        console.print(note)
    for name, points in report.curves.items():
        console.print(f"{name}: " + ", ".join(f"{place} {number(value)}" for place, value in points.items()))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
