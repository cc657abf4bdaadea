"""The windows alone: against their plain twin, over live keys, over batch sizes; what a live key costs in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from benchmarks.feed import Feed, median, one_core, seconds_of
from benchmarks.plane import DURABLE, EXACT, READS
from benchmarks.stream import Stream
from tocsin.core.desk import Aggregate
from tocsin.flow.batch import PlainBatch
from tocsin.flow.wide.windows import WideWindows
from tocsin.flow.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Window
    from tocsin.flow.wide.lines import LineRows

BATCH = 8192
HOUR_US, MINUTE_US = 3_600_000_000, 60_000_000


class Size(msgspec.Struct, frozen=True):
    """How much is measured."""

    live_keys: int = 1_000_000
    warm_events: int = 2_000_000
    """Events of one hour of the stream before anything is timed."""
    twin_warm: int = 100_000
    rounds: int = 7
    batches: int = 12
    """Timed in each round."""
    twin_batch: int = 4096
    curve: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    sizes: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 8192)
    pool: int = 400_000


QUICK = Size(20_000, 20_000, 5_000, 3, 2, 1024, (1_000, 10_000), (1, 64, 1024), 20_000)


class Race(msgspec.Struct, frozen=True):
    """Ours against the twin: medians over the rounds."""

    events_per_s: float
    twin_events_per_s: float
    times: float
    live_keys: int
    unequal: int
    """Values that differ in the last bit between the two, on the events that both have seen from the start."""


def race(size: Size, seed: int) -> Race:
    """Measure both in turn, on one core, in the same state of the stream."""
    step = max(1, HOUR_US // size.warm_events)
    feed = Feed(Stream(seed, live_keys=size.live_keys, pool=size.pool), step_us=step)
    ours, twin = WideWindows(hasher=feed.hasher), Windows()
    ours.declare(EXACT, READS)
    twin.declare(EXACT, READS)
    unequal = 0
    for _ in range(0, size.twin_warm, BATCH):
        rows = feed.rows(BATCH)
        unequal += unlike(ours.step(rows), twin.step(PlainBatch(list(rows.events))))
    for _ in range(0, size.warm_events - size.twin_warm, BATCH):
        ours.step(feed.rows(BATCH))
    mine, theirs, times = [], [], []
    with one_core():
        for _ in range(size.rounds):
            batches = [ready(feed, BATCH) for _ in range(size.batches)]
            plain = PlainBatch(feed.events(size.twin_batch))
            took = sum(seconds_of(ours.step, rows) for rows in batches)
            mine.append(size.batches * BATCH / took)
            theirs.append(size.twin_batch / seconds_of(twin.step, plain))
            times.append(mine[-1] / theirs[-1])
    return Race(median(mine), median(theirs), median(times), live_keys(ours), unequal)


def ready(feed: Feed, n: int, windows: Sequence[Window] = EXACT) -> LineRows:
    """Return rows whose columns have been made: what is timed is the windows, not the scan."""
    rows = feed.rows(n)
    for window in windows:
        rows.keys(window.by)
        if window.fold is Aggregate.DISTINCT:
            rows.identities(window.field)
        elif window.field:
            rows.fixed(window.field, 0)
    rows.currencies("CNY")
    return rows


def unlike(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> int:
    """Return how many values differ in a bit; NaN is NaN."""
    pairs = zip(left, right, strict=True)
    return sum(int(np.count_nonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))) for a, b in pairs)


def live_keys(windows: WideWindows) -> int:
    """Return the live keys of all entities."""
    return sum(count for name, count in windows.sizes().items() if name.startswith("keys:"))


def state_bytes(windows: WideWindows) -> tuple[int, int]:
    """Return (bytes of indexes, rows, maps and sketches; bytes of the logs)."""
    found = windows.bytes()
    return sum(size for name, size in found.items() if name != "log"), found["log"]


def filled(
    windows: Sequence[Window], keys: int, size: Size, seed: int, *, span_us: int = HOUR_US
) -> tuple[WideWindows, Feed, int]:
    """Return windows that hold about so many live keys of each entity, with their feed and the number of events.

    Four events a key, all keys alike, within ``span_us``.
    """
    events = max(4 * keys, 50_000)
    stream = Stream(seed, live_keys=keys, exponent=0.0, pool=size.pool)
    feed = Feed(stream, step_us=max(1, span_us // events))
    state = WideWindows(hasher=feed.hasher)
    state.declare(windows, READS)
    for _ in range(0, events, BATCH):
        state.step(feed.rows(BATCH))
    return state, feed, events


def curve_of_keys(size: Size, seed: int) -> dict[str, dict[str, float]]:
    """Return microseconds and bytes against live keys, drawn all alike: no cache helps."""
    curve: dict[str, dict[str, float]] = {}
    for keys in size.curve:
        state, feed, events = filled(EXACT, keys, size, seed)
        keyed, logs = state_bytes(state)
        live = live_keys(state)
        batches = [ready(feed, BATCH) for _ in range(4)]
        with one_core():
            took = [seconds_of(state.step, rows) / BATCH for rows in batches]
        curve[f"{keys:.0e}"] = {
            "us_per_event": round(median(took) * 1e6, 3),
            "live_rows": live,
            "bytes_per_live_row": round(keyed / live, 1),
            "log_bytes_per_event": round(logs / events, 1),
        }
    return curve


def curve_of_batches(size: Size, seed: int) -> dict[str, float]:
    """Return microseconds an event against the rows of a batch."""
    state, feed, _ = filled(EXACT, min(100_000, size.curve[-1]), size, seed)
    curve = {}
    for rows in size.sizes:
        with one_core():
            took = [seconds_of(state.step, ready(feed, rows)) for _ in range(max(5, min(400, 40_000 // rows)))]
        curve[str(rows)] = round(median(took) / rows * 1e6, 3)
    return curve


def curve_of_features(size: Size, seed: int) -> dict[str, float]:
    """Return microseconds an event for more and more of the 22 features: where the time of all of them goes."""
    kinds = [Aggregate.COUNT, Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.RECENCY, Aggregate.DISTINCT]
    curve = {}
    for last, kind in enumerate(kinds, 1):
        chosen = tuple(window for window in EXACT if window.fold in kinds[:last])
        state, feed, _ = filled(chosen, min(100_000, size.curve[-1]), size, seed)
        with one_core():
            took = [seconds_of(state.step, ready(feed, BATCH, chosen)) / BATCH for _ in range(7)]
        curve[f"{len(chosen)} (+ {kind})"] = round(median(took) * 1e6, 3)
    return curve


def bytes_per_key(size: Size, seed: int) -> dict[str, float]:
    """Return what a live key takes: of the exact windows of one entity, and of each further hop feature.

    The first is the mean over ip, session, account and card with the windows of ``EXACT``; the second what the rows of
    ip and account grow by the four 24 h features of ``DURABLE``, divided by them.
    """
    keys = size.curve[-2]
    exact, _, _ = filled(EXACT, keys, size, seed)
    short = tuple(window for window in DURABLE if window.span_s <= 3600)
    long = tuple(window for window in DURABLE if window.span_s > 3600)
    without, _, _ = filled(short, keys, size, seed, span_us=MINUTE_US)
    both, _, _ = filled(DURABLE, keys, size, seed, span_us=MINUTE_US)
    grown = state_bytes(both)[0] - state_bytes(without)[0]
    # Two of the four hop features belong to each entity.
    return {"exact": state_bytes(exact)[0] / live_keys(exact), "hop": grown / (live_keys(both) * len(long) / 2)}


def summary(found: dict[str, Any]) -> str:
    """Return a curve in one line."""
    return ", ".join(f"{key}: {value}" for key, value in found.items())
