"""The attack desk's three entrances; see the package's docstring for what it watches."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from tocsin.core.desk import Judgement
from tocsin.core.events import MINUTE, SECOND, Entity, subject_of
from tocsin.core.playbook import Playbook, playbook_from
from tocsin.core.signal import Decision, Reason, Signal, Text, signal_id
from tocsin.desks.attack.declarations import (
    HTTP,
    KINDS,
    LOGIN,
    LOGIN_FAILURES,
    RULES,
    SERIES,
    SERVED_SERIES,
    WINDOWS,
)
from tocsin.desks.attack.evidence import Evidence, floods, guesses, injections, scans
from tocsin.methods.alarm import Alarm, watch_counts, watch_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.core.desk import (
        Batch,
        Bucket,
        Candidate,
        Deadline,
        Features,
        Labelled,
        Miss,
        Ratio,
        Rule,
        Series,
        Window,
    )

ALARMS_PER_DAY = 0.05
"""False-alarm budget of each series of a shop."""
FLOOD_TOLERANCE = 2.0
"""Traffic within twice its expectation is never called a flood."""
FLOOD_LEAST = 10.0
"""Requests in a bucket of 10 seconds below which no shop is flooded."""
FLOOD_WARM = 180
"""Buckets of reference that a shop's traffic needs: half an hour."""
AFTERGLOW = 10 * MINUTE
"""Visitors who came with a promotion's peak stay about so long after it."""
LEAST_FAILED, FEWEST_FAILED = 0.4, 15
"""Share and number of failed sign-ins from which the shop may be under attack: one person mistypes several times."""


_SHOP_TEXT = {
    "request-flood": Text(
        "The shop gets {times} times the requests it expects ({level} instead of {baseline} in 10 s).",
        "全店请求量是预期的 {times} 倍（10 秒内 {level} 次，预期 {baseline} 次）。",
    ),
    "login-flood": Text(
        "Sign-ins fail {times} times as often as usual (share {level} instead of {baseline}).",
        "登录失败率是平时的 {times} 倍（{level}，平时 {baseline}）。",
    ),
}


class AttackDesk:
    """Watches requests and sign-ins; see ``core.desk.Desk`` for the members. It has no model."""

    name = "attack"
    version = 1
    reads: tuple[str, ...] = (*HTTP, *LOGIN)
    windows: tuple[Window | Ratio, ...] = WINDOWS
    series: tuple[Series, ...] = SERIES
    deadlines: tuple[Deadline, ...] = ()
    rules: tuple[Rule, ...] = RULES
    kinds: Mapping[str, Text] = KINDS

    def judge(self, batch: Batch, features: Features) -> Judgement:
        """Score rows that carry evidence of an attack and send its signals."""
        scores = np.full(batch.n, np.nan)
        decisions: dict[int, Decision] = {}
        reasons: dict[int, tuple[Reason, ...]] = {}
        signals: list[tuple[int, Signal]] = []
        for row, found in _evidence(batch, features):
            if not found.score <= scores[row]:
                scores[row] = found.score
                decisions[row], reasons[row] = found.decision, (found.reason,)
            if found.tells:
                signals.append((row, _signal(batch, row, found)))
        signals.sort(key=lambda pair: pair[0])
        return Judgement(scores=scores, decisions=decisions, reasons=reasons, signals=signals)

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        """Return the shop-wide floods of requests and of failed sign-ins."""
        found = []
        for bucket in buckets:
            if bucket.series.name == SERVED_SERIES.name:
                alarm = watch_counts(
                    bucket.value,
                    bucket.history,
                    buckets_per_day=86_400 / bucket.series.bucket_s,
                    per_day=ALARMS_PER_DAY,
                    factor=_expected_factor(bucket),
                    tolerance=FLOOD_TOLERANCE,
                    least=FLOOD_LEAST,
                    warm=FLOOD_WARM,
                )
                if alarm:
                    found.append(_shop_signal("request-flood", bucket, alarm, alarm.level - alarm.baseline))
            elif bucket.series.name == LOGIN_FAILURES.name:
                alarm = watch_ratio(
                    bucket.value,
                    bucket.n,
                    bucket.history,
                    bucket.history_n,
                    buckets_per_day=86_400 / bucket.series.bucket_s,
                    per_day=ALARMS_PER_DAY,
                    least=LEAST_FAILED,
                    fewest=FEWEST_FAILED,
                    tolerance=1.5,
                )
                if alarm:
                    found.append(_shop_signal("login-flood", bucket, alarm, bucket.n * alarm.level))
        return found

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        """Return nothing: the desk declares no deadline."""
        return ()

    def learn(self, labelled: Labelled) -> Candidate | None:
        """Return None: the desk has no model."""
        return None

    def with_model(self, artefact: bytes | None) -> AttackDesk:
        """Return the desk itself: it has no model."""
        return self

    def playbooks(self) -> Sequence[Playbook]:
        """Return the playbooks beside the desk."""
        return _playbooks()


def _evidence(batch: Batch, features: Features) -> list[tuple[int, Evidence]]:
    http, login = batch.of_type(*HTTP), batch.of_type(*LOGIN)
    found: list[tuple[int, Evidence]] = []
    if http.any():
        found += floods(batch, features, http)
        found += scans(batch, features, http)
        found += injections(batch, http)
    if login.any():
        found += guesses(batch, features, login)
    return found


def _signal(batch: Batch, row: int, found: Evidence) -> Signal:
    event = batch.events[row]
    subject = subject_of(found.entity, found.key)
    onset = event.tau - found.since_s * SECOND
    named = {name: event.data.get(name) for name in (Entity.IP.value, Entity.SERVICE.value, Entity.ACCOUNT.value)}
    return Signal(
        id=signal_id("attack", found.kind, event.shop, subject, event.tau),
        desk="attack",
        kind=found.kind,
        shop=event.shop,
        subject=subject,
        score=found.score,
        onset=onset,
        tau=event.tau,
        entities={name: value for name, value in named.items() if isinstance(value, str) and value},
        evidence=found.seen,
        reasons=(found.reason,),
        loss_per_minute=found.loss_per_minute,
        series=found.series,
    )


def _expected_factor(bucket: Bucket) -> float:
    """Return the campaign's uplift that this bucket may still show: its peak, until the peak's visitors have left."""
    plan = bucket.campaign
    if plan is None:
        return bucket.factor
    glowing = plan.start <= bucket.start < plan.start + plan.peak_minutes * MINUTE + AFTERGLOW
    return max(bucket.factor, plan.peak) if glowing else bucket.factor


def _shop_signal(kind: str, bucket: Bucket, alarm: Alarm, excess: float) -> Signal:
    """Return the shop's own signal; ``excess`` is what one bucket has too much, in the unit that ``worth`` prices."""
    series = bucket.series
    per_minute = 60 / series.bucket_s
    subject = subject_of(Entity.SHOP, bucket.shop)
    onset = bucket.start - (alarm.buckets - 1) * series.bucket_s * SECOND
    seen: dict[str, Any] = {
        "level": round(alarm.level, 3),
        "baseline": round(alarm.baseline, 3),
        "times": round(alarm.level / max(alarm.baseline, 1e-9), 1),
        "unit": series.unit,
        "seconds": alarm.window * series.bucket_s,
        "shop_wide": True,
    }
    text = _SHOP_TEXT[kind].filled(seen)
    return Signal(
        id=signal_id("attack", kind, bucket.shop, subject, onset),
        desk="attack",
        kind=kind,
        shop=bucket.shop,
        subject=subject,
        score=alarm.score,
        onset=onset,
        tau=bucket.tau,
        evidence=seen,
        reasons=(Reason(f"{kind}-shop-wide", text, feature=series.name, value=float(seen["level"])),),
        loss_per_minute=math.ceil(max(excess, 0.0) * per_minute * series.worth),
        series=series.name,
    )


@cache
def _playbooks() -> tuple[Playbook, ...]:
    folder = files("tocsin.desks.attack") / "playbooks"
    found = sorted((place for place in folder.iterdir() if place.name.endswith(".yaml")), key=lambda place: place.name)
    return tuple(playbook_from(yaml.safe_load(place.read_text(encoding="utf-8"))) for place in found)
