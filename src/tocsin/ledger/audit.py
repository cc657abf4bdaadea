"""The audit trail: who did what to what, each record chained to the one before, so that a change shows."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.records import Audit, Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.core.ports import Records

HEAD = "audit.head"
"""The switch that holds number and link of the last record: it shows when the end of the trail was cut off."""
PAGE = 1000


def wall_clock() -> int:
    """Return microseconds since the epoch; an audit is stamped with the time of the machine."""
    return time.time_ns() // 1000


class AuditTrail:
    """Writes the trail. ``id`` counts the records from 1, twenty digits wide."""

    def __init__(self, records: Records, *, now: Callable[[], int] = wall_clock) -> None:
        self._records = records
        self._now = now

    def note(self, who: str, what: str, target: str = "", detail: dict[str, Any] | None = None) -> Audit:
        """Record that ``who`` did ``what`` to ``target``; durable when it returns, or with the running transaction."""
        with self._records.transaction():
            switches = self._records.table(Switch)
            head = switches.get(HEAD) or Switch(id=HEAD)
            number = head.number + 1
            plain = Audit(
                id=f"{number:020d}",
                time=max(self._now(), head.changed),
                who=who,
                what=what,
                target=target,
                detail=detail or {},
            )
            record = msgspec.structs.replace(plain, link=link(head.word, plain))
            self._records.table(Audit).put(record)
            switches.put(Switch(id=HEAD, word=record.link, number=number, changed=record.time))
        return record


def link(before: str, record: Audit) -> str:
    """Return SHA-256 over the link before and the record without its own, keys in order."""
    plain = msgspec.structs.replace(record, link="")
    body = msgspec.json.encode(msgspec.to_builtins(plain), order="deterministic")
    return hashlib.sha256(before.encode() + b"\n" + body).hexdigest()


def verify_audit(records: Records) -> str | None:
    """Return the id of the first record that was changed, taken out or cut off; None where the trail is whole."""
    number, before = 0, ""
    for record in _trail(records):
        number += 1
        wanted = f"{number:020d}"
        if record.id != wanted or record.link != link(before, record):
            return min(wanted, record.id)
        before = record.link
    head = records.table(Switch).get(HEAD) or Switch(id=HEAD)
    if (head.number, head.word) != (number, before):
        return f"{min(head.number, number) + 1:020d}"
    return None


def _trail(records: Records) -> Iterator[Audit]:
    after = ""
    while True:
        page = records.table(Audit).find(order="id", limit=PAGE, after=after)
        yield from page
        after = page.next
        if not after:
            return
