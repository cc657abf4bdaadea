"""The attack desk: floods, scans, guessing and injected code are told with who and why; ordinary visitors never."""

from __future__ import annotations

import random

from tocsin.core.events import SECOND
from tocsin.core.signal import Decision, Signal
from tocsin.core.triage import triage
from tocsin.desks.attack import AttackDesk
from tocsin.flow.fold import Fold

from .streams import START, Stream

DESK = AttackDesk()


def shoppers(stream: Stream, begin: int, end: int, *, per_minute: float = 30.0, seed: int = 1) -> None:
    """Ordinary visits: a page asked for, then shown; three pages each, devices named."""
    draws = random.Random(seed)
    second = float(begin)
    visit = 0
    while (second := second + draws.expovariate(per_minute / 3 / 60)) < end:
        visit += 1
        ip, device = f"100.64.{visit // 250 % 250}.{visit % 250}", f"d{visit}"
        for page in range(3):
            at = second + 15 * page + draws.random()
            stream.request(at, ip, f"/product/{draws.randrange(60)}", device=device)
            stream.add(at + 0.2, "session.viewed", ip=ip, device=device, page="product")


def told(stream: Stream) -> list[Signal]:
    return stream.signals(DESK)


def test_one_address_that_asks_far_too_often_is_a_flood_within_seconds() -> None:
    stream = Stream()
    for number in range(400):
        stream.request(number / 20, "203.0.113.9", f"/?{number}")
    signals = told(stream)
    assert {(one.kind, one.subject) for one in signals} == {("request-flood", "ip:203.0.113.9")}
    first = signals[0]
    assert first.tau - START < 5 * SECOND and first.evidence["per_minute"] >= 480 and first.score > 0.9
    assert "80 requests within 10 s" in first.reasons[0].text.en and "80 次请求" in first.reasons[0].text.zh


def test_a_distributed_flood_names_its_robots_and_no_shopper() -> None:
    """120 addresses with less than two requests a minute each, against a shop with 30 requests a minute."""
    stream, draws = Stream(), random.Random(3)
    shoppers(stream, 0, 6600)
    begin = 6000
    for number in range(120 * 4):
        second = begin + number * 0.4 + draws.random()
        stream.request(second, f"198.51.100.{draws.randrange(120)}", f"/search?q={number}")
    signals = told(stream)
    incident = triage(signals[0], [], DESK.kinds)
    for one in signals[1:]:
        grown = triage(one, [incident], DESK.kinds)
        assert grown.id == incident.id
        incident = grown
    robots = {ip for ip in incident.entities["ip"] if ip.startswith("198.51.100.")}
    assert set(incident.entities["ip"]) == robots and len(robots) > 90
    assert incident.subject == "shop:default" and incident.kind == "request-flood"
    assert signals[0].tau - (START + begin * SECOND) < 30 * SECOND


def test_a_shop_without_devices_or_views_is_never_read_as_full_of_robots() -> None:
    """An access log alone: during a surge newcomers are people."""
    stream, draws = Stream(), random.Random(4)
    for second in range(0, 7200, 3):
        stream.request(second, f"100.64.1.{draws.randrange(200)}")
    for number in range(600):
        stream.request(7200 + number / 10, f"100.65.{number // 250}.{number % 250 // 3}", f"/p/{number}")
    assert {one.subject for one in told(stream)} <= {"shop:default"}


def test_a_crowd_of_shoppers_is_at_most_a_flood_of_the_shop() -> None:
    stream = Stream()
    shoppers(stream, 0, 6000)
    shoppers(stream, 6000, 6060, per_minute=600, seed=9)
    assert {(one.kind, one.subject) for one in told(stream)} <= {("request-flood", "shop:default")}


def test_a_scan_is_told_by_paths_that_are_not_there_by_probes_and_by_its_name() -> None:
    stream = Stream()
    for number in range(12):
        stream.request(number, "203.0.113.1", f"/old-{number}", 404)
    for number, path in enumerate(["/.env", "/wp-login.php", "/.git/config", "/phpmyadmin/"]):
        stream.request(100 + number, "203.0.113.2", path, 403)
    stream.request(200, "203.0.113.3", "/", user_agent="sqlmap/1.8#stable")
    for number in range(40):
        stream.request(300 + number, "203.0.113.4", "/one-dead-link", 404)
    signals = told(stream)
    assert {(one.kind, one.subject) for one in signals} == {("scan", f"ip:203.0.113.{n}") for n in (1, 2, 3)}
    assert [one.reasons[0].code for one in signals] == ["scan-missing", "scan-probes", "scan-tool"]


def test_stuffing_guessing_and_a_guessed_account_are_told_apart() -> None:
    stream = Stream()
    for number in range(12):
        stream.login(number, "203.0.113.1", f"a{number}", False)
        stream.login(100 + number, "203.0.113.2", "a1", False)
        stream.login(300 + number, f"198.51.100.{number}", "victim", False)
    signals = told(stream)
    assert {(one.subject, one.reasons[0].code) for one in signals} >= {
        ("ip:203.0.113.1", "login-stuffing"), ("ip:203.0.113.2", "login-guessing"), ("account:victim", "login-account")
    }  # fmt: skip
    assert {one.kind for one in signals} == {"login-flood"}


def test_an_office_that_signs_in_with_a_few_mistakes_is_left_alone() -> None:
    stream = Stream()
    for number in range(60):
        stream.login(number * 8, "203.0.113.1", f"a{number}", number % 5 != 0)
    assert told(stream) == []


def test_injected_code_is_answered_at_once_with_a_reason() -> None:
    stream = Stream()
    stream.request(0, "203.0.113.1", "/search?q=1%27%20union%20select%20null,null--")
    stream.request(1, "203.0.113.2", "/search?q=red+shoes")
    (row,) = Fold([DESK]).step(stream.events()).rows
    assert row.index == 0 and row.score is not None and row.score > 0.95
    assert row.reasons[0].code == "injection-sqli" and Decision.DENY in (row.computed, row.shadow)
    (signal,) = told(stream)
    assert (signal.kind, signal.subject, signal.evidence["class"]) == ("injection", "ip:203.0.113.1", "sqli")


def test_a_row_without_evidence_is_not_scored() -> None:
    stream = Stream()
    shoppers(stream, 0, 120)
    assert Fold([DESK]).step(stream.events()).rows == []
