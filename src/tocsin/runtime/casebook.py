"""Casebook: the incidents and actions that are alive, and every transition they may make. Used by one thread only.

Each transition writes the records inside the caller's transaction and collects the events that tell of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.action import VERBS, Action, ActionState, Answer, Outcome, Reasoned, Ruling
from tocsin.core.events import SECOND, Event, derived_id
from tocsin.core.guard import Budget, GuardState, automation_of, guard, spent_within
from tocsin.core.incident import NEXT, Incident, Moment, Phase, advance
from tocsin.core.playbook import Automation
from tocsin.core.records import Limit, Switch
from tocsin.core.signal import Text
from tocsin.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.core.ports import Records

LIVE = (ActionState.ASKED, ActionState.SUGGESTED, ActionState.DUE, ActionState.DONE, ActionState.UNDOING)
_DENIED = Text("A person said no", "人员拒绝")


class Casebook:
    """What the responder knows: active incidents and live actions in memory, everything in the records."""

    def __init__(self, records: Records, *, ceiling: Automation, killed: Callable[[], bool]) -> None:
        self._records = records
        self._ceiling = ceiling
        self._killed = killed
        self.campaign_factor: Callable[[str, int], float] = lambda shop, now: 1.0
        self.incidents: dict[str, Incident] = {}
        self.actions: dict[str, Action] = {}
        self.news: list[Event] = []
        self.reload()

    def reload(self) -> None:
        """Read what is alive from the records, at the start and after a transaction that was taken back."""
        records = self._records
        self.news.clear()
        self.incidents.clear()
        self.actions.clear()
        active = [phase.value for phase in Phase if phase.active]
        for incident in records.table(Incident).find({"phase": active}, order="opened", limit=100_000):
            self.incidents[incident.id] = incident
        for action in records.table(Action).find({"state": [s.value for s in LIVE]}, order="created", limit=100_000):
            self.actions[action.id] = action

    # Reading ----------------------------------------------------------------------------------------------------

    def incident(self, id: str) -> Incident:
        """Return the incident, from the records where it is no longer active."""
        found = self.incidents.get(id) or self._records.table(Incident).get(id)
        if found is None:
            raise NotFound(f"there is no incident {id}")
        return found

    def action(self, id: str) -> Action:
        """Return the action, from the records where it is no longer live."""
        found = self.actions.get(id) or self._records.table(Action).get(id)
        if found is None:
            raise NotFound(f"there is no action {id}")
        return found

    def known(self, id: str) -> Action | None:
        """Return the action of that identity, or None."""
        return self.actions.get(id) or self._records.table(Action).get(id)

    def state_for(self, action: Action, now: int, approved_by: str = "") -> GuardState:
        """Return all that the guard looks at for this action, as it stands now."""
        budgets: dict[str, Budget] = {}
        automation: dict[str, Automation] = {}
        protected: set[str] = set()
        for limit in self._records.table(Limit).find({}, limit=10_000):
            if limit.kind == "budget":
                budgets[limit.key] = Budget(limit.number, limit.per_s)
            elif limit.kind == "automation":
                automation[limit.key] = Automation(limit.word)
            elif limit.kind == "protected":
                protected.add(limit.key)
        longest = max([3600, *(budget.per_s for budget in budgets.values())])
        recent = self._records.table(Action).find(
            {"decided__gte": now - longest * SECOND, "verb": action.verb}, order="-decided", limit=100_000
        )
        live = [other for other in self.actions.values() if other.state in (ActionState.DUE, ActionState.DONE)]
        counts: dict[str, int] = {}
        for other in live:
            counts[other.verb] = counts.get(other.verb, 0) + 1
        return GuardState(
            now=now,
            kill=self._killed(),
            ceiling=self._ceiling,
            automation=automation,
            budgets=budgets,
            spent=spent_within(recent, budgets, now),
            protected=frozenset(protected),
            live_on_target=[other for other in self.actions.values() if other.target == action.target],
            live=counts,
            campaign_factor=self.campaign_factor(action.shop, now),
            approved_by=approved_by,
        )

    # Transitions ------------------------------------------------------------------------------------------------

    def keep(self, incident: Incident, what: str = "tocsin.incident") -> None:
        """Store an incident as it is now."""
        self._records.table(Incident).put(incident)
        if incident.phase.active:
            self.incidents[incident.id] = incident
        else:
            self.incidents.pop(incident.id, None)
        brief = {
            "incident": incident.id,
            "phase": incident.phase.value,
            "severity": incident.severity.value,
            "kind": incident.kind,
            "version": incident.version,
        }
        self._tell(what, incident.id, incident.version, incident.shop, incident.updated, incident.subject, brief)

    def rule(self, action: Action, now: int, approved_by: str = "") -> tuple[Action, Ruling]:
        """Let the guard rule, and store action and ruling together, before anything is done."""
        state = self.state_for(action, now, approved_by)
        ruling = guard(action, state)
        if ruling.answer is Answer.ALLOW:
            decided = {"state": ActionState.DUE, "decided": now, "by": approved_by or "tocsin"}
        elif ruling.answer is Answer.ASK:
            suggested = automation_of(action, state) is Automation.SUGGEST
            decided = {"state": ActionState.SUGGESTED if suggested else ActionState.ASKED}
        else:
            decided = {"state": ActionState.DENIED, "decided": now, "ended": now}
        ruled = self.put(action, **decided)
        self._records.table(Ruling).put(ruling)
        self._tell("tocsin.ruling", ruling.id, 0, action.shop, now, action.target, msgspec.to_builtins(ruling))
        detail = {
            "answer": ruling.answer.value,
            "verb": ruled.verb,
            "target": ruled.target,
            "codes": [reason.code for reason in ruling.reasons],
        }
        self.moment(ruled.incident, now, "ruling", ruled.id, ruling.by, detail)
        return ruled, ruling

    def put(self, action: Action, **changes: Any) -> Action:
        """Store an action with changes; a new one is stored as it is."""
        stored = self.known(action.id)
        changed = msgspec.structs.replace(
            action, **changes, version=stored.version + 1 if stored is not None else action.version
        )
        self._records.table(Action).put(changed)
        if changed.state in LIVE:
            self.actions[changed.id] = changed
        else:
            self.actions.pop(changed.id, None)
        brief = {"action": changed.id, "state": changed.state.value, "verb": changed.verb, "target": changed.target}
        moment = max(changed.ended, changed.done, changed.decided, changed.created)
        self._tell("tocsin.action", changed.id, changed.version, changed.shop, moment, changed.target, brief)
        return changed

    def end(self, action: Action, what: str, now: int, **changes: Any) -> Action:
        """Store what came of an action: its new state, its outcome, and the line on the incident's timeline."""
        detail = str(changes.pop("detail", ""))
        changed = self.put(action, **changes)
        outcome = Outcome(
            id=derived_id("outcome", action.id, what, changed.version),
            action=action.id,
            what=what,
            time=now,
            effect=changed.effect,
            before=changed.before,
            after=changed.after,
            detail=detail,
            by=changed.by,
        )
        self._records.table(Outcome).put(outcome)
        self._tell("tocsin.outcome", outcome.id, 0, action.shop, now, action.target, msgspec.to_builtins(outcome))
        self.moment(
            action.incident, now, "outcome", action.id, changed.by,
            {"what": what, "verb": action.verb, "target": action.target, "effect": changed.effect, "detail": detail},
        )  # fmt: skip
        return changed

    def moment(self, incident_id: str, now: int, what: str, ref: str, who: str, detail: dict[str, Any]) -> None:
        """Put one line on an incident's timeline."""
        incident = self.incident(incident_id)
        line = Moment(time=now, what=what, ref=ref, who=who, detail=detail)
        self.keep(advance(incident, incident.phase, line))

    def phase(self, incident: Incident, phase: Phase, now: int, who: str = "tocsin", note: str = "") -> Incident:
        """Move an incident on in its life cycle; Conflict where that is not a step of it."""
        if phase is incident.phase:
            return incident
        if phase not in NEXT[incident.phase]:
            raise Conflict(f"this incident is {incident.phase}; it cannot become {phase}")
        detail: dict[str, Any] = {"from": incident.phase.value, "to": phase.value}
        if note:
            detail["note"] = note
        moved = advance(incident, phase, Moment(time=now, what="phase", who=who, detail=detail))
        self.keep(moved)
        return moved

    def deny(self, action: Action, now: int, who: str) -> Action:
        """Store a person's no."""
        ruling = Ruling(
            id=derived_id("ruling", action.id, action.version, who),
            action=action.id,
            answer=Answer.DENY,
            reasons=(Reasoned("denied-by-person", _DENIED),),
            time=now,
            by=who,
        )
        self._records.table(Ruling).put(ruling)
        return self.end(action, "denied", now, state=ActionState.DENIED, ended=now, by=who)

    def cursor(self, name: str) -> int:
        """Return how far this reader of the journal has come."""
        switch = self._records.table(Switch).get(f"cursor:{name}")
        return switch.number if switch is not None else 0

    def move_cursor(self, name: str, seq: int) -> None:
        """Store how far it has come, in the same transaction as what it did."""
        self._records.table(Switch).put(Switch(id=f"cursor:{name}", number=seq))

    def _tell(self, type: str, id: str, version: int, shop: str, time: int, subject: str, data: dict[str, Any]) -> None:
        identity = f"{id}.{version}" if version else id
        self.news.append(
            Event(id=identity, source="tocsin", type=type, time=time, subject=subject, shop=shop, data=data)
        )


def lasting(action: Action) -> bool:
    """Return whether the action has an effect that ends: a ttl and a verb with an inverse."""
    verb = VERBS.get(action.verb)
    return action.ttl_s > 0 and verb is not None and verb.reversible
