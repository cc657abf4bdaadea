"""Places: from a 64-bit hash to the row that holds it; open addressing, linear probing, deletion without tombstones.

``index`` int32 [a power of two] holds row + 1, 0 where free; ``hashes`` uint64 [rows] the hash of every row. The
callers keep at least two fifths of the index free. Reference: Knuth, TAOCP volume 3, 6.4, algorithms L and R.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import inlined, kernel

U = np.uint64
SMALLEST = 16
MIX = 0x9E3779B97F4A7C15


@inlined
def mixed(hash_: np.uint64, salt: np.uint64) -> np.uint64:
    """Return a hash of (hash, salt): the finaliser of MurmurHash3 over their weighted sum."""
    x = hash_ + (salt + U(1)) * U(MIX)
    x = (x ^ (x >> U(33))) * U(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> U(33))) * U(0xC4CEB9FE1A85EC53)
    return x ^ (x >> U(33))


@inlined
def find(index: np.ndarray, hashes: np.ndarray, hash_: np.uint64) -> Any:
    """Return the row of a hash, -1 where there is none."""
    mask = np.int64(len(index) - 1)
    at = np.int64(hash_ & U(mask))
    while index[at] != 0:
        row = np.int64(index[at]) - 1
        if hashes[row] == hash_:
            return row
        at = (at + 1) & mask
    return np.int64(-1)


@inlined
def put(index: np.ndarray, hash_: np.uint64, row: Any) -> None:
    """Note the row of a hash that is not there."""
    mask = np.int64(len(index) - 1)
    at = np.int64(hash_ & U(mask))
    while index[at] != 0:
        at = (at + 1) & mask
    index[at] = row + 1


@inlined
def remove(index: np.ndarray, hashes: np.ndarray, hash_: np.uint64) -> None:
    """Take out a hash that is there, and close the gap behind it."""
    mask = np.int64(len(index) - 1)
    at = np.int64(hash_ & U(mask))
    while hashes[np.int64(index[at]) - 1] != hash_:
        at = (at + 1) & mask
    gap = at
    at = (at + 1) & mask
    while index[at] != 0:
        home = np.int64(hashes[np.int64(index[at]) - 1] & U(mask))
        if ((at - home) & mask) >= ((at - gap) & mask):
            index[gap] = index[at]
            gap = at
        at = (at + 1) & mask
    index[gap] = 0


@kernel
def salted(hashes: np.ndarray, salts: np.ndarray) -> np.ndarray:
    """Return ``mixed`` of columns uint64 [n]."""
    found = np.empty(len(hashes), np.uint64)
    for row in range(len(hashes)):
        found[row] = mixed(hashes[row], salts[row])
    return found


@kernel
def fill(index: np.ndarray, hashes: np.ndarray, rows: np.ndarray) -> None:
    """Note these rows in an empty index."""
    for row in rows:
        put(index, hashes[row], row)


def index_for(rows: int) -> np.ndarray:
    """Return an empty index with room for so many rows at a load of at most three fifths."""
    size = SMALLEST
    while size * 3 < rows * 5:
        size *= 2
    return np.zeros(size, np.int32)


def rebuilt(hashes: np.ndarray, rows: np.ndarray, room: int) -> np.ndarray:
    """Return an index of these rows with room for ``room``."""
    index = index_for(max(room, len(rows)))
    fill(index, hashes, rows.astype(np.int64))
    return index


def grown(array: np.ndarray, rows: int) -> np.ndarray:
    """Return the array with at least so many rows, what is new zeroed; by half as much again."""
    if len(array) >= rows:
        return array
    fresh = np.zeros((max(rows, len(array) * 3 // 2), *array.shape[1:]), array.dtype)
    fresh[: len(array)] = array
    return fresh


def shards_of(hashes: np.ndarray) -> np.ndarray:
    """Return the shard [0, 256) of keys: the upper eight bits of their hashes (the lower ones lead to the place)."""
    shards: np.ndarray = (hashes >> U(56)).astype(np.int64)
    return shards
