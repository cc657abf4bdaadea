"""Rules beside other engines in one process, turn by turn: in batches and one event at a time; and what a reload costs.

Each function returns a plain dict. Rivals are those of ``benchmarks.rivals.rules`` that are installed here: the Rust
CEL package, and zen-engine. They get the same rules, events and features.
"""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from benchmarks.feed import Feed, median, one_core, seconds_of
from benchmarks.flow_rules import BATCH, BUSIEST_PER_S, Judged, judged, work
from benchmarks.plane import EXACT, READS, BenchDesk, rule_book
from benchmarks.rivals.rules import ENGINES
from benchmarks.rule_book import LISTS
from benchmarks.stream import Stream
from tocsin.flow.lists import Lists
from tocsin.flow.rules import RuleSet, fired
from tocsin.flow.wide.rows import Rows
from tocsin.flow.wide.windows import WideWindows

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTS = (1, 10, 50, 100, 200, 500)
SINGLES = 1_000
TURN_S = 1.0
MODULES = {"Rust CEL": "cel", "zen-engine": "zen"}


def rules_of(count: int) -> RuleSet:
    """Return the first rules of the book, in force."""
    return RuleSet([BenchDesk(EXACT, rule_book(count, EXACT, busiest_per_s=BUSIEST_PER_S))], ())


def batch_us(seed: int, count: int, batches: int = 10) -> float:
    """Return microseconds an event in batches of 8192 lines, each just scanned and through the windows; the median.

    Only the rules are timed, columns included; the first three batches are left out.
    """
    group = rules_of(count).by_desk["bench"]
    feed = Feed(Stream(seed, live_keys=100_000, pool=100_000), step_us=2_000)
    windows = WideWindows(hasher=feed.hasher)
    windows.declare(EXACT, READS)
    lists = held_lists()
    counters: Counter[str] = Counter()
    scores = np.full(BATCH, np.nan)
    took = []
    with one_core():
        for _ in range(batches):
            rows = feed.rows(BATCH)
            table = windows.table(EXACT, windows.step(rows), rows.n)
            took.append(seconds_of(fired, group, rows, table, scores, lists, counters) / rows.n)
    return median(took[3:]) * 1e6


def held_lists() -> Lists:
    """Return the named lists that the rules read."""
    found = Lists()
    for name, values in LISTS.items():
        for value in values:
            found.add(name, value)
    return found


def single_us(given: Judged, count: int, singles: int = SINGLES) -> float:
    """Return microseconds for one event alone, its features included: the median over the mix of the stream."""
    group = rules_of(count).by_desk["bench"]
    counters: Counter[str] = Counter()
    rows, table = given.rows[0]
    score = np.full(1, np.nan)
    alone = [(Rows([rows.events[row]], rows.names, rows.hasher), table.pick(np.array([row]))) for row in range(singles)]
    with one_core():
        for one, features in alone:
            fired(group, one, features, score, given.lists, counters)
        took = [seconds_of(fired, group, one, features, score, given.lists, counters) for one, features in alone]
    return median(took) * 1e6


def curves(seed: int, counts: Sequence[int] = COUNTS) -> dict[str, dict[str, float]]:
    """Return microseconds an event by the number of rules, one event alone and in batches of 8192."""
    return {
        "single": {str(count): round(single_us(judged(seed, 1), count), 2) for count in counts},
        "batch": {str(count): round(batch_us(seed, count), 3) for count in counts},
    }


def reload_ms(count: int = 200, rounds: int = 5) -> dict[str, float]:
    """Return milliseconds of a reload in which one rule of ``count`` changes: beforehand, and in the fold's thread."""
    rules = RuleSet([BenchDesk(EXACT)], ())
    book = rule_book(count, EXACT, busiest_per_s=BUSIEST_PER_S)
    documents = [msgspec.to_builtins(msgspec.structs.replace(rule, desk="bench")) for rule in book]
    first = seconds_of(rules.prepare, documents)
    rules.replace(documents)
    prepared, replaced = [], []
    for number in range(rounds):
        changed = [{**documents[0], "when": f"data.amount > {number}"}, *documents[1:]]
        prepared.append(seconds_of(rules.prepare, changed))
        replaced.append(seconds_of(rules.replace, msgspec.json.decode(msgspec.json.encode(changed))))
    return {
        "first_prepare_ms": round(first * 1e3, 1),
        "prepare_ms": round(median(prepared) * 1e3, 1),
        "replace_ms": round(median(replaced) * 1e3, 2),
    }


def against(seed: int, count: int = 50, rounds: int = 5) -> dict[str, Any]:
    """Return ours and each rival's microseconds an event, batch and single, and the ratios; medians of turns.

    ``rules_vs_cel`` is the CEL package's time over ours in batches of 8192.
    """
    given = judged(seed, 1)
    task = work(given, count, TURN_S)
    present = [name for name, module in MODULES.items() if find_spec(module) is not None]
    ours: list[float] = []
    single: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in present}
    for turn in range(rounds):
        ours.append(batch_us(seed + turn, count))
        single.append(single_us(given, count))
        for name in present:
            hits, seconds, _ = ENGINES[name][0](task["rules"], task["rows"], task["lists"], TURN_S)
            theirs[name].append(seconds / len(hits) * 1e6)
    found: dict[str, Any] = {
        "rules": count,
        "batch_us": round(median(ours), 3),
        "single_us": round(median(single), 2),
        "rivals_us": {name: round(median(took), 2) for name, took in theirs.items()},
    }
    for name, took in theirs.items():
        key = "rules_vs_cel" if name == "Rust CEL" else "rules_vs_zen"
        found[key] = round(median(took) / median(ours), 1)
        found[f"{key}_single"] = round(median(took) / median(single), 1)
    return found
