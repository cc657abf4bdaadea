"""The CEL subset on single values: a tree becomes one Python function.

An operator on a missing or failed value is an error; ``&&`` and ``||`` absorb errors: the outcome of an operand that
decides alone wins over an error of another (CEL specification, "Logical operators").
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import re2

from tocsin.flow.cel_syntax import INT_MAX, INT_MIN, Node
from tocsin.flow.cel_types import pattern
from tocsin.flow.lists import address_of

if TYPE_CHECKING:
    from tocsin.flow.lists import Lists

CAUSES = ("", "missing", "overload", "overflow", "division", "conversion", "not-a-number", "index", "pattern")
"""Why an expression has no value; the place in this tuple is its code in the columns of ``cel_rows``."""
Step = Callable[["Env"], Any]


class CelFault(Exception):
    """An expression has no value, because of ``cause``."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Env:
    """What one evaluation reads: the roots by name, the named lists, and the time that lists expire by."""

    __slots__ = ("lists", "roots", "tau")

    def __init__(self, roots: Mapping[str, Any], lists: Lists | None = None, tau: int = 0) -> None:
        self.roots, self.lists, self.tau = roots, lists, tau


def fit(value: Any, type_: str) -> Any:
    """Return a field's value as its type says, None where it is missing or of another type."""
    kind = value.__class__
    if type_ == "string":
        return value if kind is str else None
    if type_ == "int":
        return value if kind is int and INT_MIN <= value <= INT_MAX else None
    if type_ == "double":
        if kind is float:
            return value if value == value else None  # noqa: PLR0124  (NaN stands for missing)
        return float(value) if kind is int else None
    if type_ == "bool":
        return value if kind is bool else None
    if type_ == "list(string)":
        return value if kind in (list, tuple) and all(part.__class__ is str for part in value) else None
    return value


def kind_of(value: Any) -> str:
    """Return the CEL type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "double"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (list, tuple)):
        return "list"
    return "map" if isinstance(value, Mapping) else "other"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal: numbers by value, values of different types never."""
    if _is_number(left) and _is_number(right):
        return bool(left == right) if left.__class__ is right.__class__ else float(left) == float(right)
    kind = kind_of(left)
    if kind != kind_of(right):
        return False
    if kind == "list":
        return len(left) == len(right) and all(map(equal, left, right))
    if kind == "map":
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def ordered(op: str, left: Any, right: Any) -> bool:
    """Return a comparison; int and double compare as doubles, NaN compares with nothing."""
    if _is_number(left) and _is_number(right):
        if left.__class__ is not right.__class__:
            left, right = float(left), float(right)
        if left != left or right != right:  # noqa: PLR0124
            raise CelFault("not-a-number")
    elif kind_of(left) != kind_of(right) or kind_of(left) not in ("string", "bool"):
        raise CelFault("overload")
    return bool(_ORDER[op](left, right))


def _bounded(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelFault("overflow")


def arithmetic(op: str, left: Any, right: Any) -> Any:
    """Return +, -, *, / or % of two values of one type; integers truncate towards zero and never wrap."""
    kind = kind_of(left)
    if kind != kind_of(right):
        raise CelFault("overload")
    if kind == "int":
        if op in "/%":
            if not right:
                raise CelFault("division")
            if left == INT_MIN and right == -1:
                raise CelFault("overflow")
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return quotient if op == "/" else left - quotient * right
        return _bounded(left + right if op == "+" else left - right if op == "-" else left * right)
    if kind == "double" and op != "%":
        if op == "/":
            return divided(left, right)
        return left + right if op == "+" else left - right if op == "-" else left * right
    if op == "+" and kind in ("string", "list"):
        return left + right
    raise CelFault("overload")


def divided(left: float, right: float) -> float:
    """Return a quotient of doubles as IEEE 754 has it."""
    if right:
        return left / right
    if not left or left != left or right != right:  # noqa: PLR0124
        return float("nan")
    return float("inf") if (left > 0) == (str(right)[0] != "-") else float("-inf")


_INT = re.compile(r"[+-]?[0-9]+\Z")
_DOUBLE = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)\Z", re.I
)


def to_int(value: Any) -> int:
    """Return ``int(value)``: doubles truncate, texts are decimal digits."""
    kind = kind_of(value)
    if kind == "int":
        return int(value)
    if kind == "double":
        if not -9.223372036854775808e18 < value < 9.223372036854775808e18:
            raise CelFault("overflow")
        return int(value)
    if kind == "string" and _INT.match(value) and len(value) <= 64:
        number = int(value)
        if INT_MIN <= number <= INT_MAX:
            return number
    raise CelFault("conversion" if kind == "string" else "overload")


def to_double(value: Any) -> float:
    """Return ``double(value)``."""
    kind = kind_of(value)
    if kind in ("int", "double"):
        return float(value)
    if kind == "string" and _DOUBLE.match(value):
        return float(value)
    raise CelFault("conversion" if kind == "string" else "overload")


def to_text(value: Any) -> str:
    """Return ``string(value)``; doubles as the shortest decimal that reads back, without an exponent."""
    kind = kind_of(value)
    if kind == "string":
        return str(value)
    if kind == "bool":
        return "true" if value else "false"
    if kind == "int":
        return str(value)
    if kind != "double":
        raise CelFault("overload")
    if value in (float("inf"), float("-inf")) or value != value:  # noqa: PLR0124
        return "NaN" if value != value else str(value)  # noqa: PLR0124
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def size(value: Any) -> int:
    """Return the characters of a text or the elements of a list or map."""
    if kind_of(value) not in ("string", "list", "map"):
        raise CelFault("overload")
    return len(value)


_PATTERNS: dict[str, Any] = {}


def matches(value: Any, text: Any) -> bool:
    """Return whether an RE2 pattern matches anywhere in a text."""
    if not isinstance(value, str) or not isinstance(text, str):
        raise CelFault("overload")
    compiled = _PATTERNS.get(text)
    if compiled is None:
        try:
            compiled = pattern(text)
        except re2.error as error:
            raise CelFault("pattern") from error
        if len(_PATTERNS) >= 1024:
            _PATTERNS.clear()
        _PATTERNS[text] = compiled
    return compiled.search(value) is not None


def member(owner: Any, name: Any) -> Any:
    """Return a field of a map."""
    if not isinstance(owner, Mapping):
        raise CelFault("overload")
    if name not in owner:
        raise CelFault("missing")
    return owner[name]


def indexed(owner: Any, place: Any) -> Any:
    """Return an element of a list or map."""
    if isinstance(owner, Mapping):
        return member(owner, place)
    if kind_of(owner) != "list" or kind_of(place) != "int":
        raise CelFault("overload")
    if not 0 <= place < len(owner):
        raise CelFault("index")
    return owner[place]


def contained(value: Any, owner: Any) -> bool:
    """Return whether a list holds a value, or a map a key."""
    if isinstance(owner, Mapping):
        return value in owner
    if kind_of(owner) != "list":
        raise CelFault("overload")
    return any(equal(value, part) for part in owner)


def _texts(method: str) -> Callable[[Any, Any], bool]:
    def call(value: Any, part: Any) -> bool:
        if not isinstance(value, str) or not isinstance(part, str):
            raise CelFault("overload")
        if method == "contains":
            return part in value
        return value.startswith(part) if method == "startsWith" else value.endswith(part)

    return call


CALLS: dict[str, Callable[..., Any]] = {
    "size": size,
    "int": to_int,
    "double": to_double,
    "string": to_text,
    "matches": matches,
    "startsWith": _texts("startsWith"),
    "endsWith": _texts("endsWith"),
    "contains": _texts("contains"),
}


def in_list(lists: Lists | None, tau: int, name: Any, value: Any) -> bool:
    """Return whether a value is on a named list; numbers are looked up as their digits."""
    if not isinstance(name, str) or kind_of(value) not in ("string", "int"):
        raise CelFault("overload")
    return lists is not None and lists.holds(name, str(value), tau)


def in_cidr(lists: Lists | None, tau: int, name: Any, value: Any) -> bool:
    """Return whether an address lies in a network of a named list."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise CelFault("overload")
    address = address_of(value)
    if address is None:
        raise CelFault("conversion")
    return lists is not None and lists.covers(name, address, tau)


def build(node: Node) -> Step:
    """Return the function of a checked tree: an ``Env`` in, the value out, or CelFault."""
    return _BUILDERS[node.kind](node)


def _literal(node: Node) -> Step:
    value = node.value
    return lambda env: value


def _ident(node: Node) -> Step:
    name, type_ = node.value, node.type

    def step(env: Env) -> Any:
        value = fit(env.roots.get(name), type_)
        if value is None:
            raise CelFault("missing")
        return value

    return step


def _select(node: Node) -> Step:
    owner, name, type_ = node.args[0], node.value, node.type
    if owner.type != "map":
        inner = build(owner)
        return lambda env: member(inner(env), name)
    root = owner.value

    def step(env: Env) -> Any:
        holder = env.roots.get(root)
        value = None if holder is None else fit(holder.get(name), type_)
        if value is None:
            raise CelFault("missing")
        return value

    return step


def _has(node: Node) -> Step:
    field = node.args[0]
    if field.args[0].type == "map":
        inner = build(field)

        def step(env: Env) -> bool:
            try:
                inner(env)
            except CelFault:
                return False
            return True

        return step
    owner, name = build(field.args[0]), field.value

    def holds(env: Env) -> bool:
        value = owner(env)
        if not isinstance(value, Mapping):
            raise CelFault("overload")
        return name in value

    return holds


def _list(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    return lambda env: [part(env) for part in parts]


def _index(node: Node) -> Step:
    owner, place = (build(arg) for arg in node.args)
    return lambda env: indexed(owner(env), place(env))


def _truth(step: Step, env: Env) -> bool:
    value = step(env)
    if value.__class__ is not bool:
        raise CelFault("overload")
    return bool(value)


def _not(node: Node) -> Step:
    inner = build(node.args[0])
    return lambda env: not _truth(inner, env)


def _negate(node: Node) -> Step:
    inner = build(node.args[0])

    def step(env: Env) -> Any:
        value = inner(env)
        if not _is_number(value):
            raise CelFault("overload")
        return _bounded(-value) if value.__class__ is int else -value

    return step


def _logic(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    decides = node.kind == "or"

    def step(env: Env) -> bool:
        fault: CelFault | None = None
        for part in parts:
            try:
                if _truth(part, env) is decides:
                    return decides
            except CelFault as error:
                fault = fault or error
        if fault is not None:
            raise fault
        return not decides

    return step


def _choose(node: Node) -> Step:
    condition, then, other = (build(arg) for arg in node.args)
    return lambda env: then(env) if _truth(condition, env) else other(env)


def _binary(node: Node) -> Step:
    left, right = (build(arg) for arg in node.args)
    op = node.value
    if op == "==":
        return lambda env: equal(left(env), right(env))
    if op == "!=":
        return lambda env: not equal(left(env), right(env))
    if op == "in":
        return lambda env: contained(left(env), right(env))
    if op in _ORDER:
        return lambda env: ordered(op, left(env), right(env))
    return lambda env: arithmetic(op, left(env), right(env))


def _call(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    if node.value in ("in_list", "in_cidr"):
        listed = in_list if node.value == "in_list" else in_cidr
        return lambda env: listed(env.lists, env.tau, *(part(env) for part in parts))
    call = CALLS[node.value]
    return lambda env: call(*(part(env) for part in parts))


_BUILDERS: dict[str, Callable[[Node], Step]] = {
    "literal": _literal,
    "ident": _ident,
    "select": _select,
    "has": _has,
    "list": _list,
    "index": _index,
    "not": _not,
    "negate": _negate,
    "and": _logic,
    "or": _logic,
    "choose": _choose,
    "binary": _binary,
    "call": _call,
}
