"""Who waits in the loop is told once: the answer from whatever thread, or at the deadline the fall-back."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.signal import Decision, Verdict
from tocsin.errors import BadEvent
from tocsin.server.asked import Asked, Replies

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tocsin.core.events import Event
    from tocsin.runtime.verdicts import LineJob

VERDICT = Verdict(
    id="v",
    event_id="e",
    event_source="s",
    event_type="order.placed",
    shop="shop",
    subject="account:1",
    time=1,
    tau=1,
    computed=Decision.ALLOW,
    served=Decision.ALLOW,
)
LONG_S = 1000.0


def in_a_loop(waiting: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a loop of its own, in a thread of its own: a browser test of this process may have left one here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, waiting).result(60)


def waiting(replies: Replies, deadline: float, tell: Callable[[Asked], None]) -> Asked:
    """Return a caller who waits from now on."""

    def read(job: LineJob) -> Event:
        raise AssertionError("nobody reads it")

    job = Asked(b"{}", "", False, read, deadline, replies, tell)
    replies.wait_for(job)
    return job


async def until(law: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(30):
        while not law():
            await asyncio.sleep(0.001)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=20))
def test_deadlines_pass_in_their_order_whatever_the_order_of_the_callers(callers: list[tuple[int, bool]]) -> None:
    """Nobody is given up before the time, and nobody who was answered; the earliest is given up first."""

    async def run() -> None:
        replies, told = Replies(), []
        began = time.perf_counter()
        jobs = [
            waiting(replies, began + ms / 1000, lambda job: told.append((time.perf_counter(), job)))
            for ms, _ in callers
        ]
        for job, (_, answered) in zip(jobs, callers, strict=True):
            if answered and job.claim():
                job.answer(VERDICT)
        await until(lambda: len(told) == len(jobs))
        assert all((job.verdict is None) == job.late for _, job in told)
        late = [(at, job.deadline) for at, job in told if job.late]
        assert late == sorted(late, key=lambda one: one[1])
        assert all(at >= deadline for at, deadline in late)

    in_a_loop(run())


def test_a_caller_is_told_once_in_the_loop() -> None:
    """Of many answers from several threads each brings its own caller; a second answer brings nobody."""

    async def run() -> None:
        replies, told, threads = Replies(), [], set()

        def tell(job: Asked) -> None:
            told.append(job)
            threads.add(threading.get_ident())

        jobs = [waiting(replies, time.perf_counter() + LONG_S, tell) for _ in range(400)]

        def answer(some: list[Asked]) -> None:
            for job in some:
                assert job.claim()
                job.answer(VERDICT)
                job.answer(VERDICT)

        with ThreadPoolExecutor(4) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, answer, jobs[k::4]) for k in range(4)))
        await until(lambda: len(told) >= len(jobs))
        await asyncio.sleep(0.01)
        assert set(map(id, told)) == set(map(id, jobs)) and len(told) == len(jobs)
        assert threads == {threading.get_ident()}
        assert all(job.verdict is VERDICT for job in jobs)

    in_a_loop(run())


def test_a_deadline_and_an_answer_tell_a_caller_once() -> None:
    """Whichever is first: what comes after it changes nothing, and who waits long holds up nobody."""

    async def run() -> None:
        replies, told = Replies(), []
        waiting(replies, time.perf_counter() + LONG_S, told.append)
        late, early = (waiting(replies, time.perf_counter() + 0.02, told.append) for _ in range(2))
        early.answer(VERDICT)
        await until(lambda: len(told) == 2)
        late.answer(VERDICT)
        last = waiting(replies, time.perf_counter(), told.append)
        await until(lambda: last in told)
        assert told == [early, late, last]
        assert (early.late, late.late) == (False, True)

    in_a_loop(run())


def test_a_refusal_is_told_as_an_answer_is() -> None:
    """In the loop, once, not while the line is put into its lane."""

    async def run() -> None:
        told: list[Asked] = []
        job = waiting(Replies(), time.perf_counter() + LONG_S, told.append)
        job.refuse({"id": 7}, BadEvent("no", code="malformed"))
        assert not told
        await until(lambda: bool(told))
        assert told == [job]
        assert job.error is not None and job.document == {"id": 7}

    in_a_loop(run())


def test_who_has_been_told_is_let_go_of() -> None:
    """Not at the deadline: in a busy house thousands would lie there meanwhile."""

    async def run() -> None:
        replies, told = Replies(), []
        for _ in range(50):
            job = waiting(replies, time.perf_counter() + LONG_S, told.append)
            assert job.claim()
            job.answer(VERDICT)
            await until(lambda: job is told[-1] if told else False)  # noqa: B023  awaited here
        assert len(replies._waits) <= 1

    in_a_loop(run())


@pytest.mark.parametrize("here", [True, False])
def test_an_answer_after_the_loop_has_ended_is_for_nobody(here: bool) -> None:
    """Whoever answers, the loop's own thread too, is not disturbed by it, and the next loop finds nothing left."""
    replies, told = Replies(), []

    async def ask() -> Asked:
        return waiting(replies, time.perf_counter() + LONG_S, told.append)

    async def ask_again() -> None:
        job = waiting(replies, time.perf_counter() + LONG_S, told.append)
        job.answer(VERDICT)
        await until(lambda: bool(told))
        assert told == [job]

    with ThreadPoolExecutor(1) as loops, ThreadPoolExecutor(1) as others:
        job = loops.submit(asyncio.run, ask()).result(30)
        (loops if here else others).submit(job.answer, VERDICT).result(30)
        loops.submit(asyncio.run, ask_again()).result(30)
