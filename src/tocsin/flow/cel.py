"""CEL, typed: rules, filters and conditions, checked when they are saved and computed on rows or on one event.

The subset: literals (int, double, string, bool, null, lists), arithmetic, comparison, ``&&`` ``||`` ``!`` ``?:``,
``in``, ``has()``, ``size()``, ``startsWith endsWith contains matches`` (RE2), ``int() double() string()``, fields,
indexes, ``in_list(name, value)`` and ``in_cidr(list_name, ip)``. int and double do not mix in arithmetic; overflow and
integer division by zero are errors, and so is an operator on a missing value.

Reference: the CEL specification (github.com/google/cel-spec), doc/langdef.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.flow import cel_rows, cel_scalar
from tocsin.flow.cel_columns import CODE, Causes, causes_of
from tocsin.flow.cel_operators import spread
from tocsin.flow.cel_scalar import Env
from tocsin.flow.cel_single import Fields, Fused
from tocsin.flow.cel_syntax import CelError, parse
from tocsin.flow.cel_types import FILTER, INCIDENT, RULE, Checker, Scope
from tocsin.flow.cel_values import CAUSES, CelFault
from tocsin.flow.cel_views import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.core.desk import Batch, Features
    from tocsin.flow.lists import Lists

__all__ = ["FILTER", "INCIDENT", "RULE", "CelError", "Program", "Result", "Scope", "compile_expression"]
FEW = 12
"""Below this many rows single evaluation is faster than columns."""
NO_ROWS = np.empty(0, np.int64)


class Result(msgspec.Struct, frozen=True):
    """What an expression came to: its value, or None and the cause of the error."""

    value: Any
    error: str = ""

    def __bool__(self) -> bool:
        """Whether it fired: true, and no error."""
        return self.value is True


class Program:
    """A compiled expression. ``type`` is its CEL type; ``text`` what it was compiled from."""

    def __init__(self, text: str, scope: Scope) -> None:
        tree = parse(text)
        self.text = text
        self.type = Checker(text, scope).check(tree)
        self.tree = tree
        self._fused: Fused | None = None
        self._single = cel_scalar.build(tree)
        self.subtrees = tuple(cel_rows.subtrees(tree))
        self.step: cel_rows.Step | None
        """The function over a view; None where the expression needs single values."""
        try:
            self.step = cel_rows.build(tree)
        except cel_rows.NotColumns:
            self.step = None

    def one(self, env: Mapping[str, Any], lists: Lists | None = None, tau: int = 0) -> Result:
        """Return the value for one environment: root name -> mapping (``score`` -> float)."""
        try:
            return Result(self._single(Env(env, lists, tau)))
        except CelFault as fault:
            return Result(None, fault.cause)

    def values(
        self,
        batch: Batch,
        features: Features | None = None,
        scores: np.ndarray | None = None,
        lists: Lists | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (values [n], cause codes int8 [n]) for all rows; a value counts where the code is 0."""
        if self.step is not None and batch.n >= FEW:
            values, causes = self.step(View(batch, features, scores, lists))
            codes = np.zeros(batch.n, np.int8) if causes is None else causes.codes
            return spread(values, batch.n, self.type), codes
        return self._by_row(batch, features, scores, lists)

    def _by_row(
        self, batch: Batch, features: Features | None, scores: np.ndarray | None, lists: Lists | None
    ) -> tuple[np.ndarray, np.ndarray]:
        values = np.empty(batch.n, object)
        codes = np.zeros(batch.n, np.int8)
        for row, event in enumerate(batch.events):
            roots = {"event": Fields(event), "data": event.data, "features": _FeatureRow(features, row)}
            score = None if scores is None else float(scores[row])
            try:
                values[row] = self._single(Env({**roots, "score": score}, lists, event.tau))
            except CelFault as fault:
                codes[row] = CODE[fault.cause]
        return values, codes

    @property
    def fused(self) -> Fused:
        """The function over one event: a block of this expression alone; made at first use."""
        if self._fused is None:
            self._fused = Fused((self,))
        return self._fused

    def hits(self, view: View) -> tuple[np.ndarray, Causes | None]:
        """Return (places in the view that fire, ascending; the causes, or None where no row failed)."""
        if self.step is not None:
            values, causes = self.step(view)
            if values is False:
                return NO_ROWS, causes
            values = spread(values, view.n, "bool")
            if causes is None:
                return (np.flatnonzero(values) if np.count_nonzero(values) else NO_ROWS), None
            return np.flatnonzero(values & ~causes.failed), causes
        batch, features, scores = view.plain()
        fires, codes = self._fires(*self._by_row(batch, features, scores, view.lists))
        return np.flatnonzero(fires), causes_of(codes)

    def rows(
        self,
        batch: Batch,
        features: Features | None = None,
        scores: np.ndarray | None = None,
        lists: Lists | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (fires bool [n], causes object [n] with "" where there is no error, or None where no row failed)."""
        fires, codes = self._fires(*self.values(batch, features, scores, lists))
        return fires, np.array(CAUSES, object)[codes] if np.count_nonzero(codes) else None

    @staticmethod
    def _fires(values: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if values.dtype == object:
            wrong = np.fromiter((value.__class__ is not bool for value in values), bool, len(values)) & (codes == 0)
            codes[wrong] = CODE["overload"]
            values = np.fromiter((value is True for value in values), bool, len(values))
        return values & (codes == 0), codes


class _FeatureRow:
    """One row of the features as a mapping."""

    __slots__ = ("_features", "_row")

    def __init__(self, features: Features | None, row: int) -> None:
        self._features, self._row = features, row

    def get(self, name: str) -> float | None:
        if self._features is None:
            return None
        try:
            column = self._features[name]
        except KeyError:
            return None
        return float(column.values[self._row]) if column.present[self._row] else None


@lru_cache(maxsize=4096)
def compile_expression(text: str, scope: Scope, *, result: str = "bool") -> Program:
    """Return the program of an expression that comes to ``result`` ("" for any type).

    Raises CelError, whose message shows the line and points at the column.

    >>> bool(compile_expression("data.amount > 5000 && !has(data.card)", RULE).one({"data": {"amount": 9900}}))
    True
    >>> compile_expression("data.amuont > 1", RULE)
    Traceback (most recent call last):
    tocsin.flow.cel_syntax.CelError: line 1, column 6: the vocabulary has no field 'amuont'; did you mean 'amount'?
      data.amuont > 1
           ^
    """
    program = Program(text, scope)
    if result and program.type not in (result, "dyn"):
        raise CelError(f"the expression must be {result}, it is {program.type}", text, 0)
    return program
