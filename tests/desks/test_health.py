"""The health desk: a gateway that fails or drags is named with what it costs; a declined card is no failure."""

from __future__ import annotations

import random

from tocsin.core.events import MINUTE, SECOND
from tocsin.core.plan import plan
from tocsin.core.signal import Signal
from tocsin.core.triage import triage
from tocsin.desks.health import HealthDesk

from .streams import START, Stream

DESK = HealthDesk()
HOURS = 3
BREAK = HOURS * 3600


def payments(
    stream: Stream, per_minute: float, until: int, *, broken: float = 0.0, slow: float = 1.0, seed: int = 1
) -> None:
    """Two gateways share the payments; ``alpha`` (a third) breaks at ``BREAK``."""
    draws = random.Random(seed)
    second = 0.0
    while (second := second + draws.expovariate(per_minute / 60)) < until:
        gateway = "alpha" if draws.random() < 0.34 else "beta"
        hit = gateway == "alpha" and second >= BREAK
        duration = draws.lognormvariate(6.0, 0.4) * (slow if hit else 1.0)
        failed = draws.random() < (broken if hit else 0.006)
        status = "failed" if failed else "declined" if draws.random() < 0.06 else "succeeded"
        stream.add(
            second, "payment.attempted", gateway=gateway, status=status, amount=20_000, currency="CNY",
            duration_ms=int(duration),
        )  # fmt: skip


def delays(signals: list[Signal]) -> float:
    assert {(one.kind, one.subject) for one in signals} == {("gateway-outage", "service:alpha")}
    assert all(one.tau >= START + BREAK * SECOND for one in signals)
    return (signals[0].tau - START) / SECOND - BREAK


def test_a_dead_gateway_of_a_busy_shop_is_found_with_the_first_buckets() -> None:
    stream = Stream()
    payments(stream, 120, BREAK + 120, broken=1.0)
    signals = stream.signals(DESK)
    assert delays(signals) <= 22
    first = signals[0]
    assert (
        first.currency == "CNY" and first.loss_per_minute > 400_000 and first.series == "health.payment-failures/alpha"
    )
    assert "alpha" in first.reasons[0].text.en and "alpha" in first.reasons[0].text.zh


def test_a_gateway_with_a_payment_every_two_minutes_is_found_after_a_few_failures() -> None:
    """A third of 1.5 payments a minute: on the average the third failure comes after six minutes."""
    for seed in (1, 2, 3):
        stream = Stream()
        payments(stream, 1.5, BREAK + 1800, broken=1.0, seed=seed)
        assert delays(stream.signals(DESK)) <= 15 * 60


def test_a_gateway_that_only_drags_is_found_too() -> None:
    stream = Stream()
    payments(stream, 20, BREAK + 600, broken=0.006, slow=5.0)
    signals = stream.signals(DESK)
    assert delays(signals) <= 180
    assert signals[0].reasons[0].code == "gateway-slow"
    assert signals[0].evidence["time_ms"] > 2 * signals[0].evidence["usual_ms"]


def test_declined_cards_are_the_issuers_answer_and_no_outage() -> None:
    stream, draws = Stream(), random.Random(5)
    payments(stream, 20, BREAK)
    for number in range(400):
        stream.add(
            BREAK - 600 + number * 1.5, "payment.attempted", gateway="alpha", status="declined", amount=100,
            currency="CNY", duration_ms=int(draws.lognormvariate(6.0, 0.4)),
        )  # fmt: skip
    assert stream.signals(DESK) == []


def test_a_quiet_half_day_and_a_sudden_crowd_raise_nothing() -> None:
    stream = Stream()
    payments(stream, 6, 12 * 3600, broken=0.006, seed=4)
    for number in range(240):
        stream.add(36_000 + number / 4, "order.placed", order=f"o{number}", amount=10_000)
    assert stream.signals(DESK) == []


def test_orders_that_stop_are_told_and_those_that_grow_are_not() -> None:
    stream, draws = Stream(), random.Random(6)
    for minute in range(240):
        count = 0 if minute >= 200 else 12 + draws.randrange(8) + (60 if minute == 150 else 0)
        for number in range(count):
            stream.add(minute * 60 + number * 0.7, "order.placed", order=f"{minute}-{number}", amount=10_000)
    stream.add(240 * 60, "http.request", ip="203.0.113.1", path="/", status=200)
    signals = stream.signals(DESK)
    assert {one.kind for one in signals} == {"orders-drop"} and signals[0].loss_per_minute > 50_000
    assert START + 200 * MINUTE <= signals[0].tau <= START + 204 * MINUTE


def test_server_errors_are_told_from_a_few_that_are_usual() -> None:
    stream, draws = Stream(), random.Random(7)
    for number in range(4 * 3600):
        broken = number >= 3 * 3600
        status = 503 if draws.random() < (0.6 if broken else 0.01) else 200
        stream.request(number, f"203.0.113.{number % 200}", status=status)
    signals = stream.signals(DESK)
    assert {one.kind for one in signals} == {"http-errors"}
    assert (signals[0].tau - START) / SECOND - 3 * 3600 <= 120


def test_the_playbook_routes_away_from_the_gateway_and_names_what_should_fall() -> None:
    stream = Stream()
    payments(stream, 60, BREAK + 60, broken=1.0)
    incident = triage(stream.signals(DESK)[0], [], DESK.kinds)
    actions = plan(incident, DESK.playbooks(), lambda text, _: True, now=incident.updated)
    assert [(action.verb, action.target) for action in actions] == [
        ("notify", "shop:default"), ("gateway.failover", "service:alpha")
    ]  # fmt: skip
    assert actions[1].expect is not None and actions[1].expect.series == "health.payment-failures-all"
