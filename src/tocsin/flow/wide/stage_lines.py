"""Staging few scanned lines: one kernel from the cells of a chunk to where the kernel of a plane reads its columns.

What it writes is what ``stage.Stage`` copies from the columns of the rows: keys joined with their shops, values in
fixed point, hashes of identities, currencies. Cells that it has no rule for (keys that are numbers with a fraction or
truths, values that no fixed point holds, currencies that are no texts) it leaves to those columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.wide import layout as at
from tocsin.flow.wide.jit import brief, woven
from tocsin.flow.wide.lines_columns import IDENTITIES, KEYS, TEXTS, hashed_cell, is_left
from tocsin.flow.wide.memory import as_float, get, load, load_byte, load_half, put, store, store_byte
from tocsin.flow.wide.scan_bytes import PAD
from tocsin.flow.wide.scan_checks import BOOL, FLOAT, INT, MISSING, TEXT
from tocsin.flow.wide.scan_chunk import C_CELLS, C_K0, C_K1, C_KINDS, C_ROW_BYTES, C_SHOPS, C_TAGS, C_TAUS
from tocsin.flow.wide.sip import joined

if TYPE_CHECKING:
    from tocsin.flow.hashing import Hasher
    from tocsin.flow.names import Names
    from tocsin.flow.wide.lines import LineRows
    from tocsin.flow.wide.plan import Plan

U = np.uint64
FEW = 64
"""Rows that are staged so at most: of more, the columns are made, which others that read the same fields share."""
S_TABLES, S_VALUES, S_IDENTS, S_FILTERS, S_CURRENCY, S_DEFAULT, S_FIRST = range(7)
"""A specification: counts, the slot of the currency (-1: no money), the default's hash; then the slots of the keys, of
values (each with its factor), and of the identities."""
_OVER = 2.0**63
_MOST = (1 << 63) - 1


@woven
def _place(index: np.ndarray, start: Any, i: Any) -> Any:
    return index[i] if len(index) else start + i


@woven
def _hashes(
    lying: np.ndarray, slot: Any, what: Any, index: np.ndarray, start: Any, n: Any, text: np.ndarray,
    digits: np.ndarray, out: Any, present: Any,
) -> Any:  # fmt: skip
    """Put the hashes of a field at ``out``, at ``present`` whether it is there; return False for a cell left over."""
    cells, tags = lying[C_CELLS] + slot * lying[C_ROW_BYTES], lying[C_TAGS] + slot * (lying[C_ROW_BYTES] >> 3)
    k0, k1 = U(lying[C_K0]), U(lying[C_K1])
    for i in range(n):
        row = _place(index, start, i)
        tag, cell = load_byte(tags + row), load(cells + 8 * row)
        if is_left(tag, cell, what):
            return False
        there = tag == TEXT or (what != TEXTS and tag == INT)
        found = hashed_cell(tag, cell, text, digits, what, k0, k1) if there else U(0)
        if what == KEYS:
            shop = load_half(lying[C_KINDS] + (lying[C_ROW_BYTES] >> 1) + 4 * row)
            found = joined(found, U(load(lying[C_SHOPS] + 8 * shop)))
        store(out + 8 * i, np.int64(found))
        store_byte(present + i, np.int64(there))
    return True


@woven
def _values(
    lying: np.ndarray, slot: Any, factor: Any, index: np.ndarray, start: Any, n: Any, out: Any, present: Any,
) -> Any:  # fmt: skip
    """Put a field in fixed point at ``out``; return False where 64 bits do not hold a value."""
    cells, tags = lying[C_CELLS] + slot * lying[C_ROW_BYTES], lying[C_TAGS] + slot * (lying[C_ROW_BYTES] >> 3)
    most = _MOST // factor
    for i in range(n):
        row = _place(index, start, i)
        tag, value = load_byte(tags + row), np.int64(0)
        there = tag in (INT, FLOAT, BOOL)
        if tag == FLOAT:
            scaled = np.rint(as_float(load(cells + 8 * row)) * np.float64(factor))
            if not -_OVER <= scaled < _OVER:
                return False
            value = np.int64(scaled)
        elif there:
            value = load(cells + 8 * row)
            if value > most or value < -most:
                return False
            value *= factor
        store(out + 8 * i, value)
        store_byte(present + i, np.int64(there))
    return True


@woven
def _currencies(
    lying: np.ndarray, slot: Any, default: Any, index: np.ndarray, start: Any, n: Any, text: np.ndarray,
    digits: np.ndarray, out: Any,
) -> Any:  # fmt: skip
    """Put the hashes of currencies at ``out``; return False for one that is no text."""
    cells, tags = lying[C_CELLS] + slot * lying[C_ROW_BYTES], lying[C_TAGS] + slot * (lying[C_ROW_BYTES] >> 3)
    k0, k1 = U(lying[C_K0]), U(lying[C_K1])
    for i in range(n):
        row = _place(index, start, i)
        tag, cell = load_byte(tags + row), load(cells + 8 * row)
        if tag not in (TEXT, MISSING):
            return False
        if tag == TEXT and cell & 0xFFFFFFFF != 0:
            store(out + 8 * i, np.int64(hashed_cell(tag, cell, text, digits, TEXTS, k0, k1)))
        else:
            store(out + 8 * i, default)
    return True


@brief
def stage(
    head: int,
    lying: np.ndarray,
    spec: np.ndarray,
    text: np.ndarray,
    digits: np.ndarray,
    index: np.ndarray,
    start: int,
    n: int,
) -> bool:
    """Stage ``n`` rows of a chunk, all but the flags of filters; return False where that is left to columns.

    Parameters
    ----------
    head
        Address of the plane's parameters (``layout``), with room for the rows.
    lying
        Where the chunk's cells are: ``Chunk.lying``.
    spec
        What the plane reads (``S_TABLES`` and what follows), int64.
    text, digits
        The chunk's text, and ``PAD`` bytes to write numbers into.
    index, start
        The rows of the chunk, int64 [n]; empty where they are those from ``start`` on.
    """
    step, place = get(head, at.H_SUB_STAGE), S_FIRST
    flag = get(head, at.H_FLAGS) + spec[S_FILTERS] * step
    for table in range(spec[S_TABLES]):
        out, present = get(head, at.H_SUB_KEYS) + 8 * table * step, get(head, at.H_SUB_PRESENT) + table * step
        if not _hashes(lying, spec[place], KEYS, index, start, n, text, digits, out, present):
            return False
        place += 1
    for value in range(spec[S_VALUES]):
        out = get(head, at.H_VALUES) + 8 * value * step
        if not _values(lying, spec[place], spec[place + 1], index, start, n, out, flag):
            return False
        place += 2
        flag += step
    for ident in range(spec[S_IDENTS]):
        out = get(head, at.H_IDENTS) + 8 * ident * step
        if not _hashes(lying, spec[place], IDENTITIES, index, start, n, text, digits, out, flag):
            return False
        place += 1
        flag += step
    if spec[S_CURRENCY] >= 0:
        out = get(head, at.H_CURRENCIES)
        if not _currencies(lying, spec[S_CURRENCY], spec[S_DEFAULT], index, start, n, text, digits, out):
            return False
    for i in range(n):
        row = _place(index, start, i)
        store(get(head, at.H_TAUS) + 8 * i, load(lying[C_TAUS] + 8 * row))
        store(get(head, at.H_KINDS) + 8 * i, load_half(lying[C_KINDS] + 4 * row))
    put(head, at.H_N, n)
    put(head, at.H_SUBS, n)
    put(head, at.H_FIRST_OUT, 0)
    return True


class LineStage:
    """What one plane reads of lines, as ``stage`` takes it; made at its first use and whenever other names come."""

    def __init__(self, plan: Plan, currency: str) -> None:
        self._plan, self._currency = plan, currency
        self._for: tuple[Names, Hasher] | None = None
        self._spec: np.ndarray | None = None
        self._digits = np.empty(PAD, np.uint8)

    def staged(self, head: int, rows: LineRows) -> bool:
        """Stage a batch for the plane at ``head``; return False where it has to be staged from columns."""
        if self._for is None or self._for[0] is not rows.names or self._for[1] is not rows.hasher:
            self._for, self._spec = (rows.names, rows.hasher), self._specified(rows)
        if self._spec is None:
            return False
        chunk, (index, start) = rows.live(), rows.whereabouts
        return stage(head, chunk.lying, self._spec, chunk.text, self._digits, index, start, rows.n)

    def _specified(self, rows: LineRows) -> np.ndarray | None:
        """Return the specification; None where a field is none of the vocabulary's."""
        plan, slot = self._plan, rows.names.slot.get
        money = slot("currency", -1) if plan.money else -1
        default = np.uint64(rows.hasher.text(self._currency)).astype(np.int64)
        keys, idents = [slot(by) for by in plan.tables], [slot(name) for name in plan.idents]
        values = [one for name, scale in plan.values for one in (slot(name), 10**scale)]
        spec = [len(keys), len(plan.values), len(idents), len(plan.filters), money, default, *keys, *values, *idents]
        return None if None in spec else np.array(spec, np.int64)
