"""Tocsin's machine doors over HTTP: one worker on this machine, as it is served, asked by another process.

``ndjson_events_per_s``: bodies of 500 events over 16 connections, each answered when all are on disk. ``verdict_*``:
payments that nobody has asked about yet over 16 connections, each sending its next question when it has its answer;
every one reads 22 features, passes 200 rules and is scored by 100 trees. ``verdict_cpu_us`` is the processor time of
the whole server a request, what it writes behind its answers included. ``verdict_durable_*``: the answer waits for
the disk. Under load: lines at half the rate just measured, and questions at a fixed rate in an open loop.

Beside it, on the same uvicorn: an app that answers nothing, and FastAPI's echo; and one write and fdatasync.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.http_host import Host, Spec, Stages
from benchmarks.http_load import Flow, Job, Load, Setup
from benchmarks.report import Options, Report, versions

if TYPE_CHECKING:
    from benchmarks.http_load import Done

ROUNDS = 3
SECONDS = 4.0
WARM_S = 4.0
LINES = 16
"""Connections that send lines."""
ASKING = 16
ASKED_PER_S = 500.0
"""Questions a second while lines come in at half their peak."""
SEGMENT_BYTES = 1_000_000_000
"""A closed segment is compacted into the history when nobody asks: not in the figures."""
GOALS = {
    "ndjson_events_per_s": ">= 350000",
    "verdict_cpu_us": "<= 80",
    "verdict_p99_ms": "<= 2",
    "verdict_durable_p99_ms": "<= 5",
    "verdict_p99_ms_under_load": "<= 8",
}
DISK = "one write and fdatasync of 300 bytes"
NAMES = {"floor": "an ASGI app that only answers", "fastapi": "FastAPI's echo, pydantic"}


class Servers:
    """The servers under measurement and the callers; what they measured is kept by key, a value a round."""

    def __init__(self, stack: ExitStack, folder: Path, seed: int) -> None:
        self.load = stack.enter_context(Load(Setup(seed=seed)))
        self.outcome = folder / "stages.json"
        self.hosts = {}
        for name in ("memory", "disk", *NAMES):
            spec = Spec(port=_free_port(), app=name, seed=seed)
            if name not in NAMES:
                outcome = str(self.outcome) if name == "memory" else ""
                settings = {"verdict_ack": name, "segment_bytes": SEGMENT_BYTES}
                spec = Spec(port=spec.port, folder=str(folder / name), outcome=outcome, settings=settings, seed=seed)
            self.hosts[name] = stack.enter_context(Host(spec))
        self.figures: dict[str, list[float]] = {}
        self.rivals: dict[str, dict[str, list[float]]] = {name: {} for name in (*NAMES, DISK)}

    def do(self, name: str, seconds: float = SECONDS, **flows: Any) -> tuple[Done, float]:
        """Have a server asked; return what came of it, and its processor seconds."""
        host = self.hosts[name]
        before = host.cpu_s()
        done = self.load.do(Job(port=host.spec.port, key=host.key, seconds=seconds, **flows))
        return done, host.settled_cpu_s() - before

    def keep(self, into: dict[str, list[float]], **values: float) -> None:
        """Keep the values of a round."""
        for key, value in values.items():
            into.setdefault(key, []).append(value)


def run(options: Options) -> Report:
    """Measure fresh installations; no data is read."""
    with tempfile.TemporaryDirectory(prefix="tocsin-http-") as name:
        folder = Path(name)
        with ExitStack() as stack:
            servers = Servers(stack, folder, options.seed)
            for host in ("memory", "disk"):
                servers.do(host, WARM_S, lines=Flow(connections=LINES))
                servers.do(host, WARM_S / 3, verdicts=Flow(connections=ASKING))
            for _ in range(ROUNDS):
                _round(servers, folder)
            figures = {key: _median(values) for key, values in servers.figures.items()}
        stages = msgspec.json.decode(servers.outcome.read_bytes(), type=Stages)
    return Report(
        name="http",
        figures=figures,
        rivals={
            NAMES.get(rival, rival): {key: _median(values) for key, values in found.items()}
            for rival, found in servers.rivals.items()
        },
        goals=GOALS,
        seed=options.seed,
        versions=versions("tocsin", "numpy", "numba", "msgspec", "uvicorn", "uvloop", "fastapi", "pydantic"),
        curves={f"stage {one['name']}": _stage(one) for one in stages.stages},
        notes=_notes(),
    )


def _round(servers: Servers, folder: Path) -> None:
    """Measure everything once: rivals and ours in turn."""
    mine = servers.figures
    for rival in NAMES:
        servers.keep(servers.rivals[rival], **_asked(*servers.do(rival, verdicts=Flow(connections=ASKING))))
    done, cpu = servers.do("memory", lines=Flow(connections=LINES))
    peak = done.lines.events / done.seconds
    servers.keep(
        mine,
        ndjson_events_per_s=peak,
        ndjson_cpu_us=1e6 * cpu / max(1, done.lines.events),
        ndjson_refused=done.lines.refused,
        callers_cpu_share=done.own_cpu_s / done.seconds,
    )
    servers.keep(mine, **_asked(*servers.do("memory", verdicts=Flow(connections=ASKING))))
    durable = _asked(*servers.do("disk", verdicts=Flow(connections=ASKING)))
    servers.keep(mine, **{key.replace("verdict_", "verdict_durable_"): value for key, value in durable.items()})
    rate = peak / 2 / 500
    for name, suffix in (("memory", "under_load"), ("disk", "durable_under_load")):
        done, _ = servers.do(
            name, lines=Flow(connections=LINES, rate=rate), verdicts=Flow(connections=ASKING, rate=ASKED_PER_S)
        )
        servers.keep(mine, **{f"verdict_p99_ms_{suffix}": _quantile(done.verdicts.latencies_ms, 0.99)})
        servers.keep(mine, **{f"late_share_{suffix}": done.verdicts.late / max(1, done.verdicts.answers)})
        servers.keep(mine, **{f"ndjson_events_per_s_{suffix}": done.lines.events / done.seconds})
    for encoding in ("gzip", "zstd"):
        done, _ = servers.do("memory", 1.5, lines=Flow(connections=LINES, encoding=encoding))
        servers.keep(mine, **{f"ndjson_{encoding}_events_per_s": done.lines.events / done.seconds})
    disk = _disk(folder)
    servers.keep(servers.rivals[DISK], verdict_p50_ms=_quantile(disk, 0.5), verdict_p99_ms=_quantile(disk, 0.99))


def _asked(done: Done, cpu: float) -> dict[str, float]:
    """Return the figures of questions."""
    heard = done.verdicts
    if heard.refused or heard.unscored - heard.late > 0:
        raise RuntimeError(f"{heard.refused} questions refused, {heard.unscored - heard.late} not scored")
    return {
        "verdict_cpu_us": 1e6 * cpu / heard.answers,
        "verdict_p50_ms": _quantile(heard.latencies_ms, 0.5),
        "verdict_p99_ms": _quantile(heard.latencies_ms, 0.99),
        "verdict_requests_per_s": heard.answers / done.seconds,
        "verdict_late_share": heard.late / heard.answers,
        "verdict_callers_cpu_share": done.own_cpu_s / done.seconds,
    }


def _stage(one: dict[str, Any]) -> dict[str, float]:
    return {key: round(one[key], 3) for key in ("seconds", "rows", "us_per_row", "p50_ms", "p99_ms", "longest_ms")}


def _notes() -> list[str]:
    return [
        f"{ROUNDS} interleaved rounds of {SECONDS:.0f} s each, medians; server and callers share the machine's "
        f"{os.cpu_count()} cores, and what the callers took of one is in callers_cpu_share",
        f"lines: bodies of 500 over {LINES} connections; questions: {ASKING} connections, closed loop; under load: "
        f"lines at half the round's peak and {ASKED_PER_S:.0f} questions a second, open loop, from when each was due",
        "the processor time of child processes counts: of who writes records, and who takes a snapshot; not of who "
        "compacts closed segments of the journal (1 GB) when nobody asks",
        "stages: of the server with verdict_ack=memory over the whole run, warming up included",
    ]


def _disk(folder: Path) -> list[float]:
    """Return milliseconds of a write of 300 bytes until it is on disk."""
    took = []
    with (folder / "yardstick").open("wb", buffering=0) as file:
        for _ in range(300):
            began = time.perf_counter()
            file.write(b"x" * 300)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    return took


def _quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


def _median(values: list[float]) -> float:
    return float(f"{statistics.median(values):.4g}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
