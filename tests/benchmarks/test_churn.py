"""One-off keys: the memory of the compiled windows is that of what still counts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def churn(events: int, day_events: int) -> dict:
    """Run in a process of its own: its memory is that of the windows, and a crash is a failure."""
    command = [sys.executable, "-m", "benchmarks.churn", str(events), str(day_events)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
    return json.loads(done.stdout)


def test_one_off_keys_vanish() -> None:
    """400,000 events, 40,000 of them a day: the state after ten days is no larger than after three."""
    found = churn(400_000, 40_000)
    assert max(found["live"]) < 4 * 40_000
    assert max(found["bytes"][8:]) <= 1.25 * max(found["bytes"][:8])


@pytest.mark.slow
def test_fifty_million_one_off_keys_take_bounded_memory(capsys) -> None:
    """50,000,000 events, 2,000,000 of them a day, over 25 days: the state of the last 20 days grows by nothing."""
    found = churn(50_000_000, 2_000_000)
    sizes = found["bytes"]
    with capsys.disabled():
        print(
            f"\nchurn: 50,000,000 events of one-off keys in {found['seconds']:.0f} s; {max(sizes) / 1e6:.0f} MB "
            f"of state and {max(found['live']):,} live keys at most; {sizes[-1] / 1e6:.0f} MB at the end, "
            f"RSS {found['rss'] / 1e6:.0f} MB"
        )
    assert max(sizes[4:]) <= 1.25 * max(sizes[:4])
