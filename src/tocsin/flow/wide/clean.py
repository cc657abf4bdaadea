"""Free text in kernels: whether ``methods.masking.mask`` surely leaves a text as it is, in one pass over its bytes.

Digits with what may stand between the digits of a number (blank, ``-``, ``.``, ``+``, ``_``, brackets, their percent
forms and Unicode dashes) make a cluster. A text is clean without ``@``, without full-width digits, and where no cluster
holds a number that a pattern of the mask could match: a cluster of fewer than seven digits never does; others are
looked at digit group by digit group. Clean is certain; not clean means "ask the mask".
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tocsin.flow.wide.jit import inlined, kernel

Whole: TypeAlias = Any
"""int in Python, int64 in a kernel."""
_ZERO = 48
_OTHER, _GAP, _DIGIT, _PLUS, _PERCENT, _AT, _LEAD = 0, 1, 2, 3, 4, 5, 6
_FEWEST = 7
"""Digits below which no pattern of the mask looks at a text."""
_FEWEST_ESCAPED = 6
"""The same where ``%20`` or the like stands in the cluster: its own two digits may count as the number's first ones."""
_FEWEST_INTERNATIONAL = 8
_FEWEST_MOBILE = 11
_LONGEST = 19


def _classes() -> np.ndarray:
    table = np.zeros(256, np.uint8)
    table[ord("0") : ord("9") + 1] = _DIGIT
    for byte in b" -._()":
        table[byte] = _GAP
    table[ord("+")] = _PLUS
    table[ord("%")] = _PERCENT
    table[ord("@")] = _AT
    for byte in (0xC2, 0xE2, 0xEF):
        table[byte] = _LEAD
    return table


_CLASS = _classes()
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 0], dtype=np.int64)
_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], dtype=np.int64)


@inlined
def _wide_dash(data: np.ndarray, at: Whole, end: Whole) -> Whole:
    """Return the bytes of the no-break space or the dash U+2010 to U+2014 that starts at ``at``; 0 for another."""
    if data[at] == 0xC2:
        return 2 if at + 1 < end and data[at + 1] == 0xA0 else 0
    if data[at] == 0xE2 and at + 2 < end and data[at + 1] == 0x80 and 0x90 <= data[at + 2] <= 0x94:
        return 3
    return 0


@inlined
def _full_width(data: np.ndarray, at: Whole, end: Whole) -> bool:
    """Return whether a full-width digit, ``@``, ``+`` or ``-`` starts at ``at``."""
    if data[at] != 0xEF or at + 2 >= end or data[at + 1] != 0xBC:
        return False
    last = data[at + 2]
    return bool(0x90 <= last <= 0x99 or last in (0xA0, 0x8B, 0x8D))


@inlined
def _suspicious_number(data: np.ndarray, first: Whole, end: Whole) -> bool:
    """Return whether a card, an identity number or a mobile number may start with the digit group at ``first``.

    Looks at the groups from there, at most 19 digits, joined by single separators.
    """
    at = first
    total = 0
    plain_gaps = True  # only blanks and hyphens: what identity numbers and mobiles may hold
    # Luhn sums with the digits at even and at odd places doubled; the sum of ISO 7064.
    even: Whole = 0
    odd: Whole = 0
    weighted: Whole = 0
    month, day, region, year = 0, 0, 0, 0
    d0, d1, d2, d3, d4, d5 = 0, 0, 0, 0, 0, 0
    while at < end:
        while at < end and _CLASS[data[at]] == _DIGIT:
            if total == _LONGEST:
                return False
            digit: Whole = np.int64(data[at]) - _ZERO
            if total == 0:
                d0 = digit
            elif total == 1:
                d1 = digit
            elif total == 2:
                d2 = digit
            elif total == 3:
                d3 = digit
            elif total == 4:
                d4 = digit
            elif total == 5:
                d5 = digit
            if total < 2:
                region = 10 * region + digit
            elif 6 <= total < 10:
                year = 10 * year + digit
            elif 10 <= total < 12:
                month = 10 * month + digit
            elif 12 <= total < 14:
                day = 10 * day + digit
            if total % 2 == 0:
                even += _DOUBLED[digit]
                odd += digit
            else:
                even += digit
                odd += _DOUBLED[digit]
            if total < 18:
                weighted += digit * _WEIGHTS[total]
            total += 1
            at += 1
        last = np.int64(data[at - 1]) - _ZERO
        if plain_gaps:
            mobile = total == 11 and d0 == 1 and d1 >= 3
            mobile = mobile or (total == 13 and d0 == 8 and d1 == 6 and d2 == 1 and d3 >= 3)
            mobile = mobile or (total == 15 and d0 == 0 and d1 == 0 and d2 == 8 and d3 == 6 and d4 == 1 and d5 >= 3)
            if mobile:
                return True
            dated = 11 <= region <= 82 and year > 0 and 1 <= month <= 12 and 1 <= day <= 31
            if dated and total == 18:
                check = (12 - weighted % 11) % 11
                if check == last:
                    return True
            if dated and total == 17 and at < end and (data[at] | 0x20) == 120:
                return True
        if 13 <= total <= _LONGEST:
            second = 10 * d0 + d1
            network = 3 <= d0 <= 6 or 22 <= second <= 27 or second in (81, 82)
            if network and (even if total % 2 == 0 else odd) % 10 == 0:
                return True
        # One separator, then digits: the number may go on.
        if at >= end:
            return False
        width = 1
        kind = _CLASS[data[at]]
        if kind == _LEAD:
            width = _wide_dash(data, at, end)
            plain_gaps = False
            if width == 0:
                return False
        elif kind not in (_GAP, _PLUS):
            return False
        elif data[at] != 32 and data[at] != 45:
            plain_gaps = False
        at += width
        if at >= end or _CLASS[data[at]] != _DIGIT:
            return False
    return False


@inlined
def _suspicious_cluster(data: np.ndarray, first: Whole, end: Whole, text_end: Whole, digits: Whole) -> bool:
    """Return whether a number of the mask may stand in the cluster ``data[first:end]``, which holds no percent sign.

    Fixed lines: a group of 7 or 8 digits after one of an area code. North America: groups of 3, 3 and 4. ``digits`` is
    how many the cluster has.
    """
    at = first
    size_before, size_second = 0, 0  # the groups before this one, nearest first
    first_before: Whole = 0
    first_second: Whole = 0
    area_before = False
    while at < end:
        if _CLASS[data[at]] != _DIGIT:
            at += 1
            continue
        if digits >= _FEWEST_MOBILE and _suspicious_number(data, at, text_end):
            return True
        start = at
        while at < end and _CLASS[data[at]] == _DIGIT:
            at += 1
        size = at - start
        digits -= size
        if area_before and size in (7, 8):
            return True
        if size == 4 and size_before == 3 and size_second == 3 and first_before >= 2 and first_second >= 2:
            return True
        area_before = (3 <= size <= 4 and data[start] == _ZERO) or (
            size >= 5 and (data[at - 3] == _ZERO or data[at - 4] == _ZERO)
        )
        size_second, first_second = size_before, first_before
        size_before, first_before = size, np.int64(data[start]) - _ZERO
    return False


@inlined
def clean_text(data: np.ndarray, start: Whole, length: Whole) -> bool:
    """Return True only where ``methods.masking.mask`` leaves the UTF-8 text as it is; False is "ask the mask"."""
    end = start + length
    at = start
    digits = 0  # of the cluster so far
    cluster = -1  # where its first digit stands
    after_plus = -1  # digits before the first "+" of the cluster that a digit from 1 to 9 follows
    escaped = False
    while at <= end:
        kind = _CLASS[data[at]] if at < end else np.uint8(_OTHER)
        width = 1
        if kind == _DIGIT:
            if digits == 0:
                cluster = at
            digits += 1
            at += 1
            continue
        if kind == _LEAD:
            if _full_width(data, at, end):
                return False
            width = _wide_dash(data, at, end)
            if width == 0:
                kind, width = np.uint8(_OTHER), 1
        elif kind == _PERCENT:
            kind = np.uint8(_OTHER)
            if at + 2 < end:
                high, low = data[at + 1], data[at + 2]
                if high == 52 and low == 48:
                    return False
                if high == 50 and (low in (48, 66) or (low | 0x20) == 100):
                    kind, width, escaped = np.uint8(_GAP), 3, True
        elif kind == _AT:
            return False
        if kind == _OTHER:
            if digits >= _FEWEST_ESCAPED and cluster >= 0:
                if escaped:
                    return False
                if after_plus >= 0 and digits - after_plus >= _FEWEST_INTERNATIONAL:
                    return False
                if digits >= _FEWEST and _suspicious_cluster(data, cluster, at, end, digits):
                    return False
            digits, cluster, after_plus, escaped = 0, -1, -1, False
            # Before the first digit what may stand between digits does not matter.
            at += width
            while at < end and _CLASS[data[at]] <= _GAP:
                at += 1
            continue
        if kind == _PLUS and after_plus < 0 and at + 1 < end and 49 <= data[at + 1] <= 57:
            after_plus = digits
        at += width
    return True


@kernel
def clean_spans(data: np.ndarray, spans: np.ndarray, out: np.ndarray) -> None:
    """Tell of the texts at ``spans`` (uint64 [n]: start << 32 | length) which are clean: ``out`` bool [n]."""
    for row in range(len(spans)):
        start, length = np.int64(spans[row] >> np.uint64(32)), np.int64(spans[row] & np.uint64(0xFFFFFFFF))
        out[row] = clean_text(data, start, length)


def warm() -> None:
    """Compile every kernel of this module."""
    clean_spans(np.zeros(1, np.uint8), np.array([1], np.uint64), np.empty(1, np.bool_))
