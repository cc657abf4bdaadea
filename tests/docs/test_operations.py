"""The operations page is the tables of metrics, stages and advice; its alarms name metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.server.test_advice import CASES

from tocsin.config import Settings
from tocsin.server.measured import THREADS
from tocsin.server.metrics_table import METRICS, Kind, page
from tocsin.telemetry import STAGES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")


def test_it_has_the_table_of_metrics() -> None:
    assert PAGE.endswith(page()), "run: python -m tocsin.server.metrics_table"


def test_it_has_every_stage() -> None:
    for name, (meaning, _) in STAGES.items():
        assert f"| `{name}` | {THREADS[name].value} | {meaning} |" in PAGE


def test_it_has_every_advice_with_its_weight() -> None:
    """A row for each that the table of cases knows, and none beside."""
    advice = PAGE.partition("## Advice")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `([a-z-]+)` \| (\w+) \|", advice, re.MULTILINE))
    assert rows == {(code, weight) for code, _, weight, _ in CASES}
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", advice))
    assert named <= {name for name in Settings.__struct_fields__}


def test_every_metric_that_a_page_names_exists() -> None:
    """With the suffix that the text format gives to counters and histograms; alarms name no other."""
    given = set()
    for name, row in METRICS.items():
        suffixes = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("", "_bucket", "_sum", "_count")}
        given |= {name + suffix for suffix in suffixes[row.kind]}
    for path in DOCS.glob("*.md"):
        named = set(re.findall(r"tocsin_[a-z_]+", path.read_text(encoding="utf-8")))
        assert not named - given, path.name
