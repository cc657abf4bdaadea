"""What rows wait for: answers about texts, and trees that the machine has no instructions for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_operators import spread
from tocsin.flow.cel_scalar import Env
from tocsin.flow.cel_single import Fields
from tocsin.flow.cel_views import View
from tocsin.flow.machine import ops
from tocsin.flow.machine.gathering import entered, hashed
from tocsin.flow.machine.laying import text_of
from tocsin.flow.machine.tables import address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.flow.batch import FeatureTable
    from tocsin.flow.lists import Lists
    from tocsin.flow.machine.link import Program
    from tocsin.flow.machine.packing import Packer
    from tocsin.flow.machine.tables import Answers

ROW = (1 << 32) - 1


class Awaited:
    """The inputs of one batch that are computed once a rule waits for them; ``packer`` where it is of few events."""

    def __init__(
        self,
        program: Program,
        batch: Any,
        table: FeatureTable,
        scores: np.ndarray,
        lists: Lists | None,
        *,
        packer: Packer | None,
    ) -> None:
        self.program, self.batch, self.table, self.scores, self.lists = program, batch, table, scores, lists
        self._packer = packer
        self._view: View | None = None
        self._columns: dict[int, tuple[np.ndarray, np.ndarray]] = {}

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
                if slot in self.program.foreign or self._packer is None:
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
        if self._packer is None:
            self._enter(slot, answers, rows)
        else:
            root, name, _ = answers.field
            for row in rows.tolist():
                event = self.batch.events[row]
                text = event.data.get(name) if root == "data" else getattr(event, name)
                if text.__class__ is str:
                    self._packer.enter(slot, row, text, self.batch.hasher.text)
        self.program.point(slot)

    def _enter(self, slot: int, answers: Answers, rows: np.ndarray) -> None:
        """Fill in the entries of rows where that has not been done."""
        entries, states = self._columns[slot]
        keys, rows, at = self._texts(answers, rows, states)
        if len(rows):
            found = np.empty(len(rows), np.int64)
            if entered(*answers.places.where(), keys, found):
                found = self._met(answers, at, keys, found)
            entries[rows], states[rows] = found, ops.FALSE

    def _texts(
        self, answers: Answers, rows: np.ndarray, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Callable[[np.ndarray], Sequence[str]]]:
        """Return the hashes, int64, of those of the rows that are unknown and have a text, these, and their texts."""
        root, name, _ = answers.field
        buffer = text_of(self.batch) if root == "data" else None
        cells = None if buffer is None else self.batch.cells(name)
        if buffer is not None and cells is not None:
            tags, spans = cells
            keys, kept = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
            where = (address(spans), spans.strides[0], address(tags), tags.strides[0])
            count = hashed(self.program.memory, rows, *where, buffer, states, keys, kept)
            picked = kept[:count]
            return keys[:count], picked, lambda some: self.batch.strings(root, name, picked[some])
        rows = rows[states[rows] == ops.UNKNOWN]
        values, codes = self.batch.typed(root, name, "string")
        if codes is not None:
            states[rows[codes[rows] != 0]] = ops.MISSING
            rows = rows[codes[rows] == 0]
        return values[rows].view(np.int64), rows, lambda some: self.batch.strings(root, name, rows[some])

    def _met(
        self,
        answers: Answers,
        at: Callable[[np.ndarray], Sequence[str]],
        keys: np.ndarray,
        found: np.ndarray,
    ) -> np.ndarray:
        """Learn the texts without an entry; return the entries of all."""
        strange = np.flatnonzero(found < 0)
        unknown = keys[strange].tolist()
        firsts = {key: place for place, key in enumerate(unknown)}
        texts = at(strange[list(firsts.values())])
        entry = {key: answers.learn(key, one) for key, one in zip(firsts, texts, strict=True)}
        found[strange] = [entry[key] for key in unknown]
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
        if self._packer is not None or tree.columns is None:
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
