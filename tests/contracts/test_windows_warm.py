"""A window that is declared on a running server ends up equal to one that had been there from the start."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tocsin.app import Tocsin, build
from tocsin.config import load
from tocsin.core.desk import Aggregate, Rule, Window
from tocsin.core.signal import Decision, Mode, Text
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.runtime import warming

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not there")

PAY = ("payment.attempted",)
LATER = (
    Window(name="late_count", fold=Aggregate.COUNT, by="card", span_s=1800, of=PAY),
    Window(name="late_sum", fold=Aggregate.SUM, by="card", span_s=86_400, of=PAY, field="amount"),
    Window(name="late_ips", fold=Aggregate.DISTINCT, by="card", span_s=3600, of=PAY, field="ip"),
)
RULE = Rule(
    id="late", when="features.late_count >= 3.0", decision=Decision.HOLD, code="late", on=PAY, mode=Mode.LIVE,
    text=Text("late", "晚"),
)  # fmt: skip


def body(first: int, n: int, now: int) -> bytes:
    rng = random.Random(first)
    lines = []
    for at in range(first, first + n):
        data = {"card": f"c{rng.randrange(40)}", "ip": f"203.0.113.{rng.randrange(9)}", "amount": rng.randrange(900)}
        event = {"id": f"e{at}", "source": "t", "type": "payment.attempted", "time": now + at, "data": data}
        lines.append(msgspec.json.encode(event))
    return b"\n".join(lines)


def start(folder: Path) -> Tocsin:
    tocsin = build(load({"data_dir": str(folder), "verdict_mode": "live"}, {}))
    tocsin.start()
    return tocsin


def feed(tocsin: Tocsin, first: int, n: int, now: int) -> None:
    assert tocsin.host.wide is not None
    for at in range(first, first + n, 2000):
        receipt = tocsin.host.wide.submit(body(at, min(2000, first + n - at), now), "default").result(60)
        assert not receipt.refused


def declare(tocsin: Tocsin) -> None:
    tocsin.configure("tocsin.windows", {"windows": msgspec.to_builtins(LATER)}, "test").result(60)


def warmed(tocsin: Tocsin) -> bool:
    until = time.monotonic() + 60
    while tocsin.host.cold_windows() and time.monotonic() < until:
        time.sleep(0.02)
    return not tocsin.host.cold_windows()


def values(tocsin: Tocsin, first: int, now: int) -> list[Any]:
    """Return what the declared windows say on the next payments."""
    from tocsin.flow.engine import WideEngine

    engine, found = tocsin.fold.engine, []
    assert isinstance(engine, WideEngine)
    tocsin.host.settle().result(60)
    events = msgspec.json.Decoder(list[dict[str, Any]]).decode(b"[" + body(first, 60, now).replace(b"\n", b",") + b"]")
    for document in events:
        event = tocsin.door.admit(document, now=now, live=False)
        stamped = msgspec.structs.replace(event, seq=1, tau=tocsin.fold.windows.tau)
        batch = engine.batch([stamped])
        columns = tocsin.fold.windows.step(batch)
        table = tocsin.fold.windows.table(LATER, columns, 1)
        found.append([float(table[window.name].values[0]) for window in LATER])
    return found


@pytest.fixture
def now() -> Iterator[int]:
    yield time.time_ns() // 1000 - 60_000_000


def test_a_window_declared_later_is_missing_until_warm_and_then_equal(tmp_path: Path, now: int) -> None:
    """The past comes from the journal, the stretch after it from the stream; a restart keeps it."""
    early, late = start(tmp_path / "early"), start(tmp_path / "late")
    declare(early)
    for tocsin in (early, late):
        feed(tocsin, 0, 6000, now)
    declare(late)
    feed(late, 6000, 200, now)
    feed(early, 6000, 200, now)
    assert warmed(late)
    late.stop()
    late = start(tmp_path / "late")
    try:
        assert not late.host.cold_windows()
        expected = values(early, 7000, now)
        assert values(late, 7000, now) == expected
        assert max(row[0] for row in expected) > 100
    finally:
        early.stop()
        late.stop()


def test_a_rule_of_the_house_reads_a_declared_window(tmp_path: Path, now: int) -> None:
    """It does not fire while the window is missing; it does once it is warm."""
    tocsin = start(tmp_path)
    try:
        feed(tocsin, 0, 400, now)
        declare(tocsin)
        tocsin.configure("tocsin.rules", {"rules": [msgspec.to_builtins(RULE)]}, "test").result(60)
        assert warmed(tocsin)
        document = msgspec.json.decode(body(900, 1, now))
        verdict = tocsin.host.verdict(tocsin.door.admit(document, now=now, live=False)).future.result(60)
        assert verdict.computed is Decision.HOLD
    finally:
        tocsin.stop()


CHILD = """
import os, sys, time
from pathlib import Path
from tests.contracts.test_windows_warm import declare, feed, start
from tocsin.runtime import reading
history = reading.Reader.history
def slow(self, *more):
    for batch in history(self, *more):
        yield batch
        os.write(1, b"warming\\n")
        time.sleep(30)
reading.Reader.history = slow
tocsin = start(Path(sys.argv[1]))
feed(tocsin, 0, 30_000, int(sys.argv[2]))
declare(tocsin)
os.write(1, b"declared\\n")
time.sleep(60)
"""


def test_a_server_killed_half_way_through_warming_ends_up_equal(tmp_path: Path, now: int) -> None:
    """kill -9 while the past is being read: the next start reads it again."""
    assert warming.LAST_STRETCH < 30_000
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", CHILD, str(tmp_path / "late"), str(now)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=dict(os.environ))
    assert child.stdout is not None
    # Warming may begin before the declaration is answered, and only what was answered must outlive a kill.
    assert {child.stdout.readline(), child.stdout.readline()} == {"warming\n", "declared\n"}
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    early, late = start(tmp_path / "early"), start(tmp_path / "late")
    try:
        declare(early)
        feed(early, 0, 30_000, now)
        assert warmed(late)
        assert values(late, 40_000, now) == values(early, 40_000, now)
    finally:
        early.stop()
        late.stop()
