"""A start from a snapshot and the tail behind it is the host that was never interrupted, wherever it was cut."""

from __future__ import annotations

import logging
import random
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.flow.stream import Probe

from tocsin.app import Tocsin, build
from tocsin.config import load
from tocsin.core.desk import Aggregate, Deadline, Measure, Series, Window
from tocsin.core.signal import Decision, Text
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.ledger.snapshots import SnapshotStore
from tocsin.ledger.views import Views
from tocsin.runtime import hoststate, snapshotting
from tocsin.runtime.clock import DataClock

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not there")

START = 1_700_000_000_000_000
PAY, ORDER = ("payment.attempted",), ("order.placed",)
WINDOWS = (
    Window(name="count_1m", fold=Aggregate.COUNT, by="card", span_s=60, of=PAY),
    Window(name="sum_1d", fold=Aggregate.SUM, by="card", span_s=86_400, of=PAY, field="amount"),
    Window(name="std_10m", fold=Aggregate.STD, by="account", span_s=600, of=PAY, field="amount"),
    Window(name="ips_1h", fold=Aggregate.DISTINCT, by="account", span_s=3600, of=PAY, field="ip"),
    Window(name="ips_2d", fold=Aggregate.DISTINCT, by="card", span_s=172_800, of=PAY, field="ip"),
    Window(name="gap", fold=Aggregate.RECENCY, by="card", span_s=3600, of=PAY),
    Window(name="late_1h", fold=Aggregate.COUNT, by="card", span_s=3600, delay_s=300, of=PAY),
)
SERIES = (
    Series(name="paid", measure=Measure.SUM, of=PAY, field="amount", bucket_s=60, keep=100),
    Series(name="kinds", measure=Measure.COUNT, of=PAY, by="gateway", bucket_s=60, keep=100),
)
DEADLINES = (Deadline(name="shipped", key="order", after=ORDER, must=("order.shipped",), within_s=300),)


def desk(windows: tuple[Window, ...] = WINDOWS) -> Probe:
    probe = Probe("probe", (*PAY, *ORDER), windows, SERIES, DEADLINES, limit=4.0)
    probe.kinds = {kind: Text(kind, kind) for kind in ("many", "bucket", "missed")}
    return probe


def start(folder: Path, windows: tuple[Window, ...] = WINDOWS, **settings: Any) -> Tocsin:
    """Return a started installation that takes snapshots only when it is told to, unless the settings say more."""
    given = {"data_dir": str(folder), "verdict_mode": "live", "snapshot_minutes": 1e6, "automation": "auto"}
    tocsin = build(load({**given, **settings}, {}), clock=DataClock(), desks=[desk(windows)], actuators=())
    tocsin.start()
    return tocsin


def lines(first: int, n: int) -> bytes:
    """Return events first .. first + n - 1 of the one stream: late ones, duplicates and two currencies in it."""
    found = []
    for number in range(first, first + n):
        rng = random.Random(number)
        kind = rng.choice(["payment.attempted"] * 6 + ["order.placed", "order.shipped", "session.viewed"])
        data: dict[str, Any] = {"ip": f"203.0.113.{rng.randrange(20)}"}
        if kind == "payment.attempted":
            data |= {"card": f"c{rng.randrange(30)}", "account": f"a{rng.randrange(20)}", "gateway": f"g{number % 3}"}
            data |= {"amount": rng.randrange(10_000), "currency": rng.choice(["CNY", "CNY", "EUR"])}
        elif kind.startswith("order"):
            data |= {"order": f"o{rng.randrange(200)}", "amount": 5, "currency": "CNY"}
        else:
            data |= {"session": f"s{rng.randrange(9)}", "page": "product"}
        late = rng.choice([0] * 9 + [rng.randrange(200_000_000)])
        id = number if rng.random() < 0.97 else max(0, number - 5)
        event = {"id": f"e{id}", "source": "t", "type": kind, "time": START + number * 900_000 - late, "data": data}
        found.append(msgspec.json.encode(event))
    return b"\n".join(found)


def feed(tocsin: Tocsin, first: int, n: int, rng: random.Random) -> None:
    """Send a stretch of the stream, cut at random, by lines, as single events or as questions for a verdict."""
    at = first
    while at < first + n:
        size = min(rng.choice([1, 3, 50, 400]), first + n - at)
        body = lines(at, size)
        lane = rng.randrange(3)
        if lane == 0 or size > 50:
            assert tocsin.host.wide is not None
            assert not tocsin.host.wide.submit(body, "default").result(60).refused
        else:
            documents = [msgspec.json.decode(line) for line in body.splitlines()]
            events = [tocsin.door.admit(one, now=tocsin.clock.now(), live=False) for one in documents]
            if lane == 1:
                tocsin.host.submit(events).result(60)
            else:
                for event in events:
                    tocsin.host.verdict(event).future.result(60)
        at += size
    settle(tocsin)


def settle(tocsin: Tocsin) -> None:
    """Wait until all is folded and answered, and what the responder told about it is on disk and published."""
    tocsin.host.settle().result(60)
    # The first may come between a cycle that was taken up before the responder told of it and the one that folds it.
    for _ in range(2):
        done = threading.Event()
        tocsin.host.between_cycles(lambda done=done: (done.set(), [])[1])  # type: ignore[misc]
        assert done.wait(60)


def snapshot(tocsin: Tocsin) -> None:
    """Take one now, and wait until it is in place."""
    snapshots = tocsin.host.snapshots
    assert snapshots is not None
    taken, failed = snapshots.taken, snapshots.failed
    tocsin.host.between_cycles(lambda: (snapshots.take(), [])[1])
    until = time.monotonic() + 60
    while snapshots.taken == taken and snapshots.failed == failed and time.monotonic() < until:
        time.sleep(0.005)
    assert snapshots.taken == taken + 1


def drop(tocsin: Tocsin) -> None:
    """End an installation as a crash would leave it: without its last snapshot, and with nobody who writes."""
    snapshots, tocsin.host.snapshots = tocsin.host.snapshots, None
    tocsin.stop()
    if snapshots is not None:
        snapshots.cancel()


def seen(tocsin: Tocsin) -> dict[str, Any]:
    """Return what must be the same: the fold, the memory of identities, and what the views show."""
    views, rates = tocsin.views, tocsin.views.overview(tocsin.fold.tau)
    memory = tocsin.host.row_stamper.memory.state()
    return {
        "fold": tocsin.fold.digest(),
        "ids": sorted(set(memory["log"][:, 0].tolist())),
        "stamps": (tocsin.host.stamper.seq, tocsin.host.stamper.tau),
        "mode": (tocsin.host.verdict_mode, tocsin.host.fallback),
        "lines": {one["name"] + one["key"]: views.series(**one) for one in views.series_names()},
        "rates": {name: rates[name] for name in ("rates", "money", "verdicts", "last_event", "counters")},
        "counters": {name: n for name, n in tocsin.fold.counters.items() if n},
    }


@pytest.mark.parametrize("forks", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_and_its_tail_are_the_host_that_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, forks: bool
) -> None:
    """Whatever the cut and the lane, copied or forked, in pieces: the start gives the very state, and what follows."""
    monkeypatch.setattr(snapshotting, "SMALL_BYTES", 0 if forks else 1 << 40)
    monkeypatch.setattr(hoststate, "PIECE_ROWS", 1 << (4 + 2 * seed))
    rng = random.Random(seed)
    tocsin = start(tmp_path)
    at, end = rng.randrange(300, 1500), rng.randrange(0, 900)
    feed(tocsin, 0, at, rng)
    snapshot(tocsin)
    feed(tocsin, at, end, rng)
    before = seen(tocsin)
    drop(tocsin)
    again = start(tmp_path)
    try:
        assert again.replayed.after > 0
        assert again.replayed.rederived == 0
        assert seen(again) == before
        feed(again, at + end, 300, rng)
    finally:
        drop(again)
    replayed = start(tmp_path)
    for path in (tmp_path / "snapshots").iterdir():
        path.unlink()
    expected = seen(replayed)
    drop(replayed)
    whole = start(tmp_path)
    try:
        assert whole.replayed.after == 0
        assert seen(whole) == expected
    finally:
        drop(whole)


def test_all_that_people_have_set_survives(tmp_path: Path) -> None:
    """Rules, lists, modes, campaigns, declared windows and what was told already are in the snapshot."""
    tocsin = start(tmp_path)
    rng = random.Random(1)
    feed(tocsin, 0, 300, rng)
    rule = {
        "id": "r", "when": "features.count_1m >= 1.0", "decision": "hold", "code": "c", "on": ["payment.attempted"],
        "mode": "live", "text": {"en": "a", "zh": "一"},
    }  # fmt: skip
    window = Window(name="own", fold=Aggregate.COUNT, by="card", span_s=60, of=PAY)
    for kind, data in (
        ("tocsin.rules", {"rules": [rule]}),
        ("tocsin.list", {"name": "blocked", "value": "203.0.113.9"}),
        ("tocsin.mode", {"verdict_fallback": "hold", "verdict_mode": "shadow"}),
        ("tocsin.mode", {"desk": "probe", "mode": "shadow"}),
        ("tocsin.windows", {"windows": [msgspec.to_builtins(window)]}),
    ):
        tocsin.configure(kind, data, "test").result(60)
    feed(tocsin, 300, 200, rng)
    assert tocsin.host.fallback is Decision.HOLD
    snapshot(tocsin)
    before = seen(tocsin)
    drop(tocsin)
    again = start(tmp_path)
    try:
        assert (again.replayed.events, again.replayed.rederived) == (0, 0)
        assert seen(again) == before
        assert again.fold.told == tocsin.fold.told
        assert [one.name for one in again.fold.house.own] == ["own"]
    finally:
        drop(again)


def test_other_declarations_keep_what_is_known_and_miss_what_is_new(tmp_path: Path) -> None:
    """A window that stays keeps its state, one that is new is missing until it has seen its span."""
    tocsin = start(tmp_path, WINDOWS[:2])
    feed(tocsin, 0, 600, random.Random(1))
    snapshot(tocsin)
    drop(tocsin)
    again = start(tmp_path, (WINDOWS[0], WINDOWS[5]))
    try:
        windows, tau = again.fold.windows, again.fold.windows.tau
        warm = {window.name: windows.warm[slot] <= tau for slot, window in enumerate(windows.windows)}
        assert warm == {"count_1m": True, "gap": False}
        feed(again, 600, 50, random.Random(2))
    finally:
        drop(again)


def test_one_is_due_by_events_and_by_time_and_never_without_events(tmp_path: Path) -> None:
    """After ``snapshot_events``, or after ``snapshot_minutes`` with at least one event; the last one at the stop."""
    tocsin = start(tmp_path, snapshot_events=100)
    snapshots = tocsin.host.snapshots
    assert snapshots is not None
    feed(tocsin, 0, 60, random.Random(1))
    assert snapshots.taken == 0
    feed(tocsin, 60, 200, random.Random(1))
    until = time.monotonic() + 60
    while not snapshots.taken and time.monotonic() < until:
        time.sleep(0.01)
    assert snapshots.taken
    tocsin.stop()
    again = start(tmp_path, snapshot_minutes=1e-6)
    try:
        assert again.replayed.events == 0
        assert again.host.snapshots is not None
        time.sleep(0.5)
        assert again.host.snapshots.taken == 0
        feed(again, 260, 1, random.Random(1))
        while not again.host.snapshots.taken and time.monotonic() < until:
            time.sleep(0.01)
        assert again.host.snapshots.taken
    finally:
        drop(again)


@pytest.mark.parametrize("forks", [False, True])
def test_a_disk_that_takes_no_snapshot_costs_a_longer_start_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, forks: bool
) -> None:
    """It is counted and told; events are accepted as before, and the next one is tried again."""
    monkeypatch.setattr(snapshotting, "SMALL_BYTES", 0 if forks else 1 << 40)
    caplog.set_level(logging.ERROR)
    tocsin = start(tmp_path)
    try:
        snapshots = tocsin.host.snapshots
        assert snapshots is not None
        (tmp_path / "snapshots").write_text("no folder")
        feed(tocsin, 0, 100, random.Random(1))
        tocsin.host.between_cycles(lambda: (snapshots.take(), [])[1])
        until = time.monotonic() + 60
        while not snapshots.failed and time.monotonic() < until:
            time.sleep(0.01)
        assert snapshots.failed == 1
        assert "no snapshot was written" in caplog.text
        (tmp_path / "snapshots").unlink()
        feed(tocsin, 100, 100, random.Random(1))
        snapshot(tocsin)
    finally:
        drop(tocsin)


def test_views_in_a_snapshot_stand_where_the_fold_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer is slow: what it has not published yet is not lost from the views of the next start."""
    note = Views.note

    def slowly(self: Views, *more: Any) -> None:
        time.sleep(0.02)
        note(self, *more)

    monkeypatch.setattr(Views, "note", slowly)
    tocsin = start(tmp_path)
    snapshots = tocsin.host.snapshots
    assert snapshots is not None
    for number in range(0, 60, 3):
        documents = [msgspec.json.decode(line) for line in lines(number, 3).splitlines()]
        tocsin.host.submit([tocsin.door.admit(one, now=tocsin.clock.now(), live=False) for one in documents])
        if number == 30:
            tocsin.host.between_cycles(lambda: [])
    snapshot(tocsin)
    settle(tocsin)
    before = seen(tocsin)
    drop(tocsin)
    again = start(tmp_path)
    try:
        assert seen(again) == before
    finally:
        drop(again)


def test_an_array_of_the_state_is_not_of_another_kind_after_the_pipe() -> None:
    """What the child hears of the views is what the parent said."""
    state = ({"lines": [["a", "", "", 3, 2]], "tau": 1 << 60}, {"starts": np.arange(2), "values": np.array([0.5, 2])})
    (meta, arrays), pieces = snapshotting._opened(snapshotting._closed(state, {"a": []}))
    assert pieces == {"a": []}
    assert meta == state[0]
    for name, array in state[1].items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("forks", [False, True])
def test_identities_are_written_once_whatever_snapshots_and_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: bool
) -> None:
    """Pieces stay the files that they are while a snapshot names them, also after a start."""
    monkeypatch.setattr(snapshotting, "SMALL_BYTES", 0 if forks else 1 << 40)
    monkeypatch.setattr(hoststate, "PIECE_ROWS", 64)
    folder, rng = tmp_path / "snapshots", random.Random(7)

    def files() -> dict[str, int]:
        found = SnapshotStore(folder).newest()
        assert found is not None
        names = [f"{piece.name}.piece" for piece in found.pieces["ids/log"]]
        return {name: (folder / name).stat().st_mtime_ns for name in names}

    tocsin = start(tmp_path)
    feed(tocsin, 0, 700, rng)
    snapshot(tocsin)
    first = files()
    assert len(first) >= 500 // 64
    feed(tocsin, 700, 300, rng)
    snapshot(tocsin)
    second = files()
    assert second.items() > first.items()
    drop(tocsin)
    again = start(tmp_path)
    feed(again, 1000, 300, rng)
    snapshot(again)
    third = files()
    assert third.items() > second.items()
    before = seen(again)
    drop(again)
    once_more = start(tmp_path)
    try:
        assert once_more.replayed.events == 0
        assert seen(once_more) == before
        assert {path.name for path in folder.glob("ids-*.piece")} == third.keys()
    finally:
        drop(once_more)


def test_where_the_disk_refuses_pieces_the_host_goes_on_and_the_next_snapshot_holds_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once; what is missing is written with the snapshot."""
    monkeypatch.setattr(hoststate, "PIECE_ROWS", 64)
    monkeypatch.setattr(hoststate, "AGAIN_S", 1e6)
    (tmp_path / "snapshots").write_text("no folder")
    tocsin = start(tmp_path)
    rng = random.Random(3)
    feed(tocsin, 0, 500, rng)
    until = time.monotonic() + 60
    while "a piece of the next snapshot was not written" not in caplog.text and time.monotonic() < until:
        feed(tocsin, 0, 1, rng)
    assert caplog.text.count("was not written") == 1
    (tmp_path / "snapshots").unlink()
    feed(tocsin, 500, 100, rng)
    snapshot(tocsin)
    before = seen(tocsin)
    drop(tocsin)
    again = start(tmp_path)
    try:
        assert again.replayed.events == 0
        assert seen(again) == before
    finally:
        drop(again)
