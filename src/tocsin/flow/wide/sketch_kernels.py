"""Kernels of the sketch: a batch's entries and readings, idle keys, and whole tables. Arrays: ``sketch_cells``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.view import HOPS
from tocsin.flow.wide.jit import inlined, kernel
from tocsin.flow.wide.places import find, put, remove
from tocsin.flow.wide.prefetch import prefetch
from tocsin.flow.wide.sketch_cells import (
    BOTTOM,
    CROWD_CLASS,
    DONE,
    ENTERED,
    FREE_SLOT,
    GONE,
    HAND,
    LIVE,
    MORE_POOL,
    MORE_SLOTS,
    NONE,
    POOL,
    READ,
    SLOTS,
    admit,
    enlarge,
    estimate,
    expire,
    release,
    see,
    wait,
)

AHEAD = 8
"""Entries between one look ahead and the next."""


@inlined
def _ahead(
    index: np.ndarray,
    hashes: np.ndarray,
    newest: np.ndarray,
    cells: np.ndarray,
    marks: np.ndarray,
    hops: np.ndarray,
    keys: np.ndarray,
    at: Any,
) -> None:
    """Ask for what the entries or readings to come will look at: their places, then their slots, then their pairs."""
    mask = np.int64(len(index) - 1)
    if at + 3 * AHEAD < len(keys):
        prefetch(index, np.int64(keys[at + 3 * AHEAD] & np.uint64(mask)))
    if at + 2 * AHEAD < len(keys):
        slot = np.int64(index[np.int64(keys[at + 2 * AHEAD] & np.uint64(mask))]) - 1
        if slot >= 0:
            prefetch(hashes, slot)
            prefetch(newest, slot)
            prefetch(cells, 4 * slot)
    if at + AHEAD < len(keys):
        slot = np.int64(index[np.int64(keys[at + AHEAD] & np.uint64(mask))]) - 1
        if slot >= 0:
            prefetch(marks, np.int64(cells[slot, 0]))
            prefetch(hops, np.int64(cells[slot, 0]))


@kernel
def step(
    index: np.ndarray,
    hashes: np.ndarray,
    newest: np.ndarray,
    cells: np.ndarray,
    waits: np.ndarray,
    marks: np.ndarray,
    hops: np.ndarray,
    head: np.ndarray,
    spec: np.ndarray,
    enter_rows: np.ndarray,
    enter_keys: np.ndarray,
    enter_marks: np.ndarray,
    read_rows: np.ndarray,
    read_keys: np.ndarray,
    taus: np.ndarray,
    out: np.ndarray,
) -> int:
    """Enter and read in the order of the rows (a row's entries first), from where ``head`` says; DONE or what lacks.

    ``enter_rows`` and ``read_rows`` int64, ascending: (row, key hash, value's hash) and (row, key hash). A row that
    reads several keys gets the largest value. ``out`` float64 [n], NaN before.
    """
    width, delay = spec[0], spec[1]
    entered, read = head[ENTERED], head[READ]
    while entered < len(enter_rows) or read < len(read_rows):
        head[ENTERED], head[READ] = entered, read
        if entered < len(enter_rows) and (read >= len(read_rows) or enter_rows[entered] <= read_rows[read]):
            _ahead(index, hashes, newest, cells, marks, hops, enter_keys, entered)
            tau, key = taus[enter_rows[entered]], enter_keys[entered]
            slot = find(index, hashes, key)
            if slot < 0:
                if head[FREE_SLOT]:
                    slot = head[FREE_SLOT] - 1
                    head[FREE_SLOT] = cells[slot, 0]
                elif head[SLOTS] < len(hashes):
                    slot = head[SLOTS]
                    head[SLOTS] += 1
                else:
                    return MORE_SLOTS
                hashes[slot] = key
                put(index, key, slot)
                head[LIVE] += 1
                cells[slot, 0] = cells[slot, 1] = cells[slot, 3] = 0
                cells[slot, 2] = NONE
                if delay:
                    waits[slot, 0] = waits[slot, 1] = 0
                    waits[slot, 2] = NONE
            newest[slot] = tau
            mark, hop = enter_marks[entered], tau // width
            if delay:
                ready = (tau - delay) // width
                if not wait(waits, slot, marks, hops, mark, hop):
                    if not admit(cells, waits, slot, marks, hops, head, ready - HOPS, ready - 1):
                        return MORE_POOL
                    if not wait(waits, slot, marks, hops, mark, hop):
                        if not enlarge(waits, slot, marks, hops, head):
                            return MORE_POOL
                        wait(waits, slot, marks, hops, mark, hop)
            elif not see(cells, slot, marks, hops, head, mark, hop, hop - HOPS + 1):
                return MORE_POOL
            entered += 1
        else:
            if len(enter_rows) < len(read_rows):
                _ahead(index, hashes, newest, cells, marks, hops, read_keys, read)
            row = read_rows[read]
            tau = taus[row]
            value = 0.0
            slot = find(index, hashes, read_keys[read])
            if slot >= 0:
                first = tau // width - HOPS + 1
                if delay:
                    first = (tau - delay) // width - HOPS
                    if not admit(cells, waits, slot, marks, hops, head, first, first + HOPS - 1):
                        return MORE_POOL
                expire(cells, slot, marks, hops, first)
                value = np.float64(cells[slot, 1])
                if cells[slot, 1] > BOTTOM:
                    value = estimate(marks[np.int64(cells[slot, 0]) + BOTTOM - 1])
            if not out[row] >= value:
                out[row] = value
            read += 1
    head[ENTERED] = head[READ] = 0
    return DONE


@kernel
def sweep(
    index: np.ndarray,
    hashes: np.ndarray,
    newest: np.ndarray,
    cells: np.ndarray,
    waits: np.ndarray,
    hops: np.ndarray,
    head: np.ndarray,
    spec: np.ndarray,
    tau: int,
    limit: int,
) -> int:
    """Look at the next ``limit`` slots and drop those that nothing can reach any more; how many were dropped."""
    dropped = 0
    for _ in range(min(limit, head[SLOTS])):
        slot = head[HAND]
        head[HAND] = (slot + 1) % head[SLOTS]
        if cells[slot, 2] == GONE or newest[slot] + spec[2] >= tau:
            continue
        remove(index, hashes, hashes[slot])
        release(hops, head, np.int64(cells[slot, 0]), np.int64(cells[slot, 2]))
        if spec[1]:
            release(hops, head, np.int64(waits[slot, 0]), np.int64(waits[slot, 2]))
        cells[slot, 0], cells[slot, 1], cells[slot, 2] = head[FREE_SLOT], 0, GONE
        head[FREE_SLOT] = slot + 1
        head[LIVE] -= 1
        dropped += 1
    return dropped


@kernel
def gather(marks: np.ndarray, hops: np.ndarray, chunks: np.ndarray, to_marks: np.ndarray, to_hops: np.ndarray) -> None:
    """Copy the pairs of chunks (int64 [k, 2]: start, length), one after the other."""
    to = 0
    for chunk in range(len(chunks)):
        for at in range(chunks[chunk, 0], chunks[chunk, 0] + chunks[chunk, 1]):
            to_marks[to], to_hops[to] = marks[at], hops[at]
            to += 1


@kernel
def scatter(
    marks: np.ndarray, hops: np.ndarray, head: np.ndarray, cells: np.ndarray, lengths: np.ndarray, pairs: np.ndarray
) -> int:
    """Give every slot a chunk just large enough for so many pairs; returns how many places of the pool that takes.

    ``pairs`` uint64 [2, sum of lengths]: hashes and hops. Called with an empty ``marks`` it only counts.
    """
    used, taken = 0, 0
    for slot in range(len(lengths)):
        size = NONE
        if lengths[slot]:
            size = 0
            # From CROWD_CLASS on the last pair is the limit's.
            while (1 << size) - (1 if size >= CROWD_CLASS else 0) < lengths[slot]:
                size += 1
        if len(marks):
            cells[slot, 0], cells[slot, 1], cells[slot, 2] = 0, lengths[slot], size
            if size >= 0:
                cells[slot, 0] = head[POOL] + used
                for at in range(lengths[slot]):
                    marks[head[POOL] + used + at] = pairs[0, taken + at]
                    hops[head[POOL] + used + at] = np.int64(pairs[1, taken + at])
                if size >= CROWD_CLASS:
                    hops[head[POOL] + used + (1 << size) - 1] = NONE
        if size >= 0:
            used += 1 << size
        taken += lengths[slot]
    if len(marks):
        head[POOL] += used
    return used
