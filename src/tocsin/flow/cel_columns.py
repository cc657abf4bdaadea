"""Columns of the CEL subset: comparison and arithmetic on (values [n], codes int8 [n]) without a Python loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_syntax import INT_MIN
from tocsin.flow.cel_values import CAUSES

if TYPE_CHECKING:
    from collections.abc import Callable

Values = np.ndarray
Part = tuple[Values, Values]
CODE = {cause: code for code, cause in enumerate(CAUSES)}


def first(*codes: Values) -> Values:
    """Return the first cause of each row."""
    found = codes[0]
    for code in codes[1:]:
        found = np.where(found != 0, found, code)
    return found


COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def compared(op: str, left: Values, right: Values, mixed: bool) -> Part:
    """Return a comparison and its own causes (NaN compares with nothing)."""
    codes = np.zeros(len(left), np.int8)
    if mixed:
        left, right = left.astype(np.float64), right.astype(np.float64)
    if left.dtype == np.float64 and op not in ("==", "!="):
        codes = np.where(np.isnan(left) | np.isnan(right), CODE["not-a-number"], 0).astype(np.int8)
    return COMPARE[op](left, right).astype(bool), codes


def doubles(op: str, left: Values, right: Values) -> Values:
    """Return arithmetic of doubles as IEEE 754 has it."""
    with np.errstate(all="ignore"):
        if op == "/":
            return np.asarray(left / right)
        return np.asarray(left + right if op == "+" else left - right if op == "-" else left * right)


def integers(op: str, left: Values, right: Values) -> Part:
    """Return int64 arithmetic that never wraps: overflow and division by zero are causes."""
    with np.errstate(all="ignore"):
        codes = np.zeros(len(left), np.int8)
        if op in "/%":
            zero, edge = right == 0, (left == INT_MIN) & (right == -1)
            codes[zero], codes[edge] = CODE["division"], CODE["overflow"]
            divisor = np.where(zero | edge, 1, right)
            rest = np.fmod(left, divisor)
            return (rest if op == "%" else (left - rest) // divisor), codes
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
        codes[wrapped] = CODE["overflow"]
        return values, codes
