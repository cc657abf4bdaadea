"""Filters: the ``where`` and ``hit`` expressions of declarations, over whole batches or over order items."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.flow.cel import FEW, FILTER, Program, compile_expression
from tocsin.flow.cel_views import View

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tocsin.core.events import Event
    from tocsin.flow.batch import PlainBatch


WHOLE = msgspec.structs.replace(FILTER, roots=("event", "data"))
"""Filters over events without a look at single items."""


@lru_cache(maxsize=1024)
def filter_of(text: str, types: tuple[str, ...], *, item: bool = False) -> Program:
    """Return the compiled filter for events of these types, or for their items; CelError where it is wrong."""
    return compile_expression(text, (FILTER if item else WHOLE).narrow(types))


def mask(batch: PlainBatch, text: str, types: tuple[str, ...], counters: Counter[str]) -> np.ndarray:
    """Return which rows are of these types and pass the filter ("" passes all), bool [n]: not to be written to.

    Errors are false, and counted.
    """
    kept: dict[Any, Any] = batch.kept
    key = ("mask", text, types)
    known: np.ndarray | None = kept.get(key)
    if known is None:
        known = kept[key] = (
            _alone(batch, text, types, counters) if batch.n < FEW else _wide(batch, text, types, counters)
        )
    return known


def passes(batch: PlainBatch, text: str, types: tuple[str, ...], counters: Counter[str]) -> list[bool]:
    """Return ``mask`` as a list."""
    known = batch.passed.get((text, types))
    if known is None:
        known = batch.passed[text, types] = mask(batch, text, types, counters).tolist()
    return known


def _alone(batch: PlainBatch, text: str, types: tuple[str, ...], counters: Counter[str]) -> np.ndarray:
    found = np.zeros(batch.n, bool)
    run = filter_of(text, types).fused.run if text else None
    for row, event in enumerate(batch.events):
        if event.type not in types:
            continue
        hits, faults = run(event, {}, None, None) if run is not None else ((row,), ())
        found[row] = bool(hits)
        for _, cause in faults:
            counters[f"filter_error:{cause}"] += 1
    return found


def _wide(batch: PlainBatch, text: str, types: tuple[str, ...], counters: Counter[str]) -> np.ndarray:
    found = batch.of_type(*types)
    rows = np.flatnonzero(found)
    if text and len(rows):
        found = np.zeros(batch.n, bool)
        found[rows[_hits(filter_of(text, types), View(batch, None, None, None).narrow(rows), counters)]] = True
    return found


def _hits(program: Program, view: View, counters: Counter[str]) -> np.ndarray:
    hits, causes = program.hits(view)
    for cause, times in (causes.counts() if causes is not None else {}).items():
        counters[f"filter_error:{cause}"] += times
    return hits


def item_mask(rows: Any, text: str, types: tuple[str, ...], counters: Counter[str]) -> np.ndarray:
    """Return which items of ``rows.items`` are of events of these types and pass the filter, bool [m].

    ``rows`` is ``flow.wide.rows.Rows`` or its like. The twin of ``item_filter``: errors are false, and counted.
    """
    items = rows.items
    among: np.ndarray = rows.of_type(*types)[items.row]
    places = np.flatnonzero(among)
    if not text or not len(places):
        return among
    program = filter_of(text, types, item=True)
    found = np.zeros(items.n, bool)
    if program.step is not None and len(places) >= FEW:
        found[places[_hits(program, View(items, None, None, None).narrow(places), counters)]] = True
        return found
    keep = item_filter(text, types, counters)
    starts = np.searchsorted(items.row, items.row[places])
    for place, start, row in zip(places.tolist(), starts.tolist(), items.row[places].tolist(), strict=True):
        event = rows.events[row]
        docs = [item for item in event.data["items"] if isinstance(item, dict)]
        found[place] = keep(docs[place - start], event)
    return found


def item_filter(text: str, types: tuple[str, ...], counters: Counter[str]) -> Callable[[dict[str, Any], Event], bool]:
    """Return the filter over (item, event); errors are false, and counted."""
    run = filter_of(text, types, item=True).fused.run

    def keep(item: dict[str, Any], event: Event) -> bool:
        hits, faults = run(event, {}, None, None, item)
        for _, cause in faults:
            counters[f"filter_error:{cause}"] += 1
        return bool(hits)

    return keep
