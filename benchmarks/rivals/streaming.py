"""Streaming libraries for Python: river and bytewax."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.rivals.work import Deques, Events, Timed, Values, Windows, grouped, key_of, one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable


def river(events: Events, windows: Windows, seconds: float) -> Timed:
    """River's TimeRolling of Sum, Mean and Var per key; it has no rolling distinct and no recency."""
    from datetime import UTC, datetime, timedelta

    stats, rolling = import_module("river.stats"), import_module("river.utils").TimeRolling
    kinds = {"count": stats.Sum, "sum": stats.Sum, "mean": stats.Mean, "std": stats.Var}
    state: list[dict[str, Any]] = [{} for _ in windows]
    epoch = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)

    def step(event: dict[str, Any]) -> list[float | None]:
        row: list[float | None] = [None] * len(windows)
        now = epoch + timedelta(microseconds=event["t"])
        for place, window in enumerate(windows):
            kind = kinds.get(window["fold"])
            key = key_of(window, event)
            value = event.get(window["field"]) if window["field"] else 1
            if kind is None or key is None or value is None or event["type"] not in window["of"]:
                continue
            one = state[place].get(key)
            if one is None:
                one = state[place][key] = rolling(kind, period=timedelta(seconds=window["span_s"]))
            one.update(value, t=now)
            found = one.get()
            row[place] = (found**0.5 if one.obj.n > 1 else None) if window["fold"] == "std" else float(found)
        return row

    return one_by_one(events, seconds, step)


def bytewax(events: Events, windows: Windows, seconds: float) -> Timed:
    """A dataflow with a stateful step for each kind of key, joined by event; its own windows do not speak per event."""
    op, flows = import_module("bytewax.operators"), import_module("bytewax.dataflow")
    testing = import_module("bytewax.testing")

    def mapper(group: Windows) -> Callable[[Any, Any], tuple[Any, Any]]:
        def step(state: Deques | None, event: Any) -> tuple[Deques | None, Any]:
            if event.get(group[0]["by"]) is None:
                return state, (event["t"], [None for _ in group])
            state = state or Deques(group)
            return state, (event["t"], state.step(event))

        return step

    found: list[Any] = []
    flow = flows.Dataflow("windows")
    source = op.input("in", flow, testing.TestingSource(events, batch_size=1024))
    order: list[int] = []
    sides = []
    for number, places in enumerate(grouped(windows).values()):
        group = [windows[place] for place in places]
        order += places
        keyed = op.key_on(f"key{number}", source, lambda event, first=group[0]: key_of(first, event) or "")
        read = op.key_rm(f"unkey{number}", op.stateful_map(f"step{number}", keyed, mapper(group)))
        sides.append(op.map(f"side{number}", read, lambda item: (str(item[0]), item[1])))
    op.output("out", op.join("join", *sides), testing.TestingSink(found))
    began = time.perf_counter()
    testing.run_main(flow)
    took = time.perf_counter() - began
    rows: Values = []
    for _, parts in sorted(found, key=lambda item: int(item[0])):
        row: list[float | None] = [None] * len(windows)
        for place, value in zip(order, (value for part in parts for value in part), strict=True):
            row[place] = value
        rows.append(row)
    return rows, took
