"""The callers, in a process of their own: ``python -m benchmarks.http_load SETUP``, jobs on stdin, results on stdout.

Requests are bytes made beforehand, stamped with their id and time and written to kept connections; no connection has
more than one request under way. What the callers themselves cost is told with every job: they share the machine.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import zlib
from collections import deque
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import msgspec
import uvloop
import zstandard

from benchmarks.plane import GATE_AMOUNT
from benchmarks.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = 500
ASKED_POOL = 100_000
"""Lines of the stream of which the payments that pass the desk's gate are asked about: some thousands."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request over some connections. ``rate``: requests a second of an open loop; 0: a closed loop."""

    connections: int
    rate: float = 0.0
    encoding: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send for how long."""

    port: int
    key: str
    seconds: float
    lines: Flow | None = None
    verdicts: Flow | None = None


class Heard(msgspec.Struct, kw_only=True):
    """Of one kind of request: milliseconds from when it was due, to the whole answer."""

    answers: int = 0
    latencies_ms: list[float] = []
    events: int = 0
    late: int = 0
    unscored: int = 0
    refused: int = 0


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job."""

    seconds: float
    own_cpu_s: float
    lines: Heard
    verdicts: Heard


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What the requests are made of."""

    seed: int = 0
    live_keys: int = 1_000_000
    pool: int = 200_000


class Caller(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, heard: Callable[[Caller, bytes], None]) -> None:
        self.due = 0.0
        self._heard = heard
        self._parts = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand on an answer once it is whole."""
        answer = self._parts + data if self._parts else data
        head = answer.find(b"\r\n\r\n")
        if head >= 0:
            at = answer.find(b"content-length: ", 0, head)
            length = int(answer[at + 16 : answer.find(b"\r\n", at)])
            if len(answer) >= head + 4 + length:
                self._parts = b""
                self._heard(self, answer)
                return
        self._parts = answer


class Callers:
    """The connections of one flow: whoever is free sends what is due."""

    def __init__(self, flow: Flow, made: Callable[[], list[bytes | memoryview]]) -> None:
        self.flow, self.heard = flow, Heard()
        self._made = made
        self._all: list[Caller] = []
        self._free: deque[Caller] = deque()
        self._due: deque[float] = deque()
        self._until = 0.0
        self._under_way = 0
        self.quiet = asyncio.Event()

    async def connect(self, port: int) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()
        for _ in range(self.flow.connections):
            _, caller = await loop.create_connection(lambda: Caller(self._answered), "127.0.0.1", port)
            self._all.append(caller)

    async def run(self, seconds: float) -> None:
        """Send for so long and hear every answer."""
        began = time.perf_counter()
        self._until = began + seconds
        if not self.flow.rate:
            for caller in self._all:
                self._send(caller, time.perf_counter())
        else:
            await self._open_loop(began)
        await asyncio.wait_for(self.quiet.wait(), 60)

    def close(self) -> None:
        """Hang up."""
        for caller in self._all:
            caller.transport.close()

    async def _open_loop(self, began: float) -> None:
        self._free.extend(self._all)
        number, step = 0, 1.0 / self.flow.rate
        while (now := time.perf_counter()) < self._until:
            while (due := began + number * step) <= now:
                number += 1
                self._due.append(due)
            while self._due and self._free:
                self._send(self._free.popleft(), self._due.popleft())
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if not self._under_way and not self._due:
            self.quiet.set()

    def _send(self, caller: Caller, due: float) -> None:
        caller.due = due
        self._under_way += 1
        caller.transport.writelines(self._made())

    def _answered(self, caller: Caller, answer: bytes) -> None:
        now = time.perf_counter()
        self._under_way -= 1
        heard = self.heard
        heard.answers += 1
        heard.latencies_ms.append((now - caller.due) * 1e3)
        status = answer[9:12]
        if status == b"202" and answer.find(b'"accepted":500,') >= 0:
            heard.events += BODY
        elif status != b"200":
            heard.refused += 1
        else:
            heard.late += b'"late":true' in answer
            heard.unscored += b'"score":null' in answer
        if not self.flow.rate:
            if now < self._until:
                self._send(caller, now)
            elif not self._under_way:
                self.quiet.set()
        elif self._due:
            self._send(caller, self._due.popleft())
        else:
            self._free.append(caller)
            if now >= self._until and not self._under_way:
                self.quiet.set()


class Requests:
    """Makes the bytes of requests."""

    def __init__(self, setup: Setup) -> None:
        self.stream = Stream(setup.seed, live_keys=setup.live_keys, pool=setup.pool)
        asked = Stream(setup.seed + 1, live_keys=setup.live_keys, pool=ASKED_POOL)
        self._asked = _asked(bytes(asked.take(ASKED_POOL, _now_us())))
        self._number = 0
        self._run = f"{time.time_ns():x}"
        self._second = 0
        self._prefix = ""

    def lines(self, job: Job, encoding: str) -> Callable[[], list[bytes | memoryview]]:
        """Return what makes the next request of 500 lines."""
        more = f"content-encoding: {encoding}\r\n" if encoding else ""
        head = _head("events", job, "application/x-ndjson", more)
        if encoding:
            packed = deque(self._packed(encoding, 2000))
            return lambda: [head % len(packed[0]), packed.popleft()]

        def made() -> list[bytes | memoryview]:
            body = self.stream.take(BODY, _now_us() - BODY)
            return [head % len(body), body]

        return made

    def verdicts(self, job: Job) -> Callable[[], list[bytes | memoryview]]:
        """Return what makes the next question: a payment that nobody has asked about yet."""
        head, lines = _head("verdicts", job, "application/json", ""), self._asked

        def made() -> list[bytes | memoryview]:
            self._number += 1
            before, between, after = lines[self._number % len(lines)]
            id = f"{self._run}-{self._number}".encode()
            body = b"".join((before, id, between, self._time(), after))
            return [b"".join((head % len(body), body))]

        return made

    def _time(self) -> bytes:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._prefix}.{int((now - second) * 1e6):06d}Z".encode()

    def _packed(self, encoding: str, bodies: int) -> list[bytes]:
        pack: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=1).compress
        if encoding == "gzip":
            pack = partial(zlib.compress, level=1, wbits=31)
        return [pack(bytes(self.stream.take(BODY, _now_us() - BODY))) for _ in range(bodies)]


def _asked(lines: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return the payments among the lines that pass the desk's gate, cut around their id and their time."""
    found = []
    for line in lines.splitlines():
        event = msgspec.json.decode(line)
        if event["type"] == "payment.attempted" and event["data"]["amount"] >= GATE_AMOUNT:
            before, rest = line.split(event["id"].encode(), 1)
            between, after = rest.split(event["time"].encode(), 1)
            found.append((before, between, after))
    return found


def _head(door: str, job: Job, kind: str, more: str) -> bytes:
    return (
        f"POST /v1/{door} HTTP/1.1\r\nhost: 127.0.0.1:{job.port}\r\nauthorization: Bearer {job.key}\r\n"
        f"user-agent: benchmark\r\naccept: */*\r\ncontent-type: {kind}\r\n{more}content-length: %d\r\n\r\n"
    ).encode()


def _now_us() -> int:
    return time.time_ns() // 1000


async def _do(job: Job, requests: Requests) -> Done:
    flows: list[Callers] = []
    if job.lines is not None:
        flows.append(Callers(job.lines, requests.lines(job, job.lines.encoding)))
    if job.verdicts is not None:
        flows.append(Callers(job.verdicts, requests.verdicts(job)))
    for one in flows:
        await one.connect(job.port)
    before, began = os.times(), time.perf_counter()
    await asyncio.gather(*(one.run(job.seconds) for one in flows))
    took, after = time.perf_counter() - began, os.times()
    for one in flows:
        one.close()
    heard = [one.heard for one in flows]
    return Done(
        seconds=took,
        own_cpu_s=after.user + after.system - before.user - before.system,
        lines=heard[0] if job.lines is not None else Heard(),
        verdicts=heard[-1] if job.verdicts is not None else Heard(),
    )


class Load:
    """The callers' process, started by ``with``."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Load:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.http_load", msgspec.json.encode(self._setup).decode()],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        given, taken = self._pipes()
        given.close()
        taken.close()
        if self._process is not None:
            self._process.wait(30)

    def do(self, job: Job) -> Done:
        """Have a job done."""
        given, taken = self._pipes()
        given.write(msgspec.json.encode(job) + b"\n")
        given.flush()
        line = taken.readline()
        if not line:
            raise RuntimeError("the callers ended; see above")
        return msgspec.json.decode(line, type=Done)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("not started")
        return self._process.stdin, self._process.stdout


def main(given: str) -> None:
    """Do the jobs that come."""
    requests = Requests(msgspec.json.decode(given, type=Setup))
    for line in sys.stdin.buffer:
        done = uvloop.run(_do(msgspec.json.decode(line, type=Job), requests))
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
