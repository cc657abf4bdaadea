"""The state of a series as plain arrays, for snapshots: lines with their histories, and the buckets still open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.desk import Measure
from tocsin.flow.quantiles import Quantiles
from tocsin.flow.wide import series_kernels as k
from tocsin.flow.wide.places import put, rebuilt

if TYPE_CHECKING:
    from tocsin.flow.wide.series_track import WideTrack

Arrays = dict[str, np.ndarray]


def saved(track: WideTrack) -> tuple[dict[str, Any], Arrays]:
    """Return (meta, arrays) of a series; lines in the order of their names."""
    order = track.order()
    number = {line: at for at, line in enumerate(order.tolist())}
    parts = [track.histories.of(track.lines[line]) for line in order.tolist()]
    slots = track._tallies()
    tallies = track.tallies[slots]
    tallies[:, k.LINE] = [number[line] for line in tallies[:, k.LINE].tolist()]
    arrays: Arrays = {
        "hashes": track.hashes[order],
        "lines": track.lines[order][:, [k.FIRST, k.SILENT]],
        "lengths": np.array([len(values) for values, _ in parts], np.int64),
        "values": np.concatenate([np.empty(0), *(values for values, _ in parts)]),
        "counts": np.concatenate([np.empty(0), *(counts for _, counts in parts)]),
        "tallies": tallies,
    }
    if track.apart:
        arrays |= _saved_values([track.beside[slot] for slot in slots.tolist()])
    meta = {
        "series": repr(track.series),
        "next": int(track.head[k.NEXT]),
        "scopes": [track.scopes[line] for line in order.tolist()],
    }
    return meta, arrays


def _saved_values(kept: list[Quantiles | set[int]]) -> Arrays:
    """Return the values beside the tallies: hashes, or (value or bucket, count), count 0 where it is a value."""
    pairs = [
        [(mark, 0) for mark in sorted(one)]
        if isinstance(one, set)
        else sorted(one.counts.items()) or [(value, 0) for value in sorted(one.values)]
        for one in kept
    ]
    flat = [pair for part in pairs for pair in part]
    signed = np.array([value if value < 1 << 63 else value - (1 << 64) for value, _ in flat], np.int64)
    return {
        "beside_lengths": np.array([len(part) for part in pairs], np.int64),
        "beside_values": signed,
        "beside_counts": np.array([count for _, count in flat], np.int64),
    }


def _restored_values(arrays: Arrays, distinct: bool) -> list[Quantiles | set[int]]:
    found: list[Quantiles | set[int]] = []
    ends = np.cumsum(arrays["beside_lengths"]).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        values, counts = arrays["beside_values"][start:end], arrays["beside_counts"][start:end].tolist()
        if distinct:
            found.append(set(values.view(np.uint64).tolist()))
            continue
        one = Quantiles()
        if any(counts):
            one.counts, one.n = dict(zip(values.tolist(), counts, strict=True)), sum(counts)
        else:
            one.values, one.n = values.tolist(), len(counts)
        found.append(one)
    return found


def restored(track: WideTrack, meta: dict[str, Any], arrays: Arrays) -> None:
    """Make a series what ``saved`` returned."""
    track.clear()
    track.head[k.NEXT] = meta["next"]
    ends = np.cumsum(arrays["lengths"]).tolist()
    longest = int(arrays["lengths"].max(initial=0))
    track.histories.prepare(len(ends), longest)
    open_ = np.bincount(arrays["tallies"][:, k.LINE], minlength=len(ends)).tolist()
    for at, (shop, currency, key) in enumerate(meta["scopes"]):
        line = track._place((shop, currency, key))
        size = int(arrays["lengths"][at])
        part = slice(ends[at] - size, ends[at])
        row = track.histories.row(track.lines)
        track.histories.values[row, :size] = arrays["values"][part]
        track.histories.counts[row, :size] = arrays["counts"][part]
        first, silent = arrays["lines"][at].tolist()
        track.lines[line] = (first, silent, 0, size, row, 1, meta["next"], open_[at])
        track.hashes[line] = arrays["hashes"][at]
        put(track.index, track.hashes[line], line)
        track.head[k.LIVE] += 1
        track.count += 1
    tallies = np.array(arrays["tallies"])
    n = len(tallies)
    if not n:
        return
    track._more_tallies(n + 1)
    track.tallies[:n] = tallies
    track.tally_hashes[:n] = k.named(track.hashes, tallies)
    track.head[k.TALLIES] = n
    track.head[k.OLDEST] = tallies[:, k.BUCKET].min()
    track.tally_index = rebuilt(track.tally_hashes, np.arange(n), len(track.tallies))
    if track.apart:
        kept = _restored_values(arrays, track.series.measure is Measure.DISTINCT)
        track.beside = dict(enumerate(kept))
