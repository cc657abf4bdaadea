"""The wide lane: every line is accounted for exactly once, however bodies, chunks and slices are cut."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tocsin.core.events import SECOND
from tocsin.errors import Retryable
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.vault import KeyVault
from tocsin.runtime import widelane
from tocsin.runtime.clock import DataClock
from tocsin.runtime.widelane import LinesReceipt, WideLane
from tocsin.sources.door import Door
from tocsin.telemetry import Plane

if AVAILABLE:
    from tocsin.flow.wide.lines import Chunk, LineRows
    from tocsin.sources.lines import WideDoor

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not there")
NOW = 1_795_000_000 * SECOND


def line(id: Any, **data: Any) -> bytes:
    told = {"ip": "203.0.113.7", "path": "/", **data}
    return msgspec.json.encode({"id": str(id), "source": "t", "type": "http.request", "time": NOW, "data": told})


def body(first: int, n: int) -> bytes:
    return b"\n".join(line(at, path="/" + "x" * (at % 50)) for at in range(first, first + n))


class Lane(WideLane):
    """A lane over a real door with chunks of a few rows, and a fold that remembers ids."""

    def __init__(self, folder: Path, *, capacity: int = 64, most_events: int = 100_000) -> None:
        vault = KeyVault(MemoryRecords(), folder)
        names, hasher = Names(), Hasher()
        self.made: list[Chunk] = []

        def fresh() -> Chunk:
            self.made.append(Chunk(names, hasher, capacity=capacity))
            return self.made[-1]

        door = WideDoor(Door(vault, default_shop="shop", max_event_bytes=6000), vault, names, hasher)
        super().__init__(door, fresh, clock=DataClock(NOW), plane=Plane(), most_events=most_events)
        self.known: set[str] = set()
        self.folded: list[str] = []

    def cycle(self, *, beside_callers: bool = False, error: Retryable | None = None) -> int:
        """Fold a slice as the host does; return its rows, 0 where there are none."""
        one = self.take(beside_callers=beside_callers)
        if one is None:
            return 0
        ids = [event.id for event in LineRows(one.chunk, one.start, one.stop).events]
        fresh = np.array([id not in self.known and not self.known.add(id) for id in ids], bool)  # type: ignore[func-returns-value]
        self.folded += [id for id, new in zip(ids, fresh.tolist(), strict=True) if new]
        self.release(one)
        one.close(fresh, error)
        return len(ids)

    def drain(self, **how: Any) -> int:
        """Fold slices until nothing waits; return how many."""
        return sum(1 for _ in iter(lambda: self.cycle(**how), 0))


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widelane, "BESIDE_A_CALLER", 256)


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    yield Lane(tmp_path)


def counts(receipt: LinesReceipt) -> tuple[int, int, list[int]]:
    return receipt.accepted, receipt.duplicates, [one.index for one in receipt.refused]


def test_a_body_over_several_chunks_is_done_with_its_last_row(lane: Lane) -> None:
    """Its rows keep their order; the receipt waits for all of them."""
    future = lane.submit(body(0, 200), "")
    assert lane.waiting == 200
    for _ in range(3):
        lane.cycle()
        assert not future.done()
    lane.cycle()
    assert counts(future.result(0)) == (200, 0, [])
    assert lane.folded == [str(at) for at in range(200)]
    assert lane.waiting == 0 and lane.take(beside_callers=False) is None


def test_slices_beside_callers_cut_bodies_and_lose_nothing(tmp_path: Path) -> None:
    """At most 256 rows a slice; a body that goes on in the next slice waits for it."""
    lane = Lane(tmp_path, capacity=1024)
    futures = [lane.submit(body(first, n), "") for first, n in ((0, 100), (100, 400), (500, 1), (501, 40))]
    done = []
    while (rows := lane.cycle(beside_callers=True)) > 0:
        assert rows <= 256
        done.append([future.done() for future in futures])
    assert done == [[True, False, False, False], [True, True, True, False], [True] * 4]
    assert [counts(future.result(0)) for future in futures] == [(100, 0, []), (400, 0, []), (1, 0, []), (40, 0, [])]
    assert lane.folded == [str(at) for at in range(541)]


def test_receipts_count_duplicates_within_and_across_bodies(lane: Lane) -> None:
    """Each body is told of its own."""
    first = lane.submit(b"\n".join([line(1), line(2), line(1)]), "")
    second = lane.submit(b"\n".join([line(2), line(3)]), "")
    lane.drain()
    third = lane.submit(line(3), "")
    lane.drain()
    assert [counts(one.result(0)) for one in (first, second, third)] == [(2, 1, []), (1, 1, []), (0, 1, [])]


def test_refused_lines_are_named_by_their_number_across_chunks(lane: Lane) -> None:
    """Empty lines count, as an editor counts them; the others are accepted."""
    lines = body(0, 150).split(b"\n")
    lines[3] = b"{nonsense"
    lines[70] = b""
    lines[90] = line(90, ip=17)
    lines[149] = b'{"id":1}'
    future = lane.submit(b"\n".join(lines), "")
    lane.drain()
    accepted, duplicates, refused = counts(future.result(0))
    assert sorted(refused) == [3, 90, 149]
    assert (accepted, duplicates) == (146, 0)


def test_a_body_without_an_event_is_answered_at_once(lane: Lane) -> None:
    """Nothing has to be folded for it."""
    assert counts(lane.submit(b"{\n\n[]", "").result(0)) == (0, 0, [0, 2])
    assert counts(lane.submit(b"", "").result(0)) == (0, 0, [])
    assert lane.take(beside_callers=False) is None


def test_a_chunk_is_used_again_only_when_all_its_slices_were_folded(tmp_path: Path) -> None:
    """Bodies that come meanwhile go into another one; the number of chunks is that of what waited at once."""
    lane = Lane(tmp_path, capacity=600)
    lane.submit(body(0, 600), "")
    one = lane.take(beside_callers=True)
    assert one is not None
    lane.release(one)
    rows = LineRows(one.chunk, one.stop, one.stop + 10)
    lane.submit(body(600, 100), "")
    assert rows.events[0].id == "256", "the rest of a chunk that is being folded must stay"
    lane.drain(beside_callers=True)
    with pytest.raises(RuntimeError, match="cleared"):
        rows.lines()
    for first in range(1000, 5000, 100):
        lane.submit(body(first, 100), "")
        lane.drain()
    assert len(lane.made) == 2


def test_a_full_lane_refuses_a_body_whole(tmp_path: Path) -> None:
    """Nothing of it is accepted, and there is room again once rows have been taken."""
    lane = Lane(tmp_path, most_events=100)
    lane.submit(body(0, 100), "")
    with pytest.raises(Retryable, match="nothing of this request was accepted"):
        lane.submit(body(100, 5), "")
    assert lane.shed == 1
    lane.drain()
    kept = lane.submit(body(100, 5), "")
    lane.drain()
    assert counts(kept.result(0)) == (5, 0, [])
    assert lane.folded == [str(at) for at in range(105)]


def test_refusing_tells_everyone_who_waits_and_the_lane_goes_on(lane: Lane) -> None:
    """A body of which a part was folded fails as a whole; when it comes again that part is a duplicate."""
    future, other = lane.submit(body(0, 200), ""), lane.submit(body(200, 3), "")
    lane.cycle()
    lane.refuse(Retryable("the disk is full"))
    for failed in (future, other):
        with pytest.raises(Retryable, match="the disk is full"):
            failed.result(0)
    assert lane.waiting == 0 and lane.oldest is None
    again = lane.submit(body(0, 200), "")
    lane.drain()
    assert counts(again.result(0)) == (136, 64, [])


def test_a_disk_that_refuses_one_slice_fails_the_body_once(lane: Lane) -> None:
    """Later slices that reach the disk do not change what the sender was told."""
    future = lane.submit(body(0, 130), "")
    lane.cycle()
    lane.cycle(error=Retryable("the disk is full"))
    with pytest.raises(Retryable, match="full"):
        future.result(0)
    lane.drain()
    assert isinstance(future.exception(0), Retryable)


def test_after_the_end_of_the_host_nobody_waits(lane: Lane) -> None:
    """What waits, what the host had in hand, and what comes later hears of it."""
    first, second = lane.submit(body(0, 64), ""), lane.submit(body(64, 10), "")
    assert lane.take(beside_callers=False) is not None
    lane.close(Retryable("the host has stopped"))
    for future in (first, second):
        with pytest.raises(Retryable, match="stopped"):
            future.result(0)
    with pytest.raises(Retryable, match="stopped"):
        lane.submit(line(1), "")


def test_a_caller_who_goes_away_stops_nothing(lane: Lane) -> None:
    """A future cannot be cancelled: the writer tells it as if somebody listened."""
    future = lane.submit(body(0, 3), "")
    assert not future.cancel()
    lane.drain()
    assert counts(future.result(0)) == (3, 0, [])


def test_the_oldest_body_is_the_one_that_waits_longest(lane: Lane) -> None:
    """Also where its last rows stand in a chunk that is half folded."""
    assert lane.oldest is None
    began = time.monotonic()
    lane.submit(body(0, 70), "")
    between = time.monotonic()
    lane.submit(body(70, 5), "")
    assert lane.oldest is not None and began <= lane.oldest <= between
    lane.drain()
    assert lane.oldest is None


def test_eight_threads_at_once_account_for_every_line_exactly_once(tmp_path: Path) -> None:
    """Whatever chunks and slices the bodies of different senders share, beside a reader of the metrics."""
    lane = Lane(tmp_path, capacity=300)
    receipts: queue.SimpleQueue[tuple[int, LinesReceipt]] = queue.SimpleQueue()
    ended = threading.Event()

    def send(sender: int) -> None:
        for at in range(25):
            first = sender * 100_000 + at * 1000
            n = 1 + (at * 37 + sender * 11) % 180
            # Every body brings one line that all senders send, one that is nonsense, and one line twice.
            lines = [line("shared"), b"nonsense", *body(first, n).split(b"\n"), line(first)]
            receipts.put((n, lane.submit(b"\n".join(lines), "").result(30)))

    def watch() -> None:
        while not ended.is_set():
            oldest = lane.oldest
            assert oldest is None or oldest <= time.monotonic()

    def fold() -> None:
        turn = 0
        while not ended.is_set() or lane.waiting:
            turn += 1
            if not lane.cycle(beside_callers=turn % 2 == 0):
                time.sleep(0.0005)

    helpers = [threading.Thread(target=work) for work in (watch, fold)]
    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for thread in [*helpers, *senders]:
        thread.start()
    for thread in senders:
        thread.join()
    ended.set()
    for thread in helpers:
        thread.join()
    told = [receipts.get_nowait() for _ in range(receipts.qsize())]
    assert len(told) == 200
    assert all(receipt.accepted + receipt.duplicates == n + 2 for n, receipt in told)
    assert all([one.index for one in receipt.refused] == [1] for _, receipt in told)
    assert sum(receipt.accepted for _, receipt in told) == len(lane.folded) == len(set(lane.folded))
    assert len(lane.folded) == sum(n for n, _ in told) + 1
    assert lane.waiting == 0
