"""Where the inputs of a batch lie: the program is told addresses, nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.batch import FEW
from tocsin.flow.machine import ops
from tocsin.flow.machine.link import WIDTH
from tocsin.flow.machine.tables import address
from tocsin.flow.wide.scan_chunk import C_CELLS, C_TAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.flow.batch import FeatureTable
    from tocsin.flow.machine.foreign import Awaited
    from tocsin.flow.machine.link import Program
    from tocsin.flow.names import Names

NAN = np.full(1, np.nan)
STAMPS = ("tau", "time", "seq")
MOST_READ = 256
"""Sets of classes for which it is kept what their rules read."""
ABSENT = (ops.VALUE, address(NAN), 0, ops.NANS, 0, 0, 0, 0)
EVERY = np.zeros(1, np.int64)
NO_TEXT = np.zeros(1, np.uint8)
CELLS = {"int": ops.CELL_INT, "double": ops.CELL_DOUBLE, "bool": ops.CELL_TRUTH, "string": ops.CELL_TEXT}


def text_of(batch: Any) -> np.ndarray | None:
    """Return where the texts of a batch of scanned lines lie, uint8; None where it is of events."""
    if not hasattr(batch, "cells"):
        return None
    text: np.ndarray = batch.buffer()
    return text if text.dtype == np.uint8 and text.flags.c_contiguous and text.flags.writeable else None


class Layout:
    """Tells a program where inputs lie; what is told of one batch is kept alive until the next.

    Features, scores and stamps of few rows are copied to where they always are: then there is nothing to be told.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._names: Sequence[str] = ()
        self._held: list[Any] = []
        slots = [slot for slot, one in program.fields.items() if one.root == "features"]
        self._features = {slot: program.fields[slot].name for slot in slots}
        self._block = np.zeros((len(slots), FEW))
        self._from: np.ndarray | None = None
        self._scores = [slot for slot, one in program.fields.items() if one.root == "score"]
        self._scored, self._stamped = np.zeros(FEW), np.zeros((len(STAMPS), FEW), np.int64)
        few = (program.packed, program.lined)
        for slot in self._scores:
            for columns in few:
                program.put(columns, slot, ops.VALUE, address(self._scored), 8, ops.NANS)
            program.put(program.laid, slot, ops.VALUE, 0, 8, ops.NANS)
        self._stamps: list[tuple[int, str, np.ndarray]] = []
        for slot, one in program.fields.items():
            if one.root == "event" and one.name in STAMPS:
                self._stamps.append((slot, one.name, self._stamped[len(self._stamps)]))
                program.put(program.lined, slot, ops.VALUE, address(self._stamps[-1][2]), 8, ops.WHOLE)
            elif one.root == "item":
                program.put(program.lined, slot, *ABSENT)
        self._lines = Lines(program)

    def features(self, table: FeatureTable, columns: int) -> np.ndarray:
        """Tell where the features lie; return row -> place in their columns."""
        if not self._features:
            return EVERY
        if columns != self._program.laid:
            self._few(table)
            return EVERY
        places = table.places
        told: dict[int, tuple[int, ...]] = {}
        moved = int(places is not None)
        for slot, name in self._features.items():
            column = table.raw(name)
            if column is None:
                told[slot] = ABSENT
                continue
            if column.dtype != np.float64:
                column = column.astype(np.float64)
            self._held.append(column)
            told[slot] = (ops.VALUE, address(column), column.strides[0], ops.NANS, 0, 0, 0, moved)
        self._program.tell(columns, told)
        return EVERY if places is None else np.require(places, np.int64, ["C", "W"])

    def _few(self, table: FeatureTable) -> None:
        """Copy the features of few rows."""
        block, names = table.block(), table.names
        if names is not self._names:
            if names != self._names:
                self._name(names)
            self._names = names
        if self._from is not None:
            block = block[self._from]
        self._block[: len(block), : table.n] = block

    def _name(self, names: Sequence[str]) -> None:
        """Give each feature that a table of these names has its row, in the order of the names."""
        program, known = self._program, {name: place for place, name in enumerate(names)}
        inside = sorted((known[name], slot) for slot, name in self._features.items() if name in known)
        told = {slot: (ops.VALUE, address(self._block[row]), 8, ops.NANS) for row, (_, slot) in enumerate(inside)}
        for slot in self._features:
            for columns in (program.packed, program.lined):
                program.put(columns, slot, *told.get(slot, ABSENT))
        whole = [place for place, _ in inside]
        self._from = None if whole == list(range(len(names))) else np.array(whole, np.int64)

    def scores(self, scores: np.ndarray, columns: int) -> None:
        """Tell where the scores lie."""
        if not self._scores:
            return
        if columns != self._program.laid:
            self._scored[: len(scores)] = scores
            return
        if scores.dtype != np.float64:
            scores = scores.astype(np.float64)
        self._held.append(scores)
        memory, where, stride = self._program.memory, address(scores), scores.strides[0]
        for slot in self._scores:
            at = columns + WIDTH * slot
            memory[at + 1], memory[at + 2] = where, stride

    def lines(self, batch: Any, classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, Sequence[int]]:
        """Tell where the fields of few lines lie that the rules of these classes read.

        Returns the rows of the chunk (int64 [n]; of no meaning where they are side by side), where the texts of cells
        lie, and the inputs that are computed once a rule waits for them.
        """
        for _, name, stamps in self._stamps:
            stamps[: batch.n] = getattr(batch, name + "s")
        others, late = self._lines.read(batch.names, classes)
        if others:
            self.columns(batch, others, self._program.lined)
        return self._lines.tell(batch), batch.buffer(), late

    def columns(self, batch: Any, slots: Iterable[int], columns: int) -> np.ndarray:
        """Tell where the fields of a batch lie that these slots are; return where the texts of cells lie."""
        program, text = self._program, text_of(batch)
        told: dict[int, tuple[int, ...]] = {}
        for slot in slots:
            field = program.fields.get(slot)
            if field is None or field.root in ("features", "score"):
                continue
            if field.root == "item":
                told[slot] = ABSENT
            elif text is not None and field.root == "data" and (found := batch.cells(field.name)) is not None:
                tags, cells = found
                self._held += [tags, cells]
                where = (address(cells), cells.strides[0], ops.WHOLE, address(tags), tags.strides[0], 0, 0)
                told[slot] = CELLS[field.type], *where
            else:
                values, codes = batch.typed(*field)
                kind = ops.BYTE if field.type == "bool" else ops.VALUE
                absent = (ops.WHOLE, 0, 0) if codes is None else (ops.FLAGGED, address(codes), codes.strides[0])
                self._held += [values, codes]
                told[slot] = kind, address(values), values.strides[0], *absent, 0, 0
        program.tell(columns, told)
        return NO_TEXT if text is None else text

    def awaited(self, awaited: Awaited, columns: int, slots: Iterable[int]) -> None:
        """Tell where inputs lie that are computed once a rule waits for them."""
        self._program.tell(columns, {slot: awaited.column(slot) for slot in slots})

    def release(self) -> None:
        """Let go of what the last batch had."""
        self._held.clear()


class Lines:
    """Tells a program where the cells of few scanned lines lie: all of them, by two additions a batch."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._names: Names | None = None
        self._cells: list[tuple[int, int]] = []
        """(slot of the program, slot of the vocabulary) of the fields that a chunk has cells of."""
        self._read: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}
        self._capacity = 0
        self._moved = -1

    def read(self, names: Names, classes: tuple[int, ...]) -> tuple[list[int], list[int]]:
        """Return what the rules of these classes read beside cells, features, scores and stamps.

        First the fields that are made as columns, then the inputs that are computed once a rule waits for them.
        """
        if names is not self._names:
            self._name(names)
        known = self._read.get(classes)
        if known is None:
            if len(self._read) >= MOST_READ:
                self._read.clear()
            program, here = self._program, {slot for slot, _ in self._cells}
            read = program.read_by(classes)
            fields = ((slot, program.fields[slot]) for slot in read if slot in program.fields and slot not in here)
            others = [
                slot
                for slot, one in fields
                if one.root == "data" or (one.root == "event" and one.name not in STAMPS)
            ]  # fmt: skip
            known = self._read[classes] = others, program.late(read, few=False)
        return known

    def _name(self, names: Names) -> None:
        program = self._program
        self._cells = [
            (slot, names.slot[one.name])
            for slot, one in program.fields.items()
            if one.root == "data" and one.name in names.slot
        ]
        for slot, _ in self._cells:
            program.put(program.lined, slot, CELLS[program.fields[slot].type], 0, 8, ops.WHOLE, 0, 1, 0, 0)
        self._at = np.array([program.lined + WIDTH * slot for slot, _ in self._cells], np.int64)
        self._where, self._told = self._at + 1, self._at + 4
        self._rows = np.array([row for _, row in self._cells], np.int64)
        self._names, self._capacity, self._moved = names, 0, 0
        self._read.clear()

    def tell(self, batch: Any) -> np.ndarray:
        """Tell where the cells of a batch lie; return its rows of the chunk."""
        memory, chunk = self._program.memory, batch.live()
        index, start = batch.whereabouts
        if chunk.capacity != self._capacity:
            self._capacity = chunk.capacity
            self._to_tags = self._rows * chunk.capacity
            self._to_cells = 8 * self._to_tags
        moved = int(len(index) > 0)
        if moved != self._moved:
            memory[self._at + 7] = self._moved = moved
        lying = chunk.lying.item
        memory[self._where] = self._to_cells + (lying(C_CELLS) + 8 * start)
        memory[self._told] = self._to_tags + (lying(C_TAGS) + start)
        return index if moved else EVERY
