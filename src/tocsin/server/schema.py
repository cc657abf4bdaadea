"""The OpenAPI 3.1 document: routes from FastAPI, shapes from msgspec, events from the vocabulary.

``tocsin openapi`` and ``python -m tocsin.server.schema`` write it to standard output; the committed copy is
docs/openapi.json.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin import __version__
from tocsin.core.schemas import data_schema, event_schema
from tocsin.core.vocabulary import VOCABULARY
from tocsin.server import shapes
from tocsin.server.problems import PROBLEM_TYPE, Problem
from tocsin.server.replies import RETURNED, TAKEN

if TYPE_CHECKING:
    from fastapi import FastAPI

REF = "#/components/schemas/"
EVENT_TYPES = "application/cloudevents+json", "application/json"
BATCH_TYPES = "application/cloudevents-batch+json"
_SPECIAL = {"/metrics": "text/plain", "/v1/live": "text/event-stream"}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an app; the same routes give the same document, byte for byte."""
    from fastapi.openapi.utils import get_openapi

    raw = get_openapi(
        title="Tocsin",
        version=__version__,
        summary="The emergency desk of an online store",
        description=(
            "Times are integer microseconds since 1970 (UTC), money is integer minor units. Machines send "
            "`Authorization: Bearer KEY`; browsers a session cookie, and `X-CSRF-Token` on writes. Errors are "
            "problem+json (RFC 9457)."
        ),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        routes=app.routes,
    )
    components = _components()
    for path, item in raw["paths"].items():
        for method, operation in item.items():
            _finish(path, method, operation, components)
    for path, item in _machine_doors().items():
        raw["paths"][path] = {**raw["paths"].get(path, {}), **item}
    raw["paths"] = dict(sorted(raw["paths"].items()))
    raw["components"] = {"schemas": components, "securitySchemes": _SECURITY}
    raw["security"] = [{"key": []}, {"session": []}]
    return raw


_SECURITY: dict[str, Any] = {
    "key": {"type": "http", "scheme": "bearer", "description": "API key with scopes events, verdicts, read, act"},
    "session": {"type": "apiKey", "in": "cookie", "name": "tocsin_session"},
}


def _finish(path: str, method: str, operation: dict[str, Any], known: dict[str, Any]) -> None:
    returns, status = operation.pop("x-returns"), operation.pop("x-status")
    takes = operation.pop("x-takes", None)
    words = path.removeprefix("/v1/").strip("/").replace("{", "by-").replace("}", "").replace("/", "-")
    operation["operationId"] = f"{method}-{words}"
    media = _SPECIAL.get(path, "application/json")
    schema: dict[str, Any] = {"$ref": f"{REF}{returns}"}
    if returns == "dict":
        media, schema = "application/schema+json", {"type": "object"}
    elif returns == "str":
        schema = {"type": "string"}
    operation["responses"] = {
        status: {"description": "done", "content": {media: {"schema": schema}}},
        "default": _PROBLEM,
    }
    if takes:
        name = f"{takes}Input" if f"{takes}Input" in known else takes
        body = {"application/json": {"schema": {"$ref": f"{REF}{name}"}}}
        operation["requestBody"] = {"required": True, "content": body}


_PROBLEM: dict[str, Any] = {
    "description": "a refusal",
    "content": {PROBLEM_TYPE: {"schema": {"$ref": f"{REF}Problem"}}},
}


def _machine_doors() -> dict[str, Any]:
    """Return the two doors that FastAPI does not serve (``server/intake.py``)."""
    one: dict[str, Any] = {"schema": {"$ref": f"{REF}Event"}}
    many: dict[str, Any] = {"schema": {"type": "array", "items": {"$ref": f"{REF}Event"}}}
    either: dict[str, Any] = {"schema": {"anyOf": [one["schema"], many["schema"]]}}
    encoding = {
        "name": "Content-Encoding",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "enum": ["gzip", "identity"]},
    }
    events = {
        "tags": ["doors"],
        "summary": "Send events",
        "description": (
            "One event, a batch, or lines. What is acknowledged is on disk. A refused event of a batch refuses only "
            "itself and is kept as a dead letter; a known (source, id) is acknowledged and ignored. At most 1 MB an "
            "event and 16 MB a request unless configured otherwise, after decompression."
        ),
        "operationId": "post-events",
        "parameters": [encoding],
        "requestBody": {
            "required": True,
            "content": {
                EVENT_TYPES[0]: one,
                BATCH_TYPES: many,
                EVENT_TYPES[1]: either,
                "application/x-ndjson": {"schema": {"type": "string", "description": "one event a line"}},
            },
        },
        "responses": {
            "202": {
                "description": "accepted",
                "content": {"application/json": {"schema": {"$ref": f"{REF}Accepted"}}},
            },
            **{status: _PROBLEM | {"description": text} for status, text in _DOOR_PROBLEMS.items()},
            "default": _PROBLEM,
        },
        "security": [{"key": []}],
    }
    verdicts = {
        "tags": ["doors"],
        "summary": "Ask for a verdict on one event",
        "description": (
            "The event is accepted and judged. After the configured deadline (100 ms) the configured answer is served "
            "and marked as late; a repeated request gets the recorded verdict, marked as replayed."
        ),
        "operationId": "post-verdicts",
        "parameters": [encoding],
        "requestBody": {"required": True, "content": dict.fromkeys(EVENT_TYPES, one)},
        "responses": {
            "200": {
                "description": "the answer",
                "content": {"application/json": {"schema": {"$ref": f"{REF}VerdictAnswer"}}},
            },
            **{status: _PROBLEM | {"description": text} for status, text in _DOOR_PROBLEMS.items() if status != "503"},
            "default": _PROBLEM,
        },
        "security": [{"key": []}],
    }
    taken: dict[str, Any] = {"/v1/events": {"post": events}}
    taken["/v1/verdicts"] = {"post": verdicts}
    return taken


_DOOR_PROBLEMS = {
    "400": "the request or its only event is not right; field and code say what",
    "401": "no key, or one that is not known",
    "413": "the request or its only event is too large",
    "415": "a content type or encoding that is not spoken here",
    "429": "the queue is full: nothing of the request was accepted; Retry-After says when to come again",
    "503": "the journal refuses: nothing of the request was accepted",
}


def _components() -> dict[str, Any]:
    """Return all shapes. In answers every field is there; what is taken may leave out what has a default."""
    noted = {name: kind for name, kind in RETURNED.items() if kind not in (dict, str)}
    given = _shapes([*noted.values(), shapes.Accepted, shapes.VerdictAnswer, Problem])
    for name, schema in given.items():
        if name != "Problem" and "properties" in schema:
            schema["required"] = list(schema["properties"])
    given |= _taken(given)
    given["Event"] = {"description": "a CloudEvents 1.0 event in JSON", **event_schema()}
    for kind in VOCABULARY.values():
        given[f"data.{kind.name}"] = {
            "title": kind.name,
            "description": f"data of {kind.name}: {kind.meaning}",
            **data_schema(kind),
        }
    return dict(sorted(given.items()))


def _input(name: str, given: dict[str, Any], taken: dict[str, Any]) -> str:
    """Return the name of a shape as it is taken: its own, or with ``Input`` where answers have a stricter one."""
    return f"{name}Input" if name in given and given[name] != taken[name] else name


def _taken(given: dict[str, Any]) -> dict[str, Any]:
    taken = _shapes(list(TAKEN.values()))
    names = {name: _input(name, given, taken) for name in taken}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: REF + names[one.removeprefix(REF)] if key == "$ref" else renamed(one) for key, one in value.items()
            }
        return [renamed(one) for one in value] if isinstance(value, list) else value

    return {names[name]: renamed(schema) for name, schema in taken.items()}


def _shapes(kinds: list[Any]) -> dict[str, Any]:
    """Return the components of these types; an object of any content says so, for generators of types."""
    _, components = msgspec.json.schema_components(kinds, ref_template=REF + "{name}")

    def opened(value: Any) -> Any:
        if isinstance(value, list):
            return [opened(one) for one in value]
        if not isinstance(value, dict):
            return value
        if value.get("type") == "object" and not value.keys() & {"properties", "additionalProperties"}:
            return {**value, "additionalProperties": True}
        return {key: opened(one) for key, one in value.items()}

    return {name: opened(schema) for name, schema in components.items()}


def written(app: FastAPI) -> bytes:
    """Return the document as it is committed."""
    return (json.dumps(document(app), indent=2, ensure_ascii=False) + "\n").encode()


def main() -> None:
    """Write the document to standard output."""
    from tocsin.server.api import console_api

    sys.stdout.buffer.write(written(console_api()))


if __name__ == "__main__":
    main()
