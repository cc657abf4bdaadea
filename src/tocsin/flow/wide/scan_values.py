"""Parts of the scanner's kernel: names, numbers, texts with escapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import woven
from tocsin.flow.wide.scan_bytes import byte, head, put_byte, trailing_zeros
from tocsin.flow.wide.scan_tables import LONGEST_NAME, NAME_PLACES, SHIFT, SPREAD
from tocsin.flow.wide.words import store64

U = np.uint64
EXACT = 1 << 53
NOT_A_NUMBER, INTEGER, DECIMAL = 0, 1, 2
# Places in the control array.
(
    AT,
    END,
    ROW,
    ROWS,
    USED,
    ROOM,
    ITEM,
    ITEMS,
    NOW,
    OLDEST,
    NEWEST,
    SHOP,
    SLOW,
    REPORTS,
    KNOWN,
    K0,
    K1,
    LONGEST,
    NOTED,
    SCOPE,
    PENDING,
    TIMELESS,
    SHOP_BYTES,
    FULL,
    SPELLED,
    ESCAPES,
    CONTROLS,
) = range(27)
# Places in the scratch array: names that the vocabulary does not know (start, length).
UNKNOWN_MOST = 16
ESCAPED = 2 * UNKNOWN_MOST
"""Then texts with escapes: (slot, start, length) of each as it is spelled out in the spare buffer."""
ESCAPED_MOST = 8
PLAIN_SCRATCH = ESCAPED + 3 * ESCAPED_MOST
"""Where what ``scan_pseudonyms`` keeps begins."""
_EIGHT = 10**8
_TENS = np.array([10.0**exponent for exponent in range(23)])


@woven
def name_at(names: np.ndarray, table: Any, body: np.ndarray, start: Any, length: Any) -> Any:
    """Return the number of the name at ``body[start : start + length]`` in a table, -1 for another."""
    if length > LONGEST_NAME or length == 0:
        return np.int64(-1)
    w0, w1, w2 = head(body, start, length, 0), head(body, start, length, 1), head(body, start, length, 2)
    at = np.int64(((w0 + U(length)) * U(SPREAD)) >> U(SHIFT))
    base = table * (NAME_PLACES * 4)
    while True:
        place = U(base + 4 * at)
        meta = names[place + U(3)]
        if meta == U(0):
            return np.int64(-1)
        other = (names[place] ^ w0) | (names[place + U(1)] ^ w1) | (names[place + U(2)] ^ w2)
        if other | ((meta >> U(32)) ^ U(length)) == U(0):
            return np.int64(meta & U(0xFFFFFFFF)) - 1
        at = (at + 1) & (NAME_PLACES - 1)


@woven
def chosen(choices: np.ndarray, number: Any, body: np.ndarray, start: Any, length: Any) -> Any:
    """Return whether a text is one of a field's choices."""
    if length > LONGEST_NAME:
        return False
    w0, w1, w2 = head(body, start, length, 0), head(body, start, length, 1), head(body, start, length, 2)
    for place in range(choices.shape[1]):
        if choices[number, place, 3] == U(0):
            return False
        if choices[number, place, 0] == w0 and choices[number, place, 1] == w1 and choices[number, place, 2] == w2:
            if choices[number, place, 3] == U(length):
                return True
    return False


@woven
def number_at(body: np.ndarray, start: Any) -> Any:
    """Return (kind, end, integer, decimal) of a JSON number: at most 18 digits, no exponent, no ``-0``."""
    at = start
    negative = byte(body, at) == 0x2D
    if negative:
        at += 1
    first = at
    whole = np.int64(0)
    digit = byte(body, at) - 48
    while 0 <= digit <= 9:
        whole = whole * 10 + digit
        at += 1
        digit = byte(body, at) - 48
    digits = at - first
    kind = np.int64(INTEGER)
    value = 0.0
    if digits == 0 or digits > 18 or (digits > 1 and byte(body, first) == 48):
        kind = np.int64(NOT_A_NUMBER)
    elif digit == 0x2E - 48:
        at += 1
        point = at
        digit = byte(body, at) - 48
        while 0 <= digit <= 9:
            whole = whole * 10 + digit
            at += 1
            digit = byte(body, at) - 48
        decimals = at - point
        # Both the digits and the power of ten are exact doubles: one division rounds once.
        if decimals == 0 or digits + decimals > 18 or whole > EXACT:
            kind = np.int64(NOT_A_NUMBER)
        else:
            kind = np.int64(DECIMAL)
            value = np.float64(whole) / _TENS[decimals]
    elif negative and whole == 0:
        kind = np.int64(NOT_A_NUMBER)
    if digit in (0x65 - 48, 0x45 - 48):
        kind = np.int64(NOT_A_NUMBER)
    if negative:
        whole, value = -whole, -value
    return kind, at, whole, value


@woven
def eight_digits(value: Any) -> Any:
    """Return the eight decimal digits of a number below 10^8 as values of bytes, the first lowest.

    Reference: P. Khuong, How to print integers really fast, 2017.
    """
    high = value // U(10_000)
    pair = high | ((value - high * U(10_000)) << U(32))
    hundreds = ((pair * U(10_486)) >> U(20)) & U(0x7F0000007F)
    pair = ((pair - hundreds * U(100)) << U(16)) | hundreds
    tens = ((pair * U(103)) >> U(10)) & U(0x000F000F000F000F)
    return ((pair - tens * U(10)) << U(8)) | tens


@woven
def put_below(out: np.ndarray, at: Any, value: Any) -> Any:
    """Write a number below 10^8 and return where it ends; up to seven bytes behind are written, too."""
    digits = eight_digits(value)
    # A last digit of zero stays.
    zeros = trailing_zeros(digits | U(1 << 56)) >> 3
    store64(out, at, (digits | U(0x3030303030303030)) >> U(8 * zeros))
    return at + 8 - zeros


@woven
def put_integer(out: np.ndarray, at: Any, value: Any) -> Any:
    """Write an integer that is not negative in decimal and return where it ends.

    Up to seven bytes behind its end are written, too.
    """
    left = U(value)
    if left < U(_EIGHT):
        return put_below(out, at, left)
    high = left // U(_EIGHT)
    low = left - high * U(_EIGHT)
    if high < U(_EIGHT):
        at = put_below(out, at, high)
    else:
        top = high // U(_EIGHT)
        at = put_below(out, at, top)
        store64(out, at, eight_digits(high - top * U(_EIGHT)) | U(0x3030303030303030))
        at += 8
    store64(out, at, eight_digits(low) | U(0x3030303030303030))
    return at + 8


@woven
def four_digits(body: np.ndarray, start: Any) -> Any:
    """Return the value of four hexadecimal digits, -1 where they are none."""
    value = np.int64(0)
    for at in range(start, start + 4):
        one = byte(body, at)
        if 48 <= one <= 57:
            digit = one - 48
        elif 97 <= (one | 0x20) <= 102:
            digit = (one | 0x20) - 87
        else:
            return np.int64(-1)
        value = 16 * value + digit
    return value


@woven
def put_point(out: np.ndarray, at: Any, point: Any) -> Any:
    """Write a code point in UTF-8 and return where it ends."""
    if point < 0x80:
        put_byte(out, at, point)
        return at + 1
    if point < 0x800:
        put_byte(out, at, 0xC0 | (point >> 6))
        put_byte(out, at + 1, 0x80 | (point & 0x3F))
        return at + 2
    if point < 0x10000:
        put_byte(out, at, 0xE0 | (point >> 12))
        put_byte(out, at + 1, 0x80 | ((point >> 6) & 0x3F))
        put_byte(out, at + 2, 0x80 | (point & 0x3F))
        return at + 3
    put_byte(out, at, 0xF0 | (point >> 18))
    put_byte(out, at + 1, 0x80 | ((point >> 12) & 0x3F))
    put_byte(out, at + 2, 0x80 | ((point >> 6) & 0x3F))
    put_byte(out, at + 3, 0x80 | (point & 0x3F))
    return at + 4


@woven
def spelled(body: np.ndarray, start: Any, spare: np.ndarray, place: Any) -> Any:
    """Write a string with its escapes spelled out; return (closing quote or -1, end in ``spare``).

    -1 for what is no escape, for surrogates that are no pair, and for control characters.
    """
    at = start
    while True:
        one = byte(body, at)
        if one == 0x22:
            return at, place
        if one < 0x20:
            return np.int64(-1), place
        if one != 0x5C:
            put_byte(spare, place, one)
            place += 1
            at += 1
            continue
        kind = byte(body, at + 1)
        at += 2
        if kind == 0x75:
            point = four_digits(body, at)
            at += 4
            if 0xD800 <= point < 0xE000:
                if point >= 0xDC00 or byte(body, at) != 0x5C or byte(body, at + 1) != 0x75:
                    return np.int64(-1), place
                low = four_digits(body, at + 2)
                if low < 0xDC00 or low > 0xDFFF:
                    return np.int64(-1), place
                point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
                at += 6
            if point < 0:
                return np.int64(-1), place
            place = put_point(spare, place, point)
            continue
        if kind in (0x22, 0x5C, 0x2F):
            one = kind
        elif kind == 0x6E:
            one = np.int64(0x0A)
        elif kind == 0x74:
            one = np.int64(0x09)
        elif kind == 0x72:
            one = np.int64(0x0D)
        elif kind == 0x62:
            one = np.int64(0x08)
        elif kind == 0x66:
            one = np.int64(0x0C)
        else:
            return np.int64(-1), place
        put_byte(spare, place, one)
        place += 1
