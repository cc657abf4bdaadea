"""The CEL subset on columns: a tree becomes one NumPy function over all rows of a view.

``&&`` and ``||`` look at cheap operands first and at dear ones (functions of texts) only on the rows that are still
open, where it can matter: value and cause are those of the written order. Trees whose types are known only when they
run (``dyn``, computed lists) are not for columns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_calls import call_step
from tocsin.flow.cel_columns import CODE, Causes, Part, causes_of, causes_where, first
from tocsin.flow.cel_operators import in_step, null_step, operator_step, spread
from tocsin.flow.cel_syntax import INT_MIN, Node
from tocsin.flow.cel_texts import BLANK, DTYPES, Text
from tocsin.flow.cel_views import View

if TYPE_CHECKING:
    from collections.abc import Iterator

Step = Callable[[View], Part]
NARROW = 64
"""Views of fewer rows are not narrowed further."""
_PLAIN = ("literal", "ident", "select")


class NotColumns(Exception):
    """The tree cannot be computed on columns."""


def canonical(node: Node) -> str:
    """Return the tree in one form: equal for equal sub-trees, wherever they stand."""
    inside = ",".join(map(canonical, node.args))
    return f"{node.kind}:{node.value!r}:{node.type}({inside})"


def subtrees(node: Node) -> Iterator[str]:
    """Yield the canonical form of every computed part of a tree."""
    if node.kind not in _PLAIN:
        yield sys.intern(canonical(node))
        for arg in node.args:
            yield from subtrees(arg)


def build(node: Node) -> Step:
    """Return the function of a checked tree over a view; NotColumns where it needs single values."""
    if node.type not in DTYPES or node.kind not in _BUILDERS:
        raise NotColumns(node.kind)
    step = _BUILDERS[node.kind](node)
    if node.kind in _PLAIN:
        return step
    key = sys.intern(canonical(node))

    def kept(view: View) -> Part:
        if key not in view.shared:
            return step(view)
        part = view.parts.get(key)
        if part is None:
            part = view.parts[key] = step(view)
        return part

    return kept


def dear(node: Node) -> bool:
    """Return whether a tree reads strings: then it is looked at last."""
    if node.kind == "call" and not (node.value == "double" and node.args[0].type != "string"):
        return True
    if node.kind == "binary" and node.value not in ("==", "!=", "in") and node.args[0].type == "string":
        return True
    return any(map(dear, node.args))


def _literal(node: Node) -> Step:
    part: Part = (node.value, None)
    return lambda view: part


def _ident(node: Node) -> Step:
    return lambda view: view.field("score", "", "double")


def _select(node: Node) -> Step:
    root, name, type_ = node.args[0].value, node.value, node.type
    if node.args[0].type != "map":
        raise NotColumns("dyn")
    return lambda view: view.field(root, name, type_)


def _has(node: Node) -> Step:
    inner = build(node.args[0])

    def step(view: View) -> Part:
        causes = inner(view)[1]
        return (True if causes is None else ~causes.failed), None

    return step


def _not(node: Node) -> Step:
    inner = build(node.args[0])

    def step(view: View) -> Part:
        values, causes = inner(view)
        return ~values if isinstance(values, np.ndarray) else not values, causes

    return step


def _negate(node: Node) -> Step:
    inner, type_ = build(node.args[0]), node.type

    def step(view: View) -> Part:
        values, causes = inner(view)
        values = spread(values, view.n, type_)
        if type_ == "double":
            return -values, causes
        edge = values == INT_MIN
        return np.where(edge, 0, -np.where(edge, 0, values)), first(causes, causes_where(edge, CODE["overflow"]))

    return step


def _open(values: Any, causes: Causes | None, decides: bool) -> Any:
    """Return the rows on which an operand does not decide: a bool [n], or one bool for all."""
    if isinstance(values, np.ndarray):
        stay = ~values if decides else values
        return stay if causes is None else stay | causes.failed
    return values is not decides if causes is None else (causes.failed if values is decides else True)


def _logic(node: Node) -> Step:
    decides = node.kind == "or"
    parts = sorted(((dear(arg), place, build(arg)) for place, arg in enumerate(node.args)), key=lambda part: part[:2])

    def step(view: View) -> Part:
        n = count = view.n
        held: np.ndarray | None = None
        found: list[Causes | None] = [None] * len(parts)
        for late, place, part in parts:
            if late and held is not None and NARROW < n and count <= n >> 1:
                rows = np.flatnonzero(held)
                values, causes = part(view.narrow(rows))
                held = held.copy()
                held[rows] = _open(values, causes, decides)
                causes = None if causes is None else causes.scattered(rows, n)
            else:
                values, causes = part(view)
                stay = _open(values, causes, decides)
                if stay is False:
                    return decides, None
                if stay is not True:
                    held = stay if held is None else held & stay
            found[place] = causes
            if held is not None:
                count = int(np.count_nonzero(held))
                if not count:
                    return decides, None
        return _undecided(held, found, decides)

    return step


def _undecided(held: np.ndarray | None, found: list[Causes | None], decides: bool) -> Part:
    causes = first(*found)
    if held is None:
        return not decides, causes
    return ~held if decides else held, None if causes is None else causes.only(held)


def _choose(node: Node) -> Step:
    condition, then, other = (build(arg) for arg in node.args)
    late, type_ = [dear(arg) for arg in node.args[1:]], node.type

    def side(view: View, choice: np.ndarray, step: Step, is_dear: bool) -> Part:
        if not is_dear or view.n <= NARROW:
            return step(view)
        rows = np.flatnonzero(choice)
        values, causes = step(view.narrow(rows))
        whole = spread(BLANK[type_], view.n, type_).copy()
        whole[rows] = spread(values, len(rows), type_)
        return whole, None if causes is None else causes.scattered(rows, view.n)

    def step(view: View) -> Part:
        choice, causes = condition(view)
        choice = spread(choice, view.n, "bool")
        left, left_causes = side(view, choice, then, late[0])
        right, right_causes = side(view, ~choice, other, late[1])
        n = view.n
        values: Any = np.where(choice, spread(left, n, type_), spread(right, n, type_))
        return Text(None, None, None, values) if type_ == "string" else values, first(
            causes, _chosen(choice, left_causes, right_causes)
        )

    return step


def _chosen(choice: np.ndarray, left: Causes | None, right: Causes | None) -> Causes | None:
    if left is None and right is None:
        return None
    codes = np.where(choice, 0 if left is None else left.codes, 0 if right is None else right.codes)
    return causes_of(codes.astype(np.int8))


def _binary(node: Node) -> Step:
    op, (one, other) = node.value, node.args
    if op == "in":
        return _in(one, other, node)
    if op in ("==", "!=") and "null" in (one.type, other.type):
        return null_step(node, [build(arg) for arg in node.args if arg.type != "null"])
    return operator_step(node, build(one), build(other))


def _in(value: Node, owner: Node, node: Node) -> Step:
    if owner.kind != "list" or not owner.args:
        raise NotColumns("list")
    if any(part.type != value.type and {part.type, value.type} != {"int", "double"} for part in owner.args):
        raise NotColumns("list")
    return in_step(node, build(value), [build(part) for part in owner.args])


def _call(node: Node) -> Step:
    return call_step(node, [build(arg) for arg in node.args])


_BUILDERS: dict[str, Callable[[Node], Step]] = {
    "literal": _literal,
    "ident": _ident,
    "select": _select,
    "has": _has,
    "not": _not,
    "negate": _negate,
    "and": _logic,
    "or": _logic,
    "choose": _choose,
    "binary": _binary,
    "call": _call,
}
