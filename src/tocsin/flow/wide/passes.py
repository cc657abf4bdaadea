"""The kernel of a plane: the first pass enters the log, then each table runs through the batch in its order.

Table by table, since no table looks at another: the rows of one entity stay in the cache, and the places of the keys
that come next are asked for ahead. An entry costs O(1) a window, a reading too; a jump of the clock past a span is O(1)
for that span, a jump inside it takes out once what has left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.bare import bare
from tocsin.flow.wide.finish import read_all
from tocsin.flow.wide.hops import add_to_hop, square, turn
from tocsin.flow.wide.jit import brief, inlined, kernel, woven
from tocsin.flow.wide.keyed import LOW, find, free, home, insert, mixed, row_at
from tocsin.flow.wide.layout import (
    A_BIT,
    A_KIND,
    A_SOURCE,
    A_TAG,
    A_WORD,
    ADD_BYTES,
    COUNT,
    DISTINCT,
    DONE,
    ENTRY_SLOTS,
    G_ADD,
    G_ADD_END,
    G_CURSOR,
    G_CURSOR_TAU,
    G_DELAY,
    G_PAIRS,
    G_ROOM,
    G_TAIL,
    G_TAIL_AT,
    G_TAIL_TAU,
    GROUP_BYTES,
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
    H_OUT,
    H_OUT_STRIDE,
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
    H_TABLES,
    H_TABLES_END,
    H_TAU,
    H_TAUS,
    H_VALUES,
    LINE_WORDS,
    M_ENTRIES,
    M_LIVE,
    M_MASK,
    M_PLACE,
    NEED_LOG,
    NEED_MAP,
    NEED_TABLE,
    NEWEST_BITS,
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
    T_SEEN,
    T_USED,
    T_WORDS,
    TABLE_BYTES,
    TRIM,
)
from tocsin.flow.wide.memory import get, load, load_byte, load_half, prefetch, put, store, store_half
from tocsin.flow.wide.ring import enter_log, entry_at
from tocsin.flow.wide.spans import add_all, advance, at_least_0, freshen, tau_at

INDEX_AHEAD, ROW_AHEAD = 16, 8
SWEPT = 2
"""Rows looked at for every row that touches a table whose keys outlive the log."""


@inlined
def lacking(head: Any) -> Any:
    """Return what has to grow before a batch can run to its end; an entry may bring two rows (its money's currency)."""
    most = 2 * get(head, H_SUBS) if get(head, H_MONEY) else get(head, H_SUBS)
    if get(head, H_LOG_HEAD) + most > get(head, H_LOG_LIMIT):
        return np.int64(NEED_LOG)
    for table in range(get(head, H_TABLES), get(head, H_TABLES_END), TABLE_BYTES):
        room = get(table, T_CAPACITY) - get(table, T_USED) + get(table, T_FREES)
        if room < most or 4 * (get(table, T_LIVE) + most) > 3 * (get(table, T_MASK) + 1):
            return np.int64(NEED_TABLE + get(table, T_PLACE))
        at, each = get(table, T_ESCAPES), get(table, T_ROOM)
        if at != 0 and 4 * (get(at, M_LIVE) + most * each) > 3 * (get(at, M_MASK) + 1):
            return np.int64(NEED_MAP + get(at, M_PLACE))
        group = get(table, T_GROUP)
        while group < get(table, T_HOPS):
            at, coming = get(group, G_PAIRS), get(head, H_SUBS)
            if get(group, G_DELAY) != 0:
                coming += get(head, H_LOG_HEAD) - get(group, G_CURSOR)
            if at != 0 and 4 * (get(at, M_LIVE) + coming * get(group, G_ROOM)) > 3 * (get(at, M_MASK) + 1):
                return np.int64(NEED_MAP + get(at, M_PLACE))
            group += GROUP_BYTES
    return np.int64(DONE)


@inlined
def touch(row: Any, table: Any, tau: Any) -> None:
    """Bring a row to now: drop what was reset, turn its hops."""
    freshen(row, table)
    if get(table, T_HOPS) < get(table, T_GROUP_END):
        turn(row, table, tau)


@inlined
def enter(
    table: Any, key: Any, bits: Any, sub: Any, place: Any, tau: Any,
    head: Any,
) -> Any:  # fmt: skip
    """Take an entry into the row of a key, which is made at first sight; return the row's address."""
    slot = find(table, key)
    if slot < 0:
        slot = insert(table, key, tau)
    row = row_at(table, slot)
    touch(row, table, tau)
    enter_row(table, slot, row, bits, sub, place, tau, head)
    return row


@woven
def enter_row(
    table: Any, slot: Any, row: Any, bits: Any, sub: Any, place: Any, tau: Any,
    head: Any,
) -> None:  # fmt: skip
    """Take an entry into a row that was brought to now."""
    step = 8 * get(head, H_SUB_STAGE)
    values, idents = get(head, H_VALUES) + 8 * sub, get(head, H_IDENTS) + 8 * sub
    group = get(table, T_GROUP)
    while group < get(table, T_HOPS):
        if get(group, G_DELAY) == 0:
            add_all(row, group, bits, tau, values, idents, step)
        group += GROUP_BYTES
    group = get(table, T_HOPS)
    while group < get(table, T_GROUP_END):
        add = get(group, G_ADD)
        while add < get(group, G_ADD_END):
            if bits & get(add, A_BIT):
                kind, low, high = get(add, A_KIND), np.int64(1), np.int64(0)
                if kind == SUM:
                    low = load(values + step * get(add, A_SOURCE))
                elif kind != COUNT:
                    low, high = square(load(values + step * get(add, A_SOURCE)))
                add_to_hop(row, group, add, low, high, get(table, T_ESCAPES))
            add += ADD_BYTES
        group += GROUP_BYTES
    add = get(table, T_LAST)
    while add < get(table, T_LAST_END):
        if bits & get(add, A_BIT):
            store(row + get(add, A_WORD), tau + 1)
        add += ADD_BYTES
    if get(table, T_KEEP) >= 0:
        store_half(row + ROW_NEWEST, (tau >> NEWEST_BITS) + 1)
    if place >= 0 and bits & get(table, T_LOGGED):
        store_half(entry_at(head, place) + ENTRY_SLOTS + 4 * get(table, T_PLACE), slot)
        if get(table, T_KEEP) < 0:
            store_half(row + ROW_NEWEST, place)


@inlined
def read_key(
    table: Any, key: Any, first: Any, last: Any, readers: Any, row: Any, tau: Any,
    head: Any,
) -> None:  # fmt: skip
    """Write what a key's windows say: those of money from the row of the reader's currency."""
    foreign = load(get(head, H_FOREIGN) + 8 * row) != 0
    slot, address = find(table, key), np.int64(0)
    if slot >= 0:
        address = row_at(table, slot)
        touch(address, table, tau)
    read_all(address, first, last, readers, 0 if foreign else -1, get(head, H_FIRST_OUT) + row, tau, head)
    if foreign:
        slot, address = find(table, mixed(key, load(get(head, H_CURRENCIES) + 8 * row), 1)), np.int64(0)
        if slot >= 0:
            address = row_at(table, slot)
            touch(address, table, tau)
        read_all(address, first, last, readers, 1, get(head, H_FIRST_OUT) + row, tau, head)


@inlined
def read_keys(
    table: Any, first: Any, last: Any, readers: Any, row: Any, tau: Any,
    head: Any,
) -> None:  # fmt: skip
    """Read by a row's own key, or by its items' where it has none and the table is of items."""
    at = get(table, T_PLACE) * get(head, H_STAGE) + row
    if load_byte(get(head, H_OWN_PRESENT) + at):
        key = load(get(head, H_OWN_KEYS) + 8 * at)
        read_key(table, key, first, last, readers, row, tau, head)
    elif get(table, T_OF_ITEMS):
        for sub in range(load(get(head, H_SUB_START) + 8 * row), load(get(head, H_SUB_START) + 8 * row + 8)):
            at = get(table, T_PLACE) * get(head, H_SUB_STAGE) + sub
            if load_byte(get(head, H_SUB_PRESENT) + at):
                key = load(get(head, H_SUB_KEYS) + 8 * at)
                read_key(table, key, first, last, readers, row, tau, head)


@inlined
def sweep(table: Any, tau: Any) -> None:
    """Look at a few rows, one after the other, and let go of those that nothing can reach any more.

    Twice as many as there are more than last time: an entry in another currency or of several items makes several.
    """
    more = max(get(table, T_LIVE) - get(table, T_SEEN), 0)
    for _ in range(min(SWEPT + 2 * more, get(table, T_USED))):
        slot = get(table, T_HAND)
        slot = slot + 1 if slot + 1 < get(table, T_USED) else 0
        put(table, T_HAND, slot)
        row = row_at(table, slot)
        prefetch(row + 64 * SWEPT * get(table, T_WORDS))
        newest = (load_half(row + ROW_NEWEST) & LOW) << NEWEST_BITS
        if load_half(row + ROW_GENERATION) != 0 and newest + get(table, T_KEEP) < tau:
            free(table, slot)
    put(table, T_SEEN, get(table, T_LIVE))


@woven
def ask_pairs(table: Any, key: Any, sub: Any, head: Any) -> None:
    """Ask for where the identities of an entry that comes soon are counted."""
    group = get(table, T_GROUP)
    while group < get(table, T_HOPS):
        pairs = get(group, G_PAIRS)
        if pairs != 0 and get(group, G_DELAY) == 0:
            add = get(group, G_ADD)
            while add < get(group, G_ADD_END):
                if get(add, A_KIND) == DISTINCT:
                    at = get(add, A_SOURCE) * get(head, H_SUB_STAGE) + sub
                    found = mixed(key, load(get(head, H_IDENTS) + 8 * at), get(add, A_TAG))
                    counts = load(get(head, H_BITS) + 8 * sub) & get(add, A_BIT) != 0
                    prefetch(get(pairs, M_ENTRIES) + 16 * home(get(pairs, M_MASK) & -np.int64(counts), found))
                add += ADD_BYTES
        group += GROUP_BYTES


@woven
def key_at(table: Any, sub: Any, head: Any) -> Any:
    """Return the key of an entry."""
    return load(get(head, H_SUB_KEYS) + 8 * (get(table, T_PLACE) * get(head, H_SUB_STAGE) + sub))


@woven
def ask_index(table: Any, key: Any) -> None:
    """Ask for the place of a key in the index."""
    prefetch(get(table, T_INDEX) + 8 * (key & LOW & get(table, T_MASK)))


@woven
def ask_row(table: Any, key: Any, sub: Any, head: Any) -> None:
    """Ask for the row of an entry that comes soon, and for where its identities are counted."""
    entry = load(get(table, T_INDEX) + 8 * (key & LOW & get(table, T_MASK)))
    address = row_at(table, at_least_0((entry & LOW) - 1))
    prefetch(address)
    if get(table, T_WORDS) > LINE_WORDS:
        prefetch(address + 64)
    ask_pairs(table, key, sub, head)


@woven
def ask(table: Any, row: Any, head: Any) -> None:
    """Ask for the index places and the rows of keys that come soon (rows of events, each its own entry)."""
    if row + INDEX_AHEAD < get(head, H_SUBS):
        ask_index(table, key_at(table, row + INDEX_AHEAD, head))
    if row + ROW_AHEAD < get(head, H_SUBS):
        ask_row(table, key_at(table, row + ROW_AHEAD, head), row + ROW_AHEAD, head)


@inlined
def ask_first(head: Any, rows: Any) -> None:
    """Ask for the index places, or else the rows, of the entries that come first, over all tables at once."""
    first = min(get(head, H_SUBS), np.int64(ROW_AHEAD if rows else INDEX_AHEAD))
    for table in range(get(head, H_TABLES), get(head, H_TABLES_END), TABLE_BYTES):
        for sub in range(first):
            if rows:
                ask_row(table, key_at(table, sub, head), sub, head)
            else:
                ask_index(table, key_at(table, sub, head))


@inlined
def settle(table: Any, tau: Any, head: Any) -> None:
    """Bring a table's tails to the end of a batch, so that what they have passed can be given back."""
    end = get(head, H_LOG_HEAD)
    advance(table, tau, end, end - get(head, H_LOG_CAPACITY), head)


@woven
def pass_row(
    table: Any, key: Any, first: Any, split: Any, last: Any, readers: Any, row: Any, tau: Any,
    head: Any,
) -> None:  # fmt: skip
    """Read, enter and read a row whose key is its entry's, all in the currency of the installation: one search."""
    slot, address = find(table, key), np.int64(0)
    if slot >= 0:
        address = row_at(table, slot)
        touch(address, table, tau)
    if readers and split > first:
        read_all(address, first, split, readers, -1, get(head, H_FIRST_OUT) + row, tau, head)
    if slot < 0:
        slot = insert(table, key, tau)
        address = row_at(table, slot)
        touch(address, table, tau)
    bits, place = load(get(head, H_BITS) + 8 * row) & get(table, T_BITS), load(get(head, H_PLACES) + 8 * row)
    enter_row(table, slot, address, bits, row, place, tau, head)
    if readers and last > split:
        read_all(address, split, last, readers, -1, get(head, H_FIRST_OUT) + row, tau, head)


@inlined
def run_table(table: Any, head: Any) -> None:
    """Run one table through the batch."""
    group = get(table, T_GROUP)
    while group < get(table, T_HOPS):
        put(group, G_TAIL_TAU, tau_at(head, get(group, G_TAIL)))
        put(group, G_TAIL_AT, entry_at(head, get(group, G_TAIL)))
        if get(group, G_DELAY) != 0:
            put(group, G_CURSOR_TAU, tau_at(head, get(group, G_CURSOR)))
        group += GROUP_BYTES
    present = get(head, H_SUB_PRESENT) + get(table, T_PLACE) * get(head, H_SUB_STAGE)
    keys = get(head, H_SUB_KEYS) + 8 * get(table, T_PLACE) * get(head, H_SUB_STAGE)
    conditions, items, tau = get(table, T_BITS), get(head, H_ITEMS), np.int64(0)
    first, split, last = get(table, T_RECENT), get(table, T_READ), get(table, T_READ_END)
    for row in range(get(head, H_N)):
        readers = load(get(head, H_READS) + 8 * row) & get(table, T_READERS)
        begin, end = row, row + 1
        if items:
            begin, end = load(get(head, H_SUB_START) + 8 * row), load(get(head, H_SUB_START) + 8 * row + 8)
        else:
            ask(table, row, head)
        own = load_byte(get(head, H_OWN_PRESENT) + get(table, T_PLACE) * get(head, H_STAGE) + row) != 0
        if not own and not (get(table, T_OF_ITEMS) and end > begin):
            readers = np.int64(0)
        entering = False
        for sub in range(begin, end):
            if load(get(head, H_BITS) + 8 * sub) & conditions and load_byte(present + sub):
                entering = True
        if not entering and readers == 0:
            continue
        tau = load(get(head, H_TAUS) + 8 * row)
        start, after = load(get(head, H_STARTS) + 8 * row), load(get(head, H_STARTS) + 8 * row + 8)
        advance(table, tau, start, after - get(head, H_LOG_CAPACITY), head)
        if entering and items == 0 and load(get(head, H_FOREIGN) + 8 * row) == 0:
            pass_row(table, load(keys + 8 * row), first, split, last, readers, row, tau, head)
            if get(table, T_KEEP) >= 0:
                sweep(table, tau)
            continue
        if readers and split > first:
            read_keys(table, first, split, readers, row, tau, head)
        for sub in range(begin, end) if entering else range(0):
            bits = load(get(head, H_BITS) + 8 * sub) & conditions
            if bits and load_byte(present + sub):
                key, money = load(keys + 8 * sub), np.int64(0)
                if load(get(head, H_FOREIGN) + 8 * row):
                    money, bits = bits & get(head, H_MONEY), bits & ~get(head, H_MONEY)
                if bits:
                    place = load(get(head, H_PLACES) + 8 * sub)
                    enter(table, key, bits, sub, place, tau, head)
                if money:
                    place = load(get(head, H_FOREIGN_PLACES) + 8 * sub)
                    other = mixed(key, load(get(head, H_CURRENCIES) + 8 * row), 1)
                    enter(table, other, money, sub, place, tau, head)
        if readers and last > split:
            read_keys(table, split, last, readers, row, tau, head)
        if get(table, T_KEEP) >= 0:
            sweep(table, tau)


@bare
def run(head: int, out: np.ndarray, default: Any) -> Any:
    """Run a staged batch and fill ``out`` float64 [windows, rows]; see ``layout.DONE`` for what is returned.

    ``default`` is the hash of the installation's currency. Nothing has happened where something has to grow first.
    """
    need = lacking(head)
    if need != DONE:
        return need
    put(head, H_OUT, out.ctypes.data)
    put(head, H_OUT_STRIDE, out.shape[1])
    begin = get(head, H_LOG_BEGIN)
    ask_first(head, False)
    enter_log(head, default)
    ask_first(head, True)
    tau = load(get(head, H_TAUS) + 8 * (get(head, H_N) - 1))
    for table in range(get(head, H_TABLES), get(head, H_TABLES_END), TABLE_BYTES):
        run_table(table, head)
        settle(table, tau, head)
    put(head, H_TAU, tau)
    return np.int64(TRIM if begin >> SEGMENT_BITS != get(head, H_LOG_BEGIN) >> SEGMENT_BITS else DONE)


@brief
def run_few(head: int, out: np.ndarray, default: Any) -> Any:
    """Run few rows as ``run`` does, and keep the interpreter's lock."""
    return run(head, out, default)


@kernel
def touch_all(head: int) -> None:
    """Bring every row to the last tau: what is stored has one form."""
    tau = get(head, H_TAU)
    for table in range(get(head, H_TABLES), get(head, H_TABLES_END), TABLE_BYTES):
        for slot in range(get(table, T_USED)):
            row = row_at(table, slot)
            if load_half(row + ROW_GENERATION) != 0:
                touch(row, table, tau)
