"""SegmentJournal: the append-only memory of stamped events, in checksummed segments with group commit."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger import segments
from tocsin.ledger.disk import Disk
from tocsin.ledger.opening import Checked, Report, check_segment, lock_folder, trust_segment
from tocsin.ledger.parts import Part, Place, framed, prepare
from tocsin.ledger.reading import Reading
from tocsin.ledger.rewriting import rewritten
from tocsin.ledger.segments import HEADER
from tocsin.ledger.shelf import Closed, Segment, Shelf, removing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.events import Event


class SegmentJournal(Reading):
    """Implements ``ports.Journal`` on a folder that it locks for itself.

    One writer, any readers: ``append`` and ``commit`` come from one thread, ``read`` from any. ``read`` yields only
    what was committed. A new segment begins at the first commit after ``segment_bytes`` is reached, so a commit never
    spans two files. After a refused write or fdatasync everything since the last commit is void and the journal
    refuses (Retryable) until ``recover``; the pages of a failed fdatasync are never trusted again.

    Parameters
    ----------
    trusted
        A seq up to which a snapshot holds everything: segments that end before it are not read at the start, only
        their headers are. Damage in them shows when they are read.

    Raises
    ------
    Misconfigured
        Where another process holds the folder, a record is damaged or a segment is missing; the message says where
        and what to do. A torn end is no damage: it is cut off and told in ``report``.
    """

    def __init__(
        self, folder: Path | str, segment_bytes: int = 64_000_000, *, disk: Disk | None = None, trusted: int = 0
    ) -> None:
        self.folder = Path(folder)
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._shelf = Shelf(self.folder, self._disk)
        super().__init__()
        self._covered = 0
        self._size = 0
        self._salt, self._version = 0, segments.VERSION
        self._next = Place()
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
            self.report = self._start(trusted)
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise _unusable(self.folder, error) from error
            raise

    # Writing ----------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> None:
        """Write stamped events to the open segment; Retryable when the disk refuses, ValueError on a wrong stamp."""
        self.extend([events])

    def append_record(self, part: Part) -> None:
        """Write a block of events, or verdicts on events that were appended before; errors as of ``append``."""
        self.extend([part])

    def extend(self, parts: Sequence[Part]) -> None:
        """Write all parts in their order at once, or none of them; errors as of ``append``."""
        with self._guard:
            self._refuse_if_broken()
            prepared, follows = prepare(parts, self._next)
            if not prepared:
                return
            try:
                starts = self._size == self._durable
                if starts and self._is_full():
                    self._begin(self._at.seq + 1)
                buffers = framed(prepared, self._salt)
                if starts and self._size > HEADER.size:
                    buffers.insert(0, segments.mark(self._size, self._salt))
                self._size += self._disk.write_all(self._file, buffers, self._size)
            except OSError as error:
                raise self._break(error, "write") from error
            self._next = follows
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
            self._at = self._next

    def recover(self) -> None:
        """Void what was not committed and go on in a new segment; Retryable where the disk still refuses."""
        with self._guard:
            if not self._broken:
                return
            try:
                self._shelve()
            except OSError as error:
                raise self._break(error, "recovery") from error
            self._next = self._at
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

    def rewrite(self, change: Callable[[Event], Event], holding: bytes = b"") -> int:
        """Replace stored events by what ``change`` makes of them (seq and tau stay), each segment atomically.

        Returns how many events changed. For forgetting only: a replay of the changed events may differ. ``holding``:
        bytes that every event to change holds, a block without them is passed over.
        """
        with self._guard:
            self.commit()
            self._shelf.drop_spares()
            changed = 0
            for index, segment in enumerate(self._segments):
                open_one = self._file >= 0 and index == len(self._segments) - 1
                body, count = rewritten(segment, self._durable if open_one else None, change, holding)
                if not count:
                    continue
                changed += count
                self._disk.replace(segment.path, body)
                if open_one:
                    self._reopen(segment.path, len(body))
                else:
                    self._segments[index] = Segment(segment.path, segment.first, len(body))
            return changed

    def _reopen(self, path: Path, size: int) -> None:
        os.close(self._file)
        self._file = self._disk.open(path, os.O_RDWR)
        self._size = self._durable = size
        self._salt, self._version = segments.salt_of(os.pread(self._file, HEADER.size, 0)), segments.VERSION

    # Recycling --------------------------------------------------------------------------------------------------

    def covered(self, seq: int) -> None:
        """Take note that no recovery needs the events up to ``seq``: a durable snapshot holds what they made."""
        self._covered = max(self._covered, seq)

    def remove(self, through: int, *, reuse: bool = True) -> int:
        """Remove the closed segments that end at or before ``through``; return how many went.

        Kept whatever is asked: what no snapshot covers, what somebody is just reading, all while a backup is taken.
        ``reuse``: their files are written over later; False where what they hold is to be gone at once. Retryable
        where the disk refuses.
        """
        try:
            with removing(self.folder) as may:
                leaving, floor = self._leaving(through) if may else ([], self._floor)
                if leaving:
                    # Without the guard: nobody reads or writes them any more, and no commit waits for their folder.
                    self._shelf.retire([one.path for one in leaving], floor, reuse=reuse)
        except OSError as error:
            raise Retryable(f"journal: {self.folder} gives nothing back: {error}", after_s=60.0) from error
        return len(leaving)

    def _leaving(self, through: int) -> tuple[list[Closed], Place]:
        """Take the closed segments that may go off the list; return them and where the journal begins without them."""
        with self._guard:
            bound = min([through, self._covered, *(first - 1 for first in list(self._readers.values()))])
            leaving = [one for one in self.closed() if one.last <= bound]
            if leaving:
                last = leaving[-1].last
                # The tau counts only while the open segment holds no event.
                self._floor = Place(last, self._at.tau if last == self._at.seq else 0, self._at.judged)
                del self._segments[: len(leaving)]
            return leaving, self._floor

    # Start ------------------------------------------------------------------------------------------------------

    def _start(self, trusted: int) -> Report:
        self._shelf.clean()
        self._at = self._floor = self._shelf.floor()
        report = Report()
        found = self._shelf.found(self._floor)
        for index, path in enumerate(found):
            last = index == len(found) - 1
            file = self._disk.open(path, os.O_RDWR)
            try:
                size = os.fstat(file).st_size
                checked = self._checked(found, index, file, trusted)
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
        self._next = self._at
        return msgspec.structs.replace(report, segments=len(self._segments))

    def _checked(self, found: list[Path], index: int, file: int, trusted: int) -> Checked:
        """Check a segment, whole unless it is trusted; the last two always are: they hold the last stamp."""
        if index < len(found) - 2:
            following = segments.first_seq_of(found[index + 1])
            if following <= trusted + 1:
                return trust_segment(found[index], file, self._at.seq + 1, following)
        return check_segment(found[index], file, self._at.seq + 1, last=index == len(found) - 1)

    def _take_on(self, path: Path, file: int, checked: Checked, *, last: bool) -> None:
        """Make a checked segment ours: without its torn end, and durable before anything is done with it."""
        if not checked.end:
            path.unlink()
            self._disk.sync_folder(self.folder)
            return
        self._segments.append(Segment(path, self._at.seq + 1, 0 if last else checked.end))
        before = self._at
        self._at = Place(before.seq + checked.count, checked.tau or before.tau, max(before.judged, checked.until))
        if last:
            if checked.torn:
                self._disk.truncate(file, checked.end)
            # What a killed process left in the page cache will be acted upon: it must be on disk first.
            self._disk.fdatasync(file)
            self._file, self._size, self._durable = file, checked.end, checked.end
            self._salt, self._version = checked.salt, checked.version

    # Files ------------------------------------------------------------------------------------------------------

    def _is_full(self) -> bool:
        """Whether the next commit belongs into a new segment."""
        if self._file < 0:
            return True
        # A segment of an earlier version takes no record of this one, and no two may begin with the same seq.
        holds_events = self._at.seq >= self._segments[-1].first
        return self._version < segments.VERSION or (self._size >= self._segment_bytes and holds_events)

    def _begin(self, first: int) -> None:
        """Close the open segment where there is one, and go on in a new one."""
        if self._file >= 0 and os.fstat(self._file).st_size > self._durable:
            # A file that was used before is longer than what it holds now; only the last segment may be.
            self._disk.truncate(self._file, self._durable)
            self._disk.fdatasync(self._file)
        file, head = self._shelf.create(first)
        if self._file >= 0:
            self._disk.drop_pages(self._file)
            os.close(self._file)
            before = self._segments.pop()
            # One that begins with the same seq was of an earlier version and empty: the new file bears its name.
            if before.first < first:
                self._segments.append(Segment(before.path, before.first, self._durable))
        self._file, self._size, self._durable = file, HEADER.size, HEADER.size
        self._salt, self._version = segments.salt_of(head), segments.VERSION
        self._segments.append(Segment(self.folder / segments.segment_name(first), first))

    def _shelve(self) -> None:
        """Cut the open segment back to its last commit and leave it; an empty one is removed."""
        if self._file < 0:
            return
        self._disk.truncate(self._file, self._durable)
        self._disk.fdatasync(self._file)
        if self._at.seq >= self._segments[-1].first:
            self._begin(self._at.seq + 1)
            return
        if self._durable > HEADER.size:
            # It holds verdicts alone; a new one would bear its name.
            self._size = self._durable
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
            end = self._size + self._disk.write_all(self._file, [segments.mark(self._size, self._salt)], self._size)
            self._disk.truncate(self._file, end)
            self._disk.fdatasync(self._file)

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise Retryable(f"journal: {self._broken}; it takes nothing until it has recovered", after_s=5.0)

    def _break(self, error: OSError, step: str) -> Retryable:
        self._broken = f"the disk refused a {step} in {self.folder}: {error.strerror or error}"
        return Retryable(f"journal: {self._broken}; free space or repair the disk", after_s=5.0)


def _unusable(folder: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"journal: {folder} cannot be used: {error.strerror or error}; repair that, then start again")
