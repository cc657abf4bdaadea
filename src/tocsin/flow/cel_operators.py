"""Operators of the CEL subset on columns: comparison, arithmetic, joining of texts, and ``in``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_columns import COMPARE, compared, doubles, first, integers
from tocsin.flow.cel_parts import may_be_nan
from tocsin.flow.cel_texts import DTYPES, Text, boxed, objects, texts_among, texts_compared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.flow.cel_columns import Part
    from tocsin.flow.cel_syntax import Node
    from tocsin.flow.cel_views import View

    Step = Callable[[View], Part]


def spread(values: Any, n: int, type_: str) -> np.ndarray:
    """Return the values of a part as an array [n]."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, Text):
        return values.strings()
    if type_ == "string":
        return boxed([values] * n)
    return np.full(n, values, DTYPES[type_])


def _column(values: Any, n: int, type_: str) -> Any:
    """Return the values of a part as an array [n] or a ``Text``."""
    if isinstance(values, (np.ndarray, Text)):
        return values
    column = spread(values, n, type_)
    return Text(None, None, None, column) if type_ == "string" else column


def operator_step(node: Node, left: Step, right: Step) -> Step:
    """Return the function of a comparison, of arithmetic or of a joining of texts."""
    op, type_ = node.value, node.args[0].type
    compute = _texts(op) if type_ == "string" else _numbers(node)

    def step(view: View) -> Part:
        (a, a_causes), (b, b_causes) = left(view), right(view)
        if not isinstance(b, (np.ndarray, Text)):
            a = _column(a, view.n, type_)
        values, causes = compute(a, b)
        return values, first(a_causes, b_causes, causes)

    return step


def _texts(op: str) -> Callable[[Any, Any], Part]:
    if op in COMPARE:
        return lambda a, b: (texts_compared(op, a, b), None)

    def joined(a: Any, b: Any) -> Part:
        return Text(None, None, None, objects(a) + objects(b)), None

    return joined


def _numbers(node: Node) -> Callable[[Any, Any], Part]:
    op, (one, other) = node.value, node.args
    if op in COMPARE:
        mixed = one.type != other.type
        nan = op not in ("==", "!=") and (may_be_nan(one) or may_be_nan(other))
        return lambda a, b: compared(op, a, b, mixed, nan)
    if node.type == "int":
        return lambda a, b: integers(op, a, b)
    return lambda a, b: (doubles(op, a, b), None)


def null_step(node: Node, sides: Sequence[Step]) -> Step:
    """Return the function of a comparison with null; ``sides`` are those that are not null."""
    same = (len(sides) == 0) == (node.value == "==")
    return lambda view: (same, sides[0](view)[1] if sides else None)


def in_step(node: Node, left: Step, parts: Sequence[Step]) -> Step:
    """Return the function of ``in`` over a list that is written out; ``parts`` are its elements."""
    value, owner = node.args
    mixed, type_ = [part.type != value.type for part in owner.args], value.type
    words = [part.value for part in owner.args] if all(part.kind == "literal" for part in owner.args) else []

    def step(view: View) -> Part:
        values, causes = left(view)
        if words and isinstance(values, Text):
            return texts_among(values, words), causes
        values = _column(values, view.n, type_)
        found = np.zeros(view.n, bool)
        for part, other in zip(parts, mixed, strict=True):
            candidate, more = part(view)
            if type_ == "string":
                found |= texts_compared("==", values, candidate)
            else:
                found |= compared("==", values, candidate, other, False)[0]
            causes = first(causes, more)
        return found, causes

    return step
