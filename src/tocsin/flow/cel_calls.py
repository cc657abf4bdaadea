"""Functions of the CEL subset on columns: answers about texts are remembered by hash, lists are read with expiry."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_columns import CODE, Causes, Part, as_double, causes_of, causes_where, first
from tocsin.flow.cel_listed import HashedList
from tocsin.flow.cel_texts import BLANK, DTYPES, Remembered, Text, boxed
from tocsin.flow.cel_values import CALLS, CelFault, in_cidr, in_list
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
            return (_in_list if name == "in_list" else _in_cidr)(node.args[0].value, parts[1])
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
        if name in ("startsWith", "endsWith"):
            return _found(name, words[0], Remembered(lambda text: call(text, *words), node.type), parts[0])
        return _remembered(Remembered(lambda text: call(text, *words), node.type), parts[0], node.type)
    return _row_by_row(CALLS[name], parts, node.type)


def _converted(part: Part) -> Part:
    return as_double(part[0]), part[1]


def _truncated(n: int, part: Part) -> Part:
    values = part[0] if isinstance(part[0], np.ndarray) else np.full(n, part[0])
    inside = (values > -EDGE) & (values < EDGE)
    whole = np.where(inside, values, 0.0).astype(np.int64)
    return whole, first(part[1], causes_where(~inside, CODE["overflow"]))


def _text(value: Any, n: int) -> Text:
    return value if isinstance(value, Text) else Text(None, None, None, boxed([value] * n))


def _remembered(answers: Remembered, part: Step, type_: str) -> Step:
    def step(view: View) -> Part:
        text, causes = part(view)
        values, codes = answers.answers(_text(text, view.n), causes)
        return Text(None, None, None, values) if type_ == "string" else values, first(causes, causes_of(codes))

    return step


def _found(way: str, word: str, answers: Remembered, part: Step) -> Step:
    other = _remembered(answers, part, "bool")

    def step(view: View) -> Part:
        text, causes = part(view)
        found = text.found(way, word) if isinstance(text, Text) else None
        return other(view) if found is None else (found, causes)

    return step


class _Rows:
    """The rows that have not failed, computed one by one."""

    def __init__(self, view: View, causes: Causes | None, type_: str) -> None:
        n = view.n
        self.rows = np.arange(n) if causes is None else np.flatnonzero(~causes.failed)
        self._causes, self._type = causes, type_
        self._values, self._codes = np.full(n, BLANK[type_], DTYPES[type_]), np.zeros(n, np.int8)

    def column(self, values: Any) -> Any:
        """Return a part's values of these rows."""
        if isinstance(values, Text):
            return values.at(self.rows)
        return values[self.rows].tolist() if isinstance(values, np.ndarray) else [values] * len(self.rows)

    def part(self, call: Callable[..., Any], *columns: Any) -> Part:
        """Return what the function makes of the columns."""
        for row, arguments in zip(self.rows.tolist(), zip(*columns, strict=True), strict=True):
            try:
                self._values[row] = call(*arguments)
            except CelFault as fault:
                self._codes[row] = CODE[fault.cause]
        values = Text(None, None, None, self._values) if self._type == "string" else self._values
        return values, first(self._causes, causes_of(self._codes))


def _row_by_row(call: Callable[..., Any], parts: list[Step], type_: str) -> Step:
    def step(view: View) -> Part:
        columns = [part(view) for part in parts]
        rows = _Rows(view, first(*(causes for _, causes in columns)), type_)
        return rows.part(call, *(rows.column(values) for values, _ in columns))

    return step


class _Covered:
    """Until when the network that an address lies in is on a list: answers that hold until the list changes."""

    __slots__ = ("_answers", "_lists", "_lock", "_name", "_version")

    def __init__(self, name: str) -> None:
        self._name = name
        self._lists = NO_LISTS
        self._version = -1
        self._lock = Lock()
        self._answers = Remembered(self._until, "int")

    def limits(self, lists: Lists, text: Text, causes: Causes | None) -> tuple[np.ndarray, np.ndarray | None]:
        with self._lock:
            if lists is not self._lists or lists.version(self._name) != self._version:
                self._answers.forget()
                self._lists, self._version = lists, lists.version(self._name)
            return self._answers.answers(text, causes)

    def _until(self, text: str) -> int:
        address = address_of(text)
        if address is None:
            raise CelFault("conversion")
        return self._lists.covered_until(self._name, address)


def _in_cidr(name: str, part: Step) -> Step:
    covered = _Covered(name)

    def step(view: View) -> Part:
        text, causes = part(view)
        lists = NO_LISTS if view.lists is None else view.lists
        limits, codes = covered.limits(lists, _text(text, view.n), causes)
        return limits > view.taus(), first(causes, causes_of(codes))

    return step


def _in_list(name: str, part: Step) -> Step:
    listed = HashedList(name)

    def step(view: View) -> Part:
        value, causes = part(view)
        lists = view.lists
        if lists is None or not lists.values.get(name):
            return False, causes
        text = _text(value, view.n)
        if text.hashes is not None:
            return listed.limits(lists, text) > view.taus(), causes
        rows = _Rows(view, causes, "bool")
        return rows.part(lambda tau, one: lists.holds(name, one, tau), rows.column(view.taus()), rows.column(text))

    return step


def _listed(name: str, parts: list[Step]) -> Step:
    look = in_list if name == "in_list" else in_cidr

    def step(view: View) -> Part:
        (names, name_causes), (keys, key_causes) = (part(view) for part in parts)
        rows = _Rows(view, first(name_causes, key_causes), "bool")
        lists = view.lists
        return rows.part(
            lambda tau, one, key: look(lists, tau, one, key),
            rows.column(view.taus()),
            rows.column(names),
            rows.column(keys),
        )

    return step
