"""Kill -9 anywhere: what was acknowledged is there, the ledger is that of an undisturbed run, nothing is done twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx
import msgspec
import pytest

from tocsin.core.events import Event
from tocsin.ledger.export import digest
from tocsin.ledger.history import History
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.retention import kept_events
from tocsin.runtime.clock import SystemClock
from tocsin.server.accounts import Accounts

if TYPE_CHECKING:
    from tocsin.core.ports import Journal

EVENTS = 20_000
PER_REQUEST = 500
START = 1_700_000_000_000_000
CHILD = Path(__file__).with_name("child.py")
TYPES = ("http.request", "account.login", "payment.attempted")
START_S = 180
"""A start under load, with kernels to compile."""
KINDS = (
    *("write", "snapshot-write", "after-sync", "write", "folder", "before-act", "write", "snapshot-sync"),
    *("after-act", "publish", "before-sync", "snapshot-write"),
)
BY_CHANCE = ("snapshot-write", "snapshot-sync", "publish", "folder")


def batches() -> list[bytes]:
    """Return the run: a day's traffic in ten minutes, with a flood, a credential stuffing and card testing in it."""
    rng = random.Random(20)
    lines = []
    for number in range(EVENTS):
        time = START + number * 30_000
        second = number * 0.03
        ip = f"198.51.{number % 90}.{rng.randrange(250)}"
        kind = rng.random()
        if 120 < second < 180 and kind < 0.5:
            ip, kind = "203.0.113.7", 0.1
        elif 300 < second < 360 and kind < 0.3:
            ip, kind = "203.0.113.99", 0.75
        elif 420 < second < 480 and kind < 0.3:
            kind = 0.9
        if kind < 0.7:
            data = {"ip": ip, "method": "GET", "path": f"/p/{rng.randrange(400)}", "status": 200, "bytes": 900}
            type = "http.request"
        elif kind < 0.95:
            wrong = ip == "203.0.113.99" or rng.random() < 0.05
            data = {"ip": ip, "account": f"a{rng.randrange(3000)}", "success": not wrong}
            type = "account.login"
        else:
            testing = 420 < second < 480
            data = {
                "amount": rng.randrange(100, 200) if testing else rng.randrange(2000, 90_000),
                "currency": "CNY",
                "card": f"c{rng.randrange(100_000 if testing else 3000)}",
                "device": "d-crook" if testing else f"d{rng.randrange(3000)}",
                "ip": "203.0.113.150" if testing else ip,
                "gateway": f"g{rng.randrange(3)}",
                "status": "declined" if testing and rng.random() < 0.8 else "succeeded",
            }
            type = "payment.attempted"
        event = {"specversion": "1.0", "id": str(number), "source": "crash", "type": type, "time": time, "data": data}
        lines.append(msgspec.json.encode(event))
    return [b"\n".join(lines[at : at + PER_REQUEST]) for at in range(0, EVENTS, PER_REQUEST)]


BATCHES = batches()


def free_port() -> int:
    """Return a free port of this test process's own range, from a random place: two suites must not meet on one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 21_000 + 1000 * (worker % 8)
    begin = random.SystemRandom().randrange(1000)
    for port in (first + (begin + step) % 1000 for step in range(1000)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port is free from {first} on")


class Server:
    """One child over one folder."""

    def __init__(self, folder: Path, how: str, *plug: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, str(CHILD), str(folder), str(self.port), how, *plug])

    def up(self) -> bool:
        """Wait until it serves; False where it died first."""
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200:
                    return True
            except httpx.TransportError:
                time.sleep(0.05)
        return False

    def send(self, key: str, body: bytes) -> bool:
        """Send one request and wait until it is settled; False where the server died on it."""
        headers = {"authorization": f"Bearer {key}", "content-type": "application/x-ndjson"}
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{self.port}/v1/events?wait=settled", content=body, headers=headers, timeout=60
            )
        except httpx.TransportError:
            return False
        assert answer.status_code == 202, answer.text
        told = answer.json()
        assert told["accepted"] + told["duplicates"] == body.count(b"\n") + 1, answer.text
        return True

    def stop(self) -> bool:
        """Stop it in order; False where it was killed on the way."""
        self.process.send_signal(signal.SIGTERM)
        ended = self.process.wait(60)
        assert ended in (0, -signal.SIGKILL)
        return ended == 0


class Kept:
    """All that is remembered of events, whether it lies in the journal still or in the history alone."""

    def __init__(self, history: History, journal: SegmentJournal) -> None:
        self._history, self._journal = history, journal

    def read(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the events of the run, without sealed values: the history has none."""
        for event in kept_events(self._history, self._journal, *TYPES):
            yield msgspec.structs.replace(event, sealed={})


def run(seeded: Path, folder: Path, key: str, how: str, *plug: str) -> tuple[str, list[str], int]:
    """Send the whole run, starting the server again whenever it dies; return (ledger hash, effects, deaths)."""
    shutil.copytree(seeded, folder)
    server = Server(folder, how, *plug)
    deaths = 0
    alive = server.up()
    position = 0
    while position < len(BATCHES) or not alive:
        if alive and server.send(key, BATCHES[position]):
            position += 1
            continue
        assert server.process.wait(60) == -signal.SIGKILL
        deaths += 1
        server = Server(folder, how)
        alive = server.up()
        assert alive, "the server did not come up again"
    while not server.stop():
        deaths += 1
        server = Server(folder, how)
        assert server.up(), "the server did not come up again"
    journal = SegmentJournal(folder / "journal")
    records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
    try:
        kept = Kept(History(folder / "history"), journal)
        assert [event.id for event in kept.read()] == [str(number) for number in range(EVENTS)]
        assert journal.first() > 1, "the run must recycle the journal, or it proves nothing about that"
        found = digest(cast("Journal", kept), records)
    finally:
        journal.close()
        records.close()
    effects = (folder / "effects").read_text().splitlines()
    return found, effects, deaths


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str, list[str], dict[str, int]]]:
    """An undisturbed run: its seed folder (keys made), API key, ledger hash, effects, and how far each count went."""
    base = tmp_path_factory.mktemp("crash")
    seeded = base / "seed"
    seeded.mkdir()
    server = Server(seeded, "copy")
    assert server.up()
    assert server.stop()
    records = SqlRecords(f"sqlite:///{seeded / 'records.sqlite'}")
    key, _ = Accounts(records, SystemClock().now).make_key("crash", ("events",), shop="default", who="test")
    records.close()
    (seeded / "counts").unlink()
    found, effects, deaths = run(seeded, base / "calm", key, "copy")
    assert deaths == 0
    assert effects, "the run must make Tocsin act, or it proves nothing about actions"
    pairs = (base / "calm" / "counts").read_text().split()
    counts = {name: int(count) for name, _, count in (pair.partition("=") for pair in pairs)}
    yield seeded, key, found, effects, counts
    shutil.rmtree(base, ignore_errors=True)


def places(counts: dict[str, int], seed: int, number: int) -> list[tuple[str, int]]:
    """Return random places: bytes of journal and snapshots, and steps around syncs, folders and actions.

    How many snapshots there are, and so how often a folder changes, depends on the machine: of those the first half.
    """
    rng = random.Random(seed)
    found = []
    for index in range(number):
        kind = KINDS[index % len(KINDS)]
        found.append((kind, rng.randint(1, max(1, counts[kind] // (2 if kind in BY_CHANCE else 1)))))
    return found


def check(calm: tuple[Path, str, str, list[str], dict[str, int]], place: tuple[str, int], folder: Path) -> None:
    seeded, key, expected, effects, _ = calm
    how = "fork" if place[1] % 2 else "copy"
    found, done, deaths = run(seeded, folder, key, how, place[0], str(place[1]))
    shutil.rmtree(folder)
    if not deaths and place[0] in BY_CHANCE and place[1] > 1:
        # A slower run takes fewer snapshots and did not come so far: the same kind of place, earlier.
        check(calm, (place[0], place[1] // 2), folder)
        return
    assert deaths == 1, f"the plug was not pulled at {place}"
    assert len(done) == len(set(done)), "something was done twice"
    assert sorted(done) == sorted(effects)
    assert found == expected


@pytest.mark.xdist_group("crash")
def test_a_kill_at_a_byte_of_the_journal_and_one_of_a_snapshot_change_nothing(  # type: ignore[no-untyped-def]
    calm, tmp_path: Path
) -> None:
    found = places(calm[4], seed=int(os.environ.get("TOCSIN_CRASH_SEED", "1")), number=2)
    for number, place in enumerate(found):
        check(calm, place, tmp_path / str(number))


@pytest.mark.slow
@pytest.mark.parametrize("index", range(50))
def test_a_kill_at_each_of_fifty_random_places_changes_nothing(calm, index: int, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    place = places(calm[4], seed=int(os.environ.get("TOCSIN_CRASH_SEED", "2")), number=50)[index]
    check(calm, place, tmp_path / "run")
