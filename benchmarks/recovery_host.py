"""The processes of the recovery benchmark: one that is fed and kills itself, and the server that starts again.

``python -m benchmarks.recovery_host feed FOLDER TOLD`` reads its plan from standard input and writes to the file TOLD
how it stood; ``serve FOLDER TOLD PORT DIGEST`` writes there how long its start took and serves.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tocsin.app import Tocsin

LONGEST_S = 600.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is fed before the kill: four events for each of ``keys`` keys of each entity, a snapshot, then the tail."""

    keys: int = 540_000
    """Of each of the two entities; a few of them are missed by the draw."""
    tail: int = 500_000
    """Events after the snapshot: what a start has to fold again."""
    rules: int = 50
    seed: int = 0


class Fed(msgspec.Struct, frozen=True, kw_only=True):
    """How it stood when it was killed."""

    keys: int
    events: int
    snapshot_s: float
    snapshot_pause_ms: float
    snapshot_mb: float
    digest: str


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """One start, in seconds: ``import_s`` and the rest as the process saw them, ``healthy_s`` as seen from outside."""

    import_s: float
    open_s: float
    load_s: float
    replay_s: float
    events: int
    after: int
    digest: str = ""
    healthy_s: float = 0.0


def installation(folder: str, **settings: Any) -> Tocsin:
    """Return the installation of both processes, not yet started."""
    from benchmarks.plane import DURABLE, EXACT, BenchDesk, rule_book
    from tocsin.app import build
    from tocsin.config import load

    hour = {"ip_events_1h", "ip_accounts_1h", "account_events_5m", "account_devices_1h", "account_amount_1h"}
    windows = (*DURABLE, *(window for window in EXACT if window.name in hour))
    desk = BenchDesk(windows, rule_book(Plan().rules, windows, busiest_per_s=40_000.0))
    loaded = load({"data_dir": folder, "verdict_mode": "live", "snapshot_minutes": 1e6, **settings}, {})
    return build(loaded, desks=[desk], actuators=())


def _feed(folder: str, told: str) -> None:
    from benchmarks.flow_host import Driver, Work, _live_rows
    from tocsin.errors import TocsinError

    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    tocsin = installation(folder)
    tocsin.start()
    driver = Driver(tocsin, Work(seconds=0.0, live_keys=plan.keys, rules=plan.rules, seed=plan.seed))
    driver.meet_all()
    driver.run(0.0)
    tocsin.host.settle().result(LONGEST_S)
    snapshots = tocsin.host.snapshots
    if snapshots is None:
        raise TocsinError("the compiled plane is not there: install numba")
    began = time.perf_counter()
    tocsin.host.between_cycles(lambda: (snapshots.take(), [])[1])
    while not snapshots.taken:
        if snapshots.failed:
            raise TocsinError("no snapshot was written")
        time.sleep(0.01)
    took = time.perf_counter() - began
    before = driver.durable
    while driver.durable - before < plan.tail:
        driver.run(0.05)
    tocsin.host.settle().result(LONGEST_S)
    fed = Fed(
        keys=_live_rows(tocsin),
        events=driver.durable,
        snapshot_s=took,
        snapshot_pause_ms=1e3 * snapshots.pause_s,
        snapshot_mb=max(path.stat().st_size for path in (Path(folder) / "snapshots").glob("*.snap")) / 1e6,
        digest=tocsin.fold.digest(),
    )
    Path(told).write_bytes(msgspec.json.encode(fed))
    os.kill(os.getpid(), signal.SIGKILL)


def _serve(began: float, folder: str, told: str, port: str, digest: str) -> None:
    # As ``tocsin up`` does, but for the desk.
    import_module("tocsin.app")

    imported = time.perf_counter()
    tocsin = installation(folder)
    opened = time.perf_counter()
    threading.Thread(target=import_module, args=("tocsin.server.main",), daemon=True).start()
    tocsin.start()
    found = tocsin.replayed
    started = Started(
        import_s=imported - began,
        open_s=opened - imported,
        load_s=found.load_s,
        replay_s=found.seconds,
        events=found.events,
        after=found.after,
        digest=tocsin.fold.digest() if int(digest) else "",
    )
    Path(told).write_bytes(msgspec.json.encode(started))
    gc.collect()
    gc.freeze()
    from tocsin.server.main import serve

    serve(tocsin, "127.0.0.1", int(port))


if __name__ == "__main__":
    BEGAN = time.perf_counter()
    if sys.argv[1] == "feed":
        _feed(*sys.argv[2:])
    else:
        _serve(BEGAN, *sys.argv[2:])
