"""Packed bodies: gzip and zstd, unpacked whole and within a bound.

A body may be several gzip members or zstd frames after one another, as log shippers make them: all are read.
Whatever else follows is refused: half of a body must never pass for the whole.

References: RFC 1952 section 2.2 (members); RFC 8878 section 3.1 (frames, blocks, skippable frames).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import zstandard

from tocsin.server.problems import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

GZIP_WINDOW = 31  # zlib's number for "gzip header, largest window"
CHUNK = 262_144
ZSTD_WINDOW = 1 << 23
"""Largest window of a zstd frame, what every level up to 19 uses: a frame may not ask for more memory than that."""
MOST_MEMBERS = 4_096
"""Gzip members of one body: a few bytes each would otherwise cost a decompressor each."""
MOST_BLOCKS = 262_144
"""Blocks of the zstd frames of one body: they are walked one by one."""

_MAGIC = 0xFD2FB528
_SKIPPABLE = 0x184D2A50
_HEAD = 4
_BLOCK_HEAD = 3
_CHECKSUM = 4
_RLE, _RESERVED = 1, 3


class Gzip:
    """The gzip members of one body, unpacked piece by piece."""

    def __init__(self) -> None:
        self._inner: Any = None
        self._members = 0

    @property
    def ended(self) -> bool:
        """Whether a member has ended and no other has begun: a body may end here."""
        return self._members > 0 and self._inner is None

    def pieces(self, chunk: bytes, room: int) -> Iterator[bytes]:
        """Yield what a packed chunk holds, at most one piece more than there is room for: a bomb stops here."""
        waiting = chunk
        while waiting:
            if self._inner is None:
                self._begin()
            try:
                piece = self._inner.decompress(waiting, CHUNK)
            except zlib.error as error:
                reason = "the body is not gzip" if self._members == 1 else "what follows a gzip member is not gzip"
                raise Refusal(400, "malformed", reason) from error
            if self._inner.eof:
                waiting, self._inner = self._inner.unused_data, None
            else:
                waiting = self._inner.unconsumed_tail
            yield piece
            room -= len(piece)
            if room < 0:
                return

    def _begin(self) -> None:
        if self._members == MOST_MEMBERS:
            raise Refusal(400, "malformed", f"the body has more than {MOST_MEMBERS} gzip members: pack it as fewer")
        self._inner = zlib.decompressobj(GZIP_WINDOW)
        self._members += 1


def unzstd(packed: bytes, most: int) -> Iterator[bytes]:
    """Yield what the zstd frames of a body hold, at most one piece more than ``most`` bytes.

    Raises
    ------
    Refusal
        400 where it is no zstd, is cut off, is followed by something else or asks for too large a window.
    """
    _walk(packed)
    size = 0
    reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).stream_reader(packed, read_across_frames=True)
    try:
        while piece := reader.read(CHUNK):
            yield piece
            size += len(piece)
            if size > most:
                return
    except zstandard.ZstdError as error:
        raise Refusal(400, "malformed", "the body is broken zstd, or its window is too large") from error


def _walk(packed: bytes) -> None:
    """Refuse a body that is not whole zstd frames after one another: the decompressor says nothing of a missing end."""
    if not packed:
        raise Refusal(400, "malformed", "the body is not zstd: it is empty")
    at = blocks = 0
    while at < len(packed):
        magic = int.from_bytes(packed[at : at + _HEAD], "little")
        if magic & ~0xF == _SKIPPABLE:
            at += 2 * _HEAD + int.from_bytes(packed[at + _HEAD : at + 2 * _HEAD], "little")
        elif magic == _MAGIC:
            at, blocks = _frame(packed, at, blocks)
        elif at:
            raise Refusal(400, "malformed", "what follows a zstd frame is not zstd")
        else:
            raise Refusal(400, "malformed", "the body is not zstd")
    if at > len(packed):
        raise Refusal(400, "malformed", "the zstd stream is cut off")


def _frame(packed: bytes, at: int, blocks: int) -> tuple[int, int]:
    """Return where the frame at ``at`` ends, beyond the body where it is cut off, and the blocks seen so far."""
    head = memoryview(packed)[at : at + 18]
    try:
        summed = zstandard.get_frame_parameters(head).has_checksum
        at += zstandard.frame_header_size(head)
    except zstandard.ZstdError as error:
        raise Refusal(400, "malformed", "the zstd stream is cut off, or the head of a frame is broken") from error
    last = 0
    while not last and at < len(packed):
        block = int.from_bytes(packed[at : at + _BLOCK_HEAD], "little")
        last, kind = block & 1, block >> 1 & 3
        if kind == _RESERVED:
            raise Refusal(400, "malformed", "the body is broken zstd: a block of no known kind")
        at += _BLOCK_HEAD + (1 if kind == _RLE else block >> 3)
        blocks += 1
        if blocks > MOST_BLOCKS:
            raise Refusal(400, "malformed", f"the body has more than {MOST_BLOCKS} zstd blocks: flush less often")
    # Without its last block a frame ends beyond the body, wherever that stands.
    return at + (_CHECKSUM if summed else 0) + (0 if last else 1), blocks
