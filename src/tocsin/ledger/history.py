"""History: closed segments of the journal as Parquet files, for any tool that reads them.

``history/table=order.placed/day=2026-11-11/<first seq>-<last seq>.parquet``, a table an event type, a day (UTC, of tau)
a folder, a file a segment; served features of the bulk lane in ``table=features.<desk>``. ``manifest.ndjson`` has one
line a segment, in order; a file that no line names does not count, and the next writer removes it. So a segment is in
the history once or not at all, wherever the process was killed. Only who owns the ``History`` writes that line; the
files may be written by another process (``tocsin.ledger.compactor``).

Polars, and what needs it, is imported by those who read or write: a start that does neither is shorter.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.disk import Disk
from tocsin.ledger.files import File, Files, alone, day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from tocsin.core.events import Event
    from tocsin.ledger.blocks import Columns
    from tocsin.ledger.shelf import Closed

MANIFEST = "manifest.ndjson"


class Entry(msgspec.Struct, frozen=True):
    """One segment: ``whole`` is False where only the types that are kept longer were taken up."""

    first: int
    last: int
    whole: bool
    files: list[File]


class History:
    """The history in one folder. One writer at a time, after ``clean``; any readers."""

    def __init__(self, folder: Path | str, *, disk: Disk | None = None) -> None:
        self.folder = Path(folder)
        self._disk = disk or Disk()
        self._files = Files(self.folder, self._disk)
        self._guard = threading.Lock()
        self._before: list[None] = []
        """One each for those who go before a segment that is being taken up."""
        self._entries = self._read()

    # Reading ----------------------------------------------------------------------------------------------------

    def through(self) -> int:
        """Return the last seq of the last segment that was taken up, 0 where there is none."""
        return self._entries[-1].last if self._entries else 0

    def entries(self) -> list[Entry]:
        """Return the segments that were taken up, in order."""
        return list(self._entries)

    def files(self, *tables: str) -> list[File]:
        """Return the files of these tables (of all where none is named), in the order of seq."""
        return [file for entry in self._entries for file in entry.files if not tables or file.table in tables]

    def read(self, *types: str) -> Iterator[Event]:
        """Yield the events of these types in order of seq, without sealed values."""
        from tocsin.ledger.tables import events_of, table_of

        wanted = {table_of(name) for name in types}
        for entry in self.entries():
            found = [events_of(self._frame(file)) for file in entry.files if file.table in wanted]
            events = [event for events in found for event in events if event.type in types]
            yield from sorted(events, key=lambda event: event.seq)

    def columns(self, desk: str) -> Iterator[Columns]:
        """Yield a desk's served features as they were written."""
        from tocsin.ledger.tables import FEATURES, columns_of_frame

        for file in self.files(FEATURES + desk):
            yield columns_of_frame(self._frame(file))

    def _frame(self, file: File) -> pl.DataFrame:
        import polars as pl

        return pl.read_parquet(self.folder / file.path, hive_partitioning=False)

    # Writing ----------------------------------------------------------------------------------------------------

    def clean(self) -> None:
        """Remove what an interrupted writer left behind; Retryable where it has not ended yet."""
        with self._guard:
            self._files.make(self.folder)
            with alone(self.folder):
                self._files.sweep({file.path for file in self.files()})
                if (self.folder / MANIFEST).exists():
                    self._store(self._entries)

    def compact(
        self,
        segment: Closed,
        wanted: Callable[[str], bool],
        *,
        whole: bool,
        pause: Callable[[], object] = lambda: None,
    ) -> Entry:
        """Take up a closed segment in this process: events whose type is ``wanted``, and all columns.

        ``pause`` is called before every record and may wait. Retryable where events of the history were changed
        meanwhile; else as ``take_up``.
        """
        from tocsin.ledger.compaction import compacted

        def write(void: Callable[[], bool]) -> list[File] | None:
            def paused() -> None:
                pause()
                if void():
                    raise Retryable("history: what it holds is being changed", after_s=0.0)

            return compacted(segment, wanted, self._files, paused)

        entry = self.take_up(segment, write, whole=whole)
        if entry is None:
            raise Retryable("history: what it holds is being changed", after_s=0.0)
        return entry

    def take_up(
        self, segment: Closed, write: Callable[[Callable[[], bool]], list[File] | None], *, whole: bool
    ) -> Entry | None:
        """Take up a closed segment whose files ``write`` puts in place, durable; None where it says None.

        ``write`` gets a function that says whether it is to end early with None, because somebody wants to change what
        was written. ``whole`` is noted with the segment. Misconfigured where the history reaches into it already. Where
        ``write`` fails, or the disk refuses (OSError), nothing was taken up.
        """
        with self._guard:
            if segment.first <= self.through():
                raise Misconfigured(
                    f"history: it reaches to seq {self.through()}, {segment.path} begins with {segment.first}: they "
                    f"are not of one run; restore both from one backup, or move {self.folder} away"
                )
            files = None
            try:
                files = write(lambda: bool(self._before))
            finally:
                if files is None:
                    self._files.sweep((), f"{segment.first:020d}-{segment.last:020d}")
            if files is None:
                return None
            entry = Entry(segment.first, segment.last, whole, files)
            self._append(entry)
            return entry

    def rewrite(self, change: Callable[[Event], Event], holding: bytes = b"") -> int:
        """Replace events by what ``change`` makes of them, file by file; return how many changed.

        ``holding``: bytes that every event to change holds in its data or subject; rows without them are passed over.
        A segment that is just being taken up is taken up again later: it may hold them.
        """
        from tocsin.ledger.tables import FEATURES

        changed = 0
        with self._first(), self._guard:
            for file in self.files():
                if not file.table.startswith(FEATURES):
                    changed += self._rewrite(file, change, holding.decode())
        return changed

    def expire(self, now: int, days: Callable[[str], int]) -> int:
        """Remove the files whose day lies more than ``days(table)`` before ``now``; return how many went."""
        with self._guard:
            entries, leaving = [], []
            tables = {file.table for file in self.files()}
            oldest = {table: day_of(now, days(table)) for table in tables}
            for entry in self._entries:
                old = [file for file in entry.files if file.day < oldest[file.table]]
                leaving += old
                kept = [file for file in entry.files if file not in old]
                entries.append(msgspec.structs.replace(entry, files=kept) if old else entry)
            if not leaving:
                return 0
            # Entries without files go, but for the last one, which says how far the history reaches.
            entries = [entry for entry in entries[:-1] if entry.files] + entries[-1:]
            self._store(entries)
            for file in leaving:
                (self.folder / file.path).unlink()
            return len(leaving)

    @contextmanager
    def _first(self) -> Iterator[None]:
        self._before.append(None)
        try:
            yield
        finally:
            self._before.pop()

    def _rewrite(self, file: File, change: Callable[[Event], Event], holding: str) -> int:
        import polars as pl

        from tocsin.ledger.tables import events_of, frame_of

        frame = self._frame(file)
        if holding:
            held = pl.col("data").str.contains(holding, literal=True) | pl.col("subject").str.contains(
                holding, literal=True
            )
            if frame.filter(held).is_empty():
                return 0
        events = events_of(frame)
        others = [msgspec.structs.replace(change(event), seq=event.seq, tau=event.tau) for event in events]
        changed = sum(one != other for one, other in zip(events, others, strict=True))
        if changed:
            self._files.put(frame_of(file.table, others), file.path)
        return changed

    # Files ------------------------------------------------------------------------------------------------------

    def _read(self) -> list[Entry]:
        path = self.folder / MANIFEST
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")
        try:
            # What stands behind the last line feed was never finished.
            return [msgspec.json.decode(line, type=Entry) for line in lines[:-1]]
        except msgspec.MsgspecError as error:
            raise Misconfigured(f"history: {path} cannot be read ({error}); restore it from a backup") from error

    def _append(self, entry: Entry) -> None:
        path = self.folder / MANIFEST
        if not path.exists():
            self._store([entry])
            return
        line = msgspec.json.encode(entry) + b"\n"
        file = self._disk.open(path, os.O_RDWR)
        size = os.fstat(file).st_size
        try:
            self._disk.write_all(file, [line], size)
            self._disk.fdatasync(file)
        except OSError:
            self._disk.truncate(file, size)
            raise
        finally:
            os.close(file)
        self._entries.append(entry)

    def _store(self, entries: list[Entry]) -> None:
        self._disk.replace(self.folder / MANIFEST, b"".join(msgspec.json.encode(one) + b"\n" for one in entries))
        self._entries = entries
