"""The health desk's entrances; see the package's docstring for what it watches."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import yaml

from tocsin.core.desk import Judgement
from tocsin.core.events import SECOND, Entity, subject_of
from tocsin.core.playbook import Playbook, playbook_from
from tocsin.core.signal import Reason, Signal, Text, signal_id
from tocsin.desks.health.declarations import DURATION, ERRORS, FAILED_AMOUNT, FAILURES, KINDS, ORDERS, SERIES
from tocsin.methods.alarm import Alarm, exceedances, watch_counts, watch_ratio

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

GATEWAY_ALARMS_PER_DAY = 0.06
"""False-alarm budget of each gateway."""
ALARMS_PER_DAY = 0.02
"""False-alarm budget of each other series."""
LEAST_FAILING, FEWEST_FAILING = 0.12, 3
"""Share and number of payments in trouble below which a gateway is not called out."""
LEAST_ERRORS, FEWEST_ERRORS = 0.25, 20
SLOW = 1.5
"""A payment counts as far too slow beyond so many times the gateway's own upper quantile of times."""
SILENCE = 4.0
"""Orders count as dropped below a quarter of what is expected."""

_TEXTS = {
    "gateway-outage": Text(
        "{percent} % of the payments through {key} fail ({usual} % is usual).",
        "经 {key} 的支付有 {percent}% 失败（平时为 {usual}%）。",
    ),
    "gateway-slow": Text(
        "Payments through {key} take {time_ms} ms ({usual_ms} ms is usual).",
        "经 {key} 的支付耗时 {time_ms} 毫秒（平时 {usual_ms} 毫秒）。",
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
        """Return the alarms of these buckets; a gateway's times and failed amounts close together with its failures."""
        failed = {(b.shop, b.key): b for b in buckets if b.series.name == FAILED_AMOUNT.name}
        times = {(b.shop, b.key): b for b in buckets if b.series.name == DURATION.name}
        found = []
        for bucket in buckets:
            if bucket.series.name == FAILURES.name:
                place = (bucket.shop, bucket.key)
                troubled = _troubled(bucket, times.get(place))
                alarm = _ratio(troubled, GATEWAY_ALARMS_PER_DAY, LEAST_FAILING, FEWEST_FAILING, longest=256)
                if alarm:
                    found.append(_outage(bucket, times.get(place), failed.get(place), alarm))
            elif bucket.series.name == ERRORS.name:
                alarm = _ratio(bucket, ALARMS_PER_DAY, LEAST_ERRORS, FEWEST_ERRORS, longest=24, tolerance=3.0)
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


def _ratio(
    bucket: Bucket, per_day: float, least: float, fewest: int, *, longest: int, tolerance: float = 1.0
) -> Alarm | None:
    return watch_ratio(
        bucket.value,
        bucket.n,
        bucket.history,
        bucket.history_n,
        buckets_per_day=86_400 / bucket.series.bucket_s,
        per_day=per_day,
        least=least,
        fewest=fewest,
        tolerance=tolerance,
        longest=longest,
    )


def _troubled(failures: Bucket, times: Bucket | None) -> Bucket:
    """Return the bucket with the share of payments that failed or were far too slow.

    A bucket whose upper quantile of times is beyond ``SLOW`` times the usual counts as a tenth of its payments, at
    least one.
    """
    slow = exceedances(times.value, times.history, tolerance=SLOW) if times is not None else None
    if slow is None:
        return failures
    size = min(slow[1].size, failures.history.size)
    cut = failures.history.size - size
    history, history_n = failures.history[cut:], failures.history_n[cut:]
    marks = np.nan_to_num(slow[1][slow[1].size - size :]) * np.maximum(0.1, 1.0 / np.maximum(history_n, 1.0))
    mark = 0.0 if math.isnan(slow[0]) else slow[0] * max(0.1, 1.0 / max(failures.n, 1))
    return msgspec.structs.replace(
        failures, value=float(np.fmax(failures.value, mark)), history=np.fmax(history, marks), history_n=history_n
    )


def _outage(failures: Bucket, times: Bucket | None, amounts: Bucket | None, alarm: Alarm) -> Signal:
    """Return the signal of a gateway: what fails in the alarm's window, how long it takes, and what that costs."""
    trials = np.append(failures.history_n, failures.n)[-alarm.window :]
    hits = np.nan_to_num(np.append(failures.history, failures.value)[-alarm.window :]) * trials
    share = float(hits.sum() / max(trials.sum(), 1.0))
    seen: dict[str, Any] = {"percent": round(100 * share, 1), "usual": round(100 * alarm.baseline, 1)}
    if times is not None:
        recent = np.append(times.history, times.value)[-alarm.window :]
        seen["time_ms"] = _median(recent)
        seen["usual_ms"] = _median(times.history)
    loss, currency = _failing_money(amounts, alarm)
    return _signal("gateway-outage", failures, alarm, loss, currency, seen)


def _median(values: np.ndarray) -> int:
    known = values[~np.isnan(values)]
    return int(np.median(known)) if known.size else 0


def _failing_money(bucket: Bucket | None, alarm: Alarm) -> tuple[int, str]:
    """Return (amount failing per minute over the alarm's window, currency)."""
    if bucket is None:
        return 0, ""
    last = np.append(bucket.history, bucket.value)[-alarm.window :]
    minutes = last.size * bucket.series.bucket_s / 60
    return math.ceil(float(np.nansum(last)) / minutes), bucket.currency


def _signal(
    kind: str,
    bucket: Bucket,
    alarm: Alarm,
    loss_per_minute: int,
    currency: str = "",
    more: Mapping[str, Any] | None = None,
) -> Signal:
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
        **(more or {}),
    }
    code = "gateway-slow" if kind == "gateway-outage" and seen["percent"] < 100 * LEAST_FAILING else kind
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
        reasons=(Reason(code, _TEXTS[code].filled(seen), feature=name, value=float(seen["level"])),),
        loss_per_minute=loss_per_minute,
        currency=currency,
        series=name,
    )


@cache
def _playbooks() -> tuple[Playbook, ...]:
    folder = files("tocsin.desks.health") / "playbooks"
    found = sorted((place for place in folder.iterdir() if place.name.endswith(".yaml")), key=lambda place: place.name)
    return tuple(playbook_from(yaml.safe_load(place.read_text(encoding="utf-8"))) for place in found)
