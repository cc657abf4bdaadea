"""The work that every rival is given, and how a Python programmer does it with dicts and deques.

A window is read by every event that has its key, over (t - span, t], that event included; amounts are kept apart by
currency, as ours are.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Events = list[dict[str, Any]]
"""t in microseconds, type, currency; ip, session, account, card, bytes, duration_ms, amount, sku, device if sent."""
Windows = list[dict[str, Any]]
"""name, fold, by, span_s, of, field."""
Values = list[list[float | None]]
Timed = tuple[Values, float]
"""Values and the seconds that they took, without bringing the events into the rival's own form."""
MICROS = 1_000_000
CHECK_EVERY = 200


class Deques:
    """The windows of one key as a Python programmer writes them: a deque of entries and running sums each."""

    __slots__ = ("entries", "last", "seen", "sums", "windows")

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.entries: list[deque[tuple[int, Any]]] = [deque() for _ in windows]
        self.sums: list[list[int]] = [[0, 0, 0] for _ in windows]
        self.seen: list[dict[Any, int]] = [{} for _ in windows]
        self.last: list[int | None] = [None for _ in windows]

    def step(self, event: dict[str, Any]) -> list[float | None]:
        """Enter an event and return what it reads."""
        return [self._one(place, window, event) for place, window in enumerate(self.windows)]

    def _one(self, place: int, window: dict[str, Any], event: dict[str, Any]) -> float | None:
        now, fold, entries, sums, seen = event["t"], window["fold"], self.entries[place], self.sums[place], None
        first = now - window["span_s"] * MICROS
        enters = event["type"] in window["of"]
        if fold == "recency":
            last = self.last[place]
            if enters:
                self.last[place] = now
            return None if last is None or last <= first else (now - last) / MICROS
        value = event.get(window["field"]) if window["field"] else 1
        if fold == "distinct":
            seen = self.seen[place]
        if enters and value is not None:
            entries.append((now, value))
            if seen is None:
                sums[0] += 1
                sums[1] += value
                sums[2] += value * value
            else:
                seen[value] = seen.get(value, 0) + 1
        while entries and entries[0][0] <= first:
            _, value = entries.popleft()
            if seen is None:
                sums[0] -= 1
                sums[1] -= value
                sums[2] -= value * value
            elif seen[value] == 1:
                del seen[value]
            else:
                seen[value] -= 1
        return float(len(seen)) if seen is not None else finished(fold, *sums)


def finished(fold: str, count: int, total: float, squares: float) -> float | None:
    """Return a window's value from its count, sum and sum of squares; None where it needs more events."""
    if fold == "count":
        return float(count)
    if fold == "sum":
        return float(total)
    if fold == "mean":
        return total / count if count else None
    spread = count * squares - total * total
    return float((spread / (count * (count - 1))) ** 0.5) if count > 1 else None


def key_of(window: dict[str, Any], event: dict[str, Any]) -> str | None:
    """Return the key under which an event meets a window, with the currency where amounts are kept."""
    key: str | None = event.get(window["by"])
    return f"{key}/{event['currency']}" if key is not None and window["field"] == "amount" else key


def grouped(windows: Windows) -> dict[tuple[str, bool], list[int]]:
    """Return the places of the windows by what they are keyed by: (field, kept apart by currency)."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for place, window in enumerate(windows):
        groups.setdefault((window["by"], window["field"] == "amount"), []).append(place)
    return groups


def one_by_one(events: Events, seconds: float, step: Callable[[dict[str, Any]], list[float | None]]) -> Timed:
    """Return the values of as many events as the budget allows."""
    values: Values = []
    began = time.perf_counter()
    until = began + seconds
    for number, event in enumerate(events):
        values.append(step(event))
        if not number % CHECK_EVERY and time.perf_counter() > until:
            break
    return values, time.perf_counter() - began


def plain(events: Events, windows: Windows, seconds: float) -> Timed:
    """Python's dicts and deques."""
    states: list[tuple[list[int], dict[str, Any], dict[str, Deques]]]
    states = [(places, windows[places[0]], {}) for places in grouped(windows).values()]

    def step(event: dict[str, Any]) -> list[float | None]:
        row: list[float | None] = [None] * len(windows)
        for places, first, known in states:
            key = key_of(first, event)
            if key is None:
                continue
            state = known.get(key)
            if state is None:
                state = known[key] = Deques([windows[place] for place in places])
            for place, value in zip(places, state.step(event), strict=True):
                row[place] = value
        return row

    return one_by_one(events, seconds, step)
