"""Instructions of the rule machine over one block of rows, as kernels over its registers.

``x`` are the registers' doubles, ``v`` the same as int64, ``c`` their states. Registers are given by where they begin;
``d`` is where the result goes, ``m`` how many rows the block has. All are plain loops that compilers turn into vector
instructions; a state other than 0 of a side, the left one first, is the state of the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tocsin.flow.machine import ops
from tocsin.methods.kernels import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
U = np.uint64
SOURCES = Path(__file__).parent
UNKNOWN, MISSING = np.uint8(ops.UNKNOWN), np.uint8(ops.MISSING)
OVERFLOW, DIVISION, NOT_A_NUMBER = np.uint8(ops.OVERFLOW), np.uint8(ops.DIVISION), np.uint8(ops.NOT_A_NUMBER)
ZERO, ONE = np.uint8(0), np.uint8(1)
LEAST = np.int64(ops.LEAST)
EDGE = 9.223372036854775808e18
EQ, NE, LT, LE, GT = ops.EQ, ops.NE, ops.LT, ops.LE, ops.GT
CHECKED = ops.CHECKED


def bare(function: F) -> F:
    """Return the compiled form of a function that makes no array: without counting of references, kept on disk."""
    return compiled(function, SOURCES, cache=True, fastmath=False, _nrt=False)


def brief(function: F) -> F:
    """Return the same of a function over few rows, which keeps the interpreter's lock."""
    return compiled(function, SOURCES, cache=True, fastmath=False, nogil=False, _nrt=False)


@bare
def against(x: np.ndarray, c: np.ndarray, a: Any, k: Any, d: Any, m: int, how: int) -> None:
    """Compare a register of numbers with a constant."""
    if how == EQ:
        for i in range(m):
            j = U(i)
            s = c[a + j]
            c[d + j] = np.uint8(x[a + j] == k) if s == ZERO else s
    elif how == NE:
        for i in range(m):
            j = U(i)
            s = c[a + j]
            c[d + j] = np.uint8(x[a + j] != k) if s == ZERO else s
    elif how == LT:
        for i in range(m):
            j = U(i)
            s = c[a + j]
            c[d + j] = np.uint8(x[a + j] < k) if s == ZERO else s
    elif how == LE:
        for i in range(m):
            j = U(i)
            s = c[a + j]
            c[d + j] = np.uint8(x[a + j] <= k) if s == ZERO else s
    elif how == GT:
        for i in range(m):
            j = U(i)
            s = c[a + j]
            c[d + j] = np.uint8(x[a + j] > k) if s == ZERO else s
    else:
        for i in range(m):
            j = U(i)
            s = c[a + j]
            c[d + j] = np.uint8(x[a + j] >= k) if s == ZERO else s


@bare
def between(x: np.ndarray, c: np.ndarray, a: Any, b: Any, d: Any, m: int, how: int) -> None:
    """Compare two registers of numbers."""
    for i in range(m):
        j = U(i)
        left, right = x[a + j], x[b + j]
        if how == EQ:
            truth = left == right
        elif how == NE:
            truth = left != right
        elif how == LT:
            truth = left < right
        elif how == LE:
            truth = left <= right
        elif how == GT:
            truth = left > right
        else:
            truth = left >= right
        s = c[a + j]
        if s == ZERO:
            s = c[b + j]
        c[d + j] = np.uint8(truth) if s == ZERO else s


@bare
def checked(x: np.ndarray, c: np.ndarray, a: Any, b: Any, both: bool, d: Any, m: int) -> None:
    """Turn into errors what came of a comparison with a NaN; the sides had values where the result is a truth."""
    for i in range(m):
        j = U(i)
        if c[d + j] <= ONE and (x[a + j] != x[a + j] or (both and x[b + j] != x[b + j])):
            c[d + j] = NOT_A_NUMBER


@bare
def among(x: np.ndarray, c: np.ndarray, a: Any, constants: np.ndarray, first: int, count: int, d: Any, m: int) -> None:
    """Say which numbers (or hashes) are one of some constants."""
    for i in range(m):
        c[d + U(i)] = ZERO
    for place in range(first, first + count):
        k = constants[U(place)]
        for i in range(m):
            j = U(i)
            c[d + j] |= np.uint8(x[a + j] == k)
    for i in range(m):
        j = U(i)
        s = c[a + j]
        c[d + j] = c[d + j] if s == ZERO else s


@bare
def truths(c: np.ndarray, a: Any, b: Any, d: Any, m: int, how: int) -> None:
    """Compare two truths."""
    for i in range(m):
        j = U(i)
        left, right = c[a + j], c[b + j]
        if left > ONE:
            c[d + j] = left
        elif right > ONE:
            c[d + j] = right
        elif how == EQ:
            c[d + j] = np.uint8(left == right)
        elif how == NE:
            c[d + j] = np.uint8(left != right)
        elif how == LT:
            c[d + j] = np.uint8(left < right)
        elif how == LE:
            c[d + j] = np.uint8(left <= right)
        elif how == GT:
            c[d + j] = np.uint8(left > right)
        else:
            c[d + j] = np.uint8(left >= right)


@bare
def connected(c: np.ndarray, a: Any, b: Any, d: Any, m: int, decided: Any) -> Any:
    """Put ``a && b`` (``decided`` is ZERO) or ``a || b`` (ONE) into ``d``; return whether any row is still open.

    A side that decides outweighs what is unknown, and that outweighs an error.
    """
    held = ZERO
    for i in range(m):
        j = U(i)
        left, right = c[a + j], c[b + j]
        known = left if left > ONE else right
        known = UNKNOWN if (left == UNKNOWN) | (right == UNKNOWN) else known
        known = decided if (left == decided) | (right == decided) else known
        c[d + j] = known
        held = np.uint8(held | (known ^ decided))
    return held != ZERO


@bare
def open_rows(c: np.ndarray, a: Any, m: int, decided: Any) -> Any:
    """Return whether any row is in another state than ``decided``."""
    held = ZERO
    for i in range(m):
        held = np.uint8(held | (c[a + U(i)] ^ decided))
    return held != ZERO


@bare
def negated(c: np.ndarray, a: Any, d: Any, m: int) -> None:
    """Put ``!a`` into ``d``."""
    for i in range(m):
        j = U(i)
        s = c[a + j]
        c[d + j] = s ^ ONE if s <= ONE else s


@bare
def there(c: np.ndarray, a: Any, d: Any, m: int, truth: int) -> None:
    """Say where an input has a value; ``truth`` says that it is one."""
    most = np.uint8(truth)
    for i in range(m):
        j = U(i)
        c[d + j] = np.uint8(c[a + j] <= most)


@bare
def nulled(c: np.ndarray, a: Any, d: Any, m: int, same: int, truth: int) -> None:
    """Compare with null: ``same`` where the side has a value."""
    most, said = np.uint8(truth), np.uint8(same)
    for i in range(m):
        j = U(i)
        s = c[a + j]
        c[d + j] = said if s <= most else s


@bare
def chosen(v: np.ndarray, c: np.ndarray, a: Any, then: Any, other: Any, d: Any, m: int) -> None:
    """Put ``a ? then : other`` into ``d``, values and states."""
    for i in range(m):
        j = U(i)
        s = c[a + j]
        side = then if s == ONE else other
        v[d + j] = v[side + j]
        c[d + j] = c[side + j] if s <= ONE else s


@bare
def add_ints(v: np.ndarray, c: np.ndarray, a: Any, b: Any, d: Any, m: int, sign: int) -> None:
    """Add or subtract (``sign`` 1 or -1) integers; overflow is an error."""
    for i in range(m):
        j = U(i)
        left, right = v[a + j], v[b + j]
        if sign > 0:
            value = np.int64(U(left) + U(right))
            wrapped = ((left ^ value) & (right ^ value)) < 0
        else:
            value = np.int64(U(left) - U(right))
            wrapped = ((left ^ right) & (left ^ value)) < 0
        s = c[a + j]
        if s == ZERO:
            s = c[b + j]
        v[d + j] = value
        c[d + j] = OVERFLOW if s == ZERO and wrapped else s


@bare
def multiply_ints(v: np.ndarray, c: np.ndarray, a: Any, b: Any, d: Any, m: int) -> None:
    """Multiply integers; overflow is an error."""
    for i in range(m):
        j = U(i)
        left, right = v[a + j], v[b + j]
        # Unsigned: what wraps around among signed integers a compiler may take for impossible.
        value = np.int64(U(left) * U(right))
        if left == -1:
            wrapped = right == LEAST
        elif left == 0:
            wrapped = False
        else:
            wrapped = value // left != right
        s = c[a + j]
        if s == ZERO:
            s = c[b + j]
        v[d + j] = value
        c[d + j] = OVERFLOW if s == ZERO and wrapped else s


@bare
def divide_ints(v: np.ndarray, c: np.ndarray, a: Any, b: Any, d: Any, m: int, rest: bool) -> None:
    """Put the quotient towards zero, or its ``rest``, into ``d``; zero and overflow are errors."""
    for i in range(m):
        j = U(i)
        left, right = v[a + j], v[b + j]
        s = c[a + j]
        if s == ZERO:
            s = c[b + j]
        value = np.int64(0)
        if right == 0:
            s = DIVISION if s == ZERO else s
        elif left == LEAST and right == -1:
            s = OVERFLOW if s == ZERO else s
        else:
            value = left // right
            if value * right != left and (left < 0) != (right < 0):
                value += 1
            if rest:
                value = left - value * right
        v[d + j] = value
        c[d + j] = s


@bare
def negate_ints(v: np.ndarray, c: np.ndarray, a: Any, d: Any, m: int) -> None:
    """Negate integers; overflow is an error."""
    for i in range(m):
        j = U(i)
        value, s = v[a + j], c[a + j]
        v[d + j] = np.int64(U(0) - U(value))
        c[d + j] = OVERFLOW if s == ZERO and value == LEAST else s


@bare
def reckon(x: np.ndarray, c: np.ndarray, a: Any, b: Any, d: Any, m: int, op: int) -> None:
    """Put a sum, difference, product or quotient of doubles into ``d``, as IEEE 754 has it."""
    for i in range(m):
        j = U(i)
        left, right = x[a + j], x[b + j]
        if op == ops.DOUBLE_ADD:
            value = left + right
        elif op == ops.DOUBLE_SUB:
            value = left - right
        elif op == ops.DOUBLE_MUL:
            value = left * right
        else:
            value = left / right
        x[d + j] = value
        s = c[a + j]
        c[d + j] = c[b + j] if s == ZERO else s


@bare
def converted(x: np.ndarray, v: np.ndarray, c: np.ndarray, a: Any, d: Any, m: int, to_double: bool) -> None:
    """Turn integers into doubles, or doubles into integers towards zero; what does not fit is an error."""
    for i in range(m):
        j = U(i)
        s = c[a + j]
        if to_double:
            x[d + j] = np.float64(v[a + j])
        else:
            value = x[a + j]
            if -EDGE < value < EDGE:
                v[d + j] = np.int64(value)
            else:
                v[d + j] = np.int64(0)
                s = OVERFLOW if s == ZERO else s
        c[d + j] = s
