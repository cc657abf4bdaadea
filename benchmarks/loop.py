"""The loop as its users meet it: a real server on this machine, events in over HTTP, verdicts out.

``events_per_s``: NDJSON requests of 500 events over two connections, through intake, journal, fold and rules, until all
are folded and answered. ``verdict_p50_ms`` and ``verdict_p99_ms``: ``POST /v1/verdicts`` at 200 requests a second, open
loop: a request is sent at its time whether or not earlier ones were answered, and its latency counts from that time.

The yardstick beside it is the disk: a verdict is on disk before it is answered, so none is faster than one
``fdatasync``.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec

from benchmarks.report import Options, Report, versions

MIX = (
    ("http.request", 45),
    ("session.viewed", 25),
    ("cart.changed", 12),
    ("payment.attempted", 10),
    ("order.placed", 5),
    ("search.performed", 3),
)
PER_REQUEST = 500
REQUESTS = 60
RATE = 200
SECONDS = 20


def run(options: Options) -> Report:
    """Measure a fresh installation; no data is read."""
    with tempfile.TemporaryDirectory() as folder:
        disk = _disk(Path(folder))
        port = _free_port()
        env = {**os.environ, "TOCSIN_DATA_DIR": folder, "TOCSIN_PORT": str(port), "TOCSIN_VERDICT_MODE": "live"}
        tocsin = [sys.executable, "-m", "tocsin"]
        made = subprocess.run([*tocsin, "key", "make", "bench"], env=env, check=True, capture_output=True, text=True)
        key = _key(made.stdout)
        server = subprocess.Popen([*tocsin, "up"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            base = f"http://127.0.0.1:{port}"
            _await(base)
            throughput = asyncio.run(_throughput(base, key, options.seed))
            latencies = asyncio.run(_latencies(base, key, options.seed))
        finally:
            server.terminate()
            server.wait(30)
    return Report(
        name="loop",
        figures={
            "events_per_s": round(throughput, 1),
            "verdict_p50_ms": round(_quantile(latencies, 0.50), 2),
            "verdict_p99_ms": round(_quantile(latencies, 0.99), 2),
        },
        rivals={
            "one write and fdatasync of 300 bytes": {
                "verdict_p50_ms": round(_quantile(disk, 0.50), 2),
                "verdict_p99_ms": round(_quantile(disk, 0.99), 2),
            }
        },
        seed=options.seed,
        versions=versions("tocsin", "numpy", "msgspec", "lightgbm", "uvicorn"),
        notes=[f"{REQUESTS} requests of {PER_REQUEST} events; then {RATE} verdict requests a second for {SECONDS} s"],
    )


def _disk(folder: Path) -> list[float]:
    times = []
    with (folder / "yardstick").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(b"x" * 300)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1e3)
    return times


def _quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _key(printed: str) -> str:
    found = re.search(r"tcs_\S+", printed)
    if found is None:
        raise RuntimeError(f"tocsin key printed no key: {printed}")
    return found.group()


def _await(base: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"{base}/healthz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the server did not come up within 60 s")


def _event(rng: random.Random, kind: str, number: int) -> dict[str, Any]:
    zipf = int(rng.paretovariate(1.1))
    ip = f"203.0.{zipf % 200}.{zipf % 250}"
    data: dict[str, Any] = {"ip": ip, "account": f"a{zipf % 50_000}", "session": f"s{zipf % 90_000}"}
    if kind == "http.request":
        data = {"ip": ip, "method": "GET", "path": f"/p/{zipf % 5000}?q={zipf % 97}", "status": 200, "bytes": 5120}
    elif kind in ("payment.attempted", "order.placed"):
        amount = rng.randrange(500, 90_000)
        data |= {"device": f"d{zipf % 60_000}", "card": f"c{zipf % 60_000}", "amount": amount, "currency": "CNY"}
        if kind == "order.placed":
            items = [
                {"sku": f"k{rng.randrange(3000)}", "quantity": 1, "price": amount} for _ in range(rng.randint(1, 6))
            ]
            data |= {"order": f"o{number}", "items": items}
        else:
            data |= {"gateway": f"g{zipf % 3}", "status": "succeeded", "payment": f"p{number}"}
    elif kind == "search.performed":
        data |= {"query": rng.choice(["羽绒服 男", '手机壳 "防摔"', "red shoes\n42"]), "results": 20}
    elif kind == "cart.changed":
        data |= {"sku": f"k{zipf % 3000}", "quantity": 1, "change": "add"}
    return {"specversion": "1.0", "id": f"{kind}-{number}", "source": "bench", "type": kind, "time": "@", "data": data}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def _throughput(base: str, key: str, seed: int) -> float:
    """Return events per second over all requests, until the last one is folded."""
    rng = random.Random(seed)
    kinds = rng.choices([kind for kind, _ in MIX], [share for _, share in MIX], k=PER_REQUEST * REQUESTS)
    lines = [msgspec.json.encode(_event(rng, kind, number)) for number, kind in enumerate(kinds)]
    bodies = [b"\n".join(lines[at : at + PER_REQUEST]) for at in range(0, len(lines), PER_REQUEST)]
    headers = {"authorization": f"Bearer {key}", "content-type": "application/x-ndjson"}
    waiting = asyncio.Queue[bytes]()
    for body in bodies:
        waiting.put_nowait(body)
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
        start = time.perf_counter()

        async def send() -> None:
            while not waiting.empty():
                body = waiting.get_nowait()
                stamped = body.replace(b'"time":"@"', f'"time":"{_now()}"'.encode())
                while True:
                    answer = await client.post("/v1/events", content=stamped)
                    if answer.status_code != 429:
                        break
                    await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
                answer.raise_for_status()
                if answer.json()["accepted"] != PER_REQUEST:
                    raise RuntimeError(f"not all accepted: {answer.text[:300]}")

        await asyncio.gather(send(), send())
        (await client.post("/v1/events?wait=settled", content=b"")).raise_for_status()
        return len(lines) / (time.perf_counter() - start)


async def _latencies(base: str, key: str, seed: int) -> list[float]:
    """Return the latency of every verdict request in milliseconds, from the time that it was due."""
    rng = random.Random(seed + 1)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    latencies: list[float] = []
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30, limits=limits) as client:

        async def ask(number: int, due: float) -> None:
            event = _event(rng, "payment.attempted", 10_000_000 + number)
            event["time"] = _now()
            answer = await client.post("/v1/verdicts", content=msgspec.json.encode(event))
            answer.raise_for_status()
            latencies.append((time.perf_counter() - due) * 1e3)

        warm = [ask(-number - 1, time.perf_counter()) for number in range(50)]
        for one in warm:
            await one
        latencies.clear()
        start = time.perf_counter()
        tasks = []
        for number in range(RATE * SECONDS):
            due = start + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(number, due)))
        await asyncio.gather(*tasks)
    return latencies
