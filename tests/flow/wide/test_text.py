"""Kernels over single texts: each agrees with the plain check that it stands for, or says that it does not know."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import math
import socket
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import numba

from tocsin.core.events import Field, Kind
from tocsin.errors import BadEvent
from tocsin.flow.hashing import DEFAULT_SEED, Hasher, siphash
from tocsin.flow.wide import blake, sip, text
from tocsin.methods.masking import mask
from tocsin.sources.checks import _ip, instant


@numba.njit
def _points(data, start, length):
    return text.valid_utf8(data, start, length)


@numba.njit
def _address(data, start, length):
    return text.canonical_ip(data, start, length)


@numba.njit
def _micros(data, start, length):
    return text.rfc3339_micros(data, start, length)


@numba.njit
def _integer(data, start, length):
    return text.parse_int(data, start, length)


@numba.njit
def _double(data, start, length):
    return text.parse_double(data, start, length)


@numba.njit
def _clean(data, start, length):
    return text.clean_text(data, start, length)


@numba.njit
def _hash(data, start, length, k0, k1):
    return sip.sip_padded(data, start, length, k0, k1)


def over(function, raw: bytes, before: bytes = b"7", behind: bytes = b"7X"):
    """Call with the bytes in the middle of others that must not matter."""
    data = np.frombuffer(before + raw + behind, np.uint8)
    return function(data, len(before), len(raw))


# Pseudonyms ----------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=600))
def test_pseudonyms_are_those_of_hashlib(scope, key):
    out = np.zeros(26, np.uint8)
    data = np.frombuffer(b"x" + key + b"y", np.uint8)
    spans = np.array([1 << 32 | len(key)], np.uint64)
    blake.pseudonym_spans(blake.key_state(scope), data, spans, out[1:25])
    expected = base64.b32encode(hashlib.blake2b(key, key=scope, digest_size=15).digest()).lower()
    assert out.tobytes() == b"\0" + expected + b"\0"


@pytest.mark.parametrize("length", [0, 1, 7, 8, 127, 128, 129, 255, 256, 257, 384])
def test_every_edge_of_a_block_is_hashed_as_hashlib_does(length):
    test_pseudonyms_are_those_of_hashlib.hypothesis.inner_test(bytes(range(32)), bytes(range(256))[:length] * 1)


def test_a_scope_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        blake.key_state(b"short")


@given(st.binary(max_size=70), st.binary(min_size=8, max_size=8))
def test_what_lies_behind_a_text_does_not_change_its_hash(raw, behind):
    hasher = Hasher()
    data = np.frombuffer(b"x" + raw + behind, np.uint8)
    found = _hash(data, 1, len(raw), np.uint64(hasher.k0), np.uint64(hasher.k1))
    assert int(found) == siphash(DEFAULT_SEED, raw)


# UTF-8 ---------------------------------------------------------------------------------------------------------------


def _decoded(raw: bytes) -> int:
    try:
        return len(raw.decode())
    except UnicodeDecodeError:
        return -1


@given(st.one_of(st.binary(max_size=40), st.text(max_size=30).map(lambda one: one.encode())))
def test_utf8_is_what_the_strict_decoder_takes(raw):
    assert over(_points, raw) == _decoded(raw)


@given(st.text(min_size=1, max_size=12), st.integers(0, 40), st.integers(0, 255))
def test_one_changed_byte_is_judged_as_the_decoder_does(one, at, byte):
    raw = bytearray(one.encode())
    raw[at % len(raw)] = byte
    assert over(_points, bytes(raw)) == _decoded(bytes(raw))


def test_all_two_byte_and_all_edges_of_longer_sequences():
    edges = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5]
    for lead in range(256):
        for second in range(256):
            assert over(_points, bytes([lead, second])) == _decoded(bytes([lead, second]))
    for lead in range(0xE0, 0xF6):
        for second in edges:
            for third in edges:
                for raw in (bytes([lead, second, third]), bytes([lead, second, third, 0x80])):
                    assert over(_points, raw) == _decoded(raw)


# Addresses -----------------------------------------------------------------------------------------------------------

_FIELD = Field("ip", Kind.IP, "", "")


def _unchanged(address: str) -> bool:
    try:
        return _ip(address, "ip", _FIELD) == address
    except BadEvent:
        return False


_v4 = st.integers(0, 2**32 - 1).map(lambda one: str(ipaddress.IPv4Address(one)))
_words = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0x2001, 0xDB8, 10]), min_size=8, max_size=8)
_v6 = st.builds(
    lambda words, upper: (
        socket.inet_ntop(socket.AF_INET6, b"".join(w.to_bytes(2, "big") for w in words))
        if not upper
        else ":".join(f"{w:x}" for w in words)
    ),
    _words,
    st.booleans(),
)


@given(st.one_of(_v4, _v6, st.text("0123456789abcdefF:.%", max_size=20)))
@example("::1")
@example("::ffff:1.2.3.4")
@example("01.2.3.4")
@example("1.2.3")
@example("1:0:0:2::3")
def test_canonical_addresses_are_those_the_door_leaves_alone(address):
    said = over(_address, address.encode())
    if said:
        assert _unchanged(address)
    elif _unchanged(address):
        packed = socket.inet_pton(socket.AF_INET6, address)
        assert not any(packed[:10])  # only these are left to the plain check


@given(st.one_of(_v4, _v6), st.integers(0, 40), st.sampled_from("0123456789abcdefABF:.% /"), st.integers(0, 2))
def test_changed_addresses_are_never_taken_for_canonical(address, at, character, how):
    at %= len(address)
    changed = (address[:at] + character + address[at + 1 :], address[:at] + character + address[at:])[how % 2]
    if over(_address, changed.encode()):
        assert _unchanged(changed)


def test_common_addresses_are_decided_by_the_kernel():
    for address in (
        "203.0.113.7",
        "0.0.0.0",
        "255.255.255.255",
        "2001:db8::1",
        "::1",
        "fe80::",
        "2a01:4f8:1:2:3:4:5:6",
    ):
        assert over(_address, address.encode()), address


# Times ---------------------------------------------------------------------------------------------------------------


def _instant(value: str) -> int | None:
    try:
        return instant(value, "time")
    except BadEvent:
        return None


_digit2 = st.integers(0, 65).map("{:02d}".format)
_times = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.one_of(st.integers(0, 9999), st.sampled_from([1, 1900, 1969, 1970, 2000, 2024, 2026, 9999])).map(
        "{:04d}".format
    ),
    st.integers(0, 13).map("{:02d}".format),
    st.integers(0, 32).map("{:02d}".format),
    st.sampled_from("Tt _"),
    st.integers(0, 25).map("{:02d}".format),
    _digit2,
    _digit2,
    st.one_of(
        st.just(""),
        st.text("0123456789", max_size=9).map(lambda digits: "." + digits),
        st.sampled_from([".9999995", ".99999949", ".999999999", ",5", "..5"]),
    ),
    st.one_of(
        st.sampled_from(
            ["Z", "z", "", "+08:00", "+0800", "+08", "-00:00", "+24:00", "+23:60", "+8:00", "Z ", "+08:000"]
        ),
        st.builds("{}{}:{}".format, st.sampled_from("+-"), _digit2, _digit2),
    ),
)


@settings(max_examples=1000)
@given(_times)
@example("9999-12-31T23:59:59.9999999Z")
@example("9999-12-31T23:59:59.9999999-01:00")
@example("0001-01-01T00:00:00+23:59")
@example("1969-12-31T23:59:59.9999995Z")
@example("2024-02-29T00:00:00Z")
@example("1900-02-29T00:00:00Z")
def test_times_are_those_of_the_door_or_asked_for(value):
    said, known = over(_micros, value.encode()), _instant(value)
    if said != text.ASK:
        assert said == known
    else:
        assert known is None or value.startswith("9999")


@given(_times, st.integers(0, 40), st.sampled_from("0123456789:-+.TtZz \x00/"))
def test_a_changed_time_is_never_given_another_value(value, at, character):
    changed = value[: at % len(value)] + character + value[at % len(value) + 1 :]
    said = over(_micros, changed.encode())
    assert said == text.ASK or said == _instant(changed)


# Numbers -------------------------------------------------------------------------------------------------------------

_numerals = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**9), 10**9, places=4).map(str),
    st.text("0123456789.-+eE", max_size=18),
)


def _json(raw: str) -> object:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


@settings(max_examples=500)
@given(_numerals)
@example("-0")
@example("-0.0")
@example("01")
@example("999999999999999999")
@example("0.1")
@example("00.5")
@example("-.5")
@example("1.")
def test_numbers_are_those_of_the_json_reader_or_not_ok(raw):
    known = _json(raw)
    value, ok = over(_integer, raw.encode())
    if ok:
        assert type(known) is int and known == value
    elif type(known) is int:
        assert raw == "-0" or len(raw.lstrip("-")) > 18
    value, ok = over(_double, raw.encode())
    if ok:
        assert known is not None and float(known) == value and math.copysign(1, float(known)) == math.copysign(1, value)


@given(st.integers(-(10**9), 10**9), st.integers(1, 6))
def test_prices_and_rates_are_read_without_asking(whole, places):
    raw = f"{whole / 10**places:.{places}f}"
    value, ok = over(_double, raw.encode())
    assert ok and value == float(raw)


# Clean texts ---------------------------------------------------------------------------------------------------------

_PERSONAL = [
    "4111 1111 1111 1111",
    "5555-5555-5555-4444",
    "378282246310005",
    "6222021234567894",
    "4111111111111111",
    "11010519491231002X",
    "110105 19491231 002x",
    "110105199001011234",
    "13800138000",
    "+86 138-0013-8000",
    "008613800138000",
    "8613912345678",
    "010-12345678",
    "(0755) 1234567",
    "+86 (010) 12345678",
    "0571 87654321",
    "+1 (212) 555-0123",
    "+442071838750",
    "%2B442071838750",
    "212-555-0123",
    "(212) 555 2123",
    "212.555.2123",
    "a.b@example.com",
    "a%40b.cn",
    "ａ＠b.example.com",
    "+49%2030%20123456",
    "4111%201111%201111%201111",
    "４１１１１１１１１１１１１１１１",
    "1380013 8000",
    "4111\u20131111\u20131111\u20131111",
    "4111\u00a01111\u00a01111\u00a01111",
    "138%200013%208000",
    "202-555-2123",
    "00",
    "86",
    "%20",
    "%2D",
    "1",
    "0",
    "x",
    "/",
    "?q=",
    "号",
    "：",
    "(",
    ")",
    "-",
    ".",
]
_pieces = st.lists(
    st.one_of(
        st.sampled_from(_PERSONAL),
        st.text("0123456789 -+.()%2048@xX_", max_size=12),
        st.sampled_from(["+", "%2B", "０１", "－", "\u2014", " ", "Chrome/", "order ", "=", "&"]),
    ),
    max_size=4,
).map("".join)


@settings(max_examples=3000)
@given(_pieces)
def test_what_the_mask_would_change_is_never_called_clean(one):
    if over(_clean, one.encode()):
        assert mask(one) == one


@settings(max_examples=1500)
@given(st.sampled_from(_PERSONAL), st.integers(0, 30), st.integers(0, 2), st.sampled_from("0123456789 -+.()%@xX_٣a"))
def test_a_mutated_personal_number_is_never_called_clean_where_the_mask_finds_one(number, at, how, character):
    at %= len(number)
    changed = (
        number[:at] + character + number[at + 1 :],
        number[:at] + character + number[at:],
        number[:at] + number[at + 1 :],
    )[how]
    if over(_clean, changed.encode()):
        assert mask(changed) == changed


@settings(max_examples=1500)
@given(
    st.text("0123456789", min_size=5, max_size=22), st.sampled_from(["%20", "-", " ", "", "%2D", "+", "."]), st.data()
)
def test_digits_in_any_groups_are_never_called_clean_where_the_mask_finds_a_number(digits, separator, draw):
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(digits)), max_size=5)))
    cuts = [0, *cuts, len(digits)]
    joined = separator.join(digits[a:b] for a, b in pairwise(cuts))
    for one in (joined, "%20" + joined, "+" + joined, "86" + joined, "tel:" + joined + "x"):
        if over(_clean, one.encode()):
            assert mask(one) == one


def test_real_paths_agents_and_sentences_are_clean():
    for one in (
        "", "/p/4711?q=97&page=2", "/api/v1/cart/83920/items", "www.example.com", "/s?q=red+shoes+42&sort=price",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.109",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2 like Mac OS X) AppleWebKit/605.1.15 Version/17.1.2",
        "商品已经收到，质量很好！下次还会再来（包装也不错）：五星。", "快递 3 天才到，客服 2 小时没有回复",
        "2026-11-21 10:00:00",
        "order 20261121000017", "/orders/20261121000017?from=mail", "192.168.100.123",
        "%E8%BF%9E%E8%A1%A3%E8%A3%99 %20a%20b",
        "curl/8.5.0", "/img/a-12_34.jpg?v=1731283200", "sku-100200300", "1 234 567,89",
    ):  # fmt: skip
        assert mask(one) == one
        assert over(_clean, one.encode()), one


def test_random_order_numbers_are_mostly_clean():
    random = np.random.default_rng(1)
    numbers = [f"/orders/2026{random.integers(10**10):010d}" for _ in range(500)]
    assert sum(over(_clean, one.encode()) for one in numbers) == 500
