"""SegmentJournal: the append-only memory of stamped events, in checksummed segments with group commit."""

from __future__ import annotations

import contextlib
import os
import threading
from bisect import bisect_right
from operator import ne
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger import segments
from tocsin.ledger.blocks import Block, Columns, block_from
from tocsin.ledger.disk import Disk
from tocsin.ledger.opening import Checked, Item, Report, check_segment, events_in, items_of, lock_folder
from tocsin.ledger.parts import Part, Place, framed, prepare
from tocsin.ledger.segments import HEADER, SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tocsin.core.events import Event


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
        self._salt, self._version = 0, segments.VERSION
        self._at = self._next = Place()
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
        return self._at.seq, self._at.tau

    def read(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the committed events with seq > after_seq in order, as of the call of the first one."""
        for path, item in self._items(after_seq):
            if isinstance(item, Columns):
                continue
            events = events_in(path, item) if isinstance(item, Block) else item
            if events[0].seq > after_seq:
                yield from events
            elif events[-1].seq > after_seq:
                yield from events[after_seq - events[0].seq + 1 :]

    def read_blocks(self, after_seq: int = 0) -> Iterator[Block | list[Event]]:
        """Yield the same events as ``read``: blocks as they were written, those between them in lists."""
        for _, item in self._items(after_seq):
            if isinstance(item, Block):
                if item.last_seq > after_seq:
                    yield item.after(after_seq)
            elif not isinstance(item, Columns):
                events = [event for event in item if event.seq > after_seq]
                if events:
                    yield events

    def read_columns(self, after_seq: int = 0) -> Iterator[Columns]:
        """Yield the committed columns that were judged beyond ``after_seq``, without their rows up to there."""
        for _, item in self._items(after_seq):
            if isinstance(item, Columns) and item.until > after_seq:
                yield item.after(after_seq)

    def judged(self) -> int:
        """Return the last seq up to which committed columns hold the verdicts of the bulk lane; 0 without columns."""
        return self._at.judged

    def _items(self, after_seq: int) -> Iterator[tuple[Path, Item]]:
        """Yield what was committed from the segment on that holds the next seq, with the file that each is from."""
        with self._guard:
            # Without an open segment the last one was closed whole.
            chain, end = list(self._segments), self._durable if self._file >= 0 else None
        begin = max(0, bisect_right([segment.first for segment in chain], after_seq + 1) - 1)
        for index in range(begin, len(chain)):
            segment = chain[index]
            for item in items_of(segment.path, segment.first, end if index == len(chain) - 1 else None):
                yield segment.path, item

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
                checked = check_segment(path, file, self._at.seq + 1, last=last)
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

    def _take_on(self, path: Path, file: int, checked: Checked, *, last: bool) -> None:
        """Make a checked segment ours: without its torn end, and durable before anything is done with it."""
        if not checked.end:
            path.unlink()
            self._disk.sync_folder(self.folder)
            return
        self._segments.append(Segment(path, self._at.seq + 1))
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
        """Open a new segment; it is durable, folder entry included, before the first record goes in."""
        path = self.folder / segments.segment_name(first)
        head = segments.header(first)
        # A file of that name can only be left over from a recovery that failed: nothing in it was ever committed.
        file = self._disk.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            self._disk.write_all(file, [head])
            self._disk.fdatasync(file)
            self._disk.sync_folder(self.folder)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._durable = file, HEADER.size, HEADER.size
        self._salt, self._version = segments.salt_of(head), segments.VERSION
        if self._segments and self._segments[-1].first == first:
            # It was of an earlier version and empty.
            self._segments.pop()
        self._segments.append(Segment(path, first))

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
            self._disk.write_all(self._file, [segments.mark(self._size, self._salt)], self._size)
            self._disk.fdatasync(self._file)

    def _rewrite(self, segment: Segment, change: Callable[[Event], Event]) -> int:
        open_one = self._file >= 0 and segment == self._segments[-1]
        head = segments.header(segment.first)
        salt, changed, parts = segments.salt_of(head), 0, list[bytes | memoryview]([head])
        place = Place(segment.first - 1)
        for item in items_of(segment.path, segment.first, self._durable if open_one else None):
            part: Part = item
            if not isinstance(item, Columns):
                events = events_in(segment.path, item) if isinstance(item, Block) else item
                others = [msgspec.structs.replace(change(event), seq=event.seq, tau=event.tau) for event in events]
                differ = sum(map(ne, events, others))
                changed += differ
                if differ:
                    part = block_from(others) if isinstance(item, Block) else others
            prepared, place = prepare([part], place)
            parts += framed(prepared, salt)
        if not changed:
            return 0
        body = b"".join(parts)
        body += segments.mark(len(body), salt)
        self._disk.replace(segment.path, body)
        if open_one:
            os.close(self._file)
            self._file = self._disk.open(segment.path, os.O_RDWR)
            self._size = self._durable = len(body)
            self._salt, self._version = salt, segments.VERSION
        return changed

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise Retryable(f"journal: {self._broken}; it takes nothing until it has recovered", after_s=5.0)

    def _break(self, error: OSError, step: str) -> Retryable:
        self._broken = f"the disk refused a {step} in {self.folder}: {error.strerror or error}"
        return Retryable(f"journal: {self._broken}; free space or repair the disk", after_s=5.0)


def _unusable(folder: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"journal: {folder} cannot be used: {error.strerror or error}; repair that, then start again")
