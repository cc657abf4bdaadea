"""Windows by scanning a list: the plain reading of ``core.desk``, kept apart from the code under test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tocsin.core.desk import Aggregate, Window
from tocsin.core.events import SECOND, Event

MONEY = {"amount", "price"}


def inside(window: Window, tau: int, now: int) -> bool:
    """Return whether an entry of ``tau`` lies in the window read at ``now``."""
    span, delay = window.span_s * SECOND, window.delay_s * SECOND
    if window.span_s <= 3600:
        return now - delay - span < tau <= now - delay
    hop = span // 24
    top, own = (now - delay) // hop, tau // hop
    return top - 24 <= own <= top - 1 if delay else top - 23 <= own <= top


def naive(
    window: Window, stream: Sequence[Event], at: int, keep: Callable[[dict[str, Any], dict[str, Any]], bool]
) -> float | None:
    """Return the window's value for the event at place ``at`` of the stream; ``keep(item or data, data)`` filters."""
    reader = stream[at]
    before = stream[: at if window.fold is Aggregate.RECENCY else at + 1]
    name = window.by.removeprefix("items.")
    if window.by.startswith("items.") and "sku" not in reader.data:
        keys = {item[name] for item in reader.data.get("items", ()) if name in item}
    else:
        keys = {reader.data[name]} if reader.data.get(name) is not None else set()
    values = [_value(window, before, reader, key, keep) for key in keys]
    known = [value for value in values if value is not None]
    if not known:
        return None
    return min(known) if window.fold is Aggregate.RECENCY else max(known)


def _value(window: Window, before: Sequence[Event], reader: Event, key: str, keep: Any) -> float | None:
    entries: list[tuple[int, Any]] = []
    currency = reader.data.get("currency", "CNY")
    for event in before:
        if event.type not in window.of or event.shop != reader.shop or not inside(window, event.tau, reader.tau):
            continue
        if window.field in MONEY and event.data.get("currency", "CNY") != currency:
            continue
        for source in event.data.get("items", []) if window.each else [event.data]:
            holder = source if window.by.startswith("items.") else event.data
            if holder.get(window.by.removeprefix("items.")) == key and keep(source, event.data):
                entries.append((event.tau, source.get(window.field)))
    fields = [value for _, value in entries if value is not None]
    fold = window.fold
    if fold is Aggregate.COUNT:
        return float(len(entries))
    if fold is Aggregate.RECENCY:
        return (reader.tau - max(tau for tau, _ in entries)) / SECOND if entries else None
    if fold is Aggregate.DISTINCT:
        return float(len(set(fields)))
    if fold is Aggregate.SUM:
        return float(sum(fields))
    if not fields or (fold is Aggregate.STD and len(fields) < 2):
        return None
    mean = sum(fields) / len(fields)
    if fold is Aggregate.MEAN:
        return mean
    return math.sqrt(sum((value - mean) ** 2 for value in fields) / (len(fields) - 1))
