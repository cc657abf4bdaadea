"""Compiled windows against the plain ones: the same values on random streams, however cut, split, stored or adopted."""

from __future__ import annotations

import itertools
import time
from collections import deque
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("numba", reason="the wide half needs numba")

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flow.stream import T0, event
from tests.flow.test_windows import DAY_S, DECLARED, EPOCH_ALIGNED, LABEL, ORDER, PAY, READS, STREAMS, stream_of, window

from tocsin.core.desk import Aggregate as A
from tocsin.core.desk import Window
from tocsin.core.events import DAY, HOUR, SECOND, Event
from tocsin.desks.fraud.declarations import WINDOWS as FRAUD
from tocsin.errors import Misconfigured
from tocsin.flow.batch import PlainBatch
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.lines import Chunk, LineRows
from tocsin.flow.wide.rows import Rows
from tocsin.flow.wide.scan_trusted import Replayer
from tocsin.flow.wide.windows import WideWindows
from tocsin.flow.windows import Windows

HASHER, NAMES = Hasher(), Names()
METRIC = "metric.sampled"
MORE = (
    *DECLARED,
    window(A.RECENCY, 1800, delay_s=60),
    window(A.STD, 3600, field="amount", by="ip"),
    window(A.STD, DAY_S, field="amount", by="ip"),
    window(A.SUM, DAY_S, field="amount", delay_s=3 * DAY_S),
    window(A.STD, 2 * DAY_S, field="amount", delay_s=DAY_S),
    window(A.MEAN, 3600, field="value", by="service", of=(METRIC,)),
    window(A.SUM, DAY_S, field="value", by="service", of=(METRIC,)),
    window(A.DISTINCT, 600, field="ip", where='data.status == "declined"'),
    window(A.DISTINCT, 3600, field="sku", of=(ORDER,), by="card", each=True),
    window(A.DISTINCT, DAY_S, field="price", of=(ORDER,), by="items.sku", each=True),
    window(A.COUNT, 3600, of=(ORDER, PAY), by="items.sku", each=True, delay_s=120),
    window(A.STD, DAY_S, field="price", of=(ORDER,), by="items.sku", each=True, where="item.quantity > 1"),
    window(A.COUNT, 3600, by="ip", delay_s=7200),
)
GAPS = (0, 0, 0, 1, SECOND, 59 * SECOND, 60 * SECOND, 600 * SECOND, HOUR - 1, HOUR, HOUR + 1, 7 * HOUR, DAY, 169 * HOUR)
BRISK = (0, 0, 1, SECOND, 5 * SECOND, 30 * SECOND, 60 * SECOND)


def random_item(random: Random) -> dict[str, Any]:
    fields = {"sku": random.choice("xyz"), "quantity": random.randrange(4), "price": random.randrange(500)}
    return {name: value for name, value in fields.items() if random.random() < 0.8}


def random_event(random: Random, seq: int, tau: int) -> Event:
    fields: dict[str, Any] = {
        "card": random.choice("abc"),
        "ip": random.choice(["p", "q", "r", 7, ["x"]]),
        "amount": random.choice([random.randrange(10_000), random.randrange(9) * 10**10, -5, 1.5]),
        "currency": random.choice(["CNY", "EUR", "USD"]),
        "duration_ms": random.randrange(900),
        "status": random.choice(["declined", "succeeded"]),
        "service": random.choice("uv"),
        "value": random.choice([0.1, 2.5, -7, 1e9, "no"]),
        "sku": random.choice("xyz"),
    }
    data = {name: value for name, value in fields.items() if random.random() < (0.3 if name == "sku" else 0.7)}
    if random.random() < 0.5:
        data["items"] = [random_item(random) for _ in range(random.randrange(4))]
    kind = random.choice([PAY, PAY, PAY, ORDER, ORDER, LABEL, METRIC, "other.thing"])
    late = random.choice([0, 0, -300 * SECOND, 60 * SECOND])
    return event(seq, kind, tau, time=tau + late, shop=random.choice("st"), **data)


def random_stream(random: Random, most: int = 60) -> list[Event]:
    gaps = random.choice([GAPS, BRISK])
    tau, events = EPOCH_ALIGNED, []
    for seq in range(1, random.randrange(2, most)):
        tau += random.choice(gaps)
        events.append(random_event(random, seq, tau))
    return events


def wide(declared: Any = MORE, reads: Any = READS, **more: Any) -> WideWindows:
    windows = WideWindows(hasher=HASHER, **more)
    windows.declare(declared, reads)
    return windows


def plain(declared: Any = MORE, reads: Any = READS) -> Windows:
    windows = Windows(hasher=HASHER)
    windows.declare(declared, reads)
    return windows


def stepped(windows: Windows, events: list[Event], cuts: Any = ()) -> np.ndarray:
    edges = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    parts = [np.column_stack(windows.step(Rows(events[a:b], NAMES, HASHER))) for a, b in itertools.pairwise(edges)]
    return np.vstack(parts) if parts else np.empty((0, len(windows.windows)))


def expected(windows: Windows, events: list[Event]) -> np.ndarray:
    return np.column_stack(windows.step(PlainBatch(events))) if events else np.empty((0, len(windows.windows)))


def same(got: np.ndarray, want: np.ndarray, names: Any = MORE) -> None:
    if not np.array_equal(got, want, equal_nan=True):
        row, place = np.argwhere(~((got == want) | (np.isnan(got) & np.isnan(want))))[0]
        raise AssertionError(f"row {row}, {names[place].name}: {got[row, place]} instead of {want[row, place]}")


def cuts_of(random: Random) -> list[int]:
    return [random.randrange(100) for _ in range(random.choice([0, 1, 5, 60]))]


@settings(max_examples=60, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 100), max_size=4))
def test_every_window_has_the_value_of_its_plain_twin(steps: list[Any], cuts: list[int]) -> None:
    """Bit for bit, however the stream is cut."""
    events = stream_of(steps)
    if events:
        same(stepped(wide(), events, cuts), expected(plain(), events))


@pytest.mark.parametrize("block", range(10))
def test_a_thousand_random_streams_have_the_values_of_the_plain_twin(block: int) -> None:
    """Late and equal times, shops, currencies, items, delays, filters, jumps of days; a hundred streams a block."""
    for seed in range(100 * block, 100 * block + 100):
        random = Random(seed)
        events = random_stream(random)
        windows, other = wide(), wide()
        same(stepped(windows, events, cuts_of(random)), expected(plain(), events))
        if not seed % 5:
            stepped(other, events, cuts_of(random))
            assert windows.digest() == other.digest(), seed


@pytest.mark.parametrize("seed", range(40))
def test_a_window_declared_under_way_is_missing_until_warm(seed: int) -> None:
    """As in the plain twin, and the others keep their values; so does one that further types come to read."""
    random = Random(seed)
    events = random_stream(random, 90)
    at = random.randrange(1, len(events) + 1)
    later = tuple(random.sample(MORE, 8))
    first = tuple(one for one in MORE if one not in later)
    parts = []
    for windows, fold in ((wide(first, (PAY,)), stepped), (plain(first, (PAY,)), expected)):
        head = fold(windows, events[:at])
        windows.declare((*later, *first[:3]), READS)
        parts.append((head, fold(windows, events[at:])))
    same(parts[0][0], parts[1][0], first)
    same(parts[0][1], parts[1][1], (*first, *later))


@pytest.mark.parametrize("seed", range(40))
def test_state_splits_by_shard_and_merges(seed: int) -> None:
    """Split, fold the parts, merge, go on: the values and the state of the whole; each value known by one part."""
    random = Random(seed)
    events = random_stream(random, 100)
    a, b = sorted(random.randrange(len(events) + 1) for _ in range(2))
    whole = wide()
    want = stepped(whole, events)
    early = wide()
    stepped(early, events[:a])
    groups = [frozenset(s for s in range(256) if s % 3 == part) for part in range(3)]
    parts = early.split(groups)
    if b > a:
        values = np.stack([stepped(part, events[a:b], [1, 2]) for part in parts])
        single = [place for place, one in enumerate(MORE) if not one.by.startswith("items.")]
        assert (np.isfinite(values[:, :, single]).sum(axis=0) <= 1).all()
        merged = np.nan_to_num(values[:, :, single], nan=0.0).sum(axis=0)
        assert np.array_equal(merged, np.nan_to_num(want[a:b, single], nan=0.0))
    back = WideWindows.merge(parts)
    same(stepped(back, events[b:]), want[b:])
    assert back.digest() == whole.digest()


@pytest.mark.parametrize("seed", range(40))
def test_state_is_stored_and_restored(seed: int) -> None:
    """Values go on as if nothing had been; a window that the state does not know is missing until it is warm."""
    random = Random(seed)
    events = random_stream(random, 100)
    at = random.randrange(1, len(events) + 1)
    kept = [one for one in MORE if one.delay_s < 7200 or one.span_s > 3600]
    kept = [one for one in kept if not (one.fold is A.RECENCY and one.delay_s and one.span_s > 3600)]
    windows = wide(kept)
    stepped(windows, events[:at])
    meta, arrays = windows.state()
    other = WideWindows(hasher=HASHER)
    fresh = window(A.COUNT, 900, by="service", of=(METRIC,))
    declared = random.sample(kept, len(kept) - 2)
    other.declare((fresh, *declared), READS)
    assert other.restore(meta, arrays) == list(range(1, len(declared) + 1))
    want = stepped(windows, events[at:])
    got = stepped(other, events[at:])
    same(got[:, 1:], want[:, [kept.index(one) for one in declared]], declared)
    for row, tau in enumerate(one.tau for one in events[at:]):
        if tau < events[at - 1].tau + 900 * SECOND:
            assert np.isnan(got[row, 0])
    whole = WideWindows(hasher=HASHER)
    whole.declare(kept, READS)
    whole.restore(meta, arrays)
    stepped(whole, events[at:])
    assert whole.digest() == windows.digest()


@pytest.mark.parametrize("seed", range(20))
def test_windows_that_another_fold_has_warmed_are_adopted(seed: int) -> None:
    """Declared under way, computed beside from the journal, taken over: known at once, equal to one always there."""
    random = Random(seed)
    events = random_stream(random, 100)
    at = random.randrange(1, len(events) + 1)
    later = tuple(random.sample(MORE, 9))
    first = tuple(one for one in MORE if one not in later)
    windows = wide(first)
    stepped(windows, events[: at // 2])
    windows.declare(later, READS)
    stepped(windows, events[at // 2 : at])
    beside = wide(later)
    stepped(beside, events[:at])
    if windows.tau == beside.tau:
        windows.adopt(beside)
        want = expected(plain((*first, *later)), events)
        same(stepped(windows, events[at:]), want[at:], (*first, *later))
    with pytest.raises(Misconfigured, match="same tau"):
        wide().adopt(beside)


@pytest.mark.parametrize("seed", range(30))
def test_beyond_its_capacity_a_log_keeps_the_last_entries(seed: int) -> None:
    """Spans then hold what the last N entries say, counted, and independent of the cuts."""
    random, capacity = Random(seed), 7
    declared = (
        window(A.COUNT, 3600), window(A.SUM, 3600, field="duration_ms"), window(A.COUNT, 600),
        window(A.DISTINCT, 3600, field="ip"), window(A.COUNT, 3600, delay_s=60), window(A.COUNT, DAY_S),
    )  # fmt: skip
    tau, events = EPOCH_ALIGNED, []
    for seq in range(80):
        tau += random.choice(BRISK)
        data = {"card": random.choice("ab"), "ip": random.choice("pqr"), "duration_ms": random.randrange(9)}
        events.append(event(seq, PAY, tau, **data))
    windows, other = wide(declared, log_events=capacity), wide(declared, log_events=capacity)
    got = stepped(windows, events, cuts_of(random))
    same(got, stepped(other, events, cuts_of(random)), declared)
    log: deque[Event] = deque(maxlen=capacity)
    days: dict[str, int] = {}
    for row, one in enumerate(events):
        log.append(one)
        days[one.data["card"]] = days.get(one.data["card"], 0) + 1
        mine = [old for old in log if old.data["card"] == one.data["card"]]
        hour = [old for old in mine if old.tau > one.tau - HOUR]
        late = [old for old in mine if one.tau - HOUR - 60 * SECOND < old.tau <= one.tau - 60 * SECOND]
        assert got[row].tolist() == [
            len(hour), sum(old.data["duration_ms"] for old in hour),
            sum(old.tau > one.tau - 600 * SECOND for old in mine),
            len({old.data["ip"] for old in hour}), len(late), days[one.data["card"]],
        ]  # fmt: skip
    assert windows.counters["log_full"] == other.counters["log_full"] > 0
    assert windows.span_s() == (events[-1].tau - events[-capacity].tau) / SECOND
    assert windows.digest() == other.digest()


@pytest.mark.parametrize("seed", range(10))
def test_scanned_lines_have_the_values_of_their_events(seed: int) -> None:
    """The columns of a journal's lines read what the events read."""
    random = Random(seed)
    events = [one for one in random_stream(random, 200) if one.type != "other.thing" and one.data.get("ip") != ["x"]]
    odd = {"ip": int, "value": (int, str), "amount": float}
    events = [one for one in events if not any(isinstance(one.data.get(name), kind) for name, kind in odd.items())]
    names = Names()
    chunk = Chunk(names, HASHER)
    Replayer(names, HASHER, "s").read(b"".join(msgspec.json.encode(one) + b"\n" for one in events), chunk, 0)
    chunk.taus[: chunk.n] = [one.tau for one in events]
    if events:
        same(np.column_stack(wide().step(LineRows(chunk))), expected(plain(), events))


def test_a_span_that_has_passed_with_many_entries_is_reset() -> None:
    """20,000 entries, then a jump of a minute, an hour, a day: the values of the plain twin, and no key stays."""
    declared = [w for w in MORE if w.by == "card" and w.of == (PAY,) and w.span_s <= 3600 and w.delay_s < 7200]
    declared = [w for w in declared if w.fold is not A.RECENCY]
    random, tau, events = Random(3), EPOCH_ALIGNED, []
    for jump in (61 * SECOND, 700 * SECOND, 2 * HOUR, DAY):
        for _ in range(5000):
            tau += 100
            data = {"card": str(random.randrange(900)), "ip": str(random.randrange(9)), "amount": random.randrange(99)}
            events.append(event(len(events), PAY, tau, **data))
        tau += jump
    windows = wide(declared)
    want = expected(plain(declared), events)
    same(stepped(windows, events, range(0, 20_000, 701)), want, declared)
    same(stepped(wide(declared), events), want, declared)
    stepped(windows, [event(1, PAY, tau, card="a")])
    assert windows.sizes() == {"keys:card": 1, "log": 1}


@settings(max_examples=10)
@given(STREAMS)
def test_what_is_stored_is_stored_again_bit_for_bit(steps: list[Any]) -> None:
    """Rows are packed in memory and spelled out in a state: one that was restored says the very arrays."""
    windows = wide(MORE)
    stepped(windows, stream_of(steps))
    meta, arrays = windows.state()
    other = wide(MORE)
    other.restore(meta, arrays)
    again, same_arrays = other.state()
    assert again == meta
    assert arrays.keys() == same_arrays.keys()
    assert all(np.array_equal(arrays[name], same_arrays[name]) for name in arrays)


def test_a_log_whose_counts_would_not_fit_is_refused() -> None:
    """Counts of one log are halves of words."""
    with pytest.raises(Misconfigured, match="fewer than"):
        wide(MORE, log_events=1 << 31)


def test_idle_keys_vanish() -> None:
    """Cards seen once leave no state, with and without hops; other cards' events are what sweeps."""
    for declared in (
        (window(A.COUNT, 60),),
        (window(A.COUNT, 60), window(A.RECENCY, 60), window(A.SUM, DAY_S, field="amount")),
    ):
        windows = wide(declared)
        stepped(windows, [event(i, PAY, i, card=f"c{i}", amount=2**40) for i in range(6000)])
        later = [event(i, PAY, 9 * DAY + i * SECOND, card="z") for i in range(4000)]
        stepped(windows, later)
        assert windows.sizes()["keys:card"] == 1
        assert all(int(line[2]) == 0 for plane, _ in windows.planes for line in plane.maps)


def test_hours_beyond_32_bits_are_exact() -> None:
    """Sums of 10^12 in one hour, of both signs, leave as they came."""
    one = (window(A.SUM, DAY_S, field="amount"), window(A.STD, DAY_S, field="amount"))
    random, tau, events = Random(1), EPOCH_ALIGNED, []
    for seq in range(600):
        tau += random.choice([0, HOUR // 3, 5 * HOUR])
        amount = random.choice([1, -1, 10**12, -(10**12), 2**31 - 1, -(2**31)])
        events.append(event(seq, PAY, tau, card=random.choice("ab"), amount=amount))
    same(stepped(wide(one), events, range(0, 600, 7)), expected(plain(one), events), one)


def test_the_fraud_desk_reads_what_it_read() -> None:
    """All 80 windows of the fraud desk over months, equal to the plain twin."""
    declared = [one for one in FRAUD if isinstance(one, Window)]
    random, tau, events = Random(8), EPOCH_ALIGNED, []
    for seq in range(1200):
        tau += random.choice([SECOND, HOUR, 5 * HOUR, DAY // 3])
        data = {name: f"{name}{random.randrange(4)}" for name in ("card", "account", "device", "ip", "bin", "merchant")}
        data |= {"address": str(random.randrange(3)), "amount": random.randrange(10**6)}
        data |= {"status": random.choice(["declined", "succeeded"]), "label": random.choice(["fraud", "genuine"])}
        events.append(event(seq, random.choice([PAY, PAY, PAY, "label.given", ORDER]), tau, **data))
    reads = (PAY, ORDER)
    same(stepped(wide(declared, reads), events, range(0, 1200, 97)), expected(plain(declared, reads), events), declared)


def test_bytes_per_key() -> None:
    """A key of seven exact features costs at most 200 bytes of index and rows, a hop feature at most 120."""
    exact = (
        *(window(fold, span, field="amount") for fold in (A.SUM, A.MEAN) for span in (600, 3600)),
        *(window(A.COUNT, 60), window(A.STD, 3600, field="amount"), window(A.DISTINCT, 3600, field="ip")),
    )
    hops = (window(A.SUM, DAY_S, field="amount"), *(window(A.COUNT, days * DAY_S) for days in (1, 2, 3)))
    costs = []
    for declared in (exact, (*exact, *hops)):
        windows = wide(declared)
        for start in range(0, 100_000, 5000):
            stepped(windows, [event(i, PAY, i, card=str(i), amount=5, ip="a") for i in range(start, start + 5000)])
        found = windows.bytes()
        costs.append((found["index"] + found["rows"]) / 100_000)
    assert costs[0] <= 200
    assert (costs[1] - costs[0]) / len(hops) <= 120


class Columns:
    """Payments as ready columns: what ``Rows`` offers to windows, without events."""

    def __init__(self, taus: np.ndarray, cards: np.ndarray) -> None:
        self.n, self.taus, self.names, self.passed = len(taus), taus, NAMES, {}
        self.kinds = np.full(self.n, NAMES.declare_type(PAY), np.int32)
        self._cards, self._all = cards, np.ones(self.n, bool)

    def keys(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._cards, self._all

    def fixed(self, name: str, scale: int) -> tuple[np.ndarray, np.ndarray]:
        return self.taus, self._all

    def currencies(self, default: str) -> np.ndarray:
        return np.full(self.n, HASHER.text(default), np.uint64)


def hashed(numbers: np.ndarray) -> np.ndarray:
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))


class Visits(Columns):
    """Payments whose addresses are columns too."""

    def __init__(self, taus: np.ndarray, cards: np.ndarray, addresses: np.ndarray) -> None:
        super().__init__(taus, cards)
        self._addresses = addresses

    def identities(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._addresses, self._all


def test_what_leaves_is_taken_out_across_the_segments_of_the_log() -> None:
    """Seven cards in turn, an event every 10 ms: the log is longer than three of its segments of 65,536 entries."""
    declared = (window(A.COUNT, 60), window(A.COUNT, 600), window(A.DISTINCT, 60, field="ip"))
    windows, step = wide(declared), 8_192
    for start in range(0, 28 * step, step):
        numbers = np.arange(start, start + step)
        taus, addresses = T0 + numbers * 10_000, hashed(numbers // 7 // 80)
        count, long, distinct = windows.step(Visits(taus, hashed(numbers % 7), addresses))  # type: ignore[arg-type]
        first = np.maximum(numbers - 5_999, numbers % 7)
        first += (numbers - first) % 7
        np.testing.assert_array_equal(count, np.minimum(numbers, 5_999) // 7 + 1)
        np.testing.assert_array_equal(long, np.minimum(numbers, 59_999) // 7 + 1)
        np.testing.assert_array_equal(distinct, numbers // 7 // 80 - first // 7 // 80 + 1)


@pytest.mark.slow
def test_ten_million_cards_seen_once_cost_neither_time_nor_memory() -> None:
    """Two in three events are of cards that never come again: the last million is as fast as the second."""
    declared = (window(A.COUNT, 60), window(A.SUM, 60, field="amount"), window(A.COUNT, DAY_S), window(A.RECENCY, 3600))
    for some in (declared[:2], declared):
        windows = wide(some)
        random, speeds, step = np.random.default_rng(1), [], 8192
        for start in range(0, 16_000_000, step):
            numbers = np.arange(start, start + step) + 10**6
            numbers[::3] = random.integers(0, 50_000, len(numbers[::3]))
            taus = T0 + np.arange(start, start + step) * 100_000
            began = time.thread_time()
            windows.step(Columns(taus, hashed(numbers)))  # type: ignore[arg-type]
            speeds.append(step / (time.thread_time() - began))
        assert np.median(speeds[-120:]) > 0.5 * np.median(speeds[120:240])
        live = windows.sizes()["keys:card"]
        assert live < 200_000 if len(some) == 2 else live < 3_000_000


@pytest.mark.slow
def test_a_jump_of_the_clock_stalls_no_step() -> None:
    """Two million entries in the log, then a jump past the hour: the next step takes tens of milliseconds at most."""
    windows = wide((window(A.COUNT, 60), window(A.COUNT, 3600), window(A.STD, 3600, field="amount")))
    taus = T0 + np.arange(2_000_000) * 1000
    cards = hashed(np.arange(2_000_000) % 700_000)
    for start in range(0, 2_000_000, 8192):
        windows.step(Columns(taus[start : start + 8192], cards[start : start + 8192]))  # type: ignore[arg-type]
    began = time.thread_time()
    values = windows.step(Columns(taus[-1:] + DAY, cards[:1]))  # type: ignore[arg-type]
    assert time.thread_time() - began < 0.1
    assert [float(column[0]) for column in values[:2]] == [1.0, 1.0]
    assert windows.sizes() == {"keys:card": 1, "log": 1}
