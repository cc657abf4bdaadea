"""The two kernels of the benchmark stream: lines put together from pieces, and stamped again where they stand."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from tocsin.flow.wide.jit import inlined, kernel

_ir: Any = import_module("llvmlite.ir")
SLOTS = 8
"""time, id, ip, session, account, device, card, number; see ``stream.WIDTHS``."""
OCTETS = 156
"""Octets from 100 to 255: addresses of fixed width."""
DAY_S = 86_400


def _storing(typing: Any, buffer: Any, at: Any, word: Any) -> Any:
    """Store eight bytes at any place of a buffer uint8."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(made.data, [arguments[1]]), _ir.IntType(64).as_pointer())
        builder.store(arguments[2], place, align=1)
        return context.get_dummy_value()

    return types.void(buffer, types.int64, types.uint64), build


_store: Any = intrinsic(_storing)


@inlined
def _digits(value: np.uint64) -> np.uint64:
    """Return the eight decimal digits of a number below 10^8 as bytes, the first digit lowest."""
    high = value // np.uint64(10_000)
    pair = high | ((value - high * np.uint64(10_000)) << np.uint64(32))
    hundreds = ((pair * np.uint64(10_486)) >> np.uint64(20)) & np.uint64(0x7F0000007F)
    pair = ((pair - hundreds * np.uint64(100)) << np.uint64(16)) | hundreds
    tens = ((pair * np.uint64(103)) >> np.uint64(10)) & np.uint64(0x000F000F000F000F)
    pair = ((pair - tens * np.uint64(10)) << np.uint64(8)) | tens
    return pair | np.uint64(0x3030303030303030)


@inlined
def _mixed(x: np.uint64) -> np.uint64:
    """Return the finaliser of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inlined
def _civil(days: np.int64) -> tuple[np.int64, np.int64, np.int64]:
    """Return year, month, day of a day since 1970 (Hinnant, chrono-compatible low-level date algorithms)."""
    shifted = days + 719_468
    era = shifted // 146_097
    day = shifted - era * 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day = day - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (1 if month <= 2 else 0), month, day


@inlined
def _two(value: np.int64) -> np.uint64:
    return np.uint64(0x3030) | np.uint64(value // 10) | (np.uint64(value % 10) << np.uint64(8))


@inlined
def _second(second: np.int64) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Return ``YYYY-MM-DDTHH:MM:SS.`` as words that begin at 0, 8 and 12 of the text."""
    year, month, day = _civil(second // DAY_S)
    clock = second % DAY_S
    dash, colon = np.uint64(0x2D), np.uint64(0x3A)
    date = _two(year // 100) | (_two(year % 100) << np.uint64(16)) | (dash << np.uint64(32))
    date |= (_two(month) << np.uint64(40)) | (dash << np.uint64(56))
    hour = _two(clock // 3600)
    middle = _two(day) | (np.uint64(0x54) << np.uint64(16)) | (hour << np.uint64(24)) | (colon << np.uint64(40))
    minute = _two(clock // 60 % 60)
    middle |= minute << np.uint64(48)
    last = (hour >> np.uint64(8)) | (colon << np.uint64(8)) | (minute << np.uint64(16)) | (colon << np.uint64(32))
    last |= (_two(clock % 60) << np.uint64(40)) | (np.uint64(0x2E) << np.uint64(56))
    return date, middle, last


@inlined
def _octet(value: np.uint64) -> np.uint64:
    """Return an octet from 100 on and the dot behind it."""
    number = value + np.uint64(100)
    tens = number // np.uint64(10)
    last = (number - tens * np.uint64(10)) << np.uint64(16)
    return np.uint64(0x2E303030) | (tens // np.uint64(10)) | ((tens % np.uint64(10)) << np.uint64(8)) | last


@inlined
def _rank(draw: np.uint64, quantiles: np.ndarray) -> np.uint64:
    """Return the rank at a draw of 32 bits."""
    bucket = draw >> np.uint64(18)
    part = np.float64(draw & np.uint64(0x3FFFF)) * (1.0 / 262_144.0)
    low = quantiles[bucket]
    return np.uint64(low + (quantiles[bucket + np.uint64(1)] - low) * part)


@kernel
def restamp(
    buffer: np.ndarray,
    starts: np.ndarray,
    slots: np.ndarray,
    quantiles: np.ndarray,
    settings: np.ndarray,
    draw: np.uint64,
    fresh: np.uint64,
) -> None:
    """Overwrite the slots of ``n`` lines; ``settings`` are first, n, lines so far, time, step, live keys, most keys."""
    first, n, lines, now, step = settings[0], settings[1], settings[2], settings[3], settings[4]
    live, most = np.uint64(settings[5]), np.uint64(settings[6])
    second = np.int64(-1)
    date = middle = last = np.uint64(0)
    low32, eight = np.uint64(0xFFFFFFFF), np.uint64(100_000_000)
    for i in range(n):
        line = first + i
        at = starts[line]
        when = now + i * step
        if when // 1_000_000 != second:
            second = when // 1_000_000
            date, middle, last = _second(second)
        # The last six of eight digits, then the Z and the quote behind the time.
        micros = (_digits(np.uint64(when - second * 1_000_000)) >> np.uint64(16)) | (np.uint64(0x225A) << np.uint64(48))
        place = at + slots[line, 0]
        _store(buffer, place, date)
        _store(buffer, place + 8, middle)
        _store(buffer, place + 12, last)
        _store(buffer, place + 20, micros)
        number = np.uint64(lines + i)
        low_digits = _digits(number % eight)
        _store(buffer, at + slots[line, 1], _digits(number // eight))
        _store(buffer, at + slots[line, 1] + 8, low_digits)
        drawn = _mixed(draw + number * np.uint64(0x9E3779B97F4A7C15))
        person, site = _rank(drawn & low32, quantiles), _rank(drawn >> np.uint64(32), quantiles)
        if fresh and _mixed(drawn) & low32 < fresh:
            person = site = live + number % (most - live)
        if slots[line, 2] >= 0:
            network = site // np.uint64(OCTETS * OCTETS)
            host = site - network * np.uint64(OCTETS * OCTETS)
            upper, lower = network // np.uint64(OCTETS), host // np.uint64(OCTETS)
            left = _octet(upper) | (_octet(network - upper * np.uint64(OCTETS)) << np.uint64(32))
            right = _octet(lower) | (_octet(host - lower * np.uint64(OCTETS)) << np.uint64(32))
            _store(buffer, at + slots[line, 2], left)
            # The quote behind the address takes the place of a fourth dot.
            _store(buffer, at + slots[line, 2] + 8, right ^ (np.uint64(0x2E ^ 0x22) << np.uint64(56)))
        key = _digits(person)
        for slot in range(3, 7):
            if slots[line, slot] >= 0:
                _store(buffer, at + slots[line, slot], key)
        if slots[line, 7] >= 0:
            _store(buffer, at + slots[line, 7], low_digits)


@kernel
def _sizes(parts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    sizes = np.zeros(parts.shape[0], np.int64)
    for line in range(parts.shape[0]):
        for place in range(parts.shape[1]):
            piece = parts[line, place]
            if piece >= 0:
                sizes[line] += ends[piece + 1] - ends[piece]
    return sizes


@kernel
def assemble(
    parts: np.ndarray, blob: np.ndarray, ends: np.ndarray, slot_of: np.ndarray, slots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (bytes, length of each line) of lines of numbered pieces (-1: none); fills ``slots``."""
    sizes = _sizes(parts, ends)
    buffer = np.empty(sizes.sum(), np.uint8)
    at = np.int64(0)
    for line in range(parts.shape[0]):
        start = at
        for place in range(parts.shape[1]):
            piece = parts[line, place]
            if piece < 0:
                continue
            if slot_of[piece] >= 0:
                slots[line, slot_of[piece]] = at - start
            for byte in range(ends[piece], ends[piece + 1]):
                buffer[at] = blob[byte]
                at += 1
    return buffer, sizes
