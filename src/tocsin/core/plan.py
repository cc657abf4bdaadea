"""Plan: an incident and the playbooks become actions. Pure; conditions are evaluated by the callable that is given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.action import VERBS, Action, Expectation, action_id
from tocsin.core.events import Entity, split_subject, subject_of
from tocsin.core.signal import Text
from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tocsin.core.incident import Incident
    from tocsin.core.playbook import Playbook, Step

_PLACE = re.compile(r"\$\{([^}]*)\}")
_PLAIN = frozenset({"id", "shop", "kind", "subject", "title", "severity", "onset", "loss_per_minute", "currency"})
_LISTED = 10
"""How many keys of an entity a text names."""


def plan(
    incident: Incident,
    playbooks: Sequence[Playbook],
    conditions: Callable[[str, Incident], bool],
    now: int,
) -> Sequence[Action]:
    """Return the actions that the playbooks wish for an incident, in the order of playbooks, steps and targets.

    A playbook answers an incident when ``on`` names its kind, or the kind of any signal that joined it, and ``when``
    holds. The same incident planned again gives the same ids; a grown one gives more of them. ``conditions`` gets the
    CEL text and the incident. Misconfigured names playbook, step and place where a ``${...}`` cannot be filled.
    """
    wishes: list[Action] = []
    kinds = {incident.kind, *incident.kinds}
    for playbook in playbooks:
        if kinds.isdisjoint(playbook.on) or (playbook.when and not conditions(playbook.when, incident)):
            continue
        for number, step in enumerate(playbook.steps, 1):
            if step.when and not conditions(step.when, incident):
                continue
            filler = _Filler(incident, f"playbook {playbook.name}, step {number}")
            for target in _targets(step, filler)[: step.at_most]:
                wishes.append(_action(incident, playbook, number, step, target, filler, now))
    return wishes


def check_places(playbook: Playbook) -> None:
    """Raise Misconfigured where a ``${...}`` of the playbook names a path that no incident has."""
    for number, step in enumerate(playbook.steps, 1):
        where = f"playbook {playbook.name}, step {number}"
        series = step.expect.series if step.expect else ""
        for text in _strings([step.target, step.args, series]):
            for path in _PLACE.findall(text):
                if path != "target" or text is step.target:
                    _check_path(path, where)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _check_path(path: str, where: str) -> list[str]:
    root, *rest = path.split(".")
    good = root == "incident" and (
        (len(rest) == 1 and rest[0] in _PLAIN)
        or (len(rest) == 2 and rest[0] == "entities" and rest[1] in set(Entity))
        or (len(rest) >= 2 and rest[0] == "evidence" and all(rest))
    )
    if not good:
        known = ", ".join(f"incident.{name}" for name in sorted(_PLAIN))
        raise Misconfigured(
            f"{where}: ${{{path}}} names nothing; known are {known}, incident.entities.ENTITY, incident.evidence.NAME"
        )
    return rest


class _Filler:
    """Fills ``${...}`` places from one incident; ``target`` is the key that the step is at."""

    def __init__(self, incident: Incident, where: str) -> None:
        self.incident = incident
        self.where = where

    def value(self, path: str, target: str | None) -> Any:
        if path == "target" and target is not None:
            return target
        rest = _check_path(path, self.where)
        if rest[0] == "entities":
            return list(self.incident.entities.get(rest[1], ()))
        if rest[0] == "evidence":
            found: Any = self.incident.evidence
            for name in rest[1:]:
                if not isinstance(found, dict) or name not in found:
                    raise Misconfigured(
                        f"{self.where}: ${{{path}}} is not in the evidence of a {self.incident.kind} incident"
                    )
                found = found[name]
            return found
        if rest[0] == "subject":
            return split_subject(self.incident.subject)[1]
        return getattr(self.incident, rest[0])

    def fill(self, value: Any, target: str | None) -> Any:
        """Return the value with every place filled; a string that is one place alone takes the place's own type."""
        if isinstance(value, dict):
            return {name: self.fill(item, target) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.fill(item, target) for item in value]
        if not isinstance(value, str):
            return value
        alone = _PLACE.fullmatch(value)
        if alone:
            return msgspec.to_builtins(self.value(alone[1], target))
        return _PLACE.sub(lambda place: _as_text(self.value(place[1], target)), value)


def _as_text(value: Any) -> str:
    if isinstance(value, Text):
        return value.en
    if isinstance(value, list | tuple):
        more = len(value) - _LISTED
        return ", ".join(str(item) for item in value[:_LISTED]) + (f" (+{more})" if more > 0 else "")
    return str(value)


def _targets(step: Step, filler: _Filler) -> list[str]:
    """Return the subjects a step is done to; none where the incident names no entity of the verb's kind."""
    entity, incident = VERBS[step.verb].target, filler.incident
    if entity is None and not step.target:
        return [subject_of(Entity.SHOP, incident.shop)]
    if not step.target:
        keys: Any = [incident.shop] if entity is Entity.SHOP else list(incident.entities.get(str(entity), ()))
    else:
        if entity and step.target == "${incident.subject}" and split_subject(incident.subject)[0] != entity:
            return []
        keys = filler.fill(step.target, None)
    found = [str(key) for key in (keys if isinstance(keys, list) else [keys]) if key not in ("", None)]
    if entity is None:
        return list(dict.fromkeys(found))
    return list(dict.fromkeys(key if key.startswith(f"{entity}:") else subject_of(entity, key) for key in found))


def _action(
    incident: Incident, playbook: Playbook, number: int, step: Step, target: str, filler: _Filler, now: int
) -> Action:
    key = split_subject(target)[1]
    expect = step.expect
    if expect is not None:
        expect = Expectation(str(filler.fill(expect.series, key)), expect.direction, expect.within_s)
    return Action(
        id=action_id(incident.id, playbook.name, number, step.verb, target),
        shop=incident.shop,
        incident=incident.id,
        playbook=playbook.name,
        step=number,
        verb=step.verb,
        target=target,
        args=filler.fill(step.args, key),
        ttl_s=step.ttl_s or VERBS[step.verb].ttl_s,
        cost=step.cost,
        expect=expect,
        created=now,
    )
