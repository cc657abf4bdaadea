"""Views: the numbers of the overview and the lines of the charts, in memory, rebuilt by replay.

All times are tau, so a replay shows what the host showed. Views keep no verdicts and write no records.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from tocsin.core.events import HOUR, MINUTE, SECOND
from tocsin.core.incident import Incident, Phase, Severity
from tocsin.core.signal import Decision
from tocsin.core.vocabulary import INTERNAL, VOCABULARY
from tocsin.ledger.lines import LineStore, Ring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from tocsin.core.desk import Bucket
    from tocsin.core.events import Event
    from tocsin.core.ports import Records
    from tocsin.core.signal import Verdict

RATE_S = 10
"""Events per second are a mean over so many seconds."""
MONEY_S = 60
KEEP_S = 600
KEEP_MINUTES = 1440
MOST_POINTS = 1_000_000
"""24 bytes each."""
EVENTS_LINE = "events_per_minute"
MONEY_LINE = "money_per_minute"
_ACTIVE = [phase.value for phase in Phase if phase.active]


class Tally(Protocol):
    """Counts of a slice of rows: see ``runtime.tally``."""

    @property
    def types(self) -> Mapping[str, int]:
        """Event type -> events."""
        ...

    @property
    def seconds(self) -> Sequence[tuple[int, int]]:
        """(second, events), ascending."""
        ...

    @property
    def money(self) -> Sequence[tuple[str, str, int, int]]:
        """(type, currency or "", second, minor units)."""
        ...

    @property
    def tau(self) -> int:
        """Of the last row."""
        ...


class Closed(Protocol):
    """What a fold step left behind: the buckets that closed in it."""

    @property
    def buckets(self) -> Sequence[Bucket]:
        """Closed or revised buckets."""
        ...


class Views:
    """Read models of one installation; ``note`` comes from the host's thread, questions from any.

    ``currency`` is the one that ``money_per_minute`` of the overview is in; other currencies stand beside it.
    """

    def __init__(self, records: Records, *, currency: str = "CNY", most_points: int = MOST_POINTS) -> None:
        self._records = records
        self._currency = currency
        self._guard = threading.Lock()
        self._seconds = Ring(KEEP_S)
        self._minutes = Ring(KEEP_MINUTES)
        self._types: dict[str, int] = {}
        self._money: dict[tuple[str, str], tuple[Ring, Ring]] = {}
        self._answers = {decision.value: Ring(2 * HOUR // MINUTE) for decision in Decision}
        self._lines = LineStore(most_points)
        self._tau = 0

    # State ------------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return all numbers as (plain values, arrays)."""
        with self._guard:
            heads, arrays = self._lines.state()
            money = [[*scope, *(ring.state() for ring in rings)] for scope, rings in self._money.items()]
            return {
                "seconds": self._seconds.state(),
                "minutes": self._minutes.state(),
                "types": dict(self._types),
                "money": money,
                "answers": {word: ring.state() for word, ring in self._answers.items()},
                "lines": heads,
                "tau": self._tau,
            }, arrays

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take up what ``state`` returned."""
        with self._guard:
            self._seconds.restore(meta["seconds"])
            self._minutes.restore(meta["minutes"])
            self._types = dict(meta["types"])
            for kind, currency, seconds, minutes in meta["money"]:
                rings = self._money[(kind, currency)] = (Ring(KEEP_S), Ring(KEEP_MINUTES))
                rings[0].restore(seconds)
                rings[1].restore(minutes)
            for word, sums in meta["answers"].items():
                self._answers[word].restore(sums)
            self._lines.restore(meta["lines"], arrays)
            self._tau = meta["tau"]

    # Feeding ----------------------------------------------------------------------------------------------------

    def note(self, events: Sequence[Event], folded: Closed | None = None, verdicts: Iterable[Verdict] = ()) -> None:
        """Take a batch of stamped events, what the fold closed with it, and the verdicts on it."""
        with self._guard:
            self._note_events(events)
            self._note_buckets(folded)
            self._count(verdicts)

    def note_tally(
        self,
        tally: Tally,
        folded: Closed | None = None,
        verdicts: Iterable[Verdict] = (),
        allowed: Iterable[tuple[int, int]] = (),
    ) -> None:
        """Take the counts of rows that came as columns; ``allowed``: (minute, verdicts that allowed)."""
        with self._guard:
            for kind, count in tally.types.items():
                counted = kind if kind in VOCABULARY or kind in INTERNAL else "other"
                self._types[counted] = self._types.get(counted, 0) + count
            for second, count in tally.seconds:
                self._passed(second, count)
            for kind, currency, second, amount in tally.money:
                self._add_money(kind, currency or self._currency, second, amount)
            self._tau = max(self._tau, tally.tau)
            self._note_buckets(folded)
            self._count(verdicts)
        self.note_allowed(allowed)

    def note_allowed(self, allowed: Iterable[tuple[int, int]]) -> None:
        """Count verdicts that allowed and have no record: (minute of tau, verdicts)."""
        with self._guard:
            for minute, count in allowed:
                self._answers[Decision.ALLOW.value].add(minute, count)

    def note_verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Count verdicts that were read from the journal."""
        with self._guard:
            self._count(verdicts)

    def _note_buckets(self, folded: Closed | None) -> None:
        for bucket in folded.buckets if folded is not None else ():
            series = bucket.series
            self._lines.put(series.name, bucket.key, bucket.shop, series.keep, bucket.start, bucket.value, bucket.n)

    def _note_events(self, events: Sequence[Event]) -> None:
        types = self._types
        second, within = -1, 0
        for event in events:
            kind = event.type
            # Types come from outside: counting each by its name would let anyone fill the memory.
            counted = kind if kind in VOCABULARY or kind in INTERNAL else "other"
            types[counted] = types.get(counted, 0) + 1
            if kind.startswith("tocsin."):
                continue
            now = event.tau // SECOND
            if now != second:
                self._passed(second, within)
                second, within = now, 0
            within += 1
            self._tau = event.tau
            if kind in ("order.paid", "order.placed"):
                self._earn(kind, event, now)
        self._passed(second, within)

    def _passed(self, second: int, events: int) -> None:
        if events:
            self._seconds.add(second, events)
            self._minutes.add(second // 60, events)

    def _earn(self, kind: str, event: Event, second: int) -> None:
        amount = event.data.get("amount")
        if type(amount) is not int:
            return
        self._add_money(kind, event.data.get("currency") or self._currency, second, amount)

    def _add_money(self, kind: str, currency: str, second: int, amount: int) -> None:
        rings = self._money.get((kind, currency))
        if rings is None:
            rings = self._money[(kind, currency)] = (Ring(KEEP_S), Ring(KEEP_MINUTES))
        rings[0].add(second, amount)
        rings[1].add(second // 60, amount)

    def _count(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            self._answers[verdict.served.value].add(verdict.tau // MINUTE, 1)

    # Questions --------------------------------------------------------------------------------------------------

    def overview(self, now: int) -> dict[str, Any]:
        """Return the numbers of the overview at ``now`` (microseconds), plain JSON values.

        ``money_per_minute`` in minor units of ``currency``: what was paid in the last 60 s (what was ordered, where
        the shop reports no payments); ``money`` the same by currency; ``verdicts`` those served in the last hour;
        ``last_event`` the tau of the last event from outside, 0 before the first.
        """
        second, minute = now // SECOND, now // MINUTE
        with self._guard:
            money = {
                currency: self._ring(currency)[0].total(second - MONEY_S + 1, second + 1)
                for currency in self._currencies()
            }
            numbers = {
                "now": now,
                "currency": self._currency,
                "rates": {
                    "events_per_s": self._seconds.total(second - RATE_S, second) / RATE_S,
                    "events_per_minute": self._seconds.total(second - 59, second + 1),
                },
                "money_per_minute": money.get(self._currency, 0),
                "money": money,
                "verdicts": {word: ring.total(minute - 59, minute + 1) for word, ring in self._answers.items()},
                "last_event": self._tau,
                "counters": {f"events.{kind}": n for kind, n in sorted(self._types.items())},
            }
        numbers["open_incidents"] = self._open_incidents()
        numbers["series"] = [
            {"name": name, "key": key, "points": [[p["start"], p["value"]] for p in self.series(name, key, limit=60)]}
            for name, key in ((EVENTS_LINE, ""), (MONEY_LINE, self._currency))
        ]
        return numbers

    def series(
        self, name: str, key: str = "", start: int = 0, end: int | None = None, limit: int = 2880, *, shop: str = ""
    ) -> list[dict[str, Any]]:
        """Return the last ``limit`` points {start, value, n} with start <= their start < end; None: a missing value."""
        with self._guard:
            if name in (EVENTS_LINE, MONEY_LINE):
                return self._minutely(name, key, start, end, limit)
            line = self._lines.find(name, key, shop)
            return [] if line is None else line.between(start, end, limit)

    def series_names(self) -> list[dict[str, str]]:
        """Return {name, key, shop} of every line that there is; the shop is empty for totals of the installation."""
        with self._guard:
            own = [(EVENTS_LINE, "", ""), *((MONEY_LINE, currency, "") for currency in self._currencies())]
            return [{"name": name, "key": key, "shop": shop} for name, key, shop in own + self._lines.names()]

    def _minutely(self, name: str, key: str, start: int, end: int | None, limit: int) -> list[dict[str, Any]]:
        if name == EVENTS_LINE:
            ring = self._minutes
        elif key in self._currencies():
            ring = self._ring(key)[1]
        else:
            return []
        # The newest minute is still filling: it would look like a fall.
        closed = [
            {"start": minute * MINUTE, "value": float(amount), "n": amount}
            for minute, amount in ring.points()
            if (minute + 1) * MINUTE <= self._tau
        ]
        inside = [point for point in closed if point["start"] >= start and (end is None or point["start"] < end)]
        return inside[-limit:]

    def _currencies(self) -> list[str]:
        return sorted({currency for _, currency in self._money})

    def _ring(self, currency: str) -> tuple[Ring, Ring]:
        paid = self._money.get(("order.paid", currency))
        return paid or self._money[("order.placed", currency)]

    def _open_incidents(self) -> dict[str, int]:
        table = self._records.table(Incident)
        counts = {word.value: table.count({"phase": _ACTIVE, "severity": word.value}) for word in Severity}
        return {**counts, "total": sum(counts.values())}
