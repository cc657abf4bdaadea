"""Files: the Parquet files of the history, each put in place whole and durable."""

from __future__ import annotations

import fcntl
import io
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

    import polars as pl

    from tocsin.ledger.disk import Disk

LOCK = "lock"
_ZSTD_LEVEL = 3
_PATIENCE_S = 2.0
_LOOK_S = 0.05
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class File(msgspec.Struct, frozen=True):
    """One Parquet file, by its path in the folder."""

    path: str
    table: str
    day: str
    rows: int


class Files:
    """Writes frames into one folder, and removes what does not belong there."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk

    def add(self, frame: pl.DataFrame, table: str, day: str, name: str) -> File:
        """Write a frame as ``table=…/day=…/<name>.parquet``; OSError where the disk refuses."""
        path = f"table={table}/day={day}/{name}.parquet"
        self.make((self.folder / path).parent)
        self.put(frame, path)
        return File(path, table, day, frame.height)

    def put(self, frame: pl.DataFrame, path: str) -> None:
        """Put a frame in the place of a file of the folder."""
        # In memory first (some MB at most), so that every refusal of the disk is an OSError of one place.
        made = io.BytesIO()
        frame.write_parquet(made, compression="zstd", compression_level=_ZSTD_LEVEL)
        self._disk.replace(self.folder / path, made.getvalue())

    def make(self, folder: Path) -> None:
        """Make a folder with its parents, durable."""
        if not folder.is_dir():
            self.make(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
            self._disk.sync_folder(folder.parent)

    def sweep(self, listed: Container[str], stem: str = "") -> None:
        """Remove the files whose name begins with ``stem`` but for those that are ``listed`` by their path."""
        for path in self.folder.glob(f"table=*/day=*/{stem}*"):
            if str(path.relative_to(self.folder)) not in listed:
                path.unlink()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only process that writes files there; Retryable where another does not end within seconds.

    That is one whose parent was killed: it ends as soon as the system lets it, and its last write must not meet ours.
    """
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _PATIENCE_S
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Retryable(f"history: another process writes in {folder}") from None
            time.sleep(_LOOK_S)
        yield
    finally:
        os.close(file)


def day_of(tau: int, less: int = 0) -> str:
    """Return the day (UTC) of a moment, or of one so many days before it."""
    return f"{_EPOCH + timedelta(microseconds=tau) - timedelta(days=less):%Y-%m-%d}"
