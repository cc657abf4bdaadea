"""Bodies in and out of the console API: msgspec both ways, and the notes from which the OpenAPI document is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from fastapi import Request, Response

from tocsin.server.problems import Refusal

if TYPE_CHECKING:
    from tocsin.app import Tocsin
    from tocsin.core.records import Person

W = TypeVar("W")

LARGEST_BODY = 2_000_000
"""Bytes of a console request; events have their own door and limit."""

RETURNED: dict[str, Any] = {}
"""Types that some route gives, by name; filled by ``doc`` while the routes are declared."""
TAKEN: dict[str, Any] = {}
"""Types that some route takes, by name."""


def doc(returns: Any, takes: Any = None, *, status: int = 200) -> dict[str, Any]:
    """Return the arguments of a route that note what it gives and takes for the OpenAPI document."""
    RETURNED[returns.__name__] = returns
    extra: dict[str, Any] = {"x-returns": returns.__name__, "x-status": str(status)}
    if takes is not None:
        TAKEN[takes.__name__] = takes
        extra["x-takes"] = takes.__name__
    return {"openapi_extra": extra, "response_class": Response, "status_code": status}


def plain(value: Any) -> Any:
    """Return a value as JSON takes it, with every field of every struct, defaults too: readers need not know them."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def reply(value: Any, status: int = 200) -> Response:
    """Return a JSON response that no cache keeps."""
    return Response(
        msgspec.json.encode(plain(value)),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


async def raw_body(request: Request) -> bytes:
    """Return the body of a console request; 413 beyond ``LARGEST_BODY``."""
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise Refusal(413, "oversized", f"the request is larger than {LARGEST_BODY} bytes")
        parts.append(chunk)
    return b"".join(parts)


def read(body: bytes, kind: type[W]) -> W:
    """Return the wish in a body; the refusal names the place, never the value."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        field = place.strip("`").removeprefix("$").removeprefix(".")
        if reason.startswith("Invalid enum value"):
            reason = "Not one of the allowed words"
        raise Refusal(422, "wrong-type", reason, field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "malformed", "the body is not valid JSON") from error


def house(request: Request) -> Tocsin:
    """Return the installation that a request is for."""
    return cast("Tocsin", request.app.state.tocsin)


def own(request: Request, record: Any) -> bool:
    """Return whether a record is one that the caller may see: a key sees its own shop only."""
    shop = person(request).shop
    return record is not None and (not shop or record.shop == shop)


def within(request: Request, **words: str) -> dict[str, Any]:
    """Return a filter of the given words (several with commas), held to the caller's shop."""
    where: dict[str, Any] = {
        name: [word.strip() for word in value.split(",") if word.strip()] for name, value in words.items() if value
    }
    shop = person(request).shop
    return {**where, "shop": shop} if shop else where


def person(request: Request) -> Person:
    """Return who asks; the gate has put them there."""
    return cast("Person", request.state.person)
