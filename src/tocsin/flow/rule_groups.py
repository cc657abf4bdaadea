"""Groups: rules that run together: on the rule machine, or, without compiled kernels, fused or over NumPy columns."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_single import Fused
from tocsin.flow.cel_views import View
from tocsin.flow.wide.jit import AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tocsin.core.events import Event
    from tocsin.flow.batch import FeatureTable, PlainBatch
    from tocsin.flow.lists import Lists
    from tocsin.flow.machine.machine import Machine
    from tocsin.flow.rules import Ready

SAMPLE = 64
"""One run in so many is timed, rule by rule in columns, all alike in fused functions."""
ALONE = 8
"""So few events go one by one without a look at what their types have in common."""
ROW_US, ROW_RULE_US, RULE_US = 4.5, 0.06, 7.0
"""What a row costs in a fused function, a rule more in it, and a rule over columns (measured): the cheaper way runs."""


class Keys(dict[tuple[int, str], str]):
    """The counter of a rule's error: (place in its part, cause) -> key, made at first use."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__()
        self._ids = ids

    def __missing__(self, fault: tuple[int, str]) -> str:
        key = self[fault] = f"rule_error:{self._ids[fault[0]]}:{fault[1]}"
        return key


class Part:
    """The rules of a group that look at the same event types; ``rules`` are (place in the group, rule)."""

    __slots__ = ("faults", "fused", "keys", "places", "readies", "rules", "shared", "types")

    def __init__(self, types: tuple[str, ...], rules: Sequence[tuple[int, Ready]]) -> None:
        self.types, self.rules = types, rules
        self.readies = [ready for _, ready in rules]
        self.places = [place for place, _ in rules]
        times = Counter(key for ready in self.readies for key in ready.program.subtrees)
        self.shared = frozenset(key for key, count in times.items() if count > 1)
        self.keys = Keys([ready.rule.id for ready in self.readies])
        self.faults: Counter[tuple[int, str]] = Counter()
        """Errors on single events: (place in the part, cause)."""
        self.fused = Fused([ready.program for ready in self.readies], [ready.rule.id for ready in self.readies])

    def one_by_one(self, rows: int) -> bool:
        """Return whether so few rows are cheaper fused than as columns."""
        return rows * (ROW_US + ROW_RULE_US * len(self.rules)) < RULE_US * len(self.rules)


class Tally:
    """What one run has found: rows by rule; hits and errors are counted as they come."""

    def __init__(self, counters: Counter[str]) -> None:
        self.found: dict[int, tuple[Ready, list[int]]] = {}
        self.counters = counters

    def fired(self, place: int, ready: Ready, rows: list[int]) -> None:
        """Take in rows on which a rule fired."""
        self.counters[f"rule:{ready.rule.id}"] += len(rows)
        ready.hits += len(rows)
        before = self.found.setdefault(place, (ready, rows))[1]
        if before is not rows:
            before.extend(rows)

    def failed(self, ready: Ready, cause: str, times: int) -> None:
        """Take in rows on which a rule came to an error."""
        self.counters[f"rule_error:{ready.rule.id}:{cause}"] += times
        ready.errors[cause] = ready.errors.get(cause, 0) + times

    def result(self) -> list[tuple[Ready, list[int]]]:
        """Return the rules that fired, in their order."""
        return [pair for _, pair in sorted(self.found.items(), key=itemgetter(0))]


class Group:
    """Rules that run together, in their order: what they read and have in common is computed once a batch.

    Parameters
    ----------
    rules
        As they are to speak.
    compiled
        Whether the rule machine runs them where a batch has the columns for it; the plain half is its twin.
    before
        The group whose place this one takes: what its machine has learned of lists and texts is kept.
    """

    def __init__(self, rules: Iterable[Ready] = (), *, compiled: bool = AVAILABLE, before: Group | None = None) -> None:
        self.rules = tuple(rules)
        learned = before._machine if before is not None else None
        self._machine: Machine | None = _machine(self.rules, learned) if compiled and self.rules else None
        self._parts: list[Part] = []
        self._by_type: dict[str, list[Part]] = {}
        self._runs = 0

    def __iter__(self) -> Iterator[Ready]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def errors(self) -> dict[str, dict[str, int]]:
        """Return the errors of each rule by cause: id -> cause -> rows."""
        found = {ready.rule.id: dict(ready.errors) for ready in self.rules}
        for part in self._parts:
            for (at, cause), times in list(part.faults.items()):
                errors = found[part.readies[at].rule.id]
                errors[cause] = errors.get(cause, 0) + times
        if self._machine is not None:
            for at, cause, times in self._machine.errors():
                errors = found[self.rules[at].rule.id]
                errors[cause] = errors.get(cause, 0) + times
        return found

    def leave(self) -> None:
        """Hand what the group has counted to its rules: another group takes its place."""
        for id_errors, ready in zip(self.errors().values(), self.rules, strict=True):
            ready.errors = id_errors
        for part in self._parts:
            part.faults.clear()
        if self._machine is not None:
            self._machine.forget()

    def run(
        self, batch: PlainBatch, table: FeatureTable, scores: np.ndarray, lists: Lists, counters: Counter[str]
    ) -> list[tuple[Ready, list[int]]]:
        """Return each rule that fired with the rows on which it did; hits and errors are counted."""
        self._runs += 1
        timed = self._runs % SAMPLE == 0
        if self._machine is not None and hasattr(batch, "kinds"):
            return self._on_machine(self._machine, batch, table, scores, lists, counters, timed)
        return self._plain(batch, table, scores, lists, Tally(counters), timed)

    def _on_machine(
        self,
        machine: Machine,
        batch: PlainBatch,
        table: FeatureTable,
        scores: np.ndarray,
        lists: Lists,
        counters: Counter[str],
        timed: bool,
    ) -> list[tuple[Ready, list[int]]]:
        start = perf_counter() if timed else 0.0
        found, failed = machine.run(batch, table, scores, lists)
        for key, times in failed:
            counters[key] += times
        rules, hits = self.rules, []
        for at, rows in found:
            ready = rules[at]
            counters[f"rule:{ready.rule.id}"] += len(rows)
            ready.hits += len(rows)
            hits.append((ready, rows))
        if timed:
            for ready, share in zip(rules, machine.shares(), strict=True):
                ready.seconds += (perf_counter() - start) * SAMPLE * share
        return hits

    def _plain(
        self,
        batch: PlainBatch,
        table: FeatureTable,
        scores: np.ndarray,
        lists: Lists,
        tally: Tally,
        timed: bool,
    ) -> list[tuple[Ready, list[int]]]:
        if not self._parts:
            self._divide()
        if batch.n <= ALONE:
            for row, event in enumerate(batch.events):
                parts = self._by_type.get(event.type)
                if parts:
                    _alone(parts, row, event, table, scores, lists, tally, timed)
            return tally.result()
        base = View(batch, table, scores, lists)
        for part in self._parts:
            looked = _looked(batch, part.types)
            if part.one_by_one(len(looked)):
                for row in looked.tolist():
                    _alone((part,), row, batch.events[row], table, scores, lists, tally, timed)
            else:
                _columns(part, looked, base, tally, timed)
        return tally.result()

    def _divide(self) -> None:
        """Put the rules of the same event types together; for the plain half."""
        by_types: dict[tuple[str, ...], list[tuple[int, Ready]]] = {}
        for place, ready in enumerate(self.rules):
            by_types.setdefault(ready.types, []).append((place, ready))
        self._parts = [Part(types, part) for types, part in by_types.items()]
        for part in self._parts:
            for kind in dict.fromkeys(part.types):
                self._by_type.setdefault(kind, []).append(part)


def _machine(rules: Sequence[Ready], before: Machine | None) -> Machine:
    from tocsin.flow.machine.machine import Machine

    return Machine(rules, before)


def _looked(batch: Any, types: Sequence[str]) -> np.ndarray:
    """Return the rows of these types; by the codes of types where the batch has them."""
    if not hasattr(batch, "kinds"):
        return np.flatnonzero(batch.of_type(*types))
    codes = [batch.names.declare_type(name) for name in types]
    among = np.zeros(len(batch.names.types), bool)
    among[codes] = True
    return np.flatnonzero(among[batch.kinds])


def _alone(
    parts: Sequence[Part],
    row: int,
    event: Event,
    table: FeatureTable,
    scores: np.ndarray,
    lists: Lists,
    tally: Tally,
    timed: bool,
) -> None:
    """Run the fused rules of these parts on one event."""
    features: Mapping[str, float | None] = {}
    if any(part.fused.features for part in parts):
        features = table.one(row)
    number: float = scores.item(row)
    score = number if number == number else None
    for part in parts:
        start = perf_counter() if timed else 0.0
        hits, faults = part.fused.run(event, features, score, lists)
        if timed:
            share = (perf_counter() - start) * SAMPLE / len(part.rules)
            for ready in part.readies:
                ready.seconds += share
        for at in hits:
            tally.fired(part.places[at], part.readies[at], [row])
        if faults:
            part.faults.update(faults)
            tally.counters.update(map(part.keys.__getitem__, faults))


def _columns(part: Part, looked: np.ndarray, base: View, tally: Tally, timed: bool) -> None:
    """Run the rules of a part over the columns of the rows that they look at."""
    view = base.narrow(looked, part.shared)
    start: Any = perf_counter() if timed else 0.0
    for place, ready in part.rules:
        rows, causes = ready.program.hits(view)
        if causes is not None:
            for cause, times in causes.counts().items():
                tally.failed(ready, cause, times)
        if len(rows):
            tally.fired(place, ready, looked[rows].tolist())
        if timed:
            now = perf_counter()
            ready.seconds += (now - start) * SAMPLE
            start = now
