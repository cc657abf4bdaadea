"""Streams and small desks for the tests of the fold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tocsin.core.desk import Bucket, Deadline, Judgement, Miss, Rule, Series, Window
from tocsin.core.events import SECOND, Event
from tocsin.core.signal import Decision, Signal, Text, signal_id
from tocsin.flow.fold import Fold, Folded

T0 = 1_700_000_000 * SECOND
TEXT = Text("a", "一")


def event(seq: int, kind: str, tau: int, *, time: int | None = None, shop: str = "s", **data: Any) -> Event:
    """Return a stamped event; ``tau`` in microseconds after ``T0``."""
    own = T0 + tau if time is None else T0 + time
    return Event(id=f"e{seq}", source="t", type=kind, time=own, tau=T0 + tau, seq=seq, shop=shop, data=data)


class Probe:
    """A desk that scores a row by its first feature and says every bucket and miss as a signal."""

    version = 1
    kinds: dict[str, Text] = {}

    def __init__(
        self,
        name: str = "probe",
        reads: tuple[str, ...] = ("payment.attempted",),
        windows: Sequence[Window] = (),
        series: Sequence[Series] = (),
        deadlines: Sequence[Deadline] = (),
        rules: Sequence[Rule] = (),
        limit: float = 3.0,
        fails: Callable[[Event], bool] | None = None,
    ) -> None:
        self.name, self.reads = name, reads
        self.windows, self.series, self.deadlines, self.rules = map(tuple, (windows, series, deadlines, rules))
        self.limit, self.fails, self.model = limit, fails, "built-in"

    def judge(self, batch: Any, features: Any) -> Judgement:
        if self.fails and any(self.fails(event) for event in batch.events):
            raise ArithmeticError("no")
        if not self.windows:
            return Judgement(scores=np.full(batch.n, np.nan))
        values = features[self.windows[0].name].values
        over = np.flatnonzero(values > self.limit).tolist()
        signals = [
            (row, self._signal("many", batch.events[row].shop, str(batch.events[row].data), batch.events[row].tau))
            for row in over
        ]
        return Judgement(
            scores=values / 100, decisions=dict.fromkeys(over, Decision.HOLD), signals=signals, model=self.model
        )

    def closed(self, buckets: Sequence[Bucket]) -> list[Signal]:
        return [self._signal("bucket", b.shop, f"{b.series.name}/{b.key}", b.start) for b in buckets if b.n]

    def missed(self, misses: Sequence[Miss]) -> list[Signal]:
        return [self._signal("missed", miss.shop, f"order:{miss.key}", miss.armed) for miss in misses]

    def learn(self, labelled: Any) -> None:
        return None

    def with_model(self, artefact: bytes | None) -> Probe:
        twin = Probe(
            self.name,
            self.reads,
            self.windows,
            self.series,
            self.deadlines,
            self.rules,
            float(artefact or b"3"),
            self.fails,
        )
        twin.model = (artefact or b"none").decode()
        return twin

    def playbooks(self) -> tuple[()]:
        return ()

    def _signal(self, kind: str, shop: str, subject: str, onset: int) -> Signal:
        return Signal(
            id=signal_id(self.name, kind, shop, subject, onset),
            desk=self.name,
            kind=kind,
            shop=shop,
            subject=subject,
            score=1.0,
            onset=onset,
            tau=onset,
        )


def folded(fold: Fold, events: Sequence[Event], cuts: Sequence[int] = ()) -> Folded:
    """Fold a stream cut at these places, and return all output as if it were one step (indexes of the whole)."""
    whole = Folded(rows=[], signals=[], buckets=[], faults=[])
    edges = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        part = fold.step(events[start:stop])
        whole.rows.extend(row.__replace__(index=row.index + start) for row in part.rows)
        whole.signals.extend(part.signals)
        whole.buckets.extend(part.buckets)
        whole.misses += part.misses
        whole.faults.extend(part.faults)
    return whole


def plain(output: Folded) -> tuple[Any, ...]:
    """Return all output in a form that compares."""
    return (
        [repr(row) for row in output.rows],
        output.signals,
        [(b.series.name, b.shop, b.currency, b.key, b.start, b.tau, repr(b.value), b.n, repr(b.history.tolist()),
          b.history_n.tolist(), b.factor) for b in output.buckets],
        output.misses,
        output.faults,
    )  # fmt: skip
