"""What cells hold, why a line is left to the plain door, and the scanner's checks of single values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.clean import clean_text
from tocsin.flow.wide.jit import woven
from tocsin.flow.wide.scan_bytes import after_space, byte, same_bytes
from tocsin.flow.wide.scan_tables import Check
from tocsin.flow.wide.scan_values import DECIMAL, UNKNOWN_MOST, chosen
from tocsin.flow.wide.text import canonical_ip

U = np.uint64
MISSING, INT, FLOAT, BOOL, TEXT, OTHER = 0, 1, 2, 3, 4, 5
HEADS = 8
"""Rows of a chunk's frame before the cells of the fields."""
LONGEST_KEY = 1024
LARGEST_INTEGER = 10**15
TRUE, ALSE, NULL = 0x65757274, 0x65736C61, 0x6C6C756E
# Why a line is left to the plain door.
CAUSES = (
    "fast",
    "shape",
    "text",
    "number",
    "duplicate",
    "attribute",
    "type",
    "time",
    "value",
    "masked",
    "sealed",
    "nested",
    "subject",
    "required",
    "long",
)
(
    C_FAST,
    C_SHAPE,
    C_TEXT,
    C_NUMBER,
    C_DUPLICATE,
    C_ATTRIBUTE,
    C_TYPE,
    C_TIME,
    C_VALUE,
    C_MASKED,
    C_SEALED,
    C_NESTED,
    C_SUBJECT,
    C_REQUIRED,
    C_LONG,
) = range(15)
K_OPEN, K_OPEN_MASKED, K_TEXT, K_CHOICE, K_MASKED, K_KEY, K_PERSONAL = (int(one) for one in list(Check)[:7])
K_INTEGER, K_NUMBER, K_BOOLEAN, K_CURRENCY, K_TIME, K_IP, K_ITEMS, K_ASK = (int(one) for one in list(Check)[7:])


@woven
def span(start: Any, length: Any) -> Any:
    """Return where a text lies as one word: start << 32 | length."""
    return U(start) << U(32) | U(length)


@woven
def after_colon(body: np.ndarray, at: Any) -> Any:
    """Return where a member's value begins, ``at`` being behind its name; -1 where there is no colon."""
    at = after_space(body, at)
    if byte(body, at) != 0x3A:
        return np.int64(-1)
    return after_space(body, at + 1)


@woven
def new_name(body: np.ndarray, scratch: np.ndarray, count: Any, start: Any, length: Any) -> Any:
    """Note a name that the vocabulary does not know; return False where it came before or there are too many."""
    if count == UNKNOWN_MOST:
        return False
    for place in range(count):
        if scratch[2 * place + 1] == length and same_bytes(body, scratch[2 * place], start, length):
            return False
    scratch[2 * count], scratch[2 * count + 1] = start, length
    return True


@woven
def same_text(body: np.ndarray, start: Any, length: Any, other: np.ndarray, other_length: Any) -> Any:
    """Return whether a text of the body is the one that ``other`` begins with."""
    if length != other_length:
        return False
    for at in range(length):
        if byte(body, start + at) != byte(other, at):
            return False
    return True


@woven
def is_currency(body: np.ndarray, start: Any, length: Any) -> Any:
    """Return whether a text is three capitals."""
    if length != 3:
        return False
    for at in range(3):
        one = byte(body, start + at)
        if one < 65 or one > 90:
            return False
    return True


@woven
def refused_text(body: np.ndarray, start: Any, length: Any, check: Any, number: Any, choices: np.ndarray) -> Any:
    """Return why the plain door must see a text that is kept as it is; 0 where it need not."""
    cause: Any = np.int64(C_FAST)
    if check in (K_MASKED, K_OPEN_MASKED):
        if not clean_text(body, start, length):
            cause = np.int64(C_MASKED)
    elif check == K_IP:
        if not canonical_ip(body, start, length):
            cause = np.int64(C_VALUE)
    elif check == K_KEY:
        if length > LONGEST_KEY:
            cause = np.int64(C_VALUE)
    elif check == K_CHOICE:
        if not chosen(choices, number, body, start, length):
            cause = np.int64(C_VALUE)
    elif check == K_CURRENCY:
        if not is_currency(body, start, length):
            cause = np.int64(C_VALUE)
    elif check not in (K_TEXT, K_OPEN):
        cause = np.int64(C_SEALED if check == K_ASK else C_VALUE)
    return cause


@woven
def refused_number(kind: Any, whole: Any, value: Any, check: Any, limit: Any) -> Any:
    """Return why the plain door must see a number that is kept as it is; 0 where it need not."""
    cause: Any = np.int64(C_FAST)
    if check == K_INTEGER:
        if kind == DECIMAL or whole > LARGEST_INTEGER or whole < -LARGEST_INTEGER:
            cause = np.int64(C_VALUE)
    elif check == K_NUMBER:
        amount = value if kind == DECIMAL else np.float64(whole)
        if amount > limit or amount < -limit:
            cause = np.int64(C_VALUE)
    elif check == K_TIME:
        if kind == DECIMAL or whole < 0:
            cause = np.int64(C_VALUE)
    elif check not in (K_OPEN, K_OPEN_MASKED):
        cause = np.int64(C_SEALED if check == K_ASK else C_VALUE)
    return cause
