"""LightGBM's model text as arrays: the trees of one booster, refused where a walk could not follow the library.

Format: LightGBM 4, ``model_to_string`` (version=v4): a header of ``key=value`` lines, then one block per tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ZERO = float(np.float32(1e-35))
"""LightGBM takes values in [-ZERO, ZERO] for zero."""
CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2


class Tree(msgspec.Struct, frozen=True):
    """One tree of m leaves. A child is a split's number, or ~leaf; a tree of one leaf has no splits."""

    feature: np.ndarray
    """int64 [m - 1]"""
    threshold: np.ndarray
    """float64 [m - 1]; of a categorical split the number of its set in ``edges``."""
    decision: np.ndarray
    """int64 [m - 1]: 1 categorical, 2 missing goes left, the missing type from bit 2 on."""
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    """float64 [m]"""
    split_rows: np.ndarray
    """int64 [m - 1], training rows that came past; zeros where the text does not say."""
    leaf_rows: np.ndarray
    """int64 [m]"""
    edges: np.ndarray
    """int64: set i is the words ``edges[i]`` to ``edges[i + 1]`` of ``words``."""
    words: np.ndarray
    """uint32: bit c of a set says that category c goes left."""

    def missing(self, split: int) -> int:
        """Return the missing type of a split: none (NaN counts as zero), zero (NaN too), or NaN."""
        return int(self.decision[split] >> 2) & 3

    def categorical(self, split: int) -> bool:
        """Return whether a split asks for membership in a set."""
        return bool(self.decision[split] & CATEGORICAL)


class Text(msgspec.Struct, frozen=True):
    """The trees of one booster in their order; tree i adds to class i modulo ``classes``."""

    features: int
    classes: int
    trees: tuple[Tree, ...]


def read(text: str) -> Text:
    """Return the trees of a model text.

    ValueError where it is cut off or holds linear trees, whose leaves are models of their own.
    """
    if not text.startswith("tree\n") or "\nend of trees" not in text:
        raise ValueError("a booster's text is cut off or no LightGBM model")
    head, *blocks = text[: text.index("\nend of trees")].split("\nTree=")
    keys = _pairs(head)
    try:
        trees = tuple(_tree(_pairs(block)) for block in blocks)
        return Text(features=int(keys["max_feature_idx"]) + 1, classes=int(keys["num_tree_per_iteration"]), trees=trees)
    except KeyError as error:
        raise ValueError(f"a booster's text lacks {error}") from error


def _pairs(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _tree(keys: dict[str, str]) -> Tree:
    if int(keys.get("is_linear", "0")):
        raise ValueError("linear trees are not walked: their leaves are models of their own")
    leaves, sets = int(keys["num_leaves"]), int(keys.get("num_cat", "0"))
    splits = leaves - 1

    def of(name: str, kind: Any, count: int, *, needed: bool = True) -> np.ndarray:
        if not needed and name not in keys:
            return np.zeros(count, kind)
        found = np.array(keys[name].split(), kind) if count else np.zeros(0, kind)
        if len(found) != count:
            raise ValueError(f"a tree's {name} has {len(found)} entries, not {count}")
        return found

    edges = of("cat_boundaries", np.int64, sets + 1) if sets else np.zeros(1, np.int64)
    tree = Tree(
        feature=of("split_feature", np.int64, splits),
        threshold=of("threshold", np.float64, splits),
        decision=of("decision_type", np.int64, splits),
        left=of("left_child", np.int64, splits),
        right=of("right_child", np.int64, splits),
        value=of("leaf_value", np.float64, leaves),
        split_rows=of("internal_count", np.int64, splits, needed=False),
        leaf_rows=of("leaf_count", np.int64, leaves, needed=False),
        edges=edges,
        words=of("cat_threshold", np.uint32, int(edges[-1])) if sets else np.zeros(0, np.uint32),
    )
    _check(tree, sets)
    return tree


def _check(tree: Tree, sets: int) -> None:
    """Refuse links that lead in circles or outside: a walk over them would not end."""
    splits = len(tree.feature)
    children = np.sort(np.concatenate([tree.left, tree.right]))
    wanted = np.concatenate([np.arange(-splits - 1, 0), np.arange(1, splits)]) if splits else np.zeros(0, np.int64)
    if not np.array_equal(children, wanted):
        raise ValueError("a tree's links do not make a tree")
    for split in range(splits):
        if tree.categorical(split) and not 0 <= int(tree.threshold[split]) < sets:
            raise ValueError("a categorical split names a set that is not there")
    if np.isnan(tree.threshold).any() or np.any(np.diff(tree.edges) < 0):
        raise ValueError("a tree's thresholds are no numbers")


def depth_first(tree: Tree, visit: Callable[[int, int, bool], None]) -> None:
    """Call ``visit(node, parent, went_left)`` for every split and leaf (~leaf), parents first; the root's is -1."""
    stack = [(0 if len(tree.feature) else -1, -1, False)]
    while stack:
        node, parent, left = stack.pop()
        visit(node, parent, left)
        if node >= 0:
            stack.append((int(tree.right[node]), node, False))
            stack.append((int(tree.left[node]), node, True))
