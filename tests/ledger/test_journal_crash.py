"""A process that is killed while it appends loses nothing that it had acknowledged."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tocsin.core.events import Event
from tocsin.errors import Misconfigured
from tocsin.ledger.journal import SegmentJournal

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import sys
from tocsin.core.events import Event
from tocsin.ledger.journal import SegmentJournal

journal = SegmentJournal(sys.argv[1], 30_000)
seq = journal.last()[0]
while True:
    batch = [Event(id=str(seq + n), source="s", type="t", time=n, data={"x": "y" * (n * 37 % 400)}, seq=seq + n, tau=0)
             for n in range(1, 2 + seq % 17)]
    journal.append(batch)
    journal.commit()
    seq = batch[-1].seq
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


def test_everything_acknowledged_before_a_kill_is_there(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged = 0
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
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
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= acknowledged
        acknowledged = len(seqs)
        journal.close()
    assert acknowledged > 50


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
