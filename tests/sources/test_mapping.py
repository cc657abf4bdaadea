"""Mappings are guessed from English and Chinese headers, and what is shown can be given back."""

from __future__ import annotations

import pytest

from tocsin.errors import Misconfigured
from tocsin.sources.mapping import dump_mapping, guess_mapping, header, load_mapping


@pytest.mark.parametrize(
    ("columns", "kind", "fields"),
    [
        (
            ["transaction_id", "tx_datetime", "customer_id", "terminal_id", "tx_amount", "tx_fraud"],
            "payment.attempted",
            {"amount": "tx_amount", "account": "customer_id", "merchant": "terminal_id"},
        ),
        (
            ["订单号", "下单时间", "用户ID", "订单金额(元)", "收货地址"],
            "order.placed",
            {"order": "订单号", "amount": "订单金额(元)", "account": "用户ID", "address": "收货地址"},
        ),
        (
            ["time", "ip", "method", "url", "status", "user_agent"],
            "http.request",
            {"ip": "ip", "method": "method", "path": "url", "status": "status", "user_agent": "user_agent"},
        ),
        (
            ["登录时间", "账号", "是否成功", "登录IP"],
            "account.login",
            {"account": "账号", "success": "是否成功", "ip": "登录IP"},
        ),
        (["timestamp", "metric", "value"], "metric.sampled", {"metric": "metric", "value": "value"}),
    ],
)
def test_headers_suggest_an_event(columns: list[str], kind: str, fields: dict[str, str]) -> None:
    mapping = guess_mapping(columns)
    assert mapping is not None
    assert mapping.type == kind
    assert mapping.fields == fields
    assert load_mapping(dump_mapping(mapping)) == mapping


@pytest.mark.parametrize(
    "columns", [["transaction_amount", "user_behavior", "is_anomaly"], ["time", "foo"], ["交易金额"]]
)
def test_a_table_that_fits_no_event_gets_no_mapping(columns: list[str]) -> None:
    assert guess_mapping(columns) is None


def test_the_label_is_never_a_field() -> None:
    mapping = guess_mapping(["time", "card", "amount", "is_fraud"])
    assert mapping is not None
    assert mapping.label == "is_fraud"
    assert "is_fraud" not in mapping.fields.values()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("type: [", "YAML"),
        ("type: order.paid", "time"),
        ("type: order.paid\ntime: t\nrest: maybe", "keep or drop"),
        ("type: tocsin.signal\ntime: t", "Tocsin's own"),
        ("type: x\ntime: t\nfeilds: {}", "feilds"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(text: str, word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        load_mapping(text)


def test_a_mapping_is_checked_against_the_table() -> None:
    mapping = load_mapping("type: payment.attempted\ntime: t\nfields: {amount: a}")
    mapping.check(["t", "a"])
    with pytest.raises(Misconfigured, match="no column 'a'"):
        mapping.check(["t", "b"])
    with pytest.raises(Misconfigured, match="amount"):
        load_mapping("type: payment.attempted\ntime: t").check(["t"])


def test_headers_compare_without_case_width_and_units() -> None:
    assert header("Ｔｘ　Amount (USD)") == header("tx-amount") == "tx_amount"


def test_personal_columns_are_mapped_whatever_the_event_so_that_the_door_protects_them() -> None:
    mapping = guess_mapping(["时间", "IP地址", "网址", "状态码", "手机号", "姓名", "邮箱"])
    assert mapping is not None
    assert mapping.type == "http.request"
    assert {name: mapping.fields[name] for name in ("phone", "name", "email")} == {
        "phone": "手机号",
        "name": "姓名",
        "email": "邮箱",
    }
