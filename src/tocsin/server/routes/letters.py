"""Dead letters: list, look, drive again, discard."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tocsin.core.records import DeadLetter
from tocsin.errors import BadEvent, Conflict, NotFound
from tocsin.server import shapes
from tocsin.server.audit import note
from tocsin.server.pages import After, Limit, Search
from tocsin.server.replies import doc, house, own, person, raw_body, read, reply, within
from tocsin.server.routes.incidents import ANSWER_S

router = APIRouter(tags=["dead letters"])


@router.get("/v1/dead-letters", **doc(shapes.LetterPage))
def letters(
    request: Request,
    state: Annotated[str, Query(description="waiting, accepted, discarded; several with commas")] = "",
    code: Annotated[str, Query(description="reason code; several with commas")] = "",
    q: Search = "",
    limit: Limit = 50,
    after: After = "",
) -> Response:
    """List refused events, newest first."""
    where = within(request, state=state, code=code)
    table = house(request).records.table(DeadLetter)
    found = table.find(where, order="-received", limit=limit, after=after, search=q)
    return reply(
        shapes.LetterPage(items=tuple(found), next=found.next, waiting=table.count(within(request, state="waiting")))
    )


@router.get("/v1/dead-letters/{id}", **doc(DeadLetter))
def letter(request: Request, id: str) -> Response:
    """Return one refused event."""
    return reply(_letter(request, id))


@router.post("/v1/dead-letters/{id}/retry", **doc(DeadLetter, shapes.RetryWish))
def retry(request: Request, id: str, body: Annotated[bytes, Depends(raw_body)]) -> Response:
    """Drive a dead letter again, corrected where a document is given; 400 says what is still wrong."""
    wish = read(body or b"{}", shapes.RetryWish)
    tocsin, who = house(request), person(request).name
    found = _waiting(request, id)
    document = wish.document
    if document is None:
        if not found.document:
            raise BadEvent("this letter keeps no document; send a corrected one", field="document", code="missing")
        document = msgspec.json.decode(found.document)
    event = tocsin.door.admit(document, now=tocsin.clock.now(), live=True, shop=found.shop or None, redriven=True)
    tocsin.host.submit([event]).result(ANSWER_S)
    changed = msgspec.structs.replace(found, state="accepted", event_id=event.id, event_type=event.type)
    tocsin.records.table(DeadLetter).put(changed)
    note(tocsin.records, tocsin.clock.now(), who, "letter.accepted", id, corrected=wish.document is not None)
    return reply(changed)


@router.post("/v1/dead-letters/{id}/discard", **doc(DeadLetter))
def discard(request: Request, id: str) -> Response:
    """Put a dead letter aside for good."""
    tocsin, who = house(request), person(request).name
    changed = msgspec.structs.replace(_waiting(request, id), state="discarded")
    tocsin.records.table(DeadLetter).put(changed)
    note(tocsin.records, tocsin.clock.now(), who, "letter.discarded", id)
    return reply(changed)


def _letter(request: Request, id: str) -> DeadLetter:
    found = house(request).records.table(DeadLetter).get(id)
    if found is None or not own(request, found):
        raise NotFound(f"there is no dead letter {id}")
    return found


def _waiting(request: Request, id: str) -> DeadLetter:
    found = _letter(request, id)
    if found.state != "waiting":
        raise Conflict(f"this letter is {found.state} already")
    return found
