"""What the scanner knows of the vocabulary, as arrays: names by their bytes, and the check of every field by type.

A door hands over its ``Rules``; they are written down here once, in the order of ``Names``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import Misconfigured
from tocsin.flow.names import ITEM_FIELDS

if TYPE_CHECKING:
    from tocsin.flow.names import Names


class Check(IntEnum):
    """How the kernel checks a value; whatever it does not take is left to the plain door."""

    OPEN = 0
    """Any scalar that every store can hold: what the type does not declare."""
    OPEN_MASKED = 1
    """The same under a name of free text: a text must be clean."""
    TEXT = 2
    CHOICE = 3
    MASKED = 4
    KEY = 5
    PERSONAL = 6
    INTEGER = 7
    NUMBER = 8
    BOOLEAN = 9
    CURRENCY = 10
    TIME = 11
    IP = 12
    ITEMS = 13
    ASK = 14
    """Sealed values, lists and objects: always the plain door's."""


class Rule(msgspec.Struct, frozen=True):
    """The check of one field of one event type."""

    check: Check
    choices: tuple[str, ...] = ()
    limit: float = 0.0
    """Largest absolute value of a NUMBER."""


class Rules(msgspec.Struct, frozen=True):
    """What a door does with events, as far as the kernel does it as well."""

    fields: Mapping[str, Mapping[str, Rule]]
    """Event type -> field -> its check; a field that is not there is OPEN."""
    required: Mapping[str, Sequence[str]]
    masked: frozenset[str]
    """Names that are OPEN_MASKED where a type does not declare them."""
    personal: Sequence[str]
    """Entities whose keys become pseudonyms, at most 7; their places are the kernel's numbers for them."""
    subjects: Mapping[str, bool]
    """What a subject may begin with -> whether the key behind it is kept as it is whatever it says."""


NAME_PLACES = 1024
LONGEST_NAME = 24
FIELDS, ATTRIBUTES, TYPES, SUBJECTS, TABLES = 0, 1, 2, 3, 4
ATTRIBUTE_NAMES = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "data",
    "subject",
    "shop",
    "sealed",
    "data_base64",
    "seq",
    "tau",
)
A_SPEC, A_ID, A_SOURCE, A_TYPE, A_TIME, A_DATA, A_SUBJECT, A_SHOP, A_SEALED, A_BASE64, A_SEQ, A_TAU = range(12)
SPREAD = 0x9E3779B97F4A7C15
SHIFT = 64 - 10
_WORD = (1 << 64) - 1
MOST_CHOICES = 16


def place_of(word0: int, length: int) -> int:
    """Return where the search for a name begins, by its first eight bytes and its length; the kernel does the same."""
    return ((word0 + length) * SPREAD & _WORD) >> SHIFT


def words_of(text: bytes) -> tuple[int, int, int]:
    """Return 24 bytes, zeros behind the end, as three words."""
    padded = text.ljust(LONGEST_NAME, b"\0")
    return (
        int.from_bytes(padded[:8], "little"),
        int.from_bytes(padded[8:16], "little"),
        int.from_bytes(padded[16:24], "little"),
    )


class Tables:
    """The arrays of one scanner.

    ``names`` uint64 [TABLES, NAME_PLACES, 4]: three words of the name, then length << 32 | its number + 1.
    ``plan`` int32 [types, fields + 1]: the check, and above eight bits the place of its choices or limit. The last
    field is ``items``. ``needed`` uint64 [types, 2]: bits of the required fields. ``choices`` uint64 [n, 16, 4].
    ``item_slot`` int64 [fields + 1]: the slot of an item's field, -1 for another.
    """

    def __init__(self, names: Names, rules: Rules) -> None:
        fields = [*names.fields, "items"]
        if len(fields) > 128:
            raise Misconfigured(f"the scanner holds 127 fields, the vocabulary has {len(names.fields)}")
        self.items = len(names.fields)
        self.personal = tuple(rules.personal)
        types = {name: names.type_code[name] for name in VOCABULARY}
        self.names = np.zeros((TABLES, NAME_PLACES, 4), np.uint64)
        self._fill(FIELDS, {name: slot for slot, name in enumerate(fields)})
        self._fill(ATTRIBUTES, {name: number for number, name in enumerate(ATTRIBUTE_NAMES)})
        self._fill(TYPES, types)
        self._fill(SUBJECTS, self._subjects(rules))
        self.item_slot = np.full(len(fields), -1, np.int64)
        for slot, name in enumerate(ITEM_FIELDS):
            self.item_slot[names.slot[name]] = slot
        self.plan = np.zeros((max(types.values()) + 1, len(fields)), np.int32)
        self.needed = np.zeros((max(types.values()) + 1, 2), np.uint64)
        self.limits = [0.0]
        self._choices: list[tuple[str, ...]] = []
        for name, code in types.items():
            for slot, field in enumerate(fields):
                self.plan[code, slot] = self._packed(rules, name, field, slot)
            for field in rules.required[name]:
                slot = fields.index(field)
                self.needed[code, slot >> 6] |= np.uint64(1 << (slot & 63))
        self.limit = np.array(self.limits)
        self.choices = np.zeros((max(1, len(self._choices)), MOST_CHOICES, 4), np.uint64)
        for number, choices in enumerate(self._choices):
            for place, choice in enumerate(choices):
                raw = choice.encode()
                self.choices[number, place] = (*words_of(raw), len(raw))

    def _subjects(self, rules: Rules) -> dict[str, int]:
        """Return what a subject begins with: the number of a personal entity, else 8 (kept) or 9 (must be clean)."""
        if len(self.personal) > 7:
            raise Misconfigured("the scanner makes pseudonyms of at most 7 entities")
        return {
            name: self.personal.index(name) if name in self.personal else (8 if kept else 9)
            for name, kept in rules.subjects.items()
        }

    def _fill(self, table: int, known: Mapping[str, int]) -> None:
        for name, number in known.items():
            raw = name.encode()
            if not 0 < len(raw) <= LONGEST_NAME:
                raise Misconfigured(f"the scanner knows names of 1 to {LONGEST_NAME} bytes, not {name!r}")
            words = words_of(raw)
            at = place_of(words[0], len(raw))
            while self.names[table, at, 3]:
                at = (at + 1) % NAME_PLACES
            self.names[table, at] = (*words, len(raw) << 32 | (number + 1))

    def _packed(self, rules: Rules, type_: str, field: str, slot: int) -> int:
        rule = rules.fields[type_].get(field)
        if rule is None:
            return int(Check.OPEN_MASKED if field in rules.masked else Check.OPEN)
        if rule.check is Check.PERSONAL:
            return int(rule.check) | self.personal.index(field) << 8
        if rule.check is Check.NUMBER:
            if rule.limit not in self.limits:
                self.limits.append(rule.limit)
            return int(rule.check) | self.limits.index(rule.limit) << 8
        if rule.check is Check.ITEMS and slot != self.items:
            return int(Check.ASK)
        if rule.check is not Check.CHOICE:
            return int(rule.check)
        if len(rule.choices) > MOST_CHOICES or any(len(choice.encode()) > LONGEST_NAME for choice in rule.choices):
            return int(Check.ASK)
        if rule.choices not in self._choices:
            self._choices.append(rule.choices)
        return int(rule.check) | self._choices.index(rule.choices) << 8
