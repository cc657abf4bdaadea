"""Linear models and trees: attributions sum to the raw score, fits are repeatable, damage is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from tocsin.methods import linear, trees
from tocsin.methods.reasons import strongest

N, K = 600, 6


def _rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.lognormal(1, 1.5, (N, K)) * rng.choice([-1, 1], (N, K))
    y = rng.random(N) < 1 / (1 + np.exp(3 - linear.compressed(x[:, 0]) * 2))
    x[rng.random((N, K)) < 0.1] = np.nan
    return x, y


MODELS = {
    "linear": linear.fit("linear", *_rows()),
    "logistic": linear.fit("logistic", *_rows()),
    "trees": trees.fit(*_rows(), rounds=30, bags=2),
}
CELL = st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")))


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(CELL, min_size=K, max_size=K), min_size=1, max_size=5))
def test_attributions_sum_to_the_raw_score(name: str, rows: list[list[float]]) -> None:
    """For any row, whatever is missing or absurd, within 1e-6."""
    x = np.array(rows)
    model = MODELS[name]
    assert model.contributions(x).sum(axis=1) == pytest.approx(model.raw(x), abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_row_is_scored_alone_as_among_others(name: str) -> None:
    """No row looks at another: one by one, reversed or together, to the last bit."""
    x, _ = _rows(1)
    model = MODELS[name]
    together = model.raw(x)
    assert np.array_equal(model.raw(x[::-1])[::-1], together)
    assert np.array_equal(np.concatenate([model.raw(row[None]) for row in x[:50]]), together[:50])


def test_linear_fits_agree_with_scikit_learn() -> None:
    """The fitted parameters are those of the plain learners on the standardised rows."""
    x, y = _rows()
    for kind, rival in (("linear", Ridge(1.0)), ("logistic", LogisticRegression(C=1.0, max_iter=500))):
        model = linear.fit(kind, x, y)
        z = linear.standardised(x, np.array(model.means), np.array(model.scales))
        rival.fit(z, y.astype(float))
        assert np.ravel(rival.coef_) == pytest.approx(np.array(model.weights), abs=2e-3)


def test_a_weight_counts_like_repeated_rows() -> None:
    """Thinned rows with weights give the model of the full rows."""
    x, y = _rows()
    twice = linear.fit("logistic", np.vstack([x, x]), np.concatenate([y, y]))
    weighted = linear.fit("logistic", x, y, np.full(N, 2.0))
    assert np.array(weighted.weights) == pytest.approx(np.array(twice.weights), abs=1e-3)


def test_the_same_seed_gives_the_same_trees() -> None:
    """Training is repeatable; another seed gives other trees."""
    one, two = (trees.fit(*_rows(), rounds=5, seed=4) for _ in range(2))
    assert one.texts == two.texts
    assert one.texts != trees.fit(*_rows(), rounds=5, seed=5).texts


def test_damaged_models_are_refused() -> None:
    """Cut-off text, wrong width, parameters that do not belong together."""
    text = MODELS["trees"].texts[0]
    with pytest.raises(ValueError, match="cut off"):
        trees.Trees(texts=(text[: len(text) // 2],), features=K)
    with pytest.raises(ValueError, match="features"):
        trees.Trees(texts=(text,), features=K + 1)
    with pytest.raises(ValueError, match="one weight"):
        linear.Linear(kind="linear", weights=(1.0,), means=(0.0, 0.0), scales=(1.0, 1.0), intercept=0.0)
    with pytest.raises(ValueError, match="both classes"):
        trees.fit(np.zeros((4, 1)), np.zeros(4, bool))


def test_the_strongest_groups_explain() -> None:
    """Contributions of one group are added; what lowers the score or hardly raises it is no reason."""
    parts, groups = np.array([0.6, 0.6, 1.0, -2.0, 0.01]), np.array([3, 3, 1, 0, 2])
    assert strongest(parts, groups) == [3, 1]
    assert strongest(-np.abs(parts), groups) == []
