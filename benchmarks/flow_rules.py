"""The rules alone: against the Rust CEL package and ZEN on the same events, over their number, and by batch."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from benchmarks.feed import Feed, median, one_core, seconds_of
from benchmarks.plane import EXACT, READS, BenchDesk, rule_book
from benchmarks.rule_book import LISTS
from benchmarks.stream import Stream
from tocsin.flow.batch import FeatureTable
from tocsin.flow.cel import compile_expression
from tocsin.flow.lists import Lists
from tocsin.flow.rules import RuleSet, fired
from tocsin.flow.wide.lines import LineRows
from tocsin.flow.wide.rows import Rows
from tocsin.flow.wide.windows import WideWindows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.batch import PlainBatch

BATCH = 8192
BUSIEST_PER_S = 40.0
COUNTS = (1, 10, 50, 100, 200, 500)
CUTS = (1, 16, 256, 1024, 8192)
FEW = 16
"""Batches of so few come from callers, as events; larger ones are scanned lines."""
SAMPLE = 2_000


class Judged(msgspec.Struct):
    """Rows with their features, to run rules on."""

    rows: list[tuple[LineRows, FeatureTable]]
    lists: Lists


def judged(seed: int, batches: int) -> Judged:
    """Return batches with the features of ``EXACT``."""
    feed = Feed(Stream(seed, live_keys=100_000, pool=100_000), step_us=2_000)
    windows = WideWindows(hasher=feed.hasher)
    windows.declare(EXACT, READS)
    lists = Lists()
    for name, values in LISTS.items():
        for value in values:
            lists.add(name, value)
    found = []
    for _ in range(batches):
        rows = feed.rows(BATCH)
        found.append((rows, windows.table(EXACT, windows.step(rows), rows.n)))
    return Judged(found, lists)


def ours(given: Judged, count: int) -> tuple[float, list[list[str]]]:
    """Return (events a second, the rules that fired on each of the first ``SAMPLE`` rows) for so many rules."""
    rules = RuleSet([BenchDesk(EXACT, rule_book(count, EXACT, busiest_per_s=BUSIEST_PER_S))], ()).by_desk["bench"]
    took, hits = [], []
    counters: Counter[str] = Counter()
    scores = np.full(BATCH, np.nan)
    with one_core():
        for number, (rows, table) in enumerate(given.rows):
            found: list[Any] = []
            seconds = seconds_of(
                lambda rows=rows, table=table, found=found: found.extend(
                    fired(rules, rows, table, scores, given.lists, counters)
                )
            )
            if number:
                took.append(seconds)
            else:
                hits = _by_row(found)
    return BATCH / median(took), hits


def _by_row(found: Sequence[tuple[Any, Sequence[int]]]) -> list[list[str]]:
    hits: list[list[str]] = [[] for _ in range(SAMPLE)]
    for ready, rows in found:
        for row in rows:
            if row < SAMPLE:
                hits[row].append(ready.rule.id)
    return [sorted(one) for one in hits]


def work(given: Judged, count: int, seconds: float) -> dict[str, Any]:
    """Return the same rules and the first rows for other engines (``benchmarks.rivals``)."""
    rows, table = given.rows[0]
    features = table.dicts(np.arange(SAMPLE))
    envs = [
        {
            "data": event.data,
            "event": {"type": event.type, "time": event.time, "shop": event.shop, "source": event.source},
            "features": {name: value for name, value in known.items() if value is not None},
        }
        for event, known in zip(rows.events[:SAMPLE], features, strict=True)
    ]
    book = rule_book(count, EXACT, busiest_per_s=BUSIEST_PER_S)
    return {
        "names": ["Rust CEL", "zen-engine"],
        "rules": [{"id": rule.id, "when": rule.when, "on": list(rule.on)} for rule in book],
        "rows": [{"type": rows.events[at].type, "env": env} for at, env in enumerate(envs)],
        "lists": LISTS,
        "seconds": seconds,
    }


def cuts(given: Judged, count: int, sizes: Sequence[int] = CUTS) -> dict[str, float]:
    """Return microseconds of CPU an event for so many rules, by the size of the batches that the events come in."""
    rules = RuleSet([BenchDesk(EXACT, rule_book(count, EXACT, busiest_per_s=BUSIEST_PER_S))], ()).by_desk["bench"]
    counters: Counter[str] = Counter()
    found = {}
    for size in sizes:
        took = []
        for rows, table in given.rows:
            for start in range(0, min(BATCH, 64 * size) - size + 1, size):
                some = np.arange(start, start + size)
                batch: PlainBatch = rows.pick(some)
                if size <= FEW:
                    batch = Rows([rows.events[row] for row in some.tolist()], rows.names, rows.hasher)
                part, scores = table.pick(some), np.full(size, np.nan)
                began = time.thread_time()
                fired(rules, batch, part, scores, given.lists, counters)
                took.append(time.thread_time() - began)
        found[str(size)] = round(1e6 * median(took[len(took) // len(given.rows) :]) / size, 3)
    return found


def reload_ms(count: int) -> float:
    """Return the milliseconds of CPU that it takes to compile so many rules from their texts."""
    book = rule_book(count, EXACT, busiest_per_s=BUSIEST_PER_S)
    compile_expression.cache_clear()
    began = time.thread_time()
    RuleSet([BenchDesk(EXACT, book)], ())
    return round(1e3 * (time.thread_time() - began), 1)


def curve(seed: int, counts: Sequence[int] = COUNTS) -> dict[str, float]:
    """Return microseconds an event against the number of rules; every count reads its columns anew."""
    return {str(count): round(1e6 / ours(judged(seed, 4), count)[0], 3) for count in counts}
