"""Who waits for the fold hears in time what holds: a host that has stopped or does not answer is a 503, never a 500."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tocsin.config import load
from tocsin.core.records import Role
from tocsin.errors import Retryable
from tocsin.runtime.promises import fail, keep, promise
from tocsin.server.problems import Refusal
from tocsin.server.settling import folded, settled, taken

from .conftest import eventually, serving
from .test_intake import is_problem

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future
    from pathlib import Path

WINDOW = {"name": "paid", "fold": "count", "by": "card", "span_s": 60, "of": ["payment.attempted"]}


class Host:
    """A host of which the test decides when it has settled."""

    def __init__(self, error: Retryable | None = None) -> None:
        self.future: Future[None] = promise()
        self._error = error

    def settle(self) -> Future[None]:
        if self._error is not None:
            raise self._error
        return self.future


STOPPED = Retryable("the host has stopped; see the log, then start it again", after_s=30.0)


def ended(waiting: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of its own, in a thread of its own: a browser test of this process may have left one here."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, waiting).result(30)


def test_a_settled_host_is_waited_for() -> None:
    """The wait ends when the host says so."""
    host = Host()

    async def wait() -> None:
        asyncio.get_running_loop().call_later(0.01, keep, host.future, None)
        await settled(host)

    ended(wait())
    folded(host, "nothing was changed")


def test_a_host_that_stops_is_named_with_what_holds() -> None:
    """Before the wait or while it lasts: 503 with the reason, and that the events are kept."""
    stops = Host()
    fail(stops.future, STOPPED)
    for host in (Host(STOPPED), stops):
        with pytest.raises(Refusal, match=r"is on disk.*the host has stopped") as caught:
            ended(settled(host))
        assert (caught.value.problem.status, caught.value.headers["retry-after"]) == (503, "30")
        with pytest.raises(Refusal, match="nothing was changed: the host has stopped"):
            folded(host, "nothing was changed")


def test_a_wait_has_a_bound() -> None:
    """A responder that never answers holds no connection for ever, and the host's future outlives the caller."""
    host = Host()
    with pytest.raises(Refusal, match="is on disk") as caught:
        ended(settled(host, within_s=0.01))
    assert (caught.value.problem.status, caught.value.problem.code) == (503, "unavailable")
    with pytest.raises(Refusal, match="not in force yet"):
        folded(host, "not in force yet", within_s=0.01)
    with pytest.raises(Refusal, match="may still be"):
        taken(lambda: host.future, "the windows", within_s=0.01)
    keep(host.future, None)
    ended(settled(host))


def test_windows_of_a_stopped_host_are_a_problem_with_a_reason(tmp_path: Path) -> None:
    """Declaring and dropping say that nothing was changed, and why; the list can still be read."""
    with serving(load({"shop": "shop", "data_dir": str(tmp_path)}, {}), memory=True) as site:
        browser = site.browser(Role.ADMIN)
        assert browser.send("PUT", "/v1/windows/paid", WINDOW).status_code == 200
        site.tocsin.host.stop()
        for method, body in (("PUT", WINDOW), ("DELETE", None)):
            answer = browser.send(method, "/v1/windows/paid", body)
            problem = is_problem(answer, 503, "unavailable")
            assert "nothing was changed: the host has stopped" in problem["detail"]
            assert int(answer.headers["retry-after"]) > 0
        assert [one["window"]["name"] for one in browser.get("/v1/windows").json()["items"]] == ["paid"]


def test_settling_with_a_host_that_stops_is_a_problem(tmp_path: Path) -> None:
    """``?wait=settled`` is answered by 503 where the host ends while the caller waits."""
    with serving(load({"shop": "shop", "data_dir": str(tmp_path)}, {}), memory=True) as site:
        with site.machine() as http:
            assert http.post("/v1/events?wait=settled", json=site.payment()).status_code == 202
            site.tocsin.host.stop()
            eventually(lambda: site.tocsin.host.stopped)
            is_problem(http.post("/v1/events?wait=settled", json=site.payment()), 503, "unavailable")
