"""Exact path-dependent TreeSHAP of a compiled forest, by quadrature instead of permutation weights.

With z the share of the training rows that a path's conditions on a feature let through, and o whether the row at hand
passes them, a leaf of value v gives feature j the Shapley value

    v (o_j - z_j) * integral over t in [0, 1] of prod_{i != j} (o_i t + z_i (1 - t)) dt,

because the Beta integral of t^s (1 - t)^(d - 1 - s) is the weight of a coalition of s among d features. The integrand
is a polynomial of degree d - 1: ``NODES`` points of Gauss and Legendre's rule integrate it exactly up to 2 ``NODES``
features on a path, more points more. At a point, the products go down the tree and the leaves' sums come up again, so
a tree costs one pass each way, without a division: the factors depend on the edge and on o alone and are tabulated.

References: Lundberg et al., "From local explanations to global understanding with explainable AI for trees" (2020),
algorithm 2, whose values these are; Yu et al., "Linear TreeShap" (2022), for the sums over subtrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.methods.kernels import kernel
from tocsin.methods.trees_walk import LOW, SET, outside, prepare
from tocsin.methods.vectors import LANES, fork_down, join_up

if TYPE_CHECKING:
    from tocsin.methods.trees_forest import Forest
    from tocsin.methods.trees_text import Tree

NODES = LANES
"""Points that are carried together."""
TOGETHER = 8
"""Rows that go through a tree together."""


@kernel
def shap_rows(
    x: np.ndarray,
    columns: np.ndarray,
    nodes: np.ndarray,
    values: np.ndarray,
    words: np.ndarray,
    trees: np.ndarray,
    splits: np.ndarray,
    leaf: np.ndarray,
    down: np.ndarray,
    up: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to ``out`` [n, classes, k] what each feature brings.

    ``trees`` int64 [t, 6]: root, first split, splits, passes of ``NODES`` points, class, row of the first table.
    ``splits`` int64 [s, 4], parents first: node, left child, feature, and the edge above with the same feature (0:
    none), places counted from the root. ``leaf`` float64 [m], 0 where a node splits. ``down``, ``up`` float64
    [rows * 3 * 2 * NODES]: the factors of the products of both children, and what their edges add per unit of the sum
    below them, for a row that goes left, one that goes right, and one that did not pass the edge above.
    """
    classes, features, widest = out.shape[1], out.shape[2], 1
    for tree in range(len(trees)):
        widest = max(widest, trees[tree, 2])
    block = np.empty((TOGETHER, len(columns) + 1), np.float64)
    parts = np.empty(TOGETHER * classes * features * NODES, np.float64)
    case = np.empty(widest, np.int64)
    passed = np.empty(2 * widest + 1, np.bool_)
    product = np.empty((2 * widest + 1) * NODES, np.float64)
    total = np.empty((2 * widest + 1) * NODES, np.float64)
    product[:NODES] = 1.0
    passed[0] = True
    for low in range(0, len(x), TOGETHER):
        size = min(TOGETHER, len(x) - low)
        for row in range(size):
            prepare(x, low + row, columns, block, row)
        parts[:] = 0.0
        for tree in range(len(trees)):
            root, start, count = trees[tree, 0], trees[tree, 1], trees[tree, 2]
            forks, ends = splits[start : start + count], leaf[root : root + 2 * count + 1]
            words_of, limits = nodes[root : root + 2 * count + 1], values[root : root + 2 * count + 1]
            for row in range(size):
                for split in range(count):
                    node = forks[split, 0]
                    word = words_of[node, 0]
                    value = block[row, word & LOW]
                    if word & SET:
                        right = outside(value, words_of[node, 1], words)
                    else:
                        right = value > limits[node, 1]
                    # An edge is passed only if those above it that ask for its feature are passed too.
                    left, alive = forks[split, 1], passed[forks[split, 3]]
                    case[split] = np.int64(right) if alive else 2
                    passed[left] = alive & (not right)
                    passed[left + 1] = alive & right
                first = (row * classes + trees[tree, 4]) * features
                for step in range(trees[tree, 3]):
                    table = 3 * (trees[tree, 5] + step * count)
                    for split in range(count):
                        at, left = 2 * (table + 3 * split + case[split]), forks[split, 1]
                        own, other = ends[left], ends[left + 1]
                        fork_down(product, total, forks[split, 0], left, down, at, own, other)
                    for back in range(1, count + 1):
                        split = count - back
                        at, into = 2 * (table + 3 * split + case[split]), first + forks[split, 2]
                        join_up(total, forks[split, 0], forks[split, 1], up, at, parts, into)
        for row in range(size):
            for part in range(classes * features):
                at = NODES * (row * classes * features + part)
                four = (parts[at] + parts[at + 1]) + (parts[at + 2] + parts[at + 3])
                out[low + row, part // features, part % features] += four


class Parts:
    """The tables of a forest's contributions.

    ValueError where its texts do not say how many training rows went down each edge.
    """

    def __init__(self, forest: Forest) -> None:
        self._forest = forest
        self._base = np.zeros(forest.classes)
        self._leaf = np.zeros(len(forest.nodes))
        none = np.zeros(0)
        trees, splits, downs, ups, start, table = [], [np.zeros((0, 4), np.int64)], [none], [none], 0, 0
        numbered = [(number, tree) for text in forest.texts for number, tree in enumerate(text.trees)]
        roots = [*forest.trees[:, 0].tolist(), len(forest.nodes)]
        for place, (number, tree) in enumerate(numbered):
            root, last = roots[place], roots[place + 1]
            one = _Splits(tree, forest.nodes[root:last, 0] >> 32, root)
            self._leaf[root:last] = one.leaf
            self._base[number % forest.classes] += one.expected
            passes = max(1, -(-one.widest // (2 * NODES)))
            down, up = one.tables(passes)
            splits.append(one.splits)
            downs.append(down)
            ups.append(up)
            trees.append((root, start, len(one.splits), passes, number % forest.classes, table))
            start += len(one.splits)
            table += passes * len(one.splits)
        self._trees = np.array(trees, np.int64).reshape(-1, 6)
        self._splits = np.concatenate(splits)
        self._down, self._up = np.concatenate(downs), np.concatenate(ups)

    def of(self, x: np.ndarray) -> np.ndarray:
        """Return [n, classes, k + 1], what each feature brings and the base, summed over the boosters."""
        forest = self._forest
        out = np.zeros((len(x), forest.classes, forest.features))
        shap_rows(x, *forest.arrays, self._trees, self._splits, self._leaf, self._down, self._up, out)
        base = np.broadcast_to(self._base[None, :, None], (len(x), forest.classes, 1))
        return np.concatenate([out, base], axis=2)


class _Splits:
    """The splits of one tree in the order of the walk's nodes."""

    def __init__(self, tree: Tree, child: np.ndarray, root: int) -> None:
        size, lefts = len(child), (child - root).tolist()
        self.leaf = np.zeros(size)
        self.widest = 0
        features, links = tree.feature.tolist(), (tree.left.tolist(), tree.right.tolist())
        rows, leaves, value = tree.split_rows.tolist(), tree.leaf_rows.tolist(), tree.value.tolist()
        if size > 1 and min(*rows, *leaves) <= 0:
            raise ValueError("the text does not say how many rows went down each edge")
        at = [0 if size > 1 else -1] * size
        over: list[dict[int, int]] = [{} for _ in range(size)]
        share = [1.0] * size
        splits = []
        for place in range(size):
            node, seen = at[place], over[place]
            if node < 0:
                self.leaf[place] = value[~node]
                self.widest = max(self.widest, len(seen))
                continue
            feature, first = features[node], lefts[place]
            above = seen.get(feature, 0)
            splits.append((place, first, feature, above))
            for side, link in enumerate(links, first):
                below = link[node]
                at[side] = below
                over[side] = seen | {feature: side}
                went = rows[below] if below >= 0 else leaves[~below]
                share[side] = (share[above] if above else 1.0) * (went / rows[node])
        self.splits = np.array(splits, np.int64).reshape(-1, 4)
        self._share = np.array(share)
        self.expected = sum(count / sum(leaves) * each for count, each in zip(leaves, value, strict=True))
        if size == 1:
            self.expected = value[0]

    def tables(self, passes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (down, up) as ``shap_rows`` reads them: by pass, split, case, child and point."""
        points, weights = np.polynomial.legendre.leggauss(passes * NODES)
        t, weight = (points + 1) / 2, weights / 2
        above = self.splits[:, 3]
        inner = (above > 0)[:, None]
        z = self._share[above][:, None]
        before, gained = np.where(inner, t + z * (1 - t), 1.0), np.where(inner, (1 - z) / (t + z * (1 - t)), 0.0)
        down, up = np.zeros((2, len(above), 3, 2, len(t)))
        for side in (0, 1):
            z_side = self._share[self.splits[:, 1] + side][:, None]
            off, on = z_side * (1 - t), t + z_side * (1 - t)
            down[:, side, side], down[:, 1 - side, side] = on / before, off / before
            up[:, side, side], up[:, 1 - side, side] = (1 - z_side) / on - gained, -1 / (1 - t) - gained
            down[:, 2, side] = z_side / z
        up *= weight

        def cut(table: np.ndarray) -> np.ndarray:
            return table.reshape(len(above), 3, 2, passes, NODES).transpose(3, 0, 1, 2, 4).ravel()

        return cut(down), cut(up)
