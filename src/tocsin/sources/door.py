"""The door: from a CloudEvents document to an Event, or to a refusal that names field and reason.

What happens here happens once, before anything is stored: the shape is checked against the vocabulary, keys of people
and their things become pseudonyms, sealed values are encrypted under their subject's key, free text is masked.

Reference: CloudEvents 1.0.2, structured content mode, https://github.com/cloudevents/spec
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.events import AHEAD_LIMIT, ID_MEMORY, LATE_LIMIT, Entity, Event, Kind, Privacy, subject_of
from tocsin.core.vocabulary import PERSONAL, VOCABULARY, sealed_under
from tocsin.errors import BadEvent
from tocsin.methods.masking import mask
from tocsin.sources.checks import DEEPEST, EVERYWHERE, MASKED_NAMES, PLAIN, PLANS, instant, storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.core.ports import Vault

LONGEST_ATTRIBUTE = 512
REMOVED = "[removed]"
PSEUDONYM_MARK = "$pseudonym"
SEALED_MARK = "$sealed"

_PERSONAL = frozenset(entity.value for entity in PERSONAL)
_ATTRIBUTES = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "shop"})
_ENTITIES = frozenset(entity.value for entity in Entity)
_KEY_NAMES = _ENTITIES | {field.name for kind in VOCABULARY.values() for field in kind.fields if field.kind is Kind.KEY}
_OPEN_NAMES = _KEY_NAMES - _PERSONAL
_SEALED_NAMES = frozenset(
    field.name for kind in VOCABULARY.values() for field in kind.fields if field.privacy is Privacy.SEALED
)


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
        entry = _Entry(self._vault, belongs, redriven)
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
        clean = redact(document)
        if type(document) is not dict or type(document.get("data")) is not dict:
            return clean
        belongs = shop or self._default_shop
        owner: dict[str, object] = {}
        for name in _PERSONAL:
            text = _as_text(document["data"].get(name))
            if text:
                owner[name] = self._vault.pseudonym(belongs, name, text)
        subject = sealed_under(owner, str(document.get("source", "")), str(document.get("id", "")))
        kind = document.get("type")
        rules = PLANS.get(kind, PLAIN).rules if type(kind) is str else {}
        for name, value in document["data"].items():
            rule = rules.get(name)
            clean["data"][name] = self._buried(value, name, rule and rule[2], (belongs, subject, name), 2)
        return clean

    def _buried(self, value: Any, name: str, privacy: Privacy | None, place: tuple[str, str, str], depth: int) -> Any:
        """Return one value for the box; ``place`` is (shop, subject, path within data)."""
        shop, subject, path = place
        text = _as_text(value)
        if privacy is Privacy.PSEUDONYM and text:
            return {PSEUDONYM_MARK: self._vault.pseudonym(shop, name, text)}
        if privacy is Privacy.SEALED and text:
            return {SEALED_MARK: self._vault.seal(shop, subject, {path: text})[path]}
        if privacy in (Privacy.PSEUDONYM, Privacy.SEALED) or type(value) not in (dict, list) or depth >= DEEPEST:
            return _redacted(value, name, depth)
        if type(value) is list:
            return [
                self._buried(one, "", None, (shop, subject, f"{path}[{index}]"), depth + 1)
                for index, one in enumerate(value)
            ]
        found: dict[str, Any] = {}
        for key, one in value.items():
            rule = EVERYWHERE.get(key)
            found[key] = self._buried(one, key, rule and rule[2], (shop, subject, f"{path}.{key}"), depth + 1)
        return found

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

    def _subject_of(self, document: dict[str, Any], data: dict[str, Any], entry: _Entry) -> str:
        """Return the subject with a personal key replaced; one that says neither entity nor known key is dropped."""
        subject = document.get("subject")
        if subject is None:
            return ""
        if type(subject) is not str or len(subject) > 2 * LONGEST_ATTRIBUTE:
            raise BadEvent("subject must be a short text", field="subject", code="wrong-type")
        name, colon, key = subject.partition(":")
        if colon and key and name in _KEY_NAMES:
            if name not in _PERSONAL:
                return mask(subject) if name not in _ENTITIES else subject
            if key == entry.kept.get(name) and entry.redriven:
                return subject
            return subject_of(name, self._vault.pseudonym(entry.shop, name, key))
        for entity in PERSONAL:
            if subject and entity.value in entry.kept and subject == str(data.get(entity.value)):
                return subject_of(entity, str(entry.kept[entity.value]))
        return ""


class _Entry:
    """The data of one event on its way in: what is kept, and what is still to be sealed."""

    __slots__ = ("kept", "redriven", "sealed", "shop", "to_seal", "vault")

    def __init__(self, vault: Vault, shop: str, redriven: bool) -> None:
        self.vault = vault
        self.shop = shop
        self.redriven = redriven
        self.kept: dict[str, Any] = {}
        self.to_seal: dict[str, str] = {}
        self.sealed: dict[str, str] = {}

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        """Check every field by the plan of its type and do with it what its class says."""
        plan = PLANS.get(kind, PLAIN)
        rules = plan.rules
        kept = self.kept
        for name, value in data.items():
            if value is None:
                continue
            rule = rules.get(name)
            if rule is None:
                self._unknown(name, value)
                continue
            if self.redriven and (value == REMOVED or self._placeholder(name, name, value, self.kept)):
                continue
            check, field, privacy = rule
            checked = check(value, f"data.{name}", field)
            if privacy is Privacy.OPEN:
                if field.kind is Kind.OBJECT:
                    kept[name] = self._walk(checked, f"data.{name}", 0)
                elif checked != "" or field.kind is not Kind.KEY:
                    kept[name] = checked
            elif privacy is Privacy.MASKED:
                kept[name] = mask(checked)
            elif checked == "":
                continue
            elif privacy is Privacy.PSEUDONYM:
                kept[name] = self.vault.pseudonym(self.shop, name, checked)
            else:
                self.to_seal[name] = checked
        for name in plan.required:
            if name not in kept and name not in self.to_seal and name not in self.sealed:
                raise BadEvent(f"data.{name} is missing", field=f"data.{name}", code="missing")

    def _placeholder(self, name: str, path: str, value: Any, kept: dict[str, Any]) -> bool:
        """Take the place-holder of a dead letter; return whether it was one."""
        if type(value) is not dict or len(value) != 1:
            return False
        if name in _PERSONAL and type(value.get(PSEUDONYM_MARK)) is str:
            kept[name] = value[PSEUDONYM_MARK]
            return True
        if name in _SEALED_NAMES and type(value.get(SEALED_MARK)) is str:
            self.sealed[path] = value[SEALED_MARK]
            return True
        return False

    def _unknown(self, name: str, value: Any) -> None:
        """Keep a field the vocabulary does not know; inside it the names that are personal everywhere still count."""
        kind = type(value)
        if kind is str:
            self.kept[name] = mask(value) if name in MASKED_NAMES else value
        elif kind is dict or kind is list:
            self.kept[name] = self._walk(value, f"data.{name}", 0)
        else:
            self.kept[name] = storable(value, f"data.{name}")

    def _walk(self, value: Any, path: str, depth: int) -> Any:
        if depth >= DEEPEST:
            raise BadEvent(f"{path} is nested deeper than {DEEPEST} levels", field=path, code="malformed")
        if type(value) is list:
            return [self._walk(one, f"{path}[{index}]", depth + 1) for index, one in enumerate(value)]
        if type(value) is not dict:
            return storable(value, path)
        kept: dict[str, Any] = {}
        for name, one in value.items():
            where = f"{path}.{name}"
            if self.redriven and (one == REMOVED or self._placeholder(name, where.removeprefix("data."), one, kept)):
                continue
            text = _as_text(one)
            rule = EVERYWHERE.get(name) if text else None
            if rule is not None and rule[2] is Privacy.PSEUDONYM:
                kept[name] = self.vault.pseudonym(self.shop, name, text)
            elif rule is not None and rule[2] is Privacy.SEALED:
                self.to_seal[where.removeprefix("data.")] = text
            elif type(one) is str:
                kept[name] = mask(one) if name in MASKED_NAMES else one
            else:
                kept[name] = self._walk(one, where, depth + 1)
        return kept


def redact(document: Any) -> Any:
    """Return a document without sealed and pseudonym values, whatever its shape; every other text is masked."""
    return _redacted(document, "", 0)


def _redacted(value: Any, name: str, depth: int) -> Any:
    """Return one value for people's eyes; ``depth`` is 1 for the attributes, 2 for the fields of the data."""
    # Deeper down ``name`` is the name of a thing, as in the lines of an order.
    hidden = name in _PERSONAL or (name in _SEALED_NAMES and (name != "name" or depth <= 2))
    if hidden and value is not None:
        return REMOVED
    if type(value) is str:
        if depth == 1 and name in _ATTRIBUTES:
            return value
        if name == "subject" and value.partition(":")[0] not in _OPEN_NAMES:
            return REMOVED
        return mask(value)
    if type(value) is int and mask(str(value)) != str(value):
        return REMOVED
    if type(value) not in (dict, list):
        return value
    if depth >= DEEPEST:
        return REMOVED
    if type(value) is dict:
        return {str(key): _redacted(one, str(key), depth + 1) for key, one in value.items()}
    return [_redacted(one, name, depth + 1) for one in value]


def _as_text(value: Any) -> str:
    """Return a key or sealed value as the door keeps it, empty where it is not of that shape."""
    if type(value) is int:
        return str(value)
    return value if type(value) is str else ""


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
