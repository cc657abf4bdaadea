"""Windows over a plain table that has a time and a key: each row as a plain event through the fold.

For every key column: how many rows, and the sum and mean of the amount, in the last hour, day and week; the same
windows with the same meaning as any desk's (``core.desk``), so that what is learned here holds for the live fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.desk import Aggregate, Judgement, Window
from tocsin.core.events import DAY, HOUR, Event
from tocsin.flow.fold import Fold
from tocsin.methods.encoding import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.assessment.plate import Plate
    from tocsin.core.desk import Batch, Bucket, Candidate, Deadline, Desk, Features, Labelled, Miss, Ratio, Rule, Series
    from tocsin.core.playbook import Playbook
    from tocsin.core.signal import Signal, Text

TYPE = "table.row"
SPANS = {"1h": HOUR // 1_000_000, "24h": DAY // 1_000_000, "7d": 7 * DAY // 1_000_000}
MOST_KEYS = 3
MOST_ROWS = 200_000
"""Longer tables get no windows here; ``tocsin model train`` is made for them."""
_BATCH = 4096


class RowDesk:
    """A desk that declares the windows and judges nothing: the fold's features are what is wanted."""

    name = "table"
    version = 1
    reads: tuple[str, ...] = (TYPE,)
    series: tuple[Series, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    rules: tuple[Rule, ...] = ()
    kinds: Mapping[str, Text] = {}

    def __init__(self, keys: int, amount: bool) -> None:
        wanted: list[Window] = []
        for key in range(keys):
            for span, seconds in SPANS.items():
                made = [(Aggregate.COUNT, "count", "")]
                if amount:
                    made += [(Aggregate.SUM, "sum", "amount"), (Aggregate.MEAN, "mean", "amount")]
                for fold, word, field in made:
                    name = f"k{key}_{word}_{span}"
                    wanted.append(Window(name=name, fold=fold, by=f"k{key}", span_s=seconds, of=(TYPE,), field=field))
        self.windows: tuple[Window | Ratio, ...] = tuple(wanted)

    def judge(self, batch: Batch, features: Features) -> Judgement:
        """Score nothing."""
        return Judgement(scores=np.full(batch.n, np.nan))

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        """Say nothing."""
        return ()

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        """Say nothing."""
        return ()

    def learn(self, labelled: Labelled) -> Candidate | None:
        """Learn nothing."""
        return None

    def with_model(self, artefact: bytes | None) -> Desk:
        """Return itself."""
        return self

    def playbooks(self) -> Sequence[Playbook]:
        """Have none."""
        return ()


def window_features(plate: Plate) -> list[Feature]:
    """Return the window features of every row; none where the table lacks time or keys or is too long."""
    if plate.at is None or not plate.keys or plate.n > MOST_ROWS:
        return []
    keys = list(plate.keys)[:MOST_KEYS]
    amount = plate.feature(plate.amount)
    desk = RowDesk(len(keys), amount is not None)
    fold = Fold([desk])
    order = np.argsort(plate.at, kind="stable")
    names = [window.name for window in desk.windows]
    columns = {name: np.full(plate.n, np.nan) for name in names}
    for start in range(0, plate.n, _BATCH):
        rows = order[start : start + _BATCH]
        events = [_event(plate, int(row), start + place, keys, amount) for place, row in enumerate(rows)]
        for answer in fold.step(events, features_for=range(len(events))).rows:
            for name, value in answer.features.items():
                if value is not None:
                    columns[name][rows[answer.index]] = value
    return [Feature(name=_shown(name, keys, plate.amount), kind="number", values=columns[name]) for name in names]


def _event(plate: Plate, row: int, place: int, keys: Sequence[str], amount: Feature | None) -> Event:
    data: dict[str, object] = {}
    for number, column in enumerate(keys):
        key = plate.keys[column][row]
        if key is not None:
            data[f"k{number}"] = key
    if amount is not None and not np.isnan(amount.values[row]):
        data["amount"] = float(amount.values[row])
    tau = int(plate.at[row])
    return Event(id=str(row), source="table", type=TYPE, time=tau, tau=tau, seq=place + 1, data=data)


def _shown(name: str, keys: Sequence[str], amount: str) -> str:
    """Return ``count of rows by customer in 24h`` for ``k0_count_24h``."""
    key, word, span = name.split("_")
    what = "rows" if word == "count" else amount
    return f"{word} of {what} by {keys[int(key[1:])]} in {span}"
