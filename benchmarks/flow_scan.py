"""Lines to verdicts on one core, without a host: the wide door, 22 exact features, rules."""

from __future__ import annotations

import msgspec

from benchmarks.feed import Feed, median, one_core, seconds_of
from benchmarks.plane import EXACT, BenchDesk, rule_book
from benchmarks.rule_book import LISTS
from benchmarks.stream import Stream
from tocsin.flow.fold import Fold

BATCH = 8192
STEP_US = 1_000


class Scanned(msgspec.Struct, frozen=True):
    """Medians over the rounds."""

    events_per_s: float
    scan_us: float
    fold_us: float
    bytes_per_line: float
    fallback_share: float
    hits_share: float
    by_batch: dict[str, float]
    """Microseconds of scan and fold an event by the lines of a body."""


def measured(seed: int, *, quick: bool) -> Scanned:
    """Measure bodies of 8192 lines, then smaller ones, in the state that the stream has after the warm-up."""
    keys, warm, rounds = (20_000, 5, 3) if quick else (1_000_000, 200, 25)
    rules = rule_book(50, EXACT, busiest_per_s=1e6 / STEP_US / 15, seed=seed)
    fold = Fold([BenchDesk(EXACT, rules)], wide=True)
    for name, values in LISTS.items():
        for value in values:
            fold.lists.add(name, value)
    engine = fold.engine
    stream = Stream(seed, live_keys=keys, pool=50_000 if quick else 400_000)
    feed = Feed(stream, step_us=STEP_US, names=engine.names, hasher=engine.hasher)
    for _ in range(warm):
        fold.step_bulk(feed.rows(BATCH))
    scans, folds, size = [], [], 0
    with one_core():
        for _ in range(rounds):
            body = feed.body(BATCH)
            size += len(body)
            scan, step = _round(feed, fold, body)
            scans.append(scan / BATCH)
            folds.append(step / BATCH)
        by_batch = {
            str(lines): round(1e6 * median([sum(_round(feed, fold, feed.body(lines))) / lines for _ in range(9)]), 3)
            for lines in (1, 16, 64, 256, 1024, 8192)
        }
    hits = sum(count for name, count in fold.counters.items() if name.startswith("rule:"))
    both = [scan + step for scan, step in zip(scans, folds, strict=True)]
    return Scanned(
        events_per_s=1.0 / median(both),
        scan_us=1e6 * median(scans),
        fold_us=1e6 * median(folds),
        bytes_per_line=size / (rounds * BATCH),
        fallback_share=feed.door.fallback_share,
        hits_share=hits / feed.seq,
        by_batch=by_batch,
    )


def _round(feed: Feed, fold: Fold, body: memoryview) -> tuple[float, float]:
    """Return the seconds of the scan and of the fold of one body."""
    found = []
    scan = seconds_of(lambda: found.append(feed.scan(body)))
    return scan, seconds_of(fold.step_bulk, found[0])
