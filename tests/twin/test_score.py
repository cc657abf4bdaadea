"""Scoring and the rival: who is right about what, and when an answer counts."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.core.events import MINUTE, SECOND
from tocsin.twin.books import Books, Loss
from tocsin.twin.controls import Obeyed
from tocsin.twin.drill import unattended
from tocsin.twin.score import Truth, responded
from tocsin.twin.thresholds import Limits, tune
from tocsin.twin.trouble import Trouble, compose, named
from tocsin.twin.world import EPOCH

START = 100 * MINUTE


def trouble(*, kinds: tuple[str, ...] = ("card-testing",), subjects: tuple[str, ...] = ()) -> Trouble:
    end = START + 20 * MINUTE
    return Trouble("t", "medium", START, end, parts=(), groups={}, kinds=kinds, subjects=subjects)


def incident(subject: str, kind: str = "card-testing", opened: int = START + MINUTE, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "kind": kind, "opened": opened, "entities": {}, **more}


@pytest.mark.parametrize(
    ("found", "about", "false"),
    [
        (incident("ip:203.0.113.7"), True, False),
        (incident("device:<d>"), True, False),
        (incident("ip:198.51.100.1"), False, True),
        (incident("shop:default"), True, False),
        (incident("shop:default", kind="gateway-outage"), False, True),
        (incident("shop:default", kind="other", entities={"ip": ["203.0.113.7"]}), True, False),
        (incident("ip:203.0.113.7", opened=START - MINUTE), False, False),
        (incident("shop:default", opened=START - MINUTE), False, True),
        (incident("shop:default", opened=START + 30 * MINUTE), False, True),
        (incident("account:<thief>", kind="takeover", opened=MINUTE), False, False),
    ],
)
def test_an_incident_is_right_by_time_and_by_subject_or_kind(found: dict[str, Any], about: bool, false: bool) -> None:
    """Guilty subjects and the expected kind are right in the trouble's time; ordinary fraud is never a false alarm."""
    guilty = {"t": {"ip:203.0.113.7", "device:d"}, "takeover": {"account:thief"}}
    truth = Truth([trouble()], guilty, lambda entity, key: f"<{key}>")
    assert truth.about(found, trouble()) is about
    assert truth.false(found) is false


def test_the_wrong_gateway_is_a_false_alarm() -> None:
    """Where the trouble names service:alpha-pay, an incident on service:beta-pay is about nothing."""
    outage = trouble(kinds=("gateway-outage",), subjects=("service:alpha-pay",))
    truth = Truth([outage], {}, lambda entity, key: key)
    assert truth.about(incident("service:alpha-pay", kind="gateway-outage"), outage)
    assert truth.false(incident("service:beta-pay", kind="gateway-outage"))


def books(*harm: int) -> Books:
    kept = Books()
    for time in harm:
        kept.hurt(time, "t")
    return kept


def effect(key: str, start: int) -> Obeyed:
    return Obeyed("a", "ip.block", key, {}, start, start + 15 * MINUTE)


def test_a_response_counts_from_when_harm_fell_by_four_fifths() -> None:
    """Harm every ten seconds, with Tocsin only until the fifth minute: effective at 300 s, not at the action's 60 s."""
    every = [START + 10 * SECOND * k for k in range(120)]
    alone, ours = books(*every), books(*(t for t in every if t < START + 5 * MINUTE))
    seconds = responded(trouble(), ours, alone, [effect("203.0.113.7", START + MINUTE)])
    assert seconds is not None
    assert 270 <= seconds <= 300
    assert responded(trouble(), alone, alone, [effect("203.0.113.7", START + MINUTE)]) is None
    assert responded(trouble(), ours, alone, []) is None


def test_acting_on_the_named_target_is_a_response() -> None:
    """The failover of the broken gateway counts at once, however few payments there are to compare."""
    outage = trouble(subjects=("service:alpha-pay",))
    assert responded(outage, books(), books(), [effect("alpha-pay", START + 90 * SECOND)]) == 90
    assert responded(outage, books(), books(), [effect("beta-pay", START + 90 * SECOND)]) is None


def test_losses_add_up_by_time() -> None:
    """What is lost before the start or after the end of a span is not in it; nothing negative is booked."""
    kept = Books()
    for time, amount in ((1, 10), (5, 20), (9, 40), (9, -7)):
        kept.lose(time, Loss.FEES, amount)
    assert (kept.lost(), kept.lost(2), kept.lost(2, 9)) == (70, 60, 20)


def test_thresholds_are_as_low_as_the_quiet_days_allow() -> None:
    """One excess of 60 in three days: with no alarm allowed the limit is 60, with one a day for all series it is 10."""
    day = [(10, 2, 0, 0)] * 60
    spike = [*day, (60, 3, 1, 0), *day]
    assert tune([spike, day, day], per_day=0.0).requests == 60
    assert tune([spike, day, day], per_day=1.0).requests == 10


def test_the_rival_answers_with_the_same_verbs() -> None:
    """Sensible limits let the thresholds avert more than half of a strong drill."""
    limits = Limits(requests=400, address=9, declines=5, failures=2)
    for drill, verb in (("card-testing", "ip.block"), ("gateway-outage", "gateway.failover")):
        spec = {**named(drill), "warm_up_s": 300, "start": 0, "duration_s": 1500}
        begin = EPOCH + 12 * 60 * MINUTE
        wrong = compose(spec, seed=1, strength="strong", begin=begin)
        end = wrong.end + 10 * MINUTE
        quiet = unattended(1, begin, end).books.lost()
        alone = unattended(1, begin, end, troubles=[wrong]).books.lost() - quiet
        rival = unattended(1, begin, end, troubles=[wrong], limits=limits)
        assert verb in {done.verb for done in rival.controls.history}
        assert rival.books.lost() - quiet < alone / 2
