"""Schemas: the event vocabulary for machines."""

import msgspec
from fastapi import APIRouter, Request, Response

from tocsin.core.schemas import schema_document
from tocsin.core.signal import Text
from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import NotFound
from tocsin.server import shapes
from tocsin.server.replies import doc, reply

router = APIRouter(tags=["schemas"])


@router.get("/v1/schemas", **doc(shapes.SchemaPage))
def schemas() -> Response:
    """List the event types."""
    return reply(
        shapes.SchemaPage(
            items=tuple(
                shapes.SchemaEntry(type=kind.name, meaning=Text(kind.meaning, kind.meaning_zh), version=kind.version)
                for kind in VOCABULARY.values()
            )
        )
    )


@router.get("/v1/schemas/{type}", **doc(dict))
def schema(request: Request, type: str) -> Response:
    """Return the JSON Schema (2020-12) of events of one type."""
    document = schema_document(type)
    if document is None:
        raise NotFound("the vocabulary has no such type; events of it are accepted as plain events")
    return Response(msgspec.json.encode(document), media_type="application/schema+json")
