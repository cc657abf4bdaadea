"""Checks and values of single texts in kernels: UTF-8, addresses, times, numbers; each a twin of ``sources.checks``.

Every function takes (data uint8 array, start, length) and reads nothing outside. What a kernel does not decide it
leaves to the plain check, so each may say "ask" and never a different value.

References: Unicode 16 table 3-7 (well-formed UTF-8), RFC 5952 (text of IPv6 addresses), RFC 3339, W. Clinger, "How
to read floating point numbers accurately" (PLDI 1990).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tocsin.flow.wide.clean import clean_text
from tocsin.flow.wide.jit import inlined
from tocsin.flow.wide.words import load64

__all__ = ["ASK", "canonical_ip", "clean_text", "parse_double", "parse_int", "rfc3339_micros", "valid_utf8"]

U = np.uint64
Whole: TypeAlias = Any
"""int in Python, int64 in a kernel."""
ASK = -(2**63)
"""What ``rfc3339_micros`` returns where the plain check must decide."""

_HIGH = U(0x8080808080808080)
_ZERO, _NINE, _DOT, _COLON, _DASH, _PLUS = 48, 57, 46, 58, 45, 43
_MICROSECONDS = np.array([100_000, 10_000, 1_000, 100, 10, 1], dtype=np.int64)
_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
_TENS = np.array([10.0**exponent for exponent in range(23)], dtype=np.float64)


@inlined
def _continued(byte: Whole) -> bool:
    return bool(0x80 <= byte <= 0xBF)


@inlined
def valid_utf8(data: np.ndarray, start: Whole, length: Whole) -> Whole:
    """Return the number of code points, or -1 where Python's strict decoder would refuse the bytes."""
    at, end, points = np.int64(start), np.int64(start + length), np.int64(0)
    while at < end:
        while at + 8 <= end and load64(data, at) & _HIGH == U(0):
            at += 8
            points += 8
        if at >= end:
            break
        lead = np.int64(data[at])
        points += 1
        if lead < 0x80:
            at += 1
        elif lead < 0xE0:
            if lead < 0xC2 or at + 2 > end or not _continued(data[at + 1]):
                return np.int64(-1)
            at += 2
        elif lead < 0xF0:
            if at + 3 > end or not _continued(data[at + 1]) or not _continued(data[at + 2]):
                return np.int64(-1)
            # E0 80..9F would be overlong, ED A0..BF a surrogate.
            if (lead == 0xE0 and data[at + 1] < 0xA0) or (lead == 0xED and data[at + 1] > 0x9F):
                return np.int64(-1)
            at += 3
        else:
            if lead > 0xF4 or at + 4 > end or not _continued(data[at + 1]):
                return np.int64(-1)
            if not _continued(data[at + 2]) or not _continued(data[at + 3]):
                return np.int64(-1)
            # F0 80..8F would be overlong, F4 90.. is beyond U+10FFFF.
            if (lead == 0xF0 and data[at + 1] < 0x90) or (lead == 0xF4 and data[at + 1] > 0x8F):
                return np.int64(-1)
            at += 4
    return points


@inlined
def _ipv4(data: np.ndarray, at: Whole, end: Whole) -> bool:
    """Return whether inet_pton takes it: four decimal octets without leading zeros."""
    octets, digits, value = np.int64(0), np.int64(0), np.int64(0)
    while at < end:
        byte = np.int64(data[at])
        if byte == _DOT:
            if digits == 0 or octets == 3:
                return False
            octets, digits, value = octets + 1, np.int64(0), np.int64(0)
        else:
            if byte < _ZERO or byte > _NINE or (digits > 0 and value == 0):
                return False
            value = 10 * value + byte - _ZERO
            digits += 1
            if value > 255:
                return False
        at += 1
    return bool(octets == 3 and digits > 0)


@inlined
def _ipv6(data: np.ndarray, start: Whole, end: Whole) -> bool:
    """Return whether inet_ntop prints this address so; addresses with five leading zero words only where ``::1``.

    Systems differ in how they print the others of ``::/80`` (the last words as IPv4 or not).
    """
    if end - start == 3 and data[start] == _COLON and data[start + 1] == _COLON and data[start + 2] == _ZERO + 1:
        return True
    at = start
    groups = 0
    before = -1  # words before the "::", -1 where none has come yet
    run = 0  # zero words that end here
    longest_before, longest_after = 0, 0
    while at < end:
        if data[at] == _COLON and at + 1 < end and data[at + 1] == _COLON and before < 0:
            # A zero word beside the gap would be part of it.
            if run:
                return False
            before = groups
            at += 2
            if at == end:
                break
        elif groups > 0:
            if data[at] != _COLON:
                return False
            at += 1
        digits, value = np.int64(0), np.int64(0)
        while at < end and data[at] != _COLON:
            byte = np.int64(data[at])
            if _ZERO <= byte <= _NINE:
                digit = byte - _ZERO
            elif 97 <= byte <= 102:
                digit = byte - 87
            else:
                return False
            if digits == 4 or (digits > 0 and value == 0):
                return False
            value = 16 * value + digit
            digits += 1
            at += 1
        if digits == 0 or groups == 8:
            return False
        groups += 1
        if value:
            run = 0
            continue
        if before >= 0 and groups == before + 1:
            return False
        run += 1
        if before < 0:
            longest_before = max(longest_before, run)
        else:
            longest_after = max(longest_after, run)
    if before < 0:
        return groups == 8 and longest_before < 2
    gap = 8 - groups
    if gap < 2 or (before == 0 and gap >= 5):
        return False
    # inet_ntop shortens the longest run, of equal ones the first.
    return longest_before < gap and longest_after <= gap


@inlined
def canonical_ip(data: np.ndarray, start: Whole, length: Whole) -> bool:
    """Return True only where ``sources.checks`` takes the text as an address and leaves it as it is.

    False is "ask" for addresses in ``::/80`` except ``::1``; for all others it is exact.
    """
    if length < 3 or length > 45:
        return False
    for at in range(start, start + min(length, 5)):
        if data[at] == _COLON:
            return _ipv6(data, start, start + length)
    return _ipv4(data, start, start + length)


@inlined
def _two(data: np.ndarray, at: Whole) -> Whole:
    """Return the value of two digits; a negative number below -1000 where one is none."""
    high, low = np.int64(data[at]) - _ZERO, np.int64(data[at + 1]) - _ZERO
    if high < 0 or high > 9 or low < 0 or low > 9:
        return np.int64(-100_000)
    return 10 * high + low


@inlined
def rfc3339_micros(data: np.ndarray, start: Whole, length: Whole) -> Whole:
    """Return microseconds since 1970 as ``sources.checks.instant`` gives for the text, or ``ASK``.

    Years 1 to 9999, ``T``, ``t`` or a space between date and time, a fraction of any length (rounded half up by its
    seventh digit), then ``Z``, ``z``, ``+hh:mm`` or ``+hhmm`` up to 23:59. Second 60 is refused by the plain check.
    """
    if length < 20:
        return np.int64(ASK)
    end = np.int64(start + length)
    if data[start + 4] != _DASH or data[start + 7] != _DASH or data[start + 13] != _COLON:
        return np.int64(ASK)
    between = np.int64(data[start + 10]) | 0x20
    if data[start + 16] != _COLON or (between != 116 and data[start + 10] != 32):
        return np.int64(ASK)
    year = 100 * _two(data, start) + _two(data, start + 2)
    month, day = _two(data, start + 5), _two(data, start + 8)
    hour, minute, second = _two(data, start + 11), _two(data, start + 14), _two(data, start + 17)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > _MONTH_DAYS[month]:
        return np.int64(ASK)
    if month == 2 and day == 29 and (year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)):
        return np.int64(ASK)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return np.int64(ASK)
    at = np.int64(start + 19)
    micros = np.int64(0)
    if data[at] == _DOT:
        at += 1
        digits = np.int64(0)
        while at < end and _ZERO <= data[at] <= _NINE:
            if digits < 6:
                micros += _MICROSECONDS[digits] * (np.int64(data[at]) - _ZERO)
            elif digits == 6 and data[at] >= _ZERO + 5:
                micros += 1
            digits += 1
            at += 1
        if digits == 0 or at >= end or (micros == 1_000_000 and year == 9999):
            return np.int64(ASK)
    zone = np.int64(data[at])
    offset = np.int64(0)
    if zone in (_PLUS, _DASH):
        colon = end - at == 6
        if (not colon and end - at != 5) or (colon and data[at + 3] != _COLON):
            return np.int64(ASK)
        hours, minutes = _two(data, at + 1), _two(data, at + 3 + np.int64(colon))
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return np.int64(ASK)
        offset = (60 * hours + minutes) * np.int64(1 if zone == _PLUS else -1)
    elif (zone | 0x20) != 122 or at + 1 != end:
        return np.int64(ASK)
    # Days from the civil date: years start in March, so the leap day comes last.
    shifted = year - np.int64(month <= 2)
    era_day = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + era_day - 719_468
    minutes_of_all = (days * 24 + hour) * 60 + minute - offset
    return (minutes_of_all * 60 + second) * 1_000_000 + micros


@inlined
def parse_int(data: np.ndarray, start: Whole, length: Whole) -> tuple[Whole, bool]:
    """Return (value, True) of a JSON integer of at most 18 digits; (0, False) for ``-0`` and everything else."""
    at, end = np.int64(start), np.int64(start + length)
    negative = length > 0 and data[at] == _DASH
    if negative:
        at += 1
    digits = end - at
    if digits < 1 or digits > 18 or (data[at] == _ZERO and (digits > 1 or negative)):
        return np.int64(0), False
    value = np.int64(0)
    while at < end:
        digit = np.int64(data[at]) - _ZERO
        if digit < 0 or digit > 9:
            return np.int64(0), False
        value = 10 * value + digit
        at += 1
    return (-value if negative else value), True


@inlined
def parse_double(data: np.ndarray, start: Whole, length: Whole) -> tuple[Any, bool]:
    """Return (value, True) of a JSON number without exponent, correctly rounded; (0.0, False) for everything else.

    At most 15 significant digits and 22 decimals: mantissa and power of ten are exact doubles, so one division
    rounds once (Clinger's fast path). ``-0`` without a fraction is not taken: JSON readers differ about its type.
    """
    at, end = np.int64(start), np.int64(start + length)
    negative = length > 0 and data[at] == _DASH
    if negative:
        at += 1
    whole = at
    mantissa, significant, decimals = np.int64(0), np.int64(0), np.int64(0)
    point = False
    while at < end:
        digit = np.int64(data[at]) - _ZERO
        if 0 <= digit <= 9:
            if significant > 0 or digit > 0:
                significant += 1
            if significant > 15:
                return 0.0, False
            mantissa = 10 * mantissa + digit
            decimals += np.int64(point)
        elif data[at] == _DOT and not point and at > whole:
            point = True
            if at - whole > 1 and data[whole] == _ZERO:
                return 0.0, False
        else:
            return 0.0, False
        at += 1
    if point:
        if decimals == 0 or decimals > 22:
            return 0.0, False
    elif at == whole or (data[whole] == _ZERO and (at - whole > 1 or negative)):
        return 0.0, False
    value = np.float64(mantissa) / _TENS[decimals]
    return (-value if negative else value), True
