"""Without compiled kernels the same house runs: slower, with the same answers, over the same journal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.test_bulk import start

from tocsin.flow.wide.jit import AVAILABLE

PLAIN, COMPILED = "plain", "compiled"
EVENTS = (0, 350, 700)
CHILD = """
import asyncio, json, sys
from pathlib import Path

import httpx
import msgspec

from tests.runtime.test_bulk import PAY, START, decisions, documents, outside, settled, signals, start
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.server.main import create_app

async def told(tocsin, first, stop):
    web = create_app(tocsin)
    key, _ = web.accounts.make_key("test", ("events", "verdicts"), shop="default", who="test")
    asks = {"authorization": "Bearer " + key, "content-type": "application/x-ndjson"}
    wanted = documents(700)[first:stop]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=web), base_url="http://127.0.0.1") as http:
        body = b"\\n".join([*map(msgspec.json.encode, wanted), b"nonsense"])
        lines = (await http.post("/v1/events", content=body, headers=asks)).json()
        pay = {"specversion": "1.0", "id": f"v{first}", "source": "t", "type": PAY, "time": START}
        pay["data"] = {"card": "c1", "amount": 990}
        asks["content-type"] = "application/cloudevents+json"
        verdict = (await http.post("/v1/verdicts", json=pay, headers=asks)).json()
    await web.intake.close()
    return lines, verdict

tocsin = start(Path(sys.argv[1]))
try:
    settled(tocsin)
    before = [len(signals(tocsin)), len(decisions(tocsin)), tocsin.replayed.rederived]
    lines, verdict = asyncio.run(told(tocsin, int(sys.argv[2]), int(sys.argv[3])))
    settled(tocsin)
    print(json.dumps({
        "compiled": AVAILABLE, "lines": lines, "verdict": verdict, "before": before,
        "after": [len(signals(tocsin)), len(decisions(tocsin)), 0],
        "outside": msgspec.to_builtins(outside(tocsin)), "signals": signals(tocsin),
        "decisions": sorted(decisions(tocsin).items()), "views": tocsin.views.overview(tocsin.fold.tau),
    }))
finally:
    tocsin.stop()
"""


def run(folder: Path, plane: str, first: int, stop: int) -> dict[str, Any]:
    environ = {name: value for name, value in os.environ.items() if name != "TOCSIN_PLAIN"}
    if plane == PLAIN:
        environ["TOCSIN_PLAIN"] = "1"
    command = [sys.executable, "-c", CHILD, str(folder), str(first), str(stop)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["compiled"] == (plane == COMPILED)
    return said


def chain(folder: Path, planes: tuple[str, ...]) -> list[dict[str, Any]]:
    return [run(folder, plane, *EVENTS[at : at + 2]) for at, plane in enumerate(planes)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Return what two runs in a row said of one folder, begun on either plane, under the same keys."""
    if not AVAILABLE:
        pytest.skip("numba is not there")
    folder = tmp_path_factory.mktemp("planes")
    start(folder / PLAIN).stop()
    shutil.copytree(folder / PLAIN, folder / COMPILED)
    wanted = {PLAIN: (PLAIN, COMPILED), COMPILED: (COMPILED, PLAIN)}
    with ThreadPoolExecutor(2) as pool:
        under_way = {name: pool.submit(chain, folder / name, planes) for name, planes in wanted.items()}
        return {name: future.result() for name, future in under_way.items()}


def test_the_doors_answer_alike(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Lines, refusals and verdicts over HTTP, on either plane."""
    for one, other in zip(runs[PLAIN], runs[COMPILED], strict=True):
        assert one["lines"] == other["lines"]
        assert one["lines"]["accepted"] > 100 and len(one["lines"]["refused"]) == 1
        assert one["verdict"] == other["verdict"]
        assert one["verdict"]["event"].startswith("v")


def test_a_journal_of_one_plane_replays_on_the_other_to_the_same_state(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Nothing is decided again, nothing is written twice, and the fold stands where it stood."""
    for told in runs.values():
        for before, after in pairwise(told):
            assert after["before"] == before["after"]


def test_both_planes_wrote_the_same(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Events, signals and decisions, to the last number."""
    for one, other in zip(runs[PLAIN], runs[COMPILED], strict=True):
        for what in ("outside", "signals", "decisions"):
            assert one[what] == other[what], what
    assert len(runs[PLAIN][-1]["signals"]) > 2
    assert len(runs[PLAIN][-1]["decisions"]) > 100


def test_people_see_the_same_numbers(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Also of verdicts that the journal holds as columns."""
    for one, other in zip(runs[PLAIN], runs[COMPILED], strict=True):
        assert one["views"] == other["views"]
