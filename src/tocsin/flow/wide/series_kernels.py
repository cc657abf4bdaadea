"""Kernels of the series: entries into buckets, and the closing of buckets of all lines of a series.

Arrays of one series:

* ``index`` int32, ``hashes`` uint64 [lines]: where a line lives (``places``).
* ``lines`` int64 [lines, 8]: the columns FIRST .. OPEN below.
* ``tally_index``, ``tally_hashes``, ``tallies`` int64 [tallies, 5]: what the buckets that can still change have seen
  (LINE .. HIGH); the sum has 128 bits. A free row has N = -1 and leads by LINE to the next one, + 1.
* ``values``, ``counts`` float64 [rows, room]: the closed buckets of a line are [START, END) of its ROW.
* ``head`` int64 [13]: the names NEXT .. BASE.
* ``spec`` int64 [5]: bucket and grace in microseconds, keep, what a value is (COUNTS .. APART), the limit of
  lateness in microseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import inlined, kernel
from tocsin.flow.wide.places import find, mixed, put, remove

U = np.uint64
FIRST, SILENT, START, END, ROW, ALIVE, SOLE, OPEN = range(8)
"""Oldest bucket of the history; closings without an event; where the history is; whether the line lives; NEXT when its
row was last moved to where nobody else looks; how many tallies it has."""
LINE, BUCKET, N, LOW, HIGH = range(5)
NEXT, AT, TALLIES, FREE_TALLY, OLDEST, LATE, REVISED, LIVE, PLACE, CLOSED, EXPIRED, DROPPED, BASE = range(13)
DONE, NEW_LINE, MORE_TALLIES, MORE_ROOM, FULL = range(5)
COUNTS, SUMS, MEANS, SHARES, APART, SETS = range(6)
"""What a bucket's value is. From APART on: worked out by the caller from values kept beside (SETS: 0 without)."""
NEVER = (1 << 63) - 1
EXACTLY = 1 << 53


@kernel
def enter(
    index: np.ndarray,
    hashes: np.ndarray,
    lines: np.ndarray,
    tally_index: np.ndarray,
    tally_hashes: np.ndarray,
    tallies: np.ndarray,
    head: np.ndarray,
    spec: np.ndarray,
    keys: np.ndarray,
    buckets: np.ndarray,
    amounts: np.ndarray,
    taus: np.ndarray,
    slots: np.ndarray,
) -> int:
    """Count entries from ``head[AT]`` on; DONE, or what is lacking for the entry at ``head[AT]``.

    ``keys`` uint64, ``buckets``, ``amounts`` and ``taus`` int64 [m]; ``slots`` int64 [m] receives the tally of every
    entry, -1 for one that came too late.
    """
    width, grace, limit = spec[0], spec[1], spec[4]
    if head[AT] == 0:
        head[LATE] = head[REVISED] = 0
    for at in range(head[AT], len(keys)):
        head[AT] = at
        line = find(index, hashes, keys[at])
        if line < 0:
            return NEW_LINE
        bucket = buckets[at]
        closed = bucket < head[NEXT]
        if closed and (taus[at] - (bucket + 1) * width > limit + grace or bucket < lines[line, FIRST]):
            head[LATE] += 1
            slots[at] = -1
            continue
        name = mixed(keys[at], U(bucket))
        slot = find(tally_index, tally_hashes, name)
        if slot < 0:
            if head[FREE_TALLY]:
                slot = head[FREE_TALLY] - 1
                head[FREE_TALLY] = tallies[slot, LINE]
            elif head[TALLIES] < len(tallies):
                slot = head[TALLIES]
                head[TALLIES] += 1
            else:
                return MORE_TALLIES
            tallies[slot, LINE], tallies[slot, BUCKET] = line, bucket
            tallies[slot, N] = tallies[slot, LOW] = tallies[slot, HIGH] = 0
            tally_hashes[slot] = name
            put(tally_index, name, slot)
            lines[line, OPEN] += 1
            head[OLDEST] = min(head[OLDEST], bucket)
        tallies[slot, N] += 1
        if spec[3] < APART:
            before, amount = U(tallies[slot, LOW]), amounts[at]
            after = before + U(amount)
            tallies[slot, LOW] = np.int64(after)
            tallies[slot, HIGH] += (amount >> 63) + np.int64(after < before)
        lines[line, SILENT] = 0
        if closed:
            head[REVISED] += 1
        else:
            lines[line, FIRST] = min(lines[line, FIRST], bucket)
        slots[at] = slot
    head[AT] = 0
    return DONE


@inlined
def value_of_tally(tallies: np.ndarray, slot: Any, what: Any, unit: float) -> float:
    """Return the measure of a bucket, NaN where it has none or the caller works it out (a sum of 2^53 or more)."""
    n, low, high = np.int64(0), np.int64(0), np.int64(0)
    if slot >= 0:
        n, low, high = tallies[slot, N], tallies[slot, LOW], tallies[slot, HIGH]
    if what == COUNTS:
        return np.float64(n)
    small = high == low >> 63 and -EXACTLY < low < EXACTLY
    if what == SETS and slot < 0:
        return 0.0
    if what >= APART or not small:
        return np.nan
    if what == SUMS:
        return np.float64(low) / unit
    if n == 0:
        return np.nan
    share = np.float64(low) / np.float64(n)
    return share / unit if what == MEANS else share


@inlined
def _waits(lines: np.ndarray, tallies: np.ndarray, head: np.ndarray, line: Any, next_: Any) -> bool:
    """Return whether a line has events in buckets to come."""
    if lines[line, OPEN] == 0:
        return False
    for slot in range(head[TALLIES]):
        if tallies[slot, N] >= 0 and tallies[slot, LINE] == line and tallies[slot, BUCKET] >= next_:
            return True
    return False


@inlined
def _forget(
    lines: np.ndarray,
    tally_index: np.ndarray,
    tally_hashes: np.ndarray,
    tallies: np.ndarray,
    head: np.ndarray,
    line: Any,
    horizon: Any,
) -> None:
    """Let go of the buckets before ``horizon``, too old to be revised, or (``line`` >= 0) of all of a line."""
    oldest = np.int64(NEVER)
    for slot in range(head[TALLIES]):
        if tallies[slot, N] < 0:
            continue
        if tallies[slot, LINE] == line if line >= 0 else tallies[slot, BUCKET] < horizon:
            remove(tally_index, tally_hashes, tally_hashes[slot])
            lines[tallies[slot, LINE], OPEN] -= 1
            tallies[slot, N] = -1
            tallies[slot, LINE] = head[FREE_TALLY]
            head[FREE_TALLY] = slot + 1
            head[EXPIRED] += 1
        else:
            oldest = min(oldest, tallies[slot, BUCKET])
    head[OLDEST] = oldest


@kernel
def close(
    index: np.ndarray,
    hashes: np.ndarray,
    lines: np.ndarray,
    tally_index: np.ndarray,
    tally_hashes: np.ndarray,
    tallies: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    head: np.ndarray,
    spec: np.ndarray,
    unit: float,
    order: np.ndarray,
    until: int,
    out: np.ndarray,
) -> int:
    """Close the buckets due at or before ``until``, lines in ``order`` (int64); DONE, or why it stopped before.

    MORE_ROOM: ``order[head[PLACE]]`` has no room in its row; FULL: ``out`` is full, or the values of the last bucket
    that are NaN although there is a tally are for the caller to work out before the next one closes. ``out`` int32
    [k, 6] receives, from ``head[CLOSED]`` on: line, bucket - ``head[BASE]``, its tally or -1, ROW, START and END of the
    history before it.
    """
    width, grace, keep, what = spec[0], spec[1], spec[2], spec[3]
    room = values.shape[1]
    while head[LIVE] and (head[NEXT] + 1) * width + grace <= until:
        bucket = head[NEXT]
        if head[PLACE] == 0 and head[CLOSED] + len(order) > len(out):
            return FULL
        apart = False
        for place in range(head[PLACE], len(order)):
            line = order[place]
            if lines[line, ALIVE] == 0 or bucket < lines[line, FIRST]:
                continue
            if lines[line, END] == room:
                head[PLACE] = place
                return MORE_ROOM
            slot = find(tally_index, tally_hashes, mixed(hashes[line], U(bucket))) if head[OLDEST] <= bucket else -1
            n = tallies[slot, N] if slot >= 0 else 0
            closed = head[CLOSED]
            out[closed, 0], out[closed, 1], out[closed, 2] = line, bucket - head[BASE], slot
            out[closed, 3], out[closed, 4], out[closed, 5] = lines[line, ROW], lines[line, START], lines[line, END]
            head[CLOSED] = closed + 1
            row, end = lines[line, ROW], lines[line, END]
            values[row, end], counts[row, end] = value_of_tally(tallies, slot, what, unit), n
            apart = apart or (slot >= 0 and what != COUNTS and np.isnan(values[row, end]))
            lines[line, END] = end + 1
            if end + 1 - lines[line, START] > keep:
                lines[line, START] += 1
                lines[line, FIRST] += 1
            lines[line, SILENT] = 0 if n else lines[line, SILENT] + 1
            if lines[line, SILENT] >= keep and not _waits(lines, tallies, head, line, bucket + 1):
                remove(index, hashes, hashes[line])
                if lines[line, OPEN]:
                    _forget(lines, tally_index, tally_hashes, tallies, head, line, np.int64(0))
                lines[line, ALIVE] = 0
                head[LIVE] -= 1
                head[DROPPED] += 1
        head[PLACE] = 0
        head[NEXT] = bucket + 1
        # Most stretches that are long hold no tally: they are spared the division.
        if head[OLDEST] < bucket:
            horizon = (bucket * width + width - spec[4]) // width - 1
            if head[OLDEST] < horizon:
                _forget(lines, tally_index, tally_hashes, tallies, head, np.int64(-1), horizon)
        if apart:
            return FULL
    return DONE


@kernel
def named(hashes: np.ndarray, tallies: np.ndarray) -> np.ndarray:
    """Return the hash of every tally, uint64: of its line's hash and its bucket."""
    names = np.empty(len(tallies), np.uint64)
    for slot in range(len(tallies)):
        names[slot] = mixed(hashes[tallies[slot, LINE]], U(tallies[slot, BUCKET]))
    return names
