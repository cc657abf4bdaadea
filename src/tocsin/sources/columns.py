"""Converters of single cells: from what a table holds to what the vocabulary wants, settled once per column."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from tocsin.core.events import Kind
from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import BadEvent
from tocsin.methods.masking import mask
from tocsin.methods.parsing import day_first, decimal_mark, is_missing, normal, parse_label, parse_number, parse_time
from tocsin.sources.mapping import PERSONAL_FIELDS, personal_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.events import Field
    from tocsin.sources.mapping import Mapping

Converter = Callable[[Any], Any]
"""From a cell to the field's value, or None where the cell is empty; BadEvent where it is something else."""

_NO_MINOR = frozenset(("JPY", "KRW", "VND", "CLP", "ISK", "HUF", "TWD"))
_WORDS: dict[str, str] = {
    "success": "succeeded",
    "successful": "succeeded",
    "approved": "succeeded",
    "paid": "succeeded",
    "ok": "succeeded",
    "成功": "succeeded",
    "支付成功": "succeeded",
    "已支付": "succeeded",
    "fail": "failed",
    "error": "failed",
    "失败": "failed",
    "支付失败": "failed",
    "rejected": "declined",
    "refused": "declined",
    "拒绝": "declined",
    "拒付": "declined",
    "processing": "pending",
    "处理中": "pending",
    "待支付": "pending",
}
_YES = frozenset(("success", "succeeded", "ok", "成功", "登录成功", "通过"))
_NO = frozenset(("fail", "failed", "failure", "失败", "登录失败", "拒绝"))


def minor_units(amount: float, currency: str) -> int:
    """Return an amount in minor units of its currency, half to even.

    >>> minor_units(12.345, "CNY"), minor_units(500.0, "JPY")
    (1234, 500)
    """
    scale = 1 if currency in _NO_MINOR else 100
    return int((Decimal(str(amount)) * scale).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def instant_of(value: Any, *, first_day: bool = False) -> int | None:
    """Return microseconds of a cell (text, number, date), or None; without a zone it is read as UTC."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1_000_000)
    if isinstance(value, date):
        return instant_of(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, float):
        return parse_time(f"{value:.6f}".rstrip("0").rstrip("."))
    return parse_time(str(value), day_first=first_day) if value is not None else None


def key_text(value: Any) -> str:
    """Return the text of a key: a whole float without its ``.0``.

    >>> key_text(12.0), key_text(" A7 ")
    ('12', 'A7')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return normal(str(value))


def _number(field: str, decimal: str, finish: Callable[[float], Any]) -> Converter:
    def convert(value: Any) -> Any:
        number = float(value) if isinstance(value, int | float) else parse_number(str(value), decimal)
        if number is None:
            raise BadEvent(f"{field} is no number", field=f"data.{field}", code="wrong-type")
        return finish(number)

    return convert


def _boolean(field: str) -> Converter:
    def convert(value: Any) -> Any:
        word = normal(str(value)).lower()
        if word in _YES or word in _NO:
            return word in _YES
        answer = parse_label(word)
        if answer is None:
            raise BadEvent(f"{field} is neither yes nor no", field=f"data.{field}", code="wrong-type")
        return answer

    return convert


def _time(field: str, first_day: bool) -> Converter:
    def convert(value: Any) -> Any:
        found = instant_of(value, first_day=first_day)
        if found is None:
            raise BadEvent(f"{field} holds no time", field=field, code="wrong-type")
        return found

    return convert


def _address(value: Any) -> Any:
    text = key_text(value)
    number = parse_number(text) if text.replace(".", "", 1).isdigit() else None
    if number is not None and number < 2**32:
        return str(ipaddress.ip_address(int(number)))
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise BadEvent("ip is no network address", field="data.ip", code="wrong-type") from error


def _choice(choices: tuple[str, ...]) -> Converter:
    def convert(value: Any) -> Any:
        word = normal(str(value)).lower()
        word = _WORDS.get(word, word)
        return word if word in choices else None

    return convert


def _rest(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return mask(value) if isinstance(value, str) else value


def _of_field(field: Field, texts: Sequence[str], currency: str) -> Converter:
    decimal = decimal_mark(texts)
    if field.kind is Kind.MONEY:
        return _number(field.name, decimal, lambda number: minor_units(number, currency))
    if field.kind is Kind.INTEGER:
        return _number(field.name, decimal, round)
    if field.kind is Kind.NUMBER:
        return _number(field.name, decimal, float)
    if field.kind is Kind.BOOLEAN:
        return _boolean(field.name)
    if field.kind is Kind.TIME:
        return _time(f"data.{field.name}", day_first(texts))
    if field.kind is Kind.IP:
        return _address
    if field.kind is Kind.CURRENCY:
        return lambda value: normal(str(value)).upper()
    return _choice(field.choices) if field.choices else key_text


def _optional(convert: Converter) -> Converter:
    """Return the converter that leaves empty cells out."""

    def guarded(value: Any) -> Any:
        if value is None or (isinstance(value, str) and is_missing(value)):
            return None
        return convert(value)

    return guarded


def converters(
    mapping: Mapping, columns: Sequence[str], samples: dict[str, list[str]]
) -> tuple[Converter, list[tuple[str, str, Converter]], list[tuple[str, str, Converter]]]:
    """Return (of the time column, [(field, column, converter)] of the mapped fields, the same of the kept rest)."""
    known = VOCABULARY.get(mapping.type)
    named: list[tuple[str, str, Converter]] = []
    for field_name, column in mapping.fields.items():
        field = known.field(field_name) if known else None
        personal = field_name in PERSONAL_FIELDS
        convert = _of_field(field, samples[column], mapping.currency) if field else key_text if personal else _rest
        named.append((field_name, column, _optional(convert)))
    rest: list[tuple[str, str, Converter]] = []
    for column in columns if mapping.rest == "keep" else ():
        if column in mapping.columns():
            continue
        name = personal_field(column) or column
        field = known.field(name) if known else None
        convert = (
            _of_field(field, samples[column], mapping.currency) if field else _rest if name == column else key_text
        )
        rest.append((name, column, _optional(convert)))
    return _optional(_time("time", day_first(samples[mapping.time]))), named, rest
