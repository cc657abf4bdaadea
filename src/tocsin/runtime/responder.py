"""Responder: the only writer of incidents and actions. Plan, guard, record, actuate, record, verify, keep or undo.

Everything that changes a case happens in one thread, in the order in which it was put into the queue: signals, receipts
of actuators, people's commands, and time. Actuators run in their own small pools, so one stuck run blocks nobody. A
ruling and its action are committed before the actuator is called; after a crash between the two the same action is done
again under the same idempotency key, so the shop sees it once.
"""

from __future__ import annotations

import heapq
import logging
import queue
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.action import Action, ActionState, Effect, Receipt
from tocsin.core.effect import judge_effect
from tocsin.core.events import MINUTE, SECOND, Event, derived_id
from tocsin.core.incident import Incident, Phase
from tocsin.core.plan import plan
from tocsin.core.signal import Signal, Text
from tocsin.core.triage import triage
from tocsin.errors import Conflict, Misconfigured, Retryable, TocsinError
from tocsin.runtime.casebook import lasting
from tocsin.runtime.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.core.playbook import Playbook
    from tocsin.core.ports import Actuator, Records
    from tocsin.runtime.casebook import Casebook
    from tocsin.runtime.feed import Feed

MOST_ATTEMPTS = 5
BACKOFF_S = (1, 2, 5, 15)
QUIET_TO_MONITOR = 3 * MINUTE
QUIET_TO_RESOLVE = 15 * MINUTE
LEVEL_SPAN = 5 * MINUTE
"""How far back the level of a series is read before an action."""
LEAST_SPAN = 30 * SECOND
"""An answer faster than this still needs some closed buckets to compare with."""
PAUSE_S = 0.5
"""Between two tries to write what the records did not take."""
REST_S = 60.0
"""So often the cursor moves where nothing is to be answered: a start reads the journal from there on."""
log = logging.getLogger(__name__)


class Responder:
    """Answers signals. ``levels(series, shop, start, end)`` returns the closed values of a series, oldest first."""

    def __init__(
        self,
        casebook: Casebook,
        records: Records,
        *,
        kinds: Mapping[str, Text],
        playbooks: Callable[[], Sequence[Playbook]],
        conditions: Callable[[str, Incident], bool],
        actuators: Sequence[Actuator],
        reveal: Callable[[Action], Mapping[str, str]],
        levels: Callable[[str, str, int, int], Sequence[float]],
        emit: Callable[[list[Event]], None],
        feed: Feed,
        now: Callable[[], int],
    ) -> None:
        self.book = casebook
        self.faults: dict[str, str] = {}
        """Playbooks and actuators that could not be used, with the reason; shown to people."""
        self._records = records
        self._kinds = kinds
        self._playbooks = playbooks
        self._conditions = conditions
        self._hands = Hands(actuators, reveal, self._back)
        self._levels = levels
        self._emit = emit
        self._feed = feed
        self._now = now
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any] | None, Future[Any] | None]] = queue.SimpleQueue()
        self._under_way: set[tuple[str, str]] = set()
        self._stopping = False
        self._stale = False
        self._left_out = False
        """Whether a signal was given up: the cursor does not rest behind it."""
        self._reached = self._moved = 0
        self._rested = time.monotonic()
        self._timers: list[tuple[int, str, str]] = []
        self._barriers: list[Future[None]] = []
        self._due: list[tuple[Action, str]] = []
        self._thread = threading.Thread(target=self._run, name="responder", daemon=True)

    # Doors, callable from any thread ----------------------------------------------------------------------------

    def take(self, signals: Sequence[tuple[int, Signal]], now: int) -> None:
        """Take (journal seq, signal) pairs in journal order; returns at once."""
        if signals:
            taken = list(signals)
            self._queue.put((lambda: self._answer(taken, now), None))

    def reach(self, seq: int) -> None:
        """Hear that all signals up to this journal seq have been taken; a quiet cursor follows within ``REST_S``."""
        self._reached = seq

    def barrier(self) -> Future[None]:
        """Return a future that is done when all taken before is answered and no actuator is under way."""
        done: Future[None] = Future()
        self._queue.put((lambda: self._barriers.append(done), None))
        return done

    def approve(self, action_id: str, who: str) -> Future[Action]:
        """A person says yes: the guard rules again with that; Conflict where it still may not be."""
        return self._command(lambda: self._approve(action_id, who))

    def deny(self, action_id: str, who: str) -> Future[Action]:
        """A person says no."""
        return self._command(lambda: self._deny(action_id, who))

    def undo(self, action_id: str, who: str) -> Future[Action]:
        """A person takes a done action back."""
        return self._command(lambda: self._undo_by(action_id, who))

    def label(self, incident_id: str, label: str, who: str, note: str = "") -> Future[Incident]:
        """A person says what it was; a false alarm is dismissed and its effects are undone."""
        return self._command(lambda: self._label(incident_id, label, who, note))

    def phase(self, incident_id: str, phase: str, who: str, note: str = "") -> Future[Incident]:
        """A person moves an incident on."""
        return self._command(
            lambda: self.book.phase(self.book.incident(incident_id), Phase(phase), self._now(), who, note)
        )

    def start(self) -> None:
        """Take up what a stop left half-way, then begin to answer."""
        for action in list(self.book.actions.values()):
            if action.state is ActionState.DUE:
                self._call(action, "do")
            elif action.state is ActionState.UNDOING:
                self._call(action, "undo")
            elif action.state is ActionState.DONE:
                self._set_timers(action)
        self._thread.start()

    def stop(self) -> None:
        """Answer what was taken, then end; calls under way are taken up again at the next start."""
        self._stopping = True
        self._queue.put((None, None))
        if self._thread.is_alive():
            self._thread.join()
        self._hands.stop()

    @property
    def stopped(self) -> bool:
        """Whether the thread ended, by order or by a fault: nothing is answered any more."""
        return self._thread.ident is not None and not self._thread.is_alive()

    # The thread -------------------------------------------------------------------------------------------------

    def _command(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._queue.put((work, future))
        return future

    def _run(self) -> None:
        while True:
            try:
                work, future = self._queue.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() - self._rested >= REST_S:
                    self._rest()
                if not self._something_due(self._now()):
                    continue
                work, future = self._tick, None
            if work is None:
                self._rest()
                return
            self._do(work, future)
            if self._barriers and self._queue.empty() and not self._under_way:
                self._do(self._tick, None)
                if not self._under_way:
                    for barrier in self._barriers:
                        barrier.set_result(None)
                    self._barriers.clear()

    def _rest(self) -> None:
        """Where nothing waits to be answered, let the cursor follow what has been taken."""
        reached, self._rested = self._reached, time.monotonic()
        # In this order: what was taken up to there was in the queue before it was reached.
        if self._left_out or reached <= self._moved or not self._queue.empty():
            return
        # Where the records refuse there is a next time.
        with suppress(TocsinError):
            self.book.move_cursor("responder", reached)
            self._moved = reached

    def _do(self, work: Callable[[], Any], future: Future[Any] | None) -> None:
        """Run one piece of work in one transaction; news go out only after it is committed.

        What a person asked for and cannot be is told to the person. What the records do not take just now (a full
        disk, a lock) is tried again until they do: a signal is not dropped.
        """
        while True:
            due = self._due = []
            try:
                if self._stale:
                    self.book.reload()
                    self._stale = False
                with self._records.transaction():
                    result = work()
                break
            except TocsinError as error:
                # What the book has in memory may be ahead of the records; they may not even be readable just now.
                self._stale = True
                if future is not None:
                    future.set_exception(error)
                    return
                self._fault("responder", str(error))
                if not isinstance(error, Retryable) or self._stopping:
                    self._left_out = True
                    return
                time.sleep(PAUSE_S)
        if future is None:
            self.faults.pop("responder", None)
        news, self.book.news = self.book.news, []
        if news:
            self._emit(news)
            for event in news:
                topic = event.type.removeprefix("tocsin.")
                if topic in ("incident", "action"):
                    self._feed.publish(topic, str(event.data[topic]), int(event.data.get("version", 0)))
        if future is not None:
            future.set_result(result)
        for action, what in due:
            self._call(action, what)

    # Signals ----------------------------------------------------------------------------------------------------

    def _answer(self, signals: list[tuple[int, Signal]], now: int) -> None:
        grown: dict[str, Incident] = {}
        for _, signal in signals:
            self._tick(signal.tau)
            self._records.table(Signal).put(signal)
            incident = triage(signal, list(self.book.incidents.values()), self._kinds)
            self.book.keep(incident)
            if incident.phase is Phase.MONITORING:
                incident = self.book.phase(incident, Phase.OPEN, signal.tau)
            grown[incident.id] = incident
        for incident in grown.values():
            self._plan(incident, now)
        self.book.move_cursor("responder", signals[-1][0])

    def _plan(self, incident: Incident, now: int) -> None:
        wishes: list[Action] = []
        for playbook in self._playbooks():
            try:
                wishes.extend(plan(self.book.incident(incident.id), [playbook], self._conditions, now))
            except Misconfigured as error:
                # One broken playbook must not keep the others from answering; people see it on the console.
                self._fault(f"playbook:{playbook.name}", str(error))
            else:
                self.faults.pop(f"playbook:{playbook.name}", None)
        for wish in wishes:
            action = self._renewed(wish)
            if action is None:
                continue
            ruled, _ = self.book.rule(action, now)
            if ruled.state is ActionState.DUE:
                self._due.append((ruled, "do"))
        under_treatment = (ActionState.DUE, ActionState.DONE)
        if any(a.incident == incident.id and a.state in under_treatment for a in self.book.actions.values()):
            self._mitigating(incident.id, now)

    def _mitigating(self, incident_id: str, now: int) -> None:
        incident = self.book.incident(incident_id)
        if incident.phase is Phase.OPEN:
            self.book.phase(incident, Phase.MITIGATING, now)

    def _renewed(self, wish: Action) -> Action | None:
        """Return the wish, or a renewal of it where its effect has expired; None where it stands or was refused."""
        number = 1
        action = wish
        while (known := self.book.known(action.id)) is not None:
            if known.state is not ActionState.EXPIRED:
                return None
            number += 1
            action = msgspec.structs.replace(wish, id=derived_id(wish.id, "renewal", number))
        return action

    # Actuators --------------------------------------------------------------------------------------------------

    def _call(self, action: Action, what: str) -> None:
        """Hand an action to its actuator; the receipt comes back through the queue."""
        self._under_way.add((action.id, what))
        self._hands.call(action, what)

    def _back(self, action: Action, what: str, receipt: Receipt) -> None:
        self._queue.put((partial(self._returned, action.id, what, receipt), None))

    def _returned(self, action_id: str, what: str, receipt: Receipt) -> None:
        self._under_way.discard((action_id, what))
        self._receipt(action_id, what, receipt)

    def _fault(self, name: str, text: str) -> None:
        if self.faults.get(name) != text:
            log.error("%s: %s", name, text)
            self.faults[name] = text
            self._feed.publish("fault", name)

    def _receipt(self, action_id: str, what: str, receipt: Receipt) -> None:
        action = self.book.action(action_id)
        now = self._now()
        expected = ActionState.DUE if what == "do" else ActionState.UNDOING
        if action.state is not expected:
            return
        if not receipt.ok:
            self._failed(action, what, receipt, now)
        elif what == "undo":
            expired = 0 < action.expires <= now and action.by == "tocsin" and not action.error
            state, word = (ActionState.EXPIRED, "expired") if expired else (ActionState.UNDONE, "undone")
            self.book.end(action, word, now, state=state, ended=now, detail=action.error)
        else:
            level = self._level(action, now)
            changes: dict[str, Any] = {"state": ActionState.DONE, "done": now, "attempts": action.attempts + 1}
            changes["error"] = ""
            if lasting(action):
                changes["expires"] = now + action.ttl_s * SECOND
            else:
                changes["ended"] = now
            if level:
                changes["before"] = sum(level) / len(level)
            done = self.book.end(action, "done", now, detail=receipt.detail, **changes)
            self._set_timers(done)
            self._mitigating(action.incident, now)

    def _failed(self, action: Action, what: str, receipt: Receipt, now: int) -> None:
        attempts = action.attempts + 1
        if receipt.retry and attempts < MOST_ATTEMPTS:
            wait = BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1]
            self.book.put(action, attempts=attempts, error=receipt.detail)
            heapq.heappush(self._timers, (now + wait * SECOND, action.id, what))
            return
        self.book.end(
            action, "failed", now, state=ActionState.FAILED, ended=now, attempts=attempts, error=receipt.detail,
            detail=receipt.detail,
        )  # fmt: skip
        incident = self.book.incident(action.incident)
        if incident.phase is Phase.MITIGATING:
            self.book.phase(incident, Phase.OPEN, now, note=f"{action.verb} failed: {receipt.detail}")

    # Time -------------------------------------------------------------------------------------------------------

    def _set_timers(self, action: Action) -> None:
        if action.expect is not None and not action.effect and action.done:
            heapq.heappush(self._timers, (action.done + action.expect.within_s * SECOND, action.id, "verify"))
        if action.expires:
            heapq.heappush(self._timers, (action.expires, action.id, "expire"))

    def _something_due(self, now: int) -> bool:
        if self._timers and self._timers[0][0] <= now:
            return True
        return any(self._next_phase(incident, now) for incident in self.book.incidents.values())

    def _tick(self, until: int | None = None) -> None:
        """Do what is due by now, or by an earlier moment."""
        now = self._now() if until is None else until
        while self._timers and self._timers[0][0] <= now:
            _, action_id, what = heapq.heappop(self._timers)
            action = self.book.known(action_id)
            if action is None:
                continue
            if what in ("do", "undo"):
                if action.state is (ActionState.DUE if what == "do" else ActionState.UNDOING):
                    self._due.append((action, what))
            elif action.state is ActionState.DONE:
                if what == "verify":
                    self._verify(action, now)
                elif now >= action.expires:
                    self._take_back(action, now, "tocsin", "")
        for incident in list(self.book.incidents.values()):
            # After a jump of the clock through several at once: how far must not depend on how often this runs.
            quiet = incident
            while (following := self._next_phase(quiet, now)) is not None:
                quiet = self.book.phase(quiet, following, now)

    def _next_phase(self, incident: Incident, now: int) -> Phase | None:
        """Return where a quiet incident moves on to: first monitoring, then resolved."""
        quiet = now - max((m.time for m in reversed(incident.timeline) if m.what == "signal"), default=incident.onset)
        if quiet >= QUIET_TO_RESOLVE and incident.phase is Phase.MONITORING:
            return Phase.RESOLVED
        if quiet >= QUIET_TO_MONITOR and incident.phase in (Phase.OPEN, Phase.MITIGATING):
            return Phase.MONITORING
        return None

    def _level(self, action: Action, now: int) -> Sequence[float]:
        if action.expect is None:
            return ()
        return self._levels(action.expect.series, action.shop, now - LEVEL_SPAN, now)

    def _verify(self, action: Action, now: int) -> None:
        """Judge whether the series moved; what made no difference or hurt is undone (law 6)."""
        assert action.expect is not None
        before = self._levels(action.expect.series, action.shop, self._onset(action), action.done)
        after = self._levels(action.expect.series, action.shop, action.done, now)
        effect, low, high = judge_effect(before, after, action.expect.direction)
        known = {} if effect is Effect.UNKNOWN else {"before": low, "after": high}
        judged = self.book.end(action, "judged", now, effect=effect.value, **known)
        if effect in (Effect.NO_DIFFERENCE, Effect.HURT) and lasting(judged):
            self._take_back(judged, now, "tocsin", f"effect: {effect.value}")

    def _onset(self, action: Action) -> int:
        """Return since when the level before counts: the onset, for the quiet before it would hide the effect."""
        incident = self.book.incident(action.incident)
        return max(min(incident.onset, action.done - LEAST_SPAN), action.done - LEVEL_SPAN)

    def _take_back(self, action: Action, now: int, who: str, why: str) -> None:
        undoing = self.book.put(action, state=ActionState.UNDOING, by=who, error=why, attempts=0)
        self._due.append((undoing, "undo"))

    # People -----------------------------------------------------------------------------------------------------

    def _approve(self, action_id: str, who: str) -> Action:
        action = self.book.action(action_id)
        if action.state not in (ActionState.ASKED, ActionState.SUGGESTED):
            raise Conflict(f"this action is {action.state} already")
        ruled, ruling = self.book.rule(action, self._now(), approved_by=who)
        if ruled.state is ActionState.DUE:
            self._due.append((ruled, "do"))
        elif ruled.state is not ActionState.DENIED:
            raise Conflict("; ".join(reason.text.en for reason in ruling.reasons))
        return ruled

    def _deny(self, action_id: str, who: str) -> Action:
        action = self.book.action(action_id)
        if action.state not in (ActionState.ASKED, ActionState.SUGGESTED):
            raise Conflict(f"this action is {action.state} already")
        return self.book.deny(action, self._now(), who)

    def _undo_by(self, action_id: str, who: str) -> Action:
        action = self.book.action(action_id)
        if action.state is not ActionState.DONE or not lasting(action):
            raise Conflict(f"this action is {action.state}; there is nothing to undo")
        self._take_back(action, self._now(), who, f"undone by {who}")
        return self.book.action(action_id)

    def _label(self, incident_id: str, label: str, who: str, note: str) -> Incident:
        if label not in ("confirmed", "false_alarm"):
            raise Misconfigured(f"a label is 'confirmed' or 'false_alarm', not {label!r}")
        now = self._now()
        incident = msgspec.structs.replace(self.book.incident(incident_id), label=label)
        self.book.keep(incident)
        self.book.moment(incident_id, now, "label", "", who, {"label": label, "note": note})
        data = {"incident": incident_id, "label": label, "by": who, "note": note, "kind": incident.kind}
        self.book.news.append(
            Event(id=derived_id(incident_id, "label", label, now), source="tocsin", type="tocsin.label", time=now,
                  subject=incident.subject, shop=incident.shop, data=data)
        )  # fmt: skip
        if label == "false_alarm":
            for action in list(self.book.actions.values()):
                if action.incident == incident_id and action.state is ActionState.DONE and lasting(action):
                    self._take_back(action, now, who, "false alarm")
                elif action.incident == incident_id and action.state in (ActionState.ASKED, ActionState.SUGGESTED):
                    self.book.deny(action, now, who)
            if self.book.incident(incident_id).phase.active:
                self.book.phase(self.book.incident(incident_id), Phase.DISMISSED, now, who, note)
        return self.book.incident(incident_id)
