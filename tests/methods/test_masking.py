"""Masking: no digit of a card survives, ordinary numbers do, and masking twice is masking once."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.methods.masking import card_number, identity_number, luhn, mask

_PREFIXES = ("4", "51", "2221", "34", "36", "6011", "62", "3528", "81")


@st.composite
def cards(draw: st.DrawFn) -> str:
    """Return a card number of a known network with its check digit."""
    prefix = draw(st.sampled_from(_PREFIXES))
    length = draw(st.integers(13, 19))
    body = prefix + draw(st.text("0123456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


_WORDS = st.sampled_from(["", "card ", "卡号", "付款", " pay: ", "q=", "&x=", "，", "。", " a.b ", '"'])


@given(cards(), _WORDS, _WORDS, st.sampled_from(["", " ", "-", "+", "%20", "\u00a0"]))
def test_no_digit_of_a_card_survives(card: str, before: str, after: str, separator: str) -> None:
    """Whatever stands around a card and however its digits are grouped in fours, none of them is left."""
    groups = separator.join(card[start : start + 4] for start in range(0, len(card), 4))
    masked = mask(before + groups + after)
    assert not re.search(r"\d", masked.replace("%20", ""))
    assert "[card]" in masked


@given(st.text(alphabet=st.sampled_from("0123456789+-. ()@abx%20=&电话"), max_size=80))
def test_masking_twice_is_masking_once(text: str) -> None:
    """The words that stand for what was found are never found again."""
    assert mask(mask(text)) == mask(text)


@given(st.text(max_size=200))
def test_text_without_digits_and_signs_is_unchanged(text: str) -> None:
    """Only numbers and mail addresses are touched."""
    letters = "".join(one for one in text if not one.isdigit() and one not in "@%＠")
    assert mask(letters) == letters


@given(st.integers(2020, 2030), st.integers(1, 12), st.integers(1, 28), st.integers(0, 999_999))
def test_order_numbers_that_begin_with_a_date_survive(year: int, month: int, day: int, number: int) -> None:
    """Fourteen digits from a year on are an order, not a card: no network's prefix begins with 20."""
    text = f"order {year}{month:02d}{day:02d}{number:06d} please"
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "¥1,299.00 + ¥12.50",
        "total 129900 in cents",
        "/p/10293?size=42&color=7",
        "2026-11-21T21:00:49Z",
        "203.0.113.7",
        "tracking SF1020304050607",
        "版本 3.11.2，共 1200 件",
        "a@b",
        "id=4111111111111112",
    ],
)
def test_ordinary_numbers_survive(text: str) -> None:
    """Prices, ids, addresses, dates and versions stay as they are."""
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("我的手机号是13800138000，请回电", "我的手机号是[phone]，请回电"),
        ("電話 ＋８６ １３８００１３８０００", "電話 [phone]"),
        ("call +49 (151) 2345-6789 now", "call [phone] now"),
        ("call (415) 555-2671", "call [phone]"),
        ("座机 010-62345678", "座机 [phone]"),
        ("邮箱zhang.san@qq.com谢谢", "邮箱[mail]谢谢"),
        ("/reset?mail=a.b%40example.com&x=1", "/reset?mail=[mail]&x=1"),
        ("/pay?card=4111+1111+1111+1111&cvv=x", "/pay?card=[card]&cvv=x"),
        ("身份证11010519491231002X。", "身份证[id]。"),
        ("身份证 110105 19491231 002x", "身份证 [id]"),
        ("exp 12/28 card 4111-1111-1111-1111 ok", "exp 12/28 card [card] ok"),
        ("4111 1111 1111 1111 123", "[card] 123"),
    ],
)
def test_known_forms_are_masked(text: str, masked: str) -> None:
    """Each documented form, in English and Chinese and in query strings."""
    assert mask(text) == masked


def test_check_digits_are_those_of_the_standards() -> None:
    """ISO/IEC 7812-1 and GB 11643: one wrong digit and it is no number of that kind."""
    assert card_number("6222021234567894") is luhn("6222021234567894")
    assert luhn("79927398713") and not luhn("79927398710")
    assert identity_number("11010519491231002X")
    assert not identity_number("110105194912310021")
    assert not identity_number("11010519491331002X")


def cpu(text: str) -> float:
    """Return the least CPU time of three runs, seconds."""
    times = []
    for _ in range(3):
        began = time.process_time()
        mask(text)
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("worst", ["a", "1 ", "+1", "4111", "a@"])
def test_long_and_hostile_text_takes_linear_time(worst: str) -> None:
    """Eight times the text takes about eight times as long: a quadratic pattern would take 64 times as long."""
    short, long = (worst * (size // len(worst)) + "@" for size in (50_000, 400_000))
    assert cpu(long) < 24 * max(cpu(short), 1e-3)
