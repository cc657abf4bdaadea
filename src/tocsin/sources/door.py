"""The door: from a CloudEvents document to an Event, or to a refusal that names field and reason.

What happens here happens once, before anything is stored: the shape is checked against the vocabulary, keys of people
and their things become pseudonyms, sealed values are encrypted under their subject's key, free text is masked.

Reference: CloudEvents 1.0.2, structured content mode, https://github.com/cloudevents/spec
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.events import AHEAD_LIMIT, ID_MEMORY, LATE_LIMIT, Entity, Event, subject_of
from tocsin.core.vocabulary import PERSONAL, sealed_under
from tocsin.errors import BadEvent
from tocsin.methods.masking import mask
from tocsin.sources.checks import instant
from tocsin.sources.entry import Entry
from tocsin.sources.letters import KEY_NAMES, PERSONAL_NAMES, buried, redact

if TYPE_CHECKING:
    from tocsin.core.ports import Vault

__all__ = ["Door", "redact"]

LONGEST_ATTRIBUTE = 512
ENTITIES = frozenset(entity.value for entity in Entity)


class Door:
    """Admits events into one installation.

    Parameters
    ----------
    vault
        Makes pseudonyms and seals values.
    default_shop
        The shop of an event that names none and came through a door that belongs to none.
    max_event_bytes
        Largest event, as JSON.
    """

    def __init__(self, vault: Vault, *, default_shop: str = "default", max_event_bytes: int = 1_000_000) -> None:
        self._vault = vault
        self._default_shop = default_shop
        self._max_event_bytes = max_event_bytes

    @property
    def default_shop(self) -> str:
        """The shop of an event that names none and came through a door that belongs to none."""
        return self._default_shop

    @property
    def max_event_bytes(self) -> int:
        """The largest event, as JSON."""
        return self._max_event_bytes

    def admit(
        self,
        document: Any,
        *,
        now: int,
        live: bool,
        shop: str | None = None,
        size: int | None = None,
        strict: bool = False,
        redriven: bool = False,
    ) -> Event:
        """Return the event of a CloudEvents document; BadEvent names the first field that is wrong.

        Parameters
        ----------
        now
            The receiving clock in microseconds; also the time of a live event that carries none.
        live
            Whether an event may be too old or too far ahead; file doors run on the data's clock and say False.
        shop
            The shop that the door belongs to; an event of another one is refused.
        size
            Length of the document as JSON where the caller knows it; measured here otherwise.
        strict
            Whether ``specversion`` must be there, as CloudEvents content types ask; NDJSON may leave it out.
        redriven
            Whether the document is a dead letter that a person drives again: placeholders of pseudonyms and sealed
            values count, and it may be as old as ids are remembered.
        """
        if type(document) is not dict:
            raise BadEvent("an event is a JSON object", code="malformed")
        self._check_size(document, size)
        version = document.get("specversion")
        if version != "1.0" and (version is not None or strict):
            code = "missing" if version is None else "out-of-range"
            raise BadEvent("specversion must be 1.0", field="specversion", code=code)
        id = _attribute(document, "id")
        source = _attribute(document, "source")
        kind = _attribute(document, "type")
        if kind.startswith("tocsin."):
            raise BadEvent("types that begin with tocsin. are made inside only", field="type", code="out-of-range")
        belongs = self._shop_of(document, shop)
        time = _time_of(document, now=now, live=live, redriven=redriven)
        data = document.get("data")
        if type(data) is not dict:
            if data is not None or "data_base64" in document:
                raise BadEvent("data must be a JSON object", field="data", code="wrong-type")
            data = {}
        entry = Entry(self._vault, belongs, redriven)
        entry.take(kind, data)
        subject = self._subject_of(document, data, entry)
        sealed = entry.sealed
        if entry.to_seal:
            owner = sealed_under(entry.kept, source, id)
            sealed = {**sealed, **self._vault.seal(belongs, owner, entry.to_seal)}
        return Event(
            id=id, source=source, type=kind, time=time, data=entry.kept, subject=subject, shop=belongs, sealed=sealed
        )

    def bury(self, document: Any, *, shop: str | None = None) -> Any:
        """Return a refused document for the dead-letter box, so that it can be fixed and driven again.

        Personal keys stand as their pseudonyms and sealed values encrypted, each in an object with one marked member
        that only ``admit(..., redriven=True)`` understands; what is not of the right shape for that is removed.
        """
        return buried(document, self._vault, shop or self._default_shop)

    def _check_size(self, document: dict[str, Any], size: int | None) -> None:
        if size is None:
            try:
                size = len(msgspec.json.encode(document))
            except (TypeError, OverflowError, ValueError, RecursionError) as error:
                raise BadEvent("the event holds what JSON cannot say", code="malformed") from error
        if size > self._max_event_bytes:
            raise BadEvent(f"the event is larger than {self._max_event_bytes} bytes", code="oversized")

    def _shop_of(self, document: dict[str, Any], shop: str | None) -> str:
        named = document.get("shop")
        if named is None or named == "":
            return shop or self._default_shop
        if type(named) is not str or len(named) > LONGEST_ATTRIBUTE:
            raise BadEvent("shop must be a short text", field="shop", code="wrong-type")
        if shop and named != shop:
            raise BadEvent("this door belongs to another shop", field="shop", code="out-of-range")
        return named

    def _subject_of(self, document: dict[str, Any], data: dict[str, Any], entry: Entry) -> str:
        """Return the subject with a personal key replaced; one that says neither entity nor known key is dropped."""
        subject = document.get("subject")
        if subject is None:
            return ""
        if type(subject) is not str or len(subject) > 2 * LONGEST_ATTRIBUTE:
            raise BadEvent("subject must be a short text", field="subject", code="wrong-type")
        name, colon, key = subject.partition(":")
        if colon and key and name in KEY_NAMES:
            if name not in PERSONAL_NAMES:
                return mask(subject) if name not in ENTITIES else subject
            if key == entry.kept.get(name) and entry.redriven:
                return subject
            return subject_of(name, self._vault.pseudonym(entry.shop, name, key))
        for entity in PERSONAL:
            if subject and entity.value in entry.kept and subject == str(data.get(entity.value)):
                return subject_of(entity, str(entry.kept[entity.value]))
        return ""


def _attribute(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if type(value) is str and value:
        if len(value) > LONGEST_ATTRIBUTE:
            raise BadEvent(f"{name} is longer than {LONGEST_ATTRIBUTE} characters", field=name, code="oversized")
        return value
    if value is None or value == "":
        raise BadEvent(f"{name} is missing", field=name, code="missing")
    raise BadEvent(f"{name} must be a text", field=name, code="wrong-type")


def _time_of(document: dict[str, Any], *, now: int, live: bool, redriven: bool) -> int:
    value = document.get("time")
    if value is None:
        if not live:
            raise BadEvent("time is missing", field="time", code="missing")
        return now
    time = instant(value, "time")
    if live:
        oldest = now - (ID_MEMORY if redriven else LATE_LIMIT)
        if time < oldest:
            limit = "24 hours" if redriven else "5 minutes"
            raise BadEvent(f"time is more than {limit} before the receiving clock", field="time", code="too-old")
        if time > now + AHEAD_LIMIT:
            raise BadEvent(
                "time is more than 60 seconds ahead of the receiving clock", field="time", code="too-far-ahead"
            )
    return time
