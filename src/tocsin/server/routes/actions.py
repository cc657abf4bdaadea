"""Actions: list, approve, deny, undo."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tocsin.core.action import Action
from tocsin.errors import NotFound
from tocsin.server import shapes
from tocsin.server.audit import note
from tocsin.server.pages import After, Limit
from tocsin.server.replies import doc, house, own, person, reply, within
from tocsin.server.routes.incidents import ANSWER_S

router = APIRouter(tags=["actions"])


@router.get("/v1/actions", **doc(shapes.ActionPage))
def actions(
    request: Request,
    state: Annotated[str, Query(description="asked, suggested, due, done, ...; several with commas")] = "",
    incident: Annotated[str, Query(description="id of an incident")] = "",
    limit: Limit = 50,
    after: After = "",
) -> Response:
    """List actions, newest first."""
    where = within(request, state=state, incident=incident)
    found = house(request).records.table(Action).find(where, order="-created", limit=limit, after=after)
    return reply(shapes.ActionPage(items=tuple(found), next=found.next))


@router.post("/v1/actions/{id}/approve", **doc(Action))
def approve(request: Request, id: str) -> Response:
    """Say yes: the guard rules again with that; 409 where it still may not be, or someone was faster."""
    return _told(request, id, "approve")


@router.post("/v1/actions/{id}/deny", **doc(Action))
def deny(request: Request, id: str) -> Response:
    """Say no."""
    return _told(request, id, "deny")


@router.post("/v1/actions/{id}/undo", **doc(Action))
def undo(request: Request, id: str) -> Response:
    """Take back what was done."""
    return _told(request, id, "undo")


def _told(request: Request, id: str, word: str) -> Response:
    tocsin, who = house(request), person(request).name
    if not own(request, tocsin.records.table(Action).get(id)):
        raise NotFound(f"there is no action {id}")
    command = {"approve": tocsin.responder.approve, "deny": tocsin.responder.deny, "undo": tocsin.responder.undo}[word]
    changed = command(id, who).result(ANSWER_S)
    note(tocsin.records, tocsin.clock.now(), who, f"action.{word}", id, verb=changed.verb, of=changed.target)
    return reply(changed)
