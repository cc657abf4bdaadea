"""Tables of hashes for the rule machine: answers about texts, and named lists with their expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_columns import CODE
from tocsin.flow.cel_scalar import Env, build
from tocsin.flow.cel_values import CelFault
from tocsin.flow.machine import ops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tocsin.flow.hashing import Hasher
    from tocsin.flow.lists import Lists
    from tocsin.flow.machine.assembly import Atom, Field

LEAST = 1 << 10
"""Texts that a table has room for at first."""
MOST = 1 << 15
"""Texts of a field whose answers are kept: more than a batch has rows."""
_SIGN = 1 << 63


def signed(key: int) -> int:
    """Return a hash as the kernels compare it, int64."""
    return key - (1 << 64) if key >= _SIGN else key


def address(array: np.ndarray) -> int:
    """Return where an array begins."""
    return int(array.__array_interface__["data"][0])


def state_of(step: Callable[[Env], Any], env: Env) -> int:
    """Return the state that a boolean or dynamic tree comes to."""
    try:
        value = step(env)
    except CelFault as fault:
        return ops.FAILED + CODE[fault.cause]
    return int(value) if value.__class__ is bool else ops.OVERLOAD


class Places:
    """Hashes with a number each in an open table, by linear probing: keys int64, 0 where it is empty."""

    __slots__ = ("keys", "used", "values")

    def __init__(self, least: int) -> None:
        self.keys, self.values = np.zeros(least, np.int64), np.zeros(least, np.int64)
        self.used = 0

    def put(self, key: int, value: int) -> Places:
        """Give a hash its number; return the table, or a larger one with all that it held."""
        if self.used * 2 >= len(self.keys):
            return self._larger().put(key, value)
        key = key or 1
        mask = len(self.keys) - 1
        at, item = key & mask, self.keys.item
        while (found := item(at)) != key and found:
            at = (at + 1) & mask
        self.used += not found
        self.keys[at], self.values[at] = key, value
        return self

    def _larger(self) -> Places:
        """Return a table with room; what has come to nothing (``ops.LEAST``) is left behind."""
        held = np.flatnonzero((self.keys != 0) & (self.values != ops.LEAST))
        table = Places(max(len(self.keys), 1 << (4 * len(held)).bit_length()))
        for key, value in zip(self.keys[held].tolist(), self.values[held].tolist(), strict=True):
            table.put(key, value)
        return table

    def where(self) -> tuple[int, int, int]:
        """Return the address of the keys, one less than their number, and the address of the values."""
        return address(self.keys), len(self.keys) - 1, address(self.values)


class Answers:
    """What the atoms of one text field say of the texts that have been met: a row of states for each text.

    Forgotten as a whole, between batches, once there might be more than ``MOST``.
    """

    def __init__(self, field: Field, atoms: Sequence[Atom]) -> None:
        self.field, self.width, self.atoms = field, len(atoms), list(atoms)
        self._steps = [build(atom.node) for atom in atoms]
        self.missing = self._said({})
        """What each atom says where the text is missing."""
        self._seed = b""
        self.entries: dict[str, int] = {}
        """The row of each text that is known."""
        self.forget()

    def follow(self, hasher: Hasher) -> None:
        """Drop all answers where texts are hashed otherwise from here on."""
        if hasher.seed != self._seed:
            self._seed = hasher.seed
            self.forget()

    def forget(self) -> None:
        """Drop all answers."""
        self.places = Places(LEAST)
        self.states = np.zeros((LEAST, self.width), np.uint8)
        self.count = 0
        self.entries.clear()

    def make_room(self, more: int) -> None:
        """Drop all answers where so many more would be too many."""
        if self.count + more > MOST:
            self.forget()

    def _said(self, holder: dict[str, str]) -> list[int]:
        env = Env({self.field.root: holder})
        return [state_of(step, env) for step in self._steps]

    def learn(self, key: int, text: str) -> int:
        """Take in a text that is not known under its hash, int64; return its row of ``states``."""
        row = self.count
        if row == len(self.states):
            self.states = np.concatenate([self.states, np.zeros_like(self.states)])
        self.states[row] = self._said({self.field.name: text})
        self.places = self.places.put(key, row)
        self.entries[text] = row
        self.count += 1
        return row


class Listed:
    """One named list by the hashes of its values, each with the tau before which it is on the list."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lists: Lists | None = None
        self._hasher: Hasher | None = None
        self._seen = -2
        self._clear()

    def _clear(self) -> None:
        self.places = Places(LEAST)

    def follow(self, lists: Lists | None, hasher: Hasher) -> None:
        """Take in what has changed since the last call."""
        version = -1 if lists is None else lists.version(self.name)
        same = lists is self._lists and hasher is self._hasher
        if same and version == self._seen:
            return
        changed: Iterable[str] | None = None
        if lists is not None:
            changed = lists.changed(self.name, self._seen) if same else None
            if changed is None:
                changed = lists.values.get(self.name, {})
                self._clear()
            for value in changed:
                until = lists.until(self.name, value) or ops.LEAST
                self.places = self.places.put(signed(hasher.text(value)), until)
        else:
            self._clear()
        self._lists, self._hasher, self._seen = lists, hasher, version
