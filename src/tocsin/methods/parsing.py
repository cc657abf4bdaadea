"""Numbers, times and labels as people write them: ``¥1,299.00``, ``1.2万``, ``1.299,00 €``, ``2024年11月11日``, ``是``.

Everything here is a pure function of the text (and of what its column decided: decimal mark, order of day and month).
A text that is no number, time or label gives None; nothing is guessed past that.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MISSING = frozenset(("", "\\n", *"- -- — na n/a #n/a nan null none nil ? 缺失 无 空 未知 暂无".split()))
"""What stands for no value at all, in lower case."""

POSITIVE = frozenset(
    "1 true t yes y 是 真 对 有 异常 欺诈 诈骗 作弊 攻击 可疑 风险 恶意 阳性 fraud fraudulent anomaly anomalous "
    "abnormal bad attack positive malicious suspicious outlier chargeback".split()
)
NEGATIVE = frozenset(
    "0 false f no n 否 假 错 正常 合法 良性 阴性 非异常 非欺诈 legit legitimate genuine normal good benign negative ok "
    "inlier clean".split()
)

_CURRENCY = (
    r"(?:US\$|HK\$|NT\$|A\$|C\$|S\$|R\$|[¥$€£₩₹₽฿₫₺₴]|CNY|RMB|USD|EUR|GBP|JPY|HKD|TWD|KRW|INR|AUD|CAD|CHF|SGD"
    r"|人民币|美元|欧元|英镑|日元|港元|港币|元|圆|块)"
)
_UNITS: dict[str, Decimal] = {
    "百": Decimal(100),
    "千": Decimal(1_000),
    "万": Decimal(10_000),
    "萬": Decimal(10_000),
    "百万": Decimal(1_000_000),
    "千万": Decimal(10_000_000),
    "亿": Decimal(100_000_000),
    "億": Decimal(100_000_000),
    "万亿": Decimal(1_000_000_000_000),
    "k": Decimal(1_000),
    "w": Decimal(10_000),
    "m": Decimal(1_000_000),
    "mn": Decimal(1_000_000),
    "bn": Decimal(1_000_000_000),
    "b": Decimal(1_000_000_000),
    "%": Decimal("0.01"),
    "‰": Decimal("0.001"),
}
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+\-−])?\s*(?:{_CURRENCY}\s*(?P<sign2>[+\-−])?)?\s*"
    r"(?P<body>(?:\d[\d.,' _]*|[.,]\d+))(?P<exponent>e[+\-]?\d{1,3})?\s*"
    r"(?P<unit>万亿|百万|千万|[百千万萬亿億]|mn|bn|[kwmb]|%|‰)?"
    rf"\s*{_CURRENCY}?\s*(?P<close>\))?",
    re.IGNORECASE,
)
_MONEY_SIGN = re.compile(_CURRENCY, re.IGNORECASE)


def normal(text: str) -> str:
    """Return the text in compatibility form (full-width digits and signs become plain), trimmed.

    >>> normal(" １２３，４５６．７８ ")
    '123,456.78'
    """
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()


def is_missing(text: str) -> bool:
    """Return whether the text stands for no value.

    >>> is_missing(" N/A "), is_missing("0")
    (True, False)
    """
    return normal(text).lower() in MISSING


def _plain_digits(body: str, decimal: str) -> str | None:
    """Return the body with ``.`` as decimal mark and no separators, or None where its groups make no number."""
    body = body.strip()
    points, commas = body.count("."), body.count(",")
    body_marks = re.sub(r"[' _]", "", body)
    if not re.fullmatch(r"[\d.,]+(?:[' _]\d{3})*(?:[.,]\d*)?", body):
        return None
    if points and commas:
        mark = "." if body_marks.rfind(".") > body_marks.rfind(",") else ","
    elif points + commas == 1:
        sign = "." if points else ","
        before, after = body_marks.split(sign)
        grouped = len(after) == 3 and 1 <= len(before) <= 3 and before != "0"
        mark = (decimal or ("." if sign == "," else sign)) if grouped else sign
    elif points or commas:
        mark = "," if points else "."
    else:
        return body_marks
    whole, found, fraction = body_marks.rpartition(mark)
    if not found:
        whole, fraction = body_marks, ""
    other = "," if mark == "." else "."
    if mark in whole or other in fraction:
        return None
    groups = whole.split(other)
    if len(groups) > 1 and (not groups[0] or len(groups[-1]) != 3 or any(not 2 <= len(g) <= 4 for g in groups[1:-1])):
        return None
    return ("".join(groups) or "0") + ("." + fraction if fraction else "")


def parse_number(text: str, decimal: str = "") -> float | None:
    """Return the number that a text writes, or None.

    Parameters
    ----------
    text
        With currency signs, thousands separators, ``万``, ``亿``, ``k``, ``m``, percent, full-width digits, brackets.
    decimal
        ``"."`` or ``","``: what the column uses; decides only texts like ``1.299`` that could be either. Empty:
        ``1,299`` is read as thousands and ``1.299`` as a fraction.

    >>> parse_number("¥1,299.00"), parse_number("1.2万"), parse_number("$3,000"), parse_number("1.299,00 €")
    (1299.0, 12000.0, 3000.0, 1299.0)
    >>> parse_number("12.5%"), parse_number("（３００）"), parse_number("1.299", ","), parse_number("12 apples")
    (0.125, -300.0, 1299.0, None)
    """
    plain = normal(text)
    try:
        value = float(plain) if plain.isascii() and not decimal and "_" not in plain else None
    except ValueError:
        value = None
    if value is not None:
        return value if value - value == 0 else None
    match = _NUMBER.fullmatch(plain)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    digits = _plain_digits(match["body"], decimal)
    if digits is None:
        return None
    number = Decimal(digits) * _UNITS.get((match["unit"] or "").lower(), Decimal(1))
    if match["exponent"]:
        number = number.scaleb(int(match["exponent"][1:]))
    negative = (match["sign"] in ("-", "−")) ^ (match["sign2"] in ("-", "−")) ^ bool(match["open"])
    result = float(-number if negative else number)
    return result if result - result == 0 else None


def decimal_mark(texts: Iterable[str]) -> str:
    """Return the decimal mark that a column uses, from its unambiguous texts; ``""`` where none tells.

    >>> decimal_mark(["1.299,00", "3.500"]), decimal_mark(["1,299.50"]), decimal_mark(["5"])
    (',', '.', '')
    """
    votes = {".": 0, ",": 0}
    for text in texts:
        match = _NUMBER.fullmatch(normal(text))
        if match is None:
            continue
        body = match["body"].strip()
        last = {mark: body.rfind(mark) for mark in votes}
        if min(last.values()) >= 0:
            votes["." if last["."] > last[","] else ","] += 1
            continue
        for mark, other in ((".", ","), (",", ".")):
            if body.count(mark) > 1:
                votes[other] += 1
            elif last[mark] >= 0 and (len(body) - last[mark] != 4 or last[mark] > 3 or body.startswith("0")):
                votes[mark] += 1
    if votes["."] == votes[","]:
        return ""
    return "." if votes["."] > votes[","] else ","


def has_money_sign(text: str) -> bool:
    """Return whether the text carries a currency sign or word.

    >>> has_money_sign("¥5"), has_money_sign("5")
    (True, False)
    """
    return _MONEY_SIGN.search(normal(text)) is not None


def parse_label(text: str) -> bool | None:
    """Return True for a positive label (anomalous, fraud), False for a negative one, None for neither.

    >>> parse_label("是"), parse_label("0.0"), parse_label("Normal"), parse_label("maybe")
    (True, False, False, None)
    """
    word = normal(text).lower()
    if re.fullmatch(r"[01]\.0*", word):
        word = word[0]
    if word in POSITIVE:
        return True
    if word in NEGATIVE:
        return False
    return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_CLOCK = (
    r"(?:[T\s:]\s*(?P<half>上午|下午|早上|晚上|中午)?\s*(?P<h>\d{1,2})(?:[:时点](?P<mi>\d{1,2})?)?"
    r"(?:[:分](?P<s>\d{1,2})?(?:[.,](?P<f>\d{1,9}))?)?秒?\s*(?P<ap>[ap]\.?m\.?)?)?"
)
_ZONE = r"\s*(?P<z>Z|UTC|GMT|[+\-]\d{2}:?\d{2})?"
_PATTERNS = tuple(
    re.compile(pattern + _CLOCK + _ZONE, re.IGNORECASE)
    for pattern in (
        r"(?P<y>\d{4})[-/.](?P<mo>\d{1,2})[-/.](?P<d>\d{1,2})",
        r"(?P<y>\d{4})年(?P<mo>\d{1,2})月(?P<d>\d{1,2})日?",
        r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4})",
        r"(?P<d>\d{1,2})[-/ ](?P<mon>[A-Za-z]{3})[a-z]*[-/ ,]+(?P<y>\d{4})",
        r"(?:[A-Za-z]{3},?\s+)?(?P<d>\d{1,2})\s+(?P<mon>[A-Za-z]{3})[a-z]*\s+(?P<y>\d{4})",
        r"(?P<mon>[A-Za-z]{3})[a-z]*\.?\s+(?P<d>\d{1,2}),?\s+(?P<y>\d{4}),?",
        r"(?P<y>\d{4})(?P<mo>\d{2})(?P<d>\d{2})",
    )
)
_COMPACT = re.compile(r"(?P<y>(?:19|20|21)\d\d)(?P<mo>\d\d)(?P<d>\d\d)(?:(?P<h>\d\d)(?P<mi>\d\d)(?P<s>\d\d)?)?")
_SCALES = {10: 1_000_000, 13: 1_000, 16: 1}


def _built(parts: dict[str, str | None], day_first: bool) -> int | None:
    """Return microseconds of the named parts, or None where they make no date."""
    if parts.get("a"):
        first, second = int(parts["a"] or 0), int(parts["b"] or 0)
        day, month = (first, second) if (day_first and second <= 12) or first > 12 else (second, first)
    else:
        day = int(parts["d"] or 0)
        month = _MONTHS.get((parts.get("mon") or "").lower(), 0) if parts.get("mon") else int(parts["mo"] or 0)
    hour = int(parts.get("h") or 0)
    half, suffix = parts.get("half") or "", (parts.get("ap") or "").lower()
    if (half in ("下午", "晚上") or suffix.startswith("p")) and hour < 12:
        hour += 12
    elif suffix.startswith("a") and hour == 12:
        hour = 0
    zone = parts.get("z") or "Z"
    offset = UTC
    if zone[0] in "+-":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        if minutes >= 24 * 60:
            return None
        offset = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
    second = int(parts.get("s") or 0)
    micro = int(((parts.get("f") or "") + "000000")[:6])
    try:
        moment = datetime(
            int(parts["y"] or 0), month, day, hour, int(parts.get("mi") or 0), min(second, 59), micro, offset
        )
    except ValueError:
        return None
    if second > 60:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1)


def parse_time(text: str, *, day_first: bool = False) -> int | None:
    """Return microseconds since the epoch of a date or time, or None; one without a zone is read as UTC.

    Parameters
    ----------
    text
        ISO 8601, ``2024/11/11``, ``20241111``, epoch seconds, milliseconds or microseconds, ``2024年11月11日 10时``,
        access-log and mail dates, ``11/12/2024``.
    day_first
        Whether ``11/12/2024`` is the 11th of December; decided by the column.

    >>> parse_time("2024-11-11 00:00:01") == parse_time("1731283201") == parse_time("1731283201000")
    True
    >>> parse_time("2024年11月11日 10时") == parse_time("2024/11/11 10:00") == parse_time("2024-11-11T18:00:00+08:00")
    True
    """
    plain = normal(text)
    if re.fullmatch(r"\d+(?:\.\d+)?", plain):
        digits, _, fraction = plain.partition(".")
        if len(digits) in (8, 12, 14) and not fraction:
            match = _COMPACT.fullmatch(digits)
            return _built(match.groupdict(), day_first) if match else None
        scale = _SCALES.get(len(digits))
        if scale is None:
            return None
        rest = int(Decimal("0." + fraction) * scale) if fraction else 0
        return int(digits) * scale + rest
    for pattern in _PATTERNS:
        match = pattern.fullmatch(plain)
        if match is not None:
            return _built(match.groupdict(), day_first)
    return None


def day_first(texts: Iterable[str]) -> bool:
    """Return whether a column of ``a/b/yyyy`` dates puts the day first: some a is above 12 and no b is.

    >>> day_first(["13/01/2024", "02/03/2024"]), day_first(["01/13/2024"]), day_first(["01/02/2024"])
    (True, False, False)
    """
    first = second = False
    for text in texts:
        match = re.match(r"(\d{1,2})[-/.](\d{1,2})[-/.]\d{4}", normal(text))
        if match:
            first |= int(match[1]) > 12
            second |= int(match[2]) > 12
    return first and not second
