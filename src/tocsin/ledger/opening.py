"""Opening a journal: the lock on its folder, the check of segments, what is read from them, and how damage is told."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import Event
from tocsin.errors import Misconfigured
from tocsin.ledger import segments
from tocsin.ledger.blocks import Block, Columns, Malformed, block_of, block_span, columns_of
from tocsin.ledger.segments import HEADER, Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DECODER = msgspec.msgpack.Decoder(Event)
RUN = 1024
"""So many single events are handed on together."""

Item = Block | Columns | list[Event]


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
    """One segment after its check: where its records end (0: it holds not even a header), how many events, the last."""

    end: int
    count: int = 0
    tau: int = 0
    """Of the last event; 0 where there is none."""
    until: int = 0
    """The last seq that columns say was judged; 0 where there are none."""
    salt: int = 0
    version: int = segments.VERSION
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
    head = os.pread(file, HEADER.size, 0)
    try:
        first = segments.check_header(path, head)
    except Damage as damage:
        # A segment takes records only once its header is durable: a longer file with a bad one was damaged later.
        if not last or size > HEADER.size:
            raise damaged(path, damage, next_seq) from damage
        return Checked(end=0, torn=damage.reason)
    if first != next_seq:
        raise missing(path, first, next_seq)
    salt, (_, version, *_) = segments.salt_of(head), HEADER.unpack(head)
    seq, until, end, torn = next_seq - 1, 0, size, ""
    newest: tuple[int, int, memoryview] | None = None
    offset = HEADER.size
    try:
        for offset, kind, payload in segments.payloads(file, HEADER.size, size, salt):
            if kind == segments.EVENT:
                seq += 1
                newest = offset, kind, payload
            elif kind == segments.BLOCK:
                begins, count = block_span(payload)
                if begins != seq + 1:
                    raise damaged(path, Damage(offset, f"a block begins with seq {begins}"), seq + 1)
                seq += count
                newest = offset, kind, payload
            else:
                until = max(until, columns_of(payload).until)
    except Malformed as error:
        raise damaged(path, Damage(offset, str(error)), seq + 1) from error
    except Damage as damage:
        if not last or segments.has_mark(file, damage.offset, size, salt):
            raise damaged(path, damage, seq + 1) from damage
        end, torn = damage.offset, damage.reason
        if segments.is_reused(head):
            torn = f"{torn}; the file was used before, the rest may be of that use"
    tau = 0
    if newest is not None:
        item = decode(path, *newest, seq) if newest[1] == segments.EVENT else block_of(newest[2])
        tau = item.tau if isinstance(item, Event) else int(item.taus[-1])
    return Checked(end=end, count=seq - next_seq + 1, tau=tau, until=until, salt=salt, version=version, torn=torn)


def trust_segment(path: Path, file: int, next_seq: int, following: int) -> Checked:
    """Check no more than the header of a segment that ends before ``following``; errors as of ``check_segment``."""
    try:
        first = segments.check_header(path, os.pread(file, HEADER.size, 0))
    except Damage as damage:
        raise damaged(path, damage, next_seq) from damage
    if first != next_seq:
        raise missing(path, first, next_seq)
    return Checked(end=os.fstat(file).st_size, count=following - first)


def items_of(path: Path, first: int, end: int | None) -> Iterator[Item]:
    """Yield what a segment holds up to the byte ``end`` (None: all), in order; Misconfigured for damage.

    Single events come in lists of at most ``RUN``. Lines and columns are views of what was read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    seq, offset = first - 1, 0
    run: list[Event] = []
    try:
        end = os.fstat(file).st_size if end is None else end
        salt = segments.salt_of(os.pread(file, HEADER.size, 0))
        for offset, kind, payload in segments.payloads(file, HEADER.size, end, salt):
            if kind == segments.EVENT:
                seq += 1
                run.append(decode(path, offset, kind, payload, seq))
                if len(run) < RUN:
                    continue
            if run:
                yield run
                run = []
            if kind == segments.BLOCK:
                block = block_of(payload)
                if block.first_seq != seq + 1:
                    raise Damage(offset, f"a block begins with seq {block.first_seq}")
                seq += block.count
                yield block
            elif kind == segments.COLUMNS:
                yield columns_of(payload)
        if run:
            yield run
    except Malformed as error:
        raise damaged(path, Damage(offset, str(error)), seq + 1) from error
    except Damage as damage:
        raise damaged(path, damage, seq + 1) from damage
    finally:
        os.close(file)


def decode(path: Path, offset: int, kind: int, payload: memoryview, seq: int) -> Event:
    """Return the event of a record of kind 0, which must carry that seq."""
    try:
        event = _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise damaged(path, Damage(offset, f"a record is no event: {error}"), seq) from error
    if event.seq != seq:
        raise damaged(path, Damage(offset, f"it holds seq {event.seq}"), seq)
    return event


def events_in(path: Path, block: Block, wanted: Callable[[str], bool] | None = None) -> list[Event]:
    """Return the events of a block of that file, those of a ``wanted`` type where that is given.

    Misconfigured where its lines are not what its head says.
    """
    try:
        return block.events() if wanted is None else block.chosen(wanted)
    except Malformed as error:
        raise damaged(path, Damage(0, str(error)), block.first_seq) from error


def missing(path: Path, first: int, next_seq: int) -> Misconfigured:
    """Return the error of a gap between two segments."""
    return Misconfigured(
        f"journal: {path} begins with seq {first}, but seq {next_seq} is next: a segment is missing; "
        "put it back, or restore the folder from a backup (tocsin restore)"
    )


def damaged(path: Path, damage: Damage, seq: int) -> Misconfigured:
    """Return the error that says where the damage is and what to do."""
    return Misconfigured(
        f"journal: {path} is damaged at byte {damage.offset}, where seq {seq} should be: {damage.reason}. "
        f"Keep a copy of the folder and restore it from a backup (tocsin restore); events before seq {seq} are whole"
    )
