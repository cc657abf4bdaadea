"""One batch as parallel lists, prepared once for all stores of windows; and what the bounds of a window are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.fields import fixed_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Window
    from tocsin.core.events import Event

HOPS = 24
HOUR_S = 3600
MICROS = 1_000_000
MISSING = float("nan")


def bounds(window: Window, tau: Any) -> tuple[Any, Any]:
    """Return the closed interval [first, last] of entering taus that a window covers when it is read at ``tau``.

    ``tau`` is an integer or an int64 array, and so are the ends.

    >>> from tocsin.core.desk import Aggregate, Window
    >>> hour = Window(name="n", fold=Aggregate.COUNT, by="ip", span_s=3600, of=("a",))
    >>> bounds(hour, 7_200_000_000)
    (3600000001, 7200000000)
    >>> bounds(Window(name="n", fold=Aggregate.COUNT, by="ip", span_s=86400, of=("a",)), 90_000_000_000)
    (7200000000, 90000000000)
    """
    span, delay = window.span_s * MICROS, window.delay_s * MICROS
    if window.span_s <= HOUR_S:
        return tau - delay - span + 1, tau - delay
    hop = span // HOPS
    at = (tau - delay) // hop
    if delay:
        return (at - HOPS) * hop, at * hop - 1
    return (at - HOPS + 1) * hop, tau


def reach(window: Window) -> int:
    """Return for how many microseconds before a reading an entry can still count."""
    hop = 0 if window.span_s <= HOUR_S else 2 * window.span_s * MICROS // HOPS
    return (window.span_s + window.delay_s) * MICROS + hop


def key_of(raw: Any) -> str | None:
    """Return a field as a key, None where it is missing or a structure."""
    if raw.__class__ is str:
        return str(raw)
    return None if raw is None or isinstance(raw, (list, dict)) else str(raw)


class View:
    """One batch for the stores: lists over its rows, each made at first use, and the columns that they fill."""

    def __init__(self, events: Sequence[Event], currency: str, slots: int) -> None:
        self.n = len(events)
        self.events, self.currency = events, currency
        self.taus = [event.tau for event in events]
        self.types = [event.type for event in events]
        self.shops = [event.shop for event in events]
        self.datas: list[dict[str, Any]] = [event.data for event in events]
        self.out: list[list[float] | np.ndarray | None] = [None] * slots
        """Per slot the values read, NaN where there is none."""
        self.masks: dict[tuple[str, tuple[str, ...]], list[bool]] = {}
        """(filter, event types) -> which rows pass (not for filters over items)."""
        self._kept: dict[tuple[Any, ...], list[Any]] = {}

    def keys(self, name: str) -> list[str | None]:
        """Return a field of every row as a key."""
        kept = self._kept.get(("keys", name))
        if kept is None:
            kept = self._kept["keys", name] = [key_of(data.get(name)) for data in self.datas]
        return kept

    def among(self, types: frozenset[str]) -> list[bool]:
        """Return which rows are of these types."""
        kept = self._kept.get(("among", types))
        if kept is None:
            kept = self._kept["among", types] = [kind in types for kind in self.types]
        return kept

    def fixed(self, field: str, scale: int) -> list[int | None]:
        """Return a field of every row in fixed point."""
        kept = self._kept.get(("fixed", field, scale))
        if kept is None:
            kept = self._kept["fixed", field, scale] = [fixed_point(data.get(field), scale) for data in self.datas]
        return kept

    def currencies(self) -> list[str]:
        """Return the currency of every row."""
        kept = self._kept.get(("currencies",))
        if kept is None:
            kept = self._kept["currencies",] = [self.currency_of(data) for data in self.datas]
        return kept

    def currency_of(self, data: dict[str, Any]) -> str:
        """Return the currency of an event's amounts."""
        return str(data.get("currency") or self.currency)

    def marks(self, grain: int) -> list[int]:
        """Return the grain that every row falls in."""
        kept = self._kept.get(("marks", grain))
        if kept is None:
            kept = self._kept["marks", grain] = [tau // grain for tau in self.taus]
        return kept

    def edges(self, window: Window, grain: int) -> tuple[list[int], list[int] | None]:
        """Return the first and the last grain of a window read at every row (None: all up to the row)."""
        name = (window.span_s, window.delay_s, grain)
        if ("low", *name) not in self._kept:
            first, last = bounds(window, np.array(self.taus, np.int64))
            self._kept["low", *name] = (-(-first // grain)).tolist()
            self._kept["high", *name] = (last // grain).tolist()
        return self._kept["low", *name], self._kept["high", *name] if window.delay_s else None
