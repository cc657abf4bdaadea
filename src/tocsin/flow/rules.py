"""Rules: compiled where they are saved, computed over the rows of a batch, counted by hit and by cause of error."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.desk import Rule
from tocsin.core.signal import Mode, Reason
from tocsin.errors import Misconfigured
from tocsin.flow.cel import RULE, CelError, Program, compile_expression
from tocsin.flow.cel_views import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tocsin.core.desk import Desk
    from tocsin.flow.batch import FeatureTable, PlainBatch
    from tocsin.flow.lists import Lists


class Ready:
    """A rule that is ready to run, with the event types it looks at and the reason it gives."""

    __slots__ = ("program", "reason", "rule", "types")

    def __init__(self, rule: Rule, types: tuple[str, ...], program: Program) -> None:
        self.rule, self.types, self.program = rule, types, program
        self.reason = Reason(code=rule.code, text=rule.text, rule=rule.id)


def check_rule(rule: Rule, desks: Sequence[Desk]) -> Program:
    """Return the program of a rule as these desks would run it.

    Raises CelError at the place in ``when`` that is wrong, Misconfigured where the rule names an unknown desk.
    """
    return _ready(rule, {desk.name: desk for desk in desks}).program


def _ready(rule: Rule, desks: dict[str, Desk]) -> Ready:
    if rule.desk and rule.desk not in desks:
        raise Misconfigured(f"rule {rule.id}: there is no desk {rule.desk!r}; desks: {', '.join(desks)}")
    owners = [desks[rule.desk]] if rule.desk else list(desks.values())
    features = dict.fromkeys(window.name for desk in owners for window in desk.windows)
    types = rule.on or tuple(dict.fromkeys(kind for desk in owners for kind in desk.reads))
    return Ready(rule, types, compile_expression(rule.when, RULE.narrow(types, features)))


class RuleSet:
    """The rules in force: those of the desks, and the stored ones, which replace a desk's rule of the same id."""

    def __init__(self, desks: Sequence[Desk], stored: Iterable[Rule]) -> None:
        self._desks = {desk.name: desk for desk in desks}
        own = [msgspec.structs.replace(rule, desk=rule.desk or desk.name) for desk in desks for rule in desk.rules]
        self._own = {rule.id: self._compiled(rule) for rule in own}
        self._stored = {rule.id: self._compiled(rule) for rule in stored}
        self._order()

    def _compiled(self, rule: Rule) -> Ready:
        try:
            return _ready(rule, self._desks)
        except CelError as error:
            raise Misconfigured(f"rule {rule.id}: {error}") from error

    def _order(self) -> None:
        found: dict[str, list[Ready]] = {}
        for ready in {**self._own, **self._stored}.values():
            if ready.rule.mode is not Mode.OFF:
                found.setdefault(ready.rule.desk, []).append(ready)
        self.by_desk = {desk: Group(rules) for desk, rules in found.items()}

    def replace(self, documents: Any) -> list[str]:
        """Put other stored rules in force; return what was wrong with those that were left out."""
        stored: dict[str, Ready] = {}
        errors: list[str] = []
        for document in documents if isinstance(documents, list) else []:
            try:
                rule = msgspec.convert(document, Rule)
                stored[rule.id] = self._compiled(rule)
            except (msgspec.ValidationError, Misconfigured) as error:
                errors.append(str(error))
        if not isinstance(documents, list):
            return ["'rules' must be a list"]
        self._stored = stored
        self._order()
        return errors

    def canonical(self) -> list[str]:
        """Return the rules in force in one form."""
        return sorted(repr(ready.rule) for rules in self.by_desk.values() for ready in rules)


class Group:
    """Rules that run together, in their order: their columns and common parts are computed once a batch."""

    def __init__(self, rules: Iterable[Ready] = ()) -> None:
        self.rules = tuple(rules)
        by_types: dict[tuple[str, ...], list[tuple[int, Ready]]] = {}
        for place, ready in enumerate(self.rules):
            by_types.setdefault(ready.types, []).append((place, ready))
        self._plan = [(types, part, _shared(part)) for types, part in by_types.items()]

    def __iter__(self) -> Iterator[Ready]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def run(
        self,
        batch: PlainBatch,
        table: FeatureTable,
        scores: np.ndarray,
        lists: Lists,
        counters: Counter[str],
    ) -> list[tuple[Ready, list[int]]]:
        """Return each rule that fired with the rows on which it did; hits and errors are counted."""
        found: list[tuple[int, Ready, list[int]]] = []
        base = View(batch, table, scores, lists)
        for types, part, shared in self._plan:
            looked = np.flatnonzero(batch.of_type(*types))
            if not len(looked):
                continue
            view = base.narrow(looked, shared)
            for place, ready in part:
                rows, causes = ready.program.hits(view)
                if causes is not None:
                    for cause, times in causes.counts().items():
                        counters[f"rule_error:{ready.rule.id}:{cause}"] += times
                if len(rows):
                    counters[f"rule:{ready.rule.id}"] += len(rows)
                    found.append((place, ready, looked[rows].tolist()))
        found.sort(key=itemgetter(0))
        return [(ready, rows) for _, ready, rows in found]


def _shared(part: list[tuple[int, Ready]]) -> frozenset[str]:
    """Return the sub-trees that stand in these rules more than once."""
    times = Counter(key for _, ready in part for key in ready.program.subtrees)
    return frozenset(key for key, count in times.items() if count > 1)


def fired(
    rules: Group | Sequence[Ready],
    batch: PlainBatch,
    table: FeatureTable,
    scores: np.ndarray,
    lists: Lists,
    counters: Counter[str],
) -> list[tuple[Ready, list[int]]]:
    """Return each rule that fired with the rows on which it did; hits and errors are counted."""
    group = rules if isinstance(rules, Group) else Group(rules)
    return group.run(batch, table, scores, lists, counters) if len(group) else []
