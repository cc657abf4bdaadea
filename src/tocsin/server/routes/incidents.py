"""Incidents: list, look, label, move on."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from tocsin.core.action import Action, Outcome, Ruling
from tocsin.core.events import HOUR, MINUTE
from tocsin.core.incident import Incident
from tocsin.core.signal import Signal
from tocsin.errors import NotFound
from tocsin.server import shapes
from tocsin.server.audit import note
from tocsin.server.pages import After, Limit, Search
from tocsin.server.replies import doc, house, own, person, raw_body, read, reply, within
from tocsin.server.routes.overview import series_view

if TYPE_CHECKING:
    from tocsin.app import Tocsin

router = APIRouter(tags=["incidents"])

ANSWER_S = 10.0
"""How long a command may take in the single writer before the caller is told to look again."""


@router.get("/v1/incidents", **doc(shapes.IncidentPage))
def incidents(
    request: Request,
    phase: Annotated[str, Query(description="open, mitigating, ...; several with commas")] = "",
    severity: Annotated[str, Query(description="P1, P2, ...; several with commas")] = "",
    kind: Annotated[str, Query(description="signal kind; several with commas")] = "",
    q: Search = "",
    limit: Limit = 50,
    after: After = "",
) -> Response:
    """List incidents, last opened first."""
    where = within(request, phase=phase, severity=severity, kind=kind)
    found = house(request).records.table(Incident).find(where, order="-opened", limit=limit, after=after, search=q)
    return reply(shapes.IncidentPage(items=tuple(found), next=found.next))


@router.get("/v1/incidents/{id}", **doc(shapes.IncidentView))
def incident(request: Request, id: str) -> Response:
    """Return one incident with its signals, actions, rulings, outcomes and the series that shows it."""
    tocsin = house(request)
    records = tocsin.records
    found = records.table(Incident).get(id)
    if found is None or not own(request, found):
        raise NotFound(f"there is no incident {id}")
    signals = tuple(one for one in map(records.table(Signal).get, found.signals[-200:]) if one is not None)
    actions = tuple(records.table(Action).find({"incident": id}, order="created", limit=500))
    ids = [action.id for action in actions]
    rulings = tuple(records.table(Ruling).find({"action": ids}, order="time", limit=1000)) if ids else ()
    outcomes = tuple(records.table(Outcome).find({"action": ids}, order="time", limit=1000)) if ids else ()
    series = None
    if found.series:
        name, _, key = found.series.partition("/")
        end = max(found.updated, found.opened) + 15 * MINUTE
        series = series_view(tocsin, name, key, start=found.onset - HOUR, end=end, shop=found.shop)
    view = shapes.IncidentView(
        incident=found, signals=signals, actions=actions, rulings=rulings, outcomes=outcomes, series=series
    )
    return reply(view)


@router.post("/v1/incidents/{id}/label", **doc(Incident, shapes.LabelWish))
def label(request: Request, id: str, body: Annotated[bytes, Depends(raw_body)]) -> Response:
    """Say what it was: a false alarm is dismissed and its effects are undone; the desks learn from it."""
    wish = read(body, shapes.LabelWish)
    tocsin, who = _known(request, id), person(request).name
    changed = tocsin.responder.label(id, wish.label.value, who, wish.note).result(ANSWER_S)
    note(tocsin.records, tocsin.clock.now(), who, "incident.labelled", id, label=wish.label.value)
    return reply(changed)


@router.post("/v1/incidents/{id}/phase", **doc(Incident, shapes.PhaseWish))
def phase(request: Request, id: str, body: Annotated[bytes, Depends(raw_body)]) -> Response:
    """Move an incident on in its life cycle; 409 where that is not a step of it."""
    wish = read(body, shapes.PhaseWish)
    tocsin, who = _known(request, id), person(request).name
    changed = tocsin.responder.phase(id, wish.phase.value, who, wish.note).result(ANSWER_S)
    note(tocsin.records, tocsin.clock.now(), who, "incident.moved", id, phase=wish.phase.value)
    return reply(changed)


def _known(request: Request, id: str) -> "Tocsin":
    """Return the house after making sure that it has this incident, for this caller."""
    tocsin = house(request)
    if not own(request, tocsin.records.table(Incident).get(id)):
        raise NotFound(f"there is no incident {id}")
    return tocsin
