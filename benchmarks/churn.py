"""One-off keys through the compiled windows, in a process of its own: ``python -m benchmarks.churn EVENTS DAY_EVENTS``.

Prints JSON: ``bytes`` of state and ``live`` keys at every twentieth, ``rss`` at the end, ``seconds``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks.flow_windows import live_keys, state_bytes
from benchmarks.plane import DURABLE, EXACT, READS
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.rows import Keyed, Typed, Values
from tocsin.flow.wide.windows import WideWindows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.batch import PlainBatch

BATCH = 8192
DAY_US = 86_400_000_000
FOREIGN = np.uint64(7)
ONE_OFF = np.uint64(0x9E3779B97F4A7C15)


class FreshRows(Keyed):
    """Payments whose session, account and card have never been seen, an address a thousand, one in ten in dollars."""

    def __init__(self, names: Names, hasher: Hasher, first: int, step_us: int) -> None:
        super().__init__()
        self.names, self.hasher, self.n = names, hasher, BATCH
        self.numbers = np.arange(first, first + BATCH, dtype=np.uint64)
        self.taus = DAY_US + self.numbers.astype(np.int64) * step_us
        self.kinds = np.full(BATCH, names.declare_type("payment.attempted"), np.int32)
        self._there = np.ones(BATCH, bool)

    def _keys(self, name: str) -> Values:
        numbers = self.numbers // np.uint64(1000) if name == "ip" else self.numbers
        x = (numbers + np.uint64(len(name))) * ONE_OFF
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        return (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB), self._there

    def _identities(self, name: str) -> Values:
        return self._keys(name)

    def _fixed(self, name: str, scale: int) -> Values:
        return (self.numbers % np.uint64(90_000)).astype(np.int64), self._there

    def _text_hashes(self, name: str) -> Values:
        raise KeyError(name)

    def _typed(self, root: str, name: str, type_: str) -> Typed:
        raise KeyError(name)

    def strings(self, root: str, name: str, rows: np.ndarray | None) -> Sequence[str]:
        """No window that is declared here reads a text."""
        raise KeyError(name)

    def currencies(self, default: str) -> np.ndarray:
        """Return the hash of every row's currency."""
        home = np.uint64(self.hasher.text(default))
        return np.where(self.numbers % np.uint64(10) == 0, FOREIGN, home)


def churn(events: int, day_events: int) -> dict[str, Any]:
    """Return what the windows hold while ``events`` one-off events pass, ``day_events`` a day.

    All of ``EXACT`` and the 24 h windows of ``DURABLE``: after a day nothing of an event counts any more.
    """
    hasher, names = Hasher(), Names()
    windows = WideWindows(hasher=hasher)
    windows.declare((*EXACT, *(window for window in DURABLE if window.span_s > 3600)), READS)
    found: dict[str, Any] = {"bytes": [], "live": []}
    began = time.perf_counter()
    for number, first in enumerate(range(0, events, BATCH)):
        windows.step(cast("PlainBatch", FreshRows(names, hasher, first, DAY_US // day_events)))
        if number % max(1, events // BATCH // 20) == 0:
            found["bytes"].append(sum(state_bytes(windows)))
            found["live"].append(live_keys(windows))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return found | {"rss": pages * os.sysconf("SC_PAGE_SIZE"), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(churn(*(int(given) for given in sys.argv[1:]))))
