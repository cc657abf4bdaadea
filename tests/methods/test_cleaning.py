"""Cleaning of a column is chosen and fitted on training rows alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.methods.cleaning import Fill, Filter, Scale, fit, hampel_bounds
from tocsin.methods.encoding import Feature, fit_encoder


def column(seed: int, n: int = 200, missing: float = 0.1) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.lognormal(2, 1, n)
    x[random.random(n) < missing] = np.nan
    return x


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_held_out_rows_never_change_a_fit(seed: int, other: int) -> None:
    """The encoder fitted on training rows is the same whatever the held-out rows hold."""
    random = np.random.default_rng(seed)
    y = random.random(300) < 0.2
    train = np.arange(300) < 200
    at = np.arange(300.0)

    def fitted(held_out: np.ndarray, words: str) -> object:
        x = np.concatenate([column(seed), held_out])
        kinds = np.array([*random_words(seed, 200), *([words] * 100)], object)
        features = [Feature(name="x", kind="number", values=x), Feature(name="w", kind="category", values=kinds)]
        return fit_encoder([f.rows(train) for f in features], at[train], y[train], ordered=True, seed=1)

    assert fitted(column(other, 100), "a") == fitted(np.full(100, 1e9), "z")


def random_words(seed: int, n: int) -> list[str]:
    return list(np.random.default_rng(seed).choice(["a", "b", "c"], n))


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_cleaned_column_has_no_gap_and_one_size(seed: int, ordered: bool) -> None:
    x = column(seed)
    y = (np.random.default_rng(seed + 1).random(len(x)) < 0.2).astype(float)
    cleaner = fit(x, np.arange(200.0), y, ordered=ordered)
    cleaned = cleaner.apply(x, np.arange(200.0))
    assert np.isfinite(cleaned).all()
    assert np.abs(cleaned).mean() < 20


def test_neighbours_are_used_only_where_rows_are_ordered_and_it_restores_better() -> None:
    x = np.sin(np.arange(400) / 30) * 100
    x[::11] = np.nan
    at = np.arange(400.0)
    assert fit(x, at, ordered=True, may_drop=False).fill is Fill.INTERPOLATE
    assert fit(x, at, ordered=False, may_drop=False).fill in (Fill.MEAN, Fill.MEDIAN)


def test_interpolation_and_forward_fill_read_training_values_only() -> None:
    x = np.arange(100.0) * 10
    x[50] = np.nan
    cleaner = fit(x, np.arange(100.0), ordered=True, may_drop=False)
    assert cleaner.filled(np.array([np.nan, 7.0]), np.array([50.0, 3.0])).tolist() == [500.0, 7.0]


def test_few_gaps_in_many_rows_are_dropped_and_still_filled_for_scoring() -> None:
    x = column(3, 1000, 0.0)
    x[5] = np.nan
    cleaner = fit(x, np.arange(1000.0), np.zeros(1000))
    assert cleaner.fill is Fill.DROP
    assert cleaner.filled(np.array([np.nan]), np.array([0.0]))[0] == np.nanmedian(x)


def test_an_outlier_becomes_the_median_under_hampel_and_the_bound_under_clip() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(10, 1, 500), [1e6]])
    cleaner = fit(values, np.arange(501.0))
    assert cleaner.outliers >= 1
    assert cleaner.filter is Filter.CLIP
    assert cleaner.filtered(np.array([1e6]))[0] < 20
    low, high = hampel_bounds(values)
    assert 5 < low < 10 < high < 15


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (np.tile([0.0, 1.0], 50), Scale.MINMAX),
        (np.linspace(0.1, 0.9, 100), Scale.MINMAX),
        (np.random.default_rng(1).normal(50, 5, 2000), Scale.STANDARD),
        (np.random.default_rng(1).standard_t(1.5, 2000), Scale.ROBUST),
    ],
)
def test_the_scale_follows_the_shape(values: np.ndarray, scale: Scale) -> None:
    assert fit(values, np.arange(float(len(values))), np.zeros(len(values))).scale is scale


def test_a_column_without_a_value_becomes_zero() -> None:
    cleaner = fit(np.full(20, np.nan), np.arange(20.0))
    assert cleaner.apply(np.array([np.nan]), np.zeros(1)).tolist() == [0.0]
