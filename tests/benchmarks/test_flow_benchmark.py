"""The flow benchmark, small: ours equals the twin while it is measured, and every part gives its figures."""

from __future__ import annotations

import msgspec
from benchmarks.page import page
from benchmarks.report import Report

from benchmarks import flow_rules, flow_scan, flow_windows


def test_the_race_compares_equal_values() -> None:
    """Ours and the twin differ in no bit on 10,000 events; both have a speed."""
    race = flow_windows.race(msgspec.structs.replace(flow_windows.QUICK, twin_warm=10_000), 3)
    assert race.unequal == 0
    assert race.times > 1
    assert race.live_keys > 1_000


def test_lines_are_scanned_folded_and_counted() -> None:
    """At most one line in fifty takes the plain door; some events hit a rule."""
    scanned = flow_scan.measured(3, quick=True)
    assert scanned.fallback_share <= 0.02
    assert 0 < scanned.hits_share < 0.05
    assert set(scanned.by_batch) == {"1", "16", "64", "256", "1024", "8192"}


def test_rules_of_other_engines_get_the_same_rules_and_rows() -> None:
    """50 rules and 2,000 rows as plain JSON; the rows carry features and no missing ones."""
    given = flow_rules.judged(3, 2)
    speed, hits = flow_rules.ours(given, 50)
    work = msgspec.json.decode(msgspec.json.encode(flow_rules.work(given, 50, 1.0)))
    assert speed > 0
    assert len(work["rules"]) == 50
    assert len(work["rows"]) == len(hits) == 2_000
    assert all(None not in row["env"]["features"].values() for row in work["rows"])


def test_curves_are_kept_in_the_result_file_and_shown(tmp_path) -> None:
    """A report with a curve is written, read and shown with its points."""
    report = Report(name="flow", figures={"a": 1.0}, curves={"us by keys": {"1e3": 0.5, "1e6": 0.9}})
    (tmp_path / "flow.json").write_bytes(msgspec.json.encode(report))
    assert "us by keys: 1e3 0.5, 1e6 0.9" in page(tmp_path)
