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
    """Why rows have no value: ``failed`` bool [n], and the one ``cause`` of all of them, or 0 and each row's code."""

    __slots__ = ("_codes", "cause", "failed")

    def __init__(self, failed: np.ndarray, cause: int, codes: np.ndarray | None = None) -> None:
        self.failed, self.cause, self._codes = failed, cause, codes

    @property
    def codes(self) -> np.ndarray:
        """Int8 [n]: the place of each row's cause in ``CAUSES``, 0 where it has a value."""
        if self._codes is None:
            self._codes = self.failed.view(np.int8) * np.int8(self.cause)
        return self._codes

    def only(self, rows: np.ndarray) -> Causes | None:
        """Return the causes of the rows of a mask, None where none of these failed."""
        failed = self.failed & rows
        if not np.count_nonzero(failed):
            return None
        return Causes(failed, self.cause, None if self.cause else self.codes * rows)

    def take(self, rows: np.ndarray) -> Causes | None:
        """Return the causes of the rows at these places, None where none of these failed."""
        failed = self.failed.take(rows)
        if not np.count_nonzero(failed):
            return None
        return Causes(failed, self.cause, None if self.cause else self.codes.take(rows))

    def scattered(self, rows: np.ndarray, n: int) -> Causes:
        """Return the causes with row i at place ``rows[i]`` of ``n``."""
        codes = np.zeros(n, np.int8)
        codes[rows] = self.codes
        return Causes(codes != 0, self.cause, codes)

    def counts(self) -> dict[str, int]:
        """Return how many rows failed by cause."""
        if self.cause:
            return {CAUSES[self.cause]: int(np.count_nonzero(self.failed))}
        times = np.bincount(self.codes, minlength=len(CAUSES)).tolist()
        return {cause: count for cause, count in zip(CAUSES[1:], times[1:], strict=True) if count}


Part = tuple[Any, "Causes | None"]


def causes_where(failed: Any, cause: int) -> Causes | None:
    """Return one cause for the rows that failed, None where none did."""
    return Causes(failed, cause) if np.count_nonzero(failed) else None


def causes_of(codes: np.ndarray | None) -> Causes | None:
    """Return the causes that codes int8 [n] name, None where no row failed."""
    if codes is None or not np.count_nonzero(codes):
        return None
    failed = codes != 0
    least, most = int(codes[failed].min()), int(codes.max())
    return Causes(failed, most if least == most else 0, codes)


def first(*parts: Causes | None) -> Causes | None:
    """Return the first cause of each row."""
    found: Causes | None = None
    for part in parts:
        if part is None or part is found:
            continue
        if found is None:
            found = part
        elif found.cause and found.cause == part.cause:
            found = Causes(found.failed | part.failed, found.cause)
        else:
            found = Causes(found.failed | part.failed, 0, np.where(found.failed, found.codes, part.codes))
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
    if not np.count_nonzero(zero | edge):
        return values, None
    codes = np.where(zero, CODE["division"], np.where(edge, CODE["overflow"], 0)).astype(np.int8)
    return values, causes_of(np.broadcast_to(codes, values.shape))
