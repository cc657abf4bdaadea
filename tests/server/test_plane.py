"""The data plane in one look: what it says agrees with the house, as JSON and as metrics, compiled and plain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tocsin.config import load
from tocsin.core.records import Role
from tocsin.server import measured
from tocsin.server.gauging import Gauge, steady
from tocsin.server.metrics_table import METRICS, Kind
from tocsin.telemetry import STAGES

from .conftest import Site, eventually, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A house on disk: with a journal of segments, snapshots and a history."""
    folder = str(tmp_path_factory.mktemp("data"))
    with serving(load({"shop": "shop", "data_dir": folder, "verdict_deadline_ms": 5000}, {})) as found:
        yield found


def lines(site: Site, count: int, **data: Any) -> bytes:
    return b"\n".join(msgspec.json.encode(site.payment(**data)) for _ in range(count))


def look(site: Site) -> measured.PlaneView:
    with site.machine("read") as http:
        answer = http.get("/v1/plane")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=measured.PlaneView)


def scrape(site: Site) -> dict[str, Any]:
    with site.client() as http:
        return {one.name: one for one in text_string_to_metric_families(http.get("/metrics").text)}


def post(site: Site, body: bytes) -> Any:
    with site.machine() as http:
        answer = http.post("/v1/events", content=body, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_what_it_says_agrees_with_the_house(stored: Site) -> None:
    """Counts, queues, journal and stages are those of the parts themselves."""
    before = look(stored)
    body = lines(stored, 40)
    assert post(stored, body)["accepted"] == 40
    assert post(stored, body)["duplicates"] == 40
    eventually(lambda: not stored.tocsin.host.unwritten_events)
    view = look(stored)
    host, journal = stored.tocsin.host, stored.tocsin.journal
    assert view.flow.accepted - before.flow.accepted == 40
    assert view.flow.duplicates - before.flow.duplicates == 40
    assert (view.flow.seq, view.journal.last_seq) == (host.stamper.seq, journal.last()[0])
    assert [stage.name for stage in view.stages] == list(STAGES)
    stages = {stage.name: stage for stage in view.stages}
    assert stages["fold"].rows == host.plane["fold"].rows
    assert stages["sync"].runs and stages["sync"].longest_ms >= stages["sync"].p99_ms > 0
    assert view.journal.segments == 1
    assert view.journal.bytes > 0
    assert (view.queue.events, view.queue.unwritten_bytes, view.queue.shed) == (0, 0, 0)
    assert view.rules.count == 1
    assert view.over_s > 0


def test_the_compiled_parts_are_there_where_kernels_compute(stored: Site) -> None:
    """The wide lane, the id memory and the windows exist on the compiled plane alone."""
    post(stored, lines(stored, 3))
    view = look(stored)
    wide = stored.tocsin.fold.engine.wide
    assert view.compiled is wide
    assert [part is not None for part in (view.scanner, view.ids, view.windows, view.queue.rows)] == [wide] * 4
    if wide:
        assert view.scanner is not None and view.scanner.lines >= 3
        assert view.ids is not None and view.ids.count == len(stored.tocsin.host.row_stamper.memory)
        assert {"windows.log", "ids", "series", "deadlines"} <= {one.part for one in view.memory}


def test_a_slow_line_is_counted_with_its_cause(stored: Site) -> None:
    """What the kernel leaves over is told by cause."""
    if not stored.tocsin.fold.engine.wide:
        pytest.skip("the plain plane has no wide door")
    before = look(stored).scanner
    twice = msgspec.json.encode(stored.payment()).replace(b'"amount":', b'"amount":5,"amount":')
    assert post(stored, twice)["accepted"] == 1
    after = look(stored).scanner
    assert before is not None and after is not None
    assert after.slow - before.slow == 1
    assert sum(one.lines for one in after.causes) == after.slow


def test_every_metric_is_in_the_table_with_its_kind(stored: Site) -> None:
    """Nothing is given that the table does not name, and of a house on disk nothing is missing that can be there."""
    post(stored, lines(stored, 3))
    with stored.machine() as http:
        http.post("/v1/events", json={**stored.payment(), "type": "no.such"})
        http.post("/v1/verdicts", json=stored.payment())
    found = scrape(stored)
    assert not found.keys() - METRICS.keys() - {f"{name}_created" for name in METRICS}
    for name, family in found.items():
        if name in METRICS:
            assert family.type == METRICS[name].kind.value, name
            assert family.documentation == METRICS[name].meaning, name
    rarely = {"tocsin_snapshot_age_seconds", "tocsin_rule_errors", "tocsin_slow_lines", "tocsin_window_keys"}
    if stored.tocsin.fold.engine.wide:
        assert not METRICS.keys() - found.keys() - rarely


def test_metrics_agree_with_the_look(stored: Site) -> None:
    """The same reading behind both: the histogram of a stage counts its runs and sums its seconds."""
    view, found = look(stored), scrape(stored)
    samples = {(one.name, one.labels.get("stage")): one.value for one in found["tocsin_stage_seconds"].samples}
    for stage in view.stages:
        assert samples["tocsin_stage_seconds_count", stage.name] == stage.runs
        assert samples["tocsin_stage_seconds_sum", stage.name] == pytest.approx(stage.seconds)
    rows = [one for one in found["tocsin_stage_seconds"].samples if one.labels["stage"] == "sync"]
    buckets = [one.value for one in rows if "le" in one.labels]
    assert buckets == sorted(buckets)


def test_parts_that_are_absent_have_no_metrics(site: Site) -> None:
    """A house in memory has neither segments nor snapshots nor a history: their metrics are absent, not 0."""
    found, view = scrape(site), look(site)
    assert (view.snapshots, view.history, view.journal.segments) == (None, None, None)
    assert not [name for name in found if name.startswith(("tocsin_snapshot", "tocsin_history", "tocsin_journal_seg"))]


def test_the_plain_plane_has_no_metrics_of_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is compiled the wide lane, the id memory and the windows are absent, and advice says why."""
    monkeypatch.setattr("tocsin.flow.engine.AVAILABLE", False)
    with serving(load({"shop": "shop", "data_dir": str(tmp_path)}, {}), memory=True) as plain:
        post(plain, lines(plain, 5))
        found, view = scrape(plain), look(plain)
    assert view.flow.accepted == 5
    assert [part for part in (view.scanner, view.ids, view.windows, view.queue.rows) if part is not None] == []
    absent = ("tocsin_ids", "tocsin_window", "tocsin_scanned", "tocsin_slow", "tocsin_queue_rows")
    assert not [name for name in found if name.startswith(absent)]
    assert "plain-plane" in [advice.code for advice in view.advice]


def test_viewers_and_reading_keys_may_look(site: Site) -> None:
    """It says nothing of people or keys, so whoever may see the overview may see it."""
    assert site.browser(Role.VIEWER).get("/v1/plane").status_code == 200
    with site.machine("events") as http:
        assert http.get("/v1/plane").status_code == 403


def test_the_recent_time_is_what_lies_between_looks(site: Site) -> None:
    """Rates are over the last minute of looks; an older look does not count, the start stands in for the first."""
    now = [100.0]
    gauge = Gauge(site.tocsin, dict, now=lambda: now[0])
    now[0] = 1000.0
    assert gauge.look().over_s == 900.0
    now[0] = 1002.0
    assert gauge.look().over_s == 2.0
    now[0] = 1030.0
    assert gauge.look().over_s == 30.0
    now[0] = 1070.0
    assert gauge.look().over_s == 40.0
    assert gauge.look().uptime_s == 970.0


def test_rates_are_of_the_recent_time(site: Site) -> None:
    """Five events in two seconds are 2.5 a second, whatever came before."""
    now = [0.0]
    gauge = Gauge(site.tocsin, dict, now=lambda: now[0])
    post(site, lines(site, 7))
    now[0] = 100.0
    gauge.look()
    post(site, lines(site, 5))
    now[0] = 102.0
    assert gauge.look().flow.accepted_per_s == 2.5


def test_a_reader_reads_again_where_a_dictionary_grew(site: Site) -> None:
    """The fold does not wait for the reader."""
    tries = []

    def read() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("dictionary changed size during iteration")
        return 7

    assert steady(read) == 7


def test_the_table_names_units_and_no_counter_carries_its_suffix() -> None:
    """The suffix _total belongs to the text format; every row has a unit and a meaning."""
    for name, row in METRICS.items():
        assert name.startswith("tocsin_") and not name.endswith("_total")
        assert row.unit and row.meaning and isinstance(row.kind, Kind)
