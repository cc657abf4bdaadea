"""Playbook: what we would do. Data (YAML), conditions in CEL, steps that name verbs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tocsin.core.action import VERBS, Expectation
from tocsin.core.signal import Text
from tocsin.errors import Misconfigured


class Automation(StrEnum):
    """How far a playbook may go by itself. Everything new starts in suggest; auto is a named person's decision."""

    SUGGEST = "suggest"
    APPROVE = "approve"
    AUTO = "auto"


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One step: a verb, on whom, with what, for how long, and which series it should move.

    ``target`` and the strings in ``args`` may hold ``${path}`` places, filled from the incident:
    ``${incident.subject}`` (the key of the subject), ``${incident.entities.ip}`` (one action per value),
    ``${incident.evidence.name}``, ``${incident.id}``, ``${incident.title}``.
    """

    verb: str
    target: str = ""
    when: str = ""
    """CEL over ``incident``; empty means always."""
    args: dict[str, Any] = {}
    ttl_s: int = 0
    """0 takes the verb's own."""
    cost: int = 1
    expect: Expectation | None = None
    at_most: int = 50
    """How many targets one step may name in one incident."""


class Playbook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which incidents it answers (``on``: signal kinds; ``when``: CEL over ``incident``) and with which steps."""

    name: str
    title: Text
    on: tuple[str, ...]
    steps: tuple[Step, ...]
    version: int = 1
    when: str = ""
    automation: Automation = Automation.SUGGEST

    def __post_init__(self) -> None:
        """Refuse a playbook that names what does not exist."""
        if not self.on:
            raise Misconfigured(f"playbook {self.name}: 'on' names no signal kind")
        for number, step in enumerate(self.steps, 1):
            if step.verb not in VERBS:
                known = ", ".join(sorted(VERBS))
                raise Misconfigured(
                    f"playbook {self.name}, step {number}: unknown verb {step.verb!r}; known verbs: {known}"
                )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a playbook, for editors and for people who write one."""
    document = msgspec.json.schema(Playbook)
    document["$defs"]["Step"]["properties"]["verb"]["enum"] = sorted(VERBS)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def playbook_from(document: Any) -> Playbook:
    """Return the playbook of a parsed YAML document; Misconfigured names the place that is wrong."""
    if isinstance(document, dict) and True in document:
        # YAML 1.1 reads the bare key ``on`` as a boolean.
        document = {("on" if key is True else key): value for key, value in document.items()}
    try:
        return msgspec.convert(document, Playbook)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"playbook: {error}") from error
