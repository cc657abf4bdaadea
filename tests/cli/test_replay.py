"""Replay: times shifted to now, paced, patient with a busy server, and every event accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cli.replay import BATCH_EVENTS, Sender, batches, in_order, retry_after
from tocsin.errors import Misconfigured, Retryable


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def sender(answers: Any, time: Time | None = None) -> tuple[Sender, list[list[dict[str, Any]]]]:
    """Return a sender to a server that gives these answers in turn, and what it was sent."""
    seen: list[list[dict[str, Any]]] = []
    waiting = iter(answers) if not callable(answers) else None

    def handle(request: httpx.Request) -> httpx.Response:
        documents = [json.loads(line) for line in request.content.splitlines()]
        answer = next(waiting) if waiting is not None else answers(documents)
        if isinstance(answer, Exception):
            raise answer
        seen.append(documents)
        return answer

    time = time or Time()
    client = httpx.Client(base_url="http://shop", transport=httpx.MockTransport(handle))
    return Sender(client, sleep=time.sleep, clock=time.now), seen


def accepted(n: int) -> httpx.Response:
    return httpx.Response(202, json={"accepted": n, "duplicates": 0, "refused": []})


def documents(*times: int) -> list[tuple[int, dict[str, Any]]]:
    return [(place, {"id": str(place), "time": time, "data": {}}) for place, time in enumerate(times)]


def test_a_busy_server_is_waited_for_as_long_as_it_asks() -> None:
    time = Time()
    busy = httpx.Response(429, headers={"retry-after": "3"})
    one, seen = sender([busy, busy, accepted(2)], time)
    one.send([{"id": "1"}, {"id": "2"}])
    assert time.slept == [3.0, 3.0]
    assert (one.tally.accepted, one.tally.waits, len(seen)) == (2, 2, 3)


def test_a_server_that_cannot_be_reached_is_given_up_after_a_minute() -> None:
    time = Time()
    one, _ = sender(lambda _: httpx.ConnectError("refused"), time)
    with pytest.raises(Retryable, match="is it running"):
        one.send([{"id": "1"}])
    assert 30 < sum(time.slept) <= 60


def test_a_batch_that_is_too_large_is_halved_and_one_that_stays_so_is_counted() -> None:
    def answer(sent: list[dict[str, Any]]) -> httpx.Response:
        big = len(sent) > 2 or any(document["id"] == "7" for document in sent)
        return httpx.Response(413) if big else accepted(len(sent))

    one, _ = sender(answer)
    one.send([{"id": str(number)} for number in range(8)])
    assert (one.tally.sent, one.tally.accepted, one.tally.refused) == (8, 7, 1)
    assert one.tally.reasons == {"oversized": 1}


def test_refusals_and_duplicates_are_counted_by_reason() -> None:
    body = {"accepted": 1, "duplicates": 1, "refused": [{"index": 2, "code": "missing", "field": "data.amount"}]}
    one, _ = sender([httpx.Response(202, json=body)])
    one.send([{"id": "1"}, {"id": "2"}, {"id": "3"}])
    assert (one.tally.accepted, one.tally.duplicates, one.tally.refused) == (1, 1, 1)
    assert one.tally.reasons == {"missing data.amount": 1}


@pytest.mark.parametrize(("status", "word"), [(401, "--key"), (404, "--to")])
def test_a_wrong_key_or_address_stops_with_what_to_change(status: int, word: str) -> None:
    one, _ = sender([httpx.Response(status)])
    with pytest.raises(Misconfigured, match=word):
        one.send([{"id": "1"}])


@given(st.lists(st.integers(0, 10**12), max_size=60))
def test_events_are_put_in_order_of_time(times: list[int]) -> None:
    assert [when for when, _ in in_order(documents(*times), 1000)] == sorted(times)


def test_without_a_buffer_the_order_is_kept_as_it_comes() -> None:
    assert [document["id"] for _, document in in_order(documents(5, 3, 9), 0)] == ["0", "1", "2"]


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_gaps_are_kept_at_the_chosen_speed_and_the_first_event_happens_now(speed: float) -> None:
    time = Time()
    start = time.at
    sent = []
    for batch in batches(in_order(documents(1, 60_000_001, 600_000_001), 10), speed, sleep=time.sleep, now=time.now):
        sent.extend((time.at, document["time"] / 1e6) for document in batch)
    assert [at - start for _, at in sent] == pytest.approx([0, 60 / speed, 600 / speed])
    assert all(now >= at for now, at in sent)


def test_at_speed_zero_nothing_waits_and_batches_are_full() -> None:
    time = Time()
    timed = in_order(documents(*range(0, 10**12, 10**9)), 10_000)
    sizes = [len(batch) for batch in batches(timed, 0, sleep=time.sleep, now=time.now)]
    assert sizes == [BATCH_EVENTS, 1000 - BATCH_EVENTS]
    assert time.slept == []


def test_events_without_a_time_and_stragglers_happen_right_away() -> None:
    time = Time()
    documents = [(0, {"id": "a"}), (9_000_000, {"id": "b"}), (1_000_000, {"id": "c"}), (10_000_000, {"id": "d"})]
    sent = [one for batch in batches(documents, 1.0, sleep=time.sleep, now=time.now) for one in batch]
    assert [document["time"] / 1e6 - 1_000_000 for document in sent] == pytest.approx([0, 0, 0, 1])


def test_fresh_gives_new_identities() -> None:
    time = Time()
    batch = next(iter(batches(in_order(documents(1), 1), 0, fresh="again", sleep=time.sleep, now=time.now)))
    assert batch[0]["id"] == "0.again"


def test_retry_after_reads_numbers_and_dates() -> None:
    assert retry_after("2.5") == 2.5
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("Wed, 21 Oct 2099 07:28:00 GMT") > 1e6


def test_the_command_sends_a_whole_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from tocsin.cli import replay

    got: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer k"
        lines = request.content.splitlines()
        got.extend(json.loads(line)["type"] for line in lines)
        return accepted(len(lines))

    real = httpx.Client
    monkeypatch.setattr(replay.httpx, "Client", lambda **more: real(**more, transport=httpx.MockTransport(handle)))
    line = '203.0.113.7 - - [22/Dec/2016:16:35:35 +0300] "GET /a HTTP/1.1" 200 12 "-" "curl/8"\n'
    path = tmp_path / "a.log"
    path.write_text(line * 30, encoding="utf-8")
    done = CliRunner().invoke(replay.command, [str(path), "--to", "http://shop", "--key", "k"])
    assert done.exit_code == 0, done.output
    assert got == ["http.request"] * 30
    assert "30 accepted" in done.output
