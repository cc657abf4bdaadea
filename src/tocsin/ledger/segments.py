r"""The segment format: how stamped events lie on disk, and how a torn end is told from damage.

A segment is a file named by the seq of its first event. All integers are little-endian.

========  =====================================================================================
header    magic ``TOCSINJ\0``, u16 version, u16 flags, u64 first seq, u32 CRC-32 of those 20 bytes
record    u32 kind << 28 | length, u32 CRC-32 of the payload, the payload
mark      u32 0xFFFFFFFF, u32 CRC-32, 12 bytes of magic, u64 its own offset in the file
========  =====================================================================================

Flags: 1, the file held another segment before. Kinds: 0 one event as msgpack, 1 a block of events, 2 columns
(``tocsin.ledger.blocks``). A checksum starts from the first word of its record XOR the header's checksum, that of a
mark from the header's checksum: what an earlier use of the file left behind passes neither. Version 1, which is still
read, had kind 0 alone and no such salt.

A mark says that every byte before it had reached the disk when it was written. It stands before the first record of
each commit after the first, and at the end of a journal that was closed. So a bad record with a mark behind it was
once durable: that is damage. A bad record with no mark behind it belongs to a commit that never returned: that is a
torn end. In text the magic cannot occur (0xC1 is in no UTF-8); a column of numbers would have to hold it with the
right offset and checksum beside it.
"""

from __future__ import annotations

import os
import struct
import zlib
from itertools import chain
from typing import TYPE_CHECKING

from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VERSION = 2
VERSIONS = (1, 2)
"""Those that can be read."""
MAGIC = b"TOCSINJ\0"
MARK_MAGIC = b"\xc1\xc1TOCSINMK\xc1\xc1"
MARK_LENGTH = 0xFFFFFFFF
EVENT, BLOCK, COLUMNS = 0, 1, 2
KIND_SHIFT = 28
REUSED = 1
LENGTH_BITS = (1 << KIND_SHIFT) - 1
MAX_RECORD = 64_000_000
"""No record is longer than this many bytes; a greater length is damage."""
CHUNK = 1 << 23
"""Bytes read at once: several blocks."""
SUFFIX = ".seg"

HEADER = struct.Struct("<8sHHQI")
FRAME = struct.Struct("<II")
MARK = struct.Struct("<II12sQ")


class Damage(Exception):
    """A record that is not as it was written: where, and what is wrong with it."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def segment_name(first_seq: int) -> str:
    """Return the file name of the segment that begins with that seq."""
    return f"{first_seq:020d}{SUFFIX}"


def first_seq_of(path: Path) -> int:
    """Return the seq that a segment's file name says; 0 where it says none."""
    return int(path.stem) if path.stem.isdecimal() else 0


def header(first_seq: int, *, reused: bool = False) -> bytes:
    """Return the header of a new segment; ``reused``: its file held another one before."""
    body = struct.pack("<8sHHQ", MAGIC, VERSION, REUSED if reused else 0, first_seq)
    return body + struct.pack("<I", zlib.crc32(body))


def is_reused(raw: bytes) -> bool:
    """Return whether the file of the segment with this header held another one before."""
    return bool(HEADER.unpack_from(raw)[2] & REUSED)


def mark(offset: int, salt: int) -> bytes:
    """Return the mark that stands at that offset of the segment with that salt."""
    body = struct.pack("<12sQ", MARK_MAGIC, offset)
    return struct.pack("<II", MARK_LENGTH, zlib.crc32(body, salt)) + body


def check_length(buffers: Sequence[bytes | memoryview], *, single: bool) -> None:
    """Refuse (ValueError) a record that is too long; ``single``: the buffers make one record, else one each."""
    lengths = list(map(len, buffers))
    longest = sum(lengths) if single else max(lengths, default=0)
    if longest > MAX_RECORD:
        raise ValueError(f"a record of {longest} bytes is longer than {MAX_RECORD}")


def framed(records: Sequence[bytes | memoryview], salt: int) -> bytes:
    """Return single events as they lie in a segment."""
    # Mapped, not looped: it is half the cost of an append.
    lengths = list(map(len, records))
    frames = map(FRAME.pack, lengths, map(zlib.crc32, records, [length ^ salt for length in lengths]))
    return b"".join(chain.from_iterable(zip(frames, records, strict=True)))


def frame_of(kind: int, buffers: Sequence[bytes | memoryview], salt: int) -> bytes:
    """Return what stands before a record made of these buffers."""
    word = kind << KIND_SHIFT | sum(map(len, buffers))
    crc = word ^ salt
    for buffer in buffers:
        crc = zlib.crc32(buffer, crc)
    return FRAME.pack(word, crc)


def salt_of(raw: bytes) -> int:
    """Return where the checksums of the segment with this header start."""
    _, version, _, _, crc = HEADER.unpack_from(raw)
    return int(crc) if version > 1 else 0


def check_header(path: Path, raw: bytes) -> int:
    """Return the first seq that a header names; Damage where it is no header, Misconfigured for another version."""
    if len(raw) < HEADER.size:
        raise Damage(0, "the header is cut short")
    magic, version, _, first_seq, crc = HEADER.unpack_from(raw)
    if magic != MAGIC or zlib.crc32(raw[: HEADER.size - 4]) != crc:
        raise Damage(0, "the header is not that of a segment")
    if version not in VERSIONS:
        raise Misconfigured(
            f"journal: {path} is of version {version}, this Tocsin reads up to version {VERSION}; "
            "start the version that wrote it"
        )
    if path.name != segment_name(first_seq):
        raise Damage(0, f"the header says that it begins with seq {first_seq}, the file name says otherwise")
    return int(first_seq)


def payloads(file: int, start: int, end: int, salt: int) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (offset, kind, payload) of the records in [start, end) of an open file; Damage at the first bad one."""
    at, want = start, CHUNK
    frame, crc32 = FRAME.unpack_from, zlib.crc32
    while at < end:
        chunk = os.pread(file, min(want, end - at), at)
        view, size, position = memoryview(chunk), len(chunk), 0
        want = CHUNK
        while size - position >= FRAME.size:
            word, crc = frame(view, position)
            if word == MARK_LENGTH:
                if size - position < MARK.size:
                    break
                if not _is_mark(view, position, at + position, salt):
                    raise Damage(at + position, "a mark is not as it was written")
                position += MARK.size
                continue
            kind, length = word >> KIND_SHIFT, word & LENGTH_BITS
            if kind > COLUMNS or not 0 < length <= MAX_RECORD:
                raise Damage(at + position, f"a record says that it is {length} bytes of kind {kind}")
            stop = position + FRAME.size + length
            if stop > size:
                want = max(CHUNK, FRAME.size + length)
                break
            payload = view[position + FRAME.size : stop]
            if crc32(payload, word ^ salt) != crc:
                raise Damage(at + position, "the checksum of a record does not match")
            yield at + position, kind, payload
            position = stop
        at += position
        if at + want > end and position < size and at + size - position >= end:
            raise Damage(at, "a record is cut short")
        if not size:
            raise Damage(at, "the file is shorter than it was")


def _is_mark(view: memoryview | bytes, position: int, offset: int, salt: int) -> bool:
    """Return whether a whole mark of that file offset stands at that position of the buffer."""
    length, crc, magic, own = MARK.unpack_from(view, position)
    body = bytes(view[position + 8 : position + MARK.size])
    return bool(length == MARK_LENGTH and magic == MARK_MAGIC and own == offset and crc == zlib.crc32(body, salt))


def has_mark(file: int, start: int, end: int, salt: int) -> bool:
    """Return whether a mark begins at or after ``start``: then what lies before it was once durable."""
    at = start
    while at < end:
        chunk = os.pread(file, min(CHUNK, end - at), at)
        if not chunk:
            return False
        found = chunk.find(MARK_MAGIC)
        while found >= 0:
            position = found - 8
            if position >= 0 and position + MARK.size <= len(chunk) and _is_mark(chunk, position, at + position, salt):
                return True
            found = chunk.find(MARK_MAGIC, found + 1)
        # Neighbouring chunks overlap by one mark, so that none is missed at the seam.
        at += len(chunk) if at + len(chunk) >= end else max(1, len(chunk) - MARK.size)
    return False
