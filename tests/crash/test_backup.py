"""A backup of a server under load: snapshots come and go, segments are recycled, and the copy is an installation."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.crash.test_kill import BATCHES, EVENTS, Kept, Server

from tocsin.ledger.history import History
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.records import SqlRecords
from tocsin.runtime.clock import SystemClock
from tocsin.server.accounts import Accounts

TOCSIN = (sys.executable, "-m", "tocsin.cli")


def command(*arguments: str | Path) -> None:
    done = subprocess.run([*TOCSIN, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def sent(folder: Path) -> list[str]:
    """Return the ids of the run's events that an installation remembers, in order."""
    journal = SegmentJournal(folder / "journal")
    try:
        return [event.id for event in Kept(History(folder / "history"), journal).read()]
    finally:
        journal.close()


@pytest.mark.xdist_group("crash")
@pytest.mark.parametrize("how", ["copy", "fork"])
def test_a_backup_under_load_restores_to_a_server_that_goes_on(tmp_path: Path, how: str) -> None:
    """What was settled before the backup is in it; the restored server takes the rest, and nothing twice."""
    folder = tmp_path / "data"
    folder.mkdir()
    server = Server(folder, how)
    assert server.up()
    records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
    key, _ = Accounts(records, SystemClock().now).make_key("crash", ("events",), shop="default", who="test")
    records.close()
    half = len(BATCHES) // 2
    for body in BATCHES[:half]:
        assert server.send(key, body)
    feeding = threading.Thread(target=lambda: [server.send(key, body) for body in BATCHES[half:]])
    feeding.start()
    for number in range(3):
        command("backup", tmp_path / f"backup{number}", "--data-dir", folder)
    feeding.join()
    assert server.stop()
    shutil.rmtree(folder)
    for number in range(3):
        restored = tmp_path / f"restored{number}"
        command("restore", tmp_path / f"backup{number}", "--data-dir", restored)
        found = sent(restored)
        assert found == [str(at) for at in range(len(found))]
        assert len(found) >= half * EVENTS // len(BATCHES)
    again = Server(restored, how)
    assert again.up()
    for body in BATCHES:
        assert again.send(key, body)
    assert again.stop()
    assert sent(restored) == [str(at) for at in range(EVENTS)]
