"""SegmentJournal: the append-only memory of stamped events, in checksummed segments with group commit."""

from __future__ import annotations

import contextlib
import os
import threading
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger import segments
from tocsin.ledger.disk import Disk
from tocsin.ledger.opening import Checked, Report, check_segment, events_of, lock_folder
from tocsin.ledger.segments import HEADER, SUFFIX, framed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tocsin.core.events import Event

_ENCODER = msgspec.msgpack.Encoder()


class Segment(msgspec.Struct, frozen=True):
    """One file of the journal and the seq that it begins with."""

    path: Path
    first: int


class SegmentJournal:
    """Implements ``ports.Journal`` on a folder that it locks for itself.

    One writer, any readers: ``append`` and ``commit`` come from one thread, ``read`` from any. ``read`` yields only
    what was committed. A new segment begins at the first commit after ``segment_bytes`` is reached, so a commit never
    spans two files. After a refused write or fdatasync everything since the last commit is void and the journal
    refuses (Retryable) until ``recover``; the pages of a failed fdatasync are never trusted again.

    Raises
    ------
    Misconfigured
        Where another process holds the folder, a record is damaged or a segment is missing; the message says where
        and what to do. A torn end is no damage: it is cut off and told in ``report``.
    """

    def __init__(self, folder: Path | str, segment_bytes: int = 64_000_000, *, disk: Disk | None = None) -> None:
        self.folder = Path(folder)
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._guard = threading.RLock()
        self._segments: list[Segment] = []
        self._file = -1
        self._size = self._durable = 0
        self._seq = self._tau = 0
        self._next = (0, 0)
        self._broken = ""
        self._dirty = False
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True)
                self._disk.sync_folder(self.folder.parent)
            self._lock = lock_folder(self.folder)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        try:
            self.report = self._start()
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise _unusable(self.folder, error) from error
            raise

    # Writing ----------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> None:
        """Write stamped events to the open segment; Retryable when the disk refuses, ValueError on a wrong stamp."""
        with self._guard:
            self._refuse_if_broken()
            seq, tau = self._next
            for event in events:
                if event.seq != seq + 1 or event.tau < tau:
                    raise ValueError(f"stamped ({event.seq}, {event.tau}) after ({seq}, {tau})")
                seq, tau = event.seq, event.tau
            data = framed(list(map(_ENCODER.encode, events)))
            if not data:
                return
            try:
                if self._size == self._durable:
                    if self._file < 0 or self._size >= self._segment_bytes:
                        self._begin(self._seq + 1)
                    elif self._size > HEADER.size:
                        data = segments.mark(self._size) + data
                self._size += self._write(data)
            except OSError as error:
                raise self._break(error, "write") from error
            self._next = (seq, tau)
            self._dirty = True

    def commit(self) -> None:
        """Make all that was appended durable; Retryable when the disk refuses: nothing since the last commit counts."""
        with self._guard:
            self._refuse_if_broken()
            if self._size == self._durable:
                return
            try:
                self._disk.fdatasync(self._file)
            except OSError as error:
                raise self._break(error, "fdatasync") from error
            self._durable = self._size
            self._seq, self._tau = self._next

    def recover(self) -> None:
        """Void what was not committed and go on in a new segment; Retryable where the disk still refuses."""
        with self._guard:
            if not self._broken:
                return
            try:
                self._shelve()
            except OSError as error:
                raise self._break(error, "recovery") from error
            self._next = (self._seq, self._tau)
            self._broken = ""

    def close(self) -> None:
        """Commit and let go of the files; a broken journal keeps what was committed."""
        with self._guard:
            if self._lock < 0:
                return
            try:
                if not self._broken:
                    self.commit()
                    self._mark_end()
            finally:
                if self._broken:
                    self._cut_off()
                if self._file >= 0:
                    os.close(self._file)
                os.close(self._lock)
                self._file = self._lock = -1
                self._broken = "it is closed"

    def rewrite(self, change: Callable[[Event], Event]) -> int:
        """Replace stored events by what ``change`` makes of them (seq and tau stay), each segment atomically.

        Returns how many events changed. For forgetting only: a replay of the changed events may differ.
        """
        with self._guard:
            self.commit()
            changed = 0
            for segment in self._segments:
                changed += self._rewrite(segment, change)
            return changed

    # Reading ----------------------------------------------------------------------------------------------------

    def last(self) -> tuple[int, int]:
        """Return (seq, tau) of the last committed event, (0, 0) where there is none."""
        return self._seq, self._tau

    def read(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the committed events with seq > after_seq in order, as of the call of the first one."""
        with self._guard:
            # Without an open segment the last one was closed whole.
            chain, end = list(self._segments), self._durable if self._file >= 0 else None
        begin = max(0, bisect_right([segment.first for segment in chain], after_seq + 1) - 1)
        for index in range(begin, len(chain)):
            last = index == len(chain) - 1
            segment = chain[index]
            yield from events_of(segment.path, segment.first, end if last else None, after_seq)

    # Start ------------------------------------------------------------------------------------------------------

    def _start(self) -> Report:
        for leftover in self.folder.glob("*.new"):
            leftover.unlink()
        report = Report()
        names = sorted(self.folder.glob(f"*{SUFFIX}"))
        for path in names:
            last = path == names[-1]
            file = self._disk.open(path, os.O_RDWR)
            try:
                size = os.fstat(file).st_size
                checked = check_segment(path, file, self._seq + 1, last=last)
                if checked.torn:
                    report = msgspec.structs.replace(
                        report,
                        cut_file=path.name,
                        cut_offset=checked.end,
                        cut_bytes=size - checked.end,
                        reason=checked.torn,
                    )
                report = msgspec.structs.replace(report, events=report.events + checked.count)
                self._take_on(path, file, checked, last=last)
            finally:
                if self._file != file:
                    os.close(file)
        self._next = (self._seq, self._tau)
        return msgspec.structs.replace(report, segments=len(self._segments))

    def _take_on(self, path: Path, file: int, checked: Checked, *, last: bool) -> None:
        """Make a checked segment ours: without its torn end, and durable before anything is done with it."""
        if not checked.end:
            path.unlink()
            self._disk.sync_folder(self.folder)
            return
        self._segments.append(Segment(path, self._seq + 1))
        if checked.last is not None:
            self._seq, self._tau = checked.last.seq, checked.last.tau
        if last:
            if checked.torn:
                self._disk.truncate(file, checked.end)
            # What a killed process left in the page cache will be acted upon: it must be on disk first.
            self._disk.fdatasync(file)
            self._file, self._size, self._durable = file, checked.end, checked.end

    # Files ------------------------------------------------------------------------------------------------------

    def _begin(self, first: int) -> None:
        """Open a new segment; it is durable, folder entry included, before the first record goes in."""
        path = self.folder / segments.segment_name(first)
        # A file of that name can only be left over from a recovery that failed: nothing in it was ever committed.
        file = self._disk.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            self._disk.write_all(file, segments.header(first))
            self._disk.fdatasync(file)
            self._disk.sync_folder(self.folder)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._durable = file, HEADER.size, HEADER.size
        self._segments.append(Segment(path, first))

    def _write(self, data: bytes) -> int:
        os.lseek(self._file, self._size, os.SEEK_SET)
        self._disk.write_all(self._file, data)
        return len(data)

    def _shelve(self) -> None:
        """Cut the open segment back to its last commit and leave it; an empty one is removed."""
        if self._file < 0:
            return
        self._disk.truncate(self._file, self._durable)
        self._disk.fdatasync(self._file)
        if self._durable > HEADER.size:
            self._begin(self._seq + 1)
            return
        segment = self._segments.pop()
        os.close(self._file)
        self._file, self._size, self._durable = -1, 0, 0
        segment.path.unlink()
        self._disk.sync_folder(self.folder)

    def _cut_off(self) -> None:
        """Take away what was refused, as far as the disk still obeys: the next start would take it for accepted."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self._disk.truncate(self._file, self._durable)

    def _mark_end(self) -> None:
        """Say in the file that all of it is durable. It is evidence only: a disk that refuses it loses nothing."""
        if not self._dirty or self._size <= HEADER.size:
            return
        with contextlib.suppress(OSError):
            self._write(segments.mark(self._size))
            self._disk.fdatasync(self._file)

    def _rewrite(self, segment: Segment, change: Callable[[Event], Event]) -> int:
        open_one = self._file >= 0 and segment == self._segments[-1]
        changed, records = 0, list[bytes]()
        for event in events_of(segment.path, segment.first, self._durable if open_one else None, 0):
            other = change(event)
            changed += other != event
            records.append(_ENCODER.encode(msgspec.structs.replace(other, seq=event.seq, tau=event.tau)))
        if not changed:
            return 0
        body = segments.header(segment.first) + framed(records)
        body += segments.mark(len(body))
        self._disk.replace(segment.path, body)
        if open_one:
            os.close(self._file)
            self._file = self._disk.open(segment.path, os.O_RDWR)
            self._size = self._durable = len(body)
        return changed

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise Retryable(f"journal: {self._broken}; it takes nothing until it has recovered", after_s=5.0)

    def _break(self, error: OSError, step: str) -> Retryable:
        self._broken = f"the disk refused a {step} in {self.folder}: {error.strerror or error}"
        return Retryable(f"journal: {self._broken}; free space or repair the disk", after_s=5.0)


def _unusable(folder: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"journal: {folder} cannot be used: {error.strerror or error}; repair that, then start again")
