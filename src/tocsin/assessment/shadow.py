"""The whole loop over events in shadow, on the data's clock: fold, triage, plan, guard, and nothing is done.

A file's events are put in the order of their time through a buffer of ``REORDER`` events; an event that comes later
than that keeps its own time and counts from tau, as at any door.
"""

from __future__ import annotations

import copy
import heapq
import itertools
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.action import Action, ActionState, Answer
from tocsin.core.events import DAY, ID_MEMORY, MINUTE, SECOND, Event, stamp_tau
from tocsin.core.guard import GuardState, guard
from tocsin.core.incident import Moment, advance
from tocsin.core.plan import plan
from tocsin.core.signal import Decision, Text
from tocsin.core.triage import triage
from tocsin.core.vocabulary import entities_of
from tocsin.errors import BadEvent, Conflict, Misconfigured
from tocsin.flow.cel import INCIDENT, compile_expression
from tocsin.flow.fold import Fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tocsin.core.action import Ruling
    from tocsin.core.desk import Desk
    from tocsin.core.incident import Incident
    from tocsin.core.playbook import Playbook
    from tocsin.core.signal import Signal
    from tocsin.flow.fold import Folded
    from tocsin.sources.door import Door
    from tocsin.sources.refusals import Refusals

REORDER = 200_000
BATCH = 1024
LOOK = 50_000
"""Events that are looked at before the fold begins, to see whether their rate can be watched at all."""
MOST_BUCKETS = 20_000
MOST_VERDICTS = 10_000
MOST_SUBJECTS = 500_000

Placed = tuple[str, int, Event]
"""(file, line, admitted event)."""


def admitted(
    name: str, documents: Iterable[tuple[int, dict[str, Any]]], door: Door, refusals: Refusals, counts: Counter[str]
) -> Iterator[Placed]:
    """Yield the events of one source in the order of their time; what the door refuses is added to ``refusals``."""
    heap: list[tuple[int, int, Event]] = []
    seen: deque[tuple[int, tuple[str, str]]] = deque()
    known: set[tuple[str, str]] = set()
    newest = 0
    for line, document in documents:
        try:
            event = door.admit(document, now=0, live=False)
        except BadEvent as error:
            refusals.add(line, error.reason, error.code, error.field)
            continue
        if event.identity in known:
            counts["duplicates"] += 1
            continue
        known.add(event.identity)
        newest = max(newest, event.time)
        seen.append((newest, event.identity))
        while seen[0][0] < newest - ID_MEMORY:
            known.discard(seen.popleft()[1])
        heapq.heappush(heap, (event.time, line, event))
        if len(heap) > REORDER:
            _, first, event = heapq.heappop(heap)
            yield name, first, event
    while heap:
        _, first, event = heapq.heappop(heap)
        yield name, first, event


class Shadow:
    """One run of the loop; ``run`` once, then read what it found."""

    def __init__(self, desks: Sequence[Desk], *, currency: str = "CNY", batch: int = BATCH) -> None:
        self._batch = batch
        self._desks = list(desks)
        self._currency = currency
        self._fold = Fold(desks, currency=currency)
        self._kinds: dict[str, Text] = {kind: text for desk in desks for kind, text in desk.kinds.items()}
        self._playbooks: list[Playbook] = [playbook for desk in desks for playbook in desk.playbooks()]
        self._tau = 0
        self._seq = 0
        self._where: dict[str, list[Any]] = {}
        self.signals: list[Signal] = []
        self.incidents: dict[str, Incident] = {}
        self.actions: dict[str, Action] = {}
        self.rulings: dict[str, Ruling] = {}
        self.verdicts: list[dict[str, Any]] = []
        self.decisions: Counter[str] = Counter()
        self.by_type: Counter[str] = Counter()
        self.notes: list[Text] = []
        self.late = 0
        self.first: int | None = None
        self.last: int | None = None

    def run(self, placed: Iterable[Placed]) -> None:
        """Fold all events (ascending in time), then fire what is due within a minute of the last one."""
        stream = iter(placed)
        head = list(itertools.islice(stream, LOOK))
        if _sparse(head):
            self._fold = Fold([_unwatched(desk) for desk in self._desks], currency=self._currency)
            days = (head[-1][2].time - head[0][2].time) // DAY
            self.notes.append(
                Text(
                    f"{len(head):,} events over {days:,} days are too few for series: rates were not watched",
                    f"{days:,} 天内仅 {len(head):,} 个事件，不足以构成序列：未监测速率",
                )
            )
        batch: list[Placed] = []
        for one in itertools.chain(head, stream):
            batch.append(one)
            if len(batch) == self._batch:
                self._step(batch)
                batch = []
        if batch:
            self._step(batch)
        if self._seq:
            self._take(self._fold.advance(self._tau + MINUTE), [])

    def _step(self, batch: Sequence[Placed]) -> None:
        events = []
        for name, line, event in batch:
            self._seq += 1
            self.late += event.time < self._tau
            self._tau = stamp_tau(event.time, event.time, self._tau)
            stamped = msgspec.structs.replace(event, seq=self._seq, tau=self._tau)
            events.append(stamped)
            self.by_type[event.type] += 1
            self.first = event.time if self.first is None else min(self.first, event.time)
            self.last = event.time if self.last is None else max(self.last, event.time)
            for entity, key in entities_of(event.data).items():
                self._note(f"{entity}:{key}", name, line)
        self._take(self._fold.step(events), batch)

    def _note(self, subject: str, name: str, line: int) -> None:
        seen = self._where.get(subject)
        if seen is not None:
            seen[0] += 1
            if name == seen[1]:
                seen[2], seen[3] = min(seen[2], line), max(seen[3], line)
        elif len(self._where) < MOST_SUBJECTS:
            self._where[subject] = [1, name, line, line]

    def _take(self, folded: Folded, batch: Sequence[Placed]) -> None:
        for fault in folded.faults:
            self.notes.append(
                Text(
                    f"desk {fault.desk} failed and was left out: {fault.error}",
                    f"席位 {fault.desk} 出错，已停用：{fault.error}",
                )
            )
        for row in folded.rows:
            answer = max(row.computed, row.shadow, key=lambda decision: decision.rank)
            self.decisions[answer.value] += 1
            if answer is not Decision.ALLOW and len(self.verdicts) < MOST_VERDICTS:
                name, line, event = batch[row.index]
                self.verdicts.append(
                    {
                        "file": name,
                        "line": line,
                        "event": event.id,
                        "time": event.time,
                        "decision": answer.value,
                        "score": row.score,
                        "rules": list(row.rules),
                        "reasons": msgspec.to_builtins(row.reasons),
                        "state": "suggested",
                    }
                )
        # Each signal is answered at its own time, so that the report does not depend on where batches are cut.
        for signal in folded.signals:
            self.signals.append(signal)
            incident = triage(signal, list(self.incidents.values()), self._kinds)
            self.incidents[incident.id] = incident
            self._answer(incident, max(signal.tau, incident.updated))

    def _answer(self, incident: Incident, now: int) -> None:
        for playbook in self._playbooks:
            try:
                wishes = plan(incident, [playbook], _holds, now)
            except Misconfigured as error:
                self.notes.append(Text(str(error), f"预案有误：{error}"))
                continue
            for wish in wishes:
                if wish.id not in self.actions:
                    self.actions[wish.id] = self._ruled(wish, now)

    def _ruled(self, wish: Action, now: int) -> Action:
        """Return the wish as the guard leaves it in a new installation, where everything stands in suggest."""
        on_target = [action for action in self.actions.values() if action.target == wish.target]
        ruling = guard(wish, GuardState(now=now, live_on_target=on_target))
        self.rulings[wish.id] = ruling
        state = ActionState.DENIED if ruling.answer is Answer.DENY else ActionState.SUGGESTED
        try:
            moment = Moment(
                time=now, what="ruling", ref=wish.id, detail={"answer": ruling.answer.value, "verb": wish.verb}
            )
            incident = self.incidents[wish.incident]
            self.incidents[wish.incident] = advance(incident, incident.phase, moment)
        except Conflict as error:
            self.notes.append(Text(str(error), f"无法记录：{error}"))
        return msgspec.structs.replace(wish, state=state)

    def where(self, subject: str) -> dict[str, Any] | None:
        """Return how many events name the subject, and the first file with the lines of them."""
        seen = self._where.get(subject)
        return (
            None if seen is None else {"events": seen[0], "file": seen[1], "first_line": seen[2], "last_line": seen[3]}
        )


def _sparse(head: Sequence[Placed]) -> bool:
    """Return whether series make no sense: hardly an event in a hundred of the buckets, and very many buckets."""
    if len(head) < 2:
        return False
    buckets = (head[-1][2].time - head[0][2].time) // (10 * SECOND)
    return buckets > MOST_BUCKETS and buckets > 100 * len(head)


def _unwatched(desk: Desk) -> Desk:
    """Return the same desk without its series."""
    bare = copy.copy(desk)
    bare.series = ()
    return bare


def _holds(text: str, incident: Incident) -> bool:
    """Return whether a playbook's condition holds; one that ends in an error does not."""
    return bool(compile_expression(text, INCIDENT).one({"incident": msgspec.to_builtins(incident)}))
