"""Hops: what a key did in each of the last hops of a span over 1 h, dense rings in its row, turned when it is touched.

A ring is int32; a hop whose value does not fit keeps its lower half there and the rest in the table's map of escaped
values. Squares and fields of many decimals have wider rings. Beside the ring stands the total over the window, so that
a reading is one load.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import inlined
from tocsin.flow.wide.keyed import mixed, remove, seek
from tocsin.flow.wide.layout import (
    A_RING,
    A_TAG,
    A_WIDE,
    A_WORD,
    ADD_BYTES,
    DOUBLE,
    G_ADD,
    G_ADD_END,
    G_AT,
    G_AT_NEXT,
    G_AT_START,
    G_DELAY,
    G_HOP,
    G_NEXT,
    G_NOW,
    G_RING,
    G_START,
    GROUP_BYTES,
    M_LIVE,
    NARROW,
    ROW_ESCAPED,
    ROW_KEY,
    ROW_TURNED,
    T_ESCAPES,
    T_GROUP_END,
    T_HOPS,
)
from tocsin.flow.wide.memory import get, high_product, load, load_half, put, store, store_half

SPAN_HOPS = 24


@inlined
def add_double(address: Any, low: Any, high: Any) -> None:
    """Add a 128-bit number (two words, the lower first) to the one at an address."""
    before = load(address)
    after = before + low
    carry = np.int64(1) if np.uint64(after) < np.uint64(before) else np.int64(0)
    store(address, after)
    store(address + 8, load(address + 8) + high + carry)


@inlined
def subtract_double(address: Any, low: Any, high: Any) -> None:
    """Take a 128-bit number from the one at an address."""
    before = load(address)
    borrow = np.int64(1) if np.uint64(before) < np.uint64(low) else np.int64(0)
    store(address, before - low)
    store(address + 8, load(address + 8) - high - borrow)


@inlined
def square(value: Any) -> Any:
    """Return the two words of a value's square, the lower first."""
    magnitude = value if value >= 0 else -value
    return magnitude * magnitude, high_product(magnitude, magnitude)


@inlined
def escaped(row: Any, place: Any, tag: Any, at: Any) -> Any:
    """Return what of a narrow hop's value is in the map, in units of 2^32."""
    if load(row + ROW_ESCAPED) == 0:
        return np.int64(0)
    address = seek(at, mixed(load(row + ROW_KEY), place, tag))
    return load(address + 8) if load(address) != 0 else np.int64(0)


@inlined
def put_narrow(row: Any, ring: Any, place: Any, tag: Any, value: Any, at: Any) -> None:
    """Put a value in a narrow hop, what does not fit in the map."""
    cell = row + 4 * (ring + place)
    store_half(cell, value)
    rest = (value - load_half(cell)) >> 32
    if rest == 0 and load(row + ROW_ESCAPED) == 0:
        return
    key = mixed(load(row + ROW_KEY), place, tag)
    address = seek(at, key)
    if rest != 0:
        if load(address) == 0:
            store(address, key)
            put(at, M_LIVE, get(at, M_LIVE) + 1)
        store(address + 8, rest)
        store(row + ROW_ESCAPED, 1)
    elif load(address) != 0:
        remove(at, address)


@inlined
def add_to_hop(row: Any, group: Any, add: Any, low: Any, high: Any, at: Any) -> None:
    """Add to the hop of now, and to the total where there is no delay (``at`` is the table's map)."""
    place = get(group, G_NOW) % get(group, G_RING)
    ring, width, word = get(add, A_RING), get(add, A_WIDE), row + get(add, A_WORD)
    if width == NARROW:
        tag = get(add, A_TAG)
        cell = row + 4 * (ring + place)
        value = load_half(cell) + low
        if tag != 0:
            value += escaped(row, place, tag, at) << 32
            put_narrow(row, ring, place, tag, value, at)
        else:
            store_half(cell, value)
    elif width == DOUBLE:
        add_double(row + 8 * (ring + 2 * place), low, high)
    else:
        store(row + 8 * (ring + place), load(row + 8 * (ring + place)) + low)
    if get(group, G_DELAY) == 0:
        if width == DOUBLE:
            add_double(word, low, high)
        else:
            store(word, load(word) + low)


@inlined
def renew(row: Any, group: Any, add: Any, first: Any, at: Any) -> None:
    """Empty the hops from ``first`` to now, and sum up the window's hops anew."""
    size, now = get(group, G_RING), get(group, G_NOW)
    ring, width, tag, word = get(add, A_RING), get(add, A_WIDE), get(add, A_TAG), row + get(add, A_WORD)
    first = max(first, now - size + 1)
    for hop in range(first, now + 1):
        place = hop % size
        if width == NARROW:
            if tag != 0:
                put_narrow(row, ring, place, tag, 0, at)
            else:
                store_half(row + 4 * (ring + place), 0)
        elif width == DOUBLE:
            store(row + 8 * (ring + 2 * place), 0)
            store(row + 8 * (ring + 2 * place) + 8, 0)
        else:
            store(row + 8 * (ring + place), 0)
    last = get(group, G_AT) - 1 if get(group, G_DELAY) else now
    store(word, 0)
    if width == DOUBLE:
        store(word + 8, 0)
    total = np.int64(0)
    for hop in range(last - SPAN_HOPS + 1, last + 1):
        place = hop % size
        if width == NARROW:
            total += load_half(row + 4 * (ring + place))
            if tag != 0:
                total += escaped(row, place, tag, at) << 32
        elif width == DOUBLE:
            cell = row + 8 * (ring + 2 * place)
            add_double(word, load(cell), load(cell + 8))
        else:
            total += load(row + 8 * (ring + place))
    if width != DOUBLE:
        store(word, total)


@inlined
def turn(row: Any, table: Any, tau: Any) -> None:
    """Bring the hops of a row to ``tau``, which is not before any earlier one."""
    turned = load(row + ROW_TURNED)
    for group in range(get(table, T_HOPS), get(table, T_GROUP_END), GROUP_BYTES):
        hop, delay = get(group, G_HOP), get(group, G_DELAY)
        if tau >= get(group, G_NEXT):
            now = tau // hop
            put(group, G_NOW, now)
            put(group, G_START, now * hop)
            put(group, G_NEXT, (now + 1) * hop)
        if delay != 0 and tau - delay >= get(group, G_AT_NEXT):
            now = (tau - delay) // hop
            put(group, G_AT, now)
            put(group, G_AT_START, now * hop)
            put(group, G_AT_NEXT, (now + 1) * hop)
        if turned < get(group, G_START) or (delay != 0 and turned - delay < get(group, G_AT_START)):
            first = turned // hop + 1
            for add in range(get(group, G_ADD), get(group, G_ADD_END), ADD_BYTES):
                renew(row, group, add, first, get(table, T_ESCAPES))
    store(row + ROW_TURNED, tau)
