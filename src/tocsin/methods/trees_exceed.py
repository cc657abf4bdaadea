"""Which rows' raw scores exceed a limit: exact, and most rows leave before the last tree.

After every few trees a row's sum so far is known; what the others can still add lies between the sums of their least
and greatest leaves. A row whose limit lies outside leaves; the few others are walked to the end and compared as they
are. Reference: Cambazoglu et al., "Early exit optimizations for additive machine learned ranking systems", WSDM 2010,
here with bounds that are certain instead of likely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.methods.kernels import kernel
from tocsin.methods.trees_walk import BLOCK, LOW, SET, outside, prepare

if TYPE_CHECKING:
    from tocsin.methods.trees_forest import Forest

EVERY = 16
"""Trees between two looks at the bounds."""


@kernel
def exceed_rows(
    x: np.ndarray,
    columns: np.ndarray,
    nodes: np.ndarray,
    values: np.ndarray,
    words: np.ndarray,
    trees: np.ndarray,
    order: np.ndarray,
    bounds: np.ndarray,
    limits: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write into ``out`` bool [n] whether each row's raw score exceeds its limit; return how many trees were walked.

    ``order`` int64 [t]: the trees as they are taken, each booster's in their own order; ``bounds`` float64
    [looks + 1, 2]: least and greatest sum of the trees from each look on, with room for rounding, and in the last row
    the number of boosters and the rounding of a limit.
    """
    last = len(bounds) - 1
    boosters, rounding = np.int64(bounds[last, 0]), bounds[last, 1]
    block = np.empty((BLOCK, len(columns) + 1), np.float64)
    at, active = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    sums = np.empty((BLOCK, boosters), np.float64)
    walked = 0
    for low in range(0, len(x), BLOCK):
        size = min(BLOCK, len(x) - low)
        for row in range(size):
            prepare(x, low + row, columns, block, row)
            active[row] = row
            sums[row, :] = 0.0
        for look in range(last):
            left = 0
            for place in range(size):
                row = active[place]
                total = 0.0
                for booster in range(boosters):
                    total += sums[row, booster]
                limit = limits[low + row] * boosters
                room = rounding * abs(limit)
                if total + bounds[look, 1] + room <= limit:
                    out[low + row] = False
                elif total + bounds[look, 0] - room > limit:
                    out[low + row] = True
                else:
                    active[left] = row
                    left += 1
            size = left
            if size == 0:
                break
            for tree in order[look * EVERY : (look + 1) * EVERY]:
                walked += size
                for place in range(size):
                    at[place] = trees[tree, 0]
                for _ in range(trees[tree, 1]):
                    for place in range(size):
                        node = at[place]
                        word = nodes[node, 0]
                        value = block[active[place], word & LOW]
                        if word & SET:
                            at[place] = (word >> 32) + outside(value, nodes[node, 1], words)
                        else:
                            at[place] = (word >> 32) + (value > values[node, 1])
                for place in range(size):
                    sums[active[place], trees[tree, 2]] += values[at[place], 1]
        for place in range(size):
            row = active[place]
            total = sums[row, 0]
            for booster in range(1, boosters):
                total += sums[row, booster]
            out[low + row] = total / boosters > limits[low + row]
    return walked


class Bounds:
    """The bounds of a forest of one class."""

    def __init__(self, forest: Forest) -> None:
        if forest.classes != 1:
            raise ValueError("rows of several classes have no one score to compare")
        self._forest = forest
        rounds = [number for text in forest.texts for number in range(len(text.trees))]
        # The boosters take turns: their first trees say most, and each keeps its own order.
        self._order = np.argsort(np.array(rounds, np.int64), kind="stable")
        trees = [tree for text in forest.texts for tree in text.trees]
        least, greatest = (np.array([pick(trees[at].value) for at in self._order]) for pick in (np.min, np.max))
        looks = -(-len(trees) // EVERY)
        room = 4 * (len(trees) + 4) * np.finfo(float).eps * float(np.maximum(abs(least), abs(greatest)).sum())
        rest = [(least[look * EVERY :].sum() - room, greatest[look * EVERY :].sum() + room) for look in range(looks)]
        self._bounds = np.array([*rest, (len(forest.texts), 8 * np.finfo(float).eps)], np.float64)

    def exceeding(self, x: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, int]:
        """Return (bool [n], trees walked)."""
        forest, out = self._forest, np.zeros(len(x), bool)
        walked = exceed_rows(x, *forest.arrays, forest.trees, self._order, self._bounds, limits, out)
        return out, int(walked)
