"""Automation: what Tocsin may do by itself, how much of it, and the kill switch."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from tocsin.core.action import VERBS, Action
from tocsin.core.events import SECOND, split_subject, subject_of
from tocsin.core.guard import Budget, spent_within
from tocsin.core.playbook import Automation
from tocsin.core.records import Limit, Role, Switch
from tocsin.core.signal import Mode
from tocsin.core.vocabulary import PERSONAL
from tocsin.errors import NotFound
from tocsin.server import governance
from tocsin.server.audit import note
from tocsin.server.problems import Refusal
from tocsin.server.replies import doc, house, person, raw_body, read, reply

if TYPE_CHECKING:
    from tocsin.app import Tocsin

router = APIRouter(tags=["automation"])
Body = Annotated[bytes, Depends(raw_body)]

TAKEN_S = 5.0
"""How long the answer waits for a change that is on disk to be taken up by the host."""


@router.get("/v1/automation", **doc(governance.AutomationView))
def automation(request: Request) -> Response:
    """Return ceiling, kill switch, playbooks, budgets with what is spent of them, and protected subjects."""
    return reply(view(house(request)))


def view(tocsin: "Tocsin") -> governance.AutomationView:
    """Return everything that limits what Tocsin may do, as it stands now."""
    records = tocsin.records
    budgets = {
        limit.key: Budget(limit.number, limit.per_s)
        for limit in records.table(Limit).find({"kind": "budget"}, order="id", limit=1000)
    }
    now = tocsin.clock.now()
    longest = max([3600, *(budget.per_s for budget in budgets.values())])
    recent = records.table(Action).find({"decided__gte": now - longest * SECOND}, order="-decided", limit=10_000)
    spent = spent_within(recent, budgets, now)
    protected = records.table(Limit).find({"kind": "protected"}, order="id", limit=1000)
    switch = records.table(Switch).get("kill")
    killed = tocsin.kill.on()
    return governance.AutomationView(
        ceiling=Automation(tocsin.settings.automation),
        kill=killed,
        kill_reason=switch.reason if killed and switch is not None else "",
        verdict_mode=Mode(tocsin.host.verdict_mode),
        playbooks=tuple(
            governance.PlaybookView(
                name=playbook.name,
                title=playbook.title,
                on=playbook.on,
                automation=tocsin.automation(f"playbook:{playbook.name}"),
                version=playbook.version,
            )
            for playbook in tocsin.playbooks()
        ),
        verbs=tuple(
            governance.VerbView(
                name=verb.name,
                text=verb.text,
                unit=verb.unit,
                limit=budgets[verb.name].limit if verb.name in budgets else verb.per_hour,
                per_s=budgets[verb.name].per_s if verb.name in budgets else 3600,
                spent=spent.get(verb.name, 0),
                reversible=verb.reversible,
                ttl_s=verb.ttl_s,
            )
            for verb in VERBS.values()
        ),
        protected=tuple(limit.key for limit in protected),
    )


@router.put("/v1/automation/playbooks/{name}", **doc(governance.AutomationView, governance.AutomationWish))
def playbook(request: Request, name: str, body: Body) -> Response:
    """Decide how far a playbook may go by itself; that it may is this person's decision and on record as such."""
    wish = read(body, governance.AutomationWish)
    tocsin = house(request)
    if all(known.name != name for known in tocsin.playbooks()):
        raise NotFound(f"there is no playbook {name}")
    return _limited(request, "automation", f"playbook:{name}", word=wish.automation.value)


@router.put("/v1/automation/verbs/{name}", **doc(governance.AutomationView, governance.BudgetWish))
def verb(request: Request, name: str, body: Body) -> Response:
    """Set a verb's budget, in its business unit, across all desks."""
    wish = read(body, governance.BudgetWish)
    if name not in VERBS:
        raise NotFound(f"there is no verb {name}")
    return _limited(request, "budget", name, number=wish.number, per_s=wish.per_s)


@router.put("/v1/automation/protected", **doc(governance.AutomationView, governance.ProtectWish))
def protected(request: Request, body: Body) -> Response:
    """Protect a subject, or no longer: what is protected is never acted on without a person."""
    wish = read(body, governance.ProtectWish)
    tocsin, who = house(request), person(request).name
    entity, key = split_subject(wish.subject)
    subject = subject_of(entity, kept_key(tocsin, entity, key)) if wish.clear else wish.subject
    if wish.on:
        return _limited(request, "protected", subject)
    with tocsin.records.transaction():
        tocsin.records.table(Limit).drop(f"protected/{subject}")
        note(tocsin.records, tocsin.clock.now(), who, "limit.removed", subject)
    tocsin.configure("tocsin.mode", {"limit": f"protected/{subject}", "op": "remove"}, who)
    return reply(view(tocsin))


@router.post("/v1/automation/kill", **doc(governance.AutomationView, governance.KillWish))
def kill(request: Request, body: Body) -> Response:
    """Stop every action, or go on. Stopping works without journal and records; going on is an admin's decision."""
    wish = read(body, governance.KillWish)
    tocsin, who = house(request), person(request)
    if not wish.on and who.role is not Role.ADMIN:
        raise Refusal(403, "role", "to release the kill switch needs the role admin")
    tocsin.kill.set(wish.on, who.name, wish.reason)
    now, word = tocsin.clock.now(), "on" if wish.on else "off"
    with tocsin.records.transaction():
        tocsin.records.table(Switch).put(Switch(id="kill", word=word, by=who.name, reason=wish.reason, changed=now))
        note(tocsin.records, now, who.name, f"kill.{word}", reason=wish.reason)
    tocsin.configure("tocsin.mode", {"kill": wish.on, "reason": wish.reason}, who.name)
    tocsin.live.publish("overview", "kill")
    return reply(view(tocsin))


@router.put("/v1/automation/verdicts", **doc(governance.AutomationView, governance.VerdictModeWish))
def verdicts(request: Request, body: Body) -> Response:
    """Serve computed verdicts (live) or only record them (shadow), from this place in the journal on."""
    wish = read(body, governance.VerdictModeWish)
    tocsin, who = house(request), person(request).name
    tocsin.configure("tocsin.mode", {"verdict_mode": wish.mode}, who).result(10.0)
    note(tocsin.records, tocsin.clock.now(), who, "verdicts.mode", wish.mode)
    until = time.monotonic() + TAKEN_S
    while tocsin.host.verdict_mode != wish.mode and time.monotonic() < until:
        time.sleep(0.01)
    tocsin.live.publish("overview", "verdict_mode")
    return reply(view(tocsin))


def kept_key(tocsin: "Tocsin", entity: str, key: str) -> str:
    """Return a clear key as events hold it: people and their things by pseudonym."""
    if entity not in {one.value for one in PERSONAL}:
        return key
    return tocsin.vault.pseudonym(tocsin.settings.shop, entity, key)


def _limited(request: Request, kind: str, key: str, **values: Any) -> Response:
    """Store one row of the guard, on record and in the journal."""
    tocsin, who = house(request), person(request).name
    now = tocsin.clock.now()
    id = f"{kind}/{key}"
    with tocsin.records.transaction():
        before = tocsin.records.table(Limit).get(id)
        limit = before or Limit(id=id, kind=kind, key=key)
        version = before.version + 1 if before is not None else 1
        limit = msgspec.structs.replace(limit, **values, by=who, changed=now, version=version)
        tocsin.records.table(Limit).put(limit)
        note(tocsin.records, now, who, "limit.set", id, **values)
    tocsin.configure("tocsin.mode", {"limit": id, **values}, who)
    tocsin.live.publish("overview", id)
    return reply(view(tocsin))
