"""The canonical export: what an installation remembers, as NDJSON whose hash does not depend on how it was run.

First the events that came through doors, in order of acceptance, then the derived records, kind by kind, sorted. Two
runs over the same events with the same master key (pseudonyms depend on it) export the same bytes, whether they were
interrupted or not. What depends on clocks, retries or chance is left out; ``LEFT_OUT`` and ``NOT_EXPORTED`` say why.
Nothing of class sealed is in it, not even encrypted.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.action import Action, Outcome, Ruling
from tocsin.core.campaign import Campaign
from tocsin.core.events import Event
from tocsin.core.incident import Incident
from tocsin.core.records import (
    ApiKey,
    Audit,
    DeadLetter,
    IdentityPage,
    Limit,
    ListEntry,
    ModelVersion,
    Session,
    StoredPlaybook,
    StoredRule,
    SubjectKey,
    Switch,
    User,
)
from tocsin.core.signal import Signal, Verdict
from tocsin.ledger.backup import backup, restore
from tocsin.ledger.forget import forget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.core.ports import Journal, Records

__all__ = ["LEFT_OUT", "NOT_EXPORTED", "backup", "digest", "export", "forget", "restore"]

_CLOCK = "stamped by the machine's clock"
_COUNT = "counts writes; an interrupted run may repeat one"
_LEVEL = "read from a series at a moment of the machine's clock"
_ANSWER = "how fast the answer was decides what is served"

LEFT_OUT: dict[type[Any], dict[str, str]] = {
    Event: {
        "seq": "internal events count too, and an interrupted run may place them elsewhere",
        "tau": "the receiving clock may cap it",
        "sealed": "encrypted with a random nonce; the names of the fields are exported",
    },
    Signal: {"tau": "the receiving clock may cap it"},
    Incident: {
        "opened": _CLOCK,
        "updated": _CLOCK,
        "closed": _CLOCK,
        "loss": "grows with the machine's clock",
        "timeline": "its lines carry the clock and the order of answers; actions, rulings and outcomes are exported",
        "version": _COUNT,
    },
    Action: {
        "created": _CLOCK,
        "decided": _CLOCK,
        "done": _CLOCK,
        "ended": _CLOCK,
        "expires": _CLOCK,
        "attempts": "an interrupted run may try again",
        "error": "what went wrong on the way",
        "before": _LEVEL,
        "after": _LEVEL,
        "effect": _LEVEL,
        "version": _COUNT,
    },
    Ruling: {"id": "names the attempt", "time": _CLOCK},
    Outcome: {
        "id": "names the version of the action",
        "time": _CLOCK,
        "before": _LEVEL,
        "after": _LEVEL,
        "effect": _LEVEL,
        "detail": "what the other side said, its reference included",
    },
    Verdict: {
        "tau": "the receiving clock may cap it",
        "expires": "counts from tau",
        "served": _ANSWER,
        "late": _ANSWER,
        "degraded": _ANSWER,
    },
    DeadLetter: {"id": "made of the machine's clock", "received": _CLOCK, "document": "may hold encrypted values"},
    Limit: {"changed": _CLOCK, "version": _COUNT},
    StoredRule: {"changed": _CLOCK, "version": _COUNT},
    StoredPlaybook: {"changed": _CLOCK, "version": _COUNT},
    ListEntry: {"changed": _CLOCK},
    ModelVersion: {"created": _CLOCK, "changed": _CLOCK},
    Campaign: {},
}
"""Exported kinds, and of each the fields that are left out, with the reason."""

NOT_EXPORTED: dict[type[Any], str] = {
    User: "a person's secret",
    Session: "a secret",
    ApiKey: "a secret",
    IdentityPage: "sealed, and as a whole a secret",
    SubjectKey: "keys; what is sealed stays sealed",
    Switch: "cursors and words that the machine keeps for itself",
    Audit: "who looked at what and when is no result of the events; it is verified by its own chain",
}

PAGE = 1000


def export(journal: Journal, records: Records) -> Iterator[bytes]:
    """Yield the lines of the export, each with its line feed; memory is bounded by the derived records of one kind."""
    for event in journal.read():
        if not event.internal:
            yield _line(_plain(event) | {"sealed": sorted(event.sealed)}, "Event")
    for kind in sorted(LEFT_OUT, key=lambda one: one.__name__):
        if kind is not Event:
            yield from sorted({_line(_plain(record), kind.__name__) for record in every(records, kind)})


def digest(journal: Journal, records: Records) -> str:
    """Return the SHA-256 of the export."""
    total = hashlib.sha256()
    for line in export(journal, records):
        total.update(line)
    return total.hexdigest()


def every(records: Records, kind: type[Any]) -> Iterator[Any]:
    """Yield all records of a kind by id, page by page."""
    after = ""
    while True:
        page = records.table(kind).find(order="id", limit=PAGE, after=after)
        yield from page
        after = page.next
        if not after:
            return


def _plain(record: Any) -> dict[str, Any]:
    left_out = LEFT_OUT[type(record)]
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return {name: value for name, value in plain.items() if name not in left_out}


def _line(plain: dict[str, Any], noun: str) -> bytes:
    # The id stands first, so that the lines of one noun are sorted by it.
    head = {"noun": noun, "id": plain.pop("id")} if "id" in plain else {"noun": noun}
    body = msgspec.json.encode(dict(sorted(plain.items())), order="deterministic")
    return msgspec.json.encode(head)[:-1] + (b"," + body[1:] if len(body) > 2 else b"}") + b"\n"
