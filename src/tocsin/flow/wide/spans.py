"""Exact spans: what enters a row is added to its words, and taken out when a tail of the log passes it.

A group is the windows of one table with one span and delay. Its tail and, with a delay, its cursor move along the log:
each entry is added once and taken out once, O(1) whatever the span. A span that has passed as a whole is reset by
raising a generation, not walked; rows drop their words when they are next touched.

Lines of groups and adds are walked with ``while``: a ``range`` of their size is first divided out, for one or two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.hops import add_double, square, subtract_double
from tocsin.flow.wide.jit import inlined, woven
from tocsin.flow.wide.keyed import LOW, free, home, mixed, remove, row_at, seek
from tocsin.flow.wide.layout import (
    A_BIT,
    A_KIND,
    A_RING,
    A_SOURCE,
    A_TAG,
    A_WIDE,
    A_WORD,
    ADD_BYTES,
    COUNT,
    DISTINCT,
    ENTRY_BITS,
    ENTRY_SLOTS,
    ENTRY_TAU,
    FEW,
    G_ADD,
    G_ADD_END,
    G_CURSOR,
    G_CURSOR_TAU,
    G_DELAY,
    G_GENERATION,
    G_PAIRS,
    G_REACH,
    G_TAIL,
    G_TAIL_AT,
    G_TAIL_TAU,
    GROUP_BYTES,
    H_LOG_HEAD,
    H_LOG_VALUES,
    H_LOG_WORDS,
    H_VALUE_COUNT,
    LAST,
    LINE_WORDS,
    M_ENTRIES,
    M_LIVE,
    M_MASK,
    M_OLD,
    MOMENTS,
    NEVER,
    ROW_GENERATION,
    ROW_KEY,
    ROW_NEWEST,
    T_CAPACITY,
    T_FREE,
    T_FREES,
    T_GENERATION,
    T_GROUP,
    T_HOPS,
    T_INDEX,
    T_KEEP,
    T_LIVE,
    T_MASK,
    T_OLD,
    T_PLACE,
    T_USED,
    T_WORDS,
)
from tocsin.flow.wide.memory import get, load, load_half, prefetch, put, store, store_half
from tocsin.flow.wide.ring import ENTRY_IN_SEGMENT, entry_at

AHEAD = 12
"""Entries ahead of a tail whose rows are asked for."""
LOG_AHEAD = 32
"""Entries ahead of a tail that are asked for themselves."""


@woven
def add_distinct(row: Any, word: Any, pairs: Any, ident: Any, tag: Any) -> None:
    """Count an identity in; the word counts those that are there."""
    key = mixed(load(row + ROW_KEY), ident, tag)
    address = seek(pairs, key)
    if load(address) == 0:
        store(address, key)
        store(address + 8, 1)
        put(pairs, M_LIVE, get(pairs, M_LIVE) + 1)
        store_half(word, load_half(word) + 1)
    else:
        store(address + 8, load(address + 8) + 1)


@woven
def subtract_distinct(row: Any, word: Any, pairs: Any, ident: Any, tag: Any) -> None:
    """Count an identity out."""
    address = seek(pairs, mixed(load(row + ROW_KEY), ident, tag))
    count = load(address + 8)
    if count == 1:
        remove(pairs, address)
        store_half(word, load_half(word) - 1)
    else:
        store(address + 8, count - 1)


@woven
def add_all(row: Any, group: Any, bits: Any, tau: Any, values: Any, idents: Any, step: Any) -> None:
    """Add an entry to a group's words; value ``i`` lies at ``values + i * step``, identities likewise."""
    add = get(group, G_ADD)
    while add < get(group, G_ADD_END):
        if bits & get(add, A_BIT):
            kind, word = get(add, A_KIND), row + get(add, A_WORD)
            if kind == COUNT:
                store_half(word, load_half(word) + 1)
            elif kind == DISTINCT:
                ident = load(idents + step * get(add, A_SOURCE))
                add_distinct(row, word, get(group, G_PAIRS), ident, get(add, A_TAG))
            elif kind == LAST:
                store(word, tau + 1)
            else:
                value = load(values + step * get(add, A_SOURCE))
                if get(add, A_WORD) != 0:
                    store_half(word, load_half(word) + 1)
                word = row + get(add, A_RING)
                store(word, load(word) + value)
                if get(add, A_WIDE) != 0:
                    low, high = square(value)
                    add_double(row + get(add, A_WIDE), low, high)
        add += ADD_BYTES


@woven
def subtract_all(row: Any, group: Any, bits: Any, values: Any, idents: Any) -> None:
    """Take an entry of the log out of a group's words."""
    add = get(group, G_ADD)
    while add < get(group, G_ADD_END):
        if bits & get(add, A_BIT):
            kind, word = get(add, A_KIND), row + get(add, A_WORD)
            if kind == COUNT:
                store_half(word, load_half(word) - 1)
            elif kind == DISTINCT:
                ident = load(idents + 8 * get(add, A_SOURCE))
                subtract_distinct(row, word, get(group, G_PAIRS), ident, get(add, A_TAG))
            elif kind != LAST:
                value = load(values + 8 * get(add, A_SOURCE))
                if get(add, A_WORD) != 0:
                    store_half(word, load_half(word) - 1)
                word = row + get(add, A_RING)
                store(word, load(word) - value)
                if get(add, A_WIDE) != 0:
                    low, high = square(value)
                    subtract_double(row + get(add, A_WIDE), low, high)
        add += ADD_BYTES


@inlined
def tau_at(head: Any, place: Any) -> Any:
    """Return the tau of an entry of the log, ``NEVER`` beyond its end."""
    if place >= get(head, H_LOG_HEAD):
        return np.int64(NEVER)
    return load(entry_at(head, place) + ENTRY_TAU)


@inlined
def empty(row: Any, group: Any) -> None:
    """Put a group's words to zero."""
    add = get(group, G_ADD)
    while add < get(group, G_ADD_END):
        kind, word = get(add, A_KIND), row + get(add, A_WORD)
        if kind == LAST:
            store(word, 0)
        elif get(add, A_WORD) != 0:
            store_half(word, 0)
        if kind == MOMENTS:
            store(row + get(add, A_RING), 0)
            if get(add, A_WIDE) != 0:
                store(row + get(add, A_WIDE), 0)
                store(row + get(add, A_WIDE) + 8, 0)
        add += ADD_BYTES


@inlined
def freshen(row: Any, table: Any) -> None:
    """Drop the words of groups that were reset since the row was touched."""
    generation = load_half(row + ROW_GENERATION)
    if generation != get(table, T_GENERATION):
        group = get(table, T_GROUP)
        while group < get(table, T_HOPS):
            if generation < get(group, G_GENERATION):
                empty(row, group)
            group += GROUP_BYTES
        store_half(row + ROW_GENERATION, get(table, T_GENERATION))


@inlined
def clear(address: Any, words: Any) -> None:
    """Put zeros."""
    for word in range(words):
        store(address + 8 * word, 0)


@inlined
def reset(table: Any, group: Any, end: Any, head: Any) -> None:
    """Empty a group whose entries before ``end`` have all passed; a table that lives by the log alone goes with it."""
    put(group, G_TAIL, end)
    put(group, G_TAIL_AT, entry_at(head, end))
    put(group, G_CURSOR, end)
    put(group, G_TAIL_TAU, tau_at(head, end))
    put(group, G_CURSOR_TAU, tau_at(head, end))
    put(table, T_GENERATION, get(table, T_GENERATION) + 1)
    put(group, G_GENERATION, get(table, T_GENERATION))
    pairs = get(group, G_PAIRS)
    if pairs != 0 and get(pairs, M_LIVE) != 0:
        clear(get(pairs, M_ENTRIES), 2 * (get(pairs, M_MASK) + 1))
        put(pairs, M_OLD, 0)
        put(pairs, M_LIVE, 0)
    if get(table, T_KEEP) < 0 and group == get(table, T_HOPS) - GROUP_BYTES:
        clear(get(table, T_INDEX), get(table, T_MASK) + 1)
        put(table, T_OLD, 0)
        put(table, T_USED, 0)
        put(table, T_LIVE, 0)
        put(table, T_FREES, 0)
        put(table, T_FREE, -1)


@inlined
def pass_cursor(table: Any, group: Any, tau: Any, head: Any) -> None:
    """Add the entries that the delay has held back until ``tau``."""
    while get(group, G_CURSOR_TAU) <= tau:
        place = get(group, G_CURSOR)
        entry = entry_at(head, place)
        slot = load_half(entry + ENTRY_SLOTS + 4 * get(table, T_PLACE))
        if slot >= 0:
            values = entry + get(head, H_LOG_VALUES)
            idents = values + 8 * get(head, H_VALUE_COUNT)
            row, bits = row_at(table, slot), load(entry + ENTRY_BITS)
            add_all(row, group, bits, load(entry + ENTRY_TAU), values, idents, 8)
        put(group, G_CURSOR, place + 1)
        put(group, G_CURSOR_TAU, tau_at(head, place + 1))


@inlined
def at_least_0(value: Any) -> Any:
    """Return a value, 0 for a negative one: no branch, where one would be guessed wrong."""
    return value & ~(value >> 63)


@woven
def ask(table: Any, group: Any, entry: Any, head: Any) -> None:
    """Ask for the row that a tail comes to soon, and then for where its identities are counted.

    ``entry`` is the tail's, in one segment with all that follow up to ``LOG_AHEAD``. Where the log has ended they are
    zeros; these, and those without a row, ask for the first row, and look into it where the table has had any.
    """
    slots, size = ENTRY_SLOTS + 4 * get(table, T_PLACE), 8 * get(head, H_LOG_WORDS)
    prefetch(entry + LOG_AHEAD * size)
    prefetch(entry + (LOG_AHEAD + 1) * size - 8)
    row = row_at(table, at_least_0(load_half(entry + AHEAD * size + slots)))
    prefetch(row)
    if get(table, T_WORDS) > LINE_WORDS:
        prefetch(row + 64)
    pairs = get(group, G_PAIRS)
    if pairs != 0 and get(table, T_CAPACITY) != 0:
        entry += AHEAD // 2 * size
        slot = load_half(entry + slots)
        key, bits = load(row_at(table, at_least_0(slot)) + ROW_KEY), load(entry + ENTRY_BITS) & ~(slot >> 63)
        idents = entry + get(head, H_LOG_VALUES) + 8 * get(head, H_VALUE_COUNT)
        add = get(group, G_ADD)
        while add < get(group, G_ADD_END):
            if get(add, A_KIND) == DISTINCT:
                found = mixed(key, load(idents + 8 * get(add, A_SOURCE)), get(add, A_TAG))
                mask = get(pairs, M_MASK) & -np.int64(bits & get(add, A_BIT) != 0)
                prefetch(get(pairs, M_ENTRIES) + 16 * home(mask, found))
            add += ADD_BYTES


@woven
def pass_tail(table: Any, group: Any, bound: Any, oldest: Any, head: Any) -> None:
    """Take out the entries up to ``bound`` and those before the place ``oldest``."""
    delayed = get(group, G_DELAY) != 0
    last = get(table, T_KEEP) < 0 and group == get(table, T_HOPS) - GROUP_BYTES
    slots, values = ENTRY_SLOTS + 4 * get(table, T_PLACE), get(head, H_LOG_VALUES)
    idents = values + 8 * get(head, H_VALUE_COUNT)
    size = 8 * get(head, H_LOG_WORDS)
    place, tau, entry = get(group, G_TAIL), get(group, G_TAIL_TAU), get(group, G_TAIL_AT)
    while tau <= bound or place < oldest:
        slot = load_half(entry + slots)
        if slot >= 0:
            row = row_at(table, slot)
            if not delayed or place < get(group, G_CURSOR):
                subtract_all(row, group, load(entry + ENTRY_BITS), entry + values, entry + idents)
            if last and load_half(row + ROW_NEWEST) & LOW == place & LOW:
                free(table, slot)
        if place & ENTRY_IN_SEGMENT < ENTRY_IN_SEGMENT - LOG_AHEAD:
            ask(table, group, entry, head)
            entry += size
        else:
            entry = entry_at(head, place + 1)
        place += 1
        tau = load(entry + ENTRY_TAU) if place < get(head, H_LOG_HEAD) else np.int64(NEVER)
    put(group, G_TAIL, place)
    put(group, G_TAIL_TAU, tau)
    put(group, G_TAIL_AT, entry)
    if delayed and get(group, G_CURSOR) < get(group, G_TAIL):
        put(group, G_CURSOR, get(group, G_TAIL))
        put(group, G_CURSOR_TAU, get(group, G_TAIL_TAU))


@inlined
def advance(table: Any, tau: Any, end: Any, oldest: Any, head: Any) -> None:
    """Bring a table's exact spans to ``tau``: ``end`` is the log's end before the reader, ``oldest`` its capacity's."""
    newest = np.int64(NEVER)
    group = get(table, T_GROUP)
    while group < get(table, T_HOPS):
        bound, delay = tau - get(group, G_REACH), get(group, G_DELAY)
        if get(group, G_TAIL_TAU) <= bound and end - get(group, G_TAIL) > FEW:
            # The log has the entry before the end: the tail is behind it.
            if newest == NEVER:
                newest = tau_at(head, end - 1)
            if newest <= bound:
                reset(table, group, end, head)
        if delay != 0 and get(group, G_CURSOR_TAU) <= tau - delay:
            pass_cursor(table, group, tau - delay, head)
        if get(group, G_TAIL_TAU) <= bound or get(group, G_TAIL) < oldest:
            pass_tail(table, group, bound, oldest, head)
        group += GROUP_BYTES
