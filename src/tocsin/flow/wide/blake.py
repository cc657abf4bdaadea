"""Pseudonyms in kernels: keyed BLAKE2b with a digest of 15 bytes, as 24 characters of lower-case base32.

The twin of ``KeyVault.hash_of``: for each scope (shop, entity) the block of the key is compressed once
(``key_state``); what remains for a key of at most 128 bytes is one compression.

Reference: RFC 7693 (BLAKE2), sections 2.5 to 3.3; RFC 4648 section 6 (base32).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tocsin.flow.wide.jit import inlined, kernel
from tocsin.flow.wide.words import load64

U = np.uint64
W: TypeAlias = Any
"""uint64 in a kernel."""
Whole: TypeAlias = Any
"""int in Python, int64 in a kernel."""
Eight: TypeAlias = tuple[W, W, W, W, W, W, W, W]
Sixteen: TypeAlias = tuple[W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W]
DIGEST_BYTES = 15
KEY_BYTES = 32
BLOCK = 128
STATE_WORDS = 10
"""Words of a scope's state: the eight chained ones after the key block, then the first two of the empty message."""

_IV = (
    U(0x6A09E667F3BCC908),
    U(0xBB67AE8584CAA73B),
    U(0x3C6EF372FE94F82B),
    U(0xA54FF53A5F1D36F1),
    U(0x510E527FADE682D1),
    U(0x9B05688C2B3E6C1F),
    U(0x1F83D9ABFB41BD6B),
    U(0x5BE0CD19137E2179),
)
_ALPHABET = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)


@inlined
def _mix(a: W, b: W, c: W, d: W, x: W, y: W) -> tuple[W, W, W, W]:
    """Return the mixing function G, RFC 7693 section 3.1."""
    a = a + b + x
    d ^= a
    d = (d >> U(32)) | (d << U(32))
    c = c + d
    b ^= c
    b = (b >> U(24)) | (b << U(40))
    a = a + b + y
    d ^= a
    d = (d >> U(16)) | (d << U(48))
    c = c + d
    b ^= c
    b = (b >> U(63)) | (b << U(1))
    return a, b, c, d


@inlined
def _round(
    v: Sixteen,
    x0: W,
    x1: W,
    x2: W,
    x3: W,
    x4: W,
    x5: W,
    x6: W,
    x7: W,
    x8: W,
    x9: W,
    x10: W,
    x11: W,
    x12: W,
    x13: W,
    x14: W,
    x15: W,
) -> Sixteen:
    """Return the work vector after one round over the message words in the order of the round's permutation."""
    v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15 = v
    v0, v4, v8, v12 = _mix(v0, v4, v8, v12, x0, x1)
    v1, v5, v9, v13 = _mix(v1, v5, v9, v13, x2, x3)
    v2, v6, v10, v14 = _mix(v2, v6, v10, v14, x4, x5)
    v3, v7, v11, v15 = _mix(v3, v7, v11, v15, x6, x7)
    v0, v5, v10, v15 = _mix(v0, v5, v10, v15, x8, x9)
    v1, v6, v11, v12 = _mix(v1, v6, v11, v12, x10, x11)
    v2, v7, v8, v13 = _mix(v2, v7, v8, v13, x12, x13)
    v3, v4, v9, v14 = _mix(v3, v4, v9, v14, x14, x15)
    return v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15


@inlined
def _padded(data: np.ndarray, at: Whole, left: Whole) -> W:
    """Return eight bytes of a message of which ``left`` are left; zeros stand behind its end."""
    if left >= 8:
        return load64(data, at)
    word = U(0)
    for byte in range(left):
        word |= U(data[at + byte]) << U(8 * byte)
    return word


@inlined
def _compressed(h: Eight, data: np.ndarray, at: Whole, left: Whole, counted: W, final: W) -> Eight:
    """Return the chained state after one block; ``final`` is all ones for the last block, else 0."""
    m0 = _padded(data, at, left)
    m1 = _padded(data, at + 8, left - 8)
    m2 = _padded(data, at + 16, left - 16)
    m3 = _padded(data, at + 24, left - 24)
    m4 = _padded(data, at + 32, left - 32)
    m5 = _padded(data, at + 40, left - 40)
    m6 = _padded(data, at + 48, left - 48)
    m7 = _padded(data, at + 56, left - 56)
    m8 = _padded(data, at + 64, left - 64)
    m9 = _padded(data, at + 72, left - 72)
    m10 = _padded(data, at + 80, left - 80)
    m11 = _padded(data, at + 88, left - 88)
    m12 = _padded(data, at + 96, left - 96)
    m13 = _padded(data, at + 104, left - 104)
    m14 = _padded(data, at + 112, left - 112)
    m15 = _padded(data, at + 120, left - 120)
    v = (
        *h,
        _IV[0],
        _IV[1],
        _IV[2],
        _IV[3],
        _IV[4] ^ counted,
        _IV[5],
        _IV[6] ^ final,
        _IV[7],
    )
    v = _round(v, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)
    v = _round(v, m14, m10, m4, m8, m9, m15, m13, m6, m1, m12, m0, m2, m11, m7, m5, m3)
    v = _round(v, m11, m8, m12, m0, m5, m2, m15, m13, m10, m14, m3, m6, m7, m1, m9, m4)
    v = _round(v, m7, m9, m3, m1, m13, m12, m11, m14, m2, m6, m5, m10, m4, m0, m15, m8)
    v = _round(v, m9, m0, m5, m7, m2, m4, m10, m15, m14, m1, m11, m12, m6, m8, m3, m13)
    v = _round(v, m2, m12, m6, m10, m0, m11, m8, m3, m4, m13, m7, m5, m15, m14, m1, m9)
    v = _round(v, m12, m5, m1, m15, m14, m13, m4, m10, m0, m7, m6, m3, m9, m2, m8, m11)
    v = _round(v, m13, m11, m7, m14, m12, m1, m3, m9, m5, m0, m15, m4, m8, m6, m2, m10)
    v = _round(v, m6, m15, m14, m9, m11, m3, m0, m8, m12, m2, m13, m7, m1, m4, m10, m5)
    v = _round(v, m10, m2, m8, m4, m7, m6, m1, m5, m15, m11, m9, m14, m3, m12, m13, m0)
    v = _round(v, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)
    v = _round(v, m14, m10, m4, m8, m9, m15, m13, m6, m1, m12, m0, m2, m11, m7, m5, m3)
    return (
        h[0] ^ v[0] ^ v[8],
        h[1] ^ v[1] ^ v[9],
        h[2] ^ v[2] ^ v[10],
        h[3] ^ v[3] ^ v[11],
        h[4] ^ v[4] ^ v[12],
        h[5] ^ v[5] ^ v[13],
        h[6] ^ v[6] ^ v[14],
        h[7] ^ v[7] ^ v[15],
    )


@inlined
def digest15(state: np.ndarray, data: np.ndarray, start: Whole, length: Whole) -> tuple[W, W]:
    """Return the digest of ``data[start : start + length]`` as two words, little-endian; the last byte is not part."""
    if length == 0:
        return state[8], state[9]
    h = (state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7])
    done = 0
    while length - done > BLOCK:
        h = _compressed(h, data, start + done, BLOCK, U(BLOCK + done + BLOCK), U(0))
        done += BLOCK
    h = _compressed(h, data, start + done, length - done, U(BLOCK + length), ~U(0))
    return h[0], h[1]


@inlined
def blake2b15_base32(
    state: np.ndarray, data: np.ndarray, start: Whole, length: Whole, out: np.ndarray, at: Whole
) -> None:
    """Write the pseudonym of a key, 24 characters, into ``out[at : at + 24]`` (uint8).

    ``state`` is ``key_state`` of the scope, uint64 [10]; the key is ``data[start : start + length]``, UTF-8.
    """
    low, high = digest15(state, data, start, length)
    # Big-endian, five bytes become eight characters: bytes 0-4, 5-9, 10-14.
    for group in range(3):
        bits = U(0)
        for byte in range(5 * group, 5 * group + 5):
            word = low if byte < 8 else high
            bits = (bits << U(8)) | ((word >> U(8 * (byte & 7))) & U(0xFF))
        for character in range(8):
            out[at + 8 * group + character] = _ALPHABET[np.int64((bits >> U(35 - 5 * character)) & U(31))]


@kernel
def _chain(block: np.ndarray, state: np.ndarray) -> None:
    # Parameter block: digest length, key length, fan-out 1, depth 1 (RFC 7693 section 2.5).
    first = _IV[0] ^ U(0x01010000) ^ U(KEY_BYTES << 8) ^ U(DIGEST_BYTES)
    h = (first, _IV[1], _IV[2], _IV[3], _IV[4], _IV[5], _IV[6], _IV[7])
    chained = _compressed(h, block, 0, BLOCK, U(BLOCK), U(0))
    empty = _compressed(h, block, 0, BLOCK, U(BLOCK), ~U(0))
    for word in range(8):
        state[word] = chained[word]
    state[8] = empty[0]
    state[9] = empty[1]


@kernel
def pseudonym_spans(state: np.ndarray, data: np.ndarray, spans: np.ndarray, out: np.ndarray) -> None:
    """Write the pseudonyms of the keys at ``spans`` (uint64 [n]: start << 32 | length) into ``out``, uint8 [24 n]."""
    for row in range(len(spans)):
        start, length = np.int64(spans[row] >> U(32)), np.int64(spans[row] & U(0xFFFFFFFF))
        blake2b15_base32(state, data, start, length, out, 24 * row)


def key_state(scope: bytes) -> np.ndarray:
    """Return the state, uint64 [10], after the key block of a scope's key of 32 bytes; ValueError for another length.

    >>> import hashlib, base64
    >>> data, out = np.frombuffer(b"4711", np.uint8), np.empty(24, np.uint8)
    >>> pseudonym_spans(key_state(bytes(32)), data, np.array([4], np.uint64), out)
    >>> expected = hashlib.blake2b(b"4711", key=bytes(32), digest_size=15).digest()
    >>> out.tobytes() == base64.b32encode(expected).lower()
    True
    """
    if len(scope) != KEY_BYTES:
        raise ValueError(f"a scope's key has {KEY_BYTES} bytes, not {len(scope)}")
    block = np.zeros(BLOCK, np.uint8)
    block[:KEY_BYTES] = np.frombuffer(scope, np.uint8)
    state = np.empty(STATE_WORDS, np.uint64)
    _chain(block, state)
    return state


def warm() -> None:
    """Compile every kernel of this module."""
    pseudonym_spans(
        key_state(bytes(KEY_BYTES)), np.zeros(1, np.uint8), np.array([1], np.uint64), np.empty(24, np.uint8)
    )
