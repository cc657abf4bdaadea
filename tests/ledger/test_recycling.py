"""Recycling: what leaves the journal is what nobody needs, and a used file passes nothing of its past."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.test_journal import CountedDisk, QuickDisk, segments_of, stamped

from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.backup import backup, restore
from tocsin.ledger.blocks import block_from
from tocsin.ledger.history import History
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.parts import Place
from tocsin.ledger.shelf import FLOOR, held

Steps = st.lists(
    st.tuples(st.sampled_from(["block", "events", "remove", "kill", "close"]), st.integers(1, 6)), max_size=25
)


@given(Steps, st.booleans())
def test_whatever_is_removed_and_however_it_ends_the_rest_is_read_in_order(
    steps: list[tuple[str, int]], reuse: bool
) -> None:
    """After appends, removals, kills and restarts in any order all events behind the floor are there."""
    with tempfile.TemporaryDirectory() as name:
        folder, generation = Path(name) / "0", 0
        journal = SegmentJournal(folder, 900, disk=QuickDisk())
        count = 0
        for kind, size in steps:
            if kind in ("block", "events"):
                batch = stamped(count + 1, size)
                journal.extend([block_from(batch) if kind == "block" else batch])
                journal.commit()
                count += size
            elif kind == "remove":
                journal.covered(max(0, count - size))
                journal.remove(count - 1, reuse=reuse)
            elif kind == "kill":
                generation += 1
                copy = Path(name) / str(generation)
                shutil.copytree(folder, copy)
                journal.close()
                folder = copy
                journal = SegmentJournal(folder, 900, disk=QuickDisk())
            else:
                journal.close()
                journal = SegmentJournal(folder, 900, disk=QuickDisk(), trusted=max(0, count - size))
                assert not journal.report.cut_file
            first = journal.first()
            assert list(journal.read()) == stamped(first, count - first + 1)
            assert journal.last() == (count, count * 1000)
        journal.close()


def grown(folder: Path, count: int = 12) -> SegmentJournal:
    """Return a journal of ``count`` segments of one block of two events each."""
    journal = SegmentJournal(folder, 10, disk=QuickDisk())
    for first in range(1, 2 * count, 2):
        journal.append_record(block_from(stamped(first, 2)))
        journal.commit()
    return journal


def test_nothing_is_removed_that_no_snapshot_covers(tmp_path: Path) -> None:
    """A segment goes only when its last event is covered; the open one never goes."""
    journal = grown(tmp_path)
    assert journal.remove(99) == 0
    journal.covered(5)
    assert [one.last for one in journal.closed()] == list(range(2, 24, 2))
    assert journal.remove(99) == 2
    assert journal.first() == 5
    journal.covered(99)
    assert journal.remove(8) == 2
    assert journal.remove(99) == 7
    assert list(journal.read()) == stamped(23, 2)
    journal.close()


def test_removed_files_are_written_over_and_never_show_what_they_held(tmp_path: Path) -> None:
    """Two spares wait; a new segment takes one, and its longer old content is cut off when it closes or is found."""
    journal = SegmentJournal(tmp_path / "a", 10, disk=QuickDisk())
    for first in range(1, 60, 20):
        journal.append_record(block_from(stamped(first, 20)))
        journal.commit()
    journal.covered(60)
    inodes = {path.stat().st_ino for path in segments_of(tmp_path / "a")[:2]}
    assert journal.remove(40) == 2
    assert len(list((tmp_path / "a").glob("spare-*"))) == 2
    journal.append_record(block_from(stamped(61, 2)))
    journal.commit()
    newest = segments_of(tmp_path / "a")[-1]
    assert newest.stat().st_ino in inodes
    shutil.copytree(tmp_path / "a", tmp_path / "killed")
    killed = SegmentJournal(tmp_path / "killed")
    assert list(killed.read(60)) == stamped(61, 2)
    assert "used before" in killed.report.reason
    killed.close()
    journal.append_record(block_from(stamped(63, 2)))
    journal.commit()
    size = newest.stat().st_size
    assert size < 2000
    journal.close()
    journal = SegmentJournal(tmp_path / "a")
    assert list(journal.read(40)) == stamped(41, 24)
    journal.close()


def test_forgetting_leaves_no_spare_with_what_it_held(tmp_path: Path) -> None:
    """A rewrite removes the files that wait to be written over."""
    journal = grown(tmp_path)
    journal.covered(99)
    journal.remove(8)
    journal.rewrite(lambda event: event)
    assert not list(tmp_path.glob("spare-*"))
    journal.remove(12, reuse=False)
    assert not list(tmp_path.glob("spare-*"))
    journal.close()


def test_a_reader_under_way_keeps_its_segments(tmp_path: Path) -> None:
    """Nothing that a reader may still ask for is removed or written over."""
    journal = grown(tmp_path)
    journal.covered(99)
    reader = journal.read(4)
    assert next(reader).seq == 5
    assert journal.remove(99) == 2
    assert [next(reader).seq for _ in range(4)] == [6, 7, 8, 9]
    # It has gone on: what lies behind it may go.
    assert journal.remove(99) == 2
    assert [event.seq for event in reader] == list(range(10, 25))
    assert journal.remove(99) == 7
    journal.close()


def test_a_removal_that_was_cut_off_is_finished_at_the_next_start(tmp_path: Path) -> None:
    """Once the floor is written the segments below it are no longer part of the journal."""
    journal = grown(tmp_path)
    journal.close()
    (tmp_path / FLOOR).write_bytes(msgspec.json.encode(Place(6, 0, 0)))
    journal = SegmentJournal(tmp_path)
    assert list(journal.read()) == stamped(7, 18)
    journal.close()
    segments_of(tmp_path)[0].unlink()
    with pytest.raises(Misconfigured, match="a segment is missing"):
        SegmentJournal(tmp_path)
    (tmp_path / FLOOR).write_bytes(b"{")
    with pytest.raises(Misconfigured, match="cannot be read"):
        SegmentJournal(tmp_path)


def test_a_disk_that_fails_anywhere_in_removal_and_reuse_loses_nothing_committed(tmp_path: Path) -> None:
    """Whichever operation is refused once, what was committed behind the floor is read after a restart."""
    for fails_at in range(1, 70):
        folder = tmp_path / str(fails_at)
        folder.mkdir()
        journal = SegmentJournal(folder, 10, disk=CountedDisk(fails_at))
        count = 0
        while count < 30:
            try:
                journal.append_record(block_from(stamped(count + 1, 2)))
                journal.commit()
                count += 2
                journal.covered(count - 4)
                journal.remove(count)
            except Retryable:
                journal.recover()
        journal.close()
        journal = SegmentJournal(folder, 10, disk=QuickDisk())
        first = journal.first()
        assert first >= 19
        assert list(journal.read()) == stamped(first, count - first + 1)
        journal.close()


def test_a_trusted_segment_is_not_read_at_the_start_and_its_damage_shows_when_it_is(tmp_path: Path) -> None:
    """Up to a snapshot only headers are looked at; the rest is checked byte for byte."""
    journal = grown(tmp_path)
    journal.close()
    path = segments_of(tmp_path)[1]
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 1
    path.write_bytes(raw)
    with pytest.raises(Misconfigured, match="damaged"):
        SegmentJournal(tmp_path)
    journal = SegmentJournal(tmp_path, trusted=8)
    assert journal.last() == (24, 24_000)
    assert list(journal.read(8)) == stamped(9, 16)
    with pytest.raises(Misconfigured, match="damaged"):
        list(journal.read())
    journal.close()
    path.unlink()
    journal = SegmentJournal(tmp_path, trusted=8)
    with pytest.raises(Misconfigured, match="missing"):
        list(journal.read())
    journal.close()


def test_nothing_is_removed_while_a_backup_holds_the_folder(tmp_path: Path) -> None:
    """Who holds the folder, in whatever process, keeps all of it."""
    journal = grown(tmp_path)
    journal.covered(99)
    with held(tmp_path):
        assert journal.remove(4) == 0
    assert journal.remove(4) == 2
    journal.close()


def test_a_backup_of_a_recycled_journal_is_read_like_the_journal(tmp_path: Path) -> None:
    """Floor, segments and history are copied, spares are not; the copy begins where the journal does."""
    journal = grown(tmp_path / "data" / "journal")
    history = History(tmp_path / "data" / "history")
    history.clean()
    history.compact(journal.closed()[0], lambda name: True, whole=True)
    journal.covered(99)
    journal.remove(4)
    manifest = backup(tmp_path / "data", tmp_path / "copy")
    assert not [name for name in manifest.files if "spare" in name or "hold" in name]
    restore(tmp_path / "copy", tmp_path / "restored")
    copied = SegmentJournal(tmp_path / "restored" / "journal")
    assert list(copied.read()) == list(journal.read()) == stamped(5, 20)
    assert History(tmp_path / "restored" / "history").entries() == history.entries()
    copied.close()
    journal.close()


def test_readers_never_see_a_file_that_is_written_over(tmp_path: Path) -> None:
    """While one thread appends, removes and writes used files over, another reads whole and contiguous stretches."""
    journal = SegmentJournal(tmp_path, 400, disk=QuickDisk())
    wrong: list[object] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            try:
                seqs = [event.seq for event in journal.read()]
            except Misconfigured as error:
                wrong.append(error)
                return
            if seqs and seqs != list(range(seqs[0], seqs[0] + len(seqs))):
                wrong.append(seqs)
            ended.wait(0.003)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for first in range(1, 1200, 3):
        journal.append_record(block_from(stamped(first, 3)))
        journal.commit()
        journal.covered(first - 6)
        journal.remove(first)
    ended.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert journal.first() > 1
    journal.close()
