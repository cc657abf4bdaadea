"""From a checked tree to instructions; what the machine cannot express becomes an input that others compute.

The instructions of a rule name their inputs, constants, words, atoms and lists by their place in its own tables;
``program`` links the rules of a group. Operands stay in their written order: ``&&`` and ``||`` of known states give
value and cause of the CEL specification, and an unknown state stays unknown unless an operand decides without it.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tocsin.flow.cel_parts import may_be_nan
from tocsin.flow.cel_rows import canonical
from tocsin.flow.machine import ops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.flow.cel import Program
    from tocsin.flow.cel_syntax import Node

INPUT = 1 << 20
"""Registers from here on are inputs, below are those of the rule itself."""
NUMBERS = ("int", "double")
_INTS = {"+": ops.INT_ADD, "-": ops.INT_SUB, "*": ops.INT_MUL, "/": ops.INT_DIV, "%": ops.INT_MOD}
_DOUBLES = {"+": ops.DOUBLE_ADD, "-": ops.DOUBLE_SUB, "*": ops.DOUBLE_MUL, "/": ops.DOUBLE_DIV}
TAU = ("event", "tau", "int")


class Field(NamedTuple):
    """An input that the batch has: a field of the event or its data, a feature, or the score."""

    root: str
    name: str
    type: str


class Entry(NamedTuple):
    """An input that is the place of a text among those whose atoms are answered."""

    text: Field


class Foreign:
    """An input that others compute: the value of a tree; equal for equal trees. ``dyn`` ones are read as truths."""

    __slots__ = ("key", "node", "type")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.type = node.type if node.type in NUMBERS else "bool"
        self.key = canonical(node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Foreign) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class Atom:
    """A condition of one text field alone; equal for equal trees."""

    __slots__ = ("field", "key", "node")

    def __init__(self, field: Field, node: Node) -> None:
        self.field, self.node = field, node
        self.key = canonical(node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


Input = Field | Entry | Foreign


def bits(value: float) -> int:
    """Return a constant as 64 bits: integers as they are, doubles by their IEEE form."""
    return value if isinstance(value, int) else int(struct.unpack("<q", struct.pack("<d", value))[0])


class Assembly:
    """The instructions of one rule, with what they name by place."""

    def __init__(self, tree: Node) -> None:
        self.code: list[list[int]] = []
        self.inputs: dict[Input, int] = {}
        self.constants: list[int] = []
        self.words: list[str] = []
        self.atoms: dict[Atom, int] = {}
        self.lists: dict[str, int] = {}
        self.registers = 0
        """How many registers of its own the rule has."""
        self._tree = tree
        self.result = self._truth(tree)
        self.certain = _certain(self, tree)
        """The inputs among these that every row waits for."""

    @property
    def awaited(self) -> list[Foreign | Entry]:
        """The inputs that may be unknown when the rule first runs."""
        return [one for one in self.inputs if not isinstance(one, Field)]

    @property
    def hashed(self) -> set[Field]:
        """The texts that more is asked about than whether they are some words."""
        registers = {INPUT + place: one for one, place in self.inputs.items()}
        found: set[Field] = set()
        for op, _, left, right, _ in self.code:
            sides = (left, right) if op == ops.TEXTS else (left,) if op == ops.LISTED else ()
            found |= {one for side in sides if isinstance(one := registers[side], Field)}
        return found

    # Places ---------------------------------------------------------------------------------------------------------

    def _register(self) -> int:
        self.registers += 1
        return self.registers - 1

    def _input(self, key: Input) -> int:
        return INPUT + self.inputs.setdefault(key, len(self.inputs))

    def _put(self, op: int, *operands: int) -> int:
        self.code.append([op, *operands, *[0] * (4 - len(operands))])
        return operands[0]

    def _constant(self, value: float) -> int:
        self.constants.append(bits(value))
        return len(self.constants) - 1

    def _word(self, word: str) -> int:
        self.words.append(word)
        return len(self.words) - 1

    def _foreign(self, node: Node) -> int:
        return self._input(Foreign(node))

    # Truths ---------------------------------------------------------------------------------------------------------

    def _truth(self, node: Node) -> int:
        """Return the register of a boolean (or dynamic) tree's truth."""
        make: Callable[[Node], int] | None = _TRUTHS.get(node.kind, lambda _: None)(self)
        return self._foreign(node) if make is None or node.type != "bool" else make(node)

    def _literal(self, node: Node) -> int:
        return self._put(ops.SET, self._register(), int(node.value))

    def _select(self, node: Node) -> int:
        if node.args[0].type != "map":
            return self._foreign(node)
        return self._input(Field(node.args[0].value, node.value, node.type))

    def _has(self, node: Node) -> int:
        field = node.args[0]
        if field.args[0].type != "map" or field.type not in (*NUMBERS, "bool", "string"):
            return self._foreign(node)
        return self._put(ops.HAS, self._register(), self._select(field), int(field.type == "bool"))

    def _not(self, node: Node) -> int:
        inner = self._truth(node.args[0])
        return self._put(ops.NOT, self._register(), inner)

    def _logic(self, node: Node) -> int:
        join, opened = (ops.AND, ops.OPEN_AND) if node.kind == "and" else (ops.OR, ops.OPEN_OR)
        result = self._truth(node.args[0])
        if result >= INPUT:
            result = self._put(ops.MOVE, self._register(), result)
        jumps = [len(self.code)]
        self._put(opened, result)
        for arg in node.args[1:]:
            self._put(join, result, result, self._truth(arg))
            jumps.append(len(self.code) - 1)
        end = ops.ENDS if node is self._tree and join == ops.AND else len(self.code)
        for place in jumps:
            self.code[place][4] = end
        return result

    def _choice(self, node: Node) -> int:
        condition, then, other = (self._truth(arg) for arg in node.args)
        return self._put(ops.CHOOSE, self._register(), condition, then, other)

    def _binary(self, node: Node) -> int:
        op, (one, other) = node.value, node.args
        if op == "in":
            return self._in(node)
        if "null" in (one.type, other.type):
            return self._null(node)
        types = {one.type, other.type}
        if types <= set(NUMBERS):
            return self._compared(op, one, other)
        if types == {"bool"}:
            left, right = self._truth(one), self._truth(other)
            return self._put(ops.TRUTHS, self._register(), left, right, ops.COMPARE[op])
        if types == {"string"} and op in ("==", "!="):
            return self._same_text(node)
        return self._atom(node)

    def _same_text(self, node: Node) -> int:
        sides = [_text(arg) for arg in node.args]
        differ = int(node.value == "!=")
        if sides[0] and sides[1]:
            return self._put(ops.TEXTS, self._register(), self._input(sides[0]), self._input(sides[1]), differ)
        for text, word in zip(sides, reversed(node.args), strict=True):
            if text and word.kind == "literal":
                place = self._input(text)
                return self._put(ops.TEXT_WORD, self._register(), place, self._word(word.value), differ)
        return self._atom(node)

    def _null(self, node: Node) -> int:
        sides = [arg for arg in node.args if arg.type != "null"]
        same = int((len(sides) == 0) == (node.value == "=="))
        if not sides:
            return self._put(ops.SET, self._register(), same)
        side = sides[0]
        if side.type == "bool":
            inner = self._truth(side)
        elif side.type in NUMBERS:
            inner = self._number(side)
        elif text := _text(side):
            inner = self._input(text)
        else:
            return self._foreign(node)
        return self._put(ops.NULL, self._register(), inner, same, int(side.type == "bool"))

    def _in(self, node: Node) -> int:
        value, owner = node.args
        if owner.kind != "list" or not owner.args or any(part.kind != "literal" for part in owner.args):
            return self._atom(node)
        if any(part.type != value.type for part in owner.args):
            return self._atom(node)
        if value.type in NUMBERS:
            inner = self._number(value)
            places = [self._constant(part.value) for part in owner.args]
            op = ops.INT_AMONG if value.type == "int" else ops.DOUBLE_AMONG
            return self._put(op, self._register(), inner, places[0], len(places))
        text = _text(value)
        if text is None:
            return self._atom(node)
        words = [self._word(part.value) for part in owner.args]
        return self._put(ops.TEXT_WORDS, self._register(), self._input(text), words[0], len(words))

    def _call(self, node: Node) -> int:
        if node.value == "in_list" and node.args[0].kind == "literal" and (text := _text(node.args[1])):
            place = self.lists.setdefault(node.args[0].value, len(self.lists))
            return self._put(ops.LISTED, self._register(), self._input(text), place, self._input(Field(*TAU)))
        return self._atom(node)

    def _atom(self, node: Node) -> int:
        """Return the register of a condition of one text alone; of any other, that of a foreign input."""
        fields = set(_reads(node))
        text = fields.pop() if len(fields) == 1 else None
        if text is None or text.type != "string" or text.root not in ("data", "event"):
            return self._foreign(node)
        place = self.atoms.setdefault(Atom(text, node), len(self.atoms))
        return self._put(ops.ATOM, self._register(), self._input(Entry(text)), place)

    # Numbers --------------------------------------------------------------------------------------------------------

    def _compared(self, op: str, one: Node, other: Node) -> int:
        if one.kind == "literal" and other.kind != "literal":
            one, other, op = other, one, ops.MIRRORED[op]
            # The cause is the first side's: a literal has none.
        double = "double" in (one.type, other.type)
        left = self._as_double(one) if double else self._number(one)
        how = ops.COMPARE[op]
        if double and op not in ("==", "!=") and (may_be_nan(one) or may_be_nan(other)):
            how += ops.CHECKED
        if other.kind == "literal":
            bound = self._constant(float(other.value) if double else other.value)
            single = ops.DOUBLE_CONSTANT if double else ops.INT_CONSTANT
            return self._put(single, self._register(), left, bound, how)
        right = self._as_double(other) if double else self._number(other)
        return self._put(ops.DOUBLES if double else ops.INTS, self._register(), left, right, how)

    def _as_double(self, node: Node) -> int:
        if node.type == "double":
            return self._number(node)
        if node.kind == "literal":
            return self._put(ops.CONSTANT, self._register(), self._constant(float(node.value)))
        inner = self._number(node)
        return self._put(ops.TO_DOUBLE, self._register(), inner)

    def _number(self, node: Node) -> int:
        """Return the register of a tree that is int or double."""
        if node.kind == "literal":
            return self._put(ops.CONSTANT, self._register(), self._constant(node.value))
        if node.kind == "ident":
            return self._input(Field("score", "", "double"))
        if node.kind == "select":
            return self._select(node)
        if node.kind == "negate":
            op = ops.INT_NEG if node.type == "int" else ops.DOUBLE_NEG
            inner = self._number(node.args[0])
            return self._put(op, self._register(), inner)
        if node.kind == "choose" and {arg.type for arg in node.args[1:]} == {node.type}:
            condition = self._truth(node.args[0])
            then, other = self._number(node.args[1]), self._number(node.args[2])
            return self._put(ops.CHOOSE, self._register(), condition, then, other)
        if node.kind == "binary" and {arg.type for arg in node.args} == {node.type}:
            left, right = self._number(node.args[0]), self._number(node.args[1])
            made = (_INTS if node.type == "int" else _DOUBLES)[node.value]
            return self._put(made, self._register(), left, right)
        if node.kind == "call" and node.value in NUMBERS and node.args[0].type in NUMBERS:
            inner = self._number(node.args[0])
            if node.args[0].type == node.type:
                return inner
            return self._put(ops.TO_DOUBLE if node.type == "double" else ops.TO_INT, self._register(), inner)
        return self._foreign(node)


def _certain(one: Assembly, tree: Node) -> list[Foreign | Entry]:
    while tree.kind == "not":
        tree = tree.args[0]
    return [] if tree.kind in ("and", "or", "choose") else one.awaited


_TRUTHS: dict[str, Callable[[Assembly], Callable[[Node], int]]] = {
    "literal": lambda one: one._literal,
    "select": lambda one: one._select,
    "has": lambda one: one._has,
    "not": lambda one: one._not,
    "and": lambda one: one._logic,
    "or": lambda one: one._logic,
    "choose": lambda one: one._choice,
    "binary": lambda one: one._binary,
    "call": lambda one: one._call,
}


def _text(node: Node) -> Field | None:
    """Return the field that a tree is, None where it is not a field of text alone."""
    if node.kind != "select" or node.args[0].type != "map" or node.type != "string":
        return None
    return Field(node.args[0].value, node.value, "string")


def _reads(node: Node) -> Iterator[Field]:
    """Yield what a tree reads; lists and dynamic values as fields of no root."""
    if node.kind == "select" and node.args[0].type == "map":
        yield Field(node.args[0].value, node.value, node.type)
    elif node.kind == "ident" or (node.kind == "call" and node.value in ("in_list", "in_cidr")):
        yield Field("", str(node.value), "dyn")
    else:
        for arg in node.args:
            yield from _reads(arg)


@lru_cache(maxsize=4096)
def assembled(program: Program) -> Assembly:
    """Return the instructions of a boolean (or dynamic) program; made once for the same one."""
    return Assembly(program.tree)
