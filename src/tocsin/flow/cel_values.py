"""Values of the CEL subset: equality, order, arithmetic, conversions and functions on single values."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import re2

from tocsin.flow.cel_syntax import INT_MAX, INT_MIN
from tocsin.flow.cel_types import pattern
from tocsin.flow.lists import address_of

if TYPE_CHECKING:
    from tocsin.flow.lists import Lists

CAUSES = ("", "missing", "overload", "overflow", "division", "conversion", "not-a-number", "index", "pattern")
"""Why an expression has no value; the place in this tuple is its code in the columns of ``cel_rows``."""


class CelFault(Exception):
    """An expression has no value, because of ``cause``."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def fit(value: Any, type_: str) -> Any:
    """Return a field's value as its type says, None where it is missing or of another type."""
    kind = value.__class__
    if type_ == "string":
        return value if kind is str else None
    if type_ == "int":
        return value if kind is int and INT_MIN <= value <= INT_MAX else None
    if type_ == "double":
        if kind is float:
            return None if math.isnan(value) else value
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


def is_number(value: Any) -> bool:
    """Return whether a value is int or double."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal: numbers by value, values of different types never."""
    if is_number(left) and is_number(right):
        return bool(left == right) if left.__class__ is right.__class__ else float(left) == float(right)
    kind = kind_of(left)
    if kind != kind_of(right):
        return False
    if kind == "list":
        return len(left) == len(right) and all(map(equal, left, right))
    if kind == "map":
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def ordered(op: str, left: Any, right: Any) -> bool:
    """Return a comparison; int and double compare as doubles, NaN compares with nothing."""
    if is_number(left) and is_number(right):
        if left.__class__ is not right.__class__:
            left, right = float(left), float(right)
        if math.isnan(left) or math.isnan(right):
            raise CelFault("not-a-number")
    elif kind_of(left) != kind_of(right) or kind_of(left) not in ("string", "bool"):
        raise CelFault("overload")
    return bool(ORDER[op](left, right))


def bounded(value: int) -> int:
    """Return an integer that fits in 64 bits."""
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
        return bounded(left + right if op == "+" else left - right if op == "-" else left * right)
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
    if not left or math.isnan(left) or math.isnan(right):
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
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
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
    try:
        return compiled.search(value.encode()) is not None
    except UnicodeEncodeError as error:  # half of a surrogate pair: no pattern can say anything about it
        raise CelFault("conversion") from error


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
