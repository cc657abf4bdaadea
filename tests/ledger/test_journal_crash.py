"""A process that is killed while it appends loses nothing that it had acknowledged."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.test_blocks import columns
from tests.ledger.test_journal import stamped

from tocsin.core.events import Event
from tocsin.errors import Misconfigured
from tocsin.ledger.blocks import block_from
from tocsin.ledger.disk import Disk
from tocsin.ledger.journal import SegmentJournal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHILD = """
import sys
import numpy as np
from tocsin.core.events import Event
from tocsin.ledger.blocks import Columns, block_from
from tocsin.ledger.journal import SegmentJournal

bulk = sys.argv[2] == "blocks"
journal = SegmentJournal(sys.argv[1], 30_000)
seq = journal.last()[0]
while True:
    batch = [Event(id=str(seq + n), source="s", type="t", time=n, data={"x": "y" * (n * 37 % 400)}, seq=seq + n, tau=0)
             for n in range(1, 2 + seq % 17)]
    if bulk:
        n = np.array([seq + 1])
        served = Columns(seq=n, tau=n, score=n * 0.5, decision=n.astype(np.uint8) % 4, features=n.reshape(1, 1) * 1.0,
                         names=("f",), desk="d", until=batch[-1].seq)
        journal.extend([block_from(batch), served])
    else:
        journal.append(batch)
    journal.commit()
    seq = batch[-1].seq
    if bulk and seq % 5 == 0:
        journal.covered(seq - 400)
        journal.remove(seq)
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("what", ["events", "blocks"])
def test_everything_acknowledged_before_a_kill_is_there(tmp_path: Path, what: str) -> None:
    chance = random.Random(7)
    acknowledged = 0
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), what], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.2))
        os.kill(child.pid, signal.SIGKILL)
        told = child.stdout.read().split("\n")
        child.wait()
        child.stdout.close()
        # The last line may have been cut off by the kill itself.
        with contextlib.suppress(IndexError):
            acknowledged = max(acknowledged, int(told[-2]))
        journal = SegmentJournal(tmp_path)
        seqs = [event.seq for event in journal.read()]
        first = journal.first()
        assert seqs == list(range(first, first + len(seqs)))
        assert max(seqs) >= acknowledged
        assert first <= max(1, acknowledged - 300)
        if what == "blocks":
            assert acknowledged <= journal.judged() <= max(seqs)
        acknowledged = max(seqs)
        journal.close()
    assert acknowledged > 50


class Pulled(BaseException):
    """The process is gone."""


class PulledDisk(Disk):
    """Writes so many bytes, then the process is gone; what was written is what a restart finds."""

    def __init__(self, left: int) -> None:
        self.left = left

    def write_at(self, file: int, buffers: Sequence[memoryview], offset: int) -> int:
        data = b"".join(buffers)[: self.left]
        os.pwrite(file, data, offset)
        self.left -= len(data)
        if not self.left:
            raise Pulled
        return len(data)

    def fdatasync(self, file: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


@given(st.integers(1, 12_000), st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=6, max_size=12))
def test_a_kill_at_any_byte_keeps_what_was_committed_and_whole_records_alone(
    left: int, batches: list[tuple[bool, int]]
) -> None:
    """Blocks, columns, events, marks and headers, in new files and in used ones: any byte may be the last."""
    with tempfile.TemporaryDirectory() as folder:
        committed = 0
        journal = None
        try:
            journal = SegmentJournal(folder, 1200, disk=PulledDisk(left))
            for block, size in batches * 3:
                batch = stamped(committed + 1, size)
                journal.extend([block_from(batch), columns([committed + 1], committed + 1)] if block else [batch])
                journal.commit()
                committed += size
                journal.covered(committed - 10)
                journal.remove(committed)
        except Pulled:
            pass
        if journal is not None:
            # As the end of a process does; nothing else of the object is used again.
            os.close(journal._lock)
            if journal._file >= 0:
                os.close(journal._file)
        journal = SegmentJournal(folder, 1200)
        first, seqs = journal.first(), [event.seq for event in journal.read()]
        last = seqs[-1] if seqs else first - 1
        assert list(journal.read()) == stamped(first, last - first + 1)
        assert last >= committed
        assert first <= max(1, committed - 9)
        journal.append_record(block_from(stamped(last + 1, 2)))
        journal.close()
        journal = SegmentJournal(folder, 1200)
        assert journal.last()[0] == last + 2
        assert not journal.report.cut_file
        journal.close()


def test_damage_before_the_last_commit_is_no_torn_end_even_without_a_clean_close(tmp_path: Path) -> None:
    source, copy = tmp_path / "live", tmp_path / "copy"
    journal = SegmentJournal(source)
    places = []
    for seq in range(1, 6):
        journal.append([Event(id=str(seq), source="s", type="t", time=0, seq=seq, tau=0)])
        journal.commit()
        places.append(next(source.glob("*.seg")).stat().st_size)
    # What lies on disk now is what a kill would leave: no mark stands behind the last commit.
    raw = next(source.glob("*.seg")).read_bytes()
    journal.close()
    copy.mkdir()
    for hurt, stops in ((places[1] - 1, True), (places[3] - 1, True), (places[4] - 1, False)):
        changed = bytearray(raw)
        changed[hurt] ^= 1
        (copy / f"{1:020d}.seg").write_bytes(changed)
        if stops:
            with pytest.raises(Misconfigured, match="damaged"):
                SegmentJournal(copy)
        else:
            torn = SegmentJournal(copy)
            assert [event.seq for event in torn.read()] == [1, 2, 3, 4]
            assert torn.report.cut_file
            torn.close()
