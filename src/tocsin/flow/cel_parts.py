"""What generated functions call: outcomes that are errors, integer division, patterns with their answers kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.flow.cel_syntax import INT_MAX, INT_MIN
from tocsin.flow.cel_values import CAUSES, CelFault, divided, matches, to_text
from tocsin.flow.lists import address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.flow.cel_syntax import Node

EDGE = 9.223372036854775808e18
MOST_TEXTS = 4096
"""How many texts a pattern keeps its answer of."""


class Outcome:
    """An expression that has no value, because of ``cause``: ``CelFault`` as a value."""

    __slots__ = ("cause",)

    def __init__(self, cause: str) -> None:
        self.cause = cause


FAILED = {cause: Outcome(cause) for cause in CAUSES[1:]}


def tried(step: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function comes to, an ``Outcome`` where it has no value."""
    try:
        return step(*arguments)
    except CelFault as fault:
        return FAILED[fault.cause]


def quotient(left: int, right: int) -> int:
    """Return an integer quotient that truncates towards zero.

    >>> quotient(-5, 2), quotient(-4, 2), quotient(5, -2)
    (-2, -2, -2)
    """
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def remainder(left: int, right: int) -> int:
    """Return the remainder of ``quotient``: it has the sign of the left side.

    >>> remainder(-5, 2), remainder(5, -2)
    (-1, 1)
    """
    return left - quotient(left, right) * right


class Kept(dict[str, Any]):
    """Whether an RE2 pattern matches a text: answers by text, kept because texts come again."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = pattern

    def __missing__(self, text: str) -> Any:
        if len(self) >= MOST_TEXTS:
            self.clear()
        answer = self[text] = tried(matches, text, self._pattern)
        return answer


def helpers() -> dict[str, Any]:
    """Return the names that every generated function may use."""
    return {
        "__builtins__": {"float": float, "int": int, "len": len, "str": str, "bool": bool},
        "EDGE": EDGE,
        "INT_MAX": INT_MAX,
        "INT_MIN": INT_MIN,
        "Outcome": Outcome,
        "address_of": address_of,
        "divided": divided,
        "failed": FAILED,
        "matches": matches,
        "quotient": quotient,
        "remainder": remainder,
        "to_text": to_text,
        "tried": tried,
    }


def may_be_nan(node: Node) -> bool:
    """Return whether a number may be NaN: a field, a feature, a score, a literal or an integer never is."""
    if node.type != "double" or node.kind in ("literal", "ident", "select"):
        return False
    if node.kind == "choose":
        return may_be_nan(node.args[1]) or may_be_nan(node.args[2])
    if node.kind == "negate" or (node.kind == "call" and node.args[0].type != "string"):
        return may_be_nan(node.args[0])
    return True
