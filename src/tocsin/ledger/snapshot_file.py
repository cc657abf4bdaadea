r"""One snapshot as a file: plain arrays under checksums, some of their rows in files of their own (pieces).

========  ===========================================================================================
header    magic ``TOCSINS\0``, u32 version, u32 CRC-32 of the index, u64 length and u64 place of the index
arrays    from byte 4096 on, each contiguous, from a multiple of 4096 on
index     msgpack: seq, tau, meta (plain values by part), arrays: name, dtype, shape, offset, CRC-32, pieces
========  ===========================================================================================

Version 1 had no pieces, and its index before the arrays; it is read still.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec
import numpy as np

from tocsin.ledger.stream import PAGE, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tocsin.ledger.disk import Disk

MAGIC = b"TOCSINS\0"
VERSION = 2
PIECE = ".piece"
_HEADER = struct.Struct("<8sIIQQ")
_FIRST = struct.Struct("<8sIIQ")
"""The header of version 1."""


class Piece(msgspec.Struct, frozen=True):
    """Rows of an array in a file of their own."""

    name: str
    rows: int
    crc: int


class Stored(msgspec.Struct, frozen=True):
    """Where one array lies: first the rows of its pieces, then ``shape`` from the offset in the file on."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    crc: int
    pieces: list[Piece] = []

    @property
    def size(self) -> int:
        """Bytes of the array in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class Index(msgspec.Struct, frozen=True):
    """What a snapshot holds."""

    seq: int
    tau: int
    meta: dict[str, Any]
    arrays: list[Stored]

    def pieces(self) -> set[str]:
        """Return the names of all pieces that it needs."""
        return {piece.name for one in self.arrays for piece in one.pieces}


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot as it was read: ``arrays`` by name, each one's own memory, and the pieces that they came from."""

    seq: int
    tau: int
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    pieces: dict[str, list[Piece]] = {}


class Draft:
    """A snapshot that is being written, under a passing name."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        self._stream = Stream(disk, path)
        self._stored: list[Stored] = []
        self._stream.put(np.zeros(PAGE, np.uint8))

    def __enter__(self) -> Self:
        """Return itself; ``close`` ends it, an exception abandons it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """Abandon it where something was raised."""
        if kind is not None:
            self.abandon()

    def add(self, name: str, array: np.ndarray | Iterable[np.ndarray]) -> None:
        """Write an array, whole or as blocks of its rows (at least one, which may be empty)."""
        self._stream.pad()
        at, crc, rows = self._stream.position, 0, 0
        block = np.empty(0)
        for block in [array] if isinstance(array, np.ndarray) else array:
            crc = self._stream.put(block, crc)
            rows += len(block) if block.ndim else 0
        shape = (rows, *block.shape[1:]) if block.ndim else ()
        self._stored.append(Stored(name, block.dtype.str, shape, at, crc))

    def close(
        self, seq: int, tau: int, meta: Mapping[str, Any], pieces: Mapping[str, Sequence[Piece]] | None = None
    ) -> Path:
        """Write what it is, with the pieces before the rows of each array, and make it durable; return its path."""
        before = msgspec.convert(pieces or {}, dict[str, list[Piece]])
        arrays = [msgspec.structs.replace(one, pieces=before.get(one.name, [])) for one in self._stored]
        index = msgspec.msgpack.encode(Index(seq, tau, dict(meta), arrays))
        self._stream.pad()
        at = self._stream.position
        self._stream.put(np.frombuffer(index, np.uint8))
        self._stream.end(_HEADER.pack(MAGIC, VERSION, zlib.crc32(index), len(index), at))
        self._stream.close()
        return self.path

    def abandon(self) -> None:
        """Remove it: nobody will need it."""
        self._stream.close()
        self.path.unlink(missing_ok=True)


def needed_by(path: Path) -> set[str]:
    """Return the names of the pieces that a snapshot needs; OSError, ValueError, MsgspecError: it cannot be read."""
    with path.open("rb") as file:
        return _index(file)[0].pieces()


def read(path: Path) -> Snapshot:
    """Return a snapshot, every byte checked; OSError, ValueError where it is damaged or of another version."""
    with path.open("rb") as file:
        index, begin = _index(file)
        arrays = {}
        for one in index.arrays:
            before = sum(piece.rows for piece in one.pieces)
            array = np.empty((before + one.shape[0], *one.shape[1:]) if one.shape else (), np.dtype(one.dtype))
            if array.size:
                view = memoryview(cast("Any", array)).cast("B")
                at = 0
                for piece in one.pieces:
                    end = at + piece.rows * (array.nbytes // len(array))
                    with path.with_name(piece.name + PIECE).open("rb") as part:
                        _fill(part, view[at:end], piece.crc, piece.name)
                    at = end
                file.seek(begin + one.offset)
                _fill(file, view[at:], one.crc, one.name)
            arrays[one.name] = array
    return Snapshot(index.seq, index.tau, index.meta, arrays, {one.name: one.pieces for one in index.arrays})


def _fill(file: Any, view: memoryview, crc: int, name: str) -> None:
    if file.readinto(view) != len(view) or zlib.crc32(view) != crc:
        raise ValueError(f"the array {name} is damaged")


def _index(file: Any) -> tuple[Index, int]:
    """Return the index, and where the offsets in it count from; ValueError where it is damaged."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise ValueError("it was cut")
    magic, version, crc, length, at = _HEADER.unpack(head)
    first = version == 1
    if first:
        at = _FIRST.size
    if magic != MAGIC or version not in (1, VERSION) or at > size:
        raise ValueError("it is damaged, or of another version")
    file.seek(at)
    # A damaged length must not ask for memory that nobody has.
    raw = file.read(min(length, size))
    if zlib.crc32(raw) != crc:
        raise ValueError("it is damaged")
    return msgspec.msgpack.decode(raw, type=Index), -(-(at + length) // PAGE) * PAGE if first else 0
