"""Blocks and columns: what goes in as lines and arrays comes out as the same events and numbers."""

from __future__ import annotations

import struct
import tempfile
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.test_journal import QuickDisk, SickDisk, stamped

from tocsin.core.events import Event
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger import segments
from tocsin.ledger.blocks import (
    Block,
    Columns,
    Malformed,
    block_from,
    block_head,
    block_of,
    columns_buffers,
    columns_of,
)
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.memory import MemoryJournal
from tocsin.ledger.parts import Part
from tocsin.ledger.segments import HEADER

Steps = st.lists(st.sampled_from([0, 1, 255, 256, 70_000, 1 << 33]), max_size=20)


def columns(seqs: list[int], until: int, names: tuple[str, ...] = ("a", "b")) -> Columns:
    n = len(seqs)
    return Columns(
        seq=np.array(seqs, np.int64),
        tau=np.array(seqs, np.int64) * 1000,
        score=np.linspace(0, 1, n),
        decision=np.arange(n, dtype=np.uint8) % 4,
        features=np.arange(n * len(names), dtype=np.float64).reshape(n, len(names)),
        names=names,
        desk="fraud",
        model="v3",
        until=until,
    )


def same(one: Columns, other: Columns) -> bool:
    plain = [getattr(one, name) == getattr(other, name) for name in ("names", "desk", "model", "until", "kind")]
    arrays = ("seq", "tau", "score", "decision", "features")
    return all(plain) and all(np.array_equal(getattr(one, x), getattr(other, x), equal_nan=True) for x in arrays)


@given(Steps, st.integers(-5, 1 << 50), st.lists(st.text(max_size=9), max_size=3), st.booleans())
def test_a_block_is_read_as_it_was_written_whatever_the_steps_of_tau(
    steps: list[int], first: int, types: list[str], singly: bool
) -> None:
    """A block is read as it was written, whatever the steps of tau."""
    taus = np.cumsum([first, *steps]).astype(np.int64)
    named = tuple(kind.replace("\n", "") or "t" for kind in types)
    block = Block(7, taus, b"\n".join(b"line" for _ in taus), named, singly)
    back = block_of(memoryview(block_head(block, first) + block.lines))
    assert (back.first_seq, back.taus.tolist(), bytes(back.lines), back.types) == (7, taus.tolist(), block.lines, named)
    assert (back.singly, back.after(7).singly) == (singly, singly)


@given(st.integers(1, 9), st.integers(0, 20))
def test_a_block_can_be_cut_at_any_seq(count: int, cut: int) -> None:
    """What is left of a block after a cut are the events above the cut."""
    events = stamped(5, count, text="中\n文")
    block = block_from(events)
    assert block.events() == events
    left = block.after(cut)
    if cut < block.last_seq:
        assert left.events() == [event for event in events if event.seq > cut]


@given(st.integers(0, 9), st.integers(0, 3), st.integers(0, 12))
def test_columns_are_read_as_they_were_written_and_cut_at_any_seq(rows: int, features: int, cut: int) -> None:
    """Columns are read as they were written; a cut leaves the rows above it."""
    made = columns(list(range(2, 2 + rows)), 20, tuple("abc"[:features]))
    back = columns_of(memoryview(b"".join(columns_buffers(made))))
    assert same(back, made)
    assert back.after(cut).seq.tolist() == [seq for seq in made.seq.tolist() if seq > cut]


def test_a_block_that_says_something_impossible_is_refused() -> None:
    """A head that promises more than there is, too many lines and unknown flags are told apart from events."""
    block = block_from(stamped(1, 3))
    with pytest.raises(Malformed, match="3 events holds 2"):
        Block(1, block.taus, block.lines[: bytes(block.lines).rindex(b"\n")]).events()
    with pytest.raises(Malformed, match="no event"):
        Block(1, block.taus[:1], b"[]").events()
    with pytest.raises(Malformed, match="shorter"):
        block_of(memoryview(b"x"))
    head = bytearray(block_head(block, 0))
    head[21] = 2
    with pytest.raises(Malformed, match="impossible"):
        block_of(memoryview(bytes(head)))
    with pytest.raises(ValueError, match="runs back"):
        block_head(Block(1, np.array([5, 4]), b""), 0)
    with pytest.raises(ValueError, match="runs back"):
        block_head(block, 9_000_000)
    with pytest.raises(Malformed, match="fill"):
        columns_of(memoryview(b"".join(columns_buffers(columns([1], 1)))[:-1]))


Plan = st.lists(
    st.tuples(st.sampled_from(["events", "block", "singly", "columns"]), st.integers(1, 5), st.booleans()), max_size=9
)


def parts_of(plan: list[tuple[str, int, bool]]) -> tuple[list[tuple[Part, bool]], list[Event], list[Columns]]:
    """Return parts with whether a commit follows, and what they hold."""
    parts: list[tuple[Part, bool]] = []
    events: list[Event] = []
    judged: list[Columns] = []
    for kind, size, commit in plan:
        seq = len(events)
        if kind == "columns":
            judged.append(columns([seq] if seq else [], seq))
            parts.append((judged[-1], commit))
        else:
            batch = stamped(seq + 1, size)
            events += batch
            parts.append((batch if kind == "events" else block_from(batch, singly=kind == "singly"), commit))
    return parts, events, judged


@given(Plan, st.integers(0, 30), st.integers(100, 3000))
def test_every_way_of_reading_yields_what_was_appended_in_every_backend(
    plan: list[tuple[str, int, bool]], after: int, segment_bytes: int
) -> None:
    """Events, blocks and columns come back in order, from any seq on, in memory and on disk, also after reopening."""
    parts, events, judged = parts_of(plan)
    with tempfile.TemporaryDirectory() as name:
        disk = SegmentJournal(Path(name), segment_bytes, disk=QuickDisk())
        for journal in (disk, MemoryJournal()):
            for part, commit in parts:
                journal.extend([part])
                if commit:
                    journal.commit()
            journal.commit()
        disk.close()
        reopened = SegmentJournal(Path(name), segment_bytes, disk=QuickDisk())
        for back in (journal, reopened):
            assert list(back.read(after)) == events[after:]
            # Callers' events and their verdicts are lists again, to whoever reads.
            assert not any(one.singly for one in back.read_blocks(after) if isinstance(one, Block))
            again = [one.events() if isinstance(one, Block) else one for one in back.read_blocks(after)]
            assert [event for one in again for event in one] == events[after:]
            wanted = [one.after(after) for one in judged if one.until > after]
            found = list(back.read_columns(after))
            assert len(found) == len(wanted)
            assert all(map(same, found, wanted))
            assert back.last() == ((len(events), len(events) * 1000) if events else (0, 0))
            assert back.judged() == max((one.until for one in judged), default=0)
        reopened.close()


def test_parts_are_appended_together_or_not_at_all(tmp_path: Path) -> None:
    """Where one part is wrong none is written."""
    journal = SegmentJournal(tmp_path)
    for wrong in (block_from(stamped(4, 1)), columns([9], 9), stamped(1, 1)):
        with pytest.raises(ValueError, match="stamped"):
            journal.extend([block_from(stamped(1, 2)), wrong])
    journal.extend([block_from(stamped(1, 2)), stamped(3, 1), columns([2, 3], 3)])
    journal.commit()
    assert list(journal.read()) == stamped(1, 3)
    journal.close()


@pytest.mark.parametrize("room", [0, 40, 300, 1000])
def test_a_full_disk_loses_no_committed_block(tmp_path: Path, room: int) -> None:
    """What a full disk refuses is void, what was committed stays, and the journal goes on."""
    disk = SickDisk()
    journal = SegmentJournal(tmp_path, disk=disk)
    journal.extend([columns([], 0)])
    journal.commit()
    disk.room = room
    with pytest.raises(Retryable, match="No space left"):
        journal.append_record(block_from(stamped(1, 30)))
    disk.room = 1 << 40
    journal.recover()
    assert len(list(journal.read_columns(-1))) == 1
    journal.append_record(block_from(stamped(1, 2)))
    journal.commit()
    disk.room = room
    with pytest.raises(Retryable, match="No space left"):
        journal.append_record(block_from(stamped(3, 30)))
    disk.room = 1 << 40
    journal.recover()
    journal.append_record(block_from(stamped(3, 3)))
    journal.commit()
    journal.close()
    journal = SegmentJournal(tmp_path)
    assert list(journal.read()) == stamped(1, 5)
    journal.close()


@given(st.data())
def test_any_cut_and_any_changed_byte_of_blocks_is_a_torn_end_or_damage(data: st.DataObject) -> None:
    """A cut leaves the whole records before it; a changed byte in a closed journal stops the start, never passes."""
    plan = data.draw(Plan.filter(bool))
    parts, events, _ = parts_of(plan)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = SegmentJournal(folder, disk=QuickDisk())
        for part, _ in parts:
            journal.extend([part])
            journal.commit()
        journal.close()
        path = next(folder.glob("*.seg"))
        raw = path.read_bytes()
        if data.draw(st.booleans()):
            path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
            journal = SegmentJournal(folder, disk=QuickDisk())
            kept = list(journal.read())
            sizes = {0}
            for part, _ in parts:
                sizes.add(
                    max(sizes)
                    + (0 if isinstance(part, Columns) else len(part.taus) if isinstance(part, Block) else len(part))
                )
            assert kept == events[: len(kept)]
            blocks_only = all(kind != "events" for kind, *_ in plan)
            assert not blocks_only or len(kept) in sizes
            journal.append_record(block_from(stamped(len(kept) + 1, 2)))
            journal.close()
        elif len(raw) > HEADER.size:
            place = data.draw(st.integers(0, len(raw) - 29))
            changed = bytearray(raw)
            changed[place] ^= data.draw(st.integers(1, 255))
            path.write_bytes(changed)
            with pytest.raises(Misconfigured, match=r"(damaged at byte \d+|is of version)"):
                SegmentJournal(folder, disk=QuickDisk())


def test_a_segment_of_version_1_is_read_and_followed_by_one_of_version_2(tmp_path: Path) -> None:
    """What an earlier version wrote stays as it is; blocks begin a new segment."""
    body = struct.pack("<8sHHQ", segments.MAGIC, 1, 0, 1)
    raw = body + struct.pack("<I", zlib.crc32(body))
    old = raw + segments.framed([msgspec.msgpack.encode(event) for event in stamped(1, 4)], 0)
    old += segments.mark(len(old), 0)
    path = tmp_path / segments.segment_name(1)
    path.write_bytes(old)
    journal = SegmentJournal(tmp_path)
    journal.append_record(block_from(stamped(5, 3)))
    journal.commit()
    assert list(journal.read()) == stamped(1, 7)
    assert path.read_bytes() == old
    assert journal.rewrite(lambda event: msgspec.structs.replace(event, data={})) == 7
    journal.close()
    journal = SegmentJournal(tmp_path)
    assert [(event.seq, event.data) for event in journal.read()] == [(seq, {}) for seq in range(1, 8)]
    journal.close()


def test_an_empty_segment_of_version_1_is_replaced(tmp_path: Path) -> None:
    """A header alone is no reason to keep two segments of one name."""
    body = struct.pack("<8sHHQ", segments.MAGIC, 1, 0, 1)
    (tmp_path / segments.segment_name(1)).write_bytes(body + struct.pack("<I", zlib.crc32(body)))
    journal = SegmentJournal(tmp_path)
    journal.append_record(block_from(stamped(1, 3)))
    journal.commit()
    assert list(journal.read()) == stamped(1, 3)
    journal.close()


def test_rewriting_leaves_untouched_blocks_byte_for_byte_and_keeps_columns(tmp_path: Path) -> None:
    """Only blocks that hold a changed event are encoded again; verdicts in columns stay."""
    journal = SegmentJournal(tmp_path)
    odd = Block(1, np.array([1000]), b'{"id":"e1" , "source":"test","type":"t","time":1}')
    journal.extend([odd, block_from(stamped(2, 2), singly=True), columns([2, 3], 3)])

    def change(event: Event) -> Event:
        return msgspec.structs.replace(event, data={"left": 1}) if event.seq == 3 else event

    assert journal.rewrite(change) == 1
    blocks = list(journal.read_blocks())
    assert isinstance(blocks[0], Block)
    assert isinstance(blocks[1], list)
    assert bytes(blocks[0].lines) == odd.lines
    assert [event.data.get("left") for event in journal.read()] == [None, None, 1]
    assert [one.seq.tolist() for one in journal.read_columns()] == [[2, 3]]
    journal.append(stamped(4, 1))
    journal.close()


@given(st.integers(1, 9), st.booleans(), st.sets(st.sampled_from(["a", "b", "c"])))
def test_events_of_chosen_types_are_those_that_would_be_left_of_all(count: int, known: bool, types: set[str]) -> None:
    """Choosing before decoding gives what choosing after it gives, whether the block names its types or not."""
    events = [msgspec.structs.replace(event, type="abc"[event.seq * 7 % 3]) for event in stamped(1, count, text="中")]
    block = block_from(events)
    if not known:
        block = Block(block.first_seq, block.taus, block.lines)
    assert block.chosen(lambda name: name in types) == [event for event in events if event.type in types]


def test_choosing_refuses_what_reading_refuses() -> None:
    """Too few lines and lines that are no events are told, whatever is chosen."""
    taus = np.array([1, 2], np.int64)
    for lines in (b'{"type":"a"}', b'{"type":"a"}\n{"type":3}', b'{"type":"a"}\n{"type":"b"}'):
        with pytest.raises(Malformed):
            Block(1, taus, lines).chosen(lambda name: True)
