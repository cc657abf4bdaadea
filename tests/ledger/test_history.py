"""History: every seq once, whatever was killed, and the same values in Parquet as in the journal."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.ledger.test_blocks import columns, same
from tests.ledger.test_journal import CountedDisk, QuickDisk

from tocsin.core.events import DAY, Event
from tocsin.errors import Misconfigured
from tocsin.ledger.blocks import block_from
from tocsin.ledger.history import MANIFEST, History
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.keep import Keep
from tocsin.ledger.retention import kept_events, served_features

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_793_275_200_000_000
TYPES = ("order.placed", "label.given", "http.request", "strange/../type", "tocsin.mode")
EVERY = Keep(30, {"label.given": 400, "http.request": 0}, {"tocsin.": 400})


def made(first: int, count: int, step: int = 1) -> list[Event]:
    return [
        Event(
            id=f"e{seq}",
            source="test",
            type=TYPES[seq % len(TYPES)],
            time=NOON + seq - 5,
            subject="account:zoe" if seq % 7 == 0 else "",
            data={"order": f"o{seq}", "amount": seq if seq % 3 else "odd", "items": [{"sku": "s"}], "text": "中 \\u"},
            sealed={"email": "x"} if seq % 2 else {},
            seq=seq,
            tau=NOON + seq * step,
        )
        for seq in range(first, first + count)
    ]


def journal_of(folder: Path, count: int = 60, step: int = 1) -> SegmentJournal:
    """Return a journal with blocks, single events and columns, in segments of about ten events."""
    journal = SegmentJournal(folder / "journal", 1500, disk=QuickDisk())
    for first in range(1, count, 6):
        journal.extend(
            [block_from(made(first, 4, step)), made(first + 4, 2, step), columns([first, first + 3], first + 5)]
        )
        journal.commit()
    return journal


def take_up(journal: SegmentJournal, history: History, keep: Keep = EVERY) -> None:
    history.clean()
    for segment in journal.closed():
        if segment.last > history.through():
            history.compact(segment, keep.ever, whole=True)


def bare(event: Event) -> Event:
    return msgspec.structs.replace(event, sealed={})


def test_what_is_read_from_the_history_is_what_the_journal_held(tmp_path: Path) -> None:
    """Events of a type come back in order, but for sealed values; types kept for no day are not there."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    take_up(journal, history)
    last = history.through()
    assert last == journal.closed()[-1].last > 40
    events = [bare(event) for event in journal.read() if event.seq <= last and event.type != "http.request"]
    assert list(History(tmp_path / "history").read(*TYPES)) == events
    assert list(history.read("label.given")) == [event for event in events if event.type == "label.given"]
    assert not (tmp_path / "history" / "table=http.request").exists()
    assert (tmp_path / "history" / "table=other").is_dir()
    journal.close()


def test_typed_columns_hold_the_vocabularys_fields(tmp_path: Path) -> None:
    """Numbers are numbers, times are UTC, a value that is not of its field's kind is null, sealed fields are out."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    take_up(journal, history)
    frame = pl.scan_parquet(tmp_path / "history/table=order.placed/**/*.parquet", hive_partitioning=True).collect()
    orders = [event for event in journal.read() if event.type == "order.placed" and event.seq <= history.through()]
    frame = frame.sort("seq")
    assert frame["order"].to_list() == [event.data["order"] for event in orders]
    assert frame["amount"].to_list() == [event.seq if event.seq % 3 else None for event in orders]
    assert frame["time"][0] == datetime.fromtimestamp(orders[0].time // 1_000_000, UTC).replace(
        microsecond=orders[0].time % 1_000_000
    )
    assert "email" not in frame.columns
    assert set(frame["day"].cast(pl.String)) == {"2026-10-29"}
    journal.close()


def test_duckdb_reads_the_same(tmp_path: Path) -> None:
    """DuckDB counts what the journal counts (skipped where it is not installed)."""
    duckdb = pytest.importorskip("duckdb")
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    take_up(journal, history)
    asked = f"SELECT count(*), sum(amount) FROM read_parquet('{tmp_path}/history/table=order.placed/**/*.parquet')"
    orders = [event for event in journal.read() if event.type == "order.placed" and event.seq <= history.through()]
    assert duckdb.sql(asked).fetchall() == [(len(orders), sum(event.seq for event in orders if event.seq % 3))]
    journal.close()


def test_served_features_come_once_from_history_and_journal_together(tmp_path: Path) -> None:
    """Each row of the bulk lane is read once, whether its segment was taken up or not, also after removal."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    before = list(served_features(history, journal, "fraud"))
    wanted = [seq for one in before for seq in one.seq.tolist()]
    assert wanted == [seq for first in range(1, 60, 6) for seq in (first, first + 3)]
    take_up(journal, history)
    journal.covered(99)
    journal.remove(history.through())
    after = list(served_features(history, journal, "fraud"))
    assert [seq for one in after for seq in one.seq.tolist()] == wanted
    assert np.array_equal(np.concatenate([x.features for x in after]), np.concatenate([x.features for x in before]))
    assert same(list(journal.columns_behind(history.through()))[-1], before[-1])
    assert list(served_features(history, journal, "health")) == []
    labels = list(kept_events(history, journal, "label.given"))
    assert [event.seq for event in labels] == list(range(1, 61, 5))
    journal.close()


def test_a_disk_that_fails_anywhere_leaves_every_segment_in_once_or_not_at_all(tmp_path: Path) -> None:
    """Whichever operation is refused, the next writer goes on where the manifest ends."""
    journal = journal_of(tmp_path, 24)
    wanted = [bare(event) for event in journal.read() if event.seq <= journal.closed()[-1].last]
    for fails_at in range(1, 60):
        folder = tmp_path / f"history{fails_at}"
        try:
            take_up(journal, History(folder, disk=CountedDisk(fails_at)))
        except OSError:
            take_up(journal, History(folder, disk=QuickDisk()))
        history = History(folder)
        assert list(history.read(*TYPES)) == [event for event in wanted if event.type != "http.request"]
        listed = {folder / file.path for file in history.files()}
        assert set(folder.glob("table=*/*/*")) == listed
        shutil.rmtree(folder)
    journal.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.ledger.test_history import *
class Plug(QuickDisk):
    left = int(sys.argv[2])
    def sync_folder(self, folder):
        Plug.left -= 1
        if not Plug.left:
            os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
take_up(SegmentJournal(folder / "journal", 1500), History(folder / "history", disk=Plug()))
"""


def test_a_kill_anywhere_leaves_every_segment_in_once(tmp_path: Path) -> None:
    """After kill -9 between any two files the compaction goes on and no seq is there twice or missing."""
    journal = journal_of(tmp_path)
    wanted = [bare(event) for event in journal.read() if event.seq <= journal.closed()[-1].last]
    journal.close()
    for left in (3, 9, 8, 10):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(left)], timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL
    journal = SegmentJournal(tmp_path / "journal", 1500)
    history = History(tmp_path / "history")
    take_up(journal, history)
    seqs: list[int] = []
    for path in (tmp_path / "history").glob("table=[!f]*/*/*.parquet"):
        seqs += pl.read_parquet(path, hive_partitioning=False)["seq"].to_list()
    assert sorted(seqs) == [event.seq for event in wanted if event.type != "http.request"]
    journal.close()


def test_an_unfinished_line_of_the_manifest_does_not_count_and_damage_is_told(tmp_path: Path) -> None:
    """A torn last line is passed over, a line that cannot be read stops the opening."""
    journal, folder = journal_of(tmp_path), tmp_path / "history"
    take_up(journal, History(folder, disk=QuickDisk()))
    manifest = folder / MANIFEST
    lines = manifest.read_bytes().split(b"\n")
    manifest.write_bytes(b"\n".join(lines[:2]) + b"\n" + lines[2][:20])
    history = History(folder, disk=QuickDisk())
    assert len(history.entries()) == 2
    with pytest.raises(Misconfigured, match="not of one run"):
        history.compact(journal.closed()[0], EVERY.ever, whole=True)
    take_up(journal, history)
    assert History(folder).through() == journal.closed()[-1].last
    manifest.write_bytes(b"{}\n")
    with pytest.raises(Misconfigured, match="cannot be read"):
        History(folder)
    journal.close()


def test_what_is_forgotten_is_rewritten_in_the_history(tmp_path: Path) -> None:
    """A change reaches every file that holds the bytes in data or subject; stamps and other rows stay."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    take_up(journal, history)
    before = list(history.read(*TYPES))

    def change(event: Event) -> Event:
        return msgspec.structs.replace(event, data={}, seq=0) if event.subject == "account:zoe" else event

    count = sum(event.subject == "account:zoe" for event in before)
    assert history.rewrite(change, b"nobody") == 0
    assert history.rewrite(change, b"zoe") == count > 3
    after = list(History(tmp_path / "history").read(*TYPES))
    assert after == [msgspec.structs.replace(change(event), seq=event.seq) for event in before]
    journal.close()


def test_files_go_when_their_day_is_over_and_the_history_knows_how_far_it_reached(tmp_path: Path) -> None:
    """Each table by its own days; what is gone is not taken up again."""
    journal, history = journal_of(tmp_path, 60, DAY // 10), History(tmp_path / "history", disk=QuickDisk())
    take_up(journal, history)
    through, now = history.through(), journal.last()[1]
    assert history.expire(now, lambda table: 30_000 if table.startswith("features") else 30) == 0
    assert history.expire(now, lambda table: 400 if table == "label.given" else 1) > 5
    left = {file.day for file in history.files("order.placed")}
    assert min(left) >= f"{datetime.fromtimestamp((now - DAY) / 1e6, UTC):%Y-%m-%d}"
    assert len(list(history.read("label.given"))) == len([e for e in made(1, through) if e.type == "label.given"])
    assert history.expire(now + 1000 * DAY, lambda table: 1) > 0
    assert History(tmp_path / "history").through() == through
    assert not list((tmp_path / "history").glob("table=*/*/*"))
    journal.close()
