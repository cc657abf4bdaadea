"""Problems: every error of the web as RFC 9457 problem+json, without a value that the caller sent.

Reference: RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec

from tocsin.errors import BadEvent, Conflict, Misconfigured, NotFound, Retryable, TocsinError

PROBLEM_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One refusal: ``code`` is a stable word for machines, ``detail`` one sentence for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    field: str = ""
    """JSON path of the field that is wrong; empty where the whole request is."""
    retry_after: int = 0
    """Seconds after which the same request may be sent again; 0 where that is useless."""
    refused: tuple[dict[str, Any], ...] = ()
    """The refused events of a batch of which none was accepted."""


class Refusal(Exception):
    """Raised by a door of the web to answer with a problem."""

    def __init__(
        self, status: int, code: str, detail: str, *, field: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = problem(status, code, detail, field=field)
        self.headers = headers or {}


def problem(status: int, code: str, detail: str, *, field: str = "", retry_after: int = 0) -> Problem:
    """Return the problem of a status with the title that the status has in HTTP."""
    return Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, field=field, retry_after=retry_after
    )


def problem_of(error: TocsinError) -> Problem:
    """Return the problem that one of our errors is to a caller over HTTP."""
    if isinstance(error, BadEvent):
        status = 413 if error.code == "oversized" else 400
        return problem(status, error.code, error.reason, field=error.field)
    if isinstance(error, Retryable):
        return problem(503, "unavailable", error.reason, retry_after=max(1, math.ceil(error.after_s)))
    if isinstance(error, Conflict):
        return problem(409, "conflict", str(error))
    if isinstance(error, NotFound):
        return problem(404, "not-found", str(error))
    if isinstance(error, Misconfigured):
        return problem(422, "misconfigured", str(error))
    return problem(500, "internal", "something failed inside; the server's log says what")


def headers_of(found: Problem) -> dict[str, str]:
    """Return the headers that belong to a problem."""
    headers = {"content-type": PROBLEM_TYPE, "cache-control": "no-store"}
    if found.retry_after:
        headers["retry-after"] = str(found.retry_after)
    if found.status == 401:
        headers["www-authenticate"] = 'Bearer realm="tocsin"'
    return headers
