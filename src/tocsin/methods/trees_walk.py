"""Kernels that walk many trees for many rows, without a branch that depends on the data.

A block of rows is first copied to columns on which missing values are already decided: the value itself, and where it
is missing -inf (goes left) or +inf (goes right). A step is then one comparison, and the steps of different rows (of
different trees, for a single row) overlap. A leaf compares -inf with its own value and so stays where it is; the leaf's
value stands in the place of the threshold.

Reference: Asadi, Lin and de Vries, "Runtime optimizations for tree-based machine learning models", TKDE 2014.
"""

from __future__ import annotations

import numpy as np

from tocsin.methods.kernels import brief, kernel

U = np.uint64
"""Places are unsigned: a signed one is looked at each time, whether it counts from the end."""
ZERO = 1.0000000180025095e-35
BLOCK = 64
"""Rows that go through a tree together; their columns stay in the first-level cache beside one tree."""
ALONE = 4
"""Up to so many rows each goes through the trees alone."""
TOGETHER = 16
"""Trees that a single row goes through together."""
RIGHT, ZEROS, PRESENCE, CATEGORY = 1, 2, 4, 8
"""Bits of a column's code beside its feature (code = feature << 4 | bits): missing goes right; zero is missing too; a
value that is there goes left; the value is a category."""
SET = 1 << 31
"""Bit of a node's word: its second word names a set of categories, start << 32 | words."""
LOW = (1 << 31) - 1


@kernel
def prepare(x: np.ndarray, row: int, columns: np.ndarray, into: np.ndarray, at: int) -> None:
    """Write the columns of one row into ``into[at]``, the last one -inf."""
    for place in range(len(columns)):
        code = columns[place]
        value = x[row, code >> 4]
        if code & 8:
            # A number outside the range of an int32 is no category, as in the library's own cast.
            value = np.trunc(value) if -1.0 < value < 2147483648.0 else -1.0
        elif value != value or ((code & 2) != 0 and -ZERO <= value <= ZERO):
            value = np.inf if code & 1 else -np.inf
        elif code & 4:
            value = -np.inf
        into[at, place] = value
    into[at, len(columns)] = -np.inf


@kernel
def outside(value: float, spec: int, words: np.ndarray) -> bool:
    """Return whether a category is not in the set ``spec``."""
    if value < 0.0:
        return True
    category = np.int64(value)
    if (category >> 5) >= (spec & 0xFFFFFFFF):
        return True
    word = np.int64(words[(spec >> 32) + (category >> 5)])
    return bool(((word >> (category & 31)) & 1) == 0)


@kernel
def walk_rows(
    x: np.ndarray,
    columns: np.ndarray,
    nodes: np.ndarray,
    values: np.ndarray,
    words: np.ndarray,
    trees: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to ``out`` [n, targets] what every tree says of every row.

    ``nodes`` int64 [m, 2]: (place of the left child << 32 | column, threshold), the right child beside the left one;
    ``values`` is the same memory as float64; ``trees`` int64 [t, 4]: root, depth, target, place in the order of depth.
    """
    wide = len(columns) + 1
    block = np.empty((BLOCK, wide), np.float64)
    at = np.empty(BLOCK, np.uint64)
    mixed = len(words) > 0
    for low in range(0, len(x), BLOCK):
        size = min(BLOCK, len(x) - low)
        for row in range(size):
            prepare(x, low + row, columns, block, row)
        for tree in range(len(trees)):
            root, depth, target = trees[tree, 0], trees[tree, 1], trees[tree, 2]
            for row in range(size):
                at[U(row)] = U(root)
            if mixed:
                for _ in range(depth):
                    for row in range(size):
                        node = at[U(row)]
                        word = nodes[node, 0]
                        value = block[U(row), U(word & LOW)]
                        if word & SET:
                            at[U(row)] = U(word >> 32) + U(outside(value, nodes[node, 1], words))
                        else:
                            at[U(row)] = U(word >> 32) + U(value > values[node, 1])
            else:
                for _ in range(depth):
                    for row in range(size):
                        node = at[U(row)]
                        word = nodes[node, 0]
                        at[U(row)] = U(word >> 32) + U(block[U(row), U(word & LOW)] > values[node, 1])
            for row in range(size):
                out[low + row, target] += values[at[U(row)], 1]


@kernel
def walk_row(
    x: np.ndarray,
    columns: np.ndarray,
    nodes: np.ndarray,
    values: np.ndarray,
    words: np.ndarray,
    trees: np.ndarray,
    out: np.ndarray,
) -> None:
    """Do the same for few rows: the trees of a row overlap, those of like depth together, and are added in order."""
    count = len(trees)
    block = np.empty((1, len(columns) + 1), np.float64)
    at = np.empty(count, np.uint64)
    mixed = len(words) > 0
    for row in range(len(x)):
        prepare(x, row, columns, block, 0)
        for tree in range(count):
            at[U(tree)] = U(trees[trees[tree, 3], 0])
        for low in range(0, count, TOGETHER):
            high = min(count, low + TOGETHER)
            for _ in range(trees[trees[high - 1, 3], 1]):
                for tree in range(low, high):
                    node = at[U(tree)]
                    word = nodes[node, 0]
                    value = block[0, U(word & LOW)]
                    if mixed and word & SET:
                        at[U(tree)] = U(word >> 32) + U(outside(value, nodes[node, 1], words))
                    else:
                        at[U(tree)] = U(word >> 32) + U(value > values[node, 1])
        for tree in range(count):
            # ``at`` is in the order of depth: column 4 leads back to the order in which the library adds.
            out[row, trees[tree, 2]] += values[at[trees[tree, 4]], 1]


@brief
def walk_few(
    x: np.ndarray,
    columns: np.ndarray,
    nodes: np.ndarray,
    values: np.ndarray,
    words: np.ndarray,
    trees: np.ndarray,
    out: np.ndarray,
) -> None:
    """Do the same for few rows the shorter way, and keep the interpreter's lock."""
    if len(x) <= ALONE:
        walk_row(x, columns, nodes, values, words, trees, out)
    else:
        walk_rows(x, columns, nodes, values, words, trees, out)
