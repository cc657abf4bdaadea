"""The journal: what was committed is there, whatever happens to the end of the last file, and damage is told."""

from __future__ import annotations

import errno
import os
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.events import Event
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.disk import Disk
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.segments import HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence


def stamped(first: int, count: int, **more: object) -> list[Event]:
    """Return stamped events from that seq on."""
    return [
        Event(
            id=f"e{seq}",
            source="test",
            type="order.placed",
            time=seq * 1000,
            data={"order": f"o{seq}", "amount": seq, **more},
            seq=seq,
            tau=seq * 1000,
        )
        for seq in range(first, first + count)
    ]


class SickDisk(Disk):
    """A disk that refuses: writes past ``room`` bytes with ENOSPC (after writing what fits), fdatasync with EIO."""

    def __init__(self) -> None:
        self.room = 1 << 40
        self.sync_fails = False

    def write_at(self, file: int, buffers: Sequence[memoryview], offset: int) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fits = memoryview(b"".join(buffers))[: self.room]
        self.room -= len(fits)
        return super().write_at(file, [fits], offset)

    def fdatasync(self, file: int) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().fdatasync(file)


class QuickDisk(Disk):
    """Leaves the syncing out where a test cuts the files by hand anyway."""

    def fdatasync(self, file: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


def write(folder: Path, groups: list[int], segment_bytes: int = 2000) -> list[Event]:
    """Write groups of events, each group one commit, and close; return them."""
    journal = SegmentJournal(folder, segment_bytes, disk=QuickDisk())
    written: list[Event] = []
    for size in groups:
        batch = stamped(len(written) + 1, size)
        journal.append(batch)
        journal.commit()
        written += batch
    journal.close()
    return written


def segments_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def test_what_is_read_is_what_was_committed_also_after_reopening(tmp_path: Path) -> None:
    written = write(tmp_path, [3, 1, 20, 7])
    assert len(segments_of(tmp_path)) > 1
    journal = SegmentJournal(tmp_path, 2000)
    assert list(journal.read()) == written
    assert list(journal.read(5)) == written[5:]
    assert list(journal.read(31)) == []
    assert journal.last() == (31, 31_000)
    assert (journal.report.events, journal.report.cut_file) == (31, "")
    journal.close()


def test_a_reader_sees_nothing_before_it_is_committed(tmp_path: Path) -> None:
    journal = SegmentJournal(tmp_path)
    journal.append(stamped(1, 2))
    assert list(journal.read()) == []
    journal.commit()
    journal.append(stamped(3, 1))
    assert [event.seq for event in journal.read()] == [1, 2]
    journal.close()


def test_a_wrong_stamp_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    journal = SegmentJournal(tmp_path)
    with pytest.raises(ValueError, match="stamped"):
        journal.append(stamped(2, 1))
    journal.append(stamped(1, 1))
    with pytest.raises(ValueError, match="stamped"):
        journal.append(stamped(1, 1))
    journal.close()


def test_a_second_process_is_told_that_the_folder_is_taken(tmp_path: Path) -> None:
    journal = SegmentJournal(tmp_path)
    with pytest.raises(Misconfigured, match="another process"):
        SegmentJournal(tmp_path)
    journal.close()
    SegmentJournal(tmp_path).close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.data())
def test_any_cut_of_the_last_segment_leaves_every_event_that_lay_before_it(
    groups: list[int], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = write(folder, groups, 1500)
        last = segments_of(folder)[-1]
        cut = data.draw(st.integers(0, last.stat().st_size))
        first = int(last.stem)
        ends = record_ends(last)
        os.truncate(last, cut)
        journal = SegmentJournal(folder, 1500, disk=QuickDisk())
        kept = list(journal.read())
        assert kept == written[: first - 1 + sum(end <= cut for end in ends)]
        again = stamped(len(kept) + 1, 3)
        journal.append(again)
        journal.commit()
        journal.close()
        journal = SegmentJournal(folder, 1500, disk=QuickDisk())
        assert list(journal.read()) == kept + again
        journal.close()


def record_ends(path: Path) -> list[int]:
    """Return where each record ends, found by hand from the format's description."""
    raw, place, ends = path.read_bytes(), HEADER.size, []
    while place < len(raw):
        length = int.from_bytes(raw[place : place + 4], "little")
        if length == 0xFFFFFFFF:
            place += 28
        else:
            place += 8 + length
            ends.append(place)
    return ends


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_byte_in_a_closed_journal_stops_the_start_and_names_the_place(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, [4, 3, 9, 2], 1500)
        path = data.draw(st.sampled_from(segments_of(folder)))
        raw = bytearray(path.read_bytes())
        # Of the closing mark itself a changed byte is a torn end: nothing but the mark is lost.
        place = data.draw(st.integers(0, len(raw) - (29 if path == segments_of(folder)[-1] else 1)))
        raw[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        with pytest.raises(Misconfigured, match=r"(damaged at byte \d+|is of version)"):
            SegmentJournal(folder, 1500, disk=QuickDisk())


def test_garbage_behind_the_last_commit_is_cut_off_and_reported(tmp_path: Path) -> None:
    written = write(tmp_path, [5])
    last = segments_of(tmp_path)[-1]
    size = last.stat().st_size
    with last.open("ab") as file:
        file.write(b"\x40\x01\x00\x00torn" + b"\0" * 4000)
    journal = SegmentJournal(tmp_path)
    assert list(journal.read()) == written
    assert (journal.report.cut_file, journal.report.cut_offset, journal.report.cut_bytes) == (last.name, size, 4008)
    assert "never been acknowledged" in str(journal.report)
    journal.close()


def test_a_missing_segment_stops_the_start(tmp_path: Path) -> None:
    write(tmp_path, [20, 20, 20], 500)
    segments_of(tmp_path)[1].unlink()
    with pytest.raises(Misconfigured, match="begins with seq 41, but seq 21 is next: a segment is missing"):
        SegmentJournal(tmp_path)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [1])
    path = segments_of(tmp_path)[0]
    raw = bytearray(path.read_bytes())
    raw[8] = 9
    raw[20:24] = zlib.crc32(raw[:20]).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(Misconfigured, match="version 9"):
        SegmentJournal(tmp_path)


@pytest.mark.parametrize("room", [0, 1, 30, 200])
def test_a_full_disk_loses_only_what_was_not_committed(tmp_path: Path, room: int) -> None:
    disk = SickDisk()
    journal = SegmentJournal(tmp_path, disk=disk)
    journal.append(stamped(1, 3))
    journal.commit()
    disk.room = room
    with pytest.raises(Retryable, match="No space left"):
        journal.append(stamped(4, 10))
    with pytest.raises(Retryable):
        journal.append(stamped(4, 10))
    with pytest.raises(Retryable):
        journal.commit()
    assert [event.seq for event in journal.read()] == [1, 2, 3]
    with pytest.raises(Retryable):
        journal.recover()
    disk.room = 1 << 40
    journal.recover()
    journal.append(stamped(4, 2))
    journal.commit()
    journal.close()
    journal = SegmentJournal(tmp_path)
    assert list(journal.read()) == stamped(1, 5)
    assert not journal.report.cut_file
    journal.close()


@pytest.mark.parametrize("committed", [0, 3])
def test_after_a_failed_fdatasync_its_pages_are_never_trusted_again(tmp_path: Path, committed: int) -> None:
    disk = SickDisk()
    journal = SegmentJournal(tmp_path, disk=disk)
    if committed:
        journal.append(stamped(1, committed))
        journal.commit()
    journal.append(stamped(committed + 1, 4))
    disk.sync_fails = True
    with pytest.raises(Retryable, match="fdatasync"):
        journal.commit()
    assert journal.last()[0] == committed
    disk.sync_fails = False
    journal.recover()
    other = stamped(committed + 1, 2, other=True)
    journal.append(other)
    journal.commit()
    journal.close()
    journal = SegmentJournal(tmp_path)
    assert list(journal.read()) == stamped(1, committed) + other
    journal.close()


def test_a_disk_that_is_full_from_the_start_is_recovered_from(tmp_path: Path) -> None:
    disk = SickDisk()
    disk.room = 0
    journal = SegmentJournal(tmp_path, disk=disk)
    with pytest.raises(Retryable):
        journal.append(stamped(1, 1))
    disk.room = 1 << 40
    journal.recover()
    journal.append(stamped(1, 1))
    journal.commit()
    assert list(journal.read()) == stamped(1, 1)
    journal.close()


def test_a_failing_disk_at_any_step_leaves_a_prefix_with_everything_committed(tmp_path: Path) -> None:
    for fails_at in range(1, 40):
        folder = tmp_path / str(fails_at)
        folder.mkdir()
        disk = CountedDisk(fails_at)
        journal = SegmentJournal(folder, 300, disk=disk)
        committed = 0
        for _ in range(12):
            try:
                journal.append(stamped(committed + 1, 2))
                journal.commit()
                committed += 2
            except Retryable:
                journal.recover()
        journal.close()
        journal = SegmentJournal(folder, 300, disk=QuickDisk())
        assert list(journal.read()) == stamped(1, committed)
        journal.close()
        assert committed >= 22


class CountedDisk(QuickDisk):
    """Refuses exactly one operation, the n-th."""

    def __init__(self, fails_at: int) -> None:
        self.left = fails_at

    def _count(self) -> None:
        self.left -= 1
        if not self.left:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write_at(self, file: int, buffers: Sequence[memoryview], offset: int) -> int:
        self._count()
        return super().write_at(file, buffers, offset)

    def fdatasync(self, file: int) -> None:
        self._count()
        super().fdatasync(file)

    def sync_folder(self, folder: Path) -> None:
        self._count()
        super().sync_folder(folder)


def test_a_large_record_is_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    written = stamped(1, 3, note="x" * 9_000_000)
    journal = SegmentJournal(tmp_path)
    journal.append(written)
    journal.commit()
    assert list(journal.read()) == written
    journal.close()


def test_rewriting_keeps_order_and_stamps_and_the_journal_goes_on(tmp_path: Path) -> None:
    write(tmp_path, [4, 4, 4], 700)
    journal = SegmentJournal(tmp_path, 700)

    def change(event: Event) -> Event:
        return msgspec.structs.replace(event, data={}, seq=99) if event.seq % 2 else event

    assert journal.rewrite(change) == 6
    journal.append(stamped(13, 2))
    journal.commit()
    journal.close()
    journal = SegmentJournal(tmp_path, 700)
    seen = list(journal.read())
    assert [event.seq for event in seen] == list(range(1, 15))
    assert all(bool(event.data) == (event.seq % 2 == 0 or event.seq > 12) for event in seen)
    journal.close()


def test_what_was_refused_is_not_there_after_a_restart(tmp_path: Path) -> None:
    disk = SickDisk()
    journal = SegmentJournal(tmp_path, disk=disk)
    journal.append(stamped(1, 2))
    journal.commit()
    journal.append(stamped(3, 2))
    disk.sync_fails = True
    with pytest.raises(Retryable):
        journal.commit()
    journal.close()
    journal = SegmentJournal(tmp_path)
    assert list(journal.read()) == stamped(1, 2)
    assert not journal.report.cut_file
    journal.close()


def test_closing_on_a_failing_disk_says_so_and_keeps_only_what_was_committed(tmp_path: Path) -> None:
    disk = SickDisk()
    journal = SegmentJournal(tmp_path, disk=disk)
    journal.append(stamped(1, 2))
    journal.commit()
    journal.append(stamped(3, 2))
    disk.sync_fails = True
    with pytest.raises(Retryable):
        journal.close()
    journal = SegmentJournal(tmp_path)
    assert list(journal.read()) == stamped(1, 2)
    journal.close()


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be used"):
        SegmentJournal(tmp_path / "file")
    write(tmp_path / "journal", [2])
    disk = SickDisk()
    disk.sync_fails = True
    with pytest.raises(Misconfigured, match="cannot be used"):
        SegmentJournal(tmp_path / "journal", disk=disk)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 4), max_size=4), st.integers(1, 12), st.data())
def test_whatever_becomes_of_an_uncommitted_tail_the_committed_events_stay(
    groups: list[int], tail: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        live, folder = Path(name) / "live", Path(name) / "killed"
        journal = SegmentJournal(live, disk=QuickDisk())
        committed = 0
        for size in groups:
            journal.append(stamped(committed + 1, size))
            journal.commit()
            committed += size
        durable = sum(path.stat().st_size for path in segments_of(live))
        # Two appends, one commit group: neither is durable.
        journal.append(stamped(committed + 1, tail))
        journal.append(stamped(committed + tail + 1, 2))
        raw = bytearray(segments_of(live)[0].read_bytes())
        journal.close()
        # The disk kept any pages of the tail, as they were, emptied or not at all.
        end = data.draw(st.integers(max(durable, HEADER.size), len(raw)))
        start = data.draw(st.integers(max(durable, HEADER.size), end))
        stop = data.draw(st.integers(start, end))
        raw[start:stop] = bytes(stop - start)
        folder.mkdir()
        (folder / segments_of(live)[0].name).write_bytes(raw[:end])
        journal = SegmentJournal(folder, disk=QuickDisk())
        kept = list(journal.read())
        assert len(kept) >= committed
        assert kept == stamped(1, committed + tail + 2)[: len(kept)]
        journal.close()
