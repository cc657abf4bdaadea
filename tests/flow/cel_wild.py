"""Random expressions over whole events: wrong types, any text, lists, event fields; and what evaluates them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.events import Event
from tocsin.flow.batch import FeatureTable, PlainBatch
from tocsin.flow.cel_single import Fused
from tocsin.flow.cel_values import CAUSES
from tocsin.flow.hashing import Hasher
from tocsin.flow.lists import Lists
from tocsin.flow.names import Names
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.flow.wide.rows import Rows

from .cel_random import FEATURES, INTS, REAL, TEXTS, WHOLE, WORDS, Maker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.cel import Program

STRANGE = (
    "中文",
    "é\u0301",
    "\U0001f600",
    "a\x00",
    "a\x00b",
    "card-1card-1",
    " 12",
    "10.0.0.300",
    "::ffff:10.0.0.7",
    "x" * 70,
)
WRONG: tuple[Any, ...] = (None, True, 1.5, 2**63, -(2**70), "1", [], {}, ["a"], 7, "")
TYPES = ("payment.attempted", "http.request", "order.placed", "shop.own")
NAMES, HASHER = Names(), Hasher()


def lists() -> Lists:
    """Return lists with values that expire, whole networks and texts."""
    found = Lists()
    for place, word in enumerate((*WORDS, *STRANGE[:4])):
        if place % 2:
            found.add("some", word, expires=(place % 3) * 40)
    for network in ("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"):
        found.add("nets", network, expires=30 if network[0] == "1" else 0)
    return found


class Wild(Maker):
    """Adds lists, event fields, unusual texts and field values of the wrong type."""

    def leaf(self, type_: str) -> str:
        pick = self.random.choice
        if self.random.random() < 0.2:
            if type_ == "int":
                return pick(["event.time", "event.tau", "event.seq"])
            if type_ == "string":
                return pick(["event.type", "event.subject", "event.shop", "'payment.attempted'", "'中文'", r"'a\x00'"])
        return super().leaf(type_)

    def _bool(self, depth: int) -> str:
        way = self.random.randrange(20)
        if way == 0:
            return f"in_list('some', {self.make(self.random.choice(['string', 'int']), depth)})"
        if way == 1:
            return f"in_cidr('nets', {self.make('string', depth)})"
        if way == 2:
            return f"(data.{self.random.choice(TEXTS)} in {[*WORDS[: self.random.randrange(1, 12)], 'z', '中文', 'q']})"
        if way == 3:
            return f"(data.{self.random.choice(TEXTS)} == data.{self.random.choice(TEXTS)})"
        if way == 4:
            return f"(data.{self.random.choice(INTS)} != null)"
        return super()._bool(depth)

    def events(self, count: int) -> list[tuple[Event, dict[str, float], float | None]]:
        """Return events with their features and score."""
        found = []
        for seq in range(count):
            env = self.row()
            data = {
                name: self.random.choice(WRONG if self.random.random() < 0.5 else STRANGE)
                if self.random.random() < 0.15
                else value
                for name, value in env["data"].items()
            }
            event = Event(
                id=f"e{seq}",
                source="t",
                type=self.random.choice(TYPES),
                time=seq,
                tau=seq,
                seq=seq + 1,
                subject=self.random.choice(WORDS + STRANGE[:3]),
                data=data,
            )
            found.append((event, env["features"], env.get("score")))
        return found


def lines_of(events: Sequence[Event]) -> PlainBatch:
    """Return events as rows of a chunk."""
    from tocsin.flow.wide.lines import Chunk, LineRows

    chunk = Chunk(NAMES, HASHER, capacity=len(events))
    for row, event in enumerate(events):
        chunk.append(event)
        chunk.taus[row], chunk.seqs[row] = event.tau, event.seq
    return LineRows(chunk)


class Sample:
    """Events with features, scores and lists, and the ways to evaluate a program on them."""

    def __init__(
        self, rows: Sequence[tuple[Event, dict[str, float], float | None]], held: Lists, *, lines: bool = True
    ) -> None:
        self.rows, self.lists = rows, held
        self.events = [event for event, _, _ in rows]
        n = len(rows)
        self.table = FeatureTable(n, {name: np.array([row[1].get(name, np.nan) for row in rows]) for name in FEATURES})
        self.scores = np.array([np.nan if row[2] is None else row[2] for row in rows])
        self.wide = Rows(self.events, NAMES, HASHER)
        self.plain = PlainBatch(self.events)
        self.lines = lines_of(self.events) if lines and AVAILABLE else self.plain

    def alone(self, program: Program) -> list[Any]:
        """Return value or cause by row, each computed by the scalar evaluation."""
        found = []
        for event, features, score in self.rows:
            fields = {n: getattr(event, n) for n in ("type", "time", "tau", "subject", "shop", "source", "id", "seq")}
            env = {"event": fields, "data": event.data, "features": features, "score": score}
            one = program.one(env, self.lists, event.tau)
            found.append(one.error or (one.value,))
        return found

    def columns(self, program: Program, batch: PlainBatch) -> list[Any]:
        """Return value or cause by row, computed on columns of ``wide``, ``plain`` or ``lines``."""
        values, codes = program.values(batch, self.table, self.scores, self.lists)
        return [CAUSES[code] if code else (value,) for value, code in zip(values.tolist(), codes.tolist(), strict=True)]

    def fused(self, programs: Sequence[Program]) -> list[list[Any]]:
        """Return by program value or cause by row, of one fused function of all."""
        fused = Fused(programs)
        found: list[list[Any]] = [[] for _ in programs]
        for event, features, score in self.rows:
            hits, faults = fused.run(event, features, score, self.lists)
            causes = dict(faults)
            for place, one in enumerate(found):
                one.append(causes.get(place) or (place in hits,))
        return found


def differences(program: Program, expected: list[Any], found: list[Any]) -> list[str]:
    """Return where two evaluations differ; values are equal with their types, NaN is NaN."""
    return [
        f"{program.text} row {row}: {want!r} and {got!r}"
        for row, (want, got) in enumerate(zip(expected, found, strict=True))
        if repr(want) != repr(got)
    ]


__all__ = ["REAL", "WHOLE", "Sample", "Wild", "differences", "lists"]
