"""Signals become incidents along entities, time and causes; the same order gives the same incidents."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.events import MINUTE, SECOND, derived_id, split_subject
from tocsin.core.incident import Incident, Moment, Phase, Severity, advance
from tocsin.core.signal import Signal, Text, signal_id
from tocsin.core.triage import GAP, loss_until, severity, triage

KINDS = {"request-flood": Text("Request flood", "请求洪泛"), "http-errors": Text("Errors", "错误")}
NOON = 1_700_000_000 * SECOND


def signal(
    subject: str = "ip:203.0.113.1",
    kind: str = "request-flood",
    at: int = NOON,
    *,
    desk: str = "attack",
    loss: int = 0,
    score: float = 0.9,
    shop: str = "s",
    **entities: str,
) -> Signal:
    return Signal(
        id=signal_id(desk, kind, shop, subject, at), desk=desk, kind=kind, shop=shop, subject=subject, score=score,
        onset=at - MINUTE, tau=at, entities=entities, loss_per_minute=loss,
    )  # fmt: skip


def incidents_of(signals: list[Signal]) -> dict[str, Incident]:
    found: dict[str, Incident] = {}
    for one in signals:
        incident = triage(one, list(found.values()), KINDS)
        found[incident.id] = incident
    return found


def test_many_callers_of_one_kind_are_one_incident_that_keeps_its_id() -> None:
    first = triage(signal(), [], KINDS)
    second = triage(signal("ip:203.0.113.2", at=NOON + MINUTE), [first], KINDS)
    assert first.id == derived_id("incident", signal().id) == second.id
    assert (first.version, second.version) == (1, 2)
    assert second.entities["ip"] == ("203.0.113.1", "203.0.113.2")
    assert second.title == Text("Request flood: ip:203.0.113.1 and 1 more", "请求洪泛：ip:203.0.113.1 等 2 个")
    assert [moment.what for moment in second.timeline] == ["signal", "signal"]


def test_the_shop_as_a_whole_takes_over_as_subject() -> None:
    first = triage(signal(), [], KINDS)
    grown = triage(signal("shop:s", at=NOON + MINUTE), [first], KINDS)
    assert grown.id == first.id and grown.subject == "shop:s"


def test_two_gateways_are_two_incidents_and_one_gateway_is_one() -> None:
    alpha = triage(signal("service:alpha", "gateway-outage", desk="health"), [], KINDS)
    beta = triage(signal("service:beta", "gateway-outage", desk="health"), [alpha], KINDS)
    again = triage(signal("service:alpha", "gateway-outage", NOON + 6 * MINUTE, desk="health"), [alpha, beta], KINDS)
    assert beta.id != alpha.id == again.id


def test_one_caller_under_two_kinds_is_one_incident_another_caller_is_not() -> None:
    scan = triage(signal("ip:203.0.113.1", "scan"), [], KINDS)
    testing = signal("card:c", "card-testing", desk="fraud", ip="203.0.113.1")
    other = signal("card:d", "card-testing", desk="fraud", ip="198.51.100.1")
    assert triage(testing, [scan], KINDS).id == scan.id
    assert triage(other, [scan], KINDS).id != scan.id


def test_a_cause_takes_over_the_incident_of_its_effect() -> None:
    effect = triage(signal("shop:s", "http-errors", desk="health"), [], KINDS)
    grown = triage(signal("ip:203.0.113.1", "request-flood", NOON + MINUTE), [effect], KINDS)
    assert grown.id == effect.id and grown.kind == "request-flood" and grown.kinds == ("http-errors", "request-flood")
    back = triage(signal("shop:s", "http-errors", NOON + 6 * MINUTE, desk="health"), [grown], KINDS)
    assert back.kind == "request-flood" and back.title.en.startswith("Request flood")


def test_a_gap_or_another_shop_or_a_closed_incident_opens_a_new_one() -> None:
    first = triage(signal(), [], KINDS)
    late = signal(at=NOON + GAP + 2 * MINUTE)
    assert triage(late, [first], KINDS).id != first.id
    assert triage(signal(at=NOON + GAP), [first], KINDS).id == first.id
    assert triage(signal(at=NOON + MINUTE, shop="t"), [first], KINDS).id != first.id
    closed = advance(first, Phase.RESOLVED, Moment(NOON, "phase"))
    assert triage(signal(at=NOON + 6 * MINUTE), [closed], KINDS).id != first.id


def test_a_known_signal_changes_nothing() -> None:
    first = triage(signal(), [], KINDS)
    assert triage(signal(), [first], KINDS) is first


def test_severity_follows_the_loss_and_the_score() -> None:
    assert [severity(loss, 0.8) for loss in (100_000, 10_000, 1_000, 999)] == list(Severity)
    assert severity(100_000, 0.4) is Severity.P2 and severity(0, 0.9) is Severity.P3


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0, 1), st.floats(0, 1))
def test_severity_never_falls_as_loss_and_score_rise(loss: int, more: int, score: float, extra: float) -> None:
    order = list(Severity)
    assert order.index(severity(loss + more, max(score, extra))) <= order.index(severity(loss, score))


def test_loss_is_counted_by_rate_and_time_and_callers_add_up() -> None:
    first = triage(signal(loss=600), [], KINDS)
    assert first.loss == 600 and loss_until(first, NOON + 2 * MINUTE) == 1800
    grown = triage(signal("ip:203.0.113.2", at=NOON + MINUTE, loss=400), [first], KINDS)
    assert grown.loss_per_minute == 1000 and grown.loss == 1200
    same = triage(signal("ip:203.0.113.2", at=NOON + 6 * MINUTE, loss=500), [grown], KINDS)
    assert same.loss_per_minute == 1000


def test_a_flood_of_signals_keeps_the_incident_small_and_its_last_signal_known() -> None:
    incident = triage(signal(), [], KINDS)
    for number in range(700):
        incident = triage(signal(f"ip:198.51.{number // 250}.{number % 250}", at=NOON + number), [incident], KINDS)
    assert len(incident.entities["ip"]) == 500 and len(incident.timeline) == 200
    assert incident.timeline[-1].time == NOON + 699 and len(incident.signals) == 701


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ip:1", "ip:2", "service:a", "service:b", "shop:s", "account:x"]),
            st.sampled_from(["request-flood", "http-errors", "gateway-outage", "scan"]),
            st.integers(0, 90),
        ),
        max_size=25,
    )
)
def test_every_signal_is_in_exactly_one_incident_and_the_same_order_gives_the_same(
    rows: list[tuple[str, str, int]],
) -> None:
    signals = [
        signal(subject, kind, NOON + minute * MINUTE) for subject, kind, minute in sorted(rows, key=lambda r: r[2])
    ]
    found = incidents_of(signals)
    assert found == incidents_of(signals)
    held = [identity for incident in found.values() for identity in incident.signals]
    assert sorted(held) == sorted({one.id for one in signals})
    for incident in found.values():
        entity, key = split_subject(incident.subject)
        assert key in incident.entities[entity] and incident.onset <= incident.updated
        assert incident.version == len(incident.signals)
