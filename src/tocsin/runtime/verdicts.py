"""Verdicts as served: the job of a caller who waits, and the record that is journaled."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.events import SECOND, Event, derived_id, subject_of
from tocsin.core.signal import Decision, Signal, Verdict
from tocsin.core.vocabulary import ENTITY_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.errors import BadEvent, Retryable
    from tocsin.flow.fold import Folded, Row
    from tocsin.flow.wide.scan_chunk import Chunk

VERDICT_TYPES = frozenset(
    {
        "order.placed",
        "payment.attempted",
        "account.login",
        "account.registered",
        "account.changed",
        "coupon.redeemed",
        "refund.requested",
    }
)
"""Types of which a verdict is recorded whenever a desk scored or a rule fired, even if nobody waits for it."""

_FIRST = tuple(dict.fromkeys(("account", "card", "device", *ENTITY_FIELDS)))
"""Whom a verdict is about: the first of these that the event names."""


_DECIDING = threading.Lock()
"""Held for the moment in which it is decided who serves a caller: one for all jobs, for each would have to be made."""


def verdict_id(event: Event) -> str:
    """Return the identity of the verdict on an event."""
    return derived_id("verdict", event.shop, event.source, event.id)


def subject_for(event: Event) -> str:
    """Return whom a verdict is about: account, card, device, else the first entity, else the event's own subject."""
    data = event.data
    for name in _FIRST:
        key = data.get(name)
        if isinstance(key, str) and key:
            return subject_of(name, key)
    return event.subject


class VerdictJob:
    """One caller waiting for one verdict; exactly one of host and deadline decides what is served.

    The host claims the answer before it writes the record, the waiter gives up when the deadline passes: whichever is
    first holds, so the record says what the caller was told.
    """

    __slots__ = ("_claimed", "_event", "_future", "deadline", "late", "replayed", "verdict")

    def __init__(self, event: Event | None, deadline: float = math.inf) -> None:
        self._event = event
        self.deadline = deadline
        """Of ``time.perf_counter``: when the caller stops waiting."""
        self.verdict: Verdict | None = None
        """What the host answered, once it has."""
        self.late = False
        self.replayed = False
        """Whether the answer is the recorded verdict of an earlier request."""
        self._claimed = False
        self._future: Future[Verdict] | None = None

    @property
    def event(self) -> Event:
        """What the verdict is about."""
        if self._event is None:
            raise ValueError("a caller without an event")
        return self._event

    @property
    def future(self) -> Future[Verdict]:
        """The answer to wait for in another thread."""
        with _DECIDING:
            if self._future is None:
                self._future = Future()
                if self.verdict is not None:
                    self._future.set_result(self.verdict)
            return self._future

    def answer(self, verdict: Verdict) -> None:
        """Host: answer the caller; only the first answer counts."""
        with _DECIDING:
            if self.verdict is not None:
                return
            self.verdict = verdict
            future = self._future
        if future is not None:
            future.set_result(verdict)
        self.told()

    def told(self) -> None:
        """Do what is to be done when the answer is there; called once, in the thread of whoever answers."""

    def claim(self) -> bool:
        """Host: take the right to answer; False where the waiter has given up or is about to (record ``late``)."""
        with _DECIDING:
            if not self.late and time.perf_counter() <= self.deadline:
                self._claimed = True
            return self._claimed

    def give_up(self) -> bool:
        """Waiter: the deadline has passed; True where the fall-back is served, False where the answer is on its way."""
        with _DECIDING:
            if self._claimed:
                return False
            self.late = True
            return True


class LineJob(VerdictJob, ABC):
    """A caller whose event came as one JSON document and has not been read yet.

    Parameters
    ----------
    line
        The document.
    shop
        The shop that the door belongs to, "" for none.
    strict
        Whether ``specversion`` must be there.
    read
        Parses a job's line (into ``document``) and admits it: BadEvent or Retryable where that is impossible.
    """

    __slots__ = ("_read", "document", "line", "shop", "strict")

    def __init__(
        self, line: bytes, shop: str, strict: bool, read: Callable[[LineJob], Event], deadline: float = math.inf
    ) -> None:
        super().__init__(None, deadline)
        self.line, self.shop, self.strict = line, shop, strict
        self.document: Any = None
        self._read = read

    @property
    def event(self) -> Event:
        """What the verdict is about: read through the plain door where it has come no other way."""
        if self._event is None:
            self._event = self._read(self)
        return self._event

    def read_from(self, chunk: Chunk, row: int) -> None:
        """Take the event from a row of a chunk."""
        self._event = chunk.event(row)

    @abstractmethod
    def refuse(self, document: Any, error: BadEvent | Retryable) -> None:
        """Hear that the line was not accepted, in the thread that put it into the lane."""


def build(
    event: Event, row: Row | None, *, mode: str, fallback: Decision, late: bool = False, degraded: str = ""
) -> Verdict:
    """Return the verdict on an event: as the fold computed it, and as it is served in this mode."""
    computed = row.computed if row is not None else Decision.ALLOW
    served = computed if mode == "live" else Decision.ALLOW
    if late or degraded:
        served = fallback
    amount: Any = event.data.get("amount")
    currency: Any = event.data.get("currency", "")
    return Verdict(
        id=verdict_id(event),
        event_id=event.id,
        event_source=event.source,
        event_type=event.type,
        shop=event.shop,
        subject=subject_for(event),
        time=event.time,
        tau=event.tau,
        computed=computed,
        served=served,
        score=row.score if row is not None else None,
        reasons=row.reasons if row is not None else (),
        expires=event.tau + row.ttl_s * SECOND if row is not None and computed is not Decision.ALLOW else 0,
        late=late,
        degraded=degraded,
        model=row.model if row is not None else "",
        features=row.features if row is not None else {},
        amount=amount if isinstance(amount, int) and not isinstance(amount, bool) else None,
        currency=currency if isinstance(currency, str) else "",
    )


def signals(folded: Folded) -> list[Event]:
    """Return the journal's events of the signals of a step."""
    return [signal_event(signal) for signal in folded.signals]


def signal_event(signal: Signal) -> Event:
    """Return the journal's event of a signal."""
    return Event(
        id=signal.id,
        source="tocsin",
        type="tocsin.signal",
        time=signal.tau,
        subject=signal.subject,
        shop=signal.shop,
        data=msgspec.to_builtins(signal),
    )


def as_event(verdict: Verdict) -> Event:
    """Return the journal's event of a verdict."""
    return Event(
        id=verdict.id,
        source="tocsin",
        type="tocsin.verdict",
        time=verdict.tau,
        subject=verdict.subject,
        shop=verdict.shop,
        data=msgspec.to_builtins(verdict),
    )
