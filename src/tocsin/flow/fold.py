"""Fold: one step of the data plane. Stamped events in, rows (scores and decisions), signals and buckets out.

Before each event run the wake-ups due at or before its tau (buckets that close, deadlines that are missed), with
their due time; then the event enters the windows and reads them; then the desks judge and the rules run. Windows,
desks and rules are pure by row, so a slice between two configuration events is computed as columns, and the results
are put in the order of their causes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.events import DAY
from tocsin.core.signal import Mode
from tocsin.errors import Misconfigured, TocsinError
from tocsin.flow.answers import Answers
from tocsin.flow.control import CAMPAIGN, CONTROL, Campaigns, change_list, change_mode, model_of
from tocsin.flow.engine import engine
from tocsin.flow.house import House
from tocsin.flow.lists import Lists
from tocsin.flow.outputs import Fault, Folded, Row, Scored
from tocsin.flow.rules import RuleSet, fired
from tocsin.flow.run import Run
from tocsin.flow.seats import Seat, guarded, judge_until, woken

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from tocsin.core.desk import Bucket, Deadline, Desk, Miss, Rule, Series
    from tocsin.core.events import Event
    from tocsin.flow.batch import FeatureTable, PlainBatch
    from tocsin.flow.hashing import Hasher

__all__ = ["Fault", "Fold", "Folded", "Row", "Scored"]
LOG_EVENTS = 32_000_000
TOLD_MEMORY = 7 * DAY
"""How long the identity of a signal is remembered: it is given out once in that time."""


class Fold:
    """The state of all desks over one stream; its output is a function of the stream, however it is cut.

    Parameters
    ----------
    desks
        In the order in which they speak.
    rules
        Stored rules; one with the id of a desk's rule replaces it. Misconfigured names the rule that is wrong.
    currency
        What amounts count in where an event names no currency.
    load_model
        Digest -> artefact, for ``tocsin.model`` events that do not carry theirs.
    hasher
        Hashes keys under the installation's seed.
    wide
        Whether the compiled plane computes (None: where it can). The values are the same.
    log_events
        How many events the compiled plane's exact windows reach back at most.
    """

    def __init__(
        self,
        desks: Sequence[Desk],
        *,
        rules: Sequence[Rule] = (),
        currency: str = "CNY",
        load_model: Callable[[str], bytes] | None = None,
        hasher: Hasher | None = None,
        wide: bool | None = None,
        log_events: int = LOG_EVENTS,
    ) -> None:
        self.seats = {desk.name: Seat(desk) for desk in desks}
        self.rules = RuleSet(desks, rules)
        self.engine = engine(currency, hasher, wide=wide, log_events=log_events)
        self.windows = self.engine.windows
        self.tracks = self.engine.tracks
        self.deadlines = self.engine.deadlines
        self.campaigns = Campaigns()
        self.lists = Lists()
        self.tau = 0
        self._load = load_model
        self._counters: Counter[str] = Counter()
        self.told: dict[str, int] = {}
        self._watchers: dict[Series | Deadline, list[str]] = {}
        for desk in desks:
            watched: tuple[Series | Deadline, ...] = (*desk.series, *desk.deadlines)
            for one in watched:
                self._watchers.setdefault(one, []).append(desk.name)
            self.windows.declare(desk.windows, desk.reads)
            self.tracks.declare(desk.series)
            self.deadlines.declare(desk.deadlines)
        self.house = House(desks, self.engine, self.rules)

    def own_counters(self) -> dict[str, int]:
        """Return the counts that are the fold's own: those of windows and series lie with them."""
        return dict(self._counters)

    def restore_counters(self, counters: Mapping[str, int]) -> None:
        """Take up what ``own_counters`` returned."""
        self._counters.update(counters)

    def artefact(self, digest: str) -> bytes | None:
        """Return a model's artefact by its digest; Misconfigured where there is no store."""
        return model_of({"digest": digest}, self._load)

    @property
    def counters(self) -> dict[str, int]:
        """Rule hits, errors by cause, late and revised entries of series, since the start."""
        return dict(self._counters + self.windows.counters + self.tracks.counters)

    def step(self, events: Sequence[Event], features_for: Collection[int] = ()) -> Folded:
        """Fold stamped events, seq and tau ascending; a row is returned for every index in ``features_for``."""
        folded = Folded()
        asked = sorted(features_for)
        start = 0
        for stop in self._cuts(events):
            batch = self.engine.batch(events[start:stop])
            self._slice(batch, start, [row - start for row in asked if start <= row < stop], folded, bulk=False)
            self._configure(events[stop - 1], folded)
            start = stop
        return folded

    def step_bulk(self, batch: PlainBatch) -> Folded:
        """Fold stamped rows from outside for whose answers nobody waits.

        Rows that are scored and allowed are given back as columns (``Folded.scored``), all others as ``Row``.
        """
        folded = Folded()
        if batch.n:
            self._slice(batch, 0, (), folded, bulk=True)
        return folded

    def step_asked(self, batch: PlainBatch) -> Folded:
        """Fold stamped rows from outside (at least one) whose callers wait: each is given back as a ``Row``."""
        folded = Folded()
        self._slice(batch, 0, range(batch.n), folded, bulk=False)
        return folded

    def advance(self, tau: int) -> Folded:
        """Fire what is due at or before ``tau`` while no event comes."""
        folded = Folded()
        run = Run()
        self._wake(tau, 0, folded, run)
        self.tau = max(self.tau, tau)
        self._finish(run, folded)
        return folded

    def next_wake(self) -> int | None:
        """Return the tau at which the next series closes or deadline is missed, or None while nothing is due."""
        return self._due()

    def budget_factor(self, shop: str, time: int) -> float:
        """Return the factor on the guard's budgets that the running campaign asks for; 1.0 without one."""
        _, campaign = self.campaigns.at(shop, time)
        return campaign.budget_factor if campaign is not None else 1.0

    def digest(self) -> str:
        """Return the hash of all state that can still matter: equal for folds of equal streams on one plane."""
        told = sorted((name, tau) for name, tau in self.told.items() if tau > self.tau - TOLD_MEMORY)
        parts: list[Any] = [
            self.tau,
            self.windows.digest(),
            [track.canonical() for track in self.tracks.tracks.values()],
            self.deadlines.canonical(),
            self.campaigns.canonical(self.tau),
            self.lists.canonical(self.tau),
            self.rules.canonical(),
            self.house.canonical(),
            [seat.canonical() for seat in self.seats.values()],
            told,
        ]
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    @staticmethod
    def _cuts(events: Sequence[Event]) -> Iterator[int]:
        """Yield the ends of slices: after every configuration event, and the end."""
        for row, event in enumerate(events, 1):
            if event.type in CONTROL or row == len(events):
                yield row

    def _slice(self, batch: PlainBatch, offset: int, asked: Sequence[int], folded: Folded, *, bulk: bool) -> None:
        """Fold events between which no configuration changes."""
        run = Run()
        columns = self.windows.step(batch)
        self._timeline(batch, folded, run)
        answers = Answers(batch.n)
        for name, seat in self.seats.items():
            rows = np.flatnonzero(batch.of_type(*seat.base.reads))
            if len(rows):
                part = batch.pick(rows)
                table = self.windows.table(seat.base.windows, columns, batch.n).pick(rows)
                table = seat.unusual(part, table)
                self._hear(name, seat, part, table, rows, answers, run)
        house = self.rules.by_desk.get("", ())
        if house:
            table = self.windows.table(self.house.windows, columns, batch.n)
            for ready, hits in fired(house, batch, table, answers.scores, self.lists, self._counters):
                answers.ruled(ready, hits)
        folded.rows.extend(answers.rows(asked, offset, bulk=bulk))
        if bulk:
            folded.scored.extend(answers.scored_only())
        self.tau = int(self.engine.taus(batch)[-1])
        self._finish(run, folded)

    def _hear(
        self,
        name: str,
        seat: Seat,
        part: PlainBatch,
        table: FeatureTable,
        rows: np.ndarray,
        answers: Answers,
        run: Run,
    ) -> None:
        """Let one desk and its rules speak of its rows of the slice."""
        judged = None
        if seat.mode is not Mode.OFF and not seat.out:
            open_ = sum(run.before_fault(name, (row, 1)) for row in rows.tolist()) if name in run.faults else part.n
            judged, failed, error = judge_until(seat.live, part, table, open_)
            if failed is not None:
                run.fail(name, (int(rows[failed]), 1), error)
        answers.seat(name, judged.model if judged else "", rows, table)
        if judged is not None:
            run.said.extend(((int(rows[at]), 1), part.events[at].tau, name, signal) for at, signal in judged.signals)
            answers.scored(judged)
            answers.decided(judged, live=seat.mode is Mode.LIVE)
        if seat.shadow is not None and seat.mode is not Mode.OFF and not seat.out:
            beside, failed, error = judge_until(seat.shadow, part, table, part.n)
            answers.decided(beside, live=False)
            if failed is not None:
                run.fail(f"{name}:shadow", (int(rows[failed]), 1), error)
        scores = judged.scores if judged is not None else np.full(part.n, np.nan)
        for ready, hits in fired(self.rules.by_desk.get(name, ()), part, table, scores, self.lists, self._counters):
            answers.ruled(ready, rows[hits].tolist())

    def _timeline(self, batch: PlainBatch, folded: Folded, run: Run) -> None:
        """Run series and deadlines through the rows, each preceded by its wake-ups."""
        taus = self.engine.taus(batch)
        planned = np.flatnonzero(batch.of_type(CAMPAIGN)).tolist()
        row = 0
        while row < batch.n:
            self._wake(int(taus[row]), row, folded, run)
            if planned and planned[0] == row:
                self.campaigns.plan(batch.events[planned.pop(0)])
            row = self.engine.enter(batch, row, planned[0] if planned else batch.n, self._counters)

    def _due(self) -> int | None:
        dues = [due for due in (self.tracks.due(), self.deadlines.due()) if due is not None]
        return min(dues, default=None)

    def _wake(self, tau: int, row: int, folded: Folded, run: Run) -> None:
        """Run the wake-ups due at or before ``tau`` in their order; at one instant series come before deadlines."""
        while (due := self._due()) is not None and due <= tau:
            deadline = self.deadlines.due()
            # Before the next deadline nothing but series is due: a quiet stretch closes in one go.
            quiet = tau if deadline is None else min(tau, deadline - 1)
            for at, buckets in self.tracks.closing(quiet, self.campaigns.at):
                self._tell(at, buckets, (), row, folded, run)
            if deadline is not None and deadline <= tau:
                buckets = self.tracks.close(deadline, self.campaigns.at)
                self._tell(deadline, buckets, self.deadlines.close(deadline), row, folded, run)

    def _tell(
        self, due: int, buckets: Sequence[Bucket], misses: Sequence[Miss], row: int, folded: Folded, run: Run
    ) -> None:
        """Let the desks hear what closed and what was missed at one instant."""
        folded.buckets.extend(buckets)
        folded.misses += len(misses)
        heard: dict[str, tuple[list[Bucket], list[Miss]]] = {}
        for bucket in buckets:
            for name in self._watchers[bucket.series]:
                heard.setdefault(name, ([], []))[0].append(bucket)
        for miss in misses:
            for name in self._watchers[miss.deadline]:
                heard.setdefault(name, ([], []))[1].append(miss)
        for name, seat in self.seats.items():
            if name in heard and seat.mode is not Mode.OFF and not seat.out and name not in run.faults:
                signals, error = woken(seat.live, *heard[name])
                run.said.extend(((row, 0), due, name, signal) for signal in signals)
                if error:
                    run.fail(name, (row, 0), error)

    def _finish(self, run: Run, folded: Folded) -> None:
        """Give out the signals in the order of their cause, each identity once; leave out the desks that failed."""
        for place, tau, desk, signal in sorted(run.said, key=lambda said: said[0]):
            if not run.before_fault(desk, place):
                continue
            told = self.told.get(signal.id)
            if told is None or told <= tau - TOLD_MEMORY:
                self.told.pop(signal.id, None)
                self.told[signal.id] = tau
                folded.signals.append(signal)
        while self.told and (oldest := next(iter(self.told))) and self.told[oldest] <= self.tau - TOLD_MEMORY:
            del self.told[oldest]
        for desk, (_, error) in sorted(run.faults.items(), key=lambda fault: fault[1][0]):
            folded.faults.append(Fault(desk, error))
            name, _, shadow = desk.partition(":")
            if shadow:
                self.seats[name].shadow = None
            else:
                self.seats[name].out = True

    def _configure(self, event: Event, folded: Folded) -> None:
        """Apply a configuration event; what it gets wrong is reported, and nothing changes."""
        if event.type not in CONTROL:
            return
        data = event.data
        try:
            if event.type == "tocsin.rules":
                folded.faults.extend(Fault("rules", error) for error in self.rules.replace(data.get("rules")))
            elif event.type == "tocsin.list":
                change_list(data, self.lists)
                self.lists.sweep(event.tau)
            elif event.type == "tocsin.mode":
                change_mode(data, self.seats)
            elif event.type == "tocsin.windows":
                self.house.declare(data.get("windows"))
            elif event.type == "tocsin.warm":
                self.house.adopt(data.get("windows"), event.seq)
            else:
                self._put_model(data)
        except TocsinError as error:
            folded.faults.append(Fault(event.type.removeprefix("tocsin."), str(error)))

    def _put_model(self, data: dict[str, Any]) -> None:
        """Apply tocsin.model; a desk of another process is not ours to change."""
        seat = self.seats.get(str(data.get("desk", "")))
        if seat is not None:
            artefact = model_of(data, self._load)
            digest, stage = str(data.get("digest", "")), str(data.get("stage", "live"))
            _, error = guarded(lambda: seat.put_model(digest, stage, artefact))
            if error:
                raise Misconfigured(f"{seat.base.name} cannot run model {digest!r}: {error}")
