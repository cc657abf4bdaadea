"""What an evaluation on columns reads: the fields, features and scores of a batch's rows, each made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tocsin.flow.batch import FeatureTable
from tocsin.flow.cel_columns import MISSING, Causes, Part, causes_of, causes_where
from tocsin.flow.cel_texts import BLANK, DTYPES, Text, boxed
from tocsin.flow.cel_values import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Batch, Features
    from tocsin.flow.lists import Lists

NOTHING: frozenset[str] = frozenset()


class View:
    """Rows of a batch. ``index`` are their places in it (None: all); ``shared`` the sub-trees worth keeping.

    ``batch`` is a ``core.desk.Batch``; where it has ``typed`` and ``strings`` (``flow.wide.rows.Rows``), columns come
    from there and texts are hashes, else they are made from the events.
    """

    __slots__ = ("_base", "_fields", "_places", "batch", "features", "index", "lists", "n", "parts", "scores", "shared")

    def __init__(
        self,
        batch: Batch,
        features: Features | None,
        scores: np.ndarray | None,
        lists: Lists | None,
        shared: frozenset[str] = NOTHING,
    ) -> None:
        self.batch, self.features, self.scores, self.lists, self.shared = batch, features, scores, lists, shared
        self.n = batch.n
        self.index: np.ndarray | None = None
        self.parts: dict[str, Part] = {}
        self._fields: dict[tuple[str, str, str], Part] = {}
        self._base: View | None = None
        self._places: np.ndarray | None = None

    def narrow(self, rows: np.ndarray, shared: frozenset[str] = NOTHING) -> View:
        """Return the view of these of the rows (places in this view, ascending)."""
        base = self._base or self
        view = View(self.batch, self.features, self.scores, self.lists, shared)
        if len(rows) == base.n:
            view._fields, view.parts = base._fields, base.parts
            return view
        view._base, view.n = base, len(rows)
        view.index = rows if self.index is None else self.index[rows]
        return view

    def plain(self) -> tuple[Batch, Features | None, np.ndarray | None]:
        """Return the rows as a batch with features and scores of their own, for what is computed row by row."""
        if self.index is None:
            return self.batch, self.features, self.scores
        batch, features = cast("Any", self.batch).pick(self.index), cast("Any", self.features)
        scores = None if self.scores is None else self.scores[self.index]
        return batch, None if features is None else features.pick(self.index), scores

    def places(self) -> np.ndarray:
        """Return 0 .. n-1."""
        if self._places is None:
            self._places = np.arange(self.n)
        return self._places

    def field(self, root: str, name: str, type_: str) -> Part:
        """Return a field of the event, its data or its item, a feature, or the model's score."""
        key = (root, name, type_)
        part = self._fields.get(key)
        if part is None:
            part = self._made(root, name, type_) if self._base is None else self._taken(root, name, type_)
            self._fields[key] = part
        return part

    def taus(self) -> np.ndarray:
        """Return the event's tau of each row."""
        taus: np.ndarray = self.field("event", "tau", "int")[0]
        return taus

    def _taken(self, root: str, name: str, type_: str) -> Part:
        assert self._base is not None
        assert self.index is not None
        values, causes = self._base.field(root, name, type_)
        return values.take(self.index), None if causes is None else causes.take(self.index)

    def _made(self, root: str, name: str, type_: str) -> Part:
        if root == "features":
            return self._feature(name)
        if root == "score":
            return self._score()
        if root == "item" and not getattr(self.batch, "of_items", False):
            return Text(None, None, None, boxed([""] * self.n)) if type_ == "string" else np.zeros(
                self.n, DTYPES[type_]
            ), Causes(np.ones(self.n, bool), MISSING)
        kept: dict[Any, Any] | None = getattr(self.batch, "kept", None)
        part: Part | None = None if kept is None else kept.get((root, name, type_))
        if part is None:
            part = self._typed(root, name, type_) if hasattr(self.batch, "typed") else self._listed(root, name, type_)
            if kept is not None:
                kept[root, name, type_] = part
        return part

    def _typed(self, root: str, name: str, type_: str) -> Part:
        batch: Any = self.batch
        if type_ == "string" and root == ("item" if getattr(batch, "of_items", False) else "data"):
            cells = batch.cells(name) if hasattr(batch, "cells") else None
            if cells is not None:
                return _in_cells(cells[0], cells[1], batch)
        values: Any
        values, codes = batch.typed(root, name, type_)
        if type_ == "string":
            values = Text(values, batch.hasher, lambda rows: batch.strings(root, name, rows))
        return values, None if codes is None else causes_where(codes.view(np.bool_), MISSING)

    def _listed(self, root: str, name: str, type_: str) -> Part:
        events = self.batch.events
        raw = [event.data.get(name) for event in events] if root == "data" else [getattr(e, name) for e in events]
        values: Any
        values, codes = typed_column([fit(value, type_) for value in raw], type_)
        if type_ == "string":
            values = Text(None, None, None, values)
        return values, causes_of(codes)

    def _feature(self, name: str) -> Part:
        try:
            column = None if self.features is None else self.features[name]
        except KeyError:
            column = None
        if column is None:
            return np.zeros(self.n), Causes(np.ones(self.n, bool), MISSING)
        failed = ~column.present
        if not isinstance(self.features, FeatureTable):  # there, what is present is not NaN
            failed |= np.isnan(column.values)
        return column.values, causes_where(failed, MISSING)

    def _score(self) -> Part:
        if self.scores is None:
            return np.zeros(self.n), Causes(np.ones(self.n, bool), MISSING)
        return self.scores, causes_where(np.isnan(self.scores), MISSING)


def _in_cells(tags: np.ndarray, cells: np.ndarray, batch: Any) -> Part:
    """Return texts that lie in a chunk; only batches of the compiled plane have them."""
    from tocsin.flow.wide.cell_words import CellText
    from tocsin.flow.wide.scan_checks import TEXT

    return CellText(tags, cells, batch.buffer(), batch.hasher), causes_where(tags != TEXT, MISSING)


def typed_column(values: Sequence[Any], type_: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return values that ``fit``, None where missing, as (values [n], codes int8 [n], or None where all are there).

    >>> typed_column([3, None], "int")
    (array([3, 0]), array([0, 1], dtype=int8))
    """
    blank = BLANK[type_]
    whole = None not in values
    filled = values if whole else [blank if value is None else value for value in values]
    column = boxed(filled) if type_ == "string" else np.array(filled, DTYPES[type_])
    if whole:
        return column, None
    return column, np.fromiter((MISSING if value is None else 0 for value in values), np.int8, len(values))
