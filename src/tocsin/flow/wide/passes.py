"""The kernel of a plane: the first pass enters the log, then each table runs through the batch in its order.

Table by table, since no table looks at another: the rows of one entity stay in the cache, and the next keys' places are
asked for ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.finish import read_all
from tocsin.flow.wide.hops import add_to_hop, square, turn
from tocsin.flow.wide.jit import inlined, kernel
from tocsin.flow.wide.keyed import LOW, find, free, insert, mixed, row_at
from tocsin.flow.wide.layout import (
    A_BIT,
    A_KIND,
    A_SOURCE,
    A_WORD,
    COUNT,
    DONE,
    ENTRY_SLOTS,
    FEW,
    G_ADD,
    G_ADD_END,
    G_CURSOR,
    G_CURSOR_TAU,
    G_DELAY,
    G_PAIRS,
    G_ROOM,
    G_TAIL,
    G_TAIL_TAU,
    H_BITS,
    H_CURRENCIES,
    H_FIRST_OUT,
    H_FOREIGN,
    H_FOREIGN_PLACES,
    H_IDENTS,
    H_ITEMS,
    H_LOG_BEGIN,
    H_LOG_CAPACITY,
    H_LOG_HEAD,
    H_LOG_LIMIT,
    H_MONEY,
    H_N,
    H_OWN_KEYS,
    H_OWN_PRESENT,
    H_PLACES,
    H_READS,
    H_STAGE,
    H_STARTS,
    H_SUB_KEYS,
    H_SUB_PRESENT,
    H_SUB_STAGE,
    H_SUB_START,
    H_SUBS,
    H_TAU,
    H_TAUS,
    H_VALUES,
    M_LIVE,
    M_MASK,
    NEED_LOG,
    NEED_MAP,
    NEED_TABLE,
    ROW_GENERATION,
    ROW_NEWEST,
    SEGMENT_BITS,
    SUM,
    T_BITS,
    T_CAPACITY,
    T_ESCAPES,
    T_FREES,
    T_GROUP,
    T_GROUP_END,
    T_HAND,
    T_HOPS,
    T_INDEX,
    T_KEEP,
    T_LAST,
    T_LAST_END,
    T_LIVE,
    T_LOGGED,
    T_MASK,
    T_OF_ITEMS,
    T_PLACE,
    T_READ,
    T_READ_END,
    T_READERS,
    T_RECENT,
    T_ROOM,
    T_USED,
    TRIM,
)
from tocsin.flow.wide.memory import load, load_byte, prefetch, store, store_half
from tocsin.flow.wide.ring import enter_log, entry_at
from tocsin.flow.wide.spans import add_all, advance, freshen, tau_at

INDEX_AHEAD, ROW_AHEAD = 16, 8
SWEPT = 2
"""Rows looked at for every row that touches a table whose keys outlive the log."""


@inlined
def lacking(head: Any, tables: Any, groups: Any, maps: Any) -> Any:
    """Return what has to grow before a batch can run to its end; an entry may bring two rows (its money's currency)."""
    most = 2 * head[H_SUBS] if head[H_MONEY] else head[H_SUBS]
    if head[H_LOG_HEAD] + most > head[H_LOG_LIMIT]:
        return np.int64(NEED_LOG)
    for table in range(len(tables)):
        room = tables[table, T_CAPACITY] - tables[table, T_USED] + tables[table, T_FREES]
        if room < most or 4 * (tables[table, T_LIVE] + most) > 3 * (tables[table, T_MASK] + 1):
            return np.int64(NEED_TABLE + table)
        at, each = tables[table, T_ESCAPES], tables[table, T_ROOM]
        if at >= 0 and 4 * (maps[at, M_LIVE] + most * each) > 3 * (maps[at, M_MASK] + 1):
            return np.int64(NEED_MAP + at)
        for group in range(tables[table, T_GROUP], tables[table, T_HOPS]):
            at, each = groups[group, G_PAIRS], groups[group, G_ROOM]
            if at >= 0 and 4 * (maps[at, M_LIVE] + head[H_SUBS] * each) > 3 * (maps[at, M_MASK] + 1):
                return np.int64(NEED_MAP + at)
    return np.int64(DONE)


@inlined
def touch(row: Any, table: Any, tau: Any, tables: Any, groups: Any, adds: Any, maps: Any) -> None:
    """Bring a row to now: drop what was reset, turn its hops."""
    freshen(row, table, tables, groups)
    if tables[table, T_HOPS] < tables[table, T_GROUP_END]:
        turn(row, table, tau, tables, groups, adds, maps)


@inlined
def enter(
    table: Any, key: Any, bits: Any, sub: Any, place: Any, tau: Any,
    head: Any, tables: Any, groups: Any, adds: Any, maps: Any,
) -> Any:  # fmt: skip
    """Take an entry into the row of a key, which is made at first sight; return the row's address."""
    slot = find(tables, table, key)
    if slot < 0:
        slot = insert(tables, table, key, tau)
    row = row_at(tables, table, slot)
    touch(row, table, tau, tables, groups, adds, maps)
    step = 8 * head[H_SUB_STAGE]
    values, idents = head[H_VALUES] + 8 * sub, head[H_IDENTS] + 8 * sub
    for group in range(tables[table, T_GROUP], tables[table, T_HOPS]):
        if groups[group, G_DELAY] == 0:
            add_all(row, group, bits, tau, values, idents, step, groups, adds, maps)
    for group in range(tables[table, T_HOPS], tables[table, T_GROUP_END]):
        for add in range(groups[group, G_ADD], groups[group, G_ADD_END]):
            if bits & adds[add, A_BIT]:
                kind, low, high = adds[add, A_KIND], np.int64(1), np.int64(0)
                if kind == SUM:
                    low = load(values + step * adds[add, A_SOURCE])
                elif kind != COUNT:
                    low, high = square(load(values + step * adds[add, A_SOURCE]))
                add_to_hop(row, group, add, low, high, groups, adds, maps, tables[table, T_ESCAPES])
    for add in range(tables[table, T_LAST], tables[table, T_LAST_END]):
        if bits & adds[add, A_BIT]:
            store(row + 8 * adds[add, A_WORD], tau + 1)
    if tables[table, T_KEEP] >= 0:
        store(row + ROW_NEWEST, tau)
    if place >= 0 and bits & tables[table, T_LOGGED]:
        store_half(entry_at(head, place) + ENTRY_SLOTS + 4 * tables[table, T_PLACE], slot)
        if tables[table, T_KEEP] < 0:
            store(row + ROW_NEWEST, place)
    return row


@inlined
def read_key(
    table: Any, key: Any, first: Any, last: Any, readers: Any, row: Any, tau: Any,
    head: Any, tables: Any, groups: Any, adds: Any, reads: Any, maps: Any, out: Any,
) -> None:  # fmt: skip
    """Write what a key's windows say: those of money from the row of the reader's currency."""
    foreign = load(head[H_FOREIGN] + 8 * row) != 0
    slot, address = find(tables, table, key), np.int64(0)
    if slot >= 0:
        address = row_at(tables, table, slot)
        touch(address, table, tau, tables, groups, adds, maps)
    read_all(address, first, last, readers, 0 if foreign else -1, head[H_FIRST_OUT] + row, tau, reads, out)
    if foreign:
        slot, address = find(tables, table, mixed(key, load(head[H_CURRENCIES] + 8 * row), 1)), np.int64(0)
        if slot >= 0:
            address = row_at(tables, table, slot)
            touch(address, table, tau, tables, groups, adds, maps)
        read_all(address, first, last, readers, 1, head[H_FIRST_OUT] + row, tau, reads, out)


@inlined
def read_keys(
    table: Any, first: Any, last: Any, readers: Any, row: Any, tau: Any,
    head: Any, tables: Any, groups: Any, adds: Any, reads: Any, maps: Any, out: Any,
) -> None:  # fmt: skip
    """Read by a row's own key, or by its items' where it has none and the table is of items."""
    at = table * head[H_STAGE] + row
    if load_byte(head[H_OWN_PRESENT] + at):
        key = load(head[H_OWN_KEYS] + 8 * at)
        read_key(table, key, first, last, readers, row, tau, head, tables, groups, adds, reads, maps, out)
    elif tables[table, T_OF_ITEMS]:
        for sub in range(load(head[H_SUB_START] + 8 * row), load(head[H_SUB_START] + 8 * row + 8)):
            at = table * head[H_SUB_STAGE] + sub
            if load_byte(head[H_SUB_PRESENT] + at):
                key = load(head[H_SUB_KEYS] + 8 * at)
                read_key(table, key, first, last, readers, row, tau, head, tables, groups, adds, reads, maps, out)


@inlined
def sweep(table: Any, tau: Any, tables: Any, groups: Any, adds: Any, maps: Any) -> None:
    """Look at a few rows, one after the other, and let go of those that nothing can reach any more."""
    for _ in range(min(SWEPT, tables[table, T_USED])):
        slot = tables[table, T_HAND]
        slot = slot + 1 if slot + 1 < tables[table, T_USED] else 0
        tables[table, T_HAND] = slot
        row = row_at(tables, table, slot)
        prefetch(row + 8 * SWEPT * (row_at(tables, table, 1) - row_at(tables, table, 0)))
        if load(row + ROW_GENERATION) != 0 and load(row + ROW_NEWEST) + tables[table, T_KEEP] < tau:
            free(tables, table, slot, groups, adds, maps)


@inlined
def ask(table: Any, row: Any, head: Any, tables: Any) -> None:
    """Ask for the index places and the rows of keys that come soon (rows of events, each its own entry)."""
    index, mask = tables[table, T_INDEX], tables[table, T_MASK]
    keys = head[H_SUB_KEYS] + 8 * table * head[H_SUB_STAGE]
    if row + INDEX_AHEAD < head[H_SUBS]:
        prefetch(index + 8 * (load(keys + 8 * (row + INDEX_AHEAD)) & LOW & mask))
    if row + ROW_AHEAD < head[H_SUBS]:
        entry = load(index + 8 * (load(keys + 8 * (row + ROW_AHEAD)) & LOW & mask))
        if entry != 0:
            address = row_at(tables, table, (entry & LOW) - 1)
            prefetch(address)
            prefetch(address + 64)


@inlined
def settle(table: Any, tau: Any, head: Any, tables: Any, groups: Any, adds: Any, maps: Any) -> None:
    """Bring a table's tails to the end of a batch, so that what they have passed can be given back."""
    end = head[H_LOG_HEAD]
    advance(table, tau, end, end - head[H_LOG_CAPACITY], head, tables, groups, adds, maps)


@inlined
def run_table(
    table: Any, head: Any, tables: Any, groups: Any, adds: Any, reads: Any, maps: Any, out: Any
) -> None:
    """Run one table through the batch."""
    for group in range(tables[table, T_GROUP], tables[table, T_HOPS]):
        groups[group, G_TAIL_TAU] = tau_at(head, groups[group, G_TAIL])
        groups[group, G_CURSOR_TAU] = tau_at(head, groups[group, G_CURSOR])
    present = head[H_SUB_PRESENT] + table * head[H_SUB_STAGE]
    keys = head[H_SUB_KEYS] + 8 * table * head[H_SUB_STAGE]
    conditions, items, tau = tables[table, T_BITS], head[H_ITEMS], np.int64(0)
    first, split, last = tables[table, T_RECENT], tables[table, T_READ], tables[table, T_READ_END]
    for row in range(head[H_N]):
        readers = load(head[H_READS] + 8 * row) & tables[table, T_READERS]
        begin, end = row, row + 1
        if items:
            begin, end = load(head[H_SUB_START] + 8 * row), load(head[H_SUB_START] + 8 * row + 8)
        else:
            ask(table, row, head, tables)
        own = load_byte(head[H_OWN_PRESENT] + table * head[H_STAGE] + row) != 0
        if not own and not (tables[table, T_OF_ITEMS] and end > begin):
            readers = np.int64(0)
        entering = False
        for sub in range(begin, end):
            if load(head[H_BITS] + 8 * sub) & conditions and load_byte(present + sub):
                entering = True
        if not entering and readers == 0:
            continue
        tau = load(head[H_TAUS] + 8 * row)
        start, after = load(head[H_STARTS] + 8 * row), load(head[H_STARTS] + 8 * row + 8)
        advance(table, tau, start, after - head[H_LOG_CAPACITY], head, tables, groups, adds, maps)
        if readers and split > first:
            read_keys(table, first, split, readers, row, tau, head, tables, groups, adds, reads, maps, out)
        address = np.int64(0)
        for sub in range(begin, end) if entering else range(0):
            bits = load(head[H_BITS] + 8 * sub) & conditions
            if bits and load_byte(present + sub):
                key, money = load(keys + 8 * sub), np.int64(0)
                if load(head[H_FOREIGN] + 8 * row):
                    money, bits = bits & head[H_MONEY], bits & ~head[H_MONEY]
                if bits:
                    place = load(head[H_PLACES] + 8 * sub)
                    address = enter(table, key, bits, sub, place, tau, head, tables, groups, adds, maps)
                if money:
                    address, place = np.int64(0), load(head[H_FOREIGN_PLACES] + 8 * sub)
                    other = mixed(key, load(head[H_CURRENCIES] + 8 * row), 1)
                    enter(table, other, money, sub, place, tau, head, tables, groups, adds, maps)
        if readers and last > split:
            if address != 0 and items == 0 and load(head[H_FOREIGN] + 8 * row) == 0:
                read_all(address, split, last, readers, -1, head[H_FIRST_OUT] + row, tau, reads, out)
            else:
                read_keys(table, split, last, readers, row, tau, head, tables, groups, adds, reads, maps, out)
        if tables[table, T_KEEP] >= 0:
            sweep(table, tau, tables, groups, adds, maps)


@kernel
def run(
    head: np.ndarray,
    tables: np.ndarray,
    groups: np.ndarray,
    adds: np.ndarray,
    reads: np.ndarray,
    maps: np.ndarray,
    out: np.ndarray,
    default: np.int64,
) -> int:
    """Run a staged batch and fill ``out`` float64 [windows, rows]; see ``layout.DONE`` for what is returned.

    ``default`` is the hash of the installation's currency. Nothing has happened where something has to grow first.
    """
    need = lacking(head, tables, groups, maps)
    if need != DONE:
        return need
    begin = head[H_LOG_BEGIN]
    enter_log(head, tables, default)
    tau = load(head[H_TAUS] + 8 * (head[H_N] - 1))
    for table in range(len(tables)):
        run_table(table, head, tables, groups, adds, reads, maps, out)
        settle(table, tau, head, tables, groups, adds, maps)
    head[H_TAU] = tau
    return np.int64(TRIM if begin >> SEGMENT_BITS != head[H_LOG_BEGIN] >> SEGMENT_BITS else DONE)
