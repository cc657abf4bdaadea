"""The few file operations that decide whether something is on disk, in one place that can be handed in."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MOST_BUFFERS = 1024
"""IOV_MAX of Linux: one call takes no more buffers."""


class Disk:
    """The real disk. A subclass that raises OSError is how a full or failing one is tried out."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file for this user alone."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def open_direct(self, path: Path, flags: int) -> int:
        """Open a file whose writes, in whole pages from aligned memory, go past the page cache where that can be."""
        try:
            return self.open(path, flags | getattr(os, "O_DIRECT", 0))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # Not every file system can.
            return self.open(path, flags)

    def write_at(self, file: int, buffers: Sequence[memoryview], offset: int) -> int:
        """Write what fits of the buffers, one behind the other, from that byte on; return how many bytes."""
        return os.pwritev(file, buffers, offset)

    def fdatasync(self, file: int) -> None:
        """Return once the file's bytes and length are on the medium."""
        os.fdatasync(file)

    def truncate(self, file: int, size: int) -> None:
        """Cut the file off."""
        os.ftruncate(file, size)

    def sync_folder(self, folder: Path) -> None:
        """Make created, renamed and removed names durable."""
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def drop_pages(self, file: int) -> None:
        """Let the page cache go of a file that is on the medium: what is written once must not push out the state."""
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)

    def write_all(self, file: int, buffers: Sequence[bytes | memoryview], offset: int = 0) -> int:
        """Write everything, however many calls it takes; return how many bytes that were."""
        rest = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        start = offset
        while rest:
            written = self.write_at(file, rest[:_MOST_BUFFERS], offset)
            offset += written
            done = 0
            while done < len(rest) and written >= len(rest[done]):
                written -= len(rest[done])
                done += 1
            rest = rest[done:]
            if written:
                rest[0] = rest[0][written:]
        return offset - start

    def replace(self, path: Path, data: bytes) -> None:
        """Put a whole file in place: afterwards, and after a crash, there is the old one or the new one, durable."""
        new = path.with_name(path.name + ".new")
        file = self.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self.write_all(file, [data])
            self.fdatasync(file)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        new.replace(path)
        self.sync_folder(path.parent)
