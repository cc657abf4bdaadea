r"""Snapshots: the state of the fold as plain arrays, so that a start need not fold the whole journal again.

One file a snapshot, named by the seq up to which everything has been folded; written beside the running fold, put in
place atomically, the last two are kept. A snapshot is evidence of nothing: where it is damaged or of another version
it is passed over, and the journal is folded from the one before, or from its beginning.

========  ===========================================================================================
header    magic ``TOCSINS\0``, u32 version, u32 CRC-32 of the index, u64 length of the index
index     msgpack: seq, tau, meta (plain values by part), arrays: name, dtype, shape, offset, CRC-32
arrays    from the next multiple of 4096 on, each contiguous, its offset from there a multiple of 4096
========  ===========================================================================================
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from tocsin.ledger.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAGIC = b"TOCSINS\0"
VERSION = 1
SUFFIX = ".snap"
KEPT = 2
PAGE = 4096
_HEADER = struct.Struct("<8sIIQ")
log = logging.getLogger(__name__)


class Stored(msgspec.Struct, frozen=True):
    """Where one array lies in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    crc: int

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class Index(msgspec.Struct, frozen=True):
    """What a snapshot holds."""

    seq: int
    tau: int
    meta: dict[str, Any]
    arrays: list[Stored]


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot as it was read: ``arrays`` by name, each one's own memory."""

    seq: int
    tau: int
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]


class SnapshotStore:
    """The snapshots of one installation, in one folder. One writer."""

    def __init__(self, folder: Path, *, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or Disk()

    def save(self, seq: int, tau: int, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
        """Write a snapshot under a passing name; ``publish`` puts it in place. OSError where the disk refuses."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{seq:020d}{SUFFIX}.new"
        plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        stored = [
            Stored(name, array.dtype.str, array.shape, 0, zlib.crc32(_bytes(array)) if array.size else 0)
            for name, array in plain.items()
        ]
        stored = _place(stored)
        index = msgspec.msgpack.encode(Index(seq, tau, dict(meta), stored))
        begin = _paged(_HEADER.size + len(index))
        file = self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            header = _HEADER.pack(MAGIC, VERSION, zlib.crc32(index), len(index))
            self._disk.write_all(file, [header, index])
            for one in stored:
                if one.size:
                    self._disk.write_all(file, [_bytes(plain[one.name])], begin + one.offset)
            self._disk.fdatasync(file)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return path

    def publish(self, path: Path) -> Path:
        """Put a saved snapshot in place, durable, and let go of all but the newest ``KEPT``."""
        final = path.with_suffix("")
        path.replace(final)
        self._disk.sync_folder(self.folder)
        for old in self.paths()[:-KEPT]:
            old.unlink(missing_ok=True)
        return final

    def clean(self) -> None:
        """Remove what was saved and never published; only while no other process works on the folder."""
        for leftover in self.folder.glob(f"*{SUFFIX}.new"):
            leftover.unlink()

    def paths(self) -> list[Path]:
        """Return the snapshots that are in place, oldest first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def latest(self) -> tuple[int, float] | None:
        """Return (seq, seconds since 1970 when it was written) of the newest in place, unread; None: there is none."""
        for path in reversed(self.paths()):
            # It may be replaced by a newer one just now: then the one before it is as good an answer.
            with contextlib.suppress(FileNotFoundError):
                return int(path.name.removesuffix(SUFFIX)), path.stat().st_mtime
        return None

    def covered(self) -> int:
        """Return the seq up to which the older of the kept snapshots goes, 0 where there are not yet ``KEPT``.

        Only what lies before it may leave the journal: where the newest turns out to be damaged, the older one and the
        journal after it still make up the whole state.
        """
        paths = self.paths()
        return int(paths[0].name.removesuffix(SUFFIX)) if len(paths) >= KEPT else 0

    def newest(self, *, most_seq: int = 1 << 62) -> Snapshot | None:
        """Return the newest snapshot that is whole and goes no further than ``most_seq``, or None."""
        for path in reversed(self.paths()):
            try:
                found = read(path)
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                log.error("snapshot %s is passed over: %s", path, error)
                continue
            if found.seq <= most_seq:
                return found
            log.error("snapshot %s is passed over: it is ahead of the journal", path)
        return None


def read(path: Path) -> Snapshot:
    """Return a snapshot, every byte checked; ValueError where it is damaged or of another version."""
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            raise ValueError("it was cut")
        magic, version, crc, length = _HEADER.unpack(head)
        # A damaged length must not ask for memory that nobody has.
        raw = file.read(min(length, os.fstat(file.fileno()).st_size))
        if magic != MAGIC or version != VERSION or zlib.crc32(raw) != crc:
            raise ValueError("it is damaged, or of another version")
        index = msgspec.msgpack.decode(raw, type=Index)
        arrays = {}
        for one in index.arrays:
            array = np.empty(one.shape, np.dtype(one.dtype))
            if one.size:
                file.seek(_paged(_HEADER.size + length) + one.offset)
                view = _bytes(array)
                if file.readinto(view) != one.size or zlib.crc32(view) != one.crc:
                    raise ValueError(f"the array {one.name} is damaged")
            arrays[one.name] = array
    return Snapshot(index.seq, index.tau, index.meta, arrays)


def _place(stored: list[Stored]) -> list[Stored]:
    """Return the arrays with their offsets."""
    at, placed = 0, []
    for one in stored:
        placed.append(msgspec.structs.replace(one, offset=at))
        at += _paged(one.size)
    return placed


def _paged(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _bytes(array: np.ndarray) -> memoryview:
    return memoryview(cast("Any", array)).cast("B")
