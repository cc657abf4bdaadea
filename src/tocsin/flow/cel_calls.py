"""Functions of the CEL subset on columns: answers about texts are remembered by hash, lists are read with expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_columns import CODE, Causes, Part, as_double, causes_where, first
from tocsin.flow.cel_texts import Remembered, Text, boxed, merged
from tocsin.flow.cel_values import CALLS, CelFault, in_cidr, in_list
from tocsin.flow.cel_views import BLANK, DTYPES
from tocsin.flow.lists import Lists, address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.flow.cel_syntax import Node
    from tocsin.flow.cel_views import View

    Step = Callable[[View], Part]

NO_LISTS = Lists()
EDGE = 9.223372036854775808e18


def call_step(node: Node, parts: list[Step]) -> Step:
    """Return the function of a call over a view; ``parts`` are those of its arguments."""
    name, given = node.value, node.args[0].type
    literal = [arg.kind == "literal" for arg in node.args]
    if name in ("in_list", "in_cidr"):
        if literal == [True, False] and node.args[1].type == "string":
            return _on_list(name, node.args[0].value, parts[1])
        return _listed(name, parts)
    if name in ("double", "int") and given == name:
        return parts[0]
    if name == "double" and given == "int":
        return lambda view: _converted(parts[0](view))
    if name == "int" and given == "double":
        return lambda view: _truncated(view.n, parts[0](view))
    if given == "string" and not literal[0] and all(literal[1:]):
        words = [arg.value for arg in node.args[1:]]
        call = CALLS[name]
        return _remembered(Remembered(lambda text: call(text, *words)), parts[0], node.type)
    return _row_by_row(CALLS[name], parts, node.type)


def _converted(part: Part) -> Part:
    return as_double(part[0]), part[1]


def _truncated(n: int, part: Part) -> Part:
    values = part[0] if isinstance(part[0], np.ndarray) else np.full(n, part[0])
    inside = (values > -EDGE) & (values < EDGE)
    whole = np.where(inside, values, 0.0).astype(np.int64)
    return whole, first(part[1], causes_where(~inside, CODE["overflow"]))


def _rows(view: View, causes: Causes | None) -> np.ndarray:
    return view.places() if causes is None else np.flatnonzero(~causes.failed)


def _text(value: Any, n: int) -> Text:
    return value if isinstance(value, Text) else Text(None, None, None, boxed([value] * n))


def _column(n: int, rows: np.ndarray, found: list[Any], type_: str) -> Any:
    """Return the values of these rows as a column; None is a failed one."""
    blank = BLANK[type_]
    filled = [blank if value is None else value for value in found] if None in found else found
    if type_ != "string" and len(rows) == n:
        return np.array(filled, DTYPES[type_])
    values = np.full(n, blank, DTYPES[type_])
    values[rows] = filled
    return Text(None, None, None, values) if type_ == "string" else values


def _remembered(answers: Remembered, part: Step, type_: str) -> Step:
    def step(view: View) -> Part:
        text, causes = part(view)
        rows = _rows(view, causes)
        found, codes = answers.answers(_text(text, view.n), rows)
        return _column(view.n, rows, found, type_), merged(view.n, rows, codes, causes)

    return step


def _row_by_row(call: Callable[..., Any], parts: list[Step], type_: str) -> Step:
    def step(view: View) -> Part:
        columns = [part(view) for part in parts]
        causes = first(*(column[1] for column in columns))
        rows = _rows(view, causes)
        found: list[Any] = []
        codes = []
        for values in zip(*(_listing(column[0], rows) for column in columns), strict=True):
            try:
                found.append(call(*values))
                codes.append(0)
            except CelFault as fault:
                found.append(None)
                codes.append(CODE[fault.cause])
        return _column(view.n, rows, found, type_), merged(view.n, rows, codes, causes)

    return step


def _listing(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, Text):
        return values.at(rows)
    return values[rows].tolist() if isinstance(values, np.ndarray) else [values] * len(rows)


class _Until:
    """Until when a text, or a network that it lies in, is on a list: answers that hold until the list changes."""

    __slots__ = ("_answers", "_lists", "_look", "_name", "_version")

    def __init__(self, kind: str, name: str) -> None:
        self._name = name
        self._lists: Lists | None = None
        self._version = -1
        self._answers = Remembered(self._value if kind == "in_list" else self._network)

    def answers(self, lists: Lists, text: Text, rows: np.ndarray) -> tuple[list[Any], list[int]]:
        if lists is not self._lists or lists.version(self._name) != self._version:
            self._answers.forget()
            self._lists, self._version = lists, lists.version(self._name)
        return self._answers.answers(text, rows)

    def _value(self, text: str) -> int:
        return 0 if self._lists is None else self._lists.until(self._name, text)

    def _network(self, text: str) -> int:
        address = address_of(text)
        if address is None:
            raise CelFault("conversion")
        return 0 if self._lists is None else self._lists.covered_until(self._name, address)


def _on_list(kind: str, name: str, part: Step) -> Step:
    until = _Until(kind, name)

    def step(view: View) -> Part:
        text, causes = part(view)
        lists = view.lists
        if lists is None or (kind == "in_list" and not lists.values.get(name)):
            if kind == "in_list":
                return False, causes
            lists = NO_LISTS
        rows = _rows(view, causes)
        found, codes = until.answers(lists, _text(text, view.n), rows)
        limits = _column(view.n, rows, found, "int")
        return limits > view.taus(), merged(view.n, rows, codes, causes)

    return step


def _listed(name: str, parts: list[Step]) -> Step:
    look = in_list if name == "in_list" else in_cidr

    def step(view: View) -> Part:
        (names, name_causes), (keys, key_causes) = (part(view) for part in parts)
        causes = first(name_causes, key_causes)
        rows = _rows(view, causes)
        found: list[Any] = []
        codes = []
        taus = view.taus()[rows].tolist()
        for tau, one, key in zip(taus, _listing(names, rows), _listing(keys, rows), strict=True):
            try:
                found.append(look(view.lists, tau, one, key))
                codes.append(0)
            except CelFault as fault:
                found.append(None)
                codes.append(CODE[fault.cause])
        return _column(view.n, rows, found, "bool"), merged(view.n, rows, codes, causes)

    return step
