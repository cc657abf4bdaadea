"""The data plane in one look: stages, queues, memory, rules by cost, and what to do about what is slow."""

from fastapi import APIRouter, Request, Response

from tocsin.server import measured
from tocsin.server.replies import doc, reply

router = APIRouter(tags=["health"])


@router.get("/v1/plane", **doc(measured.PlaneView))
def plane(request: Request) -> Response:
    """Return what every stage took, what waits, how far back the state reaches, and advice; no keys, no people."""
    return reply(request.app.state.gauge.look())
