"""Fused functions, made: blocks of generated source over one event, with the fields that they share fetched once."""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tocsin.flow.cel_fused import Writer
from tocsin.flow.cel_scalar import Env
from tocsin.flow.lists import Lists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.core.events import Event
    from tocsin.flow.cel import Program
    from tocsin.flow.cel_pieces import Truth
    from tocsin.flow.cel_syntax import Node

BLOCK = 24
"""Expressions in one generated function, about: compiling it holds the interpreter for some milliseconds."""
NO_LISTS = Lists()
NO_ITEM: Mapping[str, Any] = {}
_FETCH = {
    "string": "v if (v := {get}).__class__ is str else None",
    "int": "v if (v := {get}).__class__ is int and INT_MIN <= v <= INT_MAX else None",
    "double": "(v if v == v else None) if (v := {get}).__class__ is float else "
    "float(v) if v.__class__ is int else None",
    "bool": "v if (v := {get}).__class__ is bool else None",
    "dyn": "{get}",
}
_ARGUMENTS = "e, d, x, s, it, lists, tau"
_ENV = "    env = Env({'event': Fields(e), 'data': d, 'features': x, 'score': s, 'item': it}, lists, tau)"


class Fields:
    """An event as a mapping of the fields that expressions read."""

    __slots__ = ("_event",)

    def __init__(self, event: Event) -> None:
        self._event = event

    def get(self, name: str) -> Any:
        """Return a field of the event."""
        return getattr(self._event, name)


class Block:
    """A generated function over one event; ``fields`` are the values that it takes, in order."""

    __slots__ = ("features", "fields", "run", "source")

    def __init__(self, trees: Sequence[Node]) -> None:
        writer = Writer()
        writer.bound.update(Env=Env, Fields=Fields)
        lines = [line for place, tree in enumerate(trees) for line in _lines(place, writer.truth(tree))]
        self.fields = tuple(writer.fields)
        self.features = "env" in writer.used or any(root == "features" for root, _, _ in self.fields)
        head = [f"def block(v, m, {_ARGUMENTS}, hits, faults):", "    hit, fault = hits.append, faults.append"]
        if self.fields:
            head.append(f"    ({' '.join(f'{local},' for local in writer.fields.values())}) = v")
        if "in_list" in writer.used:
            head.append("    holds = lists.holds")
        if "in_cidr" in writer.used:
            head.append("    covers = lists.covers")
        if "env" in writer.used:
            head.append(_ENV)
        self.source = "\n".join([*head, *lines])
        """The generated source; its constants are bound, not written out."""
        self.run = _compiled(self.source, "block", writer.bound)


@lru_cache(maxsize=512)
def block_of(programs: tuple[Program, ...]) -> Block:
    """Return the block of these programs; made once for the same ones."""
    return Block([program.tree for program in programs])


class Fused:
    """Expressions over one event as generated functions.

    Parameters
    ----------
    programs
        Boolean (or dynamic) ones, as ``cel.Program``.
    names
        What tells them apart while others come and go (the rules' ids): a change touches few blocks.
    """

    __slots__ = ("_blocks", "_fetch", "features")

    def __init__(self, programs: Sequence[Program], names: Sequence[str] = ()) -> None:
        count = 1
        while count * BLOCK < len(programs):
            count *= 2
        buckets: dict[int, list[int]] = {}
        for place in range(len(programs)):
            bucket = crc32(names[place].encode("utf-8", "surrogatepass")) % count if names else place % count
            buckets.setdefault(bucket, []).append(place)
        parts = [
            (block_of(tuple(programs[place] for place in places[start : start + 2 * BLOCK])), places[start:])
            for places in buckets.values()
            for start in range(0, len(places), 2 * BLOCK)
        ]
        fields = {field: None for block, _ in parts for field in block.fields}
        place_of = {field: place for place, field in enumerate(fields)}
        self._fetch = _fetching(tuple(fields))
        self._blocks = [
            (block.run, _picker([place_of[field] for field in block.fields]), places) for block, places in parts
        ]
        self.features = any(block.features for block, _ in parts)
        """Whether any of them reads features."""

    def run(
        self,
        event: Event,
        features: Mapping[str, float | None],
        score: float | None,
        lists: Lists | None,
        item: Mapping[str, Any] = NO_ITEM,
    ) -> tuple[list[int], list[tuple[int, str]]]:
        """Return (places that are true; (place, cause) of those that failed), in no order.

        ``features`` are floats by name, None or absent where missing, never NaN; the same holds for ``score``.
        """
        hits: list[int] = []
        faults: list[tuple[int, str]] = []
        data, tau = event.data, event.tau
        lists = NO_LISTS if lists is None else lists
        values = self._fetch(event, data, features, score, item)
        for block, picked, places in self._blocks:
            block(picked(values), places, event, data, features, score, item, lists, tau, hits, faults)
        return hits, faults


def _picker(places: list[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return what takes these places out of the fetched values."""
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda values: (values[places[0]],)) if places else (lambda values: ())


@lru_cache(maxsize=256)
def _fetching(fields: tuple[tuple[str, str, str], ...]) -> Callable[..., Any]:
    """Return the function that fetches these fields of an event, None where one is missing or of another type."""
    writer = Writer()
    parts = []
    for root, name, type_ in fields:
        if root == "event":
            parts.append(f"e.{name}")
        elif root == "score":
            parts.append("s")
        elif root == "features":
            parts.append(f"x({writer.constant(name)})")
        else:
            get = "d" if root == "data" else "it"
            parts.append(_FETCH[type_].format(get=f"{get}({writer.constant(name)})"))
    source = f"def fetch(e, d, x, s, it):\n    d, x, it = d.get, x.get, it.get\n    return [{', '.join(parts)}]"
    return _compiled(source, "fetch", writer.bound)


def _lines(place: int, truth: Truth) -> list[str]:
    if not truth.cause:
        return [f"    if {truth.true}:", f"        hit(m[{place}])"]
    return [
        f"    if not ({truth.false}):",
        f"        if {truth.true}:",
        f"            hit(m[{place}])",
        "        else:",
        f"            fault((m[{place}], {truth.cause}))",
    ]


def _compiled(source: str, name: str, bound: dict[str, Any]) -> Callable[..., Any]:
    exec(compile(source, "<rules>", "exec"), bound)  # written above from checked trees; no text of a rule is in it
    function: Callable[..., Any] = bound[name]
    return function
