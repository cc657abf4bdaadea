"""Access-log lines become http.request documents; golden lines, and every line of the real logs where they are."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import BadEvent
from tocsin.sources.accesslog import decode_record, is_access_line, is_access_record, parse_line

DATA = Path(os.environ.get("TOCSIN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
TIME = 1_482_413_735_000_000  # 2016-12-22 13:35:35 UTC

GOLDEN = [
    (
        '203.0.113.7 - - [22/Dec/2016:16:35:35 +0300] "GET /a?b=c HTTP/1.1" 404 12 "http://x/" "curl/8"',
        {
            "ip": "203.0.113.7",
            "method": "GET",
            "path": "/a?b=c",
            "status": 404,
            "bytes": 12,
            "referrer": "http://x/",
            "user_agent": "curl/8",
        },
    ),
    (
        '203.0.113.7 - alice [22/Dec/2016:13:35:35 +0000] "POST / HTTP/2.0" 200 -',
        {"ip": "203.0.113.7", "account": "alice", "method": "POST", "path": "/", "status": 200, "bytes": 0},
    ),
    (
        '2001:db8::1 - - [22/Dec/2016:13:35:35 +0000] "GET /a\\"b HTTP/1.1" 200 5 "-" "q\\\\q"',
        {"ip": "2001:db8::1", "method": "GET", "path": '/a"b', "status": 200, "bytes": 5, "user_agent": "q\\q"},
    ),
    (
        'shop.example:443 198.51.100.1 - - [22/Dec/2016:13:35:35 +0000] "\\x16\\x03\\x01" 400 0 "-" "-"',
        {"ip": "198.51.100.1", "host": "shop.example:443", "path": "\x16\x03\x01", "status": 400, "bytes": 0},
    ),
    (
        '198.51.100.1 - - [22/Dec/2016:13:35:35 +0000] "GET / HTTP/1.1" 200 5 "-" "x" "-" rt=0.250',
        {
            "ip": "198.51.100.1",
            "method": "GET",
            "path": "/",
            "status": 200,
            "bytes": 5,
            "user_agent": "x",
            "duration_ms": 250,
        },
    ),
    (
        'client.example.net - - [22/Dec/2016:13:35:35 +0000] "-" 408 0',
        {"client_host": "client.example.net", "path": "-", "status": 408, "bytes": 0},
    ),
]


@pytest.mark.parametrize(("line", "data"), GOLDEN)
def test_golden_lines(line: str, data: dict[str, object]) -> None:
    assert parse_line(line) == (TIME, data)


@pytest.mark.parametrize(
    "record",
    [
        {
            "time_iso8601": "2016-12-22T16:35:35+03:00",
            "remote_addr": "203.0.113.7",
            "request": "GET /a HTTP/1.1",
            "status": "200",
            "body_bytes_sent": "7",
            "http_user_agent": "curl/8",
        },
        {
            "ts": 1482413735.0,
            "request": {
                "remote_ip": "203.0.113.7",
                "method": "GET",
                "uri": "/a",
                "headers": {"User-Agent": ["curl/8"]},
            },
            "status": 200,
            "size": 7,
        },
        {
            "StartUTC": "2016-12-22T13:35:35Z",
            "ClientHost": "203.0.113.7",
            "RequestMethod": "GET",
            "RequestPath": "/a",
            "DownstreamStatus": 200,
            "DownstreamContentSize": 7,
            "request_User-Agent": "curl/8",
        },
    ],
)
def test_json_logs_of_nginx_caddy_and_traefik_say_the_same(record: dict[str, object]) -> None:
    assert is_access_record(record)
    time, data = decode_record(json.dumps(record))
    assert time == TIME
    assert data == {
        "ip": "203.0.113.7",
        "method": "GET",
        "path": "/a",
        "status": 200,
        "bytes": 7,
        "user_agent": "curl/8",
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "Mar 27 13:06:56 host sshd[1]: Failed password",
        '1.2.3.4 - - [yesterday!!] "GET / HTTP/1.1" 200 1',
        "{",
    ],
)
def test_another_line_is_refused_with_a_reason_that_does_not_repeat_it(line: str) -> None:
    with pytest.raises(BadEvent) as caught:
        parse_line(line)
    assert not line or line not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_a_line_or_refused(text: str) -> None:
    if is_access_line(text):
        return
    with pytest.raises(BadEvent):
        parse_line(text)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("real-access-logs/apache_access.log.gz", 6666),
        ("apache-scan-logs/acunetix.log.gz", 6539),
        ("apache-scan-logs/w3af.log.gz", 3996),
    ],
)
def test_every_line_of_the_real_logs_is_read(name: str, lines: int) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there (TOCSIN_DATA)")
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        assert sum(1 for line in file if parse_line(line)) == lines
