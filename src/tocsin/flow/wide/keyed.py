"""Open addressing over memory: an index of keys to rows, and maps of 64-bit keys to counters.

Linear probing, deletion by backward shift, so neither knows tombstones. Keys are keyed hashes (``flow.hashing``): who
does not know the seed cannot crowd a place. An index entry holds half a key and a row; the whole key is in the row.

Both grow a little at a time: what is new enters the larger array at once, what was there is moved from the old one by
and by, whole clusters at a time (``growing``), and is looked for there until then. Nothing enters the old array any
more, so a cluster of it is whole or gone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import inlined, kernel
from tocsin.flow.wide.layout import (
    A_TAG,
    A_WIDE,
    ADD_BYTES,
    CHUNK_BITS,
    G_ADD,
    G_ADD_END,
    G_RING,
    GROUP_BYTES,
    M_ENTRIES,
    M_LIVE,
    M_MASK,
    M_OLD,
    M_OLD_MASK,
    NARROW,
    ROW_ESCAPED,
    ROW_GENERATION,
    ROW_KEY,
    ROW_NEWEST,
    ROW_TURNED,
    T_CHUNKS,
    T_ESCAPES,
    T_FREE,
    T_FREES,
    T_GENERATION,
    T_GROUP_END,
    T_HOPS,
    T_INDEX,
    T_LIVE,
    T_MASK,
    T_OLD,
    T_OLD_MASK,
    T_USED,
    T_WORDS,
)
from tocsin.flow.wide.memory import get, load, load_half, put, store, store_half

LOW = 0xFFFFFFFF
OF_LINES = -4
"""A mask of places of a map: where a cache line of four entries begins."""
ROW_IN_CHUNK = (1 << CHUNK_BITS) - 1
U = np.uint64


@inlined
def mixed(key: Any, other: Any, tag: Any) -> Any:
    """Return a hash of a row's key with something beside it, in the key's own shard (its upper 8 bits), never 0."""
    x = np.uint64(key) + (np.uint64(other) ^ (np.uint64(tag) * U(0xD6E8FEB86659FD93))) * U(0x9E3779B97F4A7C15)
    x = (x ^ (x >> U(33))) * U(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> U(33))) * U(0xC4CEB9FE1A85EC53)
    x = (x ^ (x >> U(33))) & U(0x00FFFFFFFFFFFFFF)
    x |= np.uint64(key) & U(0xFF00000000000000)
    return np.int64(x) if x else np.int64(1)


@inlined
def row_at(table: Any, slot: Any) -> Any:
    """Return the address of a row."""
    chunk = load(get(table, T_CHUNKS) + 8 * (slot >> CHUNK_BITS))
    return chunk + (slot & ROW_IN_CHUNK) * get(table, T_WORDS) * 8


@inlined
def find_in(index: Any, mask: Any, table: Any, key: Any) -> Any:
    """Return the slot of a key's row that an index of its table says, or -1."""
    half = key & LOW
    at = half & mask
    while True:
        entry = load(index + 8 * at)
        if entry == 0:
            return np.int64(-1)
        if (entry >> 32) & LOW == half:
            slot = (entry & LOW) - 1
            if load(row_at(table, slot) + ROW_KEY) == key:
                return np.int64(slot)
        at = (at + 1) & mask


@inlined
def find(table: Any, key: Any) -> Any:
    """Return the slot of a key's row, -1 where it has none."""
    slot = find_in(get(table, T_INDEX), get(table, T_MASK), table, key)
    if slot < 0 and get(table, T_OLD) != 0:
        return find_in(get(table, T_OLD), get(table, T_OLD_MASK), table, key)
    return slot


@inlined
def insert(table: Any, key: Any, tau: Any) -> Any:
    """Return the slot of a new, empty row for a key that has none; there is room (``room``)."""
    slot = get(table, T_FREE)
    if slot >= 0:
        put(table, T_FREE, load_half(row_at(table, slot) + ROW_NEWEST))
        put(table, T_FREES, get(table, T_FREES) - 1)
    else:
        slot = get(table, T_USED)
        put(table, T_USED, slot + 1)
    row = row_at(table, slot)
    for word in range(get(table, T_WORDS)):
        store(row + 8 * word, 0)
    store(row + ROW_KEY, key)
    store_half(row + ROW_NEWEST, -1)
    store_half(row + ROW_GENERATION, get(table, T_GENERATION))
    if get(table, T_HOPS) < get(table, T_GROUP_END):
        store(row + ROW_TURNED, tau)
    index, mask = get(table, T_INDEX), get(table, T_MASK)
    at = key & LOW & mask
    while load(index + 8 * at) != 0:
        at = (at + 1) & mask
    store(index + 8 * at, ((key & LOW) << 32) | (slot + 1))
    put(table, T_LIVE, get(table, T_LIVE) + 1)
    return np.int64(slot)


@inlined
def home(mask: Any, key: Any) -> Any:
    """Return the place in a map where a key's search begins: the first of a cache line, so that it seldom leaves it."""
    return key & mask & OF_LINES


@inlined
def seek_in(entries: Any, mask: Any, key: Any) -> Any:
    """Return the address of a key's entry, or of the free place where it belongs."""
    place = home(mask, key)
    while True:
        address = entries + 16 * place
        found = load(address)
        if found == key or found == 0:  # noqa: PLR1714 (a set would be made)
            return address
        place = (place + 1) & mask


@inlined
def seek(at: Any, key: Any) -> Any:
    """Return the address of a map's entry of a key, or of the free place where it belongs."""
    address = seek_in(get(at, M_ENTRIES), get(at, M_MASK), key)
    if get(at, M_OLD) != 0 and load(address) == 0:
        old = seek_in(get(at, M_OLD), get(at, M_OLD_MASK), key)
        if load(old) != 0:
            return old
    return address


@inlined
def remove(at: Any, address: Any) -> None:
    """Take an entry out of a map, and close the gap."""
    entries, mask, old = get(at, M_ENTRIES), get(at, M_MASK), get(at, M_OLD)
    if old != 0 and old <= address <= old + 16 * get(at, M_OLD_MASK):
        entries, mask = old, get(at, M_OLD_MASK)
    hole = (address - entries) >> 4
    place = hole
    while True:
        place = (place + 1) & mask
        key = load(entries + 16 * place)
        if key == 0:
            break
        if ((place - home(mask, key)) & mask) >= ((place - hole) & mask):
            store(entries + 16 * hole, key)
            store(entries + 16 * hole + 8, load(entries + 16 * place + 8))
            hole = place
    store(entries + 16 * hole, 0)
    store(entries + 16 * hole + 8, 0)
    put(at, M_LIVE, get(at, M_LIVE) - 1)


@inlined
def place_of(index: Any, mask: Any, key: Any, slot: Any) -> Any:
    """Return where an index has the row of a key, or the free place where its search ends."""
    at = key & LOW & mask
    while True:
        entry = load(index + 8 * at)
        if entry == 0 or entry & LOW == slot + 1:
            return at
        at = (at + 1) & mask


@inlined
def free(table: Any, slot: Any) -> None:
    """Let go of a row: out of the index, its escaped hops out of their map, onto the list of free rows."""
    row = row_at(table, slot)
    key = load(row + ROW_KEY)
    index, mask = get(table, T_INDEX), get(table, T_MASK)
    hole = place_of(index, mask, key, slot)
    if load(index + 8 * hole) == 0:
        index, mask = get(table, T_OLD), get(table, T_OLD_MASK)
        hole = place_of(index, mask, key, slot)
    at = hole
    while True:
        at = (at + 1) & mask
        entry = load(index + 8 * at)
        if entry == 0:
            break
        if ((at - ((entry >> 32) & LOW)) & mask) >= ((at - hole) & mask):
            store(index + 8 * hole, entry)
            hole = at
    store(index + 8 * hole, 0)
    if get(table, T_HOPS) < get(table, T_GROUP_END) and load(row + ROW_ESCAPED) != 0:
        forget_escaped(table, key)
    store_half(row + ROW_GENERATION, 0)
    store_half(row + ROW_NEWEST, get(table, T_FREE))
    put(table, T_FREE, slot)
    put(table, T_FREES, get(table, T_FREES) + 1)
    put(table, T_LIVE, get(table, T_LIVE) - 1)


@inlined
def forget_escaped(table: Any, key: Any) -> None:
    """Take all hops of a key out of the table's map of escaped values."""
    for group in range(get(table, T_HOPS), get(table, T_GROUP_END), GROUP_BYTES):
        for add in range(get(group, G_ADD), get(group, G_ADD_END), ADD_BYTES):
            if get(add, A_WIDE) == NARROW and get(add, A_TAG) != 0:
                for place in range(get(group, G_RING)):
                    address = seek(get(table, T_ESCAPES), mixed(key, place, get(add, A_TAG)))
                    if load(address) != 0:
                        remove(get(table, T_ESCAPES), address)


@kernel
def fill_index(keys: np.ndarray, slots: np.ndarray, new: np.ndarray) -> None:
    """Enter keys (int64, distinct) with their slots into an index that has room."""
    mask = len(new) - 1
    for row in range(len(keys)):
        at = keys[row] & LOW & mask
        while new[at] != 0:
            at = (at + 1) & mask
        new[at] = ((keys[row] & LOW) << 32) | (slots[row] + 1)


@kernel
def fill_map(entries: np.ndarray, new: np.ndarray) -> None:
    """Enter entries int64 [n, 2] (key, value; key 0: none) into a map with room."""
    mask = len(new) - 1
    for row in range(len(entries)):
        key = entries[row, 0]
        if key != 0:
            at = home(mask, key)
            while new[at, 0] != 0:
                at = (at + 1) & mask
            new[at, 0] = key
            new[at, 1] = entries[row, 1]
