"""What was folded reaches the disk once and in order; those who wait hear of it once, whatever becomes of the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tocsin.core.events import Event
from tocsin.errors import Retryable
from tocsin.ledger.memory import MemoryJournal
from tocsin.runtime import outbox as under_test
from tocsin.runtime.outbox import Outbox, Parcel
from tocsin.telemetry import Plane


def events(first: int, n: int = 1) -> list[Event]:
    return [
        Event(id=str(seq), source="s", type="t", time=seq, seq=seq, tau=seq, data={}) for seq in range(first, first + n)
    ]


class Disk(MemoryJournal):
    """A journal that waits for a gate, can be full, and can be broken; it counts its commits."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.full = False
        self.broken = False
        self.commits = 0

    def commit(self) -> None:
        self.reached.set()
        assert self.gate.wait(10)
        if self.broken:
            raise ValueError("a fault of our own")
        if self.full:
            raise Retryable("no space left on the device", after_s=5)
        super().commit()
        self.commits += 1

    def recover(self) -> None:
        if self.full:
            raise Retryable("no space left on the device", after_s=5)
        self._pending.clear()
        self._next = self._at


class Writer:
    """An outbox over such a disk, with what it told in the order in which it was told."""

    def __init__(self, most_events: int = 1000) -> None:
        self.disk = Disk()
        self.log: list[tuple[str, int, str]] = []
        self.keys = 0
        self.outbox = Outbox(
            self.disk, flush_keys=self.flush, plane=Plane(), refused=self.refused, most_events=most_events
        )
        self.refusals: list[str] = []

    def flush(self) -> None:
        self.keys += 1

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def put(self, first: int, n: int = 1, *, size: int = 0) -> None:
        def told(error: Retryable | None) -> None:
            self.log.append(("told", first, error.reason if error else ""))

        def published() -> None:
            self.log.append(("published", first, ""))

        def lost(error: Retryable) -> None:
            self.log.append(("lost", first, error.reason))

        records: Sequence[Any] = [events(first, n)] if n else ()
        self.outbox.put(Parcel(records, told, published, lost=lost, size=size, rows=n))

    def of(self, what: str) -> list[int]:
        return [first for kind, first, _ in self.log if kind == what]


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(under_test, "RETRY_S", 0.005)
    made = Writer()
    yield made
    made.disk.gate.set()
    made.disk.full = made.disk.broken = False
    made.outbox.stop()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_order_is_kept_and_everyone_is_told_once_before_it_is_published(writer: Writer) -> None:
    """Parcels reach the journal as they were put; nobody is published to before it is on disk."""
    writer.outbox.start()
    for first in range(1, 200):
        writer.put(first)
    assert writer.outbox.drained(10)
    assert [event.seq for event in writer.disk.read(0)] == list(range(1, 200))
    assert writer.of("told") == writer.of("published") == list(range(1, 200))
    assert all(writer.log.index(("told", n, "")) < writer.log.index(("published", n, "")) for n in range(1, 200))
    assert writer.outbox.waiting_bytes == writer.outbox.waiting_events == 0


def test_what_waits_goes_into_one_commit(writer: Writer) -> None:
    """While the disk is busy parcels gather; keys are made durable before each commit."""
    writer.disk.gate.clear()
    writer.outbox.start()
    writer.put(1)
    assert writer.disk.reached.wait(10)
    for first in range(2, 50):
        writer.put(first)
    writer.disk.gate.set()
    assert writer.outbox.drained(10)
    assert writer.disk.commits == writer.keys == 2


def test_a_commit_is_bounded_in_bytes(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait do not wait for more than a bounded write; a larger parcel goes alone."""
    monkeypatch.setattr(under_test, "MOST_BYTES", 100)
    for first, size in ((1, 60), (2, 60), (3, 30), (4, 500), (5, 10)):
        writer.put(first, size=size)
    writer.outbox.start()
    assert writer.outbox.drained(10)
    assert writer.disk.commits == 4
    assert [event.seq for event in writer.disk.read(0)] == [1, 2, 3, 4, 5]


def test_a_disk_that_refuses_and_recovers_loses_nothing_and_repeats_nothing(writer: Writer) -> None:
    """Who waits is told of the refusal at once, and once; the records come first when the disk is back."""
    writer.disk.full = True
    writer.outbox.start()
    for first in range(1, 6):
        writer.put(first)
        time.sleep(0.004)
    until(lambda: len(writer.of("told")) == 5)
    assert {reason for kind, _, reason in writer.log if kind == "told"} == {"no space left on the device"}
    assert writer.outbox.refusing == "no space left on the device"
    assert writer.outbox.room(0), "a disk that refuses is said to, not waited for"
    assert not writer.of("published")
    writer.disk.full = False
    writer.put(6)
    assert writer.outbox.drained(10)
    assert not writer.outbox.refusing
    assert [event.seq for event in writer.disk.read(0)] == [1, 2, 3, 4, 5, 6]
    assert writer.of("told") == writer.of("published") == [1, 2, 3, 4, 5, 6]
    assert not writer.of("lost")
    assert writer.refusals == ["no space left on the device"]


@pytest.mark.parametrize("size", [0, under_test.MOST_UNWRITTEN])
def test_the_fold_waits_while_too_much_is_unwritten(size: int) -> None:
    """Events and bytes that wait for the disk are bounded; room comes back with the disk."""
    writer = Writer(most_events=10)
    writer.disk.gate.clear()
    writer.outbox.start()
    assert writer.outbox.room(0)
    writer.put(1, 1 if size else 10, size=size)
    assert not writer.outbox.room(0.01)
    writer.disk.gate.set()
    assert writer.outbox.room(10)
    writer.outbox.stop()


def test_a_stop_writes_what_waits(writer: Writer) -> None:
    """By order nothing is left behind."""
    for first in range(1, 20):
        writer.put(first)
    writer.outbox.start()
    writer.outbox.stop()
    assert writer.of("published") == list(range(1, 20))


def test_a_stop_while_the_disk_refuses_ends_and_says_what_is_lost(writer: Writer) -> None:
    """It asks the disk once more, then tells whoever waits; what comes later hears so at once."""
    writer.disk.full = True
    writer.outbox.start()
    writer.put(1)
    until(lambda: bool(writer.outbox.refusing))
    writer.put(2)
    writer.outbox.stop()
    writer.put(3)
    assert sorted(writer.of("told")) == [1, 2, 3]
    assert writer.of("lost") == [1, 2, 3]
    assert not writer.of("published")
    assert not list(writer.disk.read(0))
    assert not writer.outbox.drained(0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_the_writer_tells_everyone(writer: Writer) -> None:
    """A thread that dies takes nobody with it: what waits and what comes hears that it has stopped."""
    writer.disk.gate.clear()
    writer.outbox.start()
    writer.put(1)
    assert writer.disk.reached.wait(10)
    writer.put(2)
    writer.disk.broken = True
    writer.disk.gate.set()
    until(lambda: writer.outbox.stopped)
    writer.put(3)
    assert writer.log == [
        (what, first, "the journal's writer has stopped") for first in (1, 2, 3) for what in ("told", "lost")
    ]
    assert writer.outbox.refusing


def test_threads_that_wait_for_an_empty_outbox_are_woken(writer: Writer) -> None:
    """Room and emptiness are two questions on one condition: no wake-up goes astray."""
    writer.disk.gate.clear()
    writer.outbox.start()
    writer.put(1)
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(writer.outbox.drained(10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    writer.disk.gate.set()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert time.monotonic() - began < 5
