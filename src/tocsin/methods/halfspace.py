"""Half-space trees: how unusual a row is among the rows just before it, learned as they come, without labels.

A tree halves, at random, one feature's range per node; all it learns is how many rows of the last window came past each
node. A row's density is the mean over the trees of r 2^d / w, where r of the w rows of the last full window came
past the node of depth d at which the row's walk ends: at the greatest depth, or from ``SPARSE`` of the window on. The
score is 1 / (1 + density): 1 where no row was near, 1/2 where rows lie as if thrown evenly, near 0 in the crowd.

A row is scored before it is learned. Ranges are those of the first window, which is not scored (NaN). A number enters
as sign(x) log2(1 + |x|), interpolated between powers of two, so that counts and money of any size stay near each other;
a missing one lies below every split.

Reference: Tan, Ting and Liu, "Fast anomaly detection for streaming data", IJCAI 2011; here with scores in [0, 1].
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from tocsin.methods.kernels import kernel

if TYPE_CHECKING:
    from collections.abc import Mapping

SPARSE = 0.1
"""A node that at most this share of the last window came past ends the walk (the paper's size limit)."""


class HalfSpace:
    """Half-space trees over k features; the same rows in the same order give the same scores, however they are cut.

    Parameters
    ----------
    features
        k, at least 1.
    trees, depth, window
        As in the paper: more trees are steadier, deeper ones finer; the window is in rows.
    seed
        The same seed gives the same trees.
    """

    def __init__(self, features: int, *, trees: int = 25, depth: int = 10, window: int = 250, seed: int = 0) -> None:
        if not (features >= 1 and trees >= 1 and 1 <= depth <= 20 and window >= 2):
            raise ValueError("half-space trees need a feature, a tree, a depth from 1 to 20 and a window of two rows")
        self.features, self.trees, self.depth, self.window, self.seed = features, trees, depth, window, seed
        self._seen = 0
        self._first = np.zeros((window, features))
        self._ready = False
        self._dims = np.zeros((trees, 2**depth - 1), np.int64)
        self._splits = np.zeros((trees, 2**depth - 1))
        self._mass = np.zeros((2, trees, 2 ** (depth + 1) - 1), np.int32)

    def step(self, x: np.ndarray) -> np.ndarray:
        """Score rows [n, k], NaN where a value is missing, then learn them: float64 [n] in [0, 1], NaN at first."""
        x = np.atleast_2d(np.asarray(x, np.float64))
        if x.shape[1] != self.features:
            raise ValueError(f"the trees read {self.features} features, not {x.shape[1]}")
        values = _compressed(x)
        scores = np.full(len(values), np.nan)
        start = 0
        if not self._ready:
            start = min(self.window - self._seen, len(values))
            self._first[self._seen : self._seen + start] = values[:start]
            self._seen += start
            if self._seen < self.window:
                return scores
            self._begin()
        limit = SPARSE * self.window
        self._seen = int(
            _step(values[start:], self._dims, self._splits, self._mass, self._seen, self.window, limit, scores[start:])
        )
        return scores

    def _begin(self) -> None:
        """Build the trees over the ranges of the first window and let it be the window before."""
        self._dims, self._splits = _built(self._first, self.trees, self.depth, self.seed)
        self._ready = True
        self._seen = int(
            _step(self._first, self._dims, self._splits, self._mass, 0, self.window, -1.0, np.empty(self.window))
        )
        self._first = np.zeros((0, self.features))

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all that is learned; ``restore`` takes it."""
        return {
            "counts": np.array([self._seen, int(self._ready), self.window, self.seed % 2**63], np.int64),
            "first": self._first[: self._seen].copy() if not self._ready else np.zeros((0, self.features)),
            "dims": self._dims.copy(),
            "splits": self._splits.copy(),
            "mass": self._mass.copy(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take up a state; ValueError where it is one of other trees."""
        shapes = {"counts": (4,), "dims": self._dims.shape, "splits": self._splits.shape, "mass": self._mass.shape}
        if any(name not in state or state[name].shape != shape for name, shape in shapes.items()):
            raise ValueError("the state is one of other half-space trees")
        if state["counts"][2:].tolist() != [self.window, self.seed % 2**63]:
            raise ValueError("the state is one of other half-space trees")
        first = np.asarray(state.get("first", np.zeros((0, self.features))), np.float64)
        self._seen, self._ready = int(state["counts"][0]), bool(state["counts"][1])
        if first.shape[1:] != (self.features,) or (not self._ready and len(first) != self._seen):
            raise ValueError("the state is one of other half-space trees")
        self._first = np.zeros((0 if self._ready else self.window, self.features))
        self._first[: len(first)] = first
        self._dims, self._splits = np.array(state["dims"], np.int64), np.array(state["splits"], np.float64)
        self._mass = np.array(state["mass"], np.int32)

    def digest(self) -> str:
        """Return the hash of the state."""
        found = hashlib.blake2b(digest_size=16)
        for name, array in self.state().items():
            found.update(f"{name} {array.dtype} {array.shape} ".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def _compressed(x: np.ndarray) -> np.ndarray:
    """Return sign(x) log2(1 + |x|) with straight lines between powers of two: exact integer work, equal in any batch.

    >>> _compressed(np.array([0.0, 1.0, -3.0, 2.0])).tolist()
    [0.0, 1.0, -2.0, 1.5]
    """
    bits = np.ascontiguousarray(np.abs(x) + 1.0).view(np.int64) - (1023 << 52)
    return np.where(np.isnan(x), np.nan, np.copysign(bits * 2.0**-52, x))


def _mixed(z: np.ndarray) -> np.ndarray:
    """Return SplitMix64 of uint64 (Steele, Lea and Flood, 2014): randomness that no library's version changes."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def _built(first: np.ndarray, trees: int, depth: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (feature, split) of every inner node of every tree, [trees, 2^depth - 1] each, children at 2i + 1, 2i + 2.

    A tree's range of a feature is drawn around a point s in the observed range [a, b]: s - r to s + r with
    r = 2 max(s - a, b - s), so that rows beyond what was seen have room.
    """
    k = first.shape[1]
    present = ~np.isnan(first)
    low = np.where(present.any(axis=0), np.min(np.where(present, first, np.inf), axis=0), 0.0)
    high = np.where(present.any(axis=0), np.max(np.where(present, first, -np.inf), axis=0), 0.0)
    high = np.where(high > low, high, low + 1.0)
    root = _mixed(np.arange(trees, dtype=np.uint64) + _mixed(np.array([seed % 2**64], np.uint64)))
    draws = _mixed(root[:, None] + np.arange(1, k + 1, dtype=np.uint64))
    centre = low + (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53 * (high - low)
    reach = 2.0 * np.maximum(centre - low, high - centre)
    bottom, top = (centre - reach)[:, None, :], (centre + reach)[:, None, :]
    dims, splits = np.zeros((trees, 2**depth - 1), np.int64), np.zeros((trees, 2**depth - 1))
    for level in range(depth):
        at = np.arange(2**level - 1, 2 ** (level + 1) - 1)
        draw = _mixed(root[:, None] + (at + 1 + k).astype(np.uint64)) % np.uint64(k)
        chosen = draw.astype(np.int64)
        middle = (bottom + top) / 2
        dims[:, at] = chosen
        splits[:, at] = np.take_along_axis(middle, chosen[:, :, None], axis=2)[:, :, 0]
        halved = np.arange(k) == chosen[:, :, None]
        below, above = np.where(halved, middle, top), np.where(halved, middle, bottom)
        bottom = np.stack([bottom, above], axis=2).reshape(trees, -1, k)
        top = np.stack([below, top], axis=2).reshape(trees, -1, k)
    return dims, splits


@kernel
def _step(
    x: np.ndarray,
    dims: np.ndarray,
    splits: np.ndarray,
    mass: np.ndarray,
    seen: int,
    window: int,
    limit: float,
    scores: np.ndarray,
) -> int:
    """Score and learn rows in their order; return the new count of rows seen.

    ``mass`` int32 [2, trees, nodes]: rows of odd and of even windows that came past each node; the one not being filled
    is the reference, and is cleared when its turn comes.
    """
    trees, inner = dims.shape
    for row in range(len(x)):
        filling = (seen // window) % 2
        if seen % window == 0:
            mass[filling] = 0
        total = 0.0
        for tree in range(trees):
            node, weight, ended = 0, 1.0, False
            while True:
                came = mass[1 - filling, tree, node]
                mass[filling, tree, node] += 1
                if not ended and (came <= limit or node >= inner):
                    total += came * weight
                    ended = True
                if node >= inner:
                    break
                above = x[row, dims[tree, node]] >= splits[tree, node]
                node = 2 * node + (2 if above else 1)
                weight *= 2.0
        scores[row] = 1.0 / (1.0 + total / (trees * window))
        seen += 1
    return seen


def warm() -> None:
    """Compile the kernel (or load it from the cache) with the types that it is called with."""
    HalfSpace(1, trees=1, depth=1, window=2).step(np.arange(3.0)[:, None])
