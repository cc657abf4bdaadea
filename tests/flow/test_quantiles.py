"""Quantiles: within 1 % of the exact rank statistic, and a function of the values alone."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.quantiles import EXACT, LARGEST, LOWS, MIDDLES, Quantiles

VALUES = st.lists(st.one_of(st.integers(-300, 300), st.integers(-LARGEST, LARGEST)), min_size=1, max_size=200)


def ranked(values: list[int], share: float) -> int:
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_within_one_percent_of_the_ranked_value(values: list[int], share: float) -> None:
    """Exactly it up to 64 values."""
    got, want = Quantiles(values).quantile(share), ranked(values, share)
    assert got == float(want) if len(values) <= EXACT else math.isclose(got, want, rel_tol=0.01 / 0.99)
    assert abs(got - float(want)) <= 0.01 * abs(want) * (1 + 1e-12)


@given(VALUES, st.integers(0, 200), st.randoms())
def test_the_sketch_knows_no_order_and_no_cut(values: list[int], cut: int, random: object) -> None:
    """One by one, in columns, shuffled or merged of two parts: one state."""
    want = Quantiles(values).canonical()
    columns, parts, rest = Quantiles(), Quantiles(values[:cut]), Quantiles()
    columns.add_all(np.array(values[:cut], np.int64))
    columns.add_all(np.array(values[cut:], np.int64))
    rest.add_all(np.array(values[cut:], np.int64))
    parts.merge(rest)
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert columns.canonical() == parts.canonical() == Quantiles(shuffled).canonical() == want
    assert columns.n == parts.n == len(values)


def test_buckets_cover_all_integers_and_no_middle_is_off_by_more_than_one_percent() -> None:
    """2016 buckets from 1 to 2^63 - 1; those below 50 hold one value."""
    highs = [*(low - 1 for low in LOWS[1:]), LARGEST]
    assert LOWS[:49] == highs[:49]
    for low, high, middle in zip(LOWS, highs, MIDDLES, strict=True):
        assert abs(middle - low) <= low / 100 * (1 + 1e-12)
        assert abs(middle - high) <= high / 100 * (1 + 1e-12)


def test_nothing_has_no_quantile() -> None:
    """NaN."""
    assert math.isnan(Quantiles().quantile(0.5))


def test_what_is_larger_than_64_bits_counts_as_the_largest() -> None:
    """Among 65 values of 10^30."""
    assert math.isclose(Quantiles([10**30] * 65).quantile(0.5), LARGEST, rel_tol=0.01)
