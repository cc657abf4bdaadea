"""Learner: from a stream with labels to what a desk learns from, through the same fold that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.core.desk import Labelled
from tocsin.core.events import DAY
from tocsin.errors import Misconfigured
from tocsin.flow.fold import Fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tocsin.core.desk import Desk
    from tocsin.core.events import Event

LABEL = "label.given"
HARM = {"fraud": True, "attack": True, "confirmed": True, "legitimate": False, "false_alarm": False}
CHUNK = 1024


class Collector:
    """Folds a stream with one desk and keeps, per event worth learning from, what the desk was served.

    Parameters
    ----------
    desk
        Its windows are computed; its model plays no part.
    on
        Event types that are learned from.
    settles
        Whether an event without a label may count as harmless once ``maturity`` has passed (a declined payment may
        not: nobody would ever dispute it).
    maturity
        How long a label takes, microseconds.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        on: tuple[str, ...],
        settles: Callable[[Event], bool] = lambda event: True,
        maturity: int = 7 * DAY,
        currency: str = "CNY",
    ) -> None:
        self.names = tuple(window.name for window in desk.windows)
        self._desk = desk
        self._on = on
        self._settles = settles
        self._maturity = maturity
        self._fold = Fold([desk], currency=currency)
        self._rows: list[np.ndarray] = []
        self._kept: list[tuple[tuple[str, str], int, int, str, bool]] = []
        self._labels: dict[tuple[str, str], bool] = {}
        self._tau = 0
        self.events = 0

    def fold(self, events: Iterable[Event]) -> None:
        """Take a stream in the order of its times; it is stamped here, on the data's own clock."""
        chunk: list[Event] = []
        for event in events:
            if event.type in self._desk.reads or event.type in self._on:
                chunk.append(event)
            if len(chunk) == CHUNK:
                self._step(chunk)
                chunk = []
        self._step(chunk)

    def _step(self, events: list[Event]) -> None:
        stamped = []
        for event in events:
            self.events += 1
            self._tau = max(self._tau, event.time)
            stamped.append(_stamped(event, self.events, self._tau))
        asked = [row for row, event in enumerate(stamped) if event.type in self._on]
        folded = self._fold.step(stamped, features_for=asked)
        if folded.faults:
            raise Misconfigured(f"desk {folded.faults[0].desk} failed on the training stream: {folded.faults[0].error}")
        found = {row.index: row.features for row in folded.rows}
        for index in asked:
            event, features = stamped[index], found[index]
            values = (features.get(name) for name in self.names)
            self._rows.append(np.array([np.nan if value is None else value for value in values], np.float64))
            amount, key = event.data.get("amount", 0), event.data.get("card") or event.data.get("account") or ""
            self._kept.append((event.identity, event.time, int(amount), str(key), self._settles(event)))
        for event in stamped:
            harm = HARM.get(str(event.data.get("label"))) if event.type == LABEL else None
            if harm is not None:
                self._labels[str(event.data.get("of_source", event.source)), str(event.data.get("of"))] = harm

    def labelled(self) -> Labelled:
        """Return the rows older than ``maturity`` whose truth is known: labelled, or unlabelled and settled.

        A label that came early waits as well: if harm were learned from sooner than harmlessness, the newest rows
        would all be harmful, and whatever grows with time would look like harm.
        """
        known = [
            at
            for at, (identity, time, _, _, settles) in enumerate(self._kept)
            if time <= self._tau - self._maturity and (settles or identity in self._labels)
        ]
        kept = [self._kept[at] for at in known]
        return Labelled(
            names=self.names,
            x=np.array([self._rows[at] for at in known]).reshape(len(known), len(self.names)),
            y=np.array([self._labels.get(identity, False) for identity, *_ in kept], bool),
            time=np.array([time for _, time, *_ in kept], np.int64),
            amount=np.array([amount for _, _, amount, *_ in kept], np.int64),
            entity=np.array([key for *_, key, _ in kept], object),
        )


def _stamped(event: Event, seq: int, tau: int) -> Event:
    return msgspec.structs.replace(event, seq=seq, tau=tau)
