"""The types of the CEL subset: what an expression may name, and the check that runs when it is saved.

Types are ``int``, ``double``, ``string``, ``bool``, ``null``, ``list`` (``list(int)`` where the elements are known) and
``dyn`` (known only when it runs). Fields of the vocabulary: integer, money and time are int; number is double; one that
differs between the scope's event types is dyn.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec
import re2

from tocsin.core.events import Field, Kind
from tocsin.core.vocabulary import VOCABULARY
from tocsin.flow.cel_syntax import CelError, Node
from tocsin.flow.fields import ITEM_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

OF_KIND = {
    Kind.TEXT: "string",
    Kind.INTEGER: "int",
    Kind.NUMBER: "double",
    Kind.MONEY: "int",
    Kind.CURRENCY: "string",
    Kind.BOOLEAN: "bool",
    Kind.TIME: "int",
    Kind.KEY: "string",
    Kind.IP: "string",
    Kind.ITEMS: "dyn",
    Kind.TEXTS: "list(string)",
    Kind.OBJECT: "dyn",
}
EVENT_FIELDS = {
    "type": "string", "time": "int", "tau": "int", "subject": "string", "shop": "string", "source": "string",
    "id": "string", "seq": "int",
}  # fmt: skip
NUMERIC = ("int", "double")
SCALARS = ("int", "double", "string", "bool")


class Scope(msgspec.Struct, frozen=True):
    """What an expression may name.

    ``roots`` are the variables; ``types`` narrows ``data`` to the fields of these event types (empty: all of the
    vocabulary); ``features`` are the names that ``features`` has (None: any, checked when it runs).
    """

    name: str
    roots: tuple[str, ...]
    types: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    lists: bool = False

    def narrow(self, types: Iterable[str] = (), features: Iterable[str] | None = None) -> Scope:
        """Return the scope for events of these types and for these features."""
        return msgspec.structs.replace(self, types=tuple(types), features=None if features is None else tuple(features))

    def fields(self) -> dict[str, set[str]]:
        """Return the fields that ``data`` may have, with the types that they have in the scope's event types."""
        found: dict[str, set[str]] = {}
        known = [VOCABULARY[name] for name in self.types if name in VOCABULARY] or list(VOCABULARY.values())
        for event_type in known:
            for field in event_type.fields:
                found.setdefault(field.name, set()).add(type_of(field))
        return found


RULE = Scope("rule", ("event", "data", "features", "score"), lists=True)
FILTER = Scope("filter", ("event", "data", "item"))
INCIDENT = Scope("incident", ("incident",))


def type_of(field: Field) -> str:
    """Return the CEL type of a field of the vocabulary."""
    return OF_KIND[field.kind]


def element(type_: str) -> str:
    """Return the type of a list's elements.

    >>> element("list(int)"), element("list"), element("dyn")
    ('int', 'dyn', 'dyn')
    """
    return type_[5:-1] if type_.startswith("list(") else "dyn"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


class Checker:
    """Gives every node its type, or raises CelError at the node that has none."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.text, self.scope = text, scope
        self.data = scope.fields() if "data" in scope.roots else {}

    def check(self, node: Node) -> str:
        """Type a node after its arguments, and return its type."""
        if node.kind == "select" and node.args[0].kind == "ident":
            self._root(node.args[0])
        elif node.kind != "has":
            for arg in node.args:
                self.check(arg)
        if node.kind != "literal":
            node.type = getattr(self, f"_{node.kind}")(node)
        return node.type

    def _fail(self, node: Node, message: str) -> CelError:
        return CelError(message, self.text, node.offset)

    def _root(self, node: Node) -> None:
        if node.value not in self.scope.roots:
            hint = did_you_mean(node.value, self.scope.roots)
            raise self._fail(node, f"unknown name {node.value!r}{hint} (a {self.scope.name} has {self._names()})")
        node.type = "map" if node.value != "incident" else "dyn"

    def _names(self) -> str:
        return ", ".join(self.scope.roots)

    def _ident(self, node: Node) -> str:
        self._root(node)
        if node.value == "score":
            return "double"
        if node.value == "incident":
            return "dyn"
        raise self._fail(node, f"{node.value!r} is not a value; name one of its fields, as in {node.value}.name")

    def _select(self, node: Node) -> str:
        owner = node.args[0]
        if owner.kind != "ident" or owner.value == "incident":
            if owner.type != "dyn":
                raise self._fail(node, f"a {owner.type} has no field {node.value!r}")
            return "dyn"
        if owner.value == "score":
            raise self._fail(node, "score is a number; it has no fields")
        return self._field(node, str(owner.value), str(node.value))

    def _field(self, node: Node, root: str, name: str) -> str:
        if root == "features":
            if self.scope.features is not None and name not in self.scope.features:
                hint = did_you_mean(name, self.scope.features)
                raise self._fail(node, f"there is no feature {name!r}{hint}")
            return "double"
        if root == "event":
            if name not in EVENT_FIELDS:
                raise self._fail(node, f"an event has no {name!r}{did_you_mean(name, EVENT_FIELDS)}")
            return EVENT_FIELDS[name]
        if root == "item":
            if name not in ITEM_FIELDS:
                raise self._fail(node, f"an order item has no field {name!r}{did_you_mean(name, ITEM_FIELDS)}")
            return type_of(ITEM_FIELDS[name])
        if name not in self.data:
            where = f" of {', '.join(self.scope.types)}" if self.scope.types else ""
            raise self._fail(node, f"the vocabulary{where} has no field {name!r}{did_you_mean(name, self.data)}")
        types = self.data[name]
        return next(iter(types)) if len(types) == 1 else "dyn"

    def _has(self, node: Node) -> str:
        self.check(node.args[0])
        return "bool"

    def _list(self, node: Node) -> str:
        types = {arg.type for arg in node.args}
        return f"list({types.pop()})" if len(types) == 1 else "list(dyn)"

    def _index(self, node: Node) -> str:
        owner, place = node.args
        if owner.type.startswith("list"):
            if place.type not in ("int", "dyn"):
                raise self._fail(node, f"a list is indexed by int, not {place.type}")
            return element(owner.type)
        if owner.type == "dyn":
            return "dyn"
        raise self._fail(node, f"a {owner.type} has no elements")

    def _bool(self, node: Node, what: str) -> None:
        if node.type not in ("bool", "dyn"):
            raise self._fail(node, f"{what} takes bool, not {node.type}")

    def _not(self, node: Node) -> str:
        self._bool(node.args[0], "!")
        return "bool"

    def _negate(self, node: Node) -> str:
        if node.args[0].type not in (*NUMERIC, "dyn"):
            raise self._fail(node, f"no such overload: -{node.args[0].type}")
        return node.args[0].type

    def _and(self, node: Node) -> str:
        for arg in node.args:
            self._bool(arg, node.value)
        return "bool"

    _or = _and

    def _choose(self, node: Node) -> str:
        condition, then, other = node.args
        self._bool(condition, "the condition of ?:")
        if then.type != other.type and "dyn" not in (then.type, other.type):
            raise self._fail(node, f"both sides of ?: must be of one type, not {then.type} and {other.type}")
        return then.type if then.type == other.type else "dyn"

    def _binary(self, node: Node) -> str:
        op, left, right = node.value, node.args[0].type, node.args[1].type
        failure = self._fail(node, f"no such overload: {left} {op} {right}")
        if op == "in":
            if right != "dyn" and not right.startswith("list"):
                raise failure
            if not comparable(left, element(right)):
                raise failure
            return "bool"
        if op in ("==", "!="):
            if not comparable(left, right):
                raise failure
            return "bool"
        if op in ("<", "<=", ">", ">="):
            if "dyn" not in (left, right) and not (comparable(left, right) and left in SCALARS):
                raise failure
            return "bool"
        if "dyn" in (left, right):
            return "dyn"
        listed = left.startswith("list") and right.startswith("list")
        if left != right and not listed:
            if left in NUMERIC and right in NUMERIC:
                raise self._fail(node, f"{failure.reason}; int and double do not mix, use int() or double()")
            raise failure
        allowed = {"+": (*NUMERIC, "string"), "%": ("int",)}.get(op, NUMERIC)
        if left not in allowed and not (op == "+" and listed):
            raise failure
        return left if left == right else "list(dyn)"

    def _call(self, node: Node) -> str:
        name, args = str(node.value), [arg.type for arg in node.args]
        method = node.type == "method"
        known = METHODS if method else FUNCTIONS
        usable = {key: value for key, value in known.items() if self.scope.lists or key not in LISTED}
        if name not in usable:
            raise self._fail(node, f"unknown function {name!r}{did_you_mean(name, usable)}")
        for signature, result in usable[name]:
            if len(signature) == len(args) and all(fits(a, s) for a, s in zip(args, signature, strict=True)):
                self._pattern(node, name)
                return result
        shown = ", ".join(args[1:] if method else args)
        raise self._fail(node, f"no such overload: {f'{args[0]}.' if method else ''}{name}({shown})")

    def _pattern(self, node: Node, name: str) -> None:
        if name == "matches" and node.args[1].kind == "literal":
            try:
                pattern(node.args[1].value)
            except re2.error as error:
                raise self._fail(node.args[1], f"not an RE2 pattern: {error}") from error


FUNCTIONS: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "size": ((("string",), "int"), (("list",), "int")),
    "int": tuple(((type_,), "int") for type_ in ("int", "double", "string")),
    "double": tuple(((type_,), "double") for type_ in ("int", "double", "string")),
    "string": tuple(((type_,), "string") for type_ in SCALARS),
    "matches": ((("string", "string"), "bool"),),
    "in_list": ((("string", "string"), "bool"), (("string", "int"), "bool")),
    "in_cidr": ((("string", "string"), "bool"),),
}
METHODS: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "size": ((("string",), "int"), (("list",), "int")),
    "startsWith": ((("string", "string"), "bool"),),
    "endsWith": ((("string", "string"), "bool"),),
    "contains": ((("string", "string"), "bool"),),
    "matches": ((("string", "string"), "bool"),),
}
LISTED = ("in_list", "in_cidr")


def fits(given: str, wanted: str) -> bool:
    """Return whether an argument of one type may stand where another is wanted."""
    return given in ("dyn", wanted) or (wanted == "list" and given.startswith("list"))


def comparable(left: str, right: str) -> bool:
    """Return whether two types can be equal: the same, two numbers, or either known only when it runs."""
    if left == right or "dyn" in (left, right) or "null" in (left, right):
        return True
    return (left in NUMERIC and right in NUMERIC) or (left.startswith("list") and right.startswith("list"))


_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20


def pattern(text: str) -> re2._Regexp:
    """Return the compiled RE2 pattern, bounded in memory; re2.error where it is none."""
    return re2.compile(text, _OPTIONS)
