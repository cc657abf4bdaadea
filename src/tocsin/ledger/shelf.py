"""The folder of a journal: where it begins, how a segment file comes into it and how it leaves it again."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Misconfigured
from tocsin.ledger import segments
from tocsin.ledger.parts import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.ledger.disk import Disk

FLOOR = "floor"
HOLD = "hold"
"""Locked by those that want everything in the folder to stay, a backup for one, and by a removal."""
SPARES = 2
"""So many files of removed segments are kept to be written over; together they bound what stale bytes lie about."""


class Segment(msgspec.Struct, frozen=True):
    """One file of the journal, the seq that it begins with, and its bytes (0 where it is still written to)."""

    path: Path
    first: int
    size: int = 0


class Closed(msgspec.Struct, frozen=True):
    """A segment that is not written to any more, with its last seq."""

    path: Path
    first: int
    last: int
    size: int


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let nothing be removed from a journal, or from the history beside it, by any process."""
    if not folder.is_dir():
        yield
        return
    file = os.open(folder / HOLD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


@contextmanager
def removing(folder: Path) -> Iterator[bool]:
    """Give whether something may be removed just now; nobody can hold it meanwhile."""
    file = os.open(folder / HOLD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(file)


class Shelf:
    """Names and files; it knows nothing of what is committed.

    A removed segment's file may be used again: its blocks are allocated and its length is set, so that a commit writes
    nothing but data. What it held before passes no checksum of the new segment (``segments``).
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk
        self._made = 0

    def clean(self) -> None:
        """Remove what only a running process needs: half-made files and spares."""
        for leftover in self.folder.glob("*.new"):
            leftover.unlink()

    def floor(self) -> Place:
        """Return the place before the first event that is kept, as of the last removal."""
        path = self.folder / FLOOR
        if not path.exists():
            return Place()
        try:
            return msgspec.json.decode(path.read_bytes(), type=Place)
        except msgspec.MsgspecError as error:
            raise Misconfigured(
                f"journal: {path} cannot be read ({error}); restore the folder from a backup (tocsin restore)"
            ) from error

    def found(self, floor: Place) -> list[Path]:
        """Return the segments in their order; what a removal had begun to take away is taken away."""
        kept = []
        for path in sorted(self.folder.glob(f"*{segments.SUFFIX}")):
            if path.name <= segments.segment_name(floor.seq):
                path.unlink()
            else:
                kept.append(path)
        return kept

    def create(self, first: int) -> tuple[int, bytes]:
        """Return a new segment's file and header; it is durable, folder entry included, before any record goes in."""
        path = self.folder / segments.segment_name(first)
        spare = next(iter(sorted(self.folder.glob("spare-*.new"))), None)
        head = segments.header(first, reused=spare is not None)
        # A file of that name can only be left over from a recovery that failed: nothing in it was ever committed.
        flags = os.O_RDWR if spare else os.O_RDWR | os.O_CREAT | os.O_TRUNC
        file = self._disk.open(spare or path, flags)
        try:
            self._disk.write_all(file, [head])
            self._disk.fdatasync(file)
            if spare:
                # Only a file with its own durable header may bear the name of a segment.
                spare.replace(path)
            self._disk.sync_folder(self.folder)
        except OSError:
            os.close(file)
            (spare or path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        return file, head

    def retire(self, leaving: list[Path], floor: Place, *, reuse: bool) -> None:
        """Take segments away for good, oldest first. OSError where the disk refuses; then a start finishes it."""
        # The floor first: a missing segment above it is a loss, one below it is none.
        self._disk.replace(self.folder / FLOOR, msgspec.json.encode(floor))
        for path in leaving:
            if reuse and len(list(self.folder.glob("spare-*.new"))) < SPARES:
                self._made += 1
                path.replace(self.folder / f"spare-{self._made:020d}.new")
            else:
                path.unlink()
        self._disk.sync_folder(self.folder)

    def drop_spares(self) -> None:
        """Remove files that wait to be written over, with what they held."""
        for spare in self.folder.glob("spare-*.new"):
            spare.unlink()
        self._disk.sync_folder(self.folder)
