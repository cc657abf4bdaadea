"""Seats: each desk at work, with the model that it runs, the one beside it in shadow, and its mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from tocsin.core.desk import NOVELTY, Judgement
from tocsin.core.signal import Mode
from tocsin.errors import Misconfigured
from tocsin.flow.wide.novelty import Novelty

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.desk import Bucket, Desk, Miss, Novel
    from tocsin.core.signal import Signal
    from tocsin.flow.batch import FeatureTable, PlainBatch

T = TypeVar("T")


class Seat:
    """One desk at work: as it was declared, with the live model, and with a model in shadow beside it."""

    def __init__(self, desk: Desk) -> None:
        self.base = desk
        self.live = desk
        self.shadow: Desk | None = None
        self.digests = {"live": "", "shadow": ""}
        self.mode = Mode.LIVE
        novel: Novel | None = getattr(desk, "novel", None)
        self.novel = novel
        self.novelty = Novelty(novel.features) if novel is not None else None
        """What is usual, learned online; the same whatever model runs."""
        self.out = False
        """Whether it raised: it is left out from then on."""

    def put_model(self, digest: str, stage: str, artefact: bytes | None) -> None:
        """Run a model in a stage (``shadow``, ``live``), or take it out (``retired``); ``candidate`` is no change."""
        if stage == "live":
            self.live, self.digests["live"] = self.base.with_model(artefact), digest
            if self.digests["shadow"] == digest:
                self.shadow, self.digests["shadow"] = None, ""
        elif stage == "shadow":
            self.shadow, self.digests["shadow"] = self.base.with_model(artefact), digest
        elif stage == "retired":
            if self.digests["shadow"] == digest:
                self.shadow, self.digests["shadow"] = None, ""
            if self.digests["live"] == digest:
                self.live, self.digests["live"] = self.base, ""
        elif stage != "candidate":
            raise Misconfigured(f"unknown stage {stage!r} of a model; stages: candidate, shadow, live, retired")

    def unusual(self, batch: PlainBatch, table: FeatureTable) -> FeatureTable:
        """Return the desk's features with ``novelty`` beside them, where it asks for it; and learn the rows."""
        if self.novelty is None or self.novel is None:
            return table
        mine = np.flatnonzero(batch.of_type(*self.novel.of))
        scores = np.full(batch.n, np.nan)
        if len(mine):
            scores[mine] = self.novelty.step(table.pick(mine).matrix(self.novel.features), _shops(batch, mine))
        return table.beside(NOVELTY, scores)

    def canonical(self) -> tuple[str, str, str, str, bool, str]:
        """Return the state in one form."""
        learned = self.novelty.digest() if self.novelty is not None else ""
        return (self.base.name, self.mode.value, self.digests["live"], self.digests["shadow"], self.out, learned)


def _shops(batch: Any, rows: np.ndarray) -> list[str]:
    """Return the shops of rows; a batch of columns has them as codes."""
    if hasattr(batch, "shops"):
        names = batch.names.shops
        return [names[code] for code in batch.shops[rows].tolist()]
    return [batch.events[row].shop for row in rows.tolist()]


def check_judgement(judged: Judgement, batch: PlainBatch) -> Judgement:
    """Return the judgement; Misconfigured where its shape does not fit the batch."""
    if not isinstance(judged.scores, np.ndarray) or judged.scores.shape != (batch.n,):
        raise Misconfigured(f"judge must return one score a row: {batch.n} rows")
    rows = [*judged.decisions, *judged.reasons, *(row for row, _ in judged.signals)]
    if any(not 0 <= row < batch.n for row in rows):
        raise Misconfigured("judge named a row outside its batch")
    if not judged.signals:
        return judged
    return msgspec.structs.replace(judged, signals=[(row, plain(signal)) for row, signal in judged.signals])


def plain(signal: Signal) -> Signal:
    """Return the signal with the array library's numbers as Python's own; TypeError for what is no JSON value."""
    try:
        msgspec.to_builtins(signal)
    except TypeError:
        return msgspec.convert(msgspec.to_builtins(signal, enc_hook=_number), type(signal))
    return signal


def _number(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a signal is no JSON value")


def guarded(call: Callable[[], T]) -> tuple[T | None, str]:
    """Return what a desk's entrance returns, or None and the text of what it raised.

    A desk is a plug-in: whatever it raises, the others go on without it. This is the only place that catches all.
    """
    try:
        return call(), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def judge_until(desk: Desk, batch: PlainBatch, table: FeatureTable, limit: int) -> tuple[Judgement, int | None, str]:
    """Return a desk's judgement of the first ``limit`` rows, the row on which it raised, and what it raised.

    Where it raises, the rows before are judged without that one, so that the result is that of any other cut.
    """
    rows = np.arange(limit)
    judged, error = _judged(desk, batch.pick(rows), table.pick(rows))
    if judged is not None:
        return _padded(judged, batch.n), None, ""
    for row in range(limit):
        alone = np.array([row])
        if _judged(desk, batch.pick(alone), table.pick(alone))[0] is None:
            before = np.arange(row)
            judged, _ = _judged(desk, batch.pick(before), table.pick(before))
            return _padded(judged, batch.n), row, error
    return _padded(None, batch.n), 0, error


def _judged(desk: Desk, batch: PlainBatch, table: FeatureTable) -> tuple[Judgement | None, str]:
    if not batch.n:
        return Judgement(scores=np.empty(0)), ""
    return guarded(lambda: check_judgement(desk.judge(batch, table), batch))


def _padded(judged: Judgement | None, n: int) -> Judgement:
    """Return the judgement with unscored rows at the end, up to ``n``."""
    if judged is None:
        return Judgement(scores=np.full(n, np.nan))
    if len(judged.scores) == n:
        return judged
    scores = np.concatenate([judged.scores, np.full(n - len(judged.scores), np.nan)])
    return msgspec.structs.replace(judged, scores=scores)


def woken(desk: Desk, buckets: Sequence[Bucket], misses: Sequence[Miss]) -> tuple[list[Signal], str]:
    """Return the signals of closed buckets and missed deadlines, and what the desk raised."""
    closed, error = guarded(lambda: [plain(signal) for signal in desk.closed(buckets)] if buckets else [])
    if closed is None:
        return [], error
    missed, error = guarded(lambda: [plain(signal) for signal in desk.missed(misses)] if misses else [])
    return closed + (missed or []), error
