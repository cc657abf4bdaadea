"""Fold: one step of the data plane. Stamped events in, rows (scores and decisions), signals and buckets out."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from tocsin.core.signal import Decision, Reason, Signal
from tocsin.flow.batch import PlainBatch
from tocsin.flow.outputs import Fault, Folded, Row
from tocsin.flow.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np

    from tocsin.core.desk import Desk, Judgement, Rule
    from tocsin.core.events import Event
    from tocsin.flow.batch import FeatureTable

__all__ = ["Fault", "Fold", "Folded", "Row"]


class Fold:
    """The state of all desks over one stream; its output is a function of the stream, however it is cut."""

    def __init__(
        self,
        desks: Sequence[Desk],
        *,
        rules: Sequence[Rule] = (),
        currency: str = "CNY",
        load_model: Callable[[str], bytes] | None = None,
    ) -> None:
        self.desks = {desk.name: desk for desk in desks}
        self.counters: Counter[str] = Counter()
        self.windows = Windows(currency)
        for desk in desks:
            self.windows.declare(desk.windows, desk.reads)
        self.tau = 0
        self._out: set[str] = set()
        self._told: dict[str, int] = {}

    def step(self, events: Sequence[Event], features_for: Collection[int] = ()) -> Folded:
        """Fold stamped events, tau and seq ascending; a row is returned for every index in ``features_for``."""
        folded = Folded()
        if not events:
            return folded
        columns = self.windows.step(events)
        self.tau = events[-1].tau
        batch = PlainBatch(events)
        answers: dict[int, Row] = {}
        signals: list[tuple[int, Signal]] = []
        for desk in self.desks.values():
            if desk.name in self._out:
                continue
            reads = batch.of_type(*desk.reads)
            if not reads.any():
                continue
            table = self.windows.table(desk.windows, columns, batch.n)
            try:
                judged = desk.judge(batch, table)
            except Exception as error:  # a desk is a plug-in: whatever it raises, the others go on without it
                self._out.add(desk.name)
                folded.faults.append(Fault(desk.name, f"{type(error).__name__}: {error}"))
                continue
            signals.extend(judged.signals)
            self._answer(desk, judged, reads, table, answers)
        for index in features_for:
            if index not in answers:
                answers[index] = Row(index=index, score=None, computed=Decision.ALLOW, shadow=Decision.ALLOW)
        folded.rows = [answers[index] for index in sorted(answers)]
        for _, signal in sorted(signals, key=lambda pair: pair[0]):
            if signal.id not in self._told:
                self._told[signal.id] = self.tau
                folded.signals.append(signal)
        return folded

    def advance(self, tau: int) -> Folded:
        """Fire what is due at or before ``tau`` while no event comes."""
        self.tau = max(self.tau, tau)
        return Folded()

    def digest(self) -> str:
        """Return the hash of all state: equal for folds of equal streams."""
        return hashlib.blake2b(self.windows.digest().encode(), digest_size=16).hexdigest()

    def _answer(
        self, desk: Desk, judged: Judgement, reads: np.ndarray, table: FeatureTable, answers: dict[int, Row]
    ) -> None:
        for index, score in enumerate(judged.scores.tolist()):
            decision = judged.decisions.get(index, Decision.ALLOW)
            if not reads[index] or (score != score and decision is Decision.ALLOW):  # noqa: PLR0124  (NaN)
                continue
            reasons: tuple[Reason, ...] = tuple(judged.reasons.get(index, ()))
            before = answers.get(index)
            if before is None or decision.rank > before.computed.rank:
                answers[index] = Row(
                    index=index,
                    score=score if score == score else None,  # noqa: PLR0124
                    computed=decision,
                    shadow=decision,
                    reasons=reasons,
                    features=table.row(index),
                    model=judged.model,
                    desk=desk.name,
                )
