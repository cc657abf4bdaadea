"""Packed bodies: every member and frame is read, and nothing that is not whole passes for it."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tocsin.server import unpacking
from tocsin.server.problems import Refusal
from tocsin.server.unpacking import Gzip, unzstd

MOST = 1_000_000
SKIPPABLE = b"\x53\x2a\x4d\x18\x03\x00\x00\x00abc"
PARTS = st.lists(st.binary(max_size=300) | st.integers(0, 400_000).map(lambda n: b" " * n), min_size=1, max_size=5)


def ungzip(packed: bytes, chunk: int = 65_536, most: int = MOST) -> bytes:
    unpack, found = Gzip(), bytearray()
    for at in range(0, len(packed), chunk):
        for piece in unpack.pieces(packed[at : at + chunk], most - len(found)):
            found += piece
        if len(found) > most:
            raise Refusal(413, "oversized", "too large")
    if not unpack.ended:
        raise Refusal(400, "malformed", "cut off")
    return bytes(found)


def whole(packed: bytes) -> bytes:
    return b"".join(unzstd(packed, 100 * MOST))


def frame(body: bytes, sized: bool, summed: bool) -> bytes:
    packer = zstandard.ZstdCompressor(level=1, write_content_size=sized, write_checksum=summed)
    if sized:
        return packer.compress(body)
    stream = packer.compressobj()
    # Flushed half-way: a frame of several blocks.
    half = stream.compress(body[: len(body) // 2]) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return half + stream.compress(body[len(body) // 2 :]) + stream.flush()


@given(PARTS, st.integers(1, 70_000))
def test_gzip_members_are_all_read(parts: list[bytes], chunk: int) -> None:
    """However many, however the network cuts them; the bound is that of all together."""
    packed, body = b"".join(gzip.compress(part, 1) for part in parts), b"".join(parts)
    if len(body) <= MOST:
        assert ungzip(packed, chunk) == body
    if body:
        with pytest.raises(Refusal) as caught:
            ungzip(packed, chunk, most=len(body) - 1)
        assert caught.value.problem.status == 413


@given(PARTS, st.data())
def test_what_is_not_whole_gzip_is_refused(parts: list[bytes], data: Any) -> None:
    """Cut off anywhere but between two members, or followed by anything else."""
    members = [gzip.compress(part, 1) for part in parts]
    packed = b"".join(members)
    ends = {sum(map(len, members[:n])) for n in range(1, len(members) + 1)}
    cut = data.draw(st.integers(1, len(packed)))
    if cut not in ends:
        with pytest.raises(Refusal):
            ungzip(packed[:cut], most=100 * MOST)
    tail = data.draw(st.binary(min_size=1, max_size=30).filter(lambda tail: tail[:1] != b"\x1f"))
    with pytest.raises(Refusal, match=r"what follows a gzip member is not gzip|cut off"):
        ungzip(packed + tail, most=100 * MOST)


@given(PARTS, st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=5, max_size=5))
def test_zstd_frames_are_all_read(parts: list[bytes], shapes: list[tuple[bool, bool, bool]]) -> None:
    """With or without length, checksum and skippable frames between them; the bound is that of all together."""
    packed = b"".join(
        (SKIPPABLE if skipped else b"") + frame(part, sized, summed)
        for part, (sized, summed, skipped) in zip(parts, shapes, strict=False)
    )
    body = b"".join(parts)
    assert whole(packed) == body
    if len(body) > 2 * unpacking.CHUNK:
        read = sum(map(len, unzstd(packed, unpacking.CHUNK)))
        assert unpacking.CHUNK < read <= 2 * unpacking.CHUNK


@given(PARTS, st.booleans(), st.booleans(), st.data())
def test_what_is_not_whole_zstd_is_refused(parts: list[bytes], sized: bool, summed: bool, data: Any) -> None:
    """Cut off anywhere but between two frames, or followed by anything else."""
    frames = [frame(part, sized, summed) for part in parts]
    packed = b"".join(frames)
    ends = {sum(map(len, frames[:n])) for n in range(1, len(frames) + 1)}
    cut = data.draw(st.integers(0, len(packed)))
    if cut not in ends:
        with pytest.raises(Refusal) as caught:
            whole(packed[:cut])
        assert caught.value.problem.status == 400
    tail = data.draw(st.binary(min_size=1, max_size=30).filter(lambda tail: tail[:1] not in (b"\x28", b"\x53")))
    with pytest.raises(Refusal, match=r"what follows a zstd frame is not zstd|cut off"):
        whole(packed + tail)


@given(st.binary(max_size=200), st.data())
def test_any_bytes_are_answered(body: bytes, data: Any) -> None:
    """A broken frame is a refusal, never another error."""
    packed = bytearray(frame(body, data.draw(st.booleans()), summed=True) * 2)
    for place in data.draw(st.lists(st.integers(0, len(packed) - 1), min_size=1, max_size=4)):
        packed[place] ^= data.draw(st.integers(1, 255))
    try:
        assert len(whole(bytes(packed))) < 100 * MOST
    except Refusal as refusal:
        assert refusal.problem.status == 400


def test_very_many_members_and_blocks_are_refused() -> None:
    """A body of next to nothing, thousands of times over, is refused before it costs seconds."""
    with pytest.raises(Refusal, match="more than 4096 gzip members"):
        ungzip(gzip.compress(b"") * 100_000)
    head = frame(b"", sized=False, summed=False)[: zstandard.frame_header_size(frame(b"", sized=False, summed=False))]
    with pytest.raises(Refusal, match="more than 262144 zstd blocks"):
        whole(head + b"\x00\x00\x00" * 1_000_000 + b"\x01\x00\x00")
