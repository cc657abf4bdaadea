"""Durations are counted in bins: what a quantile may be wrong by, and what it covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.telemetry import BINS, FINEST_S, PER_DOUBLING, STAGES, Plane, Stage, quantile

DURATIONS = st.lists(st.floats(2e-6, 900.0), min_size=1, max_size=200)


@given(DURATIONS, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_never_too_low_and_at_most_19_percent_too_high(durations: list[float], q: float) -> None:
    """From a microsecond to a quarter of an hour."""
    stage = Stage("fold")
    for seconds in durations:
        stage.add(seconds)
    true = float(np.quantile(durations, q, method="inverted_cdf"))
    assert true <= stage.quantile(q) * (1 + 1e-9)
    assert stage.quantile(q) <= true * 1.19


def test_what_lies_outside_the_bins_is_counted_at_their_ends() -> None:
    """Nothing is lost, and the longest run is known exactly."""
    stage = Stage("fold")
    for seconds in (0.0, 1e-9, FINEST_S, 1e4):
        stage.add(seconds, rows=3)
    assert sum(stage.bins) == stage.runs == 4
    assert stage.rows == 12
    assert stage.bins[0] == 3 and stage.bins[-1] == 1
    assert stage.longest == 1e4
    assert FINEST_S * math.exp2(BINS / PER_DOUBLING) > 900


def test_before_the_first_run_everything_is_zero() -> None:
    """No division by nothing, no quantile of nothing."""
    assert quantile([0] * BINS, 0.5) == 0.0
    report = Plane().report()
    assert [stage["name"] for stage in report] == list(STAGES)
    assert {value for stage in report for name, value in stage.items() if name != "name"} == {0}


def test_the_report_is_per_row_and_in_milliseconds() -> None:
    """The units are those of the names."""
    plane = Plane()
    plane["fold"].add(0.25, rows=1000)
    (told,) = [stage for stage in plane.report() if stage["name"] == "fold"]
    assert told["us_per_row"] == pytest.approx(250.0)
    assert told["p50_ms"] == told["p99_ms"] == told["longest_ms"] == pytest.approx(250.0)
    assert (told["runs"], told["rows"], told["seconds"]) == (1, 1000, 0.25)


def test_stages_are_named_in_both_languages() -> None:
    """The table of names is complete."""
    assert all(english and chinese for english, chinese in STAGES.values())
