"""What this machine can do at all, measured beside the figures: memory copied, gathered at random, the disk written."""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from tocsin.flow.wide.jit import kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COPIED = 64_000_000
GATHERED = 1 << 24
"""Words of 8 bytes, 128 MB: beyond every cache."""
WRITE = 4_000_000


@kernel
def _gather(table: np.ndarray, steps: int) -> np.uint64:
    """Follow ``steps`` dependent random words: the next place is known when the word has come."""
    at = np.uint64(1)
    mask = np.uint64(len(table) - 1)
    for _ in range(steps):
        at = (at * np.uint64(6364136223846793005) + table[at & mask] + np.uint64(1442695040888963407)) >> np.uint64(1)
    return at


def copy_gb_per_s() -> float:
    """Return GB copied per second (read once, written once)."""
    source, target = np.ones(COPIED, np.uint8), np.empty(COPIED, np.uint8)
    np.copyto(target, source)
    return COPIED / 1e9 / _median(lambda: np.copyto(target, source))


def gather_ns() -> float:
    """Return nanoseconds of one dependent random read of 8 bytes in 128 MB."""
    table = np.arange(GATHERED, dtype=np.uint64)
    _gather(table, 1000)
    steps = 1_000_000
    return _median(lambda: _gather(table, steps)) / steps * 1e9


def write_mb_per_s(folder: Path, total: int = 64_000_000) -> float:
    """Return MB per second of writes of 4 MB with an ``fdatasync`` after each."""
    block = np.random.default_rng(0).integers(0, 256, WRITE, np.uint8).tobytes()
    path = folder / "yardstick"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(total // WRITE):
            began = time.perf_counter()
            file.write(block)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return WRITE / 1e6 / statistics.median(took)


def _median(work: Callable[[], object]) -> float:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def measured(folder: Path) -> dict[str, float]:
    """Return all of them by name."""
    return {
        "copy_gb_per_s": round(copy_gb_per_s(), 1),
        "random_gather_ns": round(gather_ns(), 1),
        "write_fdatasync_mb_per_s": round(write_mb_per_s(folder), 0),
    }
