"""Rules: compiled where they are saved, put in force without a pause, counted by hit, by cause of error and by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.desk import NOVELTY, Rule
from tocsin.core.signal import Mode, Reason
from tocsin.errors import Misconfigured
from tocsin.flow.cel import RULE, CelError, Program, compile_expression
from tocsin.flow.rule_groups import Group

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Iterable, Sequence

    import numpy as np

    from tocsin.core.desk import Desk
    from tocsin.flow.batch import FeatureTable, PlainBatch
    from tocsin.flow.lists import Lists


class Ready:
    """A rule that is ready to run, with the event types it looks at, the reason it gives, and what it has done."""

    __slots__ = ("errors", "hits", "program", "reason", "rule", "seconds", "types")

    def __init__(self, rule: Rule, types: tuple[str, ...], program: Program) -> None:
        self.rule, self.types, self.program = rule, types, program
        self.reason = Reason(code=rule.code, text=rule.text, rule=rule.id)
        self.hits = 0
        self.errors: dict[str, int] = {}
        self.seconds = 0.0
        """Time spent on it, estimated from samples."""


class RuleStats(msgspec.Struct, frozen=True):
    """What one rule has done since it came into force: rows it fired on, errors by cause, and seconds (sampled)."""

    id: str
    desk: str
    mode: Mode
    hits: int
    errors: dict[str, int]
    seconds: float


class Prepared(msgspec.Struct, frozen=True):
    """Stored rules, compiled: what ``RuleSet.replace`` puts in force for the same ``documents``."""

    documents: Any
    stored: dict[str, Any]
    by_desk: dict[str, Any]
    errors: list[str]


def check_rule(rule: Rule, desks: Sequence[Desk], house: Collection[str] = ()) -> Program:
    """Return the program of a rule as these desks would run it; ``house`` names windows that people declared.

    Raises CelError at the place in ``when`` that is wrong, Misconfigured where the rule names an unknown desk.
    """
    return _ready(rule, {desk.name: desk for desk in desks}, house).program


def _ready(rule: Rule, desks: dict[str, Desk], house: Collection[str]) -> Ready:
    if rule.desk and rule.desk not in desks:
        raise Misconfigured(f"rule {rule.id}: there is no desk {rule.desk!r}; desks: {', '.join(desks)}")
    owners = [desks[rule.desk]] if rule.desk else list(desks.values())
    features = dict.fromkeys(window.name for desk in owners for window in desk.windows)
    if rule.desk and getattr(desks[rule.desk], "novel", None) is not None:
        features[NOVELTY] = None
    if not rule.desk:
        features |= dict.fromkeys(house)
    types = rule.on or tuple(dict.fromkeys(kind for desk in owners for kind in desk.reads))
    return Ready(rule, types, compile_expression(rule.when, RULE.narrow(types, features)))


class RuleSet:
    """The rules in force: those of the desks, and the stored ones, which replace a desk's rule of the same id."""

    def __init__(self, desks: Sequence[Desk], stored: Iterable[Rule]) -> None:
        self._desks = {desk.name: desk for desk in desks}
        self.house: Collection[str] = ()
        """Windows that people declared, which rules of no desk read."""
        own = [msgspec.structs.replace(rule, desk=rule.desk or desk.name) for desk in desks for rule in desk.rules]
        self._own = {rule.id: self._compiled(rule, {}) for rule in own}
        self._stored = {rule.id: self._compiled(rule, {}) for rule in stored}
        self._prepared: Prepared | None = None
        self.by_desk: dict[str, Group] = {}
        self.by_desk = self._grouped(self._stored)

    def _compiled(self, rule: Rule, known: dict[str, Ready]) -> Ready:
        before = known.get(rule.id)
        if before is not None and before.rule == rule:
            return before
        try:
            return _ready(rule, self._desks, self.house)
        except CelError as error:
            raise Misconfigured(f"rule {rule.id}: {error}") from error

    def _grouped(self, stored: dict[str, Ready]) -> dict[str, Group]:
        found: dict[str, list[Ready]] = {}
        for ready in {**self._own, **stored}.values():
            if ready.rule.mode is not Mode.OFF:
                found.setdefault(ready.rule.desk, []).append(ready)
        return {desk: Group(rules, before=self.by_desk.get(desk)) for desk, rules in found.items()}

    def prepare(self, documents: Any) -> Prepared:
        """Compile stored rules for a ``replace`` to come; for any thread, changes nothing that runs.

        Rules that are in force, or were prepared last, are not compiled again.
        """
        if not isinstance(documents, list):
            return Prepared(documents, self._stored, self.by_desk, ["'rules' must be a list"])
        before = self._prepared
        known = {**(before.stored if before is not None else {}), **self._own, **self._stored}
        stored: dict[str, Ready] = {}
        errors: list[str] = []
        for document in documents:
            try:
                rule = msgspec.convert(document, Rule)
                stored[rule.id] = self._compiled(rule, known)
            except (msgspec.ValidationError, Misconfigured) as error:
                errors.append(str(error))
        self._prepared = prepared = Prepared(documents, stored, self._grouped(stored), errors)
        return prepared

    def replace(self, documents: Any) -> list[str]:
        """Put other stored rules in force; return what was wrong with those that were left out.

        Takes what ``prepare`` made last where that was for the same documents, else compiles what is missing.
        """
        prepared = self._prepared
        if prepared is None or prepared.documents != documents:
            prepared = self.prepare(documents)
        if isinstance(documents, list):
            for group in self.by_desk.values():
                group.leave()
            self._stored, self.by_desk = prepared.stored, prepared.by_desk
        return prepared.errors

    def stats(self) -> list[RuleStats]:
        """Return what each rule has done since it came into force, those that are off too; for any thread."""
        errors = {id_: causes for group in self.by_desk.values() for id_, causes in group.errors().items()}
        return [
            RuleStats(
                id=ready.rule.id,
                desk=ready.rule.desk,
                mode=ready.rule.mode,
                hits=ready.hits,
                errors=errors.get(ready.rule.id, ready.errors),
                seconds=ready.seconds,
            )
            for ready in {**self._own, **self._stored}.values()
        ]

    def documents(self) -> list[Any]:
        """Return the stored rules as plain values."""
        return [msgspec.to_builtins(ready.rule) for ready in self._stored.values()]

    def canonical(self) -> list[str]:
        """Return the rules in force in one form."""
        return sorted(repr(ready.rule) for rules in self.by_desk.values() for ready in rules)


def fired(
    rules: Group | Sequence[Ready],
    batch: PlainBatch,
    table: FeatureTable,
    scores: np.ndarray,
    lists: Lists,
    counters: Counter[str],
) -> list[tuple[Ready, list[int]]]:
    """Return each rule that fired with the rows on which it did, ascending; hits and errors are counted."""
    group = rules if isinstance(rules, Group) else Group(rules)
    return group.run(batch, table, scores, lists, counters) if len(group) else []
