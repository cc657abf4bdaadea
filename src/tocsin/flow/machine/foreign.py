"""What rows wait for: answers about texts, and trees that the machine has no instructions for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_operators import spread
from tocsin.flow.cel_scalar import Env
from tocsin.flow.cel_single import Fields
from tocsin.flow.cel_views import View
from tocsin.flow.machine import ops
from tocsin.flow.machine.kernel import entered
from tocsin.flow.machine.tables import address, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.batch import FeatureTable
    from tocsin.flow.cel_texts import Text
    from tocsin.flow.lists import Lists
    from tocsin.flow.machine.link import Program
    from tocsin.flow.machine.tables import Answers

ROW = (1 << 32) - 1


class Awaited:
    """The inputs of one batch that are computed once a rule waits for them."""

    def __init__(
        self,
        program: Program,
        batch: Any,
        table: FeatureTable,
        scores: np.ndarray,
        lists: Lists | None,
        *,
        few: bool,
    ) -> None:
        self.program, self.batch, self.table, self.scores, self.lists = program, batch, table, scores, lists
        self._few = few
        self._view: View | None = None
        self._columns: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._ages: dict[int, int] = {}

    def column(self, slot: int) -> tuple[int, ...]:
        """Return where an input lies, as the program is told; all of its rows are unknown at first."""
        n = self.batch.n
        values, states = np.zeros(n, np.int64), np.full(n, ops.UNKNOWN, np.uint8)
        self._columns[slot] = values, states
        foreign = self.program.foreign.get(slot)
        if foreign is not None and foreign.type == "bool":
            return ops.BYTE, address(states), 1, ops.STATED, address(states), 1, 0, 0
        return ops.VALUE, address(values), 8, ops.STATED, address(states), 1, 0, 0

    def settle(self, waiting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute what (rule << 32 | row) wait for; return the jobs to run again, and their rows."""
        program = self.program
        order = np.sort(waiting)
        rules, rows = order >> 32, order & ROW
        starts = np.flatnonzero(np.diff(rules, prepend=-1)).tolist()
        jobs: list[int] = []
        wanted: dict[int, list[np.ndarray]] = {}
        for first, last in zip(starts, [*starts[1:], len(rules)], strict=True):
            rule = int(rules[first])
            jobs += [len(program.types) + rule, first, last]
            for slot in program.awaited[rule]:
                wanted.setdefault(slot, []).append(rows[first:last])
        self._fill(wanted)
        return np.array(jobs, np.int64), rows

    def foresee(self, jobs: Sequence[int], rows: np.ndarray) -> None:
        """Compute what all rows of these jobs wait for in any case; few texts are met where they are packed."""
        wanted: dict[int, list[np.ndarray]] = {}
        for at in range(0, len(jobs), 3):
            for slot in self.program.certain[jobs[at]]:
                if slot in self.program.foreign or not self._few:
                    wanted.setdefault(slot, []).append(rows[jobs[at + 1] : jobs[at + 2]])
        self._fill(wanted)

    def _fill(self, wanted: dict[int, list[np.ndarray]]) -> None:
        for slot, parts in wanted.items():
            some = parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))
            if slot in self.program.foreign:
                self._compute(slot, some)
            else:
                self._learn(slot, some)

    def _learn(self, slot: int, rows: np.ndarray) -> None:
        """Ask the atoms of a text field about the texts of these rows."""
        answers = self.program.answers[slot]
        if self._few:
            self._learn_few(answers, rows.tolist())
        else:
            self._enter(slot, answers, rows)
        self.program.point(slot)

    def _learn_few(self, answers: Answers, rows: list[int]) -> None:
        root, name, _ = answers.field
        text_hash = self.batch.hasher.text
        unknown: dict[int, str] = {}
        for row in rows:
            event = self.batch.events[row]
            text = event.data.get(name) if root == "data" else getattr(event, name)
            if text.__class__ is str:
                unknown[signed(text_hash(text))] = text
        answers.make_room(len(unknown))
        for key, text in unknown.items():
            if not answers.knows(key):
                answers.learn(key, text)

    def _enter(self, slot: int, answers: Answers, rows: np.ndarray) -> None:
        """Fill in the entries of rows where that has not been done."""
        entries, states = self._columns[slot]
        if self._ages.get(slot) != answers.age:
            states[:] = ops.UNKNOWN
        rows = rows[states[rows] == ops.UNKNOWN]
        text, causes = self._seen().field(*answers.field)
        if causes is not None:
            absent = causes.failed[rows]
            states[rows[absent]] = ops.MISSING
            rows = rows[~absent]
        if len(rows):
            some = text.take(rows)
            keys = some.hashes.view(np.int64)
            found = np.empty(len(rows), np.int64)
            if entered(*answers.places.where(), keys, found):
                found = self._met(slot, answers, some, keys, found)
            entries[rows], states[rows] = found, ops.FALSE
        self._ages[slot] = answers.age

    def _met(self, slot: int, answers: Answers, text: Text, keys: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Learn the texts without an entry; return the entries of all."""
        age = answers.age
        answers.make_room(len(keys))
        if answers.age != age:
            self._columns[slot][1][:] = ops.UNKNOWN
            found[:] = -1
        strange = np.flatnonzero(found < 0)
        unknown, firsts, which = np.unique(keys[strange], return_index=True, return_inverse=True)
        texts = text.at(strange[firsts])
        learned = [answers.learn(key, one) for key, one in zip(unknown.tolist(), texts, strict=True)]
        found[strange] = np.array(learned, np.int64)[which]
        return found

    def _seen(self) -> View:
        if self._view is None:
            self._view = View(self.batch, self.table, self.scores, self.lists)
        return self._view

    def _compute(self, slot: int, rows: np.ndarray) -> None:
        """Compute a foreign tree on rows where that has not been done."""
        values, states = self._columns[slot]
        rows = rows[states[rows] == ops.UNKNOWN]
        tree = self.program.tree(slot)
        if self._few or tree.columns is None:
            for row in rows.tolist():
                values[row], states[row] = tree.single(self._env(row))
            return
        found, causes = tree.columns(self._seen().narrow(rows))
        column = spread(found, len(rows), tree.type)
        failed = 0 if causes is None else np.where(causes.failed, causes.codes + ops.FAILED, 0)
        if tree.type == "bool":
            states[rows] = np.where(failed, failed, column)
        else:
            values[rows] = column.view(np.int64)
            states[rows] = failed

    def _env(self, row: int) -> Env:
        event = self.batch.events[row]
        score: float = self.scores.item(row)
        known = {
            "event": Fields(event),
            "data": event.data,
            "features": self.table.one(row),
            "score": score if score == score else None,
        }
        return Env(known, self.lists, event.tau)
