"""The journal against a bare file and SQLite: events made durable, in blocks of 1,024 lines of 300 bytes.

Every contender makes the same bytes durable, one commit a block, block by block in turns; a figure is the median over
runs of 64 blocks, a ratio the median of the ratios within a run. ``append_vs_file``: ours over ``write`` and
``fdatasync`` of a plain file that grows, nothing else (1.0: as fast as a bare file). ``append_vs_sqlite``: ours over
rows of a table in WAL mode with ``synchronous=FULL``, one ``executemany`` and one commit a block. Ours rolls over
segments of 64 MB and recycles them behind a bound of 160 MB, as it does when it runs for long; its bytes carry seq, tau
and checksums, which those of the bare file do not.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Protocol

import numpy as np

from benchmarks.report import Options, Report, versions
from tocsin.ledger.blocks import Block
from tocsin.ledger.journal import SegmentJournal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVENTS = 1024
LINE = 300
BLOCKS = 64
"""Of one turn."""
TURNS = 21
SEGMENT_BYTES = 64_000_000
JOURNAL_BYTES = 160_000_000
_STEP = 2
"""Microseconds from event to event, as at half a million a second."""


class Contender(Protocol):
    """One way to make blocks durable."""

    def write(self, lines: bytes, rows: Sequence[bytes], taus: np.ndarray) -> None:
        """Return when a block is durable: the lines joined, or one by one, whichever suits."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Ours:
    """The journal, with one block a commit."""

    def __init__(self, folder: Path) -> None:
        self.journal = SegmentJournal(folder, SEGMENT_BYTES)
        self.bytes = self.events = 0

    def write(self, lines: bytes, rows: Sequence[bytes], taus: np.ndarray) -> None:
        """Append and commit; recycle as the retention would."""
        journal = self.journal
        seq = journal.last()[0]
        before = journal.bytes()
        journal.append_record(Block(seq + 1, taus, lines))
        journal.commit()
        self.bytes += max(0, journal.bytes() - before)
        self.events += len(taus)
        if journal.bytes() > JOURNAL_BYTES:
            journal.covered(seq)
            journal.remove(journal.closed()[0].last)

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


class BareFile:
    """A file that grows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file = os.open(folder / "file", os.O_WRONLY | os.O_CREAT)

    def write(self, lines: bytes, rows: Sequence[bytes], taus: np.ndarray) -> None:
        """Write and sync."""
        os.write(self._file, lines)
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Sqlite:
    """A table of rows (seq, tau, line) in a write-ahead log that is synced at every commit."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._base = sqlite3.connect(folder / "base", isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, tau INTEGER NOT NULL, line BLOB NOT NULL)")
        self._seq = 0

    def write(self, lines: bytes, rows: Sequence[bytes], taus: np.ndarray) -> None:
        """Insert the rows in one transaction."""
        seqs = range(self._seq + 1, self._seq + 1 + len(rows))
        self._base.execute("BEGIN")
        self._base.executemany("INSERT INTO event VALUES (?, ?, ?)", zip(seqs, taus.tolist(), rows, strict=True))
        self._base.execute("COMMIT")
        self._seq += len(rows)

    def close(self) -> None:
        """Close the database."""
        self._base.close()


@dataclass
class Turn:
    """How long each commit of a turn took and what all of them cost, seconds."""

    waits: list[float]
    cpu: float


def run(options: Options) -> Report:
    """Measure in a temporary folder of the disk that ``TMPDIR`` names; no data is read."""
    blocks = _blocks(options.seed)
    with tempfile.TemporaryDirectory() as name:
        ours = Ours(Path(name) / "ours")
        contenders: dict[str, Contender] = {
            "tocsin": ours,
            "bare file": BareFile(Path(name) / "file"),
            "SQLite": Sqlite(Path(name) / "sqlite"),
        }
        turns: dict[str, list[Turn]] = {one: [] for one in contenders}
        for turn in range(TURNS + 1):
            taken = _turn(contenders, blocks, turn)
            # The first turn opens files and fills caches.
            if turn:
                for one in contenders:
                    turns[one].append(taken[one])
        bytes_per_event = ours.bytes / ours.events
        for contender in contenders.values():
            contender.close()
    figures = {one: _figures(turns[one]) for one in contenders}
    return Report(
        name="journal",
        figures={
            "append_vs_file": _ratio(turns["tocsin"], turns["bare file"]),
            "append_vs_sqlite": _ratio(turns["tocsin"], turns["SQLite"]),
            **figures["tocsin"],
            "bytes_per_event": bytes_per_event,
        },
        rivals={one: figures[one] for one in ("bare file", "SQLite")},
        seed=options.seed,
        versions=versions("numpy") | {"sqlite": sqlite3.sqlite_version},
        goals={"append_vs_file": ">= 0.5", "append_vs_sqlite": ">= 5"},
        notes=[f"medians of {TURNS} turns of {BLOCKS} commits of {EVENTS} events of {LINE} bytes"],
    )


def _blocks(seed: int) -> list[tuple[bytes, list[bytes]]]:
    """Return blocks as joined lines and as lines of ``LINE`` bytes each, their line feed included."""
    chance = np.random.default_rng(seed)
    head = '{"id":"%012d","source":"bench","type":"payment.attempted","time":1762819200000000,"data":{"method":"'
    blocks = []
    for _ in range(BLOCKS):
        texts = chance.bytes(EVENTS * LINE).hex()
        rows = []
        for number in range(EVENTS):
            start = head % number
            rows.append((start + texts[number * LINE : (number + 1) * LINE - len(start) - 4] + '"}}').encode())
        blocks.append((b"\n".join(rows), rows))
    return blocks


def _turn(
    contenders: Mapping[str, Contender], blocks: Sequence[tuple[bytes, Sequence[bytes]]], turn: int
) -> dict[str, Turn]:
    """Give every block to every contender, beginning with another one each time."""
    taken = {one: Turn([], 0.0) for one in contenders}
    order = list(contenders)
    for number, (lines, rows) in enumerate(blocks):
        taus = _STEP * (np.arange(EVENTS, dtype=np.int64) + (turn * BLOCKS + number) * EVENTS)
        order = order[1:] + order[:1]
        for one in order:
            spent, start = time.process_time(), time.perf_counter()
            contenders[one].write(lines, rows, taus)
            taken[one].waits.append(time.perf_counter() - start)
            taken[one].cpu += time.process_time() - spent
    return taken


def _ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> float:
    return median(sum(b.waits) / sum(a.waits) for a, b in zip(ours, theirs, strict=True))


def _figures(turns: Sequence[Turn]) -> dict[str, float]:
    p50, p99 = np.percentile([wait for turn in turns for wait in turn.waits], (50, 99)) * 1000
    return {
        "events_per_s": median(BLOCKS * EVENTS / sum(turn.waits) for turn in turns),
        "cpu_us_per_event": median(turn.cpu / (BLOCKS * EVENTS) * 1e6 for turn in turns),
        "commit_p50_ms": float(p50),
        "commit_p99_ms": float(p99),
    }
