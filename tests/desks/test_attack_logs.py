"""The attack desk on real access logs: scanners are flagged early, ordinary addresses next to never."""

from __future__ import annotations

import gzip
import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from tocsin.core.events import Event
from tocsin.core.signal import Signal
from tocsin.desks.attack import AttackDesk
from tocsin.flow.fold import Fold

DATA = Path(os.environ.get("TOCSIN_DATA", str(Path(__file__).parents[3] / "shared" / "data")))
LINE = re.compile(r'(\S+) \S+ \S+ \[([^\]]+)\] "\S+ (.*?)(?: HTTP/[\d.]+)?" (\d+) \S+(?: ".*?" "(.*?)")?')


def signals(name: str, most: int = 100_000) -> tuple[list[Signal], list[str]]:
    """Return the signals of a log and the address of each of its lines, in order of time."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there; set TOCSIN_DATA to the folder of data sets")
    with gzip.open(path, "rt", errors="replace") as lines:
        found = [match for line in lines if (match := LINE.match(line))]
    rows = sorted(((datetime.strptime(m[2], "%d/%b/%Y:%H:%M:%S %z"), m) for m in found), key=lambda row: row[0])[:most]
    events = []
    for number, (moment, match) in enumerate(rows, 1):
        time = int(moment.timestamp()) * 1_000_000
        data = {"ip": match[1], "path": match[3], "status": int(match[4]), "user_agent": match[5] or "", "host": "h"}
        events.append(
            Event(id=f"e{number}", source="log", type="http.request", time=time, data=data, seq=number, tau=time)
        )
    fold = Fold([AttackDesk()])
    said = [signal for start in range(0, len(events), 50) for signal in fold.step(events[start : start + 50]).signals]
    return said, [match[1] for _, match in rows]


def test_at_most_one_ordinary_address_in_a_thousand_is_flagged() -> None:
    """The one that is asks for a comment spammer's protocol, pasted into a path."""
    said, addresses = signals("real-access-logs/apache_access.log.gz", 4000)
    flagged = {signal.subject for signal in said if signal.subject.startswith("ip:")}
    assert len(flagged) <= max(1, len(set(addresses)) // 1000)


@pytest.mark.parametrize("name", ["acunetix", "w3af"])
def test_a_scanner_is_flagged_within_its_first_fifty_requests(name: str) -> None:
    said, addresses = signals(f"apache-scan-logs/{name}.log.gz", 50)
    flagged = {signal.subject for signal in said}
    assert {f"ip:{address}" for address in addresses} <= flagged
