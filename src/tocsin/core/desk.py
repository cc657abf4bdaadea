"""Desk: the only plug-in; one domain's knowledge, and the declarations that it is written in.

A desk declares windows, series, deadlines and rules; the data plane (``tocsin.flow``) computes them. It judges
through three pure entrances and never asks for the time, reads a file, or keeps state.

What a window means, whatever computes it
-----------------------------------------
An event enters the windows of its type when it is folded, at its tau, and *then* its own features are read: a window
includes the event that reads it (except ``recency``, which is the time since the one before).

* span <= 1 h: exact, the events with tau in (t - d - w, t - d], d the delay, w the span.
* span > 1 h: 24 hops of w/24 aligned to the epoch, K = floor((t - d) / hop). Without delay the hops K-23 .. K; with a
  delay only hops that ended at or before t - d: K-24 .. K-1. The oldest hop is whole or gone.
* ``distinct`` is exact up to 1 h; beyond it a bottom-256 (KMV) sketch per hop, merged: exact up to 256, standard
  error about 6 % above.
* Integers are summed exactly; NUMBER fields as fixed point of their declared scale; squares in arbitrary precision.
* A window over a MONEY field is kept per currency and read in the reading event's currency.
* A value is missing, never 0, where the reading event lacks the key, where the aggregate needs events that are not
  there (mean of none, std of fewer than two, recency of the first), or while the window warms. ``count``, ``sum`` and
  ``distinct`` of an empty window are 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from tocsin.core.signal import Decision, Mode, Reason, Signal, Text

if TYPE_CHECKING:
    import numpy as np

    from tocsin.core.campaign import Campaign
    from tocsin.core.events import Event
    from tocsin.core.playbook import Playbook


class Aggregate(StrEnum):
    """What a window keeps."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    STD = "std"
    DISTINCT = "distinct"
    RECENCY = "recency"
    """Seconds since the previous matching event of the key."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One per-event feature over a keyed sliding window.

    Parameters
    ----------
    name
        Name of the feature, unique in the desk.
    fold
        The aggregate.
    by
        Field that holds the key, an entity's name as a rule (``card``). Events without it are left out.
    span_s, delay_s
        Seconds.
    of
        Event types that enter it.
    field
        The field that is aggregated (not for count and recency). With ``each``, a field of the items.
    where
        A CEL filter over the entering event; an error in it counts as false and is counted.
    each
        One entry per order item; ``by`` may then be ``items.sku``: an event with a ``sku`` reads that key, another one
        the largest value over the keys of its items (recency: the smallest).
    """

    name: str
    fold: Aggregate
    by: str
    span_s: int
    of: tuple[str, ...]
    field: str = ""
    where: str = ""
    delay_s: int = 0
    each: bool = False

    def fingerprint(self) -> tuple[Any, ...]:
        """What state belongs to: the same fingerprint, the same state, whatever the name or the desk."""
        return (self.fold, self.by, self.field, self.where, self.span_s, self.delay_s, self.of, self.each)


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """One window over another, by name; missing where either is missing or the lower one is 0."""

    name: str
    over: str
    under: str


class Measure(StrEnum):
    """What a series measures in each bucket."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    RATIO = "ratio"
    """Share of the events that also pass ``hit``."""
    QUANTILE = "quantile"
    """The value of rank ceil(quantile * n): exact up to 64 values in a bucket, beyond within 1 %."""
    DISTINCT = "distinct"


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One KPI over time, in buckets closed by event time.

    A bucket [k*b, (k+1)*b) of events' own times closes when tau reaches its end plus ``grace_s``; a later arrival
    (up to 5 minutes) revises the stored bucket and is counted. Empty buckets close too (count 0, ratio missing),
    from the series' first event on; a key silent for ``keep`` buckets is dropped.

    ``hurts`` is the direction that is bad (``up``, ``down``, ``both``); ``unit`` names the value's unit and ``worth``
    is what one unit of deviation costs, in minor units of the shop's currency.
    """

    name: str
    measure: Measure
    of: tuple[str, ...]
    bucket_s: int
    field: str = ""
    where: str = ""
    hit: str = ""
    by: str = ""
    """Field whose value splits the series (``gateway``); empty for one line per shop."""
    quantile: float = 0.99
    grace_s: int = 2
    keep: int = 2880
    hurts: str = "both"
    unit: str = "events"
    worth: int = 0


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """B must follow A within T for the same key.

    ``after`` events arm it (again: re-arming keeps the first due time), ``must`` and ``cancel`` events disarm it.
    The miss is reported at exactly tau = armed tau + T, before the next event.
    """

    name: str
    key: str
    after: tuple[str, ...]
    must: tuple[str, ...]
    within_s: int
    after_where: str = ""
    must_where: str = ""
    cancel: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CEL expression over the event and its features, with verdict and reason.

    In ``when``: ``event.type``, ``event.time``, ``event.subject``, ``data.<field>``, ``features.<window>``, ``score``
    (of the desk's model), ``in_list(name, value)``, ``in_cidr(list_name, ip)``. A rule that ends in an error does not
    fire and is counted by cause.
    """

    id: str
    when: str
    decision: Decision
    code: str
    text: Text
    on: tuple[str, ...] = ()
    """Event types it looks at; empty means all that its desk reads."""
    mode: Mode = Mode.SHADOW
    desk: str = ""
    ttl_s: int = 900
    note: str = ""


class Novel(msgspec.Struct, frozen=True, kw_only=True):
    """What a desk calls unusual: windows whose values are learned online, for events of these types.

    A desk that has an attribute ``novel`` of this kind finds the feature ``novelty`` beside its windows, in [0, 1],
    near 1 for what the shop's last events were not like; missing for a shop's first 250. It is learned in the order of
    the journal, each event after it was scored.
    """

    of: tuple[str, ...]
    features: tuple[str, ...]


NOVELTY = "novelty"
"""The feature that ``Novel`` makes."""


class Column(msgspec.Struct, frozen=True):
    """Values with their present mask: ``values`` float64 or object [n], ``present`` bool [n]."""

    values: np.ndarray
    present: np.ndarray


class Batch(Protocol):
    """A slice of the stream as columns: ``n`` rows in the order of their seq."""

    n: int
    events: Sequence[Event]

    def column(self, name: str) -> Column:
        """Return a field of data as numbers (float64; booleans 0/1) with its present mask."""
        ...

    def texts(self, name: str) -> Sequence[str | None]:
        """Return a field of data as strings, None where it is missing or no string."""
        ...

    def of_type(self, *names: str) -> np.ndarray:
        """Return the bool mask [n] of the rows of these event types."""
        ...


class Features(Protocol):
    """The windows of a desk, row by row with the batch."""

    def __getitem__(self, name: str) -> Column:
        """Return the feature of that declared name."""
        ...

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """Return float64 [n, len(names)] with NaN where a value is missing."""
        ...


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a desk says of a batch. Arrays are aligned with its rows; NaN score: not scored.

    ``reasons`` holds reasons only for rows worth explaining (row number -> reasons); ``decisions`` only for rows that
    the desk itself would not simply allow (row number -> decision); ``features`` what to journal with a verdict.
    """

    scores: np.ndarray
    decisions: Mapping[int, Decision] = {}
    reasons: Mapping[int, tuple[Reason, ...]] = {}
    signals: Sequence[tuple[int, Signal]] = ()
    """(row, signal): the row that caused it."""
    model: str = ""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """One closed bucket of one series with the buckets before it.

    ``start`` in microseconds; ``value`` NaN where the measure is missing; ``n`` events in it. ``history`` and
    ``history_n`` are float64 arrays of the earlier closed buckets, oldest first, at most ``keep``, without gaps.
    ``factor`` is the campaign's expected uplift at its start.
    """

    series: Series
    key: str
    shop: str
    start: int
    tau: int
    value: float
    n: int
    history: np.ndarray
    history_n: np.ndarray
    factor: float = 1.0
    currency: str = ""
    campaign: Campaign | None = None


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """One missed deadline: armed by ``event`` (its seq and data as they were), due at ``due``."""

    deadline: Deadline
    key: str
    shop: str
    armed: int
    due: int
    event: Event


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """Matured labels with the features that were served: the only thing a desk learns from.

    ``x`` float64 [n, k] (NaN missing) with ``names`` [k]; ``y`` bool [n]; ``time`` int64 [n]; ``amount`` int64 [n],
    minor units; ``entity`` object [n], the card or account of each row, for splits.
    """

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    time: np.ndarray
    amount: np.ndarray
    entity: np.ndarray


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A learned model and its figures: ``artefact`` are the bytes that ``with_model`` reads, ``card`` plain JSON."""

    desk: str
    artefact: bytes
    card: dict[str, Any]


@runtime_checkable
class Desk(Protocol):
    """One domain's knowledge. All members in this order; see the module's docstring and docs/write-a-desk.md."""

    name: str
    version: int
    reads: tuple[str, ...]
    windows: tuple[Window | Ratio, ...]
    series: tuple[Series, ...]
    deadlines: tuple[Deadline, ...]
    rules: tuple[Rule, ...]
    kinds: Mapping[str, Text]
    """Signal kinds that it may send, with their titles in both languages."""

    def judge(self, batch: Batch, features: Features) -> Judgement:
        """Return scores, decisions, reasons and signals; pure, vectorised, no row looks at another."""
        ...

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        """Return the signals of closed buckets."""
        ...

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        """Return the signals of missed deadlines."""
        ...

    def learn(self, labelled: Labelled) -> Candidate | None:
        """Return a candidate model with its figures, or None where the desk has no model; never mutates the desk."""
        ...

    def with_model(self, artefact: bytes | None) -> Desk:
        """Return the same desk with that model loaded (None: without one)."""
        ...

    def playbooks(self) -> Sequence[Playbook]:
        """Return the playbooks that stand beside the desk."""
        ...
