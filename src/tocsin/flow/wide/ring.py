"""The log of entries: one ring of segments that all tables share, entered by the first pass over a batch.

An entry holds what every table needs to take it out again when it leaves a window: its tau, which conditions it met,
its values and identities, and the row it went to in each table. Beyond the capacity the oldest entry goes with each new
one, whatever the batches: a span then reaches back only as far as the log.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import inlined
from tocsin.flow.wide.layout import (
    ENTRY_BITS,
    ENTRY_SLOTS,
    ENTRY_TAU,
    H_BITS,
    H_CLEARS,
    H_CURRENCIES,
    H_FLAG_COUNT,
    H_FLAGS,
    H_FORCED,
    H_FOREIGN,
    H_FOREIGN_PLACES,
    H_IDENT_COUNT,
    H_IDENTS,
    H_ITEMS,
    H_KIND_BITS,
    H_KIND_COUNT,
    H_KINDS,
    H_LOG_BEGIN,
    H_LOG_CAPACITY,
    H_LOG_HEAD,
    H_LOG_VALUES,
    H_LOG_WORDS,
    H_MONEY,
    H_N,
    H_PLACES,
    H_REACH,
    H_READS,
    H_SEGMENT_MASK,
    H_SEGMENTS,
    H_STARTS,
    H_SUB_PRESENT,
    H_SUB_STAGE,
    H_SUB_START,
    H_TABLES,
    H_TABLES_END,
    H_TAUS,
    H_VALUE_COUNT,
    H_VALUES,
    SEGMENT_BITS,
    T_LOGGED,
    TABLE_BYTES,
)
from tocsin.flow.wide.memory import get, load, load_byte, put, store, store_half

ENTRY_IN_SEGMENT = (1 << SEGMENT_BITS) - 1


@inlined
def entry_at(head: Any, place: Any) -> Any:
    """Return the address of an entry of the log."""
    segment = load(get(head, H_SEGMENTS) + 8 * ((place >> SEGMENT_BITS) & get(head, H_SEGMENT_MASK)))
    return segment + (place & ENTRY_IN_SEGMENT) * get(head, H_LOG_WORDS) * 8


@inlined
def conditions(head: Any, sub: Any, bits: Any) -> Any:
    """Return which conditions an entry meets: those of its type, less those whose filter or field it lacks."""
    stride = get(head, H_SUB_STAGE)
    for flag in range(get(head, H_FLAG_COUNT)):
        if load_byte(get(head, H_FLAGS) + flag * stride + sub) == 0:
            bits &= ~load(get(head, H_CLEARS) + 8 * flag)
    return bits


@inlined
def wanted(head: Any, sub: Any, bits: Any) -> Any:
    """Return whether the log of some table needs an entry of these conditions."""
    present, stride = get(head, H_SUB_PRESENT) + sub, get(head, H_SUB_STAGE)
    for table in range(get(head, H_TABLES), get(head, H_TABLES_END), TABLE_BYTES):
        if bits & get(table, T_LOGGED) and load_byte(present):
            return True
        present += stride
    return False


@inlined
def append(head: Any, sub: Any, tau: Any, bits: Any) -> Any:
    """Put an entry at the end of the log, in no table yet; return its place."""
    place = get(head, H_LOG_HEAD)
    put(head, H_LOG_HEAD, place + 1)
    entry = entry_at(head, place)
    store(entry + ENTRY_TAU, tau)
    store(entry + ENTRY_BITS, bits)
    for slot in range(entry + ENTRY_SLOTS, entry + get(head, H_LOG_VALUES), 4):
        store_half(slot, -1)
    at, stride = entry + get(head, H_LOG_VALUES), get(head, H_SUB_STAGE)
    for value in range(get(head, H_VALUE_COUNT)):
        store(at + 8 * value, load(get(head, H_VALUES) + 8 * (value * stride + sub)))
    at += 8 * get(head, H_VALUE_COUNT)
    for ident in range(get(head, H_IDENT_COUNT)):
        store(at + 8 * ident, load(get(head, H_IDENTS) + 8 * (ident * stride + sub)))
    return place


@inlined
def let_go(head: Any, tau: Any) -> None:
    """Move the log's begin past what no span reaches at ``tau``, and past what there is no room for."""
    begin, end, bound = get(head, H_LOG_BEGIN), get(head, H_LOG_HEAD), tau - get(head, H_REACH)
    if begin < end and load(entry_at(head, end - 1) + ENTRY_TAU) <= bound:
        begin = end
    while begin < end and load(entry_at(head, begin) + ENTRY_TAU) <= bound:
        begin += 1
    if end - begin > get(head, H_LOG_CAPACITY):
        put(head, H_FORCED, get(head, H_FORCED) + end - begin - get(head, H_LOG_CAPACITY))
        begin = end - get(head, H_LOG_CAPACITY)
    put(head, H_LOG_BEGIN, begin)


@inlined
def enter_log(head: Any, default: Any) -> None:
    """Run the first pass over a batch: the conditions and readers of every row, its entries to the end of the log.

    An entry in a currency that is not the installation's becomes two: the part without money, and the money.
    """
    kinds, money, items = get(head, H_KIND_COUNT), get(head, H_MONEY), get(head, H_ITEMS)
    for row in range(get(head, H_N)):
        tau = load(get(head, H_TAUS) + 8 * row)
        kind = load(get(head, H_KINDS) + 8 * row)
        store(get(head, H_STARTS) + 8 * row, get(head, H_LOG_HEAD))
        foreign = money != 0 and load(get(head, H_CURRENCIES) + 8 * row) != default
        store(get(head, H_FOREIGN) + 8 * row, np.int64(foreign))
        enters = np.int64(0)
        if kind < kinds:
            enters = load(get(head, H_KIND_BITS) + 16 * kind)
            store(get(head, H_READS) + 8 * row, load(get(head, H_KIND_BITS) + 16 * kind + 8))
        else:
            store(get(head, H_READS) + 8 * row, 0)
        first, last = row, row + 1
        if items:
            first, last = load(get(head, H_SUB_START) + 8 * row), load(get(head, H_SUB_START) + 8 * row + 8)
        for sub in range(first, last):
            bits, place, foreign_place = np.int64(0), np.int64(-1), np.int64(-1)
            if enters != 0:
                bits = conditions(head, sub, enters)
                home = bits & ~money if foreign else bits
                if wanted(head, sub, home):
                    place = append(head, sub, tau, home)
                if foreign and wanted(head, sub, bits & money):
                    foreign_place = append(head, sub, tau, bits & money)
            store(get(head, H_BITS) + 8 * sub, bits)
            store(get(head, H_PLACES) + 8 * sub, place)
            store(get(head, H_FOREIGN_PLACES) + 8 * sub, foreign_place)
        let_go(head, tau)
    store(get(head, H_STARTS) + 8 * get(head, H_N), get(head, H_LOG_HEAD))
