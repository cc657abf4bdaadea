"""A LightGBM model compiled to flat arrays: raw scores equal to the library's to the last bit, many times faster.

The trees of several boosters may be one forest; each booster has its own sums. References: Ke et al., LightGBM (2017).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from os import cpu_count
from typing import TYPE_CHECKING

import numpy as np

from tocsin.methods import trees_walk as walk
from tocsin.methods.trees_exceed import Bounds
from tocsin.methods.trees_shap import Parts
from tocsin.methods.trees_text import DEFAULT_LEFT, MISSING_NAN, MISSING_NONE, MISSING_ZERO, ZERO, Text, Tree, read

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW = 16
"""Up to so many rows are scored without giving up the interpreter's lock."""
MANY = 16_384
"""From so many rows on all cores take part."""


class Forest:
    """The compiled trees of boosters over the same k features and c classes; immutable.

    Parameters
    ----------
    texts
        LightGBM's model texts. ValueError where one is damaged, holds linear trees, or does not fit the others.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(read(text) for text in texts)
        if not self.texts or any((t.features, t.classes) != (self.features, self.classes) for t in self.texts):
            raise ValueError("a forest needs boosters over the same features and classes")
        flat = _Flat(self.texts)
        self.nodes = np.array(flat.nodes, np.int64).reshape(-1, 2)
        leaves = self.nodes[:, 0] & walk.LOW == walk.LOW
        self.nodes[leaves, 0] += len(flat.columns) - walk.LOW
        words = np.concatenate([np.zeros(0, np.uint32), *flat.words])
        columns = np.array(list(flat.columns), np.int64)
        trees = np.array(flat.trees, np.int64).reshape(-1, 3)
        by_depth = np.argsort(trees[:, 1], kind="stable")
        place = np.empty(len(trees), np.int64)
        place[by_depth] = np.arange(len(trees))
        self.trees = np.column_stack([trees, by_depth, place])
        self.arrays = (columns, self.nodes, self.nodes.view(np.float64), words)
        for array in (*self.arrays, self.trees):
            array.setflags(write=False)

    @property
    def features(self) -> int:
        """Columns that a row has."""
        return self.texts[0].features

    @property
    def classes(self) -> int:
        """Raw scores that a booster gives a row."""
        return self.texts[0].classes

    def sums(self, x: np.ndarray) -> np.ndarray:
        """Return float64 [n, boosters, classes]: what ``Booster.predict(raw_score=True)`` gives for rows [n, k].

        NaN where a value is missing. ValueError for rows of another width.
        """
        x = self._rows(x)
        out = np.zeros((len(x), len(self.texts) * self.classes))
        arrays = (*self.arrays, self.trees)
        if len(x) <= FEW:
            walk.walk_few(x, *arrays, out)
        elif len(x) < MANY:
            walk.walk_rows(x, *arrays, out)
        else:
            cores = cpu_count() or 1
            parts = zip(np.array_split(x, cores), np.array_split(out, cores), strict=True)
            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(lambda part: walk.walk_rows(part[0], *arrays, part[1]), parts))
        return out.reshape(len(x), len(self.texts), self.classes)

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Return the mean over the boosters of their raw scores, added in their order: [n], or [n, c] of c classes."""
        sums = self.sums(x)
        total: np.ndarray = sums[:, 0] if len(self.texts) == 1 else sums[:, 0].copy()
        for booster in range(1, sums.shape[1]):
            total += sums[:, booster]
        if len(self.texts) > 1:
            total /= len(self.texts)
        return total[:, 0] if self.classes == 1 else total

    def may_exceed(self, x: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
        """Return bool [n], equal to ``raw(x) > limit`` (one limit, or one a row); most rows leave early.

        ValueError for rows of another width, or a forest of several classes.
        """
        rows = self._rows(x)
        limits = np.ascontiguousarray(np.broadcast_to(np.asarray(limit, np.float64), (len(rows),)))
        return self._bounds.exceeding(rows, limits)[0]

    def contributions(self, x: np.ndarray) -> np.ndarray:
        """Return the exact additive parts of ``raw``: [n, k + 1] or [n, c, k + 1], the base last (``trees_shap``).

        As ``Booster.predict(pred_contrib=True)``, within 1e-9 of the row's largest part. ValueError for rows of another
        width, or where the texts do not say how many training rows went down each edge.
        """
        parts = self._parts.of(self._rows(x)) / len(self.texts)
        return np.asarray(parts[:, 0] if self.classes == 1 else parts)

    @cached_property
    def _bounds(self) -> Bounds:
        return Bounds(self)

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self)

    def ready(self) -> None:
        """Make the tables of ``contributions`` now, not at its first call; ValueError as there."""
        assert self._parts is not None

    def _rows(self, x: np.ndarray) -> np.ndarray:
        if not (isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype == np.float64 and x.flags.c_contiguous):
            x = np.ascontiguousarray(np.atleast_2d(x), np.float64)
        if x.shape[1] != self.features:
            raise ValueError(f"the trees read {self.features} features, not {x.shape[1]}")
        # Rows that may not be written to are another type to the compiler: it would compile every kernel again.
        return x if x.flags.writeable else x.copy()


class _Flat:
    """The arrays of the walk while they grow."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self.columns: dict[int, int] = {}
        self.nodes: list[tuple[int, int]] = []
        self.words: list[np.ndarray] = []
        self.trees: list[tuple[int, int, int]] = []
        self._sets = 0
        for booster, text in enumerate(texts):
            for number, tree in enumerate(text.trees):
                root = len(self.nodes)
                depth = self._add(tree, text.features)
                self.trees.append((root, depth, booster * text.classes + number % text.classes))

    def _add(self, tree: Tree, features: int) -> int:
        """Append one tree, level by level, siblings side by side; return its depth."""
        root = len(self.nodes)
        level = [0 if len(tree.feature) else -1]
        start, depth = root, 0
        while True:
            free = start + len(level)
            below: list[int] = []
            for place, node in enumerate(level, start):
                if node < 0:
                    self.nodes.append((place << 32 | walk.LOW, _bits(tree.value[~node])))
                    continue
                if not 0 <= tree.feature[node] < features:
                    raise ValueError("a tree reads a feature that is not there")
                word, second = self._split(tree, node)
                self.nodes.append(((free + len(below)) << 32 | word, second))
                below += [int(tree.left[node]), int(tree.right[node])]
            if not below:
                break
            start, level, depth = free, below, depth + 1
        self.words.append(tree.words)
        self._sets += len(tree.words)
        return depth

    def _split(self, tree: Tree, node: int) -> tuple[int, int]:
        """Return (column, threshold as bits) of a split, with flags; see ``trees_walk``."""
        feature, threshold, missing = int(tree.feature[node]), float(tree.threshold[node]), tree.missing(node)
        if tree.categorical(node):
            first, last = tree.edges[int(threshold)], tree.edges[int(threshold) + 1]
            column = self._column(feature, walk.CATEGORY) | walk.SET
            return column, (self._sets + int(first)) << 32 | int(last - first)
        code = 0
        if missing == MISSING_NONE:
            # NaN counts as zero here.
            code = walk.RIGHT if threshold < 0.0 else 0
        elif missing in (MISSING_ZERO, MISSING_NAN):
            code = 0 if tree.decision[node] & DEFAULT_LEFT else walk.RIGHT
        else:
            raise ValueError(f"a split has the unknown missing type {missing}")
        if missing == MISSING_ZERO:
            code |= walk.ZEROS
        elif -ZERO <= threshold < 0.0:
            # The library takes values near zero for zero before it compares.
            threshold = float(np.nextafter(-ZERO, -np.inf))
        elif 0.0 <= threshold <= ZERO:
            threshold = ZERO
        if threshold == np.inf and code & walk.RIGHT:
            # Such a split asks for presence alone: even +inf goes left, only a missing value right.
            code, threshold = code | walk.PRESENCE, 0.0
        return self._column(feature, code), _bits(threshold)

    def _column(self, feature: int, code: int) -> int:
        return self.columns.setdefault(feature << 4 | code, len(self.columns))


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def warm() -> None:
    """Compile every kernel (or load it from the cache) with the types that it is called with."""
    text = (
        "tree\nversion=v4\nnum_tree_per_iteration=1\nmax_feature_idx=0\n\nTree=0\nnum_leaves=2\nnum_cat=0\n"
        "split_feature=0\nthreshold=0.5\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=0 1\n"
        "internal_count=2\nleaf_count=1 1\n\nend of trees\n"
    )
    forest = Forest([text])
    forest.sums(np.zeros((1, 1)))
    forest.sums(np.zeros((FEW + 1, 1)))
    forest.contributions(np.zeros((1, 1)))
    forest.may_exceed(np.zeros((1, 1)), 0.0)
