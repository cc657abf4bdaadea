"""Filters: the ``where`` and ``hit`` expressions of declarations, over whole batches or over order items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.flow.cel import FILTER, Program, compile_expression

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tocsin.core.events import Event
    from tocsin.flow.batch import PlainBatch


WHOLE = msgspec.structs.replace(FILTER, roots=("event", "data"))
"""Filters over events without a look at single items."""


def filter_of(text: str, types: tuple[str, ...], *, item: bool = False) -> Program:
    """Return the compiled filter for events of these types, or for their items; CelError where it is wrong."""
    return compile_expression(text, (FILTER if item else WHOLE).narrow(types))


def passes(batch: PlainBatch, text: str, types: tuple[str, ...], counters: Counter[str]) -> list[bool]:
    """Return which rows are of these types and pass the filter ("" passes all); errors are false, and counted."""
    known = batch.passed.get((text, types))
    if known is not None:
        return known
    mask = batch.of_type(*types)
    rows = np.flatnonzero(mask)
    if text and len(rows):
        fires, causes = filter_of(text, types).rows(batch.pick(rows))
        mask[rows] = fires
        if causes is not None:
            for cause in causes[causes != ""].tolist():
                counters[f"filter_error:{cause}"] += 1
    found: list[bool] = mask.tolist()
    batch.passed[text, types] = found
    return found


def item_filter(text: str, types: tuple[str, ...], counters: Counter[str]) -> Callable[[dict[str, Any], Event], bool]:
    """Return the filter over (item, event); errors are false, and counted."""
    program = filter_of(text, types, item=True)

    def keep(item: dict[str, Any], event: Event) -> bool:
        fields = {
            name: getattr(event, name) for name in ("type", "time", "tau", "subject", "shop", "source", "id", "seq")
        }
        result = program.one({"item": item, "data": event.data, "event": fields}, tau=event.tau)
        if result.error:
            counters[f"filter_error:{result.error}"] += 1
        return bool(result)

    return keep
