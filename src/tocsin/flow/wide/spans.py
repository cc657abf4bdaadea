"""Exact spans: what enters a row is added to its words, and taken out when a tail of the log passes it.

A group is the windows of one table with one span and delay. Its tail and, with a delay, its cursor move along the log:
each entry is added once and taken out once, O(1) whatever the span. A span that has passed as a whole is reset by
raising a generation, not walked; rows drop their words when they are next touched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.hops import add_double, square, subtract_double
from tocsin.flow.wide.jit import inlined
from tocsin.flow.wide.keyed import free, mixed, remove, row_at, seek
from tocsin.flow.wide.layout import (
    A_BIT,
    A_KIND,
    A_SOURCE,
    A_TAG,
    A_WORD,
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
    G_END,
    G_FIRST,
    G_GENERATION,
    G_PAIRS,
    G_REACH,
    G_TAIL,
    G_TAIL_TAU,
    H_LOG_HEAD,
    H_LOG_VALUES,
    H_VALUE_COUNT,
    LAST,
    M_ENTRIES,
    M_LIVE,
    M_MASK,
    NEVER,
    ROW_GENERATION,
    ROW_KEY,
    ROW_NEWEST,
    SUM,
    T_FREE,
    T_FREES,
    T_GENERATION,
    T_GROUP,
    T_HOPS,
    T_INDEX,
    T_KEEP,
    T_LIVE,
    T_MASK,
    T_PLACE,
    T_USED,
)
from tocsin.flow.wide.memory import load, load_half, prefetch, store
from tocsin.flow.wide.ring import entry_at

AHEAD = 12
"""Entries ahead of a tail whose rows are asked for."""


@inlined
def add_distinct(row: Any, word: Any, pairs: Any, ident: Any, tag: Any, maps: Any) -> None:
    """Count an identity in; the word counts those that are there."""
    key = mixed(load(row + ROW_KEY), ident, tag)
    address = seek(maps, pairs, key)
    if load(address) == 0:
        store(address, key)
        store(address + 8, 1)
        maps[pairs, M_LIVE] += 1
        store(word, load(word) + 1)
    else:
        store(address + 8, load(address + 8) + 1)


@inlined
def subtract_distinct(row: Any, word: Any, pairs: Any, ident: Any, tag: Any, maps: Any) -> None:
    """Count an identity out."""
    address = seek(maps, pairs, mixed(load(row + ROW_KEY), ident, tag))
    count = load(address + 8)
    if count == 1:
        remove(maps, pairs, address)
        store(word, load(word) - 1)
    else:
        store(address + 8, count - 1)


@inlined
def add_all(
    row: Any, group: Any, bits: Any, tau: Any, values: Any, idents: Any, step: Any, groups: Any, adds: Any, maps: Any
) -> None:
    """Add an entry to a group's words; value ``i`` lies at ``values + i * step``, identities likewise."""
    for add in range(groups[group, G_ADD], groups[group, G_ADD_END]):
        if bits & adds[add, A_BIT]:
            kind, word = adds[add, A_KIND], row + 8 * adds[add, A_WORD]
            if kind == COUNT:
                store(word, load(word) + 1)
            elif kind == SUM:
                store(word, load(word) + load(values + step * adds[add, A_SOURCE]))
            elif kind == DISTINCT:
                ident = load(idents + step * adds[add, A_SOURCE])
                add_distinct(row, word, groups[group, G_PAIRS], ident, adds[add, A_TAG], maps)
            elif kind == LAST:
                store(word, tau + 1)
            else:
                low, high = square(load(values + step * adds[add, A_SOURCE]))
                add_double(word, low, high)


@inlined
def subtract_all(
    row: Any, group: Any, bits: Any, values: Any, idents: Any, groups: Any, adds: Any, maps: Any
) -> None:
    """Take an entry of the log out of a group's words."""
    for add in range(groups[group, G_ADD], groups[group, G_ADD_END]):
        if bits & adds[add, A_BIT]:
            kind, word = adds[add, A_KIND], row + 8 * adds[add, A_WORD]
            if kind == COUNT:
                store(word, load(word) - 1)
            elif kind == SUM:
                store(word, load(word) - load(values + 8 * adds[add, A_SOURCE]))
            elif kind == DISTINCT:
                ident = load(idents + 8 * adds[add, A_SOURCE])
                subtract_distinct(row, word, groups[group, G_PAIRS], ident, adds[add, A_TAG], maps)
            elif kind != LAST:
                low, high = square(load(values + 8 * adds[add, A_SOURCE]))
                subtract_double(word, low, high)


@inlined
def tau_at(head: Any, place: Any) -> Any:
    """Return the tau of an entry of the log, ``NEVER`` beyond its end."""
    if place >= head[H_LOG_HEAD]:
        return np.int64(NEVER)
    return load(entry_at(head, place) + ENTRY_TAU)


@inlined
def freshen(row: Any, table: Any, tables: Any, groups: Any) -> None:
    """Drop the words of groups that were reset since the row was touched."""
    generation = load(row + ROW_GENERATION)
    if generation != tables[table, T_GENERATION]:
        for group in range(tables[table, T_GROUP], tables[table, T_HOPS]):
            if generation < groups[group, G_GENERATION]:
                for word in range(groups[group, G_FIRST], groups[group, G_END]):
                    store(row + 8 * word, 0)
        store(row + ROW_GENERATION, tables[table, T_GENERATION])


@inlined
def clear(address: Any, words: Any) -> None:
    """Put zeros."""
    for word in range(words):
        store(address + 8 * word, 0)


@inlined
def reset(table: Any, group: Any, end: Any, head: Any, tables: Any, groups: Any, maps: Any) -> None:
    """Empty a group whose entries before ``end`` have all passed; a table that lives by the log alone goes with it."""
    groups[group, G_TAIL], groups[group, G_CURSOR] = end, end
    groups[group, G_TAIL_TAU] = groups[group, G_CURSOR_TAU] = tau_at(head, end)
    tables[table, T_GENERATION] += 1
    groups[group, G_GENERATION] = tables[table, T_GENERATION]
    pairs = groups[group, G_PAIRS]
    if pairs >= 0 and maps[pairs, M_LIVE] != 0:
        clear(maps[pairs, M_ENTRIES], 2 * (maps[pairs, M_MASK] + 1))
        maps[pairs, M_LIVE] = 0
    if tables[table, T_KEEP] < 0 and group == tables[table, T_HOPS] - 1:
        clear(tables[table, T_INDEX], tables[table, T_MASK] + 1)
        tables[table, T_USED] = tables[table, T_LIVE] = tables[table, T_FREES] = 0
        tables[table, T_FREE] = -1


@inlined
def pass_cursor(table: Any, group: Any, tau: Any, head: Any, tables: Any, groups: Any, adds: Any, maps: Any) -> None:
    """Add the entries that the delay has held back until ``tau``."""
    while groups[group, G_CURSOR_TAU] <= tau:
        place = groups[group, G_CURSOR]
        entry = entry_at(head, place)
        slot = load_half(entry + ENTRY_SLOTS + 4 * tables[table, T_PLACE])
        if slot >= 0:
            values = entry + head[H_LOG_VALUES]
            idents = values + 8 * head[H_VALUE_COUNT]
            row, bits = row_at(tables, table, slot), load(entry + ENTRY_BITS)
            add_all(row, group, bits, load(entry + ENTRY_TAU), values, idents, 8, groups, adds, maps)
        groups[group, G_CURSOR] = place + 1
        groups[group, G_CURSOR_TAU] = tau_at(head, place + 1)


@inlined
def pass_tail(
    table: Any, group: Any, bound: Any, oldest: Any, head: Any, tables: Any, groups: Any, adds: Any, maps: Any
) -> None:
    """Take out the entries up to ``bound`` and those before the place ``oldest``."""
    delayed = groups[group, G_DELAY] != 0
    last = tables[table, T_KEEP] < 0 and group == tables[table, T_HOPS] - 1
    while groups[group, G_TAIL_TAU] <= bound or groups[group, G_TAIL] < oldest:
        place = groups[group, G_TAIL]
        entry = entry_at(head, place)
        slot = load_half(entry + ENTRY_SLOTS + 4 * tables[table, T_PLACE])
        if slot >= 0:
            row = row_at(tables, table, slot)
            if not delayed or place < groups[group, G_CURSOR]:
                values = entry + head[H_LOG_VALUES]
                idents = values + 8 * head[H_VALUE_COUNT]
                subtract_all(row, group, load(entry + ENTRY_BITS), values, idents, groups, adds, maps)
            if last and load(row + ROW_NEWEST) == place:
                free(tables, table, slot, groups, adds, maps)
        groups[group, G_TAIL] = place + 1
        groups[group, G_TAIL_TAU] = tau_at(head, place + 1)
        if place + AHEAD < head[H_LOG_HEAD]:
            ahead = load_half(entry_at(head, place + AHEAD) + ENTRY_SLOTS + 4 * tables[table, T_PLACE])
            if ahead >= 0:
                prefetch(row_at(tables, table, ahead))
                prefetch(row_at(tables, table, ahead) + 64)
    if delayed and groups[group, G_CURSOR] < groups[group, G_TAIL]:
        groups[group, G_CURSOR] = groups[group, G_TAIL]
        groups[group, G_CURSOR_TAU] = groups[group, G_TAIL_TAU]


@inlined
def advance(
    table: Any, tau: Any, end: Any, oldest: Any, head: Any, tables: Any, groups: Any, adds: Any, maps: Any
) -> None:
    """Bring a table's exact spans to ``tau``: ``end`` is the log's end before the reader, ``oldest`` its capacity's."""
    for group in range(tables[table, T_GROUP], tables[table, T_HOPS]):
        bound, delay = tau - groups[group, G_REACH], groups[group, G_DELAY]
        if groups[group, G_TAIL_TAU] <= bound and end - groups[group, G_TAIL] > FEW and tau_at(head, end - 1) <= bound:
            reset(table, group, end, head, tables, groups, maps)
        if delay != 0 and groups[group, G_CURSOR_TAU] <= tau - delay:
            pass_cursor(table, group, tau - delay, head, tables, groups, adds, maps)
        if groups[group, G_TAIL_TAU] <= bound or groups[group, G_TAIL] < oldest:
            pass_tail(table, group, bound, oldest, head, tables, groups, adds, maps)
