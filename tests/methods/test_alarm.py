"""Alarms keep their budget on quiet series, find a break soon, and know since when."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from tocsin.methods.alarm import Alarm, beta_binomial_tail, exceedances, watch_counts, watch_ratio

DAY = 5760
"""Buckets of 15 seconds."""


def rhythm(mean: float, seed: int, days: float = 1.0) -> np.ndarray:
    """Return Poisson counts with a daily rhythm between 0.3 and 1.7 times the mean."""
    level = mean * (1 + 0.7 * np.sin(2 * np.pi * np.arange(int(DAY * days)) / DAY))
    return np.random.default_rng(seed).poisson(level).astype(float)


def watch(values: np.ndarray, number: int, **options: Any) -> Alarm | None:
    return watch_counts(values[number], values[max(0, number - 960) : number], buckets_per_day=DAY, **options)


def counts(values: np.ndarray, start: int = 300, **options: Any) -> list[tuple[int, Alarm]]:
    return [
        (number, alarm)
        for number in range(start, len(values))
        if (
            alarm := watch_counts(values[number], values[max(0, number - 960) : number], buckets_per_day=DAY, **options)
        )  # type: ignore[arg-type]
    ]


def ratios(hits: np.ndarray, n: np.ndarray, start: int, stop: int) -> list[tuple[int, Alarm]]:
    value = np.where(n > 0, hits / np.maximum(n, 1), np.nan)
    found = []
    for number in range(start, stop):
        before = slice(max(0, number - 960), number)
        alarm = watch_ratio(value[number], n[number], value[before], n[before], buckets_per_day=DAY, per_day=0.05)
        if alarm:
            found.append((number, alarm))
    return found


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.05, 50), st.floats(0.05, 200))
def test_the_tail_is_the_beta_binomial_one(hits: int, trials: int, a: float, b: float) -> None:
    expected = 1.0 if hits <= 0 else float(betabinom.sf(hits - 1, trials, a, b)) if hits <= trials else 0.0
    assert beta_binomial_tail(hits, trials, a, b) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("mean", [0.5, 8.0, 60.0])
def test_a_quiet_rhythm_keeps_the_budget(mean: float) -> None:
    """Six quiet days with a budget of a tenth of a false alarm a day: at most one day has any."""
    days = [counts(rhythm(mean, seed), per_day=0.1) for seed in range(2 if mean > 20 else 3)]
    assert sum(bool(found) for found in days) <= 1


def test_a_flood_is_found_at_once_and_its_onset_within_a_bucket() -> None:
    values = rhythm(8.0, 5)
    values[3000:3040] += 40
    found = counts(values[:3005], 2900, per_day=0.05)
    assert found[0][0] == 3000 and found[0][1].buckets == 1
    assert abs((found[-1][0] - found[-1][1].buckets + 1) - 3000) <= 1 and found[-1][1].level > 4 * found[-1][1].baseline


def test_a_planned_opening_is_expected_and_an_unplanned_one_is_one_short_episode() -> None:
    values = rhythm(8.0, 6)
    values[3000:3004] = np.random.default_rng(1).poisson(values[3000:3004] * 20)
    planned = [
        watch_counts(values[i], values[i - 960 : i], buckets_per_day=DAY, per_day=0.05, factor=20.0)
        for i in range(3000, 3004)
    ]
    assert planned == [None] * 4
    episode = [number for number, _ in counts(values[:3120], 2900, per_day=0.05)]
    assert episode and episode[0] == 3000 and episode[-1] <= 3000 + 64


def test_traffic_that_comes_in_pulses_is_not_a_flood_and_a_past_flood_hides_nothing() -> None:
    pulses = np.zeros(1440)
    pulses[::360] = 200.0
    assert watch_counts(210.0, pulses, buckets_per_day=8640, per_day=0.05) is None
    flooded = np.random.default_rng(2).poisson(8, 1440).astype(float)
    flooded[700:760] = 80.0
    assert watch_counts(80.0, flooded, buckets_per_day=8640, per_day=0.05) is not None


def test_silence_is_found_and_a_calm_night_is_not() -> None:
    values = rhythm(8.0, 7)
    assert not counts(values, 2000, per_day=0.05, direction="down", tolerance=4.0)
    values[3000:3060] = 0
    assert counts(values[:3015], 2990, per_day=0.05, direction="down", tolerance=4.0)[0][0] <= 3010


@pytest.mark.parametrize(("per_day", "share", "latest_s"), [(900, 1.0, 600), (20_000, 1.0, 60), (20_000, 0.25, 300)])
def test_failures_are_found_as_soon_as_the_traffic_allows(per_day: int, share: float, latest_s: int) -> None:
    """900 payments a day are one in 96 s: the third or fourth failure tells. 20,000 a day: within a minute."""
    for seed in range(4 if per_day < 1000 else 2):
        n = rhythm(per_day / DAY, seed)
        draws = np.random.default_rng(seed + 100)
        rate = np.where((np.arange(DAY) >= 2000) & (np.arange(DAY) < 2200), share, 0.006)
        hits = draws.binomial(n.astype(int), rate).astype(float)
        found = [number for number, _ in ratios(hits, n, 1990, 2001 + latest_s // 15) if number >= 2000]
        assert found and (found[0] - 2000 + 1) * 15 <= latest_s


@pytest.mark.parametrize("per_day", [900, 6000])
def test_ordinary_failures_keep_the_budget(per_day: int) -> None:
    noisy = 0
    for seed in range(5):
        n = rhythm(per_day / DAY, seed)
        hits = np.random.default_rng(seed).binomial(n.astype(int), 0.01).astype(float)
        noisy += bool(ratios(hits, n, 300, DAY))
    assert noisy <= 1


def test_an_old_outage_does_not_hide_the_next_one() -> None:
    n = np.full(900, 4.0)
    hits = np.zeros(900)
    hits[300:380] = 4
    hits[-1] = 4
    found = ratios(hits, n, 899, 900)
    assert found and found[0][1].baseline < 0.05


def test_too_short_a_history_never_alarms() -> None:
    assert watch_counts(999.0, np.ones(30), buckets_per_day=DAY, per_day=1.0) is None
    assert watch_ratio(1.0, 50, np.zeros(30), np.full(30, 50.0), buckets_per_day=DAY, per_day=1.0) is None
    assert exceedances(9.0, np.ones(30)) is None


def test_a_missing_ratio_is_a_bucket_without_trials() -> None:
    n = np.zeros(900)
    assert watch_ratio(math.nan, 0, np.full(900, math.nan), n, buckets_per_day=DAY, per_day=1.0) is None


def test_a_level_is_far_too_high_beyond_its_own_upper_quantile() -> None:
    history = np.tile([100.0, 110.0, math.nan, 120.0], 200)
    now, before = exceedances(500.0, history) or (math.nan, history)
    assert now == 1.0 and np.nanmax(before) == 0.0 and np.isnan(before).sum() == 200


@settings(max_examples=40)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 1000))
def test_more_never_alarms_less(value: int, more: int, seed: int) -> None:
    history = np.random.default_rng(seed).poisson(5, 400).astype(float)
    less = watch_counts(float(value), history, buckets_per_day=DAY, per_day=0.5)
    greater = watch_counts(float(value + more), history, buckets_per_day=DAY, per_day=0.5)
    assert less is None or (greater is not None and greater.p <= less.p)


@given(st.floats(1e-12, 1.0), st.floats(1e-9, 1.0))
def test_the_score_is_a_confidence_from_one_half(p: float, limit: float) -> None:
    assert 0.5 <= Alarm(min(p, limit), limit, 1, 1, 1.0, 1.0).score < 1.0 or p == 0
