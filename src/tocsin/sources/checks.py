"""Checks of single values, generated from the vocabulary: one function per kind, one plan per event type.

Each check takes (value, path, field) and returns the value as it is kept; it raises BadEvent with the path and a
reason that never holds the value.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from tocsin.core.events import Entity, EventType, Field, Kind, Privacy
from tocsin.core.vocabulary import PERSONAL, VOCABULARY
from tocsin.errors import BadEvent

Check = Callable[[Any, str, Field], Any]

INT64 = 2**63
LARGEST_INTEGER = 10**15
"""Money and counts stay below: sums of 9,000 of them still fit 64 bits."""
LARGEST_FIXED = 9 * 10**18
LONGEST_KEY = 1024
LONGEST_IP = 64
"""Characters; the longest address has 45, and a scope adds none that is taken."""
MOST_ITEMS = 10_000
DEEPEST = 32
"""Levels of nesting that an unknown field may have."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AWARE = Annotated[datetime, msgspec.Meta(tz=True)]


def _wrong(path: str, wanted: str) -> BadEvent:
    return BadEvent(f"{path} must be {wanted}", field=path, code="wrong-type")


def _range(path: str, wanted: str) -> BadEvent:
    return BadEvent(f"{path} must be {wanted}", field=path, code="out-of-range")


def instant(value: Any, path: str) -> int:
    """Return microseconds since the epoch of an RFC 3339 text with offset, or of an integer that counts them."""
    if type(value) is str:
        try:
            moment: datetime = msgspec.convert(value, _AWARE)
        except msgspec.ValidationError as error:
            raise _wrong(path, "RFC 3339 with an offset (2026-11-11T00:00:00Z), or integer microseconds") from error
        return (moment - _EPOCH) // _MICROSECOND
    if type(value) is int:
        if not 0 <= value < INT64:
            raise _range(path, "microseconds since 1970, not negative")
        return value
    raise _wrong(path, "RFC 3339 with an offset (2026-11-11T00:00:00Z), or integer microseconds")


def _text(value: Any, path: str, field: Field) -> str:
    if type(value) is not str:
        raise _wrong(path, "a text")
    if field.choices and value not in field.choices:
        raise _range(path, "one of " + ", ".join(field.choices))
    return value


def _key(value: Any, path: str, field: Field) -> str:
    """Return a key as text: shops number their orders, and 4711 and "4711" must be the same key."""
    if type(value) is int:
        value = str(value)
    elif type(value) is not str:
        raise _wrong(path, "a key (text or integer)")
    if len(value) > LONGEST_KEY:
        raise BadEvent(f"{path} is longer than {LONGEST_KEY} characters", field=path, code="oversized")
    return str(value)


def _integer(value: Any, path: str, field: Field) -> int:
    if type(value) is not int:
        raise _wrong(path, f"an integer ({field.unit})" if field.unit else "an integer")
    if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise _range(path, "between -10^15 and 10^15")
    return value


def _money(value: Any, path: str, field: Field) -> int:
    if type(value) is not int:
        raise _wrong(path, "an integer in minor units of the currency (12.99 is 1299)")
    if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise _range(path, "between -10^15 and 10^15 minor units")
    return value


def _number(value: Any, path: str, field: Field) -> float | int:
    if type(value) is not float and type(value) is not int:
        raise _wrong(path, "a number")
    limit = LARGEST_FIXED // 10**field.scale
    if not (math.isfinite(value) and -limit <= value <= limit):
        raise _range(path, f"a finite number of at most {float(limit):g}")
    return value


def _boolean(value: Any, path: str, field: Field) -> bool:
    if type(value) is not bool:
        raise _wrong(path, "true or false")
    return value


def _currency(value: Any, path: str, field: Field) -> str:
    if type(value) is not str or len(value) != 3 or not (value.isascii() and value.isalpha() and value.isupper()):
        raise _wrong(path, "an ISO 4217 code of three capitals (CNY)")
    return value


def _time(value: Any, path: str, field: Field) -> int:
    return instant(value, path)


@lru_cache(maxsize=1 << 15)
def canonical_ip(text: str) -> str:
    """Return an address in its canonical form, "" where it is none; IPv4 mapped into IPv6 becomes IPv4."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        packed = socket.inet_pton(family, text)
    except (OSError, ValueError, UnicodeError):
        return ""
    if family is socket.AF_INET:
        return text
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(family, packed)


def _ip(value: Any, path: str, field: Field) -> str:
    """Return the address in its canonical form."""
    found = canonical_ip(value) if type(value) is str and len(value) <= LONGEST_IP else ""
    if not found:
        raise _wrong(path, "an IPv4 or IPv6 address")
    return found


def _texts(value: Any, path: str, field: Field) -> list[str]:
    if type(value) is not list:
        raise _wrong(path, "a list of texts")
    for index, one in enumerate(value):
        if type(one) is not str:
            raise _wrong(f"{path}[{index}]", "a text")
    return value


def _object(value: Any, path: str, field: Field) -> dict[str, Any]:
    if type(value) is not dict:
        raise _wrong(path, "an object")
    return value


_LINE: dict[str, tuple[Check, Field]] = {
    "sku": (_key, Field("sku", Kind.KEY, "", "", required=True, entity=Entity.SKU)),
    "quantity": (_integer, Field("quantity", Kind.INTEGER, "", "", "pieces", required=True)),
    "price": (_money, Field("price", Kind.MONEY, "", "", "minor units")),
    "name": (_text, Field("name", Kind.TEXT, "", "")),
}


def _items(value: Any, path: str, field: Field) -> list[dict[str, Any]]:
    if type(value) is not list:
        raise _wrong(path, "a list of objects {sku, quantity, price, name}")
    if len(value) > MOST_ITEMS:
        raise BadEvent(f"{path} has more than {MOST_ITEMS} lines", field=path, code="oversized")
    lines = []
    for index, line in enumerate(value):
        where = f"{path}[{index}]"
        if type(line) is not dict:
            raise _wrong(where, "an object {sku, quantity, price, name}")
        kept: dict[str, Any] = {}
        for name, one in line.items():
            if one is None:
                continue
            known = _LINE.get(name)
            kept[name] = known[0](one, f"{where}.{name}", known[1]) if known else storable(one, f"{where}.{name}")
        for name in ("sku", "quantity"):
            if name not in kept or kept[name] == "":
                raise BadEvent(f"{where}.{name} is missing", field=f"{where}.{name}", code="missing")
        if kept["quantity"] < 0:
            raise _range(f"{where}.quantity", "zero or more pieces")
        lines.append(kept)
    return lines


def storable(value: Any, path: str, depth: int = 0) -> Any:
    """Return an unknown value if every store can hold it: integers of 64 bits, finite numbers, bounded depth."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not -INT64 <= value < INT64:
            raise _range(path, "an integer of 64 bits")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise _range(path, "a finite number")
        return value
    if depth >= DEEPEST:
        raise BadEvent(f"{path} is nested deeper than {DEEPEST} levels", field=path, code="malformed")
    if kind is dict:
        for name, one in value.items():
            storable(one, f"{path}.{name}", depth + 1)
    elif kind is list:
        for index, one in enumerate(value):
            storable(one, f"{path}[{index}]", depth + 1)
    else:
        raise _wrong(path, "a JSON value")
    return value


CHECKS: Mapping[Kind, Check] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.MONEY: _money,
    Kind.CURRENCY: _currency,
    Kind.BOOLEAN: _boolean,
    Kind.TIME: _time,
    Kind.KEY: _key,
    Kind.IP: _ip,
    Kind.ITEMS: _items,
    Kind.TEXTS: _texts,
    Kind.OBJECT: _object,
}

Rule = tuple[Check, Field, Privacy]
"""How one field is checked, and what the door does with it afterwards."""


def _check_of(field: Field) -> Check:
    # A sealed value is text under its own key; shops send telephone numbers as integers, too.
    return _key if field.privacy is Privacy.SEALED else CHECKS[field.kind]


def _everywhere() -> dict[str, Rule]:
    """Return the fields that mean the same in every type, declared there or not: personal keys, ip, what is sealed.

    ``name`` is not among them: of an event that does not declare it, it may be the name of anything.
    """
    wanted = {entity.value for entity in PERSONAL} | {"ip", "email", "phone", "address_text"}
    return {
        field.name: (_check_of(field), msgspec.structs.replace(field, required=False), field.privacy)
        for kind in VOCABULARY.values()
        for field in kind.fields
        if field.name in wanted
    }


EVERYWHERE: Mapping[str, Rule] = _everywhere()
MASKED_NAMES = frozenset(
    field.name for kind in VOCABULARY.values() for field in kind.fields if field.privacy is Privacy.MASKED
)
"""Names of free-text fields; under these names an undeclared text is masked, too."""


class Usual(IntEnum):
    """What is kept of a value of the usual kind without a call of its check: see ``usual_of``."""

    TEXT = 1
    """A text as it is."""
    KEY = 2
    """A text of 1 to ``LONGEST_KEY`` characters as it is."""
    PERSONAL = 3
    """The pseudonym of such a text."""
    WHOLE = 4
    """An integer up to ``LARGEST_INTEGER`` as it is."""
    CHOICE = 5
    """One of a few texts."""
    ADDRESS = 6
    """An address of the internet in its canonical form."""


Step = tuple[type[Any], int, tuple[str, ...]]
"""The class of a usual value, what is done with it, and its choices."""


def usual_of(rule: Rule) -> Step | None:
    """Return how a rule's usual values are taken at once; None where its check is always called."""
    _, field, privacy = rule
    kind = field.kind
    if privacy is Privacy.PSEUDONYM and kind is Kind.KEY:
        return str, Usual.PERSONAL, ()
    if privacy is not Privacy.OPEN:
        return None
    if kind is Kind.KEY:
        return str, Usual.KEY, ()
    if kind is Kind.TEXT:
        return str, Usual.CHOICE if field.choices else Usual.TEXT, field.choices
    if kind is Kind.IP:
        return str, Usual.ADDRESS, ()
    if kind is Kind.INTEGER or kind is Kind.MONEY:
        return int, Usual.WHOLE, ()
    return None


class Plan(msgspec.Struct, frozen=True):
    """How events of one type are checked; ``usual`` has the short way for values of the usual kind."""

    rules: dict[str, Rule]
    required: tuple[str, ...]
    usual: dict[str, Step]


def _plan(rules: Mapping[str, Rule], required: tuple[str, ...]) -> Plan:
    usual = {name: step for name, rule in rules.items() if (step := usual_of(rule)) is not None}
    return Plan(dict(rules), required, usual)


def _plan_of(kind: EventType) -> Plan:
    declared = {field.name: (_check_of(field), field, field.privacy) for field in kind.fields}
    return _plan({**EVERYWHERE, **declared}, tuple(field.name for field in kind.fields if field.required))


PLANS: Mapping[str, Plan] = {name: _plan_of(kind) for name, kind in VOCABULARY.items()}
PLAIN = _plan(EVERYWHERE, ())
"""For types the vocabulary does not know."""
