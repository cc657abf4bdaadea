"""Opening a journal: the lock on its folder, the check of every segment, and how damage is told."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import Event
from tocsin.errors import Misconfigured
from tocsin.ledger import segments
from tocsin.ledger.segments import HEADER, Damage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DECODER = msgspec.msgpack.Decoder(Event)


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


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One segment after its check: where its records end (0: it holds not even a header), how many, and the last."""

    end: int
    count: int = 0
    last: Event | None = None
    torn: str = ""
    """What is wrong behind ``end``; empty where nothing is."""


def lock_folder(folder: Path) -> int:
    """Return the file that holds the folder's lock as long as it is open; Misconfigured where another holds it."""
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise Misconfigured(
            f"journal: another process has {folder} open; stop it first, or give this one its own data_dir"
        ) from error
    return file


def check_segment(path: Path, file: int, next_seq: int, *, last: bool) -> Checked:
    """Check every record of a segment that should begin with ``next_seq``.

    Only the last one may have a torn end. Misconfigured for damage and for a missing segment.
    """
    size = os.fstat(file).st_size
    try:
        first = segments.check_header(path, os.pread(file, HEADER.size, 0))
    except Damage as damage:
        # A segment takes records only once its header is durable: a longer file with a bad one was damaged later.
        if not last or size > HEADER.size:
            raise damaged(path, damage, next_seq) from damage
        return Checked(end=0, torn=damage.reason)
    if first != next_seq:
        raise Misconfigured(
            f"journal: {path} begins with seq {first}, but seq {next_seq} is next: a segment is missing; "
            "put it back, or restore the folder from a backup (tocsin restore)"
        )
    count, end, torn = 0, size, ""
    place, payload = HEADER.size, memoryview(b"")
    try:
        for place, payload in segments.payloads(file, HEADER.size, size):  # noqa: B007
            count += 1
    except Damage as damage:
        if not last or segments.has_mark(file, damage.offset, size):
            raise damaged(path, damage, next_seq + count) from damage
        end, torn = damage.offset, damage.reason
    event = decode(path, place, payload, next_seq + count - 1) if count else None
    return Checked(end=end, count=count, last=event, torn=torn)


def events_of(path: Path, first: int, end: int | None, after_seq: int) -> Iterator[Event]:
    """Yield a segment's events with seq > after_seq, up to the byte ``end`` (None: all); Misconfigured for damage."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    seq = first - 1
    try:
        end = os.fstat(file).st_size if end is None else end
        for offset, payload in segments.payloads(file, HEADER.size, end):
            seq += 1
            if seq > after_seq:
                yield decode(path, offset, payload, seq)
    except Damage as damage:
        raise damaged(path, damage, seq + 1) from damage
    finally:
        os.close(file)


def decode(path: Path, offset: int, payload: memoryview, seq: int) -> Event:
    """Return the event of a record, which must carry that seq."""
    try:
        event = _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise damaged(path, Damage(offset, f"a record is no event: {error}"), seq) from error
    if event.seq != seq:
        raise damaged(path, Damage(offset, f"it holds seq {event.seq}"), seq)
    return event


def damaged(path: Path, damage: Damage, seq: int) -> Misconfigured:
    """Return the error that says where the damage is and what to do."""
    return Misconfigured(
        f"journal: {path} is damaged at byte {damage.offset}, where seq {seq} should be: {damage.reason}. "
        f"Keep a copy of the folder and restore it from a backup (tocsin restore); events before seq {seq} are whole"
    )
