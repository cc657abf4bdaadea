"""SipHash-1-3 over bytes in an array, one text or a column of spans; the twin of ``tocsin.flow.hashing.siphash``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.bare import bare
from tocsin.flow.wide.jit import brief, inlined, kernel, woven
from tocsin.flow.wide.words import load64

U = np.uint64


@inlined
def _word(data: np.ndarray, at: int) -> np.uint64:
    """Return eight bytes, little-endian."""
    return (
        U(data[at])
        | (U(data[at + 1]) << U(8))
        | (U(data[at + 2]) << U(16))
        | (U(data[at + 3]) << U(24))
        | (U(data[at + 4]) << U(32))
        | (U(data[at + 5]) << U(40))
        | (U(data[at + 6]) << U(48))
        | (U(data[at + 7]) << U(56))
    )


@woven
def _round(v0: Any, v1: Any, v2: Any, v3: Any) -> Any:
    """Return the state after one SipRound."""
    v0 += v1
    v1 = ((v1 << U(13)) | (v1 >> U(51))) ^ v0
    v0 = (v0 << U(32)) | (v0 >> U(32))
    v2 += v3
    v3 = ((v3 << U(16)) | (v3 >> U(48))) ^ v2
    v0 += v3
    v3 = ((v3 << U(21)) | (v3 >> U(43))) ^ v0
    v2 += v1
    v1 = ((v1 << U(17)) | (v1 >> U(47))) ^ v2
    v2 = (v2 << U(32)) | (v2 >> U(32))
    return v0, v1, v2, v3


@inlined
def sip_bytes(data: np.ndarray, start: Any, length: Any, k0: np.uint64, k1: np.uint64) -> np.uint64:
    """Return the hash of ``data[start : start + length]``, uint8, under (k0, k1)."""
    v0 = k0 ^ U(0x736F6D6570736575)
    v1 = k1 ^ U(0x646F72616E646F6D)
    v2 = k0 ^ U(0x6C7967656E657261)
    v3 = k1 ^ U(0x7465646279746573)
    full = length // 8
    for step in range(full + 4):
        word = U(0)
        if step < full:
            word = _word(data, start + 8 * step)
        elif step == full:
            for at in range(8 * full, length):
                word |= U(data[start + at]) << U(8 * (at - 8 * full))
            word |= U(length & 0xFF) << U(56)
        elif step == full + 1:
            v2 ^= U(0xFF)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
        v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3


@woven
def sip_padded(data: np.ndarray, start: Any, length: Any, k0: np.uint64, k1: np.uint64) -> Any:
    """Return ``sip_bytes`` of a text in a buffer that has eight bytes more behind it: they are read."""
    v0, v1 = k0 ^ U(0x736F6D6570736575), k1 ^ U(0x646F72616E646F6D)
    v2, v3 = k0 ^ U(0x6C7967656E657261), k1 ^ U(0x7465646279746573)
    last = start + (length & ~7)
    for at in range(start, last, 8):
        word = load64(data, at)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
        v0 ^= word
    word = (load64(data, last) & ((U(1) << U(8 * (length & 7))) - U(1))) | (U(length & 0xFF) << U(56))
    v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
    v0, v1, v2, v3 = _round(v0 ^ word, v1, v2 ^ U(0xFF), v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@woven
def joined(key: Any, shop: Any) -> Any:
    """Return the hash of a key inside a shop; the twin of ``hashing.joined``."""
    x = key + (shop | U(1)) * U(0x9E3779B97F4A7C15)
    x = (x ^ (x >> U(33))) * U(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> U(33))) * U(0xC4CEB9FE1A85EC53)
    return x ^ (x >> U(33))


@kernel
def join(hashes: np.ndarray, shops: np.ndarray) -> None:
    """Mix the hash of each key's shop into it, where it stands."""
    for row in range(len(hashes)):
        hashes[row] = joined(hashes[row], shops[row])


@bare
def sip_spans(
    data: np.ndarray, spans: np.ndarray, present: np.ndarray, k0: np.uint64, k1: np.uint64, out: np.ndarray
) -> None:
    """Hash the texts at ``spans`` (uint64: start << 32 | length) where ``present``; 0 elsewhere."""
    for row in range(len(spans)):
        if present[row]:
            out[row] = sip_bytes(data, np.int64(spans[row] >> U(32)), np.int64(spans[row] & U(0xFFFFFFFF)), k0, k1)
        else:
            out[row] = U(0)


@brief
def sip_few(
    data: np.ndarray, spans: np.ndarray, present: np.ndarray, k0: np.uint64, k1: np.uint64, out: np.ndarray
) -> None:
    """Hash few texts as ``sip_spans`` does, and keep the interpreter's lock."""
    sip_spans(data, spans, present, k0, k1, out)
