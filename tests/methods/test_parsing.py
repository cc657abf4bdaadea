"""Numbers, times and labels as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.methods import parsing
from tocsin.methods.parsing import NEGATIVE, POSITIVE, decimal_mark, parse_label, parse_number, parse_time

FULL_WIDTH = str.maketrans("0123456789.,", "０１２３４５６７８９．，")


@given(st.integers(-(10**12), 10**12), st.integers(0, 99), st.sampled_from(["", "¥", "$", "€ ", "CNY "]))
def test_money_written_with_thousands_separators_reads_back(whole: int, cents: int, sign: str) -> None:
    number = (-1 if whole < 0 else 1) * (abs(whole) + cents / 100)
    text = f"{'-' if number < 0 else ''}{sign}{abs(number):,.2f}"
    assert parse_number(text) == pytest.approx(number)
    assert parse_number(text.translate(FULL_WIDTH)) == pytest.approx(number)


@given(st.integers(0, 10**9), st.integers(0, 99))
def test_continental_money_reads_back(whole: int, cents: int) -> None:
    text = f"{whole:,}".replace(",", ".") + f",{cents:02d} €"
    assert parse_number(text, ",") == pytest.approx(whole + cents / 100)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_back_as_python_writes_it(number: float) -> None:
    assert parse_number(repr(number)) == number


@given(st.text(max_size=30))
def test_any_text_is_a_finite_number_a_time_a_label_or_nothing(text: str) -> None:
    number = parse_number(text)
    assert number is None or number - number == 0
    assert parse_time(text) is None or isinstance(parse_time(text), int)
    assert parse_label(text) in (None, True, False)
    parsing.is_missing(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("¥1,299.00", 1299.0),
        ("￥１，２９９．００", 1299.0),
        ("1.2万", 12_000.0),
        ("3亿元", 300_000_000.0),
        ("$3,000", 3000.0),
        ("1.299,00 €", 1299.0),
        ("1 299,50", 1299.5),
        ("1'299.50 CHF", 1299.5),
        ("12.5%", 0.125),
        ("(300)", -300.0),
        ("-¥5", -5.0),
        ("1,00,000", 100_000.0),
        ("5k", 5000.0),
        ("1e3", 1000.0),
        ("人民币 88 元", 88.0),
    ],
)
def test_money_texts_are_read(text: str, number: float) -> None:
    assert parse_number(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "abc", "12 apples", "1.2.3,4", "--5", "1,2,3", "NaN", "inf", "2024-11-11", "(5"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_number(text) is None


def test_the_column_settles_what_one_text_cannot() -> None:
    mark = decimal_mark(["1.299", "12,50", "2.000,00"])
    assert mark == ","
    assert [parse_number(text, mark) for text in ("1.299", "12,50")] == [1299.0, 12.5]
    assert parse_number("1.299", decimal_mark(["1.5", "2.25"])) == 1.299


MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)).map(lambda t: t.replace(microsecond=0, tzinfo=UTC))  # noqa: DTZ001


@given(MOMENTS, st.integers(-11, 12))
def test_times_in_every_format_read_back(moment: datetime, hours: int) -> None:
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    formats = (
        "%Y-%m-%d %H:%M:%S",
        "%Y/%m/%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y%m%d%H%M%S",
        "%Y年%m月%d日 %H时%M分%S秒",
        "%d/%b/%Y:%H:%M:%S +0000",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%b %d, %Y %H:%M:%S",
    )
    for pattern in formats:
        assert parse_time(moment.strftime(pattern)) == micros, pattern
    local = moment.astimezone(timezone(timedelta(hours=hours)))
    assert parse_time(local.isoformat()) == micros
    if micros >= 10**15:
        assert parse_time(str(micros // 1_000_000)) == parse_time(str(micros // 1000)) == micros


def test_the_order_of_day_and_month_is_the_columns() -> None:
    first = parsing.day_first(["13/01/2024", "02/03/2024"])
    assert parse_time("02/03/2024", day_first=first) == parse_time("2024-03-02")
    assert parse_time("02/03/2024") == parse_time("2024-02-03")
    assert parse_time("2024年11月11日 下午3点") == parse_time("2024-11-11 15:00")


@pytest.mark.parametrize("text", ["20241340", "2024-02-30", "25:00", "12", "1/2", "2024-01-01 25:00:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text) is None


@given(st.sampled_from(sorted(POSITIVE | NEGATIVE)), st.sampled_from([str.upper, str.title, lambda t: f" {t} "]))
def test_labels_read_in_any_case_and_width(word: str, change: object) -> None:
    assert parse_label(change(word)) is (word in POSITIVE)  # type: ignore[operator]


def test_no_word_is_both_a_positive_and_a_negative_label() -> None:
    assert not POSITIVE & NEGATIVE
