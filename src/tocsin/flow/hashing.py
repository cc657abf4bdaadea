"""Keyed 64-bit hashes of texts and entity keys: SipHash-1-3 under an installation's secret seed.

A key's hash covers the shop that it belongs to. Who does not know the seed cannot choose keys that collide.

Reference: Aumasson and Bernstein, SipHash: a fast short-input PRF, INDOCRYPT 2012 (the 1-3 variant of Rust and Python).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.flow.wide.jit import AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MASK = (1 << 64) - 1
DEFAULT_SEED = b"tocsin.flow.seed"
"""For folds that belong to no installation: tests, drills, backtests. An installation has its own."""
MOST_KEPT = 65_536
"""Hashes of texts that are kept."""
TOGETHER = 8
"""From so many new texts on one call of the kernel is cheaper than a call for each."""


def _rotated(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (64 - bits))) & _MASK


def siphash(seed: bytes, data: bytes) -> int:
    """Return the SipHash-1-3 of bytes under a seed of 16 bytes, in [0, 2^64): the plain twin of the kernel.

    >>> siphash(DEFAULT_SEED, b"card-1") == siphash(DEFAULT_SEED, b"card-1") != siphash(DEFAULT_SEED, b"card-2")
    True
    """
    k0, k1 = int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:16], "little")
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    full = len(data) // 8 * 8
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, full, 8)]
    words.append(int.from_bytes(data[full:], "little") | (len(data) & 0xFF) << 56)
    for step, word in enumerate([*words, 0, 0, 0]):
        last = step >= len(words)
        if step == len(words):
            v2 ^= 0xFF
        if not last:
            v3 ^= word
        v0 = (v0 + v1) & _MASK
        v1 = _rotated(v1, 13) ^ v0
        v0 = _rotated(v0, 32)
        v2 = (v2 + v3) & _MASK
        v3 = _rotated(v3, 16) ^ v2
        v0 = (v0 + v3) & _MASK
        v3 = _rotated(v3, 21) ^ v0
        v2 = (v2 + v1) & _MASK
        v1 = _rotated(v1, 17) ^ v2
        v2 = _rotated(v2, 32)
        if not last:
            v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3


def joined(text_hash: int, shop_hash: int) -> int:
    """Return the hash of a key inside a shop: the two hashes mixed (the finaliser of MurmurHash3)."""
    x = (text_hash + (shop_hash | 1) * 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    x = ((x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return x ^ (x >> 33)


def joined_columns(text_hashes: np.ndarray, shop_hashes: np.ndarray) -> np.ndarray:
    """Return ``joined`` for columns uint64 [n]."""
    x = text_hashes + (shop_hashes | np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    hashes: np.ndarray = x ^ (x >> np.uint64(33))
    return hashes


class Hasher:
    """Hashes texts under one seed of 16 bytes; the compiled kernel where there is one."""

    __slots__ = ("_kept", "_one", "k0", "k1", "seed")

    def __init__(self, seed: bytes = DEFAULT_SEED) -> None:
        if len(seed) != 16:
            raise ValueError("a seed has 16 bytes")
        self.seed = seed
        self.k0, self.k1 = int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:], "little")
        self._kept: dict[str, int] = {}
        self._one: Callable[[bytes], int] = self._compiled() if AVAILABLE else lambda data: siphash(seed, data)

    def _compiled(self) -> Callable[[bytes], int]:
        from tocsin.flow.wide.sip import sip_bytes

        k0, k1 = np.uint64(self.k0), np.uint64(self.k1)
        frombuffer = np.frombuffer
        return lambda data: (
            int(sip_bytes(frombuffer(data, np.uint8), 0, len(data), k0, k1)) if data else (siphash(self.seed, b""))
        )

    def text(self, text: str) -> int:
        """Return the hash of a text."""
        found = self._kept.get(text)
        if found is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            found = self._kept[text] = self._one(text.encode("utf-8", "surrogatepass"))
        return found

    def texts(self, texts: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
        """Return (uint64 [n], present bool [n]) of texts, None where one is missing."""
        kept = self._kept.get
        found = [0 if text is None else kept(text) for text in texts]
        if None in found:
            self._fill(texts, found)
        return np.array(found, np.uint64), np.array([text is not None for text in texts], bool)

    def _fill(self, texts: Sequence[str | None], found: list[int | None]) -> None:
        """Put in the hashes that were not kept: many in one call of the kernel, where there is one."""
        rows = [row for row, value in enumerate(found) if value is None]
        if not AVAILABLE or len(rows) < TOGETHER:
            for row in rows:
                found[row] = self.text(texts[row] or "")
            return
        from tocsin.flow.wide.sip import sip_spans

        new = [texts[row] or "" for row in rows]
        raw = [text.encode("utf-8", "surrogatepass") for text in new]
        lengths = np.fromiter(map(len, raw), np.uint64, len(raw))
        spans = ((np.cumsum(lengths) - lengths) << np.uint64(32)) | lengths
        hashes = np.empty(len(raw), np.uint64)
        data = np.frombuffer(bytearray().join(raw) or bytearray(1), np.uint8)
        sip_spans(data, spans, np.ones(len(raw), np.bool_), np.uint64(self.k0), np.uint64(self.k1), hashes)
        values = hashes.tolist()
        if len(self._kept) + len(new) > MOST_KEPT:
            self._kept.clear()
        self._kept.update(zip(new, values, strict=True))
        for row, value in zip(rows, values, strict=True):
            found[row] = value
