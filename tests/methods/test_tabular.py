"""Models of a plain table, and the score without labels."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.methods import anomaly, tabular
from tocsin.methods.encoding import Feature
from tocsin.methods.tabular import BOOSTING, CHANCE, LINEAR, LOGISTIC, MODELS, SINGLE, compare, fit_all


def table(n: int = 600, seed: int = 0) -> tuple[list[Feature], np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    amount = random.lognormal(4, 1, n)
    gaps = random.random(n) < 0.05
    kind = random.choice(["browse", "buy", "refund"], n, p=[0.6, 0.3, 0.1])
    account = random.integers(0, 80, n).astype(str).astype(object)
    z = -4 + 3 * (amount > 200) + 3 * (kind == "refund")
    y = random.random(n) < 1 / (1 + np.exp(-z))
    amount[gaps] = np.nan
    features = [
        Feature(name="amount", kind="number", values=amount),
        Feature(name="kind", kind="category", values=kind.astype(object)),
        Feature(name="account", kind="key", values=account),
    ]
    return features, y, np.arange(float(n))


@pytest.mark.parametrize("kind", MODELS)
def test_attributions_sum_to_the_raw_score(kind: str) -> None:
    features, y, at = table()
    model = fit_all(features, y, at, False, 0)[0][kind]
    parts, base = model.contributions(features, at)
    assert np.abs(parts.sum(axis=1) + base - model.raw(features, at)).max() < 1e-6
    assert parts.shape == (600, 3)


def test_models_beat_chance_where_there_is_something_to_learn() -> None:
    features, y, at = table(1200)
    comparison = compare(features, y, at)
    figures = comparison.figures
    assert comparison.scheme == "stratified"
    assert figures[CHANCE]["ap"][0] == pytest.approx(y.mean(), abs=0.02)
    assert max(figures[kind]["ap"][0] for kind in (LINEAR, LOGISTIC, BOOSTING)) > 2 * figures[CHANCE]["ap"][0]
    assert figures[LOGISTIC]["log_likelihood"][0] > figures[CHANCE]["log_likelihood"][0]
    assert comparison.folds[0].models[SINGLE].column != ""
    assert comparison.chosen()[0] in (LINEAR, LOGISTIC, BOOSTING)


def test_the_same_rows_and_seed_give_the_same_figures() -> None:
    features, y, at = table(300)
    assert compare(features, y, at, seed=3).per_fold == compare(features, y, at, seed=3).per_fold


def test_folds_follow_time_and_never_train_on_later_rows() -> None:
    features, y, at = table(900)
    time = at.astype(np.int64)
    comparison = compare(features, y, at, time=time)
    assert comparison.scheme == "time-ordered"
    scheme, folds = tabular.folds_of(y, time, 0)
    assert scheme == "time-ordered"
    assert all(time[train].max() < time[test].min() for train, test in folds)


def test_positives_in_one_stretch_of_time_only_fall_back_to_stratified_folds() -> None:
    y = np.zeros(400, bool)
    y[390:] = True
    assert tabular.folds_of(y, np.arange(400), 0)[0] == "stratified"


def test_unusual_rows_rank_first_and_their_parts_sum_to_the_score() -> None:
    features, _, at = table(500)
    features[0].values[7] = 1e6
    score = anomaly.fit(features, at, seed=0)
    parts = score.parts(features, at)
    raw = parts.sum(axis=1)
    assert int(np.argmax(raw)) == 7
    assert int(np.argmax(parts[7])) == 0
    assert raw[7] > score.limit
    assert (raw > score.limit).mean() <= anomaly.MOST_FLAGGED + 1e-9
    assert 0.0 <= score.ranks(raw).min() <= score.ranks(raw).max() <= 1.0
