"""Event: something happened. The first noun; everything below it is also an event.

Times are int64 microseconds since the Unix epoch, UTC. Money is an integer in minor units with its currency.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import msgspec

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LATE_LIMIT = 5 * MINUTE
"""A live door refuses an event older than this against the receiving clock."""
AHEAD_LIMIT = 60 * SECOND
"""A live door refuses an event further ahead of the receiving clock than this."""
ID_MEMORY = 24 * HOUR
"""How long (source, id) is remembered; with ``LATE_LIMIT`` that makes duplicates exactly recognisable."""


class Entity(StrEnum):
    """What an event can be about; keyed windows, subjects and actions name one of these."""

    SHOP = "shop"
    ACCOUNT = "account"
    DEVICE = "device"
    IP = "ip"
    CARD = "card"
    ADDRESS = "address"
    SKU = "sku"
    MERCHANT = "merchant"
    WAREHOUSE = "warehouse"
    CARRIER = "carrier"
    SERVICE = "service"
    SESSION = "session"
    CAMPAIGN = "campaign"


class Privacy(StrEnum):
    """What the door does with a field (law 9)."""

    OPEN = "open"
    """Kept as it is."""
    PSEUDONYM = "pseudonym"
    """Replaced by a keyed hash; windows use only this."""
    SEALED = "sealed"
    """Encrypted under its subject's key in the side column; opened only where declared, each opening audited."""
    MASKED = "masked"
    """Free text: cards, phones, mails and ID numbers in it are masked, the rest is kept."""


class Kind(StrEnum):
    """The type of a vocabulary field as it stands in JSON."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    """A float with the fixed-point ``scale`` that its field declares."""
    MONEY = "money"
    """Integer minor units of the event's ``currency``."""
    CURRENCY = "currency"
    """ISO 4217, three capitals."""
    BOOLEAN = "boolean"
    TIME = "time"
    """RFC 3339 in JSON, int64 microseconds inside."""
    KEY = "key"
    """The identity of an entity or another thing (an order): compared, never computed with."""
    IP = "ip"
    ITEMS = "items"
    """A list of objects ``{sku, quantity, price?, name?}``."""
    TEXTS = "texts"
    """A list of strings."""
    OBJECT = "object"


class Field(msgspec.Struct, frozen=True):
    """One field of one event type: a row of the vocabulary."""

    name: str
    kind: Kind
    meaning: str
    meaning_zh: str
    unit: str = ""
    required: bool = False
    privacy: Privacy = Privacy.OPEN
    entity: Entity | None = None
    scale: int = 0
    """Decimal places kept of a NUMBER inside windows: value 1.25 with scale 6 counts as 1_250_000."""
    choices: tuple[str, ...] = ()


class EventType(msgspec.Struct, frozen=True):
    """One type of event: its plate, its meaning and its fields."""

    name: str
    meaning: str
    meaning_zh: str
    fields: tuple[Field, ...]
    version: int = 1

    def field(self, name: str) -> Field | None:
        """Return the field of that name, or None for a field the vocabulary does not know."""
        for field in self.fields:
            if field.name == name:
                return field
        return None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something happened: immutable; (source, id) is its identity.

    ``data`` holds the fields after the door: pseudonyms instead of keys, masked text, no sealed values.
    ``sealed`` holds the encrypted ones, by field name. ``seq`` and ``tau`` are stamped by the intake: seq counts
    acceptances from 1; tau = max(min(time, receiving clock), tau before). Both are 0 before that.
    """

    id: str
    source: str
    type: str
    time: int
    data: dict[str, Any] = {}
    subject: str = ""
    shop: str = "default"
    sealed: dict[str, str] = {}
    seq: int = 0
    tau: int = 0

    @property
    def identity(self) -> tuple[str, str]:
        """(source, id), by which duplicates are recognised."""
        return (self.source, self.id)

    @property
    def internal(self) -> bool:
        """Whether Tocsin itself made it (``tocsin.*``)."""
        return self.type.startswith("tocsin.")


def stamp_tau(time: int, clock: int, tau_before: int) -> int:
    """Return tau: the event's own time, never ahead of the receiving clock, never running back.

    >>> stamp_tau(time=5, clock=9, tau_before=3), stamp_tau(12, 9, 3), stamp_tau(1, 9, 3)
    (5, 9, 3)
    """
    return max(min(time, clock), tau_before)


def derived_id(*parts: str | int) -> str:
    """Return a 26-character identity that depends on the parts alone (never pass it a float).

    >>> derived_id("fraud", "card-testing", "ip:203.0.113.7", 5) == derived_id("fraud", "card-testing",
    ...     "ip:203.0.113.7", 5)
    True
    """
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=13)
    return digest.hexdigest()


def subject_of(entity: Entity | str, key: str) -> str:
    """Return the subject string of an entity, ``ip:203.0.113.7``."""
    return f"{entity}:{key}"


def split_subject(subject: str) -> tuple[str, str]:
    """Return (entity, key) of a subject string; the key may hold colons itself."""
    entity, _, key = subject.partition(":")
    return entity, key
