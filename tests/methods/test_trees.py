"""Compiled trees: the library's own scores to the last bit, whatever the model and the row; damage is refused."""

from __future__ import annotations

import threading
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.methods import trees
from tocsin.methods.trees_forest import FEW, MANY, Forest

ODD = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-35, -1e-35, 1.0000000180025095e-35, -1.0000000180025095e-35])
ODDER = np.array(
    [1e-40, -1e-40, 2e-35, 1e35, -1e35, 1e300, -1e300, 1.0000000000000001e300, 3e9, -3e9, 2**31, -0.5, 0.9]
)
STRANGE = np.concatenate([ODD, ODDER])
K = 5


def booster(seed: int) -> tuple[lightgbm.Booster, np.ndarray]:
    """Return a small random model and its rows: any kind of boosting, missing handling and column."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(80, 400))
    x = rng.normal(size=(n, K)) * rng.choice([1e-35, 1.0, 1.0, 100.0, 1e35], K)
    x[:, 1] = rng.integers(-2, 4, n)
    x[:, 4] = rng.integers(0, int(rng.integers(2, 80)), n)
    for column in range(K):
        x[rng.random(n) < rng.choice([0.0, 0.1, 0.4]), column] = rng.choice([np.nan, 0.0])
    if rng.random() < 0.3:
        x[rng.random(n) < 0.1, 2] = rng.choice(STRANGE)
    truth = np.nan_to_num(x[:, 0] / np.nanmax(np.abs(x[:, 0]) + 1e-300)) + (x[:, 1] == 0) + np.sin(x[:, 4])
    truth = np.nan_to_num(truth) + np.isnan(x[:, 3]) + rng.normal(0, 0.3, n)
    classes = int(rng.choice([1, 1, 1, 3]))
    chosen: dict[str, Any] = {
        "objective": "multiclass" if classes > 1 else str(rng.choice(["binary", "regression"])),
        "num_leaves": int(rng.integers(2, 20)),
        "min_data_in_leaf": int(rng.integers(1, 20)),
        "boosting": str(rng.choice(["gbdt", "gbdt", "dart", "rf"])),
        "bagging_freq": 1,
        "bagging_fraction": 0.7,
        "zero_as_missing": bool(rng.random() < 0.3),
        "use_missing": bool(rng.random() < 0.8),
        "seed": seed,
        "num_threads": 1,
        "verbose": -1,
        "min_data_per_group": 5,
        "cat_smooth": 1.0,
        "max_cat_to_onehot": int(rng.choice([1, 4])),
    }
    y = np.digitize(truth, np.quantile(truth, [1 / 3, 2 / 3])).astype(float) if classes > 1 else truth
    if classes > 1:
        chosen["num_class"] = 3
    elif chosen["objective"] == "binary":
        y = (truth > np.median(truth)).astype(float)
    categories: Any = [4] if rng.random() < 0.6 else []
    data = lightgbm.Dataset(x, y, categorical_feature=categories, params=chosen)
    return lightgbm.train(chosen, data, num_boost_round=int(rng.integers(1, 8))), x


def asked(x: np.ndarray, seed: int) -> np.ndarray:
    """Return rows with values that no training row had, and every strange one."""
    rng = np.random.default_rng(seed + 1)
    rows = x[rng.integers(0, len(x), 60)].copy()
    strange = rng.random(rows.shape) < 0.3
    rows[strange] = rng.choice(STRANGE, int(strange.sum()))
    rows[-4:, 4] = [-1.0, 31.0, 32.0, 500.0]
    return rows


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31))
def test_any_model_gives_the_library_s_scores_to_the_last_bit(seed: int) -> None:
    """Missing types, default directions, sets of categories, classes, rf and dart; rows alone and together."""
    model, x = booster(seed)
    rows = asked(x, seed)
    text = model.model_to_string()
    want = np.asarray(lightgbm.Booster(model_str=text).predict(rows, raw_score=True, num_threads=1))
    forest = Forest([text])
    assert np.array_equal(forest.raw(rows), want)
    assert np.array_equal(np.concatenate([forest.raw(rows[at : at + FEW]) for at in range(0, len(rows), FEW)]), want)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31))
def test_contributions_are_the_library_s(seed: int) -> None:
    """Exact TreeSHAP within 1e-9 of a row's largest part (1e-14 as a rule), classes and sets of categories too."""
    model, x = booster(seed)
    rows = asked(x, seed)
    text = model.model_to_string()
    want = np.asarray(lightgbm.Booster(model_str=text).predict(rows, pred_contrib=True, num_threads=1))
    got = Forest([text]).contributions(rows).reshape(want.shape)
    assert np.all(np.abs(got - want) <= 1e-9 * np.abs(want).max(axis=1, keepdims=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_leaving_early_answers_as_the_score_would(seed: int, place: float) -> None:
    """Whether a score exceeds a limit is the comparison's own answer, at a score, beside it, and per row."""
    (one, x), (two, _) = booster(seed), booster(seed)
    rows = asked(x, seed)
    forest = Forest([one.model_to_string(), two.model_to_string()])
    if forest.classes > 1:
        with pytest.raises(ValueError, match="several classes"):
            forest.may_exceed(rows, 0.0)
        return
    raw = forest.raw(rows)
    limit = float(np.quantile(raw, place, method="nearest"))
    for beside in (limit, np.nextafter(limit, np.inf), np.nextafter(limit, -np.inf), np.inf, -np.inf):
        assert np.array_equal(forest.may_exceed(rows, beside), raw > beside)
    assert np.array_equal(forest.may_exceed(rows, raw), np.zeros(len(rows), bool))
    assert forest.may_exceed(rows, np.nextafter(raw, -np.inf)).all()


def test_contributions_along_deep_paths_of_many_features() -> None:
    """More features on one path than one pass of quadrature points can integrate; still within 1e-9."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(3000, 40))
    chosen = {"num_leaves": 200, "min_data_in_leaf": 2, "feature_fraction_bynode": 0.1, "verbose": -1, "seed": 1}
    text = lightgbm.train(chosen, lightgbm.Dataset(x, x.sum(axis=1)), 4).model_to_string()
    forest = Forest([text])
    want = np.asarray(lightgbm.Booster(model_str=text).predict(x[:50], pred_contrib=True))
    assert np.all(np.abs(forest.contributions(x[:50]) - want) <= 1e-9 * np.abs(want).max(axis=1, keepdims=True))
    assert forest.contributions(x[:50]).sum(axis=1) == pytest.approx(forest.raw(x[:50]), abs=1e-12)


def test_trees_of_one_leaf_say_their_value() -> None:
    """A constant target grows no split: the base carries everything."""
    x = np.random.default_rng(7).normal(size=(100, K))
    text = lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, np.full(100, 3.0)), 2).model_to_string()
    forest = Forest([text])
    assert np.array_equal(forest.raw(x), np.asarray(lightgbm.Booster(model_str=text).predict(x, raw_score=True)))
    parts = forest.contributions(x)
    assert not parts[:, :-1].any()
    assert np.array_equal(parts[:, -1], forest.raw(x))


def test_nothing_to_walk_is_no_error() -> None:
    """A model without trees says 0, a batch without rows nothing; rows that are read-only or of integers are taken."""
    x = np.random.default_rng(8).normal(size=(50, K))
    text = lightgbm.Booster({"verbose": -1}, lightgbm.Dataset(x, x[:, 0])).model_to_string()
    empty = Forest([text])
    assert not empty.raw(x).any() and not empty.contributions(x).any() and not empty.may_exceed(x, 0.0).any()
    forest = Forest([booster(5)[0].model_to_string()])
    assert forest.raw(x[:0]).shape[0] == forest.contributions(x[:0]).shape[0] == 0
    whole = np.round(x)
    want = forest.raw(whole)
    whole.setflags(write=False)
    assert np.array_equal(forest.raw(whole), want)
    assert np.array_equal(forest.raw(np.asfortranarray(whole)), want)
    assert np.array_equal(forest.raw(whole.astype(np.int64)), want)


def test_a_large_batch_is_cut_for_the_cores_and_stays_the_same() -> None:
    """More rows than one thread takes: the same scores in the same order."""
    model, x = booster(3)
    rows = np.tile(x, (MANY // len(x) + 1, 1))
    forest = Forest([model.model_to_string()])
    assert np.array_equal(forest.raw(rows)[: len(x)], forest.raw(x))
    assert np.array_equal(forest.raw(rows), np.asarray(model.predict(rows, raw_score=True, num_threads=1)))


def test_a_bag_is_the_mean_of_its_boosters() -> None:
    """Each booster has its own sum, added in order, then divided: as the library's sums would be."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, K))
    bag = trees.fit(x, x[:, 0] + rng.normal(0, 0.5, 400) > 0.5, rounds=10, bags=3)
    total = np.zeros(400)
    for each in bag.boosters:
        total += np.asarray(each.predict(x, raw_score=True))
    assert np.array_equal(bag.raw(x), total / 3)


def test_what_cannot_be_walked_is_refused() -> None:
    """Linear trees, text cut off, links in a circle, a feature or a set that is not there, rows of another width."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, K))
    linear = lightgbm.train(
        {"linear_tree": True, "verbose": -1}, lightgbm.Dataset(x, x[:, 0], params={"linear_tree": True}), 2
    )
    with pytest.raises(ValueError, match="linear trees"):
        Forest([linear.model_to_string()])
    text = lightgbm.train({"verbose": -1, "num_leaves": 4}, lightgbm.Dataset(x, x[:, 0]), 2).model_to_string()
    with pytest.raises(ValueError, match="cut off"):
        Forest([text[: text.index("end of trees")]])
    line = next(line for line in text.split("\n") if line.startswith("left_child="))
    with pytest.raises(ValueError, match="links"):
        Forest([text.replace(line, "left_child=0 0 0")])
    line = next(line for line in text.split("\n") if line.startswith("split_feature="))
    with pytest.raises(ValueError, match="feature that is not there"):
        Forest([text.replace(line, "split_feature=0 99 0")])
    with pytest.raises(ValueError, match="entries"):
        Forest([text.replace(line, "split_feature=0 1")])
    with pytest.raises(ValueError, match="boosters"):
        Forest([])
    with pytest.raises(ValueError, match="5 features"):
        Forest([text]).raw(x[:, :3])


def test_models_swapped_under_load_never_mix() -> None:
    """While a thread scores, another publishes and rolls back: each answer is one model's own, to the last bit."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(500, K))
    y = x[:, 0] + rng.normal(0, 0.3, 500) > 0.3
    models = [trees.fit(x, y, rounds=20, seed=seed) for seed in range(3)]
    want = [model.raw(x) for model in models]
    live = [models[0]]
    done = threading.Event()
    seen: list[np.ndarray] = []

    def score() -> None:
        while not done.is_set():
            seen.append(live[0].raw(x))

    thread = threading.Thread(target=score)
    thread.start()
    for turn in range(60):
        live[0] = models[turn % 3] if turn % 2 else trees.Trees(texts=models[turn % 3].texts, features=K)
    live[0] = models[0]
    done.set()
    thread.join()
    assert seen
    assert all(any(np.array_equal(raw, each) for each in want) for raw in seen)
    assert np.array_equal(live[0].raw(x), want[0])
