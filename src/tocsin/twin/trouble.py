"""Trouble: YAML specs of documented primitives, and what they do to the store at a given moment.

A part reaches its full strength after ``ramp_s`` and stops at its end at once. Effects of overlapping parts add up
(rates, milliseconds), multiply (factors) or join (failure shares: 1 - product of what is left).
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import yaml

from tocsin.core.events import HOUR, SECOND
from tocsin.errors import Misconfigured
from tocsin.twin.draws import Draws
from tocsin.twin.world import EPOCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STRENGTHS = ("weak", "medium", "strong")
NAMES = ("card-testing", "request-flood", "gateway-outage")


class Mix(msgspec.Struct, frozen=True):
    """Who a group of crooks is: how many addresses, devices, cards, accounts; and how well they hide."""

    ips: int = 1
    devices: int = 1
    cards: int = 0
    accounts: int = 0
    live: float = 0.15
    disguised: float = 0.0
    paths: tuple[str, ...] = ("/",)
    low: int = 100
    high: int = 1000


class Part(msgspec.Struct, frozen=True):
    """One primitive at one strength, in force in [start, end) of absolute time."""

    id: str
    primitive: str
    stream: str
    group: str
    start: int
    end: int
    ramp: int
    strength: float
    where: dict[str, list[str]]
    numbers: dict[str, float]
    code: str = ""

    def intensity(self, time: int) -> float:
        """Return how far it goes at that moment: 0 outside, rising over the ramp to ``strength``."""
        if not self.start <= time < self.end:
            return 0.0
        if self.ramp <= 0:
            return self.strength
        return self.strength * min(1.0, (time - self.start) / self.ramp)

    def acts_on(self, attributes: Mapping[str, str]) -> bool:
        """Whether every filter holds for something with these attributes."""
        for name, words in self.where.items():
            value = attributes.get(name, "")
            if not (any(value.startswith(word) for word in words) if name == "path" else value in words):
                return False
        return True


class Trouble(msgspec.Struct, frozen=True):
    """A drill at one strength with its start chosen: the truth."""

    name: str
    strength: str
    start: int
    end: int
    parts: tuple[Part, ...]
    groups: dict[str, Mix]
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def _in_force(self, primitive: str, stream: str, time: int) -> Iterable[tuple[Part, float]]:
        for part in self.parts:
            if part.primitive == primitive and part.stream == stream and part.start <= time < part.end:
                yield part, part.intensity(time)

    def factor(self, primitive: str, stream: str, attributes: Mapping[str, str], time: int) -> float:
        """Return what values, times, prices or rates are multiplied by."""
        product = 1.0
        for part, intensity in self._in_force(primitive, stream, time):
            if "factor" in part.numbers and not part.group and part.acts_on(attributes):
                product *= max(1.0 + (part.numbers["factor"] - 1.0) * intensity, 0.0)
        return product

    def added_ms(self, stream: str, attributes: Mapping[str, str], time: int) -> float:
        """Return the milliseconds that latency parts add."""
        return sum(
            part.numbers.get("add_ms", 0.0) * intensity
            for part, intensity in self._in_force("latency", stream, time)
            if part.acts_on(attributes)
        )

    def failure(self, stream: str, attributes: Mapping[str, str], time: int) -> tuple[float, str]:
        """Return (share that fails, reason code)."""
        left, code = 1.0, ""
        for part, intensity in self._in_force("failure", stream, time):
            if part.acts_on(attributes):
                left *= 1.0 - min(part.numbers["share"] * intensity, 1.0)
                code = code or part.code or "failed"
        return 1.0 - left, code


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a drill."""
    text = resources.files("tocsin.twin").joinpath("drills/schema.json").read_text("utf-8")
    return dict(json.loads(text))


def named(name: str) -> dict[str, Any]:
    """Return the spec of a drill that comes with Tocsin; Misconfigured where there is none of that name."""
    if name not in NAMES:
        raise Misconfigured(f"there is no drill {name!r}; there are: {', '.join(NAMES)}, all")
    return parse(resources.files("tocsin.twin").joinpath(f"drills/{name}.yaml").read_text("utf-8"), name)


def read(path: Path) -> dict[str, Any]:
    """Return the checked spec of a file; Misconfigured names the place that is wrong."""
    try:
        return parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: cannot be read: {error}") from error


def parse(text: str, origin: str = "spec") -> dict[str, Any]:
    """Return the checked spec of a YAML text; Misconfigured names the place that is wrong."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Misconfigured(f"{origin}: not YAML: {error}") from error
    validator = jsonschema.Draft202012Validator(schema())
    fault = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if fault is not None:
        raise Misconfigured(f"{origin}: {_place(fault.absolute_path)}: {fault.message[:300]}")
    _check(document, origin)
    return dict(document)


def _place(path: Iterable[str | int]) -> str:
    place = ""
    for step in path:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else step
    return place or "the document"


def _check(document: dict[str, Any], origin: str) -> None:
    """Refuse what a schema cannot say: unknown references and maps without one of the strengths."""
    strengths = document.get("strengths", ["medium"])
    parts = document["parts"]
    earlier: set[str] = set()
    rated = {part.get("group") for part in parts if part["primitive"] == "rate"}
    for name in ("start", "begin_hour"):
        between = document[name]["between"] if isinstance(document.get(name), dict) else (0, 0)
        if between[0] > between[1]:
            raise Misconfigured(f"{origin}: {name}.between: the first number must not be above the second")
    for number, part in enumerate(parts):
        place = f"{origin}: parts[{number}]"
        if "after" in part and part["after"] not in earlier:
            raise Misconfigured(f"{place}.after: no earlier part has the id {part['after']!r}")
        if "overlap_s" in part and "after" not in part:
            raise Misconfigured(f"{place}.overlap_s: needs 'after'")
        if part["primitive"] == "mix" and part["group"] not in rated:
            raise Misconfigured(f"{place}.group: no rate part brings the group {part['group']!r}")
        for name, value in part.items():
            missing = [word for word in strengths if isinstance(value, dict) and word not in value]
            if name != "where" and missing:
                raise Misconfigured(f"{place}.{name}: no value for strength {missing[0]!r}")
        _check_range(part, place)
        earlier.add(part.get("id", f"part-{number}"))


_SHARES = ("share", "live", "disguised")
_COUNTS = ("per_minute", "factor", "ips", "devices", "cards", "accounts", "low", "high", "add_ms", "set", "strength")


def _check_range(part: dict[str, Any], place: str) -> None:
    for name in (*_SHARES, *_COUNTS):
        value = part.get(name)
        for number in value.values() if isinstance(value, dict) else () if value is None else (value,):
            if number < 0 or (name in _SHARES and number > 1):
                bound = "between 0 and 1" if name in _SHARES else "0 or more"
                raise Misconfigured(f"{place}.{name}: {number} must be {bound}")


def strengths_of(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the strengths that a drill comes in."""
    return tuple(spec.get("strengths", ("medium",)))


def begin_of(spec: Mapping[str, Any], *, seed: int, strength: str) -> int:
    """Return the moment at which the run of a drill begins: the seed chooses the time of day where the spec lets it."""
    hour: float | dict[str, list[float]] = spec.get("begin_hour", 8)
    draws = Draws(seed, "begin", spec["name"], strength)
    chosen = draws.between(*hour["between"]) if isinstance(hour, dict) else hour
    return EPOCH + int(chosen * HOUR)


def horizon_of(spec: Mapping[str, Any], trouble: Trouble) -> int:
    """Return the moment at which the run ends."""
    return trouble.end + int(float(spec.get("cool_down_s", 900)) * SECOND)


def compose(spec: Mapping[str, Any], *, seed: int, strength: str, begin: int) -> Trouble:
    """Return the trouble of a checked spec: numbers of that strength, start chosen by the seed after the warm-up."""
    if strength not in strengths_of(spec):
        raise Misconfigured(f"{spec['name']}: strength {strength!r}; there are: {', '.join(strengths_of(spec))}")
    draws = Draws(seed, "trouble", spec["name"], strength)
    start = spec.get("start", 0)
    offset = draws.between(*start["between"]) if isinstance(start, dict) else start
    first = begin + round((spec.get("warm_up_s", 0) + offset) * SECOND)
    last = first + round(spec["duration_s"] * SECOND)
    parts: list[Part] = []
    mixes: dict[str, dict[str, Any]] = {}
    for number, raw in enumerate(spec["parts"]):
        part = _part(raw, number, strength, first, last, parts)
        parts.append(part)
        if part.group:
            described = mixes.setdefault(part.group, {})
            if part.primitive in ("mix", "value"):
                described.update(part.numbers)
                if "paths" in raw:
                    described["paths"] = tuple(raw["paths"])
    groups = {name: msgspec.convert(_whole(numbers), Mix) for name, numbers in mixes.items()}
    expect = spec.get("expect", {})
    return Trouble(
        name=spec["name"],
        strength=strength,
        start=first,
        end=max(last, *(part.end for part in parts)),
        parts=tuple(parts),
        groups=groups,
        kinds=tuple(expect.get("kinds", ())),
        subjects=tuple(expect.get("subjects", _broken(parts))),
    )


def _broken(parts: Iterable[Part]) -> list[str]:
    """Return the subjects that parts name themselves: gateways that fail or are slow."""
    failing = [part for part in parts if part.primitive in ("failure", "latency")]
    return sorted({f"service:{name}" for part in failing for name in part.where.get("gateway", ())})


def _part(raw: Mapping[str, Any], number: int, strength: str, first: int, last: int, earlier: list[Part]) -> Part:
    def of(name: str) -> float:
        value = raw[name]
        return float(value[strength] if isinstance(value, dict) else value)

    begin = first + round(raw.get("start_s", 0) * SECOND)
    if "after" in raw:
        before = next(part for part in earlier if part.id == raw["after"])
        begin = max(first, before.end - round(raw.get("overlap_s", 0) * SECOND))
    finish = begin + round(raw["duration_s"] * SECOND) if "duration_s" in raw else last
    return Part(
        id=raw.get("id", f"part-{number}"),
        primitive=raw["primitive"],
        stream=raw["stream"],
        group=raw.get("group", ""),
        start=begin,
        end=finish,
        ramp=round(raw.get("ramp_s", 0) * SECOND),
        strength=of("strength") if "strength" in raw else 1.0,
        where={name: list(words) for name, words in raw.get("where", {}).items()},
        numbers={name: of(name) for name in (*_SHARES, *_COUNTS) if name in raw and name != "strength"},
        code=raw.get("code", ""),
    )


def _whole(numbers: Mapping[str, Any]) -> dict[str, Any]:
    counted = {"ips", "devices", "cards", "accounts", "low", "high"}
    known = {field.name for field in msgspec.structs.fields(Mix)}
    return {name: round(value) if name in counted else value for name, value in numbers.items() if name in known}
