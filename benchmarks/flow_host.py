"""The whole host under the stream, in a process of its own: ``python -m benchmarks.flow_host INPUT OUTPUT``.

A real installation (``app.build``) takes bodies of lines through its wide lane, as the server's door hands them over:
scanned, duplicates recognised, stamped, journaled, folded. There is no HTTP. An event counts when its body's answer
comes: then it is on disk.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.plane import DURABLE, BenchDesk, rule_book, trained
from benchmarks.rule_book import LISTS
from benchmarks.stream import Stream
from tocsin.app import Tocsin, build
from tocsin.config import load
from tocsin.errors import Retryable
from tocsin.runtime.collector import calm

if TYPE_CHECKING:
    from concurrent.futures import Future

UNDER_WAY = 8
"""Bodies that wait for their answer at once, as from so many connections."""
INTERVAL_S = 10.0


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do."""

    seconds: float
    folder: str = ""
    """Data folder; empty for a temporary one (``TMPDIR`` says on which disk)."""
    warm_seconds: float = 20.0
    live_keys: int = 1_000_000
    """Of each entity; the durable windows are kept for two."""
    body: int = 4096
    rules: int = 50
    model: bool = False
    pool: int = 1_000_000
    seed: int = 0
    settings: dict[str, Any] = {}


class Sample(msgspec.Struct, frozen=True):
    """The state at one moment since the timed part began; bytes and seconds are those of the process so far."""

    at: float
    durable: int
    rss: int
    cpu: float
    written: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    events_per_s: float
    slowest_interval: float
    """Events per second of the slowest 10 s."""
    durable: int
    refused: int
    duplicates: int
    shed: int
    verdicts: int
    cpu_per_million: float
    bytes_per_million: float
    rss_1_min: int
    rss_end: int
    live_rows: int
    stages: list[dict[str, Any]]
    samples: list[Sample]


class Driver:
    """Keeps the lane of one host full and counts what is durable."""

    def __init__(self, tocsin: Tocsin, work: Work) -> None:
        self.tocsin, self.work = tocsin, work
        self.stream = Stream(work.seed, live_keys=work.live_keys, pool=work.pool)
        self.durable = self.refused = self.duplicates = self.shed = 0
        self._lock = threading.Lock()
        self._under_way: deque[Future[Any]] = deque()

    def meet_all(self) -> None:
        """Send four events for every key, all alike, so that all keys are known and live."""
        usual = self.stream.exponent
        self.stream.draw_by(0.0)
        for _ in range(0, 4 * self.work.live_keys, self.work.body):
            self._send()
        self.stream.draw_by(usual)

    def run(self, seconds: float) -> None:
        """Send bodies for so long, then wait for all answers."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._send()
        while self._under_way:
            self._under_way.popleft().result(60)

    def _send(self) -> None:
        while len(self._under_way) >= UNDER_WAY:
            self._under_way.popleft().result(60)
        n = self.work.body
        body = self.stream.take(n, time.time_ns() // 1000 - n)
        lane = self.tocsin.host.wide
        if lane is None:
            raise RuntimeError("the compiled plane is not there: install numba")
        while True:
            try:
                future = lane.submit(body, self.tocsin.settings.shop)
                break
            except Retryable:
                self.shed += 1
                time.sleep(0.002)
        future.add_done_callback(self._count)
        self._under_way.append(future)

    def _count(self, future: Future[Any]) -> None:
        receipt = future.result()
        with self._lock:
            self.durable += receipt.accepted
            self.refused += len(receipt.refused)
            self.duplicates += receipt.duplicates


def run(work: Work) -> Outcome:
    """Drive a fresh installation in ``work.folder``."""
    model = trained(DURABLE) if work.model else None
    busiest = 600_000 / 15
    desk = BenchDesk(DURABLE, rule_book(work.rules, DURABLE, busiest_per_s=busiest, seed=work.seed), model)
    settings = load({"data_dir": work.folder, "verdict_mode": "live", **work.settings})
    tocsin = build(settings, desks=[desk], actuators=())
    tocsin.start()
    calm()
    try:
        for name, values in LISTS.items():
            for value in values:
                tocsin.configure("tocsin.list", {"name": name, "value": value}, "benchmark").result(60)
        driver = Driver(tocsin, work)
        driver.meet_all()
        driver.run(work.warm_seconds)
        return _timed(tocsin, driver, work)
    finally:
        tocsin.stop()


def _timed(tocsin: Tocsin, driver: Driver, work: Work) -> Outcome:
    before = {one["name"]: one for one in tocsin.plane.report()}
    counters = dict(tocsin.host.counters)
    first = driver.durable
    began = time.monotonic()
    samples = [_sample(0.0, 0)]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(max(0.0, began + INTERVAL_S * len(samples) - time.monotonic())):
            samples.append(_sample(time.monotonic() - began, driver.durable - first))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    driver.run(work.seconds)
    done.set()
    watcher.join()
    took = time.monotonic() - began
    samples.append(_sample(took, driver.durable - first))
    durable = driver.durable - first
    steps = [(b.durable - a.durable) / (b.at - a.at) for a, b in itertools.pairwise(samples)]
    full = steps[:-1] or steps
    return Outcome(
        events_per_s=durable / took,
        slowest_interval=min(full),
        durable=durable,
        refused=driver.refused,
        duplicates=driver.duplicates,
        shed=driver.shed,
        verdicts=tocsin.host.counters["verdicts"] - counters["verdicts"],
        cpu_per_million=(samples[-1].cpu - samples[0].cpu) / durable * 1e6,
        bytes_per_million=(samples[-1].written - samples[0].written) / durable * 1e6,
        rss_1_min=samples[min(6, len(samples) - 1)].rss,
        rss_end=samples[-1].rss,
        live_rows=_live_rows(tocsin),
        stages=[_since(before[one["name"]], one, took) for one in tocsin.plane.report()],
        samples=samples,
    )


def _since(before: dict[str, Any], now: dict[str, Any], took: float) -> dict[str, Any]:
    """Return what a stage did in the timed part; ``share`` of one core's time."""
    seconds, rows = now["seconds"] - before["seconds"], now["rows"] - before["rows"]
    return {
        "name": now["name"],
        "seconds": round(seconds, 2),
        "share": round(seconds / took, 3),
        "us_per_row": round(1e6 * seconds / rows, 3) if rows else 0.0,
        "p99_ms": round(now["p99_ms"], 2),
    }


def _live_rows(tocsin: Tocsin) -> int:
    from benchmarks.flow_windows import live_keys
    from tocsin.flow.wide.windows import WideWindows

    windows = tocsin.fold.windows
    return live_keys(windows) if isinstance(windows, WideWindows) else 0


def _sample(at: float, durable: int) -> Sample:
    page = os.sysconf("SC_PAGE_SIZE")
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * page
    written = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["write_bytes"]
    cpu = os.times()
    return Sample(at, durable, rss, cpu.user + cpu.system, int(written))


def main(given: str, wanted: str) -> None:
    """Read the work, do it, write the outcome."""
    outcome = run(msgspec.json.decode(Path(given).read_bytes(), type=Work))
    Path(wanted).write_bytes(msgspec.json.encode(outcome))


def apart(work: Work) -> Outcome:
    """Return the outcome of a process of its own: its memory and its clocks are those of this work alone."""
    import subprocess

    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        work = msgspec.structs.replace(work, folder=work.folder or str(Path(folder) / "data"))
        given, wanted = Path(folder) / "in.json", Path(folder) / "out.json"
        given.write_bytes(msgspec.json.encode(work))
        root = Path(__file__).parents[1]
        command = [sys.executable, "-m", "benchmarks.flow_host", str(given), str(wanted)]
        subprocess.run(command, check=True, cwd=root, timeout=work.seconds + work.warm_seconds + 600)
        return msgspec.json.decode(wanted.read_bytes(), type=Outcome)


if __name__ == "__main__":
    main(*sys.argv[1:])
