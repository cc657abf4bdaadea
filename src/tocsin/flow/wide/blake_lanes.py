"""Eight pseudonyms at once: BLAKE2b of eight short keys, each in a lane of 64 bits, and the digests as base32.

One message alone cannot fill a core: every step of the mixing function waits for the one before. Eight independent ones
can, in vectors where the machine has them (LLVM makes narrower ones where it has not).

Reference: RFC 7693 section 3.2; RFC 4648 section 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from tocsin.flow.wide.jit import woven
from tocsin.flow.wide.scan_bytes import operation
from tocsin.flow.wide.words import store64

U = np.uint64
LANES = 8
SHORT_WORDS = 4
"""Words of a message that are read: of at most 32 bytes; the other twelve are zeros."""
STATE, MESSAGE, COUNTED, LOW, HIGH, LANE_WORDS = 0, 64, 96, 104, 112, 120
"""Where a lane's words begin in an array of int64: word ``w`` of lane ``l`` lies ``8 * w + l`` behind."""
_WORD = ir.IntType(64)
_LANES = ir.VectorType(_WORD, LANES)
_IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
_ROUNDS = 12
_QUARTERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
             (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))  # fmt: skip


def _all(value: int) -> Any:
    return ir.Constant(_LANES, [value] * LANES)


def _turned(builder: Any, value: Any, bits: int) -> Any:
    """Emit a rotation to the right."""
    return builder.or_(builder.lshr(value, _all(bits)), builder.shl(value, _all(64 - bits)))


def _mix(builder: Any, v: list[Any], places: tuple[int, int, int, int], words: tuple[Any, Any]) -> None:
    """Emit the mixing function G; None is a message word of zero."""
    a, b, c, d = places
    for word, first, second in ((words[0], 32, 24), (words[1], 16, 63)):
        total = builder.add(v[a], v[b])
        v[a] = total if word is None else builder.add(total, word)
        v[d] = _turned(builder, builder.xor(v[d], v[a]), first)
        v[c] = builder.add(v[c], v[d])
        v[b] = _turned(builder, builder.xor(v[b], v[c]), second)


@operation
def compress_lanes(typing_context: Any, data: Any, at: Any) -> Any:
    """Compress the last blocks of eight messages of at most 32 bytes: lanes in an array of int64 from ``at`` on.

    Read are the chained states, the message words and the bytes counted; written the first two words of the digests.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, args[0])

        def place(word: int) -> Any:
            at = builder.add(args[1], ir.Constant(_WORD, word))
            return builder.bitcast(builder.gep(struct.data, [at]), _LANES.as_pointer())

        def read(word: int) -> Any:
            return builder.load(place(word), align=8)

        h = [read(STATE + LANES * word) for word in range(8)]
        m = [read(MESSAGE + LANES * word) for word in range(SHORT_WORDS)] + [None] * (16 - SHORT_WORDS)
        v = [*h, *(_all(word) for word in _IV)]
        v[12] = builder.xor(v[12], read(COUNTED))
        v[14] = builder.xor(v[14], _all(-1))
        for turn in range(_ROUNDS):
            order = _SIGMA[turn % len(_SIGMA)]
            for number, places in enumerate(_QUARTERS):
                _mix(builder, v, places, (m[order[2 * number]], m[order[2 * number + 1]]))
        builder.store(builder.xor(h[0], builder.xor(v[0], v[8])), place(LOW), align=8)
        builder.store(builder.xor(h[1], builder.xor(v[1], v[9])), place(HIGH), align=8)
        return context.get_dummy_value()

    return types.void(data, types.int64), codegen


@operation
def turned_bytes(typing_context: Any, word: Any) -> Any:
    """Return a uint64 with its bytes in the other order."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bswap(args[0])

    return types.uint64(types.uint64), codegen


@woven
def eight_letters(bits: Any) -> Any:
    """Return 40 bits, the first uppermost, as eight letters of base32, the first lowest."""
    x = (bits & U(0xFFFFF)) | ((bits >> U(20)) << U(32))
    x = (x & U(0x000003FF000003FF)) | ((x & U(0x000FFC00000FFC00)) << U(6))
    x = (x & U(0x001F001F001F001F)) | ((x & U(0x03E003E003E003E0)) << U(3))
    # From 26 on the digits 2 to 7 stand for the letters that there are not.
    digits = ((x + U(0x0606060606060606)) >> U(5)) & U(0x0101010101010101)
    return turned_bytes(x + U(0x6161616161616161) - digits * U(0x61 - 0x32 + 26))


@woven
def put_base32(out: np.ndarray, at: Any, low: Any, high: Any) -> None:
    """Write the 15 bytes of a digest, two words, as 24 letters into ``out[at : at + 24]``."""
    first, second = turned_bytes(low), turned_bytes(high)
    store64(out, at, eight_letters(first >> U(24)))
    store64(out, at + 8, eight_letters(((first & U(0xFFFFFF)) << U(16)) | (second >> U(48))))
    store64(out, at + 16, eight_letters((second >> U(8)) & U(0xFFFFFFFFFF)))
