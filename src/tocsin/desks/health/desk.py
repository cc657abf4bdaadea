"""The health desk's entrances; see the package's docstring for what it watches."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from tocsin.core.desk import Judgement
from tocsin.core.events import SECOND, Entity, subject_of
from tocsin.core.playbook import Playbook, playbook_from
from tocsin.core.signal import Reason, Signal, Text, signal_id
from tocsin.desks.health.declarations import ERRORS, FAILED_AMOUNT, FAILURES, KINDS, ORDERS, SERIES
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

GATEWAY_ALARMS_PER_DAY = 0.1
"""False-alarm budget of each gateway; the tests' bounds make it about a tenth of that in fact."""
ALARMS_PER_DAY = 0.02
"""False-alarm budget of each other series."""
LEAST_FAILING = 0.12
"""Share of failing payments below which a gateway is not called out."""
LEAST_ERRORS = 0.1
SILENCE = 4.0
"""Orders count as dropped below a quarter of what is expected."""

_TEXTS = {
    "gateway-outage": Text(
        "{percent} % of the payments through {key} fail ({usual} % is usual).",
        "经 {key} 的支付有 {percent}% 失败（平时为 {usual}%）。",
    ),
    "http-errors": Text(
        "{percent} % of the requests end in a server error ({usual} % is usual).",
        "{percent}% 的请求返回服务器错误（平时为 {usual}%）。",
    ),
    "orders-drop": Text(
        "{level} orders a minute instead of {baseline}.", "每分钟订单 {level} 笔，预期为 {baseline} 笔。"
    ),
}


class HealthDesk:
    """Watches payments by gateway, orders and server errors; see ``core.desk.Desk``. It has no model."""

    name = "health"
    version = 1
    reads: tuple[str, ...] = ("payment.attempted", "order.placed", "http.request")
    windows: tuple[Window | Ratio, ...] = ()
    series: tuple[Series, ...] = SERIES
    deadlines: tuple[Deadline, ...] = ()
    rules: tuple[Rule, ...] = ()
    kinds: Mapping[str, Text] = KINDS

    def judge(self, batch: Batch, features: Features) -> Judgement:
        """Return no score: health is seen in series, not in single events."""
        return Judgement(scores=np.full(batch.n, np.nan))

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        """Return the alarms of these buckets; failed amounts that close with them price an outage."""
        failed = {(b.shop, b.key): b for b in buckets if b.series.name == FAILED_AMOUNT.name}
        found = []
        for bucket in buckets:
            if bucket.series.name == FAILURES.name:
                alarm = _ratio(bucket, GATEWAY_ALARMS_PER_DAY, LEAST_FAILING, longest=256)
                if alarm:
                    loss, currency = _failing_money(failed.get((bucket.shop, bucket.key)), alarm)
                    found.append(_signal("gateway-outage", bucket, alarm, loss, currency))
            elif bucket.series.name == ERRORS.name:
                alarm = _ratio(bucket, ALARMS_PER_DAY, LEAST_ERRORS, longest=24, tolerance=3.0)
                if alarm:
                    per_minute = 60 / ERRORS.bucket_s * bucket.n * alarm.level
                    found.append(_signal("http-errors", bucket, alarm, math.ceil(per_minute * ERRORS.worth)))
            elif bucket.series.name == ORDERS.name:
                alarm = watch_counts(
                    bucket.value,
                    bucket.history,
                    buckets_per_day=1440,
                    per_day=ALARMS_PER_DAY,
                    direction="down",
                    factor=bucket.factor,
                    tolerance=SILENCE,
                    longest=32,
                )
                if alarm:
                    lost = math.ceil((alarm.baseline - alarm.level) * ORDERS.worth)
                    found.append(_signal("orders-drop", bucket, alarm, lost))
        return found

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        """Return nothing: the desk declares no deadline."""
        return ()

    def learn(self, labelled: Labelled) -> Candidate | None:
        """Return None: the desk has no model."""
        return None

    def with_model(self, artefact: bytes | None) -> HealthDesk:
        """Return the desk itself: it has no model."""
        return self

    def playbooks(self) -> Sequence[Playbook]:
        """Return the playbooks beside the desk."""
        return _playbooks()


def _ratio(bucket: Bucket, per_day: float, least: float, *, longest: int, tolerance: float = 1.0) -> Alarm | None:
    return watch_ratio(
        bucket.value,
        bucket.n,
        bucket.history,
        bucket.history_n,
        buckets_per_day=86_400 / bucket.series.bucket_s,
        per_day=per_day,
        least=least,
        tolerance=tolerance,
        longest=longest,
    )


def _failing_money(bucket: Bucket | None, alarm: Alarm) -> tuple[int, str]:
    """Return (amount failing per minute over the alarm's window, currency)."""
    if bucket is None:
        return 0, ""
    last = np.append(bucket.history, bucket.value)[-alarm.window :]
    minutes = last.size * bucket.series.bucket_s / 60
    return math.ceil(float(np.nansum(last)) / minutes), bucket.currency


def _signal(kind: str, bucket: Bucket, alarm: Alarm, loss_per_minute: int, currency: str = "") -> Signal:
    series = bucket.series
    subject = subject_of(Entity.SERVICE, bucket.key) if bucket.key else subject_of(Entity.SHOP, bucket.shop)
    onset = bucket.start - (alarm.buckets - 1) * series.bucket_s * SECOND
    seen: dict[str, Any] = {
        "level": round(alarm.level, 4),
        "baseline": round(alarm.baseline, 4),
        "percent": round(100 * alarm.level, 1),
        "usual": round(100 * alarm.baseline, 1),
        "seconds": alarm.window * series.bucket_s,
        "key": bucket.key,
    }
    name = f"{series.name}/{bucket.key}" if bucket.key else series.name
    return Signal(
        id=signal_id("health", kind, bucket.shop, subject, onset),
        desk="health",
        kind=kind,
        shop=bucket.shop,
        subject=subject,
        score=alarm.score,
        onset=onset,
        tau=bucket.tau,
        entities={Entity.SERVICE.value: bucket.key} if bucket.key else {},
        evidence=seen,
        reasons=(Reason(kind, _TEXTS[kind].filled(seen), feature=name, value=float(seen["level"])),),
        loss_per_minute=loss_per_minute,
        currency=currency,
        series=name,
    )


@cache
def _playbooks() -> tuple[Playbook, ...]:
    folder = files("tocsin.desks.health") / "playbooks"
    found = sorted((place for place in folder.iterdir() if place.name.endswith(".yaml")), key=lambda place: place.name)
    return tuple(playbook_from(yaml.safe_load(place.read_text(encoding="utf-8"))) for place in found)
