"""The rival: fixed thresholds on the same series, tuned on the same quiet days, reacting with the same verbs.

Three series a minute: requests, declined payments over five minutes, failed payments of a gateway over five minutes.
Each threshold is the lowest that raises no more than its share of the allowed false alarms on the quiet days.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.signal import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.twin.store import Store

SPAN_MINUTES = 5
TOGETHER = 15
"""Minutes in which further excesses belong to the same alarm."""
FROM_ONE_ADDRESS = 3
"""Declined payments of one address or device over five minutes that make it a target."""


class Limits(msgspec.Struct, frozen=True):
    """Values that may be reached but not exceeded."""

    requests: float
    address: float
    """Requests of one address a minute; above it the address is challenged once the alarm is raised."""
    declines: float
    failures: float


class Minute(msgspec.Struct):
    """What was counted in one minute."""

    requests: Counter[str]
    declines: Counter[tuple[str, str]]
    failures: Counter[str]


def _empty() -> Minute:
    return Minute(Counter(), Counter(), Counter())


class Meter:
    """An ear that counts by the minute and lets everything pass; ``limits`` make it act on its store."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits
        self.rows: list[tuple[int, int, int, int]] = []
        """(requests, largest of one address, declines in five minutes, worst gateway's failures in five minutes)."""
        self.alarms = 0
        self._store: Store | None = None
        self._minute = -1
        self._recent: deque[Minute] = deque(maxlen=SPAN_MINUTES)
        self._quiet_from: dict[str, int] = {}
        self._actions = 0

    def attach(self, store: Store) -> None:
        """Act on this store."""
        self._store = store

    def hear(self, event: dict[str, Any]) -> None:
        """Count it."""
        self._roll(event["time"])
        data, row = event["data"], self._recent[-1]
        if event["type"] == "http.request":
            row.requests[data["ip"]] += 1
        elif event["type"] == "payment.attempted":
            if data["status"] == "declined":
                row.declines["ip", data["ip"]] += 1
                if data.get("device"):
                    row.declines["device", data["device"]] += 1
            elif data["status"] == "failed":
                row.failures[data["gateway"]] += 1

    def ask(self, event: dict[str, Any]) -> Decision:
        """Count it and let it pass."""
        self.hear(event)
        return Decision.ALLOW

    def _roll(self, time: str) -> None:
        minute = int(time[11:13]) * 60 + int(time[14:16])
        if self._minute < 0:
            self._minute = minute
            self._recent.append(_empty())
        while self._minute != minute:
            self._close()
            self._minute = (self._minute + 1) % 1440
            self._recent.append(_empty())

    def _close(self) -> None:
        requests = self._recent[-1].requests
        declines: Counter[tuple[str, str]] = Counter()
        failures: Counter[str] = Counter()
        for row in self._recent:
            declines.update(row.declines)
            failures.update(row.failures)
        total = sum(count for (entity, _), count in declines.items() if entity == "ip")
        worst = max(failures.values(), default=0)
        self.rows.append((sum(requests.values()), max(requests.values(), default=0), total, worst))
        if self.limits is not None:
            self._judge(self.limits, requests, declines, failures)

    def _judge(
        self, limits: Limits, requests: Counter[str], declines: Counter[tuple[str, str]], failures: Counter[str]
    ) -> None:
        count, _, declined, worst = self.rows[-1]
        if count > limits.requests:
            self._alarm("requests")
            loud = [ip for ip, number in requests.items() if number > limits.address]
            for ip in loud:
                self._do("ip.challenge", ip, 900)
            if not loud:
                self._do("shop.protect", "shop", 900)
        if declined > limits.declines:
            self._alarm("declines")
            for (entity, key), number in declines.items():
                if number >= FROM_ONE_ADDRESS:
                    self._do("ip.block" if entity == "ip" else "device.stepup", key, 900)
        if worst > limits.failures:
            self._alarm("failures")
            for gateway, number in failures.items():
                if number > limits.failures:
                    self._do("gateway.failover", gateway, 1800)

    def _alarm(self, series: str) -> None:
        now = len(self.rows)
        if now > self._quiet_from.get(series, -1):
            self.alarms += 1
        self._quiet_from[series] = now + TOGETHER

    def _do(self, verb: str, key: str, ttl_s: int) -> None:
        store = self._store
        if store is not None and not store.controls.active(verb, key, store.now):
            self._actions += 1
            action = {"id": f"t{self._actions}", "verb": verb, "key": key, "ttl_s": ttl_s}
            store.controls.do(action, store.now)


def tune(days: Sequence[Sequence[tuple[int, int, int, int]]], per_day: float = 1.0) -> Limits:
    """Return the lowest limits that together raise at most ``per_day`` alarms a quiet day, a third for each series.

    >>> tune([[(10, 2, 0, 0)] * 50 + [(60, 3, 1, 0)] + [(10, 2, 0, 0)] * 50], per_day=0.0).requests
    60
    """
    allowed = per_day * len(days) / 3

    def lowest(column: int) -> int:
        values = sorted({row[column] for day in days for row in day}, reverse=True)
        best = values[0] if values else 0
        for candidate in values:
            if sum(_alarms([row[column] for row in day], candidate) for day in days) > allowed:
                break
            best = candidate
        return best

    ordinary = sorted(row[1] for day in days for row in day)
    address = ordinary[int(len(ordinary) * 0.999)] if ordinary else 0
    return Limits(requests=lowest(0), address=address, declines=lowest(2), failures=lowest(3))


def _alarms(values: Sequence[int], limit: int) -> int:
    count, quiet_from = 0, -1
    for minute, value in enumerate(values):
        if value > limit:
            count += minute > quiet_from
            quiet_from = minute + TOGETHER
    return count
