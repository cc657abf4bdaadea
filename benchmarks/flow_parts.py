"""The parts of the flow benchmark, one after the other, and what they found together."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import flow_host, flow_rules, flow_scan, flow_windows, yardsticks
from benchmarks.feed import median
from benchmarks.flow import STEP_US, STREAM_RIVALS, agreement, ask, plain_values, work_of
from benchmarks.plane import EXACT
from benchmarks.stream import Stream

IDS = 64_000_000
"""Identities that the host remembers, the default: under two minutes of the stream."""


class Found(msgspec.Struct):
    """Figures, rivals, curves and notes, as the report takes them."""

    figures: dict[str, float] = {}
    rivals: dict[str, dict[str, float]] = {}
    curves: dict[str, dict[str, float]] = {}
    notes: list[str] = []


def measured(seed: int, *, quick: bool, minutes: float) -> Found:
    """Run every part."""
    found = Found()
    size = flow_windows.QUICK if quick else flow_windows.Size()
    with tempfile.TemporaryDirectory() as folder:
        tell_yardsticks(found, Path(folder))
    tell_windows(found, size, seed)
    tell_rivals(found, seed, quick=quick)
    tell_scan(found, seed, quick=quick)
    tell_rules(found, seed, quick=quick)
    tell_host(found, seed, minutes, quick=quick)
    keys = (
        "windows_events_per_s windows_vs_twin scan_rules_events_per_s durable_events_per_s gated_model_events_per_s "
        "fallback_share bytes_per_key_exact bytes_per_key_hop rules_vs_cel"
    ).split()
    found.figures = {key: found.figures[key] for key in keys if key in found.figures}
    return found


def tell_yardsticks(found: Found, folder: Path) -> None:
    """Say what the machine can do at all."""
    known = yardsticks.measured(folder)
    found.curves["yardsticks"] = known
    found.notes.append(
        f"yardsticks: memory copy {known['copy_gb_per_s']} GB/s, one dependent random read in 128 MB "
        f"{known['random_gather_ns']} ns, write + fdatasync of 4 MB {known['write_fdatasync_mb_per_s']:.0f} MB/s"
    )


def tell_windows(found: Found, size: flow_windows.Size, seed: int) -> None:
    """Measure the windows alone, with their curves."""
    race = flow_windows.race(size, seed)
    state = flow_windows.bytes_per_key(size, seed)
    found.figures |= {
        "windows_events_per_s": round(race.events_per_s),
        "windows_vs_twin": round(race.times, 1),
        "bytes_per_key_exact": round(state["exact"], 1),
        "bytes_per_key_hop": round(state["hop"], 1),
    }
    found.rivals["plain twin"] = {"windows_events_per_s": round(race.twin_events_per_s), "windows_vs_twin": 1.0}
    found.notes.append(
        f"windows: 22 exact features, {race.live_keys:,} live rows of keys, batch {flow_windows.BATCH}, one core, "
        f"median of {size.rounds} rounds in turn with the twin; {race.unequal} of the twin's values differ in a bit"
    )
    for keys, point in flow_windows.curve_of_keys(size, seed).items():
        for name, value in point.items():
            found.curves.setdefault(f"windows by live keys: {name}", {})[keys] = value
    found.curves["windows by features: us_per_event"] = flow_windows.curve_of_features(size, seed)
    found.curves["windows by batch: us_per_event"] = flow_windows.curve_of_batches(size, seed)


def tell_rivals(found: Found, seed: int, *, quick: bool) -> None:
    """Let others do the work of the windows on the same events."""
    count, seconds = (2_000, 2.0) if quick else (100_000, 20.0)
    documents = Stream(seed, live_keys=100_000, pool=count).events(count, 10**15, STEP_US)
    ours = plain_values(documents[:5_000], EXACT, STEP_US)
    results = ask(work_of(documents, EXACT, seconds=seconds, step_us=STEP_US))
    for name in STREAM_RIVALS:
        result = results[name]
        if "missing" in result:
            found.notes.append(f"{name}: not installed ({result['missing']})")
            continue
        rate = result["events"] / result["seconds"]
        found.rivals[f"{name} {result['version']}"] = {"windows_events_per_s": round(rate)}
        wrong = agreement(result, ours)
        verdict = "equal to ours on the first 5,000 events" if not wrong else f"UNEQUAL in {', '.join(wrong)}"
        found.notes.append(f"{name} {result['version']}: {result['computes']}; {result['events']:,} events; {verdict}")


def tell_scan(found: Found, seed: int, *, quick: bool) -> None:
    """Measure lines to verdicts on one core."""
    scanned = flow_scan.measured(seed, quick=quick)
    found.figures |= {
        "scan_rules_events_per_s": round(scanned.events_per_s),
        "fallback_share": round(scanned.fallback_share, 5),
    }
    found.curves["scan, windows, 50 rules: us_per_event by batch"] = scanned.by_batch
    found.notes.append(
        f"scan + windows + 50 rules on one core: {scanned.bytes_per_line:.0f} bytes a line; scan "
        f"{scanned.scan_us:.2f} us, fold {scanned.fold_us:.2f} us an event; {scanned.hits_share:.2%} of the events hit"
    )


def tell_rules(found: Found, seed: int, *, quick: bool) -> None:
    """Measure the rules alone, others beside them."""
    counts = (1, 50) if quick else flow_rules.COUNTS
    given = flow_rules.judged(seed, 4)
    ours, hits = flow_rules.ours(given, 50)
    results = ask(flow_rules.work(given, 50, 2.0 if quick else 20.0))
    for name, result in results.items():
        if "missing" in result:
            found.notes.append(f"{name}: not installed ({result['missing']})")
            continue
        times = ours / (result["events"] / result["seconds"])
        if name == "Rust CEL":
            found.figures["rules_vs_cel"] = round(times, 1)
        same = [sorted(one) for one in result["hits"]] == hits[: result["events"]]
        found.rivals[f"{name} {result['version']}"] = {"rules_vs_cel": round(found.figures["rules_vs_cel"] / times, 3)}
        found.notes.append(
            f"{name}: {result['computes']}, {result['events'] / result['seconds']:,.0f} events/s against {ours:,.0f}; "
            f"{'the same hits' if same else 'OTHER HITS'}"
        )
    found.curves["rules by number: us_per_event"] = flow_rules.curve(seed, counts)
    count = 50 if quick else 200
    found.curves[f"{count} rules by batch: us_per_event"] = flow_rules.cuts(flow_rules.judged(seed, 2), count)


def tell_host(found: Found, seed: int, minutes: float, *, quick: bool) -> None:
    """Drive the real host, without and with the model, and say where the time goes."""
    for key, model in (("durable_events_per_s", False), ("gated_model_events_per_s", True)):
        outcome = flow_host.apart(
            flow_host.Work(
                seconds=60.0 * minutes if not model else 60.0 * min(minutes, 3.0),
                warm_seconds=2.0 if quick else 20.0,
                live_keys=20_000 if quick else 1_000_000,
                pool=50_000 if quick else 1_000_000,
                model=model,
                seed=seed,
                settings={} if quick else {"remembered_ids": IDS},
            )
        )
        found.figures[key] = round(outcome.events_per_s)
        found.curves[f"{key}: share of one core by stage"] = {one["name"]: one["share"] for one in outcome.stages}
        found.curves[f"{key}: us_per_row by stage"] = {one["name"]: one["us_per_row"] for one in outcome.stages}
        found.curves[f"{key}: events_per_s by 10 s"] = {
            f"{b.at:.0f}": round((b.durable - a.durable) / (b.at - a.at))
            for a, b in zip(outcome.samples, outcome.samples[1:], strict=False)
        }
        found.notes.append(host_note(key, outcome))


def host_note(key: str, outcome: flow_host.Outcome) -> str:
    """Return the run in one sentence."""
    rates: list[Any] = [one.durable for one in outcome.samples]
    return (
        f"{key}: {outcome.durable:,} events in {outcome.samples[-1].at:.0f} s, slowest 10 s "
        f"{outcome.slowest_interval:,.0f}/s, median {median(_steps(rates)):,.0f} a sample; {outcome.live_rows:,} live "
        f"rows of keys; RSS {outcome.rss_1_min / 1e9:.2f} GB after 1 min, {outcome.rss_end / 1e9:.2f} GB at the end; "
        f"{outcome.cpu_per_million:.2f} CPU seconds and {outcome.bytes_per_million / 1e6:.0f} MB written per million "
        f"events; {outcome.verdicts:,} verdicts, {outcome.refused} refused, {outcome.duplicates} duplicates"
    )


def _steps(values: list[Any]) -> list[float]:
    return [float(b - a) for a, b in itertools.pairwise(values)]
