"""Rules, playbooks and named lists: as they run, checked before they are stored."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tocsin.core.desk import Rule
from tocsin.core.playbook import Playbook
from tocsin.core.records import ListEntry, StoredPlaybook, StoredRule
from tocsin.core.signal import Decision, Text
from tocsin.errors import Misconfigured, NotFound
from tocsin.flow.cel import INCIDENT, CelError, compile_expression
from tocsin.flow.rules import check_rule
from tocsin.server import governance, shapes
from tocsin.server.audit import note
from tocsin.server.pages import After, Limit, Search
from tocsin.server.problems import Refusal
from tocsin.server.replies import doc, house, person, raw_body, read, reply
from tocsin.server.routes.automation import kept_key

if TYPE_CHECKING:
    from tocsin.app import Tocsin

router = APIRouter(tags=["rules"])
Body = Annotated[bytes, Depends(raw_body)]


@router.get("/v1/rules", **doc(governance.RulePage))
def rules(request: Request) -> Response:
    """List the rules: the desks' own, and those that people have stored."""
    return reply(governance.RulePage(items=tuple(_rules(house(request)).values())))


def _rules(tocsin: "Tocsin") -> dict[str, governance.RuleView]:
    found = {
        rule.id: governance.RuleView(
            rule=msgspec.structs.replace(rule, desk=rule.desk or desk.name), stored=False, by="", changed=0, version=1
        )
        for desk in tocsin.desks
        for rule in desk.rules
    }
    stored = tocsin.records.table(StoredRule).find({}, order="id", limit=10_000)
    for row in stored:
        rule = msgspec.convert({**row.body, "mode": row.mode}, Rule)
        found[row.id] = governance.RuleView(rule=rule, stored=True, by=row.by, changed=row.changed, version=row.version)
    return found


@router.post("/v1/rules/check", **doc(governance.CheckView, governance.CheckWish))
def check(request: Request, body: Body) -> Response:
    """Say whether an expression would be taken, and if not, where it is wrong."""
    wish = read(body, governance.CheckWish)
    rule = Rule(
        id="check", when=wish.when, decision=Decision.ALLOW, code="", text=Text("", ""), on=wish.on, desk=wish.desk
    )
    try:
        check_rule(rule, house(request).desks, house(request).fold.rules.house)
    except CelError as error:
        wrong = governance.CheckError(message=str(error), line=error.line, column=error.column)
        return reply(governance.CheckView(ok=False, error=wrong))
    except Misconfigured as error:
        return reply(governance.CheckView(ok=False, error=governance.CheckError(message=str(error), line=1, column=1)))
    return reply(governance.CheckView(ok=True, error=None))


@router.put("/v1/rules/{id}", **doc(governance.RuleView, Rule))
def rule(request: Request, id: str, body: Body) -> Response:
    """Store a rule and let it take effect; 422 points at the column where its expression is wrong."""
    wish = read(body, Rule)
    if wish.id != id:
        raise Refusal(422, "out-of-range", "the rule's id is not the one in the address", field="id")
    tocsin, who = house(request), person(request).name
    _refused_if_wrong(lambda: check_rule(wish, tocsin.desks, tocsin.fold.rules.house))
    now = tocsin.clock.now()
    with tocsin.records.transaction():
        before = tocsin.records.table(StoredRule).get(id)
        version = before.version + 1 if before is not None else 1
        row = StoredRule(
            id=id, body=msgspec.to_builtins(wish), mode=wish.mode.value, by=who, changed=now, version=version
        )
        tocsin.records.table(StoredRule).put(row)
        note(tocsin.records, now, who, "rule.stored", id, mode=wish.mode.value)
    tocsin.apply_rules(who).result(10.0)
    return reply(governance.RuleView(rule=wish, stored=True, by=who, changed=now, version=version))


@router.get("/v1/playbooks/{name}", **doc(governance.PlaybookDetail))
def playbook(request: Request, name: str) -> Response:
    """Return a playbook as it runs."""
    return reply(_playbook(house(request), name))


def _playbook(tocsin: "Tocsin", name: str) -> governance.PlaybookDetail:
    for known in tocsin.playbooks():
        if known.name == name:
            row = tocsin.records.table(StoredPlaybook).get(name)
            by, changed = (row.by, row.changed) if row is not None else ("", 0)
            return governance.PlaybookDetail(playbook=known, stored=row is not None, by=by, changed=changed)
    raise NotFound(f"there is no playbook {name}")


@router.put("/v1/playbooks/{name}", **doc(governance.PlaybookDetail, Playbook))
def put_playbook(request: Request, name: str, body: Body) -> Response:
    """Store a playbook; how far it may go by itself is decided elsewhere and starts in suggest."""
    wish = read(body, Playbook)
    if wish.name != name:
        raise Refusal(422, "out-of-range", "the playbook's name is not the one in the address", field="name")
    for condition in (wish.when, *(step.when for step in wish.steps)):
        if condition:
            _refused_if_wrong(partial(compile_expression, condition, INCIDENT))
    tocsin, who = house(request), person(request).name
    now = tocsin.clock.now()
    with tocsin.records.transaction():
        before = tocsin.records.table(StoredPlaybook).get(name)
        version = before.version + 1 if before is not None else 1
        row = StoredPlaybook(id=name, body=msgspec.to_builtins(wish), by=who, changed=now, version=version)
        tocsin.records.table(StoredPlaybook).put(row)
        note(tocsin.records, now, who, "playbook.stored", name)
    tocsin.configure("tocsin.mode", {"playbook": name, "body": row.body}, who)
    return reply(_playbook(tocsin, name))


@router.get("/v1/lists", **doc(governance.ListPage))
def lists(
    request: Request,
    name: Annotated[str, Query(description="one list; empty for all")] = "",
    q: Search = "",
    limit: Limit = 100,
    after: After = "",
) -> Response:
    """List the values of named lists, last changed first."""
    where: dict[str, Any] = {"name": name} if name else {}
    found = house(request).records.table(ListEntry).find(where, order="-changed", limit=limit, after=after, search=q)
    return reply(governance.ListPage(items=tuple(found), next=found.next))


@router.put("/v1/lists/{name}", **doc(ListEntry, governance.ListWish))
def put_entry(request: Request, name: str, body: Body) -> Response:
    """Put a value on a named list; rules that read it see it from this place in the journal on."""
    wish = read(body, governance.ListWish)
    tocsin, who = house(request), person(request).name
    now = tocsin.clock.now()
    value = kept_key(tocsin, wish.entity, wish.value)
    entry = ListEntry(
        id=f"{name}/{value}",
        name=name,
        value=value,
        expires=wish.expires,
        note=wish.note,
        by=who,
        changed=now,
    )
    data = {"name": name, "value": value, "expires": wish.expires, "op": "add"}
    tocsin.configure("tocsin.list", data, who).result(10.0)
    with tocsin.records.transaction():
        tocsin.records.table(ListEntry).put(entry)
        note(tocsin.records, now, who, "list.added", name)
    return reply(entry)


@router.delete("/v1/lists/{name}", **doc(shapes.Done))
def drop_entry(
    request: Request, name: str, value: Annotated[str, Query(min_length=1, description="the value to take off")]
) -> Response:
    """Take a value off a named list."""
    tocsin, who = house(request), person(request).name
    if tocsin.records.table(ListEntry).get(f"{name}/{value}") is None:
        raise NotFound(f"this value is not on the list {name}")
    tocsin.configure("tocsin.list", {"name": name, "value": value, "op": "remove"}, who).result(10.0)
    with tocsin.records.transaction():
        tocsin.records.table(ListEntry).drop(f"{name}/{value}")
        note(tocsin.records, tocsin.clock.now(), who, "list.removed", name)
    return reply(shapes.Done(ok=True))


def _refused_if_wrong(check: Callable[[], object]) -> None:
    """Run a check of an expression; 422 with line and column where it fails."""
    try:
        check()
    except CelError as error:
        detail = f"line {error.line}, column {error.column}: {error}"
        raise Refusal(422, "expression", detail, field="when") from error
    except Misconfigured as error:
        raise Refusal(422, "expression", str(error), field="when") from error
