"""Forgetting a subject in everything that is stored.

1. Its key is destroyed (``KeyVault.shred``): whatever was sealed under it is unreadable, in copies and backups too as
   far as they do not hold the key themselves, and its pseudonym can no longer be turned into its clear key.
2. Its events keep place, stamps, numbers and declared open fields, which windows and books need; their sealed values,
   free text (class masked) and text that the vocabulary does not know are taken out of the segments and of the
   history's files, which are rewritten file by file.
3. Records lose the texts in their evidence, details, notes and arguments; dead letters lose the whole document.
   Verdicts have none of these: they name the subject by its pseudonym, which stays.
4. Logs of the store are emptied, so that no overwritten row is left in them.

What remains is a pseudonym that nobody can resolve without knowing master key and clear key both. A replay after it
may judge the emptied texts differently; verdicts, rulings and actions are read from the journal, never decided again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tocsin.core.action import Action
from tocsin.core.events import Event, Privacy, split_subject, subject_of
from tocsin.core.incident import Incident
from tocsin.core.records import DeadLetter
from tocsin.core.signal import Signal
from tocsin.core.vocabulary import PERSONAL, VOCABULARY
from tocsin.errors import BadEvent
from tocsin.ledger.vault import PSEUDONYM_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.core.ports import Records
    from tocsin.ledger.vault import KeyVault

FORGOTTEN = "[forgotten]"
FREE = frozenset({"evidence", "detail", "note", "args", "error"})
"""Members of records, and of the internal events that carry them, which may hold free text."""
_PSEUDONYM = re.compile(rf"[a-z2-7]{{{PSEUDONYM_LENGTH}}}")
_PAGE = 1000


class Rewritable(Protocol):
    """A journal or a history whose stored events can be changed in place."""

    def rewrite(self, change: Callable[[Event], Event], holding: bytes = b"") -> int:
        """Replace stored events, all of which hold those bytes; return how many changed."""
        ...


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What forgetting took away; ``subject`` with the pseudonym in place of a clear key.

    ``events`` counts copies: one that lies in the journal and in the history counts twice.
    """

    subject: str
    key: bool
    events: int
    records: int
    letters: int


def forget(
    shop: str,
    subject: str,
    *,
    journal: Rewritable,
    records: Records,
    vault: KeyVault,
    who: str,
    why: str = "forget",
    history: Rewritable | None = None,
) -> Forgotten:
    """Forget ``entity:key``, the key in clear or as its pseudonym; may be repeated. BadEvent names a wrong subject.

    The journal must be this process's own, and no thread may append to it meanwhile: stop Tocsin, or ask its host.
    """
    entity, key = split_subject(subject)
    if entity not in {one.value for one in PERSONAL} or not key:
        named = ", ".join(PERSONAL)
        raise BadEvent(f"a subject to forget is ENTITY:KEY with one of {named}", field="subject", code="malformed")
    pseudonym = vault.hash_of(shop, entity, key)
    # What looks like a pseudonym is one, unless it is the clear key of somebody known.
    own = _PSEUDONYM.fullmatch(key) is not None and not vault.knows(shop, subject_of(entity, pseudonym))
    pseudonym = key if own else pseudonym
    target = subject_of(entity, pseudonym)
    had = vault.shred(shop, target, who=who, why=why)
    traces = (pseudonym,) if own else (pseudonym, key)
    # The journal first: what is taken into the history meanwhile comes from it.
    events = sum(
        one.rewrite(lambda event: _emptied(event, shop, pseudonym), pseudonym.encode())
        for one in (journal, history)
        if one is not None
    )
    with records.transaction():
        letters = _empty_letters(records, shop, traces)
        changed = sum(_empty_records(records, kind, shop, pseudonym) for kind in (Incident, Signal, Action))
        vault.audit.note(who, "forget", f"{shop}/{target}", {"why": why, "events": events, "records": changed})
    records.checkpoint()
    return Forgotten(subject=target, key=had, events=events, records=changed, letters=letters)


def _emptied(event: Event, shop: str, pseudonym: str) -> Event:
    """Return the event without what the subject said or hid; the same event where it is not about the subject."""
    if event.shop != shop or not (event.subject.endswith(pseudonym) or _holds(event.data, pseudonym)):
        return event
    if event.internal:
        return msgspec.structs.replace(event, data=_without_text(event.data, pseudonym), sealed={})
    kind = VOCABULARY.get(event.type)
    kept = {}
    for name, value in event.data.items():
        field = kind.field(name) if kind is not None else None
        known = field is not None and field.privacy in (Privacy.OPEN, Privacy.PSEUDONYM)
        if known or isinstance(value, bool | int | float) or value == pseudonym:
            kept[name] = value
        elif field is not None and field.required:
            kept[name] = FORGOTTEN
    return msgspec.structs.replace(event, data=kept, sealed={})


def _holds(value: Any, pseudonym: str) -> bool:
    if isinstance(value, str):
        return value.endswith(pseudonym)
    if isinstance(value, dict):
        return any(_holds(one, pseudonym) for one in value.values())
    return isinstance(value, list | tuple) and any(_holds(one, pseudonym) for one in value)


def _without_text(value: Any, pseudonym: str, free: bool = False) -> Any:
    """Return plain JSON with the texts inside its free members replaced; references to subjects stay."""
    if isinstance(value, dict):
        return {name: _without_text(one, pseudonym, free or name in FREE) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_text(one, pseudonym, free) for one in value]
    if free and isinstance(value, str) and value and not value.endswith(pseudonym):
        return FORGOTTEN
    return value


def _empty_letters(records: Records, shop: str, traces: tuple[str, ...]) -> int:
    table, count = records.table(DeadLetter), 0
    marks = [msgspec.json.encode(trace).decode()[1:-1] for trace in traces]
    for letter in _every(records, DeadLetter, {"shop": shop}):
        if any(mark in letter.document or mark in letter.event_id for mark in marks):
            table.put(msgspec.structs.replace(letter, document="", event_id="", state="discarded"))
            count += 1
    return count


def _empty_records(records: Records, kind: type[Any], shop: str, pseudonym: str) -> int:
    """Empty the texts of the records of one kind that are about the subject, whether as subject or further down."""
    table, count = records.table(kind), 0
    for record in _every(records, kind, {"shop": shop}):
        plain = msgspec.to_builtins(record)
        if not _mentions(plain, pseudonym):
            continue
        emptied = msgspec.convert(_without_text(plain, pseudonym), kind)
        if emptied != record:
            table.put(emptied)
            count += 1
    return count


def _mentions(plain: Any, pseudonym: str) -> bool:
    return pseudonym in msgspec.json.encode(plain).decode()


def _every(records: Records, kind: type[Any], where: dict[str, Any]) -> Iterator[Any]:
    after = ""
    while True:
        page = records.table(kind).find(where, order="id", limit=_PAGE, after=after)
        yield from page
        after = page.next
        if not after:
            return
