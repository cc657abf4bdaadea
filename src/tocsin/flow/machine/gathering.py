"""Kernels that read the inputs of a program: columns by address, packed rows, cells of scanned lines, hashed texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.machine import ops
from tocsin.flow.machine.columns import MISSING, ONE, UNKNOWN, ZERO, U, bare
from tocsin.flow.machine.peeks import peek_byte, peek_whole
from tocsin.flow.wide.prefetch import prefetch
from tocsin.flow.wide.scan_checks import BOOL, FLOAT, INT, TEXT
from tocsin.flow.wide.sip import sip_bytes

B = U(ops.BLOCK)
AHEAD = 12
"""So many rows ahead the bytes of texts are asked for."""
K0, K1 = 13, 14
"""Where in ``memory`` the key of the hash of texts is."""


@bare
def probed(keys: Any, mask: Any, wanted: Any) -> Any:
    """Return the place of a hash in an open table of int64 at address ``keys``, -1 where it is not there.

    ``mask`` is one less than the table's length, a power of two; 0 marks what is empty, so ``wanted`` 0 counts as 1.
    """
    if wanted == 0:
        wanted = np.int64(1)
    at = wanted & mask
    while True:
        found = peek_whole(keys + at * 8)
        if found == wanted:
            return at
        if found == 0:
            return np.int64(-1)
        at = (at + 1) & mask


@bare
def cells_into(
    kind: Any,
    where: Any,
    stride: Any,
    told: Any,
    step: Any,
    k0: Any,
    k1: Any,
    base: Any,
    rows: np.ndarray,
    first: int,
    m: int,
    places: np.ndarray,
    moved: Any,
    text: np.ndarray,
    v: np.ndarray,
    x: np.ndarray,
    c: np.ndarray,
) -> None:
    """Read tagged cells of ``rows[first : first + m]``; texts lie in ``text``, and become their hashes."""
    for i in range(m):
        j = U(i)
        if kind == ops.CELL_TEXT and i + AHEAD < m:
            row = rows[U(first + i + AHEAD)]
            if moved != 0:
                row = places[U(row)]
            if np.int64(peek_byte(told + row * step)) == TEXT:
                prefetch(text, np.int64(U(peek_whole(where + row * stride)) >> U(32)))
        row = rows[U(first + i)]
        if moved != 0:
            row = places[U(row)]
        tag = np.int64(peek_byte(told + row * step))
        state = MISSING
        if kind == ops.CELL_INT:
            if tag == INT:
                v[base + j] = peek_whole(where + row * stride)
                state = ZERO
        elif kind == ops.CELL_DOUBLE:
            if tag == INT:
                x[base + j] = np.float64(peek_whole(where + row * stride))
                state = ZERO
            elif tag == FLOAT:
                v[base + j] = peek_whole(where + row * stride)
                state = ZERO
        elif kind == ops.CELL_TRUTH:
            if tag == BOOL:
                state = ONE if peek_whole(where + row * stride) != 0 else ZERO
        elif tag == TEXT:
            cell = U(peek_whole(where + row * stride))
            start, length = np.int64(cell >> U(32)), np.int64(cell & U(0xFFFFFFFF))
            v[base + j] = np.int64(sip_bytes(text, start, length, k0, k1))
            state = ZERO
        c[base + j] = state


@bare
def gather(
    memory: np.ndarray,
    at: Any,
    base: Any,
    rows: np.ndarray,
    first: int,
    m: int,
    places: np.ndarray,
    text: np.ndarray,
    v: np.ndarray,
    x: np.ndarray,
    c: np.ndarray,
) -> None:
    """Read an input of ``rows[first : first + m]`` into the register at ``base``; it lies as ``memory[at:]`` says."""
    kind, where, stride, how = memory[at], memory[at + U(1)], memory[at + U(2)], memory[at + U(3)]
    told, step, bit, moved = memory[at + U(4)], memory[at + U(5)], memory[at + U(6)], memory[at + U(7)]
    if kind == ops.ENTRY:
        for i in range(m):
            j = U(i)
            entry = peek_whole(where + rows[U(first + i)] * stride)
            v[base + j] = entry
            c[base + j] = ZERO if entry >= 0 else UNKNOWN if entry == ops.STRANGE else MISSING
    elif kind >= ops.CELL_INT:
        k0, k1 = U(memory[U(K0)]), U(memory[U(K1)])
        cells_into(kind, where, stride, told, step, k0, k1, base, rows, first, m, places, moved, text, v, x, c)
    elif kind == ops.BYTE:
        for i in range(m):
            row = rows[U(first + i)]
            state = ZERO
            if how == ops.FLAGGED:
                state = MISSING if peek_byte(told + row * step) != ZERO else ZERO
            elif how == ops.MASKED:
                state = MISSING if (peek_whole(told + row * step) >> bit) & 1 != 0 else ZERO
            c[base + U(i)] = peek_byte(where + row * stride) if state == ZERO else state
    elif how == ops.NANS:
        for i in range(m):
            j = U(i)
            row = rows[U(first + i)]
            if moved != 0:
                row = places[U(row)]
            value = peek_whole(where + row * stride)
            v[base + j] = value
            c[base + j] = MISSING if (value & 0x7FFFFFFFFFFFFFFF) > 0x7FF0000000000000 else ZERO
    else:
        for i in range(m):
            v[base + U(i)] = peek_whole(where + rows[U(first + i)] * stride)
        if how == ops.WHOLE:
            for i in range(m):
                c[base + U(i)] = ZERO
        elif how == ops.FLAGGED:
            for i in range(m):
                c[base + U(i)] = MISSING if peek_byte(told + rows[U(first + i)] * step) != ZERO else ZERO
        elif how == ops.STATED:
            for i in range(m):
                c[base + U(i)] = peek_byte(told + rows[U(first + i)] * step)
        else:
            for i in range(m):
                absent = (peek_whole(told + rows[U(first + i)] * step) >> bit) & 1
                c[base + U(i)] = MISSING if absent != 0 else ZERO


@bare
def entered(keys: int, mask: int, values: int, wanted: np.ndarray, out: np.ndarray) -> Any:
    """Put the value of each hash into ``out``, -1 where it has none; return how many have none."""
    absent = 0
    for i in range(len(wanted)):
        place = probed(keys, mask, wanted[i])
        out[i] = np.int64(-1) if place < 0 else peek_whole(values + place * 8)
        absent += place < 0
    return absent


@bare
def hashed(
    memory: np.ndarray,
    rows: np.ndarray,
    cells: int,
    stride: int,
    tags: int,
    step: int,
    text: np.ndarray,
    states: np.ndarray,
    out: np.ndarray,
    kept: np.ndarray,
) -> Any:
    """Hash the texts of rows that are unknown, from cells; return how many ``kept`` rows have one.

    Rows without a text become missing.
    """
    k0, k1 = U(memory[U(K0)]), U(memory[U(K1)])
    count = 0
    for i in range(len(rows)):
        if i + AHEAD < len(rows):
            row = rows[i + AHEAD]
            if np.int64(peek_byte(tags + row * step)) == TEXT:
                prefetch(text, np.int64(U(peek_whole(cells + row * stride)) >> U(32)))
        row = rows[i]
        if states[row] != UNKNOWN:
            continue
        if np.int64(peek_byte(tags + row * step)) != TEXT:
            states[row] = MISSING
            continue
        cell = U(peek_whole(cells + row * stride))
        start, length = np.int64(cell >> U(32)), np.int64(cell & U(0xFFFFFFFF))
        out[count] = np.int64(sip_bytes(text, start, length, k0, k1))
        kept[count] = row
        count += 1
    return count
