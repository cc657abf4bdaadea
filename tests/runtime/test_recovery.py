"""A start after a crash: what is read is what was written, whoever reads ahead and however slow the threads are."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.test_snapshotting import drop, feed, lines, seen, settle, snapshot, start

from tocsin.app import Tocsin
from tocsin.errors import Misconfigured
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.ledger.blocks import Columns
from tocsin.ledger.disk import Disk
from tocsin.runtime.bulk import Bulk
from tocsin.runtime.reading import Ahead
from tocsin.runtime.single import DERIVED

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not there")


def derived(tocsin: Tocsin) -> str:
    """Return the hash of all that was derived, by identity: signals, verdicts, and verdicts as columns."""
    found: dict[str, Any] = {}
    for event in tocsin.journal.read():
        if event.type in ("tocsin.signal", "tocsin.verdict"):
            found[event.id] = {name: value for name, value in event.data.items() if name not in ("late", "degraded")}
    ids = {event.seq: event.id for event in tocsin.journal.read() if event.type not in DERIVED}
    for part in tocsin.journal.columns_behind(0):
        assert isinstance(part, Columns)
        for row, seq in enumerate(part.seq.tolist()):
            found[f"columns {part.desk} {ids[seq]}"] = (
                float(part.score[row]).hex(),
                part.features[row].tobytes().hex(),
            )
    return hashlib.sha256(msgspec.json.encode(sorted(found.items()), order="deterministic")).hexdigest()


def held(tocsin: Tocsin) -> list[Any]:
    """Return the state, but for seqs: what the house says between two events takes some, sooner or later."""
    fold = tocsin.fold
    pending = [(key, due) for key, due, _ in fold.deadlines.canonical()]
    tracks = [track.canonical() for track in fold.tracks.tracks.values()]
    return [fold.tau, fold.windows.digest(), tracks, pending, sorted(fold.told.items()), seen(tocsin)["lines"]]


def bodies(tocsin: Tocsin, n: int, size: int, *, pause: random.Random | None = None) -> None:
    """Send the stream's first events as lines, several bodies under way at once."""
    assert tocsin.host.wide is not None
    futures = []
    for at in range(0, n, size):
        futures.append(tocsin.host.wide.submit(lines(at, size), "default"))
        if pause is not None:
            time.sleep(pause.choice([0, 0, 0.003, 0.01]))
    assert not any(future.result(60).refused for future in futures)
    settle(tocsin)


@pytest.mark.parametrize("seed", range(2))
def test_no_result_depends_on_the_timing_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Random delays in the writer, between the stages of a cycle and between bodies: the same results and state."""
    # One installation's keys for both: pseudonyms and hashes are the same.
    drop(start(tmp_path / "calm"))
    shutil.copytree(tmp_path / "calm", tmp_path / "other")
    calm = start(tmp_path / "calm")
    bodies(calm, 2000, 100)
    expected, state = derived(calm), held(calm)
    drop(calm)
    rng = random.Random(seed)
    sync, derive = Disk.fdatasync, Bulk._derive

    def slow_sync(self: Disk, file: int) -> None:
        time.sleep(rng.choice([0, 0, 0, 0.01]))
        sync(self, file)

    def slow_derive(self: Bulk, *more: Any) -> None:
        time.sleep(rng.choice([0, 0, 0.005]))
        derive(self, *more)

    monkeypatch.setattr(Disk, "fdatasync", slow_sync)
    monkeypatch.setattr(Bulk, "_derive", slow_derive)
    other = start(tmp_path / "other")
    try:
        bodies(other, 2000, 100, pause=rng)
        assert derived(other) == expected
        assert held(other) == state
    finally:
        drop(other)


def test_reading_ahead_gives_every_part_once_and_in_order(tmp_path: Path) -> None:
    """Blocks and single events of the journal, cut where the snapshot ends, come as they were written."""
    tocsin = start(tmp_path)
    feed(tocsin, 0, 1500, random.Random(3))
    try:
        for after in (0, 1, 700, tocsin.host.stamper.seq - 1):
            found: list[tuple[int, int, str]] = []
            for part, rows in Ahead(tocsin.fold.engine, "default", tocsin.journal.read_blocks(after), after):
                events = part if rows is None else [rows.events[row] for row in range(rows.n)]
                found += [(event.seq, event.tau, event.id) for event in events]
            assert found == [(event.seq, event.tau, event.id) for event in tocsin.journal.read(after)]
    finally:
        drop(tocsin)


def test_what_fails_while_reading_ahead_is_told_and_nobody_waits(tmp_path: Path) -> None:
    """Damage in the journal ends the replay with its reason; a replay that is given up ends the reader."""
    tocsin = start(tmp_path)
    feed(tocsin, 0, 900, random.Random(4))
    try:

        def damaged() -> Iterator[Any]:
            yield from list(tocsin.journal.read_blocks(0))[:3]
            raise Misconfigured("damaged")

        with pytest.raises(Misconfigured, match="damaged"):
            for _ in Ahead(tocsin.fold.engine, "default", damaged(), 0):
                pass
        for _ in Ahead(tocsin.fold.engine, "default", tocsin.journal.read_blocks(0), 0):
            break
    finally:
        drop(tocsin)


def test_a_journal_without_its_beginning_needs_a_snapshot_that_fits(tmp_path: Path) -> None:
    """Segments were recycled: where every snapshot is lost the start is refused, with what to do."""
    settings = {"segment_bytes": 50_000}
    tocsin = start(tmp_path, **settings)
    feed(tocsin, 0, 600, random.Random(5))
    snapshot(tocsin)
    feed(tocsin, 600, 300, random.Random(5))
    snapshot(tocsin)
    # The snapshot covers it once the verdicts in it are in the records, too.
    until = time.monotonic() + 10
    while not tocsin.journal.remove(tocsin.host.stamper.seq):  # type: ignore[union-attr]
        assert time.monotonic() < until
        time.sleep(0.01)
    assert tocsin.journal.first() > 1  # type: ignore[union-attr]
    before = seen(tocsin)
    drop(tocsin)
    newest = max((tmp_path / "snapshots").glob("*.snap"))
    newest.write_bytes(newest.read_bytes()[:-5000])
    again = start(tmp_path, **settings)
    assert seen(again)["fold"] == before["fold"]
    drop(again)
    for path in (tmp_path / "snapshots").iterdir():
        path.unlink()
    with pytest.raises(Misconfigured, match="restore a backup"):
        start(tmp_path, **settings)
