"""Card testing through the fold: seen within minutes, and not where people only pay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.events import MINUTE, SECOND, Event
from tocsin.desks.fraud import FraudDesk
from tocsin.desks.fraud.testing import NEEDED, PLACES, evidence
from tocsin.flow.fold import Fold

if TYPE_CHECKING:
    from tocsin.core.signal import Signal

START = 1_700_000_000_000_000


def payment(number: int, time: int, **data: object) -> Event:
    body = {"amount": 300, "currency": "CNY", "status": "declined", **data}
    return Event(id=f"p{number}", source="t", type="payment.attempted", time=time, tau=time, seq=number, data=body)


def fold(events: list[Event]) -> list[Signal]:
    folded = Fold([FraudDesk()]).step(events)
    assert not folded.faults
    return folded.signals


def test_cards_tried_on_one_device_are_noticed_at_the_fourth() -> None:
    """Four declined cards, a minute apart: one signal about the device, with the numbers that people read."""
    events = [payment(n, START + n * MINUTE, device="d", card=f"c{n}") for n in range(1, 5)]
    (signal,) = fold(events)
    assert (signal.kind, signal.subject, signal.tau) == ("card-testing", "device:d", START + 4 * MINUTE)
    assert signal.evidence["cards"] == signal.evidence["declined"] == 4
    assert "4 cards" in signal.reasons[0].text.en
    assert "4 张卡" in signal.reasons[0].text.zh
    assert 0.9 < signal.score < 1
    assert signal.loss_per_minute > 0


def test_many_devices_with_one_bin_are_noticed() -> None:
    """A card range tried from ten devices and addresses within ten minutes."""
    events = [
        payment(n, START + n * 30 * SECOND, device=f"d{n}", ip=f"192.0.2.{n}", card=f"c{n}", bin="411111")
        for n in range(1, 11)
    ]
    assert {signal.subject for signal in fold(events)} == {"bin:411111"}


def test_one_signal_per_place_and_bucket() -> None:
    """However long it lasts, a device gives one signal per five minutes."""
    events = [payment(n, START + n * 10 * SECOND, device="d", card=f"c{n}") for n in range(1, 61)]
    buckets = {event.tau // (5 * MINUTE) for event in events[3:]}
    assert len(fold(events)) == len(buckets)


def test_busy_places_with_ordinary_declines_are_quiet() -> None:
    """A shared address with 200 payments of 200 cards in ten minutes, one in ten declined: no signal."""
    rng = np.random.default_rng(0)
    events = [
        payment(
            n,
            START + n * 3 * SECOND,
            ip="198.51.100.1",
            card=f"c{n}",
            bin="622588",
            amount=20_000,
            status="declined" if rng.random() < 0.1 else "succeeded",
        )
        for n in range(1, 201)
    ]
    assert fold(events) == []


def test_one_customer_with_an_empty_card_is_quiet() -> None:
    """Ten declined attempts with one card, and three cards of which two work, are no testing."""
    events = [payment(n, START + n * 20 * SECOND, device="d", card="c", bin="b") for n in range(1, 11)]
    tried = [payment(20 + n, START + (20 + n) * MINUTE, device="e", card=f"e{n}", status="succeeded") for n in range(3)]
    assert fold([*events, *tried]) == []


def test_more_declines_are_never_less_evidence() -> None:
    """Evidence grows with the declines and with the cards, and is 0 below the fewest cards."""
    for place in PLACES:
        attempts = np.full(21, 20.0)
        by_declines = evidence(attempts, np.arange(21.0), np.full(21, 20.0), place)
        by_cards = evidence(attempts, np.full(21, 15.0), np.arange(21.0), place)
        assert (np.diff(by_declines) >= 0).all()
        assert (np.diff(by_cards) >= 0).all()
        assert (by_cards[: place.fewest] == 0).all()
        assert by_declines[-1] > NEEDED
