"""The rivals do the same work: what each says it computes equals the plain windows on every event."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from benchmarks.flow import agreement, plain_values, work_of
from benchmarks.plane import EXACT
from benchmarks.stream import Stream

NOW = 1_794_355_100_000_000


@pytest.mark.parametrize("name", ["Python dicts and deques", "Polars"])
def test_a_rival_gives_the_values_of_the_plain_windows(name, tmp_path) -> None:
    """1,500 events of 50 keys over 150 s: every value of all 22 windows is the twin's."""
    documents = Stream(2, pool=1_500, live_keys=50).events(1_500, NOW, 100_000)
    work = work_of(documents, EXACT, names=[name], seconds=30.0)
    given, wanted = tmp_path / "in.json", tmp_path / "out.json"
    given.write_text(json.dumps(work))
    subprocess.run([sys.executable, "-m", "benchmarks.rivals", given, wanted], check=True, timeout=60)
    result = json.loads(wanted.read_text())[name]
    assert result["events"] == 1_500
    assert agreement(result, plain_values(documents, EXACT)) == []


def test_a_wrong_value_is_seen() -> None:
    """One value that is off by one in a thousand is named with its window."""
    documents = Stream(2, pool=300, live_keys=20).events(300, NOW, 100_000)
    ours = plain_values(documents, EXACT)
    values = [[None if np.isnan(value) else value for value in row] for row in ours]
    values[200][0] *= 1.001
    result = {"values": values, "reads_all": True}
    assert agreement(result, ours) == ["ip_events_60s"]
