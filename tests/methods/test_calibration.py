"""Calibration keeps the order of the scores and finds known curves again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from tocsin.methods.calibration import KINDS, Calibration, choose, fit, isotonic


def _sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    raw = rng.normal(-2, 2, n)
    return raw, rng.random(n) < expit(0.5 * raw - 1)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 1000))
def test_a_higher_raw_score_never_gets_a_lower_probability(kind: str, seed: int) -> None:
    """Monotone for every kind, strictly so for Platt's and the isotonic one, and inside (0, 1)."""
    raw, y = _sample(300, seed)
    p = fit(kind, raw, y)(np.linspace(-12, 12, 400))
    steps = np.diff(p)
    assert (steps >= 0).all()
    assert ((p > 0) & (p < 1)).all()
    if kind != "beta":
        assert (steps > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_known_probabilities_are_found_again(kind: str) -> None:
    """With 20,000 rows drawn from expit(0.5 raw - 1) the fitted curve is within 0.03 of it."""
    raw, y = _sample(20_000, 1)
    grid = np.linspace(-5, 2, 30)
    assert np.abs(fit(kind, raw, y)(grid) - expit(0.5 * grid - 1)).max() < 0.03


def test_isotonic_levels_agree_with_scikit_learn() -> None:
    """Pool adjacent violators, weighted, with tied scores."""
    rng = np.random.default_rng(2)
    raw, weight = rng.integers(0, 40, 300).astype(float), rng.integers(1, 5, 300).astype(float)
    y = rng.random(300) < raw / 50
    x, levels = isotonic(raw, y, weight)
    rival = IsotonicRegression().fit(raw, y, sample_weight=weight)
    assert np.interp(raw, x, levels) == pytest.approx(rival.predict(raw))


def test_the_kind_is_chosen_on_held_out_rows() -> None:
    """Where the truth is a step, isotonic regression wins over the two smooth curves."""
    rng = np.random.default_rng(3)
    raw = rng.normal(0, 2, 8000)
    y = rng.random(8000) < np.where(raw > 1, 0.3, np.where(raw > -1, 0.28, 0.01))
    chosen, figures = choose(raw, y)
    assert chosen.kind == "isotonic"
    assert set(figures) == set(KINDS)


def test_parameters_that_would_break_the_order_are_refused() -> None:
    """A falling slope or crossing knots never become a calibration."""
    with pytest.raises(ValueError, match="positive slope"):
        Calibration(kind="platt", slope=-1.0, offset=0.0)
    with pytest.raises(ValueError, match="ascend"):
        Calibration(kind="isotonic", slope=1.0, offset=0.0, knots_x=(0.0, 1.0), knots_y=(0.5, 0.4))
    with pytest.raises(ValueError, match="both classes"):
        fit("platt", np.arange(3.0), np.zeros(3, bool))
