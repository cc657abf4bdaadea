"""JSON Schemas of events, generated from the vocabulary.

Reference: JSON Schema 2020-12; CloudEvents 1.0.2 JSON format.
"""

from __future__ import annotations

from typing import Any

from tocsin.core.events import EventType, Field, Kind
from tocsin.core.vocabulary import VOCABULARY

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TIME: dict[str, Any] = {
    "description": "RFC 3339 with an offset, or integer microseconds since 1970",
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}],
}
_KEY: dict[str, Any] = {"type": ["string", "integer"], "maxLength": 1024}
_MONEY: dict[str, Any] = {"type": "integer", "minimum": -(10**15), "maximum": 10**15}
_KINDS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer", "minimum": -(10**15), "maximum": 10**15},
    Kind.NUMBER: {"type": "number"},
    Kind.MONEY: _MONEY,
    Kind.CURRENCY: {"type": "string", "pattern": "^[A-Z]{3}$"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.TIME: _TIME,
    Kind.KEY: _KEY,
    Kind.IP: {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    Kind.ITEMS: {
        "type": "array",
        "maxItems": 10_000,
        "items": {
            "type": "object",
            "required": ["sku", "quantity"],
            "properties": {
                "sku": _KEY,
                "quantity": {"type": "integer", "minimum": 0},
                "price": {**_MONEY, "description": "unit price in minor units"},
                "name": {"type": "string"},
            },
        },
    },
    Kind.TEXTS: {"type": "array", "items": {"type": "string"}},
    Kind.OBJECT: {"type": "object"},
}


def field_schema(field: Field) -> dict[str, Any]:
    """Return the schema of one field with its meaning, unit and privacy class."""
    schema: dict[str, Any] = {
        **_KINDS[field.kind],
        "description": field.meaning + (f", in {field.unit}" if field.unit else ""),
        "x-meaning-zh": field.meaning_zh,
        "x-privacy": field.privacy.value,
    }
    if field.entity is not None:
        schema["x-entity"] = field.entity.value
    if field.choices:
        schema["enum"] = list(field.choices)
    return schema


def data_schema(kind: EventType) -> dict[str, Any]:
    """Return the schema of the data of one event type; unknown fields are allowed."""
    return {
        "type": "object",
        "required": [field.name for field in kind.fields if field.required],
        "properties": {field.name: field_schema(field) for field in kind.fields},
    }


def event_schema(kind: EventType | None = None) -> dict[str, Any]:
    """Return the schema of a whole event of one type, or of any event."""
    data: dict[str, Any] = {"type": "object"} if kind is None else data_schema(kind)
    type_: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 512}
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["id", "source", "type"] + (["data"] if kind is not None and data["required"] else []),
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1, "maxLength": 512},
            "source": {"type": "string", "minLength": 1, "maxLength": 512},
            "type": type_ if kind is None else {"const": kind.name},
            "time": _TIME,
            "subject": {"type": "string", "maxLength": 1024, "description": "entity:key, for instance ip:203.0.113.7"},
            "shop": {"type": "string", "maxLength": 512},
            "data": data,
        },
    }
    if kind is not None:
        schema |= {"title": kind.name, "description": kind.meaning, "x-meaning-zh": kind.meaning_zh}
    return schema


def schema_document(name: str) -> dict[str, Any] | None:
    """Return the JSON Schema document of an event type, or None where the vocabulary has no such type."""
    kind = VOCABULARY.get(name)
    if kind is None:
        return None
    return {"$schema": DIALECT, "$id": f"urn:tocsin:event:{name}:{kind.version}", **event_schema(kind)}
