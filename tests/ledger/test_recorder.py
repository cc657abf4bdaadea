"""The process that writes verdicts: the rows that would be written here, whole batches, whoever is killed."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.test_compactor import state_of, until

from tocsin.core.records import Switch
from tocsin.core.signal import Decision, Reason, Text, Verdict
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.backup import backup
from tocsin.ledger.recorder import AT_ONCE, RecorderProcess
from tocsin.ledger.recording import Store, Writer
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.shapes import LEAST, LONGEST_KEY, MOST, SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 3 * AT_ONCE + 1


def verdict(n: int, **more: Any) -> Verdict:
    fields: dict[str, Any] = {
        "id": f"{n * 2654435761 % 2**32:08x}",
        "event_id": f"e{n}",
        "event_source": "shop",
        "event_type": "payment.attempted",
        "shop": "s",
        "subject": f"account:{n % 7}",
        "time": 5 + n,
        "tau": 6 + n,
        "computed": Decision.HOLD if n % 3 else Decision.ALLOW,
        "served": Decision.ALLOW,
        "score": n / 1000,
        "features": {"count": float(n), "missing": None},
    }
    return Verdict(**(fields | more))


def cursor(n: int) -> Switch:
    return Switch(id="cursor", number=n)


def rows(path: Path) -> tuple[list[Any], list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        verdicts = connection.execute("SELECT * FROM verdicts ORDER BY id").fetchall()
        return verdicts, connection.execute("SELECT * FROM switches").fetchall()


def told(store: Store, *pragmas: str) -> Store:
    """Return the store with other or further settings of its connection."""
    return msgspec.structs.replace(store, pragmas=(*store.pragmas, *pragmas))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[SqlRecords]:
    records = SqlRecords(f"sqlite:///{tmp_path / 'records.sqlite'}")
    yield records
    records.close()


@pytest.fixture
def store(records: SqlRecords) -> Store:
    store = records.store()
    assert store is not None
    return store


@pytest.fixture
def recorder(store: Store) -> Iterator[RecorderProcess]:
    recorder = RecorderProcess(store)
    yield recorder
    child = recorder.process
    recorder.close()
    assert not recorder.process
    assert not child or state_of(child) == ""


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=600)
WHOLE = st.integers(-(10**20), 10**20)
VERDICTS = st.builds(
    verdict,
    st.integers(0, 30),
    event_id=TEXTS,
    subject=TEXTS,
    model=TEXTS,
    tau=WHOLE,
    amount=st.none() | WHOLE,
    score=st.none() | st.floats(0, 1),
    computed=st.sampled_from(Decision),
    served=st.sampled_from(Decision),
    late=st.booleans(),
    outcome=st.sampled_from(["", "released"]),
    reasons=st.lists(st.builds(Reason, TEXTS, st.builds(Text, TEXTS, TEXTS), value=st.none() | TEXTS), max_size=2).map(
        tuple
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(VERDICTS, max_size=2 * AT_ONCE + 1), number=st.integers(0, 2**62))
def test_the_process_writes_the_rows_that_would_be_written_here(
    tmp_path_factory: pytest.TempPathFactory, records: SqlRecords, recorder: RecorderProcess, batch: list[Verdict],
    number: int,
) -> None:  # fmt: skip
    """Column for column, of whatever verdicts: the last one of an identity counts."""
    recorder.write(batch, cursor(number))
    here = SqlRecords(f"sqlite:///{tmp_path_factory.mktemp('here') / 'records.sqlite'}")
    here.table(Verdict).put_many(batch)
    for one in {one.id: one for one in batch}.values():
        assert records.table(Verdict).get(one.id) == here.table(Verdict).get(one.id) == one
    columns = "SELECT * FROM verdicts WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    ids = msgspec.json.encode([one.id for one in batch]).decode()
    found = []
    for one in (records, here):
        with one.reading() as connection:
            found.append(connection.exec_driver_sql(columns, (ids,)).all())
    assert found[0] == found[1]
    assert records.table(Switch).get("cursor") == cursor(number)
    here.close()


BOUNDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "a text that just fits": {"subject": "a" * LONGEST_KEY},
    "a text that is cut": {"subject": "a" * (LONGEST_KEY + 1)},
    "texts that fit one by one": {"subject": "a" * LONGEST_KEY, "event_id": "b" * LONGEST_KEY},
    "an id is never cut": {"id": "i" * (LONGEST_KEY + 1)},
    "characters of several bytes": {"subject": "盗" * LONGEST_KEY},
    "what folds to more": {"event_id": "STRAẞE İ"},
    "an escape": {"event_id": 'say "no"\\'},
    "no character": {"shop": "a\0b"},
    "the word for no character": {"shop": "a\\u0000b"},
    "the least and the greatest number": {"tau": LEAST, "time": MOST, "amount": MOST},
    "less than a column holds": {"tau": LEAST - 1},
    "more than a column holds": {"amount": MOST + 1},
    "what is missing": {"amount": None, "score": None},
    "late": {"late": True},
    "ended": {"outcome": "released"},
    "a whole score": {"score": 1.0},
    "a score that is no number": {"score": float("nan")},
    "reasons": {"reasons": (Reason("code", Text("en", "zh"), value=5.0),)},
}


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("more", BOUNDS.values(), ids=BOUNDS)
def test_rows_are_read_off_lines_as_off_records(store: Store, more: dict[str, Any], beside: bool) -> None:
    """The short way that most verdicts go makes the rows of the long one, up to each bound and past it."""
    batch = [verdict(1, **more), *([verdict(2)] if beside else [])]
    lines = msgspec.json.Encoder().encode_lines(batch)
    wanted = []
    for line in lines.splitlines():
        told = msgspec.json.decode(line, type=Verdict)
        row = {"id": told.id, "body": line.decode(), **SHAPES[Verdict].row(told)}
        wanted.append(tuple(row[name] for name in store.verdicts.columns))
    found = Writer(store).rows(lines)
    assert found == wanted
    kinds = [[type(value) for value in row] for row in found]
    assert [[int if kind is bool else kind for kind in row] for row in kinds] == [[*map(type, row)] for row in wanted]


def test_a_cursor_that_does_not_move_stays(records: SqlRecords, recorder: RecorderProcess) -> None:
    """Verdicts behind what was not taken are written without it; a cursor alone is written as well."""
    recorder.write([], cursor(7))
    recorder.write([verdict(1)], None)
    assert records.table(Switch).get("cursor") == cursor(7)
    assert records.table(Verdict).count() == 1


def test_a_child_that_is_killed_between_batches_is_started_again(
    records: SqlRecords, recorder: RecorderProcess
) -> None:
    """After kill -9 the next batch comes in as the one before it."""
    recorder.write([verdict(n) for n in range(COUNT)], cursor(1))
    first = recorder.process
    os.kill(first, signal.SIGKILL)
    recorder.write([verdict(n) for n in range(COUNT, 2 * COUNT)], cursor(2))
    assert recorder.process not in (0, first)
    assert records.table(Verdict).count() == 2 * COUNT
    assert records.table(Switch).get("cursor") == cursor(2)


def test_the_child_ends_when_its_parent_lets_it(records: SqlRecords, recorder: RecorderProcess) -> None:
    """A service manager that tells all processes to end does not take away who writes what waits."""
    recorder.write([verdict(1)], cursor(1))
    first = recorder.process
    os.kill(first, signal.SIGTERM)
    recorder.write([verdict(2)], cursor(2))
    assert recorder.process == first
    assert records.table(Verdict).count() == 2


def test_a_child_that_is_killed_amid_a_transaction_loses_and_repeats_nothing(
    tmp_path: Path, records: SqlRecords, store: Store
) -> None:
    """Part of its rows is in the log of the database when it dies; the batch is in the records once, and whole."""
    recorder = RecorderProcess(told(store, "cache_size=10"))
    recorder.write([verdict(0)], cursor(0))
    first, log = recorder.process, tmp_path / "records.sqlite-wal"
    before = log.stat().st_size

    def kill() -> None:
        until(lambda: log.stat().st_size > before + 200_000)
        os.kill(first, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    batch = [verdict(n) for n in range(20_000)]
    recorder.write(batch, cursor(1))
    killer.join()
    assert state_of(first) == ""
    assert recorder.process != first
    recorder.close()
    assert records.table(Verdict).count() == len(batch)
    assert len(rows(tmp_path / "records.sqlite")[0]) == len(batch)
    assert records.table(Switch).get("cursor") == cursor(1)


def test_a_child_that_dies_again_is_told_and_nothing_of_the_batch_is_there(records: SqlRecords, store: Store) -> None:
    """Killed while it waits for the database, and so is the next one: Retryable; then all goes on."""
    recorder = RecorderProcess(store)
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < 2:
            until(lambda: recorder.process not in (0, *killed))
            killed.append(recorder.process)
            os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with records.transaction():
        killer.start()
        with pytest.raises(Retryable, match="ended by signal 9"):
            recorder.write([verdict(1)], cursor(1))
        killer.join()
    assert recorder.process == 0
    assert records.table(Verdict).count() == 0
    assert records.table(Switch).get("cursor") is None
    recorder.write([verdict(1)], cursor(1))
    assert records.table(Verdict).count() == 1
    recorder.close()


PARENT = """
import sys
from tests.ledger.test_recorder import *
recorder = RecorderProcess(SqlRecords(f"sqlite:///{sys.argv[1]}").store())
recorder.write([verdict(0)], cursor(1))
print(recorder.process, flush=True)
for n in range(1, 10_000):
    recorder.write([verdict(n * 500 + k) for k in range(500)], cursor(n * 500 + 500))
    print(n * 500 + 500, flush=True)
"""


def test_the_child_ends_with_its_parent_and_what_was_told_as_written_is(tmp_path: Path) -> None:
    """After kill -9 of the parent the child is gone; cursor and rows are those of a batch that ended."""
    path = tmp_path / "records.sqlite"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        for _ in range(5):
            line = parent.stdout.readline()
        parent.kill()
        parent.wait()
        acknowledged = int((parent.stdout.read().splitlines() or [line])[-1])
    until(lambda: state_of(child) in ("", "Z"), 5)
    records = SqlRecords(f"sqlite:///{path}")
    found = records.table(Switch).get("cursor")
    assert found is not None
    assert found.number >= acknowledged
    assert records.table(Verdict).count() == 1 + found.number - 500
    records.close()
    rows(path)


def test_a_database_that_others_hold_is_told_as_locked(records: SqlRecords, store: Store) -> None:
    """The same error as of a write here; then the child goes on."""
    recorder = RecorderProcess(told(store, "busy_timeout=20"))
    with records.transaction(), pytest.raises(Retryable, match="records: database is locked"):
        recorder.write([verdict(1)], cursor(1))
    child = recorder.process
    recorder.write([verdict(1)], cursor(1))
    assert recorder.process == child
    assert records.table(Verdict).count() == 1
    recorder.close()


def test_a_full_disk_is_told_as_such_and_leaves_nothing_of_the_batch(records: SqlRecords, store: Store) -> None:
    """No page more than there are: the batch is refused whole; what needs no page is still written."""
    records.checkpoint()
    with records.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    recorder = RecorderProcess(told(store, f"max_page_count={pages}"))
    with pytest.raises(Retryable, match="records: database or disk is full"):
        recorder.write([verdict(n) for n in range(1000)], cursor(1))
    assert records.table(Verdict).count() == 0
    recorder.write([], cursor(2))
    assert records.table(Switch).get("cursor") == cursor(2)
    recorder.close()


def test_damage_and_a_missing_folder_are_for_people(tmp_path: Path, store: Store) -> None:
    """What does not pass by itself is Misconfigured, as it is where records are written here."""
    (tmp_path / "stranger").write_bytes(b"no database at all" * 1000)
    for path, words in (("stranger", "damaged"), ("nowhere/records.sqlite", "unable to open")):
        recorder = RecorderProcess(msgspec.structs.replace(store, path=str(tmp_path / path)))
        with pytest.raises(Misconfigured, match=words):
            recorder.write([verdict(1)], cursor(1))
        recorder.close()


def test_where_no_process_can_be_started_the_batch_may_be_tried_again(
    records: SqlRecords, recorder: RecorderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory for a child nothing is written and the error says why."""
    with monkeypatch.context() as less:
        less.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(Retryable, match="no process can be started"):
            recorder.write([verdict(1)], cursor(1))
    recorder.write([verdict(1)], cursor(1))
    assert records.table(Verdict).count() == 1


def test_the_child_has_nothing_of_its_parent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket and no setting of the parent; it gives way to those who answer, but is no idle process."""
    monkeypatch.setenv("TOCSIN_WEBHOOK_SECRET", "s3cret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        recorder = RecorderProcess(store)
        recorder.write([verdict(1)], cursor(1))
        process = Path(f"/proc/{recorder.process}")
        files = {Path(link.readlink()).name for link in (process / "fd").iterdir() if int(link.name) > 2}
        assert {name for name in files if not name.startswith("pipe:")} == {
            "records.sqlite", "records.sqlite-wal", "records.sqlite-shm",
        }  # fmt: skip
        assert b"TOCSIN_" not in (process / "environ").read_bytes()
        assert os.sched_getscheduler(recorder.process) == os.SCHED_OTHER
        assert os.getpriority(os.PRIO_PROCESS, recorder.process) - os.getpriority(os.PRIO_PROCESS, 0) in range(1, 19)
        recorder.close()


def test_peoples_changes_do_not_fold_the_log_of_the_verdicts(
    tmp_path: Path, records: SqlRecords, recorder: RecorderProcess
) -> None:
    """A put beside some thousand pages of verdicts in the log writes its own and moves none of them to the file."""
    records.checkpoint()
    before = (tmp_path / "records.sqlite").stat().st_size
    recorder.write([verdict(n, model="m" * 2000) for n in range(3000)], cursor(1))
    records.table(Switch).put(Switch(id="kill", number=1))
    assert (tmp_path / "records.sqlite").stat().st_size == before
    assert (tmp_path / "records.sqlite-wal").stat().st_size > 2000 * 4096
    assert records.table(Verdict).count() == 3000


def test_peoples_changes_a_backup_and_a_checkpoint_go_on_beside_it(
    tmp_path: Path, records: SqlRecords, recorder: RecorderProcess
) -> None:
    """While batches come as fast as they can, a put is taken, a copy holds whole batches, a log is emptied."""
    ended = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not ended.is_set():
            n = len(written)
            recorder.write([verdict(n * COUNT + k) for k in range(COUNT)], cursor(n))
            written.append(n)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        until(lambda: len(written) > 3)
        for n in range(20):
            records.table(Switch).put(Switch(id="kill", number=n))
        records.checkpoint()
        (tmp_path / "journal").mkdir()
        backup(tmp_path, tmp_path.with_name(tmp_path.name + "-copy"))
        until(lambda: len(written) > 8)
    finally:
        ended.set()
        thread.join()
    copied = SqlRecords(f"sqlite:///{tmp_path.with_name(tmp_path.name + '-copy') / 'records.sqlite'}")
    found = copied.table(Switch).get("cursor")
    assert found is not None
    assert copied.table(Verdict).count() == (found.number + 1) * COUNT
    assert copied.table(Switch).get("kill") == Switch(id="kill", number=19)
    copied.close()
    assert records.table(Verdict).count() == len(written) * COUNT
    records.checkpoint()
    assert recorder.process
    assert (tmp_path / "records.sqlite-wal").stat().st_size == 0
