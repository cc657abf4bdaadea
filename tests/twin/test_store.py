"""The store: repeatable, balanced, and understood by Tocsin's own door."""

from __future__ import annotations

import msgspec
import pytest

from tocsin.core.events import HOUR, MINUTE
from tocsin.core.vocabulary import VOCABULARY
from tocsin.twin.books import Books, State
from tocsin.twin.drill import Deaf
from tocsin.twin.store import Recorder, Store
from tocsin.twin.trouble import compose, named
from tocsin.twin.world import EPOCH, Opening

NOON = EPOCH + 12 * HOUR


def play(seed: int, hours: float = 2.0, **options: object) -> tuple[Store, Recorder]:
    recorder = Recorder()
    store = Store(seed, recorder, start=NOON, **options)  # type: ignore[arg-type]
    store.run(NOON + int(hours * HOUR))
    return store, recorder


def test_same_seed_gives_the_same_bytes_however_time_is_cut() -> None:
    """One run of two hours and 720 steps of ten seconds tell the same events."""
    whole = play(7)[1].events
    recorder = Recorder()
    store = Store(7, recorder, start=NOON)
    for step in range(1, 721):
        store.run(NOON + step * 10_000_000)
    assert msgspec.json.encode(recorder.events) == msgspec.json.encode(whole)
    assert msgspec.json.encode(play(8)[1].events) != msgspec.json.encode(whole)


def test_every_event_is_of_the_vocabulary_and_in_the_order_of_time() -> None:
    """Types and fields are known, required fields are there, choices hold, times never run back, ids are unique."""
    events = play(3, 4.0)[1].events
    assert [e["time"] for e in events] == sorted(e["time"] for e in events)
    assert len({e["id"] for e in events}) == len(events)
    for event in events:
        kind = VOCABULARY[event["type"]]
        known = {field.name: field for field in kind.fields}
        assert set(event["data"]) <= set(known), event
        assert all(field.name in event["data"] for field in kind.fields if field.required), event
        for name, value in event["data"].items():
            assert not known[name].choices or value in known[name].choices, event


def test_the_day_has_a_rhythm_and_the_sizes_that_a_small_shop_has() -> None:
    """60 to 110 events and 0.8 to 3 orders a minute at noon; at four in the morning a quarter of that or less."""
    store, recorder = play(1)
    assert 60 <= len(recorder.events) / 120 <= 110
    assert 0.8 <= len(store.books.orders) / 120 <= 3
    night = Recorder()
    Store(1, night, start=EPOCH + 3 * HOUR).run(EPOCH + 5 * HOUR)
    assert len(night.events) < len(recorder.events) / 3


def test_an_announced_opening_brings_twenty_times_the_visitors_for_its_minute() -> None:
    """The minute of the opening has more than ten times the requests of the minute an hour before."""
    opening = Opening(NOON + HOUR)
    events = play(5, openings=(opening,))[1].events
    requests = [event["time"][11:16] for event in events if event["type"] == "http.request"]
    assert any(event["type"] == "campaign.planned" for event in events)
    assert requests.count("05:00") > 6 * requests.count("04:00")


def balances(books: Books) -> None:
    states = [account.state for account in books.orders.values()]
    assert len(states) == sum(states.count(state) for state in State)
    paid = sum(account.amount for account in books.orders.values() if account.state is State.PAID or account.refunded)
    returned = sum(account.refunded + account.charged_back for account in books.orders.values())
    assert books.taken == paid
    assert books.kept == paid - returned


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_books_balance(seed: int) -> None:
    """Orders are paid, cancelled or pending; money taken is money kept plus money given back; events agree."""
    store, recorder = play(seed, 3.0)
    balances(store.books)
    told: dict[str, int] = {}
    for event in recorder.events:
        told[event["type"]] = told.get(event["type"], 0) + 1
    totals = store.books.summary()
    assert told["order.placed"] == totals["orders"] == totals["paid"] + totals["cancelled"] + totals["pending"]
    assert told["order.paid"] == totals["paid"]
    assert told.get("order.cancelled", 0) == totals["cancelled"]
    assert store.books.taken == sum(e["data"]["amount"] for e in recorder.events if e["type"] == "order.paid")


def test_frauds_are_labelled_late_and_name_the_payment() -> None:
    """Every label comes hours after its payment and repeats its card; some frauds of a long run are labelled."""
    recorder = Recorder()
    Store(4, recorder, start=EPOCH, pace=0.5).run(EPOCH + 72 * HOUR)
    payments = {e["id"]: e for e in recorder.events if e["type"] == "payment.attempted"}
    labels = [e for e in recorder.events if e["type"] == "label.given"]
    assert len(labels) >= 5
    for label in labels:
        payment = payments[label["data"]["of"]]
        assert label["data"]["card"] == payment["data"]["card"]
        assert label["time"] > payment["time"]


def test_an_ear_that_hears_nothing_changes_nothing() -> None:
    """The store goes on in the same way whether or not anybody listens."""
    listened, _ = play(6)
    deaf = Store(6, Deaf(), start=NOON)
    deaf.run(NOON + 2 * HOUR)
    assert deaf.books.summary() == listened.books.summary()


@pytest.mark.parametrize(
    ("drill", "loss"),
    [("card-testing", "lost_fraud"), ("request-flood", "lost_lost_sales"), ("gateway-outage", "lost_lost_sales")],
)
def test_each_drill_costs_money_and_more_when_it_is_stronger(drill: str, loss: str) -> None:
    """Quiet < medium <= strong in the loss that the trouble is about; harm is noted only in the trouble's time."""
    spec = {**named(drill), "warm_up_s": 600, "start": 0, "duration_s": 1500}
    lost = [play(2, 0.75)[0].books.summary()[loss]]
    for strength in ("medium", "strong"):
        trouble = compose(spec, seed=2, strength=strength, begin=NOON)
        store, _ = play(2, 0.75, troubles=[trouble])
        lost.append(store.books.summary()[loss])
        harm = store.books.harm[drill]
        assert trouble.start <= min(harm)
        assert max(harm) <= trouble.end + MINUTE
    assert lost[0] < lost[1] <= lost[2] * 1.05
