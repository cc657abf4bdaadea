"""The process that writes the history: the same files as in this process, and nothing lost whoever is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl
import pytest
from tests.ledger.test_blocks import columns
from tests.ledger.test_history import EVERY, NOON, TYPES, bare, journal_of, made
from tests.ledger.test_journal import QuickDisk

from tocsin.core.events import DAY, Event
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger import compacting
from tocsin.ledger.blocks import block_from
from tocsin.ledger.compaction import compacted
from tocsin.ledger.compactor import Pace, Writer, WriterHere, WriterProcess
from tocsin.ledger.files import Files, alone
from tocsin.ledger.history import Entry, History
from tocsin.ledger.journal import SegmentJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.ledger.shelf import Closed

WORDS = ["order.placed", "payment.attempted", "label.given", "session.viewed", "cart.changed", "tocsin.mode"]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[WriterProcess]:
    writer = WriterProcess(tmp_path / "history")
    yield writer
    writer.close()
    assert not writer.process


def take(
    history: History, writer: Writer, segment: Closed, pace: Callable[[], Pace] = lambda: Pace.RUN, whole: bool = True
) -> Entry | None:
    return history.take_up(
        segment,
        lambda void: writer.write(segment, EVERY, whole=whole, pace=lambda: Pace.END if void() else pace()),
        whole=whole,
    )


def contents(history: History) -> dict[str, pl.DataFrame]:
    return {file.path: pl.read_parquet(history.folder / file.path) for file in history.files()}


def large(folder: Path, count: int = 96_000) -> SegmentJournal:
    """Return a journal of one closed segment that takes a moment: several tables of several days."""
    journal = SegmentJournal(folder / "journal", 1000, disk=QuickDisk())
    step = 2 * DAY // count
    for first in range(1, count, 1000):
        events = [
            msgspec.structs.replace(event, type=WORDS[event.seq % len(WORDS)]) for event in made(first, 1000, step)
        ]
        journal.append_record(block_from(events))
    journal.commit()
    journal.append([Event(id="last", source="test", type="tocsin.mode", time=NOON, seq=count + 1, tau=NOON + 3 * DAY)])
    journal.commit()
    return journal


def state_of(process: int) -> str:
    """Return the state of a process: R, S, T (stopped), Z; empty where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def until(done: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.002)


def written(folder: Path) -> list[Path]:
    return list((folder / "history").glob("table=*/day=*/*.parquet"))


@pytest.mark.parametrize("whole", [True, False])
def test_the_process_writes_what_would_be_written_here(tmp_path: Path, writer: WriterProcess, whole: bool) -> None:
    """File for file and value for value, segment after segment in one child; what is kept longer alone as well."""
    journal = journal_of(tmp_path)
    ours, theirs = History(tmp_path / "ours", disk=QuickDisk()), History(tmp_path / "history", disk=QuickDisk())
    here = WriterHere(Files(ours.folder, QuickDisk()))
    children = set()
    ours.clean()
    theirs.clean()
    for segment in journal.closed():
        mine, other = take(ours, here, segment, whole=whole), take(theirs, writer, segment, whole=whole)
        assert mine == other
        assert other is not None
        children.add(writer.process)
        writer.rest()
    assert len(children) == 1
    found, wanted = contents(theirs), contents(ours)
    assert found.keys() == wanted.keys()
    assert all(found[name].equals(wanted[name]) for name in wanted)
    assert any(file.table.startswith("features.") for file in theirs.files())
    assert any(file.table == "order.placed" for file in theirs.files()) is whole
    journal.close()


def test_a_large_segment_becomes_several_files_in_order(tmp_path: Path) -> None:
    """With little memory a table and day has several files; the history reads the same from them."""
    journal = SegmentJournal(tmp_path / "journal", 1000, disk=QuickDisk())
    for first in range(1, 24_000, 1000):
        journal.extend([block_from(made(first, 1000)), columns([first, first + 3], first + 999)])
    journal.commit()
    journal.append(made(24_001, 1))
    journal.commit()
    (segment,) = journal.closed()
    history = History(tmp_path / "history", disk=QuickDisk())
    files = Files(history.folder, QuickDisk())
    entry = history.take_up(
        segment, lambda void: compacted(segment, EVERY.ever, files, most_bytes=1_000_000), whole=True
    )
    assert entry is not None
    assert len(entry.files) == len({file.path for file in entry.files}) > 4
    kept = [bare(event) for event in journal.read() if event.seq <= segment.last and event.type != "http.request"]
    assert list(history.read(*TYPES)) == kept
    rows = [seq for one in history.columns("fraud") for seq in one.seq.tolist()]
    assert rows == [seq for first in range(1, 24_000, 1000) for seq in (first, first + 3)]
    journal.close()


@pytest.mark.parametrize("files", [0, 3])
def test_a_child_that_is_killed_leaves_nothing_and_is_tried_again(
    tmp_path: Path, writer: WriterProcess, files: int
) -> None:
    """After kill -9 of the child at its start, or amid its files: Retryable, no file, then the whole segment once."""
    journal = large(tmp_path)
    history = History(tmp_path / "history")
    history.clean()
    (segment,) = journal.closed()
    killed = threading.Event()

    def kill() -> None:
        until(lambda: writer.process and len(written(tmp_path)) >= files)
        os.kill(writer.process, signal.SIGKILL)
        killed.set()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(Retryable, match="ended by signal 9"):
        take(history, writer, segment)
    killer.join()
    assert killed.is_set()
    assert (history.through(), written(tmp_path), writer.process) == (0, [], 0)
    assert take(history, writer, segment) is not None
    events = [bare(event) for event in journal.read() if event.seq <= segment.last]
    assert list(History(history.folder).read(*WORDS)) == events
    journal.close()


PARENT = """
import os, sys
from pathlib import Path
from tests.ledger.test_compactor import *
folder = Path(sys.argv[1])
journal = SegmentJournal(folder / "journal", 1000)
history = History(folder / "history")
history.clean()
writer = WriterProcess(history.folder)
told = []
def pace():
    if writer.process and not told:
        told.append(writer.process)
        print(writer.process, flush=True)
    return Pace.WAIT if sys.argv[2] == "wait" and writer.process else Pace.RUN
take(history, writer, journal.closed()[0], pace)
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("pace", "files"), [("run", 2), ("wait", 0)])
def test_the_child_ends_with_its_parent_and_the_next_one_goes_on(
    tmp_path: Path, writer: WriterProcess, pace: str, files: int
) -> None:
    """After kill -9 of the parent, the child running or stopped, it is gone, and the segment comes in once."""
    large(tmp_path).close()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), pace],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        child = int(parent.stdout.readline())
        until(lambda: len(written(tmp_path)) >= files)
        if pace == "wait":
            until(lambda: state_of(child) == "T")
        parent.kill()
        parent.wait()
    until(lambda: state_of(child) in ("", "Z"), 5)
    journal, history = SegmentJournal(tmp_path / "journal", 1000), History(tmp_path / "history")
    history.clean()
    if not history.through():
        assert written(tmp_path) == []
        assert take(history, writer, journal.closed()[0]) is not None
    events = [bare(event) for event in journal.read() if event.seq <= history.through()]
    assert list(history.read(*WORDS)) == events
    journal.close()


def test_it_stands_still_while_others_are_busy_and_is_killed_where_its_work_is_void(
    tmp_path: Path, writer: WriterProcess
) -> None:
    """WAIT stops the process, RUN lets it go on, END kills it and leaves nothing."""
    journal = large(tmp_path)
    history = History(tmp_path / "history")
    history.clean()
    (segment,) = journal.closed()
    states: list[str] = []

    def pace() -> Pace:
        if len(states) < 5:
            states.append(state_of(writer.process))
            return Pace.WAIT
        return Pace.RUN if len(written(tmp_path)) < 2 else Pace.END

    assert take(history, writer, segment, pace) is None
    assert states[0] == ""
    assert set(states[2:]) == {"T"}
    assert (history.through(), written(tmp_path), writer.process) == (0, [], 0)
    journal.close()


def test_who_changes_the_history_does_not_wait_for_a_segment(tmp_path: Path, writer: WriterProcess) -> None:
    """A rewrite amid a compaction goes first; that segment is taken up again, from the journal as it is then."""
    journal = large(tmp_path)
    history = History(tmp_path / "history")
    history.clean()
    (segment,) = journal.closed()

    def change(event: Event) -> Event:
        return msgspec.structs.replace(event, data={}) if event.subject == "account:zoe" else event

    def pace() -> Pace:
        # From its first file on it stands still: the change comes amid its work however quick it is.
        return Pace.WAIT if written(tmp_path) else Pace.RUN

    went: list[Entry | None] = []
    thread = threading.Thread(target=lambda: went.append(take(history, writer, segment, pace)))
    thread.start()
    until(lambda: written(tmp_path) and state_of(writer.process) == "T")
    journal.rewrite(change, b"zoe")
    assert history.rewrite(change, b"zoe") == 0
    assert written(tmp_path) == []
    thread.join()
    assert went == [None]
    (segment,) = journal.closed()
    assert take(history, writer, segment) is not None
    events = list(history.read(*WORDS))
    assert len(events) == segment.last
    assert all(not event.data for event in events if event.subject == "account:zoe")
    journal.close()


def test_errors_of_the_child_are_those_of_the_work(tmp_path: Path, writer: WriterProcess) -> None:
    """A disk that refuses is an OSError with its number and path, damage stops with its text; then it goes on."""
    journal = journal_of(tmp_path)
    history = History(tmp_path / "history")
    history.clean()
    first = journal.closed()[0]
    in_the_way = history.folder / "table=order.placed"
    in_the_way.touch()
    with pytest.raises(FileExistsError) as refused:
        take(history, writer, first)
    assert refused.value.filename == str(in_the_way)
    assert (history.through(), written(tmp_path)) == (0, [])
    in_the_way.unlink()
    whole = first.path.read_bytes()
    first.path.write_bytes(whole[:-200] + b"x" + whole[-199:])
    with pytest.raises(Misconfigured, match=f"{first.path} is damaged at byte"):
        take(history, writer, first)
    first.path.write_bytes(whole)
    assert take(history, writer, first) is not None
    journal.close()


def test_a_full_disk_is_told_as_such() -> None:
    """The error that the child meets comes to the parent with its number, kind and text."""
    for error in (
        OSError(28, "No space left on device", "/history/x"),
        OSError("odd"),
        Retryable("r"),
        Misconfigured("m"),
    ):
        answer = msgspec.json.decode(msgspec.json.encode(compacting.Answer.of(error)), type=compacting.Answer)
        with pytest.raises(type(error)) as raised:
            answer.taken()
        if isinstance(error, OSError) and error.errno:
            assert (raised.value.errno, raised.value.filename) == (28, "/history/x")  # type: ignore[attr-defined]
        assert str(error) in str(raised.value)


def test_the_child_has_nothing_of_its_parent_and_the_lowest_priority(
    tmp_path: Path, writer: WriterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No socket, lock or setting of the parent; whole segments where nobody else runs, others as usual."""
    monkeypatch.setenv("TOCSIN_WEBHOOK_SECRET", "s3cret")
    journal = large(tmp_path)
    history = History(tmp_path / "history")
    history.clean()
    (segment,) = journal.closed()
    seen: dict[bool, tuple[int, int, list[str], bytes]] = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        for whole in (False, True):

            def pace(whole: bool = whole) -> Pace:
                child = writer.process
                if not child or (whole and len(written(tmp_path)) < 1):
                    return Pace.RUN
                process = Path(f"/proc/{child}")
                files = [str(link.readlink()) for link in (process / "fd").iterdir() if int(link.name) > 2]
                environ = (process / "environ").read_bytes()
                seen[whole] = os.sched_getscheduler(child), os.getpriority(os.PRIO_PROCESS, child), files, environ
                return Pace.END

            assert take(history, writer, segment, pace, whole=whole) is None
    assert seen[True][:2] == (os.SCHED_IDLE, 19)
    assert seen[False][:2] == (os.SCHED_OTHER, os.getpriority(os.PRIO_PROCESS, 0))
    for _, _, files, environ in seen.values():
        assert not [name for name in files if name.startswith("socket:") or name.endswith("/journal/lock")]
        assert b"TOCSIN_" not in environ
        assert b"POLARS_MAX_THREADS=1" in environ
    journal.close()


def test_no_two_processes_write_in_one_folder(tmp_path: Path, writer: WriterProcess) -> None:
    """While another one is at its last write the next one waits, then says so and is tried again."""
    journal = journal_of(tmp_path)
    history = History(tmp_path / "history")
    history.clean()
    with alone(history.folder), pytest.raises(Retryable, match="another process writes"):
        take(history, writer, journal.closed()[0])
    assert take(history, writer, journal.closed()[0]) is not None
    journal.close()
