"""The console API: FastAPI over everything but the hot path. Errors leave as problem+json."""

import asyncio
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tocsin.errors import TocsinError
from tocsin.server.access import covered, gate
from tocsin.server.problems import Problem, Refusal, headers_of, problem, problem_of
from tocsin.server.replies import doc, reply
from tocsin.server.routes import (
    actions,
    automation,
    health,
    incidents,
    letters,
    live,
    overview,
    people,
    plane,
    rules,
    schemas,
    session,
    verdicts,
    windows,
)
from tocsin.server.schema import document

_ROOMS = (
    session,
    overview,
    incidents,
    actions,
    verdicts,
    letters,
    automation,
    rules,
    windows,
    plane,
    people,
    schemas,
    live,
    health,
)


def console_api() -> FastAPI:
    """Return the API without a house behind it: enough for its OpenAPI document; ``main.create_app`` adds the house."""
    app = FastAPI(title="Tocsin", openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(gate)])
    for room in _ROOMS:
        app.include_router(room.router)

    @app.get("/openapi.json", tags=["schemas"], **doc(dict))
    def openapi() -> Response:
        """Return this document."""
        return reply(document(app))

    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(TocsinError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(FutureTimeout, _slow)
    app.add_exception_handler(Exception, _unknown)
    app.state.mailboxes = set()
    app.state.signing_in = 0
    app.state.sign_in_slots = asyncio.Semaphore(session.AT_ONCE)
    app.state.started = False
    covered([*app.routes, *(route for room in _ROOMS for route in room.router.routes)])
    return app


def answer(found: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return a problem as a response."""
    return Response(
        msgspec.json.encode(found), status_code=found.status, headers={**headers_of(found), **(headers or {})}
    )


async def _refusal(request: Request, error: Any) -> Response:
    return answer(error.problem, error.headers)


async def _ours(request: Request, error: Any) -> Response:
    return answer(problem_of(error))


async def _invalid(request: Request, error: Any) -> Response:
    """Name the parameter and what is wrong with it; never its value."""
    first = error.errors()[0]
    field = str(first["loc"][-1]) if first.get("loc") else ""
    return answer(problem(422, "wrong-type", str(first.get("msg", "not valid")), field=field))


async def _http(request: Request, error: Any) -> Response:
    codes = {404: "not-found", 405: "method-not-allowed"}
    code = codes.get(error.status_code, "refused")
    detail = "there is nothing at this address" if error.status_code == 404 else "this cannot be done here"
    return answer(problem(error.status_code, code, detail), dict(error.headers or {}))


async def _slow(request: Request, error: Any) -> Response:
    return answer(problem(503, "unavailable", "the single writer is busy; look again, then decide", retry_after=2))


async def _unknown(request: Request, error: Any) -> Response:
    # The server's log gets the trace from Starlette; the caller learns nothing of the inside.
    return answer(problem(500, "internal", "something failed inside; the server's log says what"))
