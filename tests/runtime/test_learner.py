"""The learner: features as they are served, truth only once it has matured."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.core.events import DAY, HOUR, Event
from tocsin.desks.fraud import FraudDesk
from tocsin.flow.fold import Fold
from tocsin.runtime.learner import Collector

START = 1_700_000_000_000_000
ON = ("payment.attempted",)


def payment(number: int, time: int, **data: object) -> Event:
    body = {"amount": 1000 + number, "currency": "CNY", "card": "c", "merchant": "m", "status": "succeeded", **data}
    return Event(id=f"p{number}", source="t", type="payment.attempted", time=time, data=body)


def label(of: int, time: int, word: str) -> Event:
    data = {"of": f"p{of}", "of_source": "t", "label": word, "card": "c", "merchant": "m"}
    return Event(id=f"l{of}", source="t", type="label.given", time=time, data=data)


def collect(events: list[Event], **more: object) -> Collector:
    collector = Collector(FraudDesk(), on=ON, **more)  # type: ignore[arg-type]
    collector.fold(events)
    return collector


def test_only_known_truth_is_learned_from() -> None:
    """After seven days a payment counts by its label, without one as legitimate; a younger one not at all."""
    events = [
        payment(1, START),
        payment(2, START + HOUR),
        payment(3, START + 2 * HOUR, status="declined"),
        payment(4, START + 3 * DAY),
        label(1, START + 4 * DAY, "fraud"),
        label(4, START + 5 * DAY, "fraud"),
        label(3, START + 8 * DAY, "legitimate"),
    ]
    labelled = collect(events).labelled()
    assert labelled.y.tolist() == [True, False, False]
    assert labelled.amount.tolist() == [1001, 1002, 1003]
    assert labelled.entity.tolist() == ["c", "c", "c"]


def test_what_nobody_would_dispute_stays_unknown() -> None:
    """A declined payment without a label is no proof of honesty."""
    events = [payment(1, START, status="declined"), payment(2, START), payment(3, START + 9 * DAY)]
    settles = collect(events, settles=lambda event: event.data["status"] == "succeeded").labelled()
    assert settles.amount.tolist() == [1002]


def test_features_are_those_that_serving_computes() -> None:
    """The learner's rows equal the rows of a fold over the same events, however that one is cut."""
    events = [payment(n, START + n * HOUR * 7, merchant=f"m{n % 3}") for n in range(1, 80)]
    events += [label(n, START + n * HOUR * 7 + 3 * DAY, "fraud") for n in range(3, 60, 5)]
    events.sort(key=lambda event: event.time)
    labelled = collect(events, maturity=0).labelled()
    fold, served = Fold([FraudDesk()]), []
    for number, event in enumerate(events, 1):
        stamped = Event(
            id=event.id,
            source="t",
            type=event.type,
            time=event.time,
            tau=event.time,
            seq=number,
            data=event.data,
        )
        rows = fold.step([stamped], features_for=(0,)).rows
        if event.type in ON:
            served.append([rows[0].features.get(name) for name in labelled.names])
    assert np.array_equal(labelled.x, np.array(served, float), equal_nan=True)
    assert labelled.y.sum() == 12


def test_an_empty_stream_teaches_nothing() -> None:
    """No events, no rows, and the desk says so by giving no candidate."""
    labelled = collect([]).labelled()
    assert labelled.x.shape == (0, len(labelled.names))
    assert FraudDesk().learn(labelled) is None


def test_rows_are_in_the_units_of_the_windows() -> None:
    """The mean amount of the card is in minor units."""
    labelled = collect([payment(1, START), payment(2, START + HOUR)], maturity=0).labelled()
    assert labelled.x[1, labelled.names.index("card_mean_1d")] == pytest.approx(1001.5)
