"""The CEL subset on columns: a tree becomes one NumPy function over all rows of a batch.

A column is (values [n], codes int8 [n]): the code is the place of the cause in ``cel_values.CAUSES``, 0 where the row
has a value. Trees whose types are known only when they run (``dyn``, computed lists) are not for columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_columns import CODE, COMPARE, Part, Values, compared, doubles, first, integers
from tocsin.flow.cel_syntax import INT_MIN, Node
from tocsin.flow.cel_values import CALLS, CelFault, fit, in_cidr, in_list

if TYPE_CHECKING:
    from tocsin.core.desk import Batch, Features
    from tocsin.flow.lists import Lists

Step = Callable[["Rows"], Part]
DTYPES: dict[str, Any] = {"int": np.int64, "double": np.float64, "bool": np.bool_, "string": object}
BLANK: dict[str, Any] = {"int": 0, "double": 0.0, "bool": False, "string": ""}


class NotColumns(Exception):
    """The tree cannot be computed on columns."""


class Rows:
    """What one evaluation reads, as columns; fields are extracted once a batch and kept with it."""

    def __init__(self, batch: Batch, features: Features | None, scores: Values | None, lists: Lists | None) -> None:
        self.batch, self.features, self.scores, self.lists = batch, features, scores, lists
        self.n = batch.n
        self.kept: dict[tuple[str, str], Part] = getattr(batch, "kept", {})

    def field(self, root: str, name: str, type_: str) -> Part:
        """Return a field of the event, its data or the features."""
        if root == "features":
            return self._feature(name)
        part = self.kept.get((root, name))
        if part is None:
            events = self.batch.events
            raw = (
                [event.data.get(name) for event in events]
                if root == "data"
                else [getattr(event, name) for event in events]
            )
            part = self.kept[root, name] = typed([fit(value, type_) for value in raw], type_)
        return part

    def _feature(self, name: str) -> Part:
        try:
            column = None if self.features is None else self.features[name]
        except KeyError:
            column = None
        if column is None:
            return np.zeros(self.n), np.full(self.n, CODE["missing"], np.int8)
        present = column.present & ~np.isnan(column.values)
        return np.where(present, column.values, 0.0), np.where(present, 0, CODE["missing"]).astype(np.int8)

    def score(self) -> Part:
        """Return the model's score, missing where the row was not scored."""
        if self.scores is None:
            return np.zeros(self.n), np.full(self.n, CODE["missing"], np.int8)
        missing = np.isnan(self.scores)
        return np.where(missing, 0.0, self.scores), np.where(missing, CODE["missing"], 0).astype(np.int8)


def typed(values: list[Any], type_: str) -> Part:
    """Return values, None where missing, as a column."""
    blank = BLANK[type_]
    codes = np.fromiter((CODE["missing"] if value is None else 0 for value in values), np.int8, len(values))
    column = np.empty(len(values), DTYPES[type_])
    column[:] = [blank if value is None else value for value in values]
    return column, codes


def build(node: Node) -> Step:
    """Return the function of a checked tree over rows; NotColumns where it needs single values."""
    if node.type not in DTYPES or node.kind not in _BUILDERS:
        raise NotColumns(node.kind)
    return _BUILDERS[node.kind](node)


def _literal(node: Node) -> Step:
    value, dtype = node.value, DTYPES[node.type]

    def step(rows: Rows) -> Part:
        return np.full(rows.n, value, dtype), np.zeros(rows.n, np.int8)

    return step


def _ident(node: Node) -> Step:
    return lambda rows: rows.score()


def _select(node: Node) -> Step:
    root, name, type_ = node.args[0].value, node.value, node.type
    if node.args[0].type != "map" or root == "item":
        raise NotColumns("item")
    return lambda rows: rows.field(root, name, type_)


def _has(node: Node) -> Step:
    inner = build(node.args[0])

    def step(rows: Rows) -> Part:
        return inner(rows)[1] == 0, np.zeros(rows.n, np.int8)

    return step


def _not(node: Node) -> Step:
    inner = build(node.args[0])

    def step(rows: Rows) -> Part:
        values, codes = inner(rows)
        return ~values, codes

    return step


def _negate(node: Node) -> Step:
    inner, whole = build(node.args[0]), node.type == "int"

    def step(rows: Rows) -> Part:
        values, codes = inner(rows)
        if not whole:
            return -values, codes
        edge = values == INT_MIN
        return np.where(edge, 0, -values), first(codes, np.where(edge, CODE["overflow"], 0).astype(np.int8))

    return step


def _logic(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    decides = node.kind == "or"

    def step(rows: Rows) -> Part:
        decided = np.zeros(rows.n, bool)
        found = np.zeros(rows.n, np.int8)
        for part in parts:
            values, codes = part(rows)
            decided |= (codes == 0) & (values == decides)
            found = first(found, codes)
        return decided if decides else ~decided, np.where(decided, 0, found).astype(np.int8)

    return step


def _choose(node: Node) -> Step:
    condition, then, other = (build(arg) for arg in node.args)

    def step(rows: Rows) -> Part:
        (choice, codes), (left, left_codes), (right, right_codes) = condition(rows), then(rows), other(rows)
        return np.where(choice, left, right), first(codes, np.where(choice, left_codes, right_codes))

    return step


def _binary(node: Node) -> Step:
    op, (one, other) = node.value, node.args
    if op == "in":
        return _in(node)
    if op in ("==", "!=") and "null" in (one.type, other.type):
        return _null(node)
    left, right = build(one), build(other)
    mixed = one.type != other.type
    compute = _operation(op, node.type, mixed)

    def step(rows: Rows) -> Part:
        (a, a_codes), (b, b_codes) = left(rows), right(rows)
        values, codes = compute(a, b)
        return values, first(a_codes, b_codes, codes)

    return step


def _operation(op: str, type_: str, mixed: bool) -> Callable[[Values, Values], Part]:
    """Return what a comparison, arithmetic or a joining of texts does to two columns of values."""
    if op in COMPARE:
        return lambda a, b: compared(op, a, b, mixed)
    if type_ == "int":
        return lambda a, b: integers(op, a, b)
    if type_ == "double":
        return lambda a, b: (doubles(op, a, b), np.zeros(len(a), np.int8))
    return lambda a, b: (a + b, np.zeros(len(a), np.int8))


def _null(node: Node) -> Step:
    sides = [build(arg) for arg in node.args if arg.type != "null"]
    same = (len(sides) == 0) == (node.value == "==")

    def step(rows: Rows) -> Part:
        codes = [side(rows)[1] for side in sides]
        return np.full(rows.n, same), codes[0] if codes else np.zeros(rows.n, np.int8)

    return step


def _in(node: Node) -> Step:
    value, owner = node.args
    if owner.kind != "list":
        raise NotColumns("list")
    left, parts = build(value), [build(part) for part in owner.args]
    mixed = [part.type != value.type for part in owner.args]
    if any(part.type != value.type and {part.type, value.type} != {"int", "double"} for part in owner.args):
        raise NotColumns("list")

    def step(rows: Rows) -> Part:
        values, codes = left(rows)
        found = np.zeros(rows.n, bool)
        for part, other in zip(parts, mixed, strict=True):
            candidate, more = part(rows)
            found |= compared("==", values, candidate, other)[0]
            codes = first(codes, more)
        return found, codes

    return step


def _call(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    name, dtype, blank = node.value, DTYPES[node.type], BLANK[node.type]
    if name in ("in_list", "in_cidr"):
        return _listed(name, parts)
    if name == "double" and node.args[0].type in ("int", "double"):
        return lambda rows: _as_double(*parts[0](rows))
    call = CALLS[name]

    def step(rows: Rows) -> Part:
        columns = [part(rows) for part in parts]
        codes = first(*(part[1] for part in columns)).astype(np.int8)
        values = np.full(rows.n, blank, dtype)
        lists = [column.tolist() for column, _ in columns]
        for row in np.flatnonzero(codes == 0).tolist():
            try:
                values[row] = call(*(column[row] for column in lists))
            except CelFault as fault:
                codes[row] = CODE[fault.cause]
        return values, codes

    return step


def _as_double(values: Values, codes: Values) -> Part:
    return values.astype(np.float64), codes


def _listed(name: str, parts: list[Step]) -> Step:
    look = in_list if name == "in_list" else in_cidr

    def step(rows: Rows) -> Part:
        (names, name_codes), (keys, key_codes) = (part(rows) for part in parts)
        codes = first(name_codes, key_codes).astype(np.int8)
        values = np.zeros(rows.n, bool)
        names, keys, events = names.tolist(), keys.tolist(), rows.batch.events
        for row in np.flatnonzero(codes == 0).tolist():
            try:
                values[row] = look(rows.lists, events[row].tau, names[row], keys[row])
            except CelFault as fault:
                codes[row] = CODE[fault.cause]
        return values, codes

    return step


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
