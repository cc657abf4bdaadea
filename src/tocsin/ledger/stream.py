"""Writing a large file front to back, past the page cache: what is read once at a start must not push out the state.

Blocks go through one small buffer that is used again and again: the processor reads each byte once, its checksum is
taken while it lies in the cache, and the journal's syncs do not wait for gigabytes of dirty pages.
"""

from __future__ import annotations

import mmap
import os
import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.ledger.disk import Disk

PAGE = 4096
BLOCK = 1 << 20


class Stream:
    """One new file. Every call raises OSError where the disk refuses; then ``close`` it and remove what there is."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._file = disk.open_direct(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        buffer = mmap.mmap(-1, BLOCK)
        if sys.platform == "linux":
            # A child that is forked meanwhile must not make the disk read from a page that is no longer this one.
            buffer.madvise(mmap.MADV_DONTFORK)
        self._space: Any = np.frombuffer(buffer, np.uint8)
        self._filled = self._flushed = 0

    @property
    def position(self) -> int:
        """Bytes that were put so far."""
        return self._flushed + self._filled

    def put(self, data: np.ndarray, crc: int = 0) -> int:
        """Append the bytes of an array in C order; return their CRC-32, going on from ``crc``."""
        rest: np.ndarray = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        while len(rest):
            room = self._space[self._filled : self._filled + len(rest)]
            room[:] = rest[: len(room)]
            crc = zlib.crc32(room, crc)
            self._filled += len(room)
            rest = rest[len(room) :]
            if self._filled == BLOCK:
                self._flush()
        return crc

    def pad(self) -> None:
        """Append zeros up to the next page."""
        end = -(-self._filled // PAGE) * PAGE
        self._space[self._filled : end] = 0
        self._filled = end
        if self._filled == BLOCK:
            self._flush()

    def end(self, first: bytes = b"") -> None:
        """Make all of it durable, after writing ``first`` over the first page, that was put as zeros."""
        self.pad()
        self._flush()
        if first:
            self._space[:PAGE] = 0
            self._space[: len(first)] = np.frombuffer(first, np.uint8)
            self._disk.write_all(self._file, [memoryview(self._space[:PAGE])], 0)
        self._disk.fdatasync(self._file)
        self._disk.drop_pages(self._file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _flush(self) -> None:
        if self._filled:
            self._disk.write_all(self._file, [memoryview(self._space[: self._filled])], self._flushed)
            self._flushed += self._filled
            self._filled = 0
