"""Restart after kill -9: how long until verdicts are served again, with a million keys known.

A real installation (exact windows of 60 s and 1 h, 24 h in hops, for ip and account, 50 rules) is fed through its wide
lane, takes a snapshot, goes on, and is killed. ``restart_s``: from the start of the server's process until ``/healthz``
answers 200, the median of several starts, each on the folder that the kill left; nothing is taken out of the system's
page cache in between, as after a crash of the process alone. ``whole_journal_restart_s``: the same start without the
snapshot.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.recovery_host import Fed, Plan, Started
from benchmarks.report import Options, Report, versions

STARTS = 5
ROOT = Path(__file__).parents[1]
LONGEST_S = 600.0


def run(options: Options) -> Report:
    """Feed, kill, start again; without the snapshot a third as much is fed, and the time is that of this third."""
    plan = Plan(seed=options.seed)
    with tempfile.TemporaryDirectory(prefix="tocsin-recovery-") as base:
        fed = feed(Path(base) / "data", plan)
        starts = [start(Path(base) / "data") for _ in range(STARTS)]
        checked = start(Path(base) / "data", digest=True)
        snapshot = max((Path(base) / "data" / "snapshots").glob("*.snap"))
        read_s = median(_read_s(snapshot) for _ in range(3))
        shutil.rmtree(Path(base) / "data")
        less = msgspec.structs.replace(plan, keys=plan.keys // 5, tail=plan.tail // 5)
        fewer = feed(Path(base) / "less", less)
        shutil.rmtree(Path(base) / "less" / "snapshots")
        whole = start(Path(base) / "less")
    replay_s = median(one.replay_s for one in starts)
    if checked.digest != fed.digest:
        raise RuntimeError("the state after the restart is not the state before the kill")
    return Report(
        name="recovery",
        figures={
            "restart_s": round(median(one.healthy_s for one in starts), 2),
            "keys": fed.keys,
            "tail_events": starts[0].events,
            "import_s": round(median(one.import_s for one in starts), 2),
            "open_s": round(median(one.open_s for one in starts), 2),
            "load_s": round(median(one.load_s for one in starts), 2),
            "replay_s": round(replay_s, 2),
            "replay_events_per_s": round(starts[0].events / replay_s),
            "snapshot_s": round(fed.snapshot_s, 2),
            "snapshot_pause_ms": round(fed.snapshot_pause_ms, 1),
            "snapshot_mb": round(fed.snapshot_mb),
            "whole_journal_restart_s": round(whole.healthy_s, 2),
            "whole_journal_events": whole.events,
        },
        rivals={
            "yardsticks": {"import_s": round(_import_s(), 2), "load_s": round(read_s, 2)},
        },
        goals={"restart_s": "<= 3 with keys >= 1000000", "keys": ">= 1000000"},
        seed=options.seed,
        versions=versions("numpy", "numba", "msgspec"),
        notes=[
            f"killed after {fed.events} events; the snapshot covers all but the last {starts[0].events}.",
            "the state after the restart was compared with the state before the kill: its digest is the same.",
            f"whole_journal_restart_s: {fewer.keys} keys and {fewer.events} events, no snapshot.",
            "yardsticks: import_s is `python -c 'import numpy, numba'`, load_s reads the snapshot file's bytes.",
        ],
        curves={"restart_s of each start": {str(n): round(one.healthy_s, 2) for n, one in enumerate(starts, 1)}},
    )


def feed(folder: Path, plan: Plan) -> Fed:
    """Feed an installation in a process of its own, which kills itself at the end; return how it stood."""
    told = folder.parent / "fed.json"
    command = [sys.executable, "-m", "benchmarks.recovery_host", "feed", str(folder), str(told)]
    child = subprocess.run(command, cwd=ROOT, input=msgspec.json.encode(plan), timeout=LONGEST_S, check=False)
    if child.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the installation ended with {child.returncode} before it was killed")
    return msgspec.json.decode(told.read_bytes(), type=Fed)


def start(folder: Path, *, digest: bool = False) -> Started:
    """Start the server on a folder, wait until it is healthy, kill it; the folder's journal stays as it is."""
    told, port = folder.parent / "started.json", _free_port()
    told.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "benchmarks.recovery_host",
        "serve",
        str(folder),
        str(told),
        str(port),
        str(int(digest)),
    ]
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT)
    try:
        while not _healthy(port):
            if child.poll() is not None or time.perf_counter() - began > LONGEST_S:
                raise RuntimeError(f"the server did not come up: {child.returncode}")
            time.sleep(0.005)
        healthy_s = time.perf_counter() - began
    finally:
        child.kill()
        child.wait()
    return msgspec.structs.replace(msgspec.json.decode(told.read_bytes(), type=Started), healthy_s=healthy_s)


# Yardsticks ---------------------------------------------------------------------------------------------------------


def _read_s(path: Path) -> float:
    buffer = bytearray(1 << 22)
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - began


def _import_s() -> float:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import numpy, numba"], check=True)
        took.append(time.perf_counter() - began)
    return median(took)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
