"""Health: for supervisors and Prometheus."""

from fastapi import APIRouter, Request, Response

from tocsin.server import shapes
from tocsin.server.metrics import CONTENT_TYPE, exposition
from tocsin.server.problems import Refusal
from tocsin.server.replies import doc, house, reply

router = APIRouter(tags=["health"])


@router.get("/healthz", **doc(shapes.Done))
def healthz(request: Request) -> Response:
    """Say 200 once verdicts are served; they are also while the journal refuses."""
    if house(request).host.stopped or not request.app.state.started:
        raise Refusal(503, "unavailable", "verdicts are not served", headers={"retry-after": "5"})
    return reply(shapes.Done(ok=True))


@router.get("/readyz", **doc(shapes.Done))
def readyz(request: Request) -> Response:
    """Say 200 while events are accepted; 503 says why not."""
    host, responder = house(request).host, house(request).responder
    reason = "the host has stopped" if host.stopped else host.refusing
    if responder.stopped:
        reason = "the responder has stopped: signals are recorded and not answered; start Tocsin again"
    if reason or not request.app.state.started:
        raise Refusal(503, "unavailable", reason or "starting", headers={"retry-after": "5"})
    return reply(shapes.Done(ok=True))


@router.get("/metrics", **doc(str))
def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus text format: counts and times, no keys and no people."""
    return Response(
        exposition(house(request), request.app.state.measures, request.app.state.gauge), media_type=CONTENT_TYPE
    )
