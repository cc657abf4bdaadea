"""The rule machine: runs the program of a group over a batch, and computes what rows of it wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_values import CAUSES
from tocsin.flow.machine import kernel, ops
from tocsin.flow.machine.foreign import Awaited
from tocsin.flow.machine.laying import NO_TEXT, Layout
from tocsin.flow.machine.link import Program
from tocsin.flow.machine.packing import FEW, Packer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.batch import FeatureTable
    from tocsin.flow.lists import Lists
    from tocsin.flow.names import Names
    from tocsin.flow.rules import Ready

ROOM = 4096
"""Hits of one run that have room at first; where there are more, it is made and the run repeated."""
ROW = (1 << 32) - 1
EVERY = np.arange(FEW)


class Machine:
    """The rules of a group, ready to run over batches of one fold, one batch at a time.

    It goes on with what the machine ``before`` it has learned of lists and texts; the two never run at once. ``run``
    wants a batch with ``kinds``, ``names``, ``hasher`` and typed columns (``flow.wide.rows.Rows``).
    """

    def __init__(self, readies: Sequence[Ready], before: Machine | None = None) -> None:
        self.program: Program = Program(readies, before.program if before is not None else None)
        program = self.program
        self.packer = Packer(program)
        self.layout = Layout(program)
        self._keys = [
            f"rule_error:{ready.rule.id}:{CAUSES[max(0, state - ops.FAILED)]}"
            for ready in readies
            for state in range(ops.STATES)
        ]
        registers = program.registers * ops.BLOCK
        self._whole = np.zeros(registers, np.int64)
        self._doubles = self._whole.view(np.float64)
        self._states = np.zeros(registers, np.uint8)
        self._hits, self._waiting = np.empty(ROOM, np.int64), np.empty(ROOM, np.int64)
        size = len(self._keys)
        self._tally = np.zeros(kernel.COUNTS + 3 * size + len(readies), np.int64)
        self._tally[kernel.RULES] = len(readies)
        # Failures of the last run, which of these are not 0, and all before: by rule and state.
        self._counts, self._touched, self._totals = self._tally[kernel.COUNTS : kernel.COUNTS + 3 * size].reshape(3, -1)
        self._work = self._tally[kernel.COUNTS + 3 * size :]
        self._rows = np.zeros(FEW, np.int64)
        self._names: Names | None = None
        self._class_of = np.zeros(0, np.int16)
        """The class of each type of ``names``, the number of classes where no rule looks at it."""

    def run(
        self, batch: Any, table: FeatureTable, scores: np.ndarray, lists: Lists | None
    ) -> tuple[list[tuple[int, list[int]]], list[tuple[str, int]]]:
        """Return (rule, rows on which it fired, ascending) in the order of rules, and (counter of an error, rows)."""
        program = self.program
        program.bind(lists, batch.hasher)
        for answers in program.answers.values():
            answers.make_room(batch.n)
        columns = self._columns_of(batch)
        jobs, rows = self._packed(batch) if columns == program.packed else self._sorted(batch)
        if not jobs:
            return [], []
        layout = self.layout
        places, text = layout.features(table, columns), NO_TEXT
        layout.scores(scores, columns)
        awaited = Awaited(
            program, batch, table, scores, lists, packer=self.packer if columns == program.packed else None
        )
        late: Sequence[int] = ()
        if columns == program.lined:
            places, text, late = layout.lines(batch, tuple(jobs[::3]))
        elif columns == program.laid or program.foreign:
            read = program.read_by(jobs[::3])
            if columns == program.laid:
                text = layout.columns(batch, read, columns)
            late = program.late(read, few=columns == program.packed)
        if late:
            layout.awaited(awaited, columns, late)
            awaited.foresee(jobs, rows)
        first, fresh = np.array(jobs, np.int64), kernel.FRESH
        while not self._through(fresh, first, rows, (places, text, columns), awaited):
            self._make_room()
            fresh = kernel.AGAIN
        layout.release()
        return self._found(), self._failed()

    def _failed(self) -> list[tuple[str, int]]:
        """Return (counter of an error, rows) of the last run."""
        keys, count = self._keys, self._counts.item
        touched = self._tally.item(kernel.TOUCHED)
        return [(keys[at], count(at)) for at in self._touched[:touched].tolist()] if touched else []

    def errors(self) -> list[tuple[int, str, int]]:
        """Return (rule, cause, rows) of what has failed since ``forget``; for any thread."""
        totals = (self._totals + self._counts).tolist()
        return [
            (at // ops.STATES, CAUSES[at % ops.STATES - ops.FAILED], times) for at, times in enumerate(totals) if times
        ]

    def forget(self) -> None:
        """Count errors from 0 again."""
        self._totals[:] = 0
        self._counts[:] = 0

    def shares(self) -> list[float]:
        """Return by rule the share of all instructions since the last call, by the rows that they ran over."""
        shares: list[float] = (self._work / max(1, int(self._work.sum()))).tolist()
        self._work[:] = 0
        return shares

    def _columns_of(self, batch: Any) -> int:
        """Return which of the program's tables says how the inputs of a batch lie."""
        if batch.n > FEW:
            return self.program.laid
        return self.program.lined if hasattr(batch, "whereabouts") else self.program.packed

    def _packed(self, batch: Any) -> tuple[list[int], np.ndarray]:
        """Pack events; return the jobs, (class, first, last) each, and their rows."""
        types, packer = self.program.types.get, self.packer
        fetch, packed, stride, text, meet = packer.fetch, packer.rows, packer.stride, batch.hasher.text, packer.meet
        classes = []
        for row, event in enumerate(batch.events):
            kind = types(event.type, len(self.program.types))
            if kind < len(self.program.types):
                fetch[kind](event, packed, row * stride, text, meet)
            classes.append(kind)
        packer.met(self.program)
        return self._by_class(classes)

    def _by_class(self, classes: Sequence[int]) -> tuple[list[int], np.ndarray]:
        """Return the jobs of few rows, and the rows in their order; those of no class come last and are left out."""
        none, of = len(self.program.types), set(classes)
        if len(of) == 1:
            kind = classes[0]
            return ([kind, 0, len(classes)] if kind < none else []), EVERY
        order = sorted(range(len(classes)), key=classes.__getitem__)
        jobs: list[int] = []
        first = 0
        for kind in sorted(of):
            last = first + classes.count(kind)
            if kind < none:
                jobs += [kind, first, last]
            first = last
        self._rows[: len(order)] = order
        return jobs, self._rows

    def _sorted(self, batch: Any) -> tuple[list[int], np.ndarray]:
        """Sort the rows of a batch by class; return the jobs and the rows."""
        program = self.program
        names: Names = batch.names
        if names is not self._names or len(self._class_of) != len(names.types):
            codes = {names.declare_type(name): place for name, place in program.types.items()}
            self._class_of = np.full(len(names.types), len(program.types), np.int16)
            self._class_of[list(codes)] = list(codes.values())
            self._names = names
        chosen = self._class_of[batch.kinds]
        if batch.n <= FEW:
            return self._by_class(chosen.tolist())
        rows = np.argsort(chosen, kind="stable")
        ends = np.cumsum(np.bincount(chosen, minlength=len(program.types) + 1)).tolist()
        jobs: list[int] = []
        for kind, (first, last) in enumerate(zip([0, *ends], ends, strict=False)):
            if first < last and kind < len(program.types):
                jobs += [kind, first, last]
        return jobs, rows

    def _through(
        self,
        how: int,
        jobs: np.ndarray,
        rows: np.ndarray,
        lying: tuple[np.ndarray, np.ndarray, int],
        awaited: Awaited,
    ) -> bool:
        """Run all jobs, and again what had to wait; return whether there was room for what was found."""
        program, tally = self.program, self._tally
        through = kernel.run_few if lying[2] != program.laid else kernel.run
        while True:
            through(
                how,
                jobs,
                len(jobs) // 3,
                rows,
                *lying,
                program.memory,
                program.doubles,
                self._whole,
                self._doubles,
                self._states,
                self._hits,
                self._waiting,
                tally,
            )
            waiting = tally.item(kernel.WAITING)
            if waiting > len(self._waiting):
                return False
            if not waiting:
                return bool(tally.item(kernel.HITS) <= len(self._hits))
            jobs, rows = awaited.settle(self._waiting[:waiting])
            how = kernel.FURTHER

    def _make_room(self) -> None:
        """Make the outputs as long as the last run wanted them."""
        hits, waiting = self._tally.item(kernel.HITS), self._tally.item(kernel.WAITING)
        if hits > len(self._hits):
            self._hits = np.empty(2 * hits, np.int64)
        if waiting > len(self._waiting):
            self._waiting = np.empty(2 * waiting, np.int64)

    def _found(self) -> list[tuple[int, list[int]]]:
        """Return the hits by rule."""
        count = self._tally.item(kernel.HITS)
        if not count:
            return []
        by_rule: dict[int, list[int]] = {}
        for hit in np.sort(self._hits[:count]).tolist():
            by_rule.setdefault(hit >> 32, []).append(hit & ROW)
        return list(by_rule.items())
