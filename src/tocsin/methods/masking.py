"""Mask personal numbers and addresses in free text: payment cards, Chinese resident identity numbers, phones, mails.

Works on English and Chinese text and inside URL query strings (``%40``, ``%20``, ``+``). What is found is replaced by a
word in brackets; the rest of the text stays as it is. Order numbers, prices and dates survive unless they happen to
carry a card network's prefix and a valid check digit, or look exactly like a telephone number.

References
----------
ISO/IEC 7812-1 (card numbers, Luhn check digit), GB 11643-1999 with ISO 7064 MOD 11-2 (resident identity numbers),
ITU-T E.164 (international telephone numbers), RFC 5321 4.5.3.1 (lengths of mail addresses).
"""

from __future__ import annotations

import re
from datetime import date

CARD = "[card]"
IDENTITY = "[id]"
PHONE = "[phone]"
MAIL = "[mail]"

_FULL_WIDTH = {0xFF10 + digit: 0x30 + digit for digit in range(10)} | {0xFF20: 0x40, 0xFF0B: 0x2B, 0xFF0D: 0x2D}
_SEPARATOR = r"(?:%20|%2[Dd]|[ \-.+_\u00a0\u2010-\u2014])"
_LONG = re.compile(rf"[0-9](?:{_SEPARATOR}{{0,2}}[()]?[0-9]){{6}}")
# The lengths are bounds on the work per character, too: without them a long run of letters costs its square.
_MAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}(?:@|%40)[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62}\.){1,8}[A-Za-z]{2,24}")
_IDENTITY = re.compile(r"(?<![0-9])[0-9]{6}[ \-]?[0-9]{8}[ \-]?[0-9]{3}[0-9Xx](?![0-9])")
_RUN = re.compile(rf"[0-9]+(?:{_SEPARATOR}[0-9]+)*")
_PART = re.compile(rf"{_SEPARATOR}|([0-9]+)")
_PHONE = re.compile(
    r"""
    (?<![0-9])(?:(?:\+|%2B|00)?86[ \-]?)?1[3-9][0-9][ \-]?[0-9]{4}[ \-]?[0-9]{4}(?![0-9])       # China, mobile
  | (?<![0-9])(?:(?:\+|%2B|00)86[ \-]?)?\(?0[1-9][0-9]{1,2}\)?[ \-][0-9]{7,8}(?![0-9])            # China, fixed line
  | (?:\+|%2B)[1-9](?:(?:%20|[ \-.()]){0,2}[0-9]){7,14}(?![0-9])                                  # E.164
  | (?<![0-9])\(?[2-9][0-9]{2}(?:\)[ ]?|[\-. ])[2-9][0-9]{2}[\-. ][0-9]{4}(?![0-9])               # North America
    """,
    re.VERBOSE,
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CARD_PREFIX = re.compile(r"(?:22[0-9]|2[3-7]|3|4|5|6|8[12])")
_SHORTEST_CARD, _LONGEST_CARD = 13, 19


def luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the ones before.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_number(digits: str) -> bool:
    """Return whether these digits can be a payment card: 13 to 19 of them, a network's prefix, a valid check digit."""
    if not _SHORTEST_CARD <= len(digits) <= _LONGEST_CARD:
        return False
    return _CARD_PREFIX.match(digits) is not None and luhn(digits)


def identity_number(number: str) -> bool:
    """Return whether the 18 characters are a resident identity number: region, date of birth, check character.

    >>> identity_number("11010519491231002X")
    True
    """
    if not 11 <= int(number[:2]) <= 82:
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    rest = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True)) % 11
    return "10X98765432"[rest] == number[17].upper()


def mask(text: str) -> str:
    """Return the text with cards, identity numbers, phones and mails replaced; idempotent.

    >>> mask("pay with 4111 1111 1111 1111, call +86 138-0013-8000 or write to a.b@example.com; order 20261121000017")
    'pay with [card], call [phone] or write to [mail]; order 20261121000017'
    """
    while True:
        masked = _once(text)
        if masked == text:
            return masked
        text = masked


def _once(text: str) -> str:
    if not text.isascii():
        # One character for one character: positions found in the plain form hold in the text as it came.
        plain = text.translate(_FULL_WIDTH)
    else:
        plain = text
    mails = "@" in plain or "%40" in plain
    if not mails and _LONG.search(plain) is None:
        return text
    spans: list[tuple[int, int, str]] = []
    if mails:
        spans += [(*match.span(), MAIL) for match in _MAIL.finditer(plain)]
    for match in _IDENTITY.finditer(plain):
        if identity_number(re.sub(r"[ \-]", "", match[0])):
            spans.append((*match.span(), IDENTITY))
    for match in _RUN.finditer(plain):
        spans += _cards(match[0], match.start())
    spans += [(*match.span(), PHONE) for match in _PHONE.finditer(plain)]
    return _replaced(text, spans)


def _cards(run: str, offset: int) -> list[tuple[int, int, str]]:
    """Return the spans of cards in a run of digit groups: whole groups with one kind of separator."""
    groups = [match.span() for match in _PART.finditer(run) if match[1]]
    if groups[-1][1] - groups[0][0] < _SHORTEST_CARD:
        return []
    found: list[tuple[int, int, str]] = []
    first = 0
    while first < len(groups):
        last = _card_from(run, groups, first)
        if last is None:
            first += 1
            continue
        found.append((offset + groups[first][0], offset + groups[last][1], CARD))
        first = last + 1
    return found


def _card_from(run: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Return the index of the last group of the longest card that starts with group ``first``, or None."""
    digits, separator, best = "", "", None
    for index in range(first, len(groups)):
        start, end = groups[index]
        if index > first:
            between = run[groups[index - 1][1] : start]
            if separator and between != separator:
                break
            separator = between
        digits += run[start:end]
        if len(digits) > _LONGEST_CARD:
            break
        if card_number(digits):
            best = index
    return best


def _replaced(text: str, spans: list[tuple[int, int, str]]) -> str:
    """Return the text with the spans replaced; where two overlap the earlier one wins, then the longer one."""
    parts: list[str] = []
    position = 0
    for start, end, word in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start < position:
            continue
        parts += (text[position:start], word)
        position = end
    parts.append(text[position:])
    return "".join(parts)
