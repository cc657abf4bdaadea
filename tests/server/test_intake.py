"""The machine doors: what is acknowledged, what is refused, and that one bad line refuses only itself."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tocsin.config import load
from tocsin.core.records import DeadLetter
from tocsin.errors import Retryable
from tocsin.server import intake

from .conftest import Site, eventually, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH = "application/cloudevents-batch+json"
ONE = "application/cloudevents+json"
LINES = "application/x-ndjson"


def post(site: Site, body: bytes | str, kind: str, path: str = "/v1/events", **headers: str) -> httpx.Response:
    with site.machine() as http:
        return http.post(path, content=body, headers={"Content-Type": kind, **headers})


def lines(*events: Any) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in events)


def is_problem(answer: httpx.Response, status: int, code: str, field: str = "") -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"], problem.get("field", "")) == (
        status,
        status,
        code,
        field,
    )
    return problem


@pytest.mark.parametrize("kind", [ONE, "application/json", "application/json; charset=utf-8"])
def test_one_event_is_accepted(site: Site, kind: str) -> None:
    """202 says that it is on disk; the journal has it."""
    event = site.payment()
    answer = post(site, json.dumps(event), kind)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "duplicates": 0, "refused": []})
    assert any(one.id == event["id"] for one in site.tocsin.journal.read(0))


@pytest.mark.parametrize("kind", [BATCH, "application/json"])
def test_a_list_is_accepted(site: Site, kind: str) -> None:
    """Batches come as a JSON list."""
    answer = post(site, json.dumps([site.payment(), site.payment()]), kind)
    assert answer.json()["accepted"] == 2


def test_lines_may_be_blank_and_begin_with_a_mark(site: Site) -> None:
    """NDJSON of any tool: byte order mark, carriage returns, blank lines."""
    body = "\ufeff" + "\r\n".join([json.dumps(site.payment()), "", json.dumps(site.payment()), ""])
    assert post(site, body.encode(), LINES).json()["accepted"] == 2


def test_a_bad_line_refuses_only_itself(site: Site) -> None:
    """The answer names line, id, field and reason of each bad one; the good ones are in."""
    bad = site.payment(amount=12.99)
    answer = post(site, lines(site.payment(), "{not json", bad, site.payment()), LINES)
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 2
    assert [(one["index"], one["id"], one["code"], one["field"]) for one in told["refused"]] == [
        (1, "", "malformed", ""),
        (2, bad["id"], "wrong-type", "data.amount"),
    ]
    assert "minor units" in told["refused"][1]["detail"]


def test_a_known_event_is_acknowledged_and_ignored(site: Site) -> None:
    """Within one request and over requests."""
    event = site.payment()
    assert post(site, lines(event, event), LINES).json() == {"accepted": 1, "duplicates": 1, "refused": []}
    assert post(site, json.dumps(event), ONE).json() == {"accepted": 0, "duplicates": 1, "refused": []}


def test_packed_bodies_are_unpacked(site: Site) -> None:
    """Content-Encoding gzip, in one member."""
    packed = gzip.compress(lines(*(site.payment() for _ in range(100))).encode())
    assert post(site, packed, LINES, **{"Content-Encoding": "gzip"}).json()["accepted"] == 100


def test_a_large_request_is_checked_beside_the_loop(site: Site) -> None:
    """More events than are checked inline give the same answer."""
    answer = post(site, lines(*(site.payment() for _ in range(300)), "nonsense"), LINES)
    assert (answer.json()["accepted"], len(answer.json()["refused"])) == (300, 1)


# Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ("{", ONE, "malformed"),
        ("", "application/json", "malformed"),
        ("[1,", BATCH, "malformed"),
        ("[" * 5000, BATCH, "malformed"),
        ("[" * 5000, ONE, "malformed"),
        ("7", ONE, "malformed"),
        (b"\xff\xfe", ONE, "malformed"),
    ],
)
def test_what_is_not_json_is_refused(site: Site, body: Any, kind: str, code: str) -> None:
    """400, as a problem."""
    is_problem(post(site, body, kind), 400, code)


def test_a_single_bad_event_is_a_problem_with_its_field(site: Site) -> None:
    """The one event of a request is the request."""
    is_problem(post(site, json.dumps(site.payment(ip="nowhere")), ONE), 400, "wrong-type", "data.ip")


@pytest.mark.parametrize(("seconds", "code"), [(-301, "too-old"), (61, "too-far-ahead")])
def test_time_limits(site: Site, seconds: int, code: str) -> None:
    """5 minutes back, 60 seconds ahead of the receiving clock."""
    event = site.payment()
    event["time"] += seconds * 1_000_000
    is_problem(post(site, json.dumps(event), ONE), 400, code, "time")


def test_a_batch_of_bad_events_only_is_a_problem(site: Site) -> None:
    """A sender that looks at the status alone must not take that for success."""
    answer = post(site, lines("x", "y"), LINES)
    problem = is_problem(answer, 400, "all-refused")
    assert [one["index"] for one in problem["refused"]] == [0, 1]


def test_specversion_is_needed_in_cloudevents_types_only(site: Site) -> None:
    """NDJSON may leave it out."""
    bare = {name: value for name, value in site.payment().items() if name != "specversion"}
    assert post(site, json.dumps(bare), LINES).status_code == 202
    is_problem(post(site, json.dumps({**bare, "id": "x"}), ONE), 400, "missing", "specversion")


def test_unknown_content_types_and_encodings(site: Site) -> None:
    """415 names what is spoken."""
    assert "ndjson" in is_problem(post(site, "a,b", "text/csv"), 415, "content-type")["detail"]
    is_problem(post(site, "x", ONE, **{"Content-Encoding": "br"}), 415, "encoding")


def test_broken_gzip(site: Site) -> None:
    """Not gzip, cut off, or followed by something else: 400."""
    packed = gzip.compress(json.dumps(site.payment()).encode())
    for body in (b"plain", packed[:-9], packed + b"tail"):
        is_problem(post(site, body, ONE, **{"Content-Encoding": "gzip"}), 400, "malformed")


def test_too_large(site: Site) -> None:
    """Event and request have their own limits; both are 413, and in a batch the large one refuses only itself."""
    large = json.dumps(site.payment(note="x" * 20_000))
    is_problem(post(site, large, ONE), 413, "oversized")
    told = post(site, lines(large, site.payment()), LINES).json()
    assert (told["accepted"], told["refused"][0]["code"]) == (1, "oversized")
    is_problem(post(site, b"x" * 200_001, LINES), 413, "oversized")


def test_too_large_without_a_length(site: Site) -> None:
    """A stream is cut off where it passes the limit, not read to its end."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 50_000
            yield b"x" * 50_000

    try:
        with site.machine() as http:
            answer = http.post("/v1/events", content=endless(), headers={"Content-Type": LINES})
        is_problem(answer, 413, "oversized")
    except httpx.TransportError:
        # The server hung up while we still sent: as good.
        pass
    assert sent < 50_000_000


def test_a_bomb_is_refused_before_it_unfolds(site: Site) -> None:
    """50 MB of blanks in 50 kB end at the request's limit."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(b" " * 50_000_000) + packer.flush()
    assert len(bomb) < 100_000
    is_problem(post(site, bomb, LINES, **{"Content-Encoding": "gzip"}), 413, "oversized")


def test_keys_and_their_scopes(site: Site) -> None:
    """No key, an unknown one, one without the scope, a revoked one."""
    event = json.dumps(site.payment())
    for key, status, code in (("", 401, "no-key"), ("tcs_x", 401, "unknown-key"), (site.key("read"), 403, "scope")):
        with site.client(key) as http:
            is_problem(http.post("/v1/events", content=event, headers={"Content-Type": ONE}), status, code)
    token, row = site.web.accounts.make_key("old", ["events"], shop="shop", who="test")
    with site.client(token) as http:
        assert http.post("/v1/events", content=event, headers={"Content-Type": ONE}).status_code == 202
        site.web.accounts.revoke(row.id, who="test")
        is_problem(http.post("/v1/events", content=event, headers={"Content-Type": ONE}), 401, "unknown-key")


def test_a_door_takes_post_only(site: Site) -> None:
    """405 names the method."""
    with site.machine() as http:
        answer = http.get("/v1/events")
    is_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def test_events_of_another_shop_are_refused(site: Site) -> None:
    """A key belongs to one shop."""
    is_problem(post(site, json.dumps({**site.payment(), "shop": "other"}), ONE), 400, "out-of-range", "shop")


# Dead letters ---------------------------------------------------------------------------------------------------


def test_the_box_is_capped(site: Site) -> None:
    """Of 80 refused events the last 50 are kept."""
    post(site, lines(*(f"bad {number}" for number in range(80))), LINES)
    eventually(lambda: site.tocsin.records.table(DeadLetter).count() == 50)


# Overload and a disk that refuses -------------------------------------------------------------------------------


class Slow:
    """A journal that takes nothing until it may go on."""

    def __init__(self, inner: Any, go_on: threading.Event) -> None:
        self._inner = inner
        self._go_on = go_on
        self.reached = False

    def extend(self, parts: list[Any]) -> None:
        self.reached = True
        self._go_on.wait(10)
        self._inner.extend(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Sick:
    """A journal whose disk refuses while ``sick``."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.sick = False

    def extend(self, parts: list[Any]) -> None:
        if self.sick:
            raise Retryable("no space left on the device")
        self._inner.extend(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_full_disk_stops_events_not_verdicts(site: Site) -> None:
    """503 with Retry-After, nothing accepted; a verdict is the configured answer, and says that it is."""
    host = site.tocsin.host
    healthy, host.journal = host.journal, Sick(host.journal)
    host.journal.sick = True
    try:
        event = json.dumps(site.payment())
        answer = post(site, event, ONE)
        is_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        verdict = post(site, json.dumps(site.payment(amount=500_000)), ONE, "/v1/verdicts")
        assert verdict.status_code == 200
        assert (verdict.json()["decision"], verdict.json()["degraded"]) == ("allow", "journal unavailable")
        with site.client() as http:
            assert http.get("/healthz").status_code == 200
            assert http.get("/readyz").status_code == 503
    finally:
        host.journal = healthy
    eventually(lambda: not host.refusing)
    # It had been folded when the disk refused it, and was written as soon as the disk took it.
    assert post(site, event, ONE).json()["duplicates"] == 1
    with site.client() as http:
        assert http.get("/readyz").status_code == 200


def test_a_full_queue_is_429(tmp_path: Path) -> None:
    """Nothing of the request is accepted, and the answer says when to come again; then there is room again."""
    values = {"data_dir": str(tmp_path), "shop": "shop", "queue_events": 5}
    with serving(load(values, {}), memory=True) as one:
        host = one.tocsin.host
        go_on = threading.Event()
        host.journal = Slow(host.journal, go_on)
        with ThreadPoolExecutor(2) as pool:
            # The disk stands still: as many as may wait for it are folded, as many again wait for the fold.
            first = pool.submit(post, one, lines(*(one.payment() for _ in range(5))), LINES)
            eventually(lambda: host.journal.reached)
            second = pool.submit(post, one, lines(*(one.payment() for _ in range(5))), LINES)
            eventually(lambda: host.queued == 5)
            answer = post(one, lines(one.payment(), one.payment()), LINES)
            is_problem(answer, 429, "overloaded")
            assert answer.headers["retry-after"] == "1"
            go_on.set()
            assert first.result().json()["accepted"] + second.result().json()["accepted"] == 10
        assert post(one, lines(one.payment(), one.payment()), LINES).json()["accepted"] == 2


# Verdicts -------------------------------------------------------------------------------------------------------


def ask(site: Site, event: dict[str, Any]) -> httpx.Response:
    return post(site, json.dumps(event), ONE, "/v1/verdicts")


def test_a_verdict_says_decision_reasons_and_expiry(site: Site) -> None:
    """A large payment is held by the rule, with its code and a text in both languages."""
    event = site.payment(amount=100_000)
    told = ask(site, event).json()
    assert (told["decision"], told["computed"], told["event"]) == ("hold", "hold", event["id"])
    assert (told["late"], told["degraded"], told["replayed"]) == (False, "", False)
    assert told["reasons"][0]["code"] == "large"
    assert told["reasons"][0]["text"] == {"en": "A large payment", "zh": "大额付款"}
    assert told["expires"] > event["time"]
    assert ask(site, site.payment()).json()["decision"] == "allow"


def test_a_repeated_request_gets_the_recorded_verdict(site: Site) -> None:
    """Same id, marked as replayed."""
    event = site.payment(amount=100_000)
    first, second = ask(site, event).json(), ask(site, event).json()
    assert (second["id"], second["decision"], second["replayed"]) == (first["id"], "hold", True)


def test_a_verdict_can_be_asked_for_again_and_knows_how_it_ended(site: Site) -> None:
    """GET gives the record; verdict.resolved completes it."""
    told = ask(site, site.payment(amount=100_000)).json()
    ended = {
        **site.payment(),
        "type": "verdict.resolved",
        "data": {"verdict": told["id"], "outcome": "released", "by": "shop"},
    }
    assert post(site, json.dumps(ended), ONE).status_code == 202
    with site.machine() as http:
        found = eventually(
            lambda: (one := http.get(f"/v1/verdicts/{told['id']}").json())["outcome"] == "released" and one
        )
        assert found["served"] == "hold"
        is_problem(http.get("/v1/verdicts/nothing"), 404, "not-found")


def test_a_bad_event_gets_no_verdict(site: Site) -> None:
    """The same refusals as at the other door; and a verdict is about one event."""
    is_problem(ask(site, site.payment(amount="much")), 400, "wrong-type", "data.amount")
    is_problem(post(site, lines(site.payment(), site.payment()), LINES, "/v1/verdicts"), 400, "malformed")


@pytest.fixture
def taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the door says of each request that it might answer without a task; the key is known to it."""
    said: list[bool] = []
    take = site.web.intake.take

    def listened(*given: Any) -> bool:
        said.append(take(*given))
        return said[-1]

    at_once(site, site.payment())
    monkeypatch.setattr(site.web.intake, "take", listened)
    return said


USUAL, UNUSUAL = "application/json", "application/json; charset=utf-8"


def at_once(
    site: Site, event: Any, kind: str = USUAL, key: str | None = None, more: str = ""
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Ask for a verdict with head and body in one piece; return status, headers and document of the answer."""
    host, port = site.url.removeprefix("http://").split(":")
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    head = (
        f"POST /v1/verdicts HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        f"authorization: Bearer {site.key() if key is None else key}\r\n{more}\r\n"
    )
    with socket.create_connection((host, int(port)), 20) as line:
        line.sendall(head.encode() + body)
        answer = HTTPResponse(line)
        answer.begin()
        headers = {name: value for name, value in answer.getheaders() if name not in ("date", "content-length")}
        document = {} if answer.status == 500 else json.loads(answer.read())
        return answer.status, headers, document


@pytest.mark.parametrize(
    ("values", "takes"),
    [
        ({"amount": 100_000}, True),
        ({"amount": 5}, True),
        ({"amount": "much"}, True),
        ({"ip": "nowhere"}, True),
        ({"note": "x" * 20_000}, False),
    ],
)
def test_with_and_without_a_task_a_caller_hears_the_same(
    site: Site, taken: list[bool], values: dict[str, Any], takes: bool
) -> None:
    """Verdicts and refusals, counted and kept alike: status, headers and document."""

    def heard(kind: str) -> Any:
        counted = sum(site.web.measures.refused_by_code().values())
        status, headers, document = at_once(site, site.payment(**values), kind)
        told = {name: value for name, value in document.items() if name not in ("id", "event", "expires")}
        return status, headers, told, sum(site.web.measures.refused_by_code().values()) - counted

    assert heard(USUAL) == heard(UNUSUAL)
    assert taken == [takes, False]


def test_who_asks_again_hears_so_with_and_without_a_task(site: Site, taken: list[bool]) -> None:
    """The recorded verdict, marked as replayed."""
    event = site.payment(amount=100_000)
    first, second, third = (at_once(site, event, kind)[2] for kind in (USUAL, USUAL, UNUSUAL))
    assert {**first, "replayed": True} == second == third
    assert taken == [True, True, False]


def test_what_is_unusual_has_a_task(site: Site, taken: list[bool]) -> None:
    """A body that is packed, not one object, or nothing; a key without the scope, and one that is not known."""
    event = json.dumps(site.payment()).encode()
    assert at_once(site, gzip.compress(event), more="content-encoding: gzip\r\n")[0] == 200
    assert at_once(site, b"7")[2]["code"] == "malformed"
    assert at_once(site, b"")[2]["code"] == "malformed"
    for key, status in ((site.key("events"), 403), ("tcs_x", 401), ("", 401)):
        assert [at_once(site, event, key=key)[0] for _ in range(2)] == [status, status]
    assert len(taken) == 9
    assert not any(taken)


def test_a_door_that_is_full_says_so(site: Site, taken: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """429 with Retry-After; who has been answered, or refused, is not counted."""
    monkeypatch.setattr(intake, "MOST_WAITING", 1)
    for _ in range(3):
        assert at_once(site, site.payment())[0] == 200
        assert at_once(site, site.payment(amount="much"))[0] == 400
    assert all(taken)
    monkeypatch.setattr(intake, "MOST_WAITING", 0)
    status, headers, document = at_once(site, site.payment())
    assert (status, headers["retry-after"], document["code"]) == (429, "1", "overloaded")


def test_what_cannot_be_read_just_now_is_a_503_with_retry_after(
    site: Site, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it was accepted: the caller may ask again."""

    def admit(*_: Any, **__: Any) -> None:
        raise Retryable("no new key can be stored", after_s=7.0)

    for kind in (USUAL, UNUSUAL):
        with monkeypatch.context() as broken:
            broken.setattr(site.tocsin.host.asks._door, "admit", admit)  # type: ignore[union-attr]
            status, headers, document = at_once(site, event := site.payment(), kind)
        assert (status, headers["retry-after"], document["detail"]) == (503, "7", "no new key can be stored")
        assert at_once(site, event, kind)[2]["replayed"] is False
    assert taken == [True, True, False, False]


def test_a_fault_of_the_house_is_a_500_and_no_silence(
    site: Site, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one caller; the next one is answered."""
    with monkeypatch.context() as broken:
        broken.setattr(intake, "answer_of", lambda *_: 1 / 0)
        assert at_once(site, site.payment())[0] == 500
    assert at_once(site, site.payment())[0] == 200
    assert taken == [True, True]


def test_a_missed_deadline_is_answered_and_recorded_as_served(tmp_path: Path) -> None:
    """The caller hears the fall-back at once; the record says late and what was computed."""
    values = {"data_dir": str(tmp_path), "shop": "shop", "verdict_mode": "live", "verdict_fallback": "hold"}
    with serving(load({**values, "verdict_deadline_ms": 30}, {}), memory=True) as one:
        fold = one.tocsin.fold
        step = fold._slice

        def slow(*arguments: Any, **more: Any) -> Any:
            time.sleep(0.3)
            return step(*arguments, **more)

        fold._slice = slow
        # The first one's key is not known yet: it has a task, the other one has not.
        for told in (at_once(one, one.payment())[2], at_once(one, one.payment())[2]):
            assert (told["decision"], told["late"]) == ("hold", True)
        fold._slice = step
        record = eventually(lambda: one.tocsin.follower.verdict(told["id"]))
        assert (record.late, record.computed.value, record.served.value) == (True, "allow", "hold")
