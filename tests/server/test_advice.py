"""Advice: a table of planes and what is to be said about them; where all is well, nothing is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tocsin.core.signal import Mode, Text
from tocsin.flow.wide.scan_checks import CAUSES as CAUSE_NAMES
from tocsin.server import measured as m
from tocsin.server.advice import CAUSES, advise
from tocsin.server.advice_room import disk_small
from tocsin.telemetry import STAGES

change = msgspec.structs.replace


def stage(name: str, **values: Any) -> m.StageView:
    plain: dict[str, Any] = dict.fromkeys(
        ("seconds", "longest_ms", "share", "rows_per_s", "us_per_row", "rows_per_run", "p50_ms", "p99_ms"), 1.0
    )
    plain["share"] = 0.1
    return m.StageView(
        name=name, text=Text(*STAGES[name]), thread=m.THREADS[name], runs=10, rows=10, **{**plain, **values}
    )


WELL = m.PlaneView(
    now=0,
    over_s=30.0,
    uptime_s=7200.0,
    compiled=True,
    advice=(),
    stages=tuple(stage(name) for name in STAGES),
    queue=m.QueueView(
        events=0,
        rows=0,
        most=1000,
        waited_s=0.0,
        unwritten_events=0,
        unwritten_bytes=0,
        grown_bytes=0,
        shed=3,
        shed_recent=0,
    ),
    flow=m.FlowView(
        seq=9,
        tau=9,
        lag_s=3600.0,
        accepted=9,
        accepted_per_s=0.0,
        duplicates=1,
        refused={"malformed": 2},
        late=1,
        verdicts=5,
        verdicts_late=0,
        verdicts_late_share=0.0,
        verdicts_degraded=0,
        deadline_ms=100,
    ),
    scanner=m.ScannerView(
        lines=5000, slow=50, share=0.01, lines_recent=5000, causes=(m.CauseView(cause="time", lines=50),)
    ),
    ids=m.IdsView(count=5, capacity=100, span_s=86400.0, declared_s=86400.0, forgotten_early=0),
    windows=m.WindowsView(
        keys={"card": 5},
        log_events=5,
        log_capacity=100,
        span_s=3600.0,
        declared_s=3600.0,
        log_full=0,
        cold=(),
        warming_seq=0,
        warming_until=0,
    ),
    deadlines_pending=0,
    memory=(),
    rules=m.RulesView(
        count=2,
        seconds=1.0,
        fold_share=0.01,
        items=(
            m.RuleCost(id="dear", desk="", mode=Mode.LIVE, hits=0, errors={}, seconds=0.9, share=0.9),
            m.RuleCost(id="cheap", desk="", mode=Mode.LIVE, hits=0, errors={}, seconds=0.1, share=0.1),
        ),
    ),
    journal=m.JournalView(
        last_seq=9,
        first_seq=1,
        bytes=10**9,
        most_bytes=16 * 10**9,
        segments=2,
        overdue_bytes=0,
        refusals=0,
        refusing="",
        free_bytes=10**12,
    ),
    snapshots=m.SnapshotsView(
        seq=5, age_s=500.0, every_s=600.0, bytes=10**8, pause_ms=5.0, taken=2, failed=0, behind=4
    ),
    history=m.HistoryView(through=5, segments=1, files=1, rows=5, behind=1, fault=""),
    faults={},
)


def with_stage(name: str, **values: Any) -> m.PlaneView:
    return change(WELL, stages=tuple(stage(name, **values) if one.name == name else one for one in WELL.stages))


def part(name: str, **values: Any) -> m.PlaneView:
    return change(WELL, **{name: change(getattr(WELL, name), **values)})


CASES: list[tuple[str, m.PlaneView, str, str]] = [
    ("refusing", part("journal", refusing="disk full"), "alarm", "disk full"),
    ("desk-left-out", change(WELL, faults={"desk:fraud": "KeyError"}), "alarm", "fraud"),
    ("fault", change(WELL, faults={"responder": "gone"}), "alarm", "responder"),
    ("shed", part("queue", shed_recent=7), "alarm", "7 requests"),
    ("verdicts-late", part("flow", verdicts_late_share=0.05), "alarm", "5 % of the verdicts"),
    ("queue-waits", part("queue", waited_s=2.5, events=3, rows=4), "warning", "7 waiting events has waited for 2.5 s"),
    (
        "fold-full",
        with_stage("fold", share=0.8, us_per_row=3.2, rows_per_run=900),
        "warning",
        "100 % of the time, most of it in fold at 3.2 us",
    ),
    ("fold-full", with_stage("fold", share=0.8, rows_per_run=12), "warning", "a batch has 12 events"),
    ("scan-full", with_stage("scan", share=0.95, us_per_row=1.5), "warning", "95 % of the time at 1.5 us a line"),
    ("disk-slow", with_stage("sync", p99_ms=80.0), "warning", "80 ms"),
    (
        "disk-behind",
        part("queue", unwritten_bytes=90_000_000, grown_bytes=40_000_000),
        "warning",
        "90 MB wait for it, 40 MB more than 30 s ago",
    ),
    ("windows-short", part("windows", span_s=55.0, log_full=9), "warning", "55 s of 3,600 s"),
    ("ids-short", part("ids", span_s=86.0, forgotten_early=5), "warning", "for 86 s instead of 24 hours"),
    ("snapshot-old", part("snapshots", age_s=1900.0), "warning", "31.7 min old"),
    ("snapshot-old", part("snapshots", age_s=None), "warning", "120 min old"),
    ("snapshot-failed", part("snapshots", taken=0, failed=2), "warning", "2 snapshots"),
    ("journal-over", part("journal", overdue_bytes=2 * 10**9), "warning", "2 GB over its bound of 16 GB"),
    ("disk-small", part("journal", free_bytes=5 * 10**9), "warning", "16.3 GB are needed"),
    ("history-fault", part("history", fault="no space"), "warning", "no space"),
    (
        "slow-door",
        part("scanner", share=0.3),
        "hint",
        "30 % of the lines take the slow door, ten times as dear, mostly for: times",
    ),
    ("rule-dear", part("rules", fold_share=0.5), "hint", "The rule dear takes 90 %"),
    ("windows-cold", part("windows", cold=("a", "b")), "hint", "a, b"),
    ("plain-plane", change(WELL, compiled=False), "hint", "plain plane"),
]


def test_where_all_is_well_nothing_is_said() -> None:
    """Old refusals, a quiet hour and a dear rule among cheap ones are no reason to speak."""
    assert advise(WELL) == []


@pytest.mark.parametrize(
    ("code", "view", "weight", "words"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_one_trouble_gives_one_advice(code: str, view: m.PlaneView, weight: str, words: str) -> None:
    """Each names its trouble with its numbers, in both languages, with no place left unfilled."""
    found = advise(view)
    assert [(one.code, one.weight.value) for one in found] == [(code, weight)]
    assert words in found[0].text.en
    assert "{" not in found[0].text.en + found[0].text.zh
    assert any("\u4e00" <= letter <= "\u9fff" for letter in found[0].text.zh)


def test_the_heaviest_comes_first() -> None:
    """What is lost before what is slow before what is good to know."""
    view = change(WELL, compiled=False, faults={"desk:fraud": "x"}, queue=change(WELL.queue, waited_s=9.0))
    assert [one.weight.value for one in advise(view)] == ["alarm", "warning", "hint"]


@pytest.mark.parametrize(
    "view",
    [
        part("scanner", share=0.9, lines_recent=20),
        part("ids", forgotten_early=5),
        part("queue", unwritten_bytes=90_000_000, grown_bytes=-1),
        part("snapshots", age_s=9000.0, behind=0),
        part("snapshots", failed=1, taken=5),
        change(WELL, uptime_s=60.0, snapshots=change(WELL.snapshots, age_s=9000.0)),
        change(WELL, scanner=None, ids=None, windows=None, snapshots=None, history=None),
    ],
)
def test_no_advice_without_a_reason(view: m.PlaneView) -> None:
    """Few lines, ids that the span shows again, a shrinking queue, no event since: nothing is to be done."""
    assert advise(view) == []


def test_the_disk_must_take_the_journal_and_three_snapshots() -> None:
    """Free 20, written 10 of 16, snapshots of 2: 6 + 6 + 1 GB fit; of 4 GB they do so still, of 5 not."""
    gb = 10**9
    assert [len(list(disk_small(20 * gb, 10 * gb, 16 * gb, state * gb))) for state in (2, 4, 5)] == [0, 0, 1]


def test_every_cause_of_the_scanner_has_words() -> None:
    """The first is no cause: it is the quick way."""
    assert CAUSES.keys() == set(CAUSE_NAMES[1:])
