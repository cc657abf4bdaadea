"""The figures of the drills benchmark, from results that can be checked by hand."""

from __future__ import annotations

import math

import pytest
from benchmarks.drills import figures

from tocsin.twin.score import Result


def test_figures_are_shares_and_medians_over_what_happened() -> None:
    """Two of three detected after 10 and 30 s, one answered after 40 s, 600 of 3000 lost: 2/3, 20, 40, 0.8."""
    results = [
        Result("a", "weak", False, None, None, 0, 400, 1000, 900),
        Result("a", "medium", True, 10.0, None, 1, 100, 1000, 500),
        Result("a", "strong", True, 30.0, 40.0, 0, 100, 1000, 100),
    ]
    found = figures(results, 0.25)
    assert found == {
        "detected_share": pytest.approx(2 / 3, abs=1e-4),
        "median_seconds_to_detect": 20.0,
        "median_seconds_to_respond": 40.0,
        "averted_share": 0.8,
        "false_incidents_per_quiet_day": 0.25,
    }


def test_what_never_happened_has_no_median() -> None:
    """With nothing detected the medians are NaN, which JSON shows as null, and nothing was averted."""
    found = figures([Result("a", "weak", False, None, None, 0, 7, 0, 7)], 0.0)
    assert math.isnan(found["median_seconds_to_detect"])
    assert found["averted_share"] == 0.0
