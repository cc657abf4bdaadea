"""Measures agree with scikit-learn and with numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

from tocsin.methods.evaluation import (
    average_precision,
    card_precision,
    forward_folds,
    log_likelihood,
    mean_squared_error,
    recall_at_fpr,
    roc_auc,
)

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=80).filter(
    lambda rows: len({y for y, _ in rows}) == 2
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_ranking_measures_agree_with_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    """AUC, average precision and recall at a false-positive rate, ties included."""
    y = np.array([harm for harm, _ in rows])
    score = np.array([value / 20 for _, value in rows])
    assert roc_auc(y, score) == pytest.approx(roc_auc_score(y, score))
    assert average_precision(y, score) == pytest.approx(average_precision_score(y, score))
    fpr, tpr, _ = roc_curve(y, score, drop_intermediate=False)
    assert recall_at_fpr(y, score, 0.1) == pytest.approx(tpr[fpr <= 0.1].max())


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_probability_measures_agree_with_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    """Brier score and log-likelihood."""
    y = np.array([harm for harm, _ in rows])
    p = np.array([0.01 + value / 21 for _, value in rows])
    assert mean_squared_error(y, p) == pytest.approx(brier_score_loss(y, p))
    assert log_likelihood(y, p) == pytest.approx(-log_loss(y, p))


def test_one_class_alone_has_no_ranking() -> None:
    """With one class only the measures are NaN instead of a flattering number."""
    y, score = np.zeros(3, bool), np.arange(3.0)
    assert np.isnan([roc_auc(y, score), average_precision(y, score), recall_at_fpr(y, score)]).all()


def test_card_precision_by_hand() -> None:
    """Two days, two checks a day: day one finds card 1 of (1, 2), day two lists (3, 2) without 1 and finds both."""
    day = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    card = np.array([1, 1, 2, 3, 1, 2, 3, 4])
    y = np.array([False, True, False, True, True, True, True, False])
    score = np.array([0.9, 0.1, 0.8, 0.2, 0.99, 0.5, 0.6, 0.1])
    assert card_precision(day, card, y, score, k=2) == pytest.approx((0.5 + 1.0) / 2)


def test_folds_go_forward_with_a_gap() -> None:
    """Every training row is older than the test slice by more than the gap, and equal times stay together."""
    time = np.repeat(np.arange(50), 3)[np.random.default_rng(0).permutation(150)]
    seen: list[int] = []
    for train, test in forward_folds(time, 4, gap=5):
        assert time[train].max() < time[test].min() - 5
        assert set(time[test]).isdisjoint(seen)
        seen.extend(set(time[test]))
    assert max(seen) == 49
