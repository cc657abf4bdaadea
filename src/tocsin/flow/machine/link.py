"""Programs: the rules of a group linked together, with their inputs numbered and their classes by event type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.flow.machine import ops
from tocsin.flow.machine.assembly import INPUT, Atom, Entry, Field, Foreign, Input, assembled
from tocsin.flow.machine.gathering import K0, K1
from tocsin.flow.machine.tables import Answers, Listed, Places, address, signed
from tocsin.flow.machine.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.flow.hashing import Hasher
    from tocsin.flow.lists import Lists
    from tocsin.flow.machine.assembly import Assembly
    from tocsin.flow.rules import Ready

WIDTH = 8
"""Integers that say how an input lies: kind, address, stride, how its missing rows are told, and where (address,
stride, bit), and whether it is a picked feature."""


class Program:
    """The rules of a group as one program.

    ``inputs`` are numbered: fields first, then entries and foreign ones. Class ``k`` are the rules of the k-th event
    type; behind the classes of types comes one for each rule, for rows that wait for an input. What a program
    ``before`` has learned of lists and texts is taken over: only one of the two runs at a time.
    """

    def __init__(self, readies: Sequence[Ready], before: Program | None = None) -> None:
        parts = [assembled(ready.program) for ready in readies]
        inputs: dict[Input, None] = {}
        for part in parts:
            for one in part.inputs:
                inputs.setdefault(one)
        order = sorted(inputs, key=lambda one: not isinstance(one, Field))
        self.inputs = {one: place for place, one in enumerate(order)}
        self.own = max((part.registers for part in parts), default=0)
        self.registers = self.own + len(order)
        self._words: list[str] = []
        self._atoms: dict[Atom, int] = {}
        self._lists: dict[str, int] = {}
        self._constants: list[int] = []
        self._code: list[list[int]] = []
        rules = [self._linked(part) for part in parts]
        self._classify(readies, parts)
        self._tabulate(parts, before)
        self._lay_out(rules)

    def _linked(self, part: Assembly) -> list[int]:
        """Append the instructions of one rule; return where they begin and end, and the register of the result."""
        start = len(self._code)
        registers = [self.own + self.inputs[one] for one in part.inputs]
        bases = {"k": len(self._constants), "w": len(self._words), "j": start}
        self._constants += part.constants
        self._words += part.words
        atoms = [self._atoms.setdefault(one, len(self._atoms)) for one in part.atoms]
        lists = [self._lists.setdefault(one, len(self._lists)) for one in part.lists]

        def operand(kind: str, value: int) -> int:
            if kind == "r":
                return registers[value - INPUT] if value >= INPUT else value
            if kind == "a":
                return atoms[value]
            if kind == "l":
                return lists[value]
            return value if value == ops.ENDS else value + bases.get(kind, 0)

        for op, *operands in part.code:
            self._code.append([op, *map(operand, ops.OPERANDS[op], operands)])
        return [start, len(self._code), operand("r", part.result)]

    def _classify(self, readies: Sequence[Ready], parts: Sequence[Assembly]) -> None:
        self.types: dict[str, int] = {}
        chosen: list[list[int]] = []
        for rule, ready in enumerate(readies):
            for kind in dict.fromkeys(ready.types):
                place = self.types.setdefault(kind, len(chosen))
                if place == len(chosen):
                    chosen.append([])
                chosen[place].append(rule)
        self.reads: list[list[int]] = []
        """By class, the inputs that its rules read."""
        members: list[int] = []
        classes: list[int] = []
        for rules in [*chosen, *([rule] for rule in range(len(parts)))]:
            needed = {self.inputs[one] for rule in rules for one in parts[rule].inputs}
            reads = sorted(needed)
            classes += [len(members), len(members) + len(rules)]
            members += rules
            classes += [len(members), len(members) + len(reads)]
            members += reads
            self.reads.append(reads)
        self._members, self._classes = members, classes
        self.awaited = [[self.inputs[one] for one in part.awaited] for part in parts]
        """By rule, the inputs that its rows may wait for."""
        self.certain = [sorted({self.inputs[one] for rule in rules for one in parts[rule].certain}) for rules in chosen]
        """By class of a type, the inputs that all of its rows wait for."""
        self.foreign = {self.inputs[one]: one for one in self.inputs if isinstance(one, Foreign)}
        self._trees: dict[int, Tree] = {}
        self.fields = {self.inputs[one]: one for one in self.inputs if isinstance(one, Field)}

    def _tabulate(self, parts: Sequence[Assembly], before: Program | None) -> None:
        by_field: dict[Field, list[Atom]] = {}
        for one in self._atoms:
            by_field.setdefault(one.field, []).append(one)
        asked = {one.field: one for one in before.answers.values()} if before is not None else {}
        self.answers: dict[int, Answers] = {
            self.inputs[Entry(field)]: asked[field]
            if field in asked and asked[field].atoms == atoms
            else Answers(field, atoms)
            for field, atoms in by_field.items()
        }
        known = {one.name: one for one in before.named} if before is not None else {}
        self.named: list[Listed] = [known.get(name) or Listed(name) for name in self._lists]
        self._shown: list[Places | None] = [None] * len(self.named)
        hashed = frozenset().union(*(part.hashed for part in parts))
        self.hashed = {slot for slot, one in self.fields.items() if one in hashed}
        """The texts that more is asked about than whether they are some words."""
        self.hashes: dict[str, int] = {}
        """The hashes of all words that texts are compared with."""

    def _lay_out(self, rules: Sequence[Sequence[int]]) -> None:
        """Put the whole program into one array, which a kernel takes faster than many."""
        flat = [number for rule in rules for number in rule]
        code = [number for step in self._code for number in step]
        columns = [0] * (WIDTH * len(self.inputs))
        words, atoms, lists = [0] * len(self._words), [0] * (4 * len(self._atoms)), [0] * (4 * len(self.named))
        sections = [self._classes, self._members, flat, code, self._constants, words, atoms, lists,
                    columns, columns, columns]  # fmt: skip
        starts, at = [], 16
        for section in sections:
            starts.append(at)
            at += len(section)
        self.memory = np.zeros(at, np.int64)
        self.memory[0], self.memory[1 : 1 + len(starts)] = self.own, starts
        for start, section in zip(starts, sections, strict=True):
            self.memory[start : start + len(section)] = section
        self.doubles = self.memory.view(np.float64)
        self.packed, self.lined, self.laid = starts[-3:]
        """Where it says how the inputs lie: of few events, packed row by row; of few scanned lines; of many rows, in
        columns."""
        self._word_at, self._atom_at, self._list_at = starts[5:8]
        self._hasher: Hasher | None = None

    def read_by(self, classes: Sequence[int]) -> frozenset[int]:
        """Return the inputs that the rules of these classes read."""
        return frozenset(slot for kind in classes for slot in self.reads[kind])

    def late(self, read: frozenset[int], *, few: bool) -> list[int]:
        """Return those of these inputs that lie in columns which are filled once a rule waits for them."""
        return [slot for slot in read if slot in self.foreign or (slot in self.answers and not few)]

    def put(self, columns: int, slot: int, *numbers: int) -> None:
        """Say how an input lies; see ``WIDTH``."""
        at = columns + WIDTH * slot
        self.memory[at : at + len(numbers)] = numbers

    def tell(self, columns: int, lying: Mapping[int, Sequence[int]]) -> None:
        """Say how inputs lie: slot -> ``WIDTH`` integers."""
        if lying:
            part = self.memory[columns : columns + WIDTH * len(self.inputs)].reshape(-1, WIDTH)
            part[list(lying)] = list(lying.values())

    def bind(self, lists: Lists | None, hasher: Hasher) -> None:
        """Bring words, answers and lists up to date: they are kept by hash."""
        if hasher is not self._hasher:
            if self._hasher is None or hasher.seed != self._hasher.seed:
                self.hashes.update((word, hasher.text(word)) for word in self._words)
                words = [signed(self.hashes[word]) for word in self._words]
                self.memory[self._word_at : self._word_at + len(words)] = words
            for answers in self.answers.values():
                answers.follow(hasher)
            self._hasher = hasher
            self.memory[K0], self.memory[K1] = signed(hasher.k0), signed(hasher.k1)
            for slot in self.answers:
                self.point(slot)
        for place, named in enumerate(self.named):
            named.follow(lists, hasher)
            if named.places is not self._shown[place]:
                self._shown[place] = named.places
                at = self._list_at + 4 * place
                self.memory[at : at + 3] = named.places.where()

    def tree(self, slot: int) -> Tree:
        """Return what computes a foreign input; made at its first use."""
        tree = self._trees.get(slot)
        if tree is None:
            tree = self._trees[slot] = Tree(self.foreign[slot])
        return tree

    def point(self, slot: int) -> None:
        """Say where the answers about a text field lie now."""
        answers = self.answers[slot]
        said, column = address(answers.states), 0
        for one, place in self._atoms.items():
            if one.field == answers.field:
                at = self._atom_at + 4 * place
                self.memory[at : at + 4] = said, answers.width, column, answers.missing[column]
                column += 1
