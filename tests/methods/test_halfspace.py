"""Half-space trees: the plain reading of the paper, bit for bit, however the stream is cut; anomalies stand out."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.methods.evaluation import roc_auc
from tocsin.methods.halfspace import SPARSE, HalfSpace, _built, _compressed


class Node:
    """One node of the twin, as the paper draws it."""

    def __init__(self, tree: int, number: int, dims: np.ndarray, splits: np.ndarray) -> None:
        self.before = self.latest = 0
        self.inner = number < dims.shape[1]
        if self.inner:
            self.dim, self.split = int(dims[tree, number]), float(splits[tree, number])
            self.below = Node(tree, 2 * number + 1, dims, splits)
            self.above = Node(tree, 2 * number + 2, dims, splits)

    def turn(self) -> None:
        """A window is full: what was counted becomes the reference."""
        self.before, self.latest = self.latest, 0
        if self.inner:
            self.below.turn()
            self.above.turn()


def twin(x: np.ndarray, trees: int, depth: int, window: int, seed: int) -> list[float]:
    """Return the scores by recursion over nodes, one row after the other."""
    values = _compressed(x)
    scores = [float("nan")] * min(window, len(x))
    if len(x) < window:
        return scores
    dims, splits = _built(values[:window], trees, depth, seed)
    roots = [Node(tree, 0, dims, splits) for tree in range(trees)]

    def learn(node: Node, row: np.ndarray) -> None:
        node.latest += 1
        if node.inner:
            learn(node.above if row[node.dim] >= node.split else node.below, row)

    def mass(node: Node, row: np.ndarray, depth: int) -> float:
        if not node.inner or node.before <= SPARSE * window:
            return node.before * 2.0**depth
        return mass(node.above if row[node.dim] >= node.split else node.below, row, depth + 1)

    for number, row in enumerate(values):
        if number and number % window == 0:
            for root in roots:
                root.turn()
        if number >= window:
            scores.append(1.0 / (1.0 + sum(mass(root, row, 0) for root in roots) / (trees * window)))
        for root in roots:
            learn(root, row)
    return scores


def stream(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of drifting clusters with 2 % anomalies between and beyond them."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 8, (3, k))
    x = centres[rng.integers(0, 3, n)] + rng.normal(0, 0.4, (n, k)) + np.linspace(0, 1, n)[:, None]
    odd = rng.random(n) < 0.02
    x[odd] = rng.uniform(-2, 12, (int(odd.sum()), k))
    return np.sinh(x), odd


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(2, 40),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_any_cut_gives_the_twin_s_scores(seed: int, k: int, depth: int, window: int, cuts: list[int]) -> None:
    """Bit-equal to the recursion, with missing and infinite values; cut anywhere, through state and back."""
    rng = np.random.default_rng(seed)
    x, _ = stream(160, k, seed)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < 0.02] = np.inf
    want = np.array(twin(x, 3, depth, window, seed))
    whole = HalfSpace(k, trees=3, depth=depth, window=window, seed=seed)
    assert np.array_equal(whole.step(x), want, equal_nan=True)
    pieces, one = [], HalfSpace(k, trees=3, depth=depth, window=window, seed=seed)
    for piece in np.split(x, sorted(min(cut, 160) for cut in cuts)):
        again = HalfSpace(k, trees=3, depth=depth, window=window, seed=seed)
        again.restore(one.state())
        assert again.digest() == one.digest()
        one = again
        pieces.append(one.step(piece))
    assert np.array_equal(np.concatenate(pieces), want, equal_nan=True)
    assert one.digest() == whole.digest()


def test_anomalies_score_higher() -> None:
    """On drifting clusters the area under the curve is above 0.9, after the first window."""
    x, odd = stream(5000, 4, 1)
    scores = HalfSpace(4, seed=1).step(x)
    assert np.isnan(scores[:250]).all() and not np.isnan(scores[250:]).any()
    assert np.all((scores[250:] >= 0) & (scores[250:] <= 1))
    assert roc_auc(odd[250:], scores[250:]) > 0.9


@pytest.mark.skipif(importlib.util.find_spec("river") is None, reason="river is not installed")
def test_as_good_as_river() -> None:
    """On the same stream, compressed and scaled for it, river's half-space trees are not better by more than 0.02."""
    from river import anomaly, preprocessing

    x, odd = stream(5000, 4, 1)
    rival = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=25, height=10, window_size=250, seed=1)
    theirs = np.zeros(len(x))
    for number, row in enumerate(np.arcsinh(x)):
        named = dict(enumerate(row.tolist()))
        theirs[number] = rival.score_one(named)
        rival.learn_one(named)
    ours = HalfSpace(4, seed=1).step(x)
    assert roc_auc(odd[250:], ours[250:]) > roc_auc(odd[250:], theirs[250:]) - 0.02


def test_the_seed_makes_the_trees() -> None:
    """The same seed gives the same scores, another one others."""
    x, _ = stream(600, 3, 2)
    one, two, other = (HalfSpace(3, seed=seed).step(x) for seed in (5, 5, 6))
    assert np.array_equal(one, two, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)


def test_what_does_not_fit_is_refused() -> None:
    """Rows of another width, a state of other trees, no features."""
    trees = HalfSpace(2, trees=3, depth=2, window=10)
    with pytest.raises(ValueError, match="2 features"):
        trees.step(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="other half-space"):
        trees.restore(HalfSpace(2, trees=3, depth=3, window=10).state())
    with pytest.raises(ValueError, match="need a feature"):
        HalfSpace(0)
