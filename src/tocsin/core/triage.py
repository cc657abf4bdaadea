"""Triage: signals become incidents, along entities, time and the causal graph. Pure; the answer depends on the order of
the signals and on nothing else.

A signal joins an active incident of its shop when it is not further than ``GAP`` from it and

* it has the same kind and subject, or
* it has the same kind, and both are about callers (addresses, accounts, cards, ...) or the shop as a whole: one attack
  has many callers, or
* both name the same caller, whatever the kinds, or
* both come from one desk and name the same service, item or merchant, or
* one kind is a known cause of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.events import MINUTE, Entity, derived_id, split_subject, subject_of
from tocsin.core.incident import Incident, Moment, Phase, Severity
from tocsin.core.signal import Signal, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GAP = 15 * MINUTE
"""A signal further than this from an incident's last change opens a new one."""

CAUSES: Mapping[str, frozenset[str]] = {
    "request-flood": frozenset({"http-errors", "orders-drop", "slow-requests", "scan"}),
    "gateway-outage": frozenset({"orders-drop", "payments-drop"}),
    "http-errors": frozenset({"orders-drop"}),
}
"""Kind -> kinds that it explains. The causal graph as far as it is known; an unknown kind explains nothing."""

_CALLERS = frozenset({Entity.IP, Entity.ACCOUNT, Entity.DEVICE, Entity.CARD, Entity.SESSION, Entity.ADDRESS})
_CROWD = _CALLERS | {Entity.SHOP}
_SHARED = frozenset({Entity.SERVICE, Entity.SKU, Entity.MERCHANT, Entity.WAREHOUSE, Entity.CARRIER})
_PSEUDONYMS = frozenset({Entity.ACCOUNT, Entity.DEVICE, Entity.CARD, Entity.SESSION, Entity.ADDRESS})
_MOST_ENTITIES = 500
_MOST_MOMENTS = 200
"""Bounds of one incident: keys kept per entity, and signals shown on the timeline."""

_BANDS = ((100_000, Severity.P1), (10_000, Severity.P2), (1_000, Severity.P3))
"""Loss per minute in minor units from which each severity holds: 1,000, 100 and 10 of the currency's unit."""
_ORDER = list(Severity)


def severity(loss_per_minute: int, score: float) -> Severity:
    """Return how bad it is: the band of the loss, one step lower below score 0.5, at least P3 from score 0.9 on.

    >>> [severity(120_000, 0.9).value, severity(120_000, 0.4).value, severity(0, 0.95).value, severity(0, 0.6).value]
    ['P1', 'P2', 'P3', 'P4']
    """
    band = next((band for least, band in _BANDS if loss_per_minute >= least), Severity.P4)
    rank = _ORDER.index(band)
    if score < 0.5:
        rank = min(rank + 1, len(_ORDER) - 1)
    elif score >= 0.9:
        rank = min(rank, _ORDER.index(Severity.P3))
    return _ORDER[rank]


def triage(signal: Signal, open_incidents: Sequence[Incident], kinds: Mapping[str, Text]) -> Incident:
    """Return the incident that the signal opens or joins: a new one, a grown one, or the same object if it is known.

    Parameters
    ----------
    signal
        Of any desk.
    open_incidents
        Those that it may join; inactive ones and other shops' are ignored. Of several that fit, the closest tie wins,
        then the oldest, then the smallest id.
    kinds
        Titles of all kinds; a kind without one is shown by its name.
    """
    ties = [(_tie(signal, incident), incident) for incident in open_incidents]
    fitting = [(-tie, incident.onset, incident.id, incident) for tie, incident in ties if tie]
    if not fitting:
        return _opened(signal, kinds)
    return _grown(min(fitting, key=lambda row: row[:3])[3], signal, kinds)


def loss_until(incident: Incident, now: int) -> int:
    """Return the estimated loss up to a time, in minor units: what was counted so far and the rate since."""
    if not incident.phase.active:
        return incident.loss
    return incident.loss + incident.loss_per_minute * max(0, now - incident.updated) // MINUTE


def _tie(signal: Signal, incident: Incident) -> int:
    """Return how strongly it belongs: 0 not at all, 1 cause, 2 shared thing, 3 kind, 4 caller, 5 subject, 9 known."""
    if incident.shop != signal.shop or not incident.phase.active:
        return 0
    if signal.id in incident.signals:
        return 9
    if not incident.onset - GAP <= signal.tau or not signal.onset <= incident.updated + GAP:
        return 0
    entity, key = split_subject(signal.subject)
    kinds = {incident.kind, *incident.kinds}
    if signal.kind in kinds and (signal.subject == incident.subject or key in incident.entities.get(entity, ())):
        return 5
    named = {**signal.entities, entity: key}
    shared = {name for name, value in named.items() if value in incident.entities.get(name, ())}
    if shared & _CALLERS:
        return 4
    if signal.kind in kinds and {entity, split_subject(incident.subject)[0]} <= _CROWD:
        return 3
    if shared & _SHARED and signal.desk in incident.desks:
        return 2
    causal = any(kind in CAUSES.get(signal.kind, ()) or signal.kind in CAUSES.get(kind, ()) for kind in kinds)
    return 1 if causal else 0


def _opened(signal: Signal, kinds: Mapping[str, Text]) -> Incident:
    entity, key = split_subject(signal.subject)
    return Incident(
        id=derived_id("incident", signal.id),
        shop=signal.shop,
        kind=signal.kind,
        kinds=(signal.kind,),
        title=_title(signal.kind, signal.subject, 0, kinds, signal.evidence),
        subject=signal.subject,
        severity=severity(signal.loss_per_minute, signal.score),
        phase=Phase.OPEN,
        onset=min(signal.onset, signal.tau),
        opened=signal.tau,
        updated=signal.tau,
        entities={name: (value,) for name, value in {entity: key, **signal.entities}.items() if value},
        signals=(signal.id,),
        desks=(signal.desk,),
        score=signal.score,
        loss_per_minute=signal.loss_per_minute,
        loss=signal.loss_per_minute * max(0, signal.tau - signal.onset) // MINUTE,
        currency=signal.currency,
        series=signal.series,
        evidence=dict(signal.evidence),
        timeline=(_moment(signal),),
    )


def _grown(incident: Incident, signal: Signal, kinds: Mapping[str, Text]) -> Incident:
    if signal.id in incident.signals:
        return incident
    entity, key = split_subject(signal.subject)
    known = key in incident.entities.get(entity, ())
    entities = _merged(incident.entities, {entity: key, **signal.entities})
    cause = incident.kind in CAUSES.get(signal.kind, ())
    wider = signal.kind == incident.kind and entity == Entity.SHOP
    kind, subject = (signal.kind, signal.subject) if cause or wider else (incident.kind, incident.subject)
    effect = signal.kind != incident.kind
    rate = max(incident.loss_per_minute, signal.loss_per_minute)
    if not known and not effect and {entity, split_subject(incident.subject)[0]} <= _CALLERS:
        rate = incident.loss_per_minute + signal.loss_per_minute
    score = max(incident.score, signal.score)
    evidence: dict[str, Any] = {**incident.evidence, **signal.evidence}
    if effect and not cause:
        evidence = {**signal.evidence, **incident.evidence}
    others = len(entities.get(split_subject(subject)[0], ())) - 1
    return msgspec.structs.replace(
        incident,
        kind=kind,
        kinds=tuple(dict.fromkeys((*incident.kinds, signal.kind))),
        title=_title(kind, subject, others, kinds, evidence),
        subject=subject,
        severity=min(incident.severity, severity(rate, score), key=_ORDER.index),
        onset=min(incident.onset, signal.onset),
        updated=max(incident.updated, signal.tau),
        entities=entities,
        signals=(*incident.signals, signal.id),
        desks=tuple(dict.fromkeys((*incident.desks, signal.desk))),
        score=score,
        loss_per_minute=rate,
        loss=loss_until(incident, signal.tau),
        currency=incident.currency or signal.currency,
        series=signal.series if cause and signal.series else incident.series or signal.series,
        evidence=evidence,
        timeline=_timeline(incident, signal),
        version=incident.version + 1,
    )


def _merged(entities: Mapping[str, tuple[str, ...]], named: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the entities with the new keys behind the old ones; a full list takes no more."""
    merged = dict(entities)
    for name, value in named.items():
        keys = merged.get(name, ())
        if value and value not in keys and len(keys) < _MOST_ENTITIES:
            merged[name] = (*keys, value)
    return merged


def _timeline(incident: Incident, signal: Signal) -> tuple[Moment, ...]:
    """Return the timeline with the signal; once it is full, the newest signal takes the place of the one before."""
    shown = [number for number, moment in enumerate(incident.timeline) if moment.what == "signal"]
    if len(shown) < _MOST_MOMENTS:
        return (*incident.timeline, _moment(signal))
    kept = [moment for number, moment in enumerate(incident.timeline) if number != shown[-1]]
    return (*kept, _moment(signal))


def _moment(signal: Signal) -> Moment:
    return Moment(
        time=signal.tau,
        what="signal",
        ref=signal.id,
        who=signal.desk,
        detail={"kind": signal.kind, "subject": signal.subject, "score": round(signal.score, 4)},
    )


def _title(kind: str, subject: str, others: int, kinds: Mapping[str, Text], evidence: Mapping[str, Any]) -> Text:
    """Return the kind's title with the subject; pseudonyms are shown by their first 8 characters."""
    title = kinds.get(kind, Text(kind, kind)).filled(dict(evidence))
    entity, key = split_subject(subject)
    shown = subject_of(entity, key[:8]) if entity in _PSEUDONYMS else subject
    if others > 0:
        return Text(f"{title.en}: {shown} and {others} more", f"{title.zh}：{shown} 等 {others + 1} 个")
    return Text(f"{title.en}: {shown}", f"{title.zh}：{shown}")
