"""Cells of the sketch: per key its (hash, last hop) pairs, ascending by hash, in a chunk of one shared pool.

Arrays of one window, passed to the kernels in this order:

* ``index`` int32, ``hashes`` uint64 [slots]: where a key lives (``places``).
* ``newest`` int64 [slots]: tau of its last entry.
* ``cells`` int32 [slots, 4]: start, length and class of its chunk (2^class pairs; NONE without, GONE for a free slot,
  whose start leads to the next free one) and the first hop that has not been let go of.
* ``waits`` int32 [slots, 3]: the same of the pairs that wait for the delay, ascending by hop, then hash; one row in all
  where there is no delay.
* ``marks`` uint64 [pool], ``hops`` int32 [pool]: the pairs; a free chunk's first hop leads to the next of its class.
* ``head`` int64 [CLASSES + CHUNKS]: counters (the names below) and the first free chunk of every class, + 1.
* ``spec`` int64 [3]: hop, delay and reach in microseconds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tocsin.flow.view import HOPS
from tocsin.flow.wide.jit import inlined

U = np.uint64
BOTTOM = 256
CROWD_CLASS = 10
"""Chunks of 2^10 pairs and more grow only after a trim that left them over half full. Their last pair is no hash that
was seen but (limit, hop): of that hop, hashes above the limit cannot matter any more."""
NONE, GONE = -1, -2
SLOTS, FREE_SLOT, POOL, LIVE, HAND, ENTERED, READ, CLASSES = range(8)
CHUNKS = 32
DONE, MORE_SLOTS, MORE_POOL = 0, 1, 2


@inlined
def alloc(hops: np.ndarray, head: np.ndarray, size: Any) -> Any:
    """Return the start of a chunk of a class, -1 where the pool is too small."""
    free = head[CLASSES + size]
    if free:
        head[CLASSES + size] = hops[free - 1]
        return free - 1
    start = head[POOL]
    if start + (np.int64(1) << size) > len(hops):
        return np.int64(-1)
    head[POOL] = start + (np.int64(1) << size)
    return start


@inlined
def release(hops: np.ndarray, head: np.ndarray, start: Any, size: Any) -> None:
    """Put a chunk on the list of its class."""
    if size >= 0:
        hops[start] = head[CLASSES + size]
        head[CLASSES + size] = start + 1


@inlined
def enlarge(cells: np.ndarray, slot: Any, marks: np.ndarray, hops: np.ndarray, head: np.ndarray) -> bool:
    """Move a cell's pairs to a chunk of the next class; whether there was room."""
    size = np.int64(cells[slot, 2])
    start = alloc(hops, head, size + 1)
    if start < 0:
        return False
    old = np.int64(cells[slot, 0])
    for at in range(cells[slot, 1]):
        marks[start + at], hops[start + at] = marks[old + at], hops[old + at]
    if size + 1 >= CROWD_CLASS:
        hops[start + (np.int64(1) << (size + 1)) - 1] = NONE
    release(hops, head, old, size)
    cells[slot, 0], cells[slot, 2] = start, size + 1
    return True


@inlined
def expire(cells: np.ndarray, slot: Any, marks: np.ndarray, hops: np.ndarray, first: Any) -> None:
    """Let go of the pairs last seen before ``first``."""
    if first <= cells[slot, 3]:
        return
    cells[slot, 3] = first
    start, to = np.int64(cells[slot, 0]), np.int64(cells[slot, 0])
    for at in range(start, start + cells[slot, 1]):
        if hops[at] >= first:
            marks[to], hops[to] = marks[at], hops[at]
            to += 1
    cells[slot, 1] = to - start


@inlined
def trim(cells: np.ndarray, slot: Any, marks: np.ndarray, hops: np.ndarray, newest: Any) -> None:
    """Let go of hashes that can never be among the 256 smallest: 257 smaller ones were seen as late or later.

    ``newest`` is the hop to set a limit for.
    """
    start, first = np.int64(cells[slot, 0]), np.int64(cells[slot, 3])
    last = start + (np.int64(1) << np.int64(cells[slot, 2])) - 1
    counts = np.zeros(2 * HOPS, np.int64)
    to = start
    for at in range(start, start + cells[slot, 1]):
        own = min(max(np.int64(hops[at]) - first, np.int64(0)), np.int64(2 * HOPS - 1))
        later = np.int64(0)
        for hop in range(own, 2 * HOPS):
            later += counts[hop]
        if later <= BOTTOM:
            counts[own] += 1
            if hops[at] == newest and counts[own] == BOTTOM + 1:
                marks[last], hops[last] = marks[at], newest
            marks[to], hops[to] = marks[at], hops[at]
            to += 1
    cells[slot, 1] = to - start


@inlined
def rank(marks: np.ndarray, low: Any, high: Any, mark: np.uint64) -> Any:
    """Return the first place in [low, high) whose hash is not smaller."""
    while low < high:
        middle = (low + high) >> 1
        if marks[middle] < mark:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def insert(marks: np.ndarray, hops: np.ndarray, at: Any, end: Any, mark: np.uint64, hop: Any) -> None:
    """Put a pair at a place; those from there to ``end`` move up."""
    for behind in range(end, at, -1):
        marks[behind] = marks[behind - 1]
    for behind in range(end, at, -1):
        hops[behind] = hops[behind - 1]
    marks[at], hops[at] = mark, hop


@inlined
def see(
    cells: np.ndarray,
    slot: Any,
    marks: np.ndarray,
    hops: np.ndarray,
    head: np.ndarray,
    mark: np.uint64,
    hop: Any,
    first: Any,
) -> bool:
    """Note a hash as seen in a hop (hops ascend); whether there was room."""
    start, end = np.int64(cells[slot, 0]), np.int64(cells[slot, 0] + cells[slot, 1])
    at = rank(marks, start, end, mark)
    if at < end and marks[at] == mark:
        hops[at] = hop
        return True
    size, room = np.int64(cells[slot, 2]), np.int64(0)
    if size >= 0:
        room = np.int64(1) << size
    if size >= CROWD_CLASS:
        room -= 1
        if hops[start + room] == hop and mark > marks[start + room]:
            return True
    if cells[slot, 1] == room:
        expire(cells, slot, marks, hops, first)
        full = cells[slot, 1] == room
        if size >= CROWD_CLASS:
            trim(cells, slot, marks, hops, hop)
            full = 2 * np.int64(cells[slot, 1]) > room
        if full and not enlarge(cells, slot, marks, hops, head):
            return False
        start, end = np.int64(cells[slot, 0]), np.int64(cells[slot, 0] + cells[slot, 1])
        at = rank(marks, start, end, mark)
    insert(marks, hops, at, end, mark, hop)
    cells[slot, 1] += 1
    return True


@inlined
def admit(
    cells: np.ndarray,
    waits: np.ndarray,
    slot: Any,
    marks: np.ndarray,
    hops: np.ndarray,
    head: np.ndarray,
    first: Any,
    last: Any,
) -> bool:
    """Let in the waiting pairs up to hop ``last``; whether there was room (what is in already may be let in again)."""
    start, length = np.int64(waits[slot, 0]), np.int64(waits[slot, 1])
    passed = np.int64(0)
    while passed < length and hops[start + passed] <= last:
        hop = np.int64(hops[start + passed])
        if hop >= first and not see(cells, slot, marks, hops, head, marks[start + passed], hop, first):
            return False
        passed += 1
    if passed:
        for at in range(start + passed, start + length):
            marks[at - passed], hops[at - passed] = marks[at], hops[at]
        waits[slot, 1] = length - passed
    return True


@inlined
def wait(waits: np.ndarray, slot: Any, marks: np.ndarray, hops: np.ndarray, mark: np.uint64, hop: Any) -> bool:
    """Put a hash among those that wait, each once a hop; whether there was room."""
    start, end = np.int64(waits[slot, 0]), np.int64(waits[slot, 0] + waits[slot, 1])
    low = end
    if end > start and hops[end - 1] == hop:
        below, above = start, end
        while below < above:
            middle = (below + above) >> 1
            if hops[middle] < hop:
                below = middle + 1
            else:
                above = middle
        low = below
    at = rank(marks, low, end, mark)
    if at < end and marks[at] == mark:
        return True
    if end - low >= 8 * BOTTOM:
        end = low + BOTTOM + 1
        waits[slot, 1] = end - start
        at = min(at, end)
    size = np.int64(waits[slot, 2])
    if size < 0 or waits[slot, 1] == np.int64(1) << size:
        return False
    insert(marks, hops, at, end, mark, hop)
    waits[slot, 1] += 1
    return True


@inlined
def _high(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return the upper 64 bits of a product."""
    low = U(0xFFFFFFFF)
    a0, a1, b0, b1 = a & low, a >> U(32), b & low, b >> U(32)
    carry = ((a0 * b0) >> U(32)) + ((a1 * b0) & low) + ((a0 * b1) & low)
    return a1 * b1 + ((a1 * b0) >> U(32)) + ((a0 * b1) >> U(32)) + (carry >> U(32))


@inlined
def estimate(mark: np.uint64) -> float:
    """Return 255 * 2^64 / mark, correctly rounded: what Python's integers give."""
    over = 255.0 * 18446744073709551616.0
    quotient = over / np.float64(mark)
    if mark < U(1) << U(53):
        return quotient
    # The quotient is (m + d) * 2^-scale, |d| <= 1: compare (2m +- 1) * mark with 255 * 2^(65 + scale), in 128 bits.
    fraction, exponent = math.frexp(quotient)
    m = U(np.int64(fraction * 9007199254740992.0))
    scale = 53 - exponent
    if m == U(1) << U(52) and _high(m, mark) >= U(255) << U(scale):
        m, scale = m << U(1), scale + 1
    top, bottom = U(255) << U(scale + 1), U(0)
    for _ in range(4):
        upper, lower = _high(U(2) * m + U(1), mark), (U(2) * m + U(1)) * mark
        below_upper, below_lower = _high(U(2) * m - U(1), mark), (U(2) * m - U(1)) * mark
        odd = m & U(1) == U(1)
        if upper < top or (upper == top and lower < bottom) or (upper == top and lower == bottom and odd):
            m += U(1)
        elif below_upper > top or (below_upper == top and below_lower > bottom):
            m -= U(1)
        elif below_upper == top and below_lower == bottom and odd:
            m -= U(1)
        else:
            break
    return math.ldexp(np.float64(m), -scale)
