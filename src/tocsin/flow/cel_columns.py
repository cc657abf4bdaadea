"""Columns of the CEL subset: comparison and arithmetic on whole batches without a Python loop.

A part is (values, causes): values an array [n], a ``Text``, or one Python value that holds for every row; causes a
``Causes``, or None where no row failed. A value counts only where its row did not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_syntax import INT_MIN
from tocsin.flow.cel_values import CAUSES

if TYPE_CHECKING:
    from collections.abc import Callable

CODE = {cause: code for code, cause in enumerate(CAUSES)}
MISSING = CODE["missing"]


class Causes:
    """Why rows have no value: ``codes`` int8 [n], places in ``CAUSES``, 0 where a row has one."""

    __slots__ = ("_failed", "codes")

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = codes
        self._failed: np.ndarray | None = None

    @property
    def failed(self) -> np.ndarray:
        """Bool [n]: which rows failed."""
        if self._failed is None:
            self._failed = self.codes != 0
        return self._failed


Part = tuple[Any, "Causes | None"]


def causes_where(failed: np.ndarray, cause: int) -> Causes | None:
    """Return one cause for the rows that failed, None where none did."""
    return Causes(failed.astype(np.int8) * np.int8(cause)) if np.count_nonzero(failed) else None


def first(*parts: Causes | None) -> Causes | None:
    """Return the first cause of each row."""
    found: Causes | None = None
    for part in parts:
        if part is None or part is found:
            continue
        found = part if found is None else Causes(np.where(found.failed, found.codes, part.codes))
    return found


COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def as_double(values: Any) -> Any:
    """Return numbers as doubles."""
    return values.astype(np.float64) if isinstance(values, np.ndarray) else float(values)


def compared(op: str, left: Any, right: Any, mixed: bool, nan: bool) -> Part:
    """Return a comparison of numbers or booleans and its own causes.

    ``mixed`` int with double; ``nan`` a side may hold NaN, which compares with nothing.
    """
    if mixed:
        left, right = as_double(left), as_double(right)
    causes = causes_where(np.isnan(left) | np.isnan(right), CODE["not-a-number"]) if nan else None
    return COMPARE[op](left, right), causes


def doubles(op: str, left: Any, right: Any) -> np.ndarray:
    """Return arithmetic of doubles as IEEE 754 has it."""
    with np.errstate(all="ignore"):
        if op == "/":
            return np.asarray(np.divide(left, right))
        return np.asarray(left + right if op == "+" else left - right if op == "-" else left * right)


def integers(op: str, left: Any, right: Any) -> Part:
    """Return int64 arithmetic that never wraps: overflow and division by zero are causes. One side is an array."""
    with np.errstate(all="ignore"):
        if op in "/%":
            return _divided(op, left, right)
        if op == "*":
            values = left * right
            safe = np.where(left == 0, 1, left)
            wrapped = (left != 0) & ((values // safe != right) | ((left == -1) & (right == INT_MIN)))
        elif op == "+":
            values = left + right
            wrapped = ((left ^ values) & (right ^ values)) < 0
        else:
            values = left - right
            wrapped = ((left ^ right) & (left ^ values)) < 0
        return values, causes_where(wrapped, CODE["overflow"])


def _divided(op: str, left: Any, right: Any) -> Part:
    zero = np.equal(right, 0)
    edge = np.equal(left, INT_MIN) & np.equal(right, -1)
    divisor = np.where(zero | edge, 1, right)
    rest = np.fmod(left, divisor)
    values = rest if op == "%" else (left - rest) // divisor
    codes = np.where(zero, CODE["division"], np.where(edge, CODE["overflow"], 0)).astype(np.int8)
    if not np.count_nonzero(codes):
        return values, None
    return values, Causes(np.broadcast_to(codes, values.shape))
