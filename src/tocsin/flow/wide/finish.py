"""Readings: from exact integers to the float64 that the plain windows say, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import inlined, woven
from tocsin.flow.wide.layout import (
    H_ITEMS,
    H_OUT,
    H_OUT_STRIDE,
    R_BIT,
    R_COUNT,
    R_DELAY,
    R_HOP,
    R_KIND,
    R_MONEY,
    R_OUT,
    R_SPAN,
    R_SQUARES,
    R_SUM,
    R_UNIT,
    READ_BYTES,
    READ_COUNT,
    READ_MEAN,
    READ_RECENCY,
    READ_SUM,
)
from tocsin.flow.wide.memory import as_bits, as_float, get, high_product, load, load_half, store

MICROS = 1e6
SPAN_HOPS = 24
TWO_64 = 18446744073709551616.0


@inlined
def float_of(low: Any, high: Any) -> Any:
    """Return the float64 nearest to a 128-bit number that is not negative (half to even, as Python rounds)."""
    if high == 0:
        return np.float64(np.uint64(low))
    top, rest, shift = np.uint64(high), np.uint64(low), np.uint64(0)
    while top >> np.uint64(63) == 0:
        top = (top << np.uint64(1)) | (rest >> np.uint64(63))
        rest <<= np.uint64(1)
        shift += np.uint64(1)
    if rest:
        top |= np.uint64(1)
    return np.float64(top) * (TWO_64 / np.float64(np.uint64(1) << shift))


@inlined
def spread(count: Any, total: Any, low: Any, high: Any) -> Any:
    """Return n * squares - total^2 as float64; exact below 2^127."""
    left_low = count * low
    left_high = high_product(count, low) + count * high
    magnitude = total if total >= 0 else -total
    right_low, right_high = magnitude * magnitude, high_product(magnitude, magnitude)
    borrow = np.int64(1) if np.uint64(left_low) < np.uint64(right_low) else np.int64(0)
    return float_of(left_low - right_low, left_high - right_high - borrow)


@woven
def recency(row: Any, read: Any, tau: Any) -> Any:
    """Return the seconds since the last entry, NaN where there is none in the window."""
    last = load(row + get(read, R_COUNT)) - 1 if row else np.int64(-1)
    hop = get(read, R_HOP)
    if hop != 0:
        first = ((tau - get(read, R_DELAY)) // hop - (SPAN_HOPS - 1)) * hop
    else:
        first = tau - get(read, R_DELAY) - get(read, R_SPAN) + 1
    if last < 0 or last < first:
        return np.nan
    return np.float64(tau - last) / MICROS


@woven
def counted(row: Any, read: Any) -> Any:
    """Return a count: a half where the span is exact, a word over hops."""
    if get(read, R_HOP) != 0:
        return load(row + get(read, R_COUNT))
    return load_half(row + get(read, R_COUNT))


@woven
def value(row: Any, read: Any) -> Any:
    """Return what a window reads in a row (address 0: a key without one)."""
    kind = get(read, R_KIND)
    if row == 0:
        return 0.0 if kind <= READ_SUM else np.nan
    if kind == READ_COUNT:
        return np.float64(counted(row, read))
    unit = as_float(get(read, R_UNIT))
    total = load(row + get(read, R_SUM))
    if kind == READ_SUM:
        return np.float64(total) / unit
    count = counted(row, read)
    if kind == READ_MEAN:
        return np.float64(total) / (np.float64(count) * unit) if count >= 1 else np.nan
    if count < 2:
        return np.nan
    squares = row + get(read, R_SQUARES)
    wide = spread(count, total, load(squares), load(squares + 8))
    return np.sqrt(wide / np.float64(count * (count - 1))) / unit


@woven
def write(read: Any, row: Any, found: Any, head: Any) -> None:
    """Write a value; of several items' the largest stays (recency: the smallest)."""
    address = get(head, H_OUT) + 8 * (get(read, R_OUT) * get(head, H_OUT_STRIDE) + row)
    if get(head, H_ITEMS) == 0:
        store(address, as_bits(found))
    elif found == found:
        kept = as_float(load(address))
        if get(read, R_KIND) == READ_RECENCY:
            if not kept <= found:
                store(address, as_bits(found))
        elif not kept >= found:
            store(address, as_bits(found))


@woven
def read_all(address: Any, first: Any, last: Any, readers: Any, money: Any, row: Any, tau: Any, head: Any) -> None:
    """Write what the reads say of a row at ``address``; ``money`` 1: those of money, 0: the rest, -1: all."""
    read = first
    while read < last:
        if readers & get(read, R_BIT) and (money < 0 or get(read, R_MONEY) == money):
            if get(read, R_KIND) == READ_RECENCY:
                write(read, row, recency(address, read, tau), head)
            else:
                write(read, row, value(address, read), head)
        read += READ_BYTES
