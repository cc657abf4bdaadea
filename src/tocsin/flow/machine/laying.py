"""Where the inputs of a batch lie: the program is told addresses, nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.batch import FEW
from tocsin.flow.machine import ops
from tocsin.flow.machine.link import WIDTH
from tocsin.flow.machine.tables import address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.flow.batch import FeatureTable
    from tocsin.flow.machine.foreign import Awaited
    from tocsin.flow.machine.link import Program

NAN = np.full(1, np.nan)
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
    """Tells a program where inputs lie; what is told of one batch is kept alive until the next."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._names: Sequence[str] = ()
        self._offsets: list[np.ndarray] = []
        self._held: list[Any] = []
        slots = [slot for slot, one in program.fields.items() if one.root == "features"]
        self._features = {slot: program.fields[slot].name for slot in slots}
        self._scores = [slot for slot, one in program.fields.items() if one.root == "score"]
        for slot in self._scores:
            program.put(program.packed, slot, ops.VALUE, 0, 8, ops.NANS)
            program.put(program.laid, slot, ops.VALUE, 0, 8, ops.NANS)
        self._block_at = np.array([program.packed + WIDTH * slot for slot in slots], np.int64)

    def features(self, table: FeatureTable, columns: int) -> np.ndarray:
        """Tell where the features lie; return row -> place in their columns."""
        if not self._features:
            return EVERY
        if columns == self._program.packed and table.n <= FEW:
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
        """Tell where the features of few rows lie: they are one block."""
        memory, block = self._program.memory, np.ascontiguousarray(table.block(), np.float64)
        names = table.names
        if names != self._names:
            known = {name: place for place, name in enumerate(names)}
            places = [known.get(name, -1) for name in self._features.values()]
            self._names = names
            for slot, place in zip(self._features, places, strict=True):
                stride = 0 if place < 0 else 8
                self._program.put(self._program.packed, slot, ops.VALUE, address(NAN), stride, ops.NANS, 0, 0, 0, 0)
            self._block_at = np.array(
                [
                    self._program.packed + WIDTH * slot + 1
                    for slot, place in zip(self._features, places, strict=True)
                    if place >= 0
                ],
                np.int64,
            )
            inside = np.array([place for place in places if place >= 0], np.int64)
            self._offsets = [8 * n * inside for n in range(FEW + 1)]
        self._held.append(block)
        memory[self._block_at] = self._offsets[table.n] + address(block)

    def scores(self, scores: np.ndarray, columns: int) -> None:
        """Tell where the scores lie."""
        if not self._scores:
            return
        if scores.dtype != np.float64:
            scores = scores.astype(np.float64)
        self._held.append(scores)
        memory, where, stride = self._program.memory, address(scores), scores.strides[0]
        for slot in self._scores:
            at = columns + WIDTH * slot
            memory[at + 1], memory[at + 2] = where, stride

    def columns(self, batch: Any, slots: Iterable[int]) -> np.ndarray:
        """Tell where the fields of many rows lie that these slots are; return where the texts of cells lie."""
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
        program.tell(program.laid, told)
        return NO_TEXT if text is None else text

    def awaited(self, awaited: Awaited, columns: int, slots: Iterable[int]) -> None:
        """Tell where inputs lie that are computed once a rule waits for them."""
        self._program.tell(columns, {slot: awaited.column(slot) for slot in slots})

    def release(self) -> None:
        """Let go of what the last batch had."""
        self._held.clear()
