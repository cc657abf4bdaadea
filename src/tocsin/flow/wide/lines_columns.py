"""Columns from tagged cells: hashes, numbers and texts, each the twin of what ``rows.Rows`` takes from events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.distinct import value_of
from tocsin.flow.view import key_of
from tocsin.flow.wide.jit import brief, woven
from tocsin.flow.wide.memory import as_float
from tocsin.flow.wide.prefetch import prefetch
from tocsin.flow.wide.scan_bytes import PAD, copied, put_byte, uncounted
from tocsin.flow.wide.scan_checks import BOOL, FLOAT, INT, TEXT
from tocsin.flow.wide.scan_values import put_integer
from tocsin.flow.wide.sip import sip_padded

if TYPE_CHECKING:
    from tocsin.flow.hashing import Hasher

U = np.uint64
KEYS, IDENTITIES, TEXTS = 0, 1, 2
TYPES = frozenset({"int", "double", "bool", "string"})
FEW = 64
"""So few lines are joined without giving up the interpreter's lock."""
AHEAD = 12
"""So many rows ahead the bytes of texts are asked for."""
_EXACT = 1 << 53
_LENGTH = np.uint64(0xFFFFFFFF)
_OVER = 2.0**63


@woven
def is_left(tag: Any, cell: Any, what: Any) -> Any:
    """Return whether a cell, int64, is hashed as what Python writes it out as."""
    if what == TEXTS:
        return False
    return tag in (FLOAT, BOOL) or (tag == INT and (cell > _EXACT or cell < -_EXACT))


@woven
def hashed_cell(
    tag: Any, cell: Any, text: np.ndarray, digits: np.ndarray, what: Any, k0: np.uint64, k1: np.uint64
) -> Any:
    """Return the hash of a text, or of an integer in its decimal form, from its cell, int64."""
    if tag == TEXT:
        return sip_padded(text, (cell >> 32) & 0xFFFFFFFF, cell & 0xFFFFFFFF, k0, k1)
    at, value = np.int64(0), cell
    if what == IDENTITIES:
        put_byte(digits, at, np.int64(0))
        at += 1
    if value < 0:
        put_byte(digits, at, np.int64(0x2D))
        at += 1
        value = -value
    at = put_integer(digits, at, value)
    if what == IDENTITIES:
        put_byte(digits, at, np.int64(0x2E))
        put_byte(digits, at + 1, np.int64(0x30))
        at += 2
    return sip_padded(digits, np.int64(0), at, k0, k1)


@uncounted
def _hash_cells(
    tags: np.ndarray,
    cells: np.ndarray,
    text: np.ndarray,
    digits: np.ndarray,
    what: int,
    k0: np.uint64,
    k1: np.uint64,
    out: np.ndarray,
    left: np.ndarray,
) -> int:
    """Hash texts and, as their decimal form, integers; return how many rows are ``left`` to be written out."""
    count, n = 0, len(tags)
    for row in range(n):
        ahead = row + AHEAD
        if ahead < n and tags[ahead] == TEXT:
            prefetch(text, np.int64(cells[ahead] >> U(32)))
            prefetch(text, np.int64(cells[ahead] >> U(32)) + np.int64(cells[ahead] & U(0xFFFFFFFF)))
        tag, cell = np.int64(tags[row]), np.int64(cells[row])
        out[row] = U(0)
        if is_left(tag, cell, what):
            left[count] = row
            count += 1
        elif tag == TEXT or (what != TEXTS and tag == INT):
            out[row] = hashed_cell(tag, cell, text, digits, what, k0, k1)
    return count


def hashes(
    tags: np.ndarray, cells: np.ndarray, text: np.ndarray, hasher: Hasher, what: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (uint64 [n], present [n]): the texts' hashes; for KEYS and IDENTITIES those of other scalars, too."""
    out = np.empty(len(tags), np.uint64)
    left = np.empty(len(tags), np.int64)
    digits = np.empty(PAD, np.uint8)
    count = _hash_cells(tags, cells, text, digits, what, U(hasher.k0), U(hasher.k1), out, left)
    for row in left[:count].tolist():
        value = _value(int(tags[row]), cells[row])
        said = key_of(value) if what == KEYS else value_of(value)
        out[row] = hasher.text(str(said))
    return out, (tags == TEXT) if what == TEXTS else (tags >= INT) & (tags <= TEXT)


def _value(tag: int, cell: np.uint64) -> Any:
    if tag == FLOAT:
        return float(cell.view(np.float64))
    return bool(cell) if tag == BOOL else int(cell.view(np.int64))


@brief
def _numbers(tags: np.ndarray, cells: np.ndarray, values: np.ndarray, present: np.ndarray) -> None:
    for row in range(len(tags)):
        tag = tags[row]
        present[row] = INT <= tag <= BOOL
        if tag == FLOAT:
            values[row] = as_float(np.int64(cells[row]))
        elif present[row]:
            values[row] = np.float64(np.int64(cells[row]))
        else:
            values[row] = np.nan


def numbers(tags: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (float64 [n], present [n]) of numbers and booleans, NaN where there is none."""
    values, present = np.empty(len(tags)), np.empty(len(tags), np.bool_)
    _numbers(tags, cells, values, present)
    return values, present


def fixed(tags: np.ndarray, cells: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (int64 [n], present [n]) in fixed point; OverflowError where 64 bits do not hold a value."""
    factor = 10**scale
    present = (tags >= INT) & (tags <= BOOL)
    whole = np.where(present & (tags != FLOAT), cells.view(np.int64), 0)
    values = whole * np.int64(factor)
    if scale and len(whole) and max(int(whole.max()), -int(whole.min())) * factor >= 1 << 63:
        raise OverflowError("a value does not fit its fixed point")
    floats = tags == FLOAT
    if floats.any():
        scaled = np.rint(np.where(floats, cells.view(np.float64), 0.0) * float(factor))
        if scaled.max() >= _OVER or scaled.min() < -_OVER:
            raise OverflowError("a value does not fit its fixed point")
        values = np.where(floats, scaled.astype(np.int64), values)
    return values, present


def typed(tags: np.ndarray, cells: np.ndarray, type_: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (values [n], codes int8 [n] or None where all are there) of an int, double or bool."""
    if type_ == "int":
        return cells.view(np.int64), codes_of(tags == INT)
    if type_ == "bool":
        return cells.astype(bool), codes_of(tags == BOOL)
    return numbers(tags, cells)[0], codes_of((tags == INT) | (tags == FLOAT))


def codes_of(present: np.ndarray) -> np.ndarray | None:
    """Return the causes of a column: 1 (missing) where it has no value; None where it has all."""
    return None if present.all() else (~present).view(np.int8)


def texts(present: np.ndarray, spans: np.ndarray, text: np.ndarray) -> list[str | None]:
    """Return the texts at spans, None where there is none."""
    found: list[str | None] = [None] * len(spans)
    rows = np.flatnonzero(present)
    for row, one in zip(rows.tolist(), _read(spans[rows], text), strict=True):
        found[row] = one
    return found


def strings(present: np.ndarray, spans: np.ndarray, text: np.ndarray) -> list[str]:
    """Return the texts at spans, "" where there is none."""
    return _read(np.where(present, spans, np.uint64(0)), text)


def _read(spans: np.ndarray, text: np.ndarray) -> list[str]:
    starts, lengths = (spans >> np.uint64(32)).tolist(), (spans & _LENGTH).tolist()
    view: Any = text.data
    return [str(view[start : start + length], "utf-8") for start, length in zip(starts, lengths, strict=True)]


@uncounted
def _gather(text: np.ndarray, spans: np.ndarray, out: np.ndarray) -> None:
    at = np.int64(0)
    for row in range(len(spans)):
        at = copied(out, at, text, np.int64(spans[row] >> U(32)), np.int64(spans[row] & U(0xFFFFFFFF)))
        put_byte(out, at, np.int64(0x0A))
        at += 1


@brief
def _gather_few(text: np.ndarray, spans: np.ndarray, out: np.ndarray) -> None:
    _gather(text, spans, out)


def gathered(text: np.ndarray, spans: np.ndarray) -> bytes:
    """Return the texts at spans, joined by line feeds."""
    if not len(spans):
        return b""
    size = int((spans & _LENGTH).sum()) + len(spans)
    out = np.empty(size + PAD, np.uint8)
    (_gather_few if len(spans) <= FEW else _gather)(text, spans, out)
    return out[: size - 1].tobytes()
