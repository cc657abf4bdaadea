"""SegmentJournal: the append-only memory of stamped events, in checksummed segments with group commit."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import zlib
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import Event
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger import segments
from tocsin.ledger.disk import Disk
from tocsin.ledger.segments import FRAME, HEADER, MAX_RECORD, SUFFIX, Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Event)


class Segment(msgspec.Struct, frozen=True):
    """One file of the journal and the seq that it begins with."""

    path: Path
    first: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at start: how many segments and events, and what was cut off their end."""

    segments: int = 0
    events: int = 0
    cut_file: str = ""
    """Name of the segment whose torn end was cut off; empty where nothing was."""
    cut_offset: int = 0
    cut_bytes: int = 0
    reason: str = ""

    def __str__(self) -> str:
        """One sentence for the log."""
        found = f"journal: {self.events} events in {self.segments} segments"
        if not self.cut_file:
            return found
        return (
            f"{found}; cut a torn end of {self.cut_bytes} bytes off {self.cut_file} at byte {self.cut_offset} "
            f"({self.reason}): it had never been acknowledged"
        )


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
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder / "lock")
        try:
            self.report = self._start()
        except BaseException:
            os.close(self._lock)
            raise

    # Writing ----------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> None:
        """Write stamped events to the open segment; Retryable when the disk refuses, ValueError on a wrong stamp."""
        with self._guard:
            self._refuse_if_broken()
            seq, tau = self._next
            parts: list[bytes] = []
            encode, pack, crc32 = _ENCODER.encode, FRAME.pack, zlib.crc32
            for event in events:
                if event.seq != seq + 1 or event.tau < tau:
                    raise ValueError(f"stamped ({event.seq}, {event.tau}) after ({seq}, {tau})")
                seq, tau = event.seq, event.tau
                payload = encode(event)
                length = len(payload)
                if length > MAX_RECORD:
                    raise ValueError(f"event {event.id} takes {length} bytes")
                parts.append(pack(length, crc32(payload, length)))
                parts.append(payload)
            if not parts:
                return
            try:
                if self._size == self._durable:
                    if self._file < 0 or self._size >= self._segment_bytes:
                        self._begin(self._seq + 1)
                    elif self._size > HEADER.size:
                        parts.insert(0, segments.mark(self._size))
                self._size += self._write(b"".join(parts))
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
            yield from self._read(chain[index], end if last else None, after_seq)

    def _read(self, segment: Segment, end: int | None, after_seq: int) -> Iterator[Event]:
        file = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        seq = segment.first - 1
        try:
            end = os.fstat(file).st_size if end is None else end
            for offset, payload in segments.payloads(file, HEADER.size, end):
                seq += 1
                if seq <= after_seq:
                    continue
                yield _decode(segment.path, offset, payload, seq)
        except Damage as damage:
            raise _damaged(segment.path, damage, seq + 1) from damage
        finally:
            os.close(file)

    # Start ------------------------------------------------------------------------------------------------------

    def _start(self) -> Report:
        for leftover in self.folder.glob("*.new"):
            leftover.unlink()
        report = Report()
        names = sorted(path for path in self.folder.glob(f"*{SUFFIX}"))
        for position, path in enumerate(names):
            last = position == len(names) - 1
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                report, end = self._check(path, file, report, last=last)
                if last and end:
                    # What a killed process left in the page cache will be acted upon: it must be on disk first.
                    self._disk.fdatasync(file)
                    self._file, self._size, self._durable = file, end, end
            finally:
                if self._file != file:
                    os.close(file)
        self._next = (self._seq, self._tau)
        return report

    def _check(self, path: Path, file: int, report: Report, *, last: bool) -> tuple[Report, int]:
        """Check one segment and take it on; return the report and where its records end (0: it was removed)."""
        size = os.fstat(file).st_size
        try:
            first = segments.check_header(path, os.pread(file, HEADER.size, 0))
        except Damage as damage:
            if not last or size > HEADER.size:
                raise _damaged(path, damage, self._seq + 1) from damage
            path.unlink()
            self._disk.sync_folder(self.folder)
            return _with_cut(report, path, 0, size, damage.reason), 0
        if first != self._seq + 1:
            raise Misconfigured(
                f"journal: {path} begins with seq {first}, but seq {self._seq + 1} is next: a segment is missing; "
                "put it back, or restore the folder from a backup (tocsin restore)"
            )
        count, end, payload = 0, size, memoryview(b"")
        offset = HEADER.size
        try:
            for offset, payload in segments.payloads(file, HEADER.size, size):  # noqa: B007
                count += 1
        except Damage as damage:
            if not last or segments.has_mark(file, damage.offset, size):
                raise _damaged(path, damage, self._seq + count + 1) from damage
            end = damage.offset
            self._disk.truncate(file, end)
            report = _with_cut(report, path, end, size - end, damage.reason)
        if count:
            event = _decode(path, offset, payload, self._seq + count)
            self._seq, self._tau = event.seq, event.tau
        self._segments.append(Segment(path, first))
        report = msgspec.structs.replace(report, segments=len(self._segments), events=report.events + count)
        return report, end

    # Files ------------------------------------------------------------------------------------------------------

    def _begin(self, first: int) -> None:
        """Open a new segment; it is durable, folder entry included, before the first record goes in."""
        path = self.folder / segments.segment_name(first)
        file = self._disk.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
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

    def _mark_end(self) -> None:
        """Say in the file that all of it is durable. It is evidence only: a disk that refuses it loses nothing."""
        if not self._dirty or self._size <= HEADER.size:
            return
        with contextlib.suppress(OSError):
            self._write(segments.mark(self._size))
            self._disk.fdatasync(self._file)

    def _rewrite(self, segment: Segment, change: Callable[[Event], Event]) -> int:
        open_one = self._file >= 0 and segment == self._segments[-1]
        changed, parts = 0, [segments.header(segment.first)]
        for event in self._read(segment, self._durable if open_one else None, 0):
            other = change(event)
            changed += other != event
            payload = _ENCODER.encode(msgspec.structs.replace(other, seq=event.seq, tau=event.tau))
            parts += (FRAME.pack(len(payload), zlib.crc32(payload, len(payload))), payload)
        if not changed:
            return 0
        body = b"".join(parts)
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


def _lock(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise Misconfigured(
            f"journal: another process has {path.parent} open; stop it first, or give this one its own data_dir"
        ) from error
    return file


def _decode(path: Path, offset: int, payload: memoryview, seq: int) -> Event:
    try:
        event = _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise _damaged(path, Damage(offset, f"a record is no event: {error}"), seq) from error
    if event.seq != seq:
        raise _damaged(path, Damage(offset, f"it holds seq {event.seq}"), seq)
    return event


def _damaged(path: Path, damage: Damage, seq: int) -> Misconfigured:
    return Misconfigured(
        f"journal: {path} is damaged at byte {damage.offset}, where seq {seq} should be: {damage.reason}. "
        f"Keep a copy of the folder and restore it from a backup (tocsin restore); events before seq {seq} are whole"
    )


def _with_cut(report: Report, path: Path, offset: int, size: int, reason: str) -> Report:
    return msgspec.structs.replace(
        report, cut_file=path.name if size or reason else "", cut_offset=offset, cut_bytes=size, reason=reason
    )
