"""Kernels of the id memory: an index that grows in place, bit by bit, over a log in order of acceptance.

Index. Open addressing with linear probing over uint64 slots. A slot holds the upper 32 bits of the id's hash and the
lower 31 bits of its seq (bit 31 set: no entry is 0). The home of an entry is given by its upper bits, so doubling
sends home h to 2h or 2h + 1 and keeps the order: it runs from the top down inside the same array, whole clusters at a
time, some slots with each batch. ``BOUND`` tells which homes have moved already. Nothing wraps around; ``SLACK`` slots
stand behind the last home. Deletion shifts back (Knuth, The Art of Computer Programming vol. 3, 6.4, algorithm R).

Log. Hash and tau of each accepted id, at its seq, in chunks of 65,536 that are taken from a pool and go back to it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tocsin.core.events import ID_MEMORY
from tocsin.flow.wide.bare import bare
from tocsin.flow.wide.jit import brief
from tocsin.flow.wide.prefetch import prefetch

U = np.uint64
Whole: TypeAlias = Any
"""int in Python, int64 in a kernel."""
Array: TypeAlias = np.ndarray

SEQ, TAU, HEAD, BITS, MOST_BITS, BOUND, COUNT, CAPACITY, FORGOTTEN, LOST_TAU, FREE, USED = range(12)
"""Places in the state, int64 [12]: last seq and tau; seq of the oldest entry of the log; 2^BITS homes, at most
2^MOST_BITS; the first home that has moved to twice as many (-1 while none moves); ids in the index; most ids; ids let
go before their time, and the tau of the newest of them; chunks in the free list, chunks ever used."""
STATE = 12
HASH, ACCEPTED = 0, 1
"""Columns of the log, uint64 [rows, 2]: the hash, and the tau (the bits of an int64)."""
CHUNK_BITS = 16
CHUNK = 1 << CHUNK_BITS
SLACK = 8192
SCRATCH = 2 * SLACK
"""Slots at the array's end that hold no entries between calls."""
FULL_TENTHS = 6
"""The index doubles where more than six tenths of its homes are taken."""
MOVED_EACH = 8
"""Slots looked at for each row while the index doubles: done before the next doubling can be due."""
AHEAD = 12
_MARK = U(1 << 31)
_SEQ_BITS = 0x7FFFFFFF


@bare
def _home(state: Array, entry: Any) -> Whole:
    """Return the slot at which the search for an entry (or a hash) starts."""
    tag = np.int64(entry >> U(32))
    home = tag >> (32 - state[BITS])
    if 0 <= state[BOUND] <= home:
        return tag >> (31 - state[BITS])
    return home


@bare
def _entry(hash: Any, seq: Whole) -> Any:
    return (hash & U(0xFFFFFFFF00000000)) | _MARK | U(seq & _SEQ_BITS)


@bare
def _seq_of(state: Array, entry: Any) -> Whole:
    """Return the whole seq of an entry: less than 2^31 before the last one."""
    low = np.int64(entry & U(_SEQ_BITS))
    return state[SEQ] - ((state[SEQ] - low) & _SEQ_BITS)


@bare
def _place(chunks: Array, seq: Whole) -> Whole:
    """Return where the log keeps a seq."""
    return (np.int64(chunks[(seq >> CHUNK_BITS) & (len(chunks) - 1)]) << CHUNK_BITS) | (seq & (CHUNK - 1))


@bare
def find(index: Array, log: Array, chunks: Array, state: Array, hash: Any) -> Whole:
    """Return the slot of a hash, or -1."""
    at = _home(state, hash)
    while index[at] != U(0):
        if (index[at] ^ hash) >> U(32) == U(0) and log[_place(chunks, _seq_of(state, index[at])), HASH] == hash:
            return at
        at += 1
    return np.int64(-1)


@bare
def _put(index: Array, state: Array, entry: Any) -> None:
    at = _home(state, entry)
    while index[at] != U(0):
        at += 1
    index[at] = entry


@bare
def _drop(index: Array, state: Array, hash: Any, seq: Whole) -> None:
    """Take the entry of (hash, seq) out of the index, if it is there."""
    entry = _entry(hash, seq)
    hole = _home(state, entry)
    while index[hole] != entry:
        if index[hole] == U(0):
            return
        hole += 1
    at = hole + 1
    while index[at] != U(0):
        if _home(state, index[at]) <= hole:
            index[hole] = index[at]
            hole = at
        at += 1
    index[hole] = U(0)
    state[COUNT] -= 1


@bare
def _pop_oldest(index: Array, log: Array, chunks: Array, free: Array, state: Array) -> None:
    head = state[HEAD]
    place = _place(chunks, head)
    _drop(index, state, log[place, HASH], head)
    # The neighbours of the head leave in the same order: their slots are asked for in time.
    if head + AHEAD < state[SEQ]:
        ahead = _place(chunks, head + AHEAD)
        prefetch(index, _home(state, log[ahead, HASH]))
    state[HEAD] = head + 1
    if head & (CHUNK - 1) == CHUNK - 1:
        at = (head >> CHUNK_BITS) & (len(chunks) - 1)
        free[state[FREE]] = chunks[at]
        state[FREE] += 1
        chunks[at] = -1


@bare
def _append(index: Array, log: Array, chunks: Array, free: Array, state: Array, hash: Any) -> None:
    """Log the hash as accepted at the state's seq and tau, and enter it; past the capacity the oldest id goes."""
    seq, tau = state[SEQ], state[TAU]
    if seq - state[HEAD] >= state[CAPACITY]:
        lost = np.int64(log[_place(chunks, state[HEAD]), ACCEPTED])
        if lost > tau - ID_MEMORY:
            state[FORGOTTEN] += 1
            state[LOST_TAU] = max(state[LOST_TAU], lost)
        _pop_oldest(index, log, chunks, free, state)
    at = (seq >> CHUNK_BITS) & (len(chunks) - 1)
    if chunks[at] < 0:
        if state[FREE] > 0:
            state[FREE] -= 1
            chunks[at] = free[state[FREE]]
        else:
            chunks[at] = state[USED]
            state[USED] += 1
    place = _place(chunks, seq)
    log[place, HASH] = hash
    log[place, ACCEPTED] = U(tau)
    _put(index, state, _entry(hash, seq))
    state[COUNT] += 1


@bare
def _expire(index: Array, log: Array, chunks: Array, free: Array, state: Array) -> None:
    """Let go of what is 24 hours old, at most two ids: bounded work, and it still shrinks as fast as it grew."""
    for _ in range(2):
        if state[HEAD] > state[SEQ]:
            break
        if np.int64(log[_place(chunks, state[HEAD]), ACCEPTED]) > state[TAU] - ID_MEMORY:
            break
        _pop_oldest(index, log, chunks, free, state)


@bare
def _finish_growth(index: Array, state: Array) -> None:
    """Move the last, lowest homes by way of a copy at the array's end: there old and new slots overlap."""
    end = state[BOUND]
    while index[end] != U(0):
        end += 1
    if end > SCRATCH:
        return
    copy = len(index) - SCRATCH
    for at in range(end):
        index[copy + at] = index[at]
        index[at] = U(0)
    state[BITS] += 1
    state[BOUND] = -1
    for at in range(copy, copy + end):
        if index[at] != U(0):
            _put(index, state, index[at])
            index[at] = U(0)


@bare
def _grow(index: Array, state: Array, slots: Whole) -> None:
    """Move at least ``slots`` slots, in whole clusters, to their homes in the doubled index."""
    while slots > 0 and state[BOUND] >= 0:
        if state[BOUND] <= SLACK:
            _finish_growth(index, state)
            return
        # Entries with a lower home may have been pushed over the bound.
        end = state[BOUND]
        while index[end] != U(0):
            end += 1
        start = state[BOUND] - 256
        while start > 0 and index[start - 1] != U(0):
            start -= 1
        if start < end // 2 + 1:
            # A cluster of thousands: with keyed hashes it does not come about; doubling then waits.
            return
        state[BOUND] = start
        for at in range(start, end):
            entry = index[at]
            if entry != U(0):
                index[at] = U(0)
                _put(index, state, entry)
        slots -= end - start


@bare
def _prepare(index: Array, state: Array, rows: Whole) -> None:
    """Begin or go on with doubling, before so many rows come."""
    homes = np.int64(1) << state[BITS]
    if state[BOUND] < 0 and state[BITS] < state[MOST_BITS] and 10 * state[COUNT] > FULL_TENTHS * homes:
        state[BOUND] = homes
    if state[BOUND] >= 0:
        _grow(index, state, MOVED_EACH * rows + 64)


@bare
def admit(
    index: Array,
    log: Array,
    chunks: Array,
    free: Array,
    state: Array,
    ids: Array,
    times: Array,
    clock: Whole,
    fresh: Array,
    seqs: Array,
    stamps: Array,
) -> None:
    """Stamp rows in their order and remember the fresh ones.

    ``ids`` uint64 [n], ``times`` int64 [n]; fills ``fresh`` bool [n], ``seqs`` and ``stamps`` (taus) int64 [n], for a
    duplicate those with which its id was accepted.
    """
    _prepare(index, state, len(ids))
    for row in range(min(AHEAD, len(ids))):
        prefetch(index, _home(state, ids[row]))
    for row in range(len(ids)):
        if row + AHEAD < len(ids):
            prefetch(index, _home(state, ids[row + AHEAD]))
        hash = ids[row]
        at = find(index, log, chunks, state, hash)
        if at >= 0:
            seq = _seq_of(state, index[at])
            fresh[row] = False
            seqs[row] = seq
            stamps[row] = np.int64(log[_place(chunks, seq), ACCEPTED])
            continue
        state[SEQ] += 1
        state[TAU] = max(min(times[row], clock), state[TAU])
        _append(index, log, chunks, free, state, hash)
        _expire(index, log, chunks, free, state)
        fresh[row] = True
        seqs[row] = state[SEQ]
        stamps[row] = state[TAU]


@brief
def admit_few(
    index: Array,
    log: Array,
    chunks: Array,
    free: Array,
    state: Array,
    ids: Array,
    times: Array,
    clock: Whole,
    fresh: Array,
    seqs: Array,
    stamps: Array,
) -> None:
    """Stamp few rows as ``admit`` does, and keep the interpreter's lock."""
    admit(index, log, chunks, free, state, ids, times, clock, fresh, seqs, stamps)


@bare
def take_up(
    index: Array,
    log: Array,
    chunks: Array,
    free: Array,
    state: Array,
    ids: Array,
    seqs: Array,
    stamps: Array,
    expire: bool,
) -> None:
    """Remember rows with the stamps that they have, int64 [n]: ``seqs``, that rise by one, and ``stamps`` (taus).

    An id that is remembered already counts as accepted again. ``expire`` lets go of old ids with each row, as when
    they were accepted; without it a copied log is taken up as it was.
    """
    _prepare(index, state, len(ids))
    for row in range(len(ids)):
        if row + AHEAD < len(ids):
            prefetch(index, _home(state, ids[row + AHEAD]))
        hash = ids[row]
        at = find(index, log, chunks, state, hash)
        if at >= 0:
            _drop(index, state, hash, _seq_of(state, index[at]))
        state[SEQ] = seqs[row]
        state[TAU] = stamps[row]
        _append(index, log, chunks, free, state, hash)
        if expire:
            _expire(index, log, chunks, free, state)


@bare
def look_up(index: Array, log: Array, chunks: Array, state: Array, hash: Any) -> Whole:
    """Return the seq that a hash was accepted with, or 0."""
    at = find(index, log, chunks, state, hash)
    return _seq_of(state, index[at]) if at >= 0 else np.int64(0)


@bare
def take_back(index: Array, log: Array, chunks: Array, state: Array, count: Whole) -> None:
    """Forget the newest ``count`` ids; the caller sets tau."""
    for _ in range(count):
        seq = state[SEQ]
        if seq >= state[HEAD]:
            _drop(index, state, log[_place(chunks, seq), HASH], seq)
        state[SEQ] = seq - 1
    state[HEAD] = min(state[HEAD], state[SEQ] + 1)
