"""Verdicts: search, and one with why. (Asking for one is ``server/intake.py``.)"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tocsin.core.signal import Verdict
from tocsin.errors import NotFound
from tocsin.server import shapes
from tocsin.server.pages import After, Limit, Search
from tocsin.server.replies import doc, house, own, reply, within

router = APIRouter(tags=["verdicts"])


@router.get("/v1/verdicts", **doc(shapes.VerdictPage))
def verdicts(
    request: Request,
    decision: Annotated[str, Query(description="served decision; several with commas")] = "",
    computed: Annotated[str, Query(description="computed decision; several with commas")] = "",
    type: Annotated[str, Query(description="event type")] = "",
    q: Search = "",
    start: Annotated[int, Query(ge=0, description="from this tau on, microseconds")] = 0,
    end: Annotated[int, Query(ge=0, description="before this tau, microseconds; 0: no end")] = 0,
    limit: Limit = 50,
    after: After = "",
) -> Response:
    """List verdicts, newest first."""
    where = within(request, served=decision, computed=computed, event_type=type)
    if start:
        where["tau__gte"] = start
    if end:
        where["tau__lt"] = end
    found = house(request).records.table(Verdict).find(where, order="-tau", limit=limit, after=after, search=q)
    return reply(shapes.VerdictPage(items=tuple(found), next=found.next))


@router.get("/v1/verdicts/{id}", **doc(Verdict))
def verdict(request: Request, id: str) -> Response:
    """Return one verdict: as computed, as served, why, with the features it was made from, and how a hold ended."""
    found = house(request).follower.verdict(id)
    if not own(request, found):
        raise NotFound(f"there is no verdict {id}")
    return reply(found)
