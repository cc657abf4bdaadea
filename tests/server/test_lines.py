"""NDJSON on the hot path: packed bodies, bodies of several chunks, and callers who are answered beside them."""

from __future__ import annotations

import gzip
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from tocsin.config import load
from tocsin.errors import Retryable
from tocsin.ledger import identities

from .conftest import Site, eventually, serving
from .test_intake import LINES, ONE, Sick, ask, is_problem, lines, post

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

MOST = 8_000_000


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    values = {"shop": "shop", "data_dir": str(tmp_path_factory.mktemp("lines")), "max_request_bytes": MOST}
    values |= {"verdict_mode": "live", "verdict_deadline_ms": 5000}
    with serving(load(values, {}), memory=True) as found:
        yield found


def packed(site: Site, body: bytes, kind: str = LINES, path: str = "/v1/events") -> httpx.Response:
    return post(site, body, kind, path, **{"Content-Encoding": "zstd"})


def streamed(body: bytes) -> bytes:
    """Pack without the length in the frame's head, as who streams does."""
    packer = zstandard.ZstdCompressor(level=3, write_content_size=False).compressobj()
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("pack", [zstandard.compress, streamed])
def test_zstd_is_unpacked(wide: Site, pack: Any) -> None:
    """One frame, with or without its length in the head, for lines and for a single event."""
    body = lines(*(wide.payment() for _ in range(100))).encode()
    assert packed(wide, pack(body)).json()["accepted"] == 100
    one = json.dumps(wide.payment()).encode()
    assert packed(wide, pack(one), ONE).json()["accepted"] == 1
    assert packed(wide, pack(one), ONE, "/v1/verdicts").json()["replayed"] is True


def test_frames_and_members_after_one_another_are_one_body(wide: Site) -> None:
    """What was packed piece by piece counts in full; with garbage behind it nothing of it is accepted."""
    pieces = [(lines(*(wide.payment() for _ in range(10))) + "\n").encode() for _ in range(3)]
    for coding, pack in (("zstd", zstandard.compress), ("gzip", gzip.compress)):
        body = b"".join(pack(piece) for piece in pieces)
        told = post(wide, body, LINES, **{"Content-Encoding": coding}).json()
        assert told["accepted"] + told["duplicates"] == 30
        answer = post(wide, pack(lines(wide.payment()).encode()) + b"garbage", LINES, **{"Content-Encoding": coding})
        assert "what follows a" in is_problem(answer, 400, "malformed")["detail"]


@pytest.mark.parametrize("pack", [zstandard.compress, streamed])
def test_broken_zstd(wide: Site, pack: Any) -> None:
    """Not zstd, or cut off anywhere: 400, and nothing of it is accepted."""
    event = wide.payment()
    body = pack(lines(event, *(wide.payment() for _ in range(50))).encode())
    for broken in (b"plain text", body[:-1], body[: len(body) // 2], body[:7]):
        is_problem(packed(wide, broken), 400, "malformed")
    assert post(wide, json.dumps(event), ONE).json()["accepted"] == 1


@pytest.mark.parametrize("pack", [zstandard.compress, streamed])
def test_a_zstd_bomb_is_refused_before_it_unfolds(wide: Site, pack: Any) -> None:
    """200 MB of blanks in some kB end at the request's limit."""
    bomb = pack(b" " * 200_000_000)
    assert len(bomb) < 100_000
    is_problem(packed(wide, bomb), 413, "oversized")


def test_a_zstd_window_is_bounded(wide: Site) -> None:
    """A frame that asks for more memory than any usual level needs is refused: 400."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = packer.compress(lines(wide.payment()).encode()) + packer.flush()
    is_problem(packed(wide, frame), 400, "malformed")


def test_a_body_of_several_chunks(wide: Site) -> None:
    """20,000 lines: refused ones keep their number in the body, duplicates are found across chunks, all else is in."""
    events: list[Any] = [wide.payment() for _ in range(20_000)]
    known = [3, 8_191, 8_192, 16_384]
    for place in known:
        events[19_000 + known.index(place)] = events[place]
    for place, bad in ((0, "{"), (8_193, "[]"), (19_999, '{"id":1}')):
        events[place] = bad
    answer = post(wide, lines(*events), LINES)
    told = answer.json()
    assert answer.status_code == 202
    assert [one["index"] for one in told["refused"]] == [0, 8_193, 19_999]
    assert (told["accepted"], told["duplicates"]) == (20_000 - 3 - len(known), len(known))


def test_the_same_body_twice_is_all_duplicates(wide: Site) -> None:
    """A sender who heard nothing sends again; nothing counts twice."""
    body = lines(*(wide.payment() for _ in range(1_000)))
    assert post(wide, body, LINES).json()["accepted"] == 1_000
    assert post(wide, body, LINES).json() == {"accepted": 0, "duplicates": 1_000, "refused": []}


def test_a_disk_that_refuses_lines(wide: Site) -> None:
    """503 with Retry-After; what had been folded is written when the disk is back and is then a duplicate."""
    host = wide.tocsin.host
    healthy, host.journal = host.journal, Sick(host.journal)
    host.journal.sick = True
    body = lines(*(wide.payment() for _ in range(700)))
    try:
        answer = post(wide, body, LINES)
        is_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        is_problem(post(wide, lines(wide.payment()), LINES), 503, "unavailable")
    finally:
        host.journal = healthy
    eventually(lambda: not host.refusing)
    told = post(wide, body, LINES).json()
    assert told["accepted"] + told["duplicates"] == 700


def test_callers_are_answered_while_lines_come_in(wide: Site) -> None:
    """Lines from two connections without a pause, and every question has its answer, none of them late."""
    ended = threading.Event()
    failed: list[str] = []
    sent = [0, 0]

    def send(place: int) -> None:
        base = wide.payment()
        while not ended.is_set():
            sent[place] += 1
            body = lines(*({**base, "id": f"b{place}-{sent[place]}-{n}"} for n in range(500)))
            answer = post(wide, body, LINES)
            if answer.status_code not in (202, 429):
                failed.append(answer.text)

    senders = [threading.Thread(target=send, args=(place,)) for place in (0, 1)]
    for sender in senders:
        sender.start()
    try:
        eventually(lambda: all(sent))
        told = [ask(wide, wide.payment(amount=100_000 if n % 2 else 10)).json() for n in range(40)]
    finally:
        ended.set()
        for sender in senders:
            sender.join(30)
    assert not failed
    assert [one["decision"] for one in told] == ["allow", "hold"] * 20
    assert not any(one["late"] or one["degraded"] for one in told)


def test_a_refused_commit_reaches_every_body_that_it_was_for(wide: Site) -> None:
    """Two bodies in one commit that the disk refuses: both hear of it, neither hangs."""
    lane = wide.tocsin.host.wide
    if lane is None:
        pytest.skip("the plane is not compiled here")
    host = wide.tocsin.host
    healthy, host.journal = host.journal, Sick(host.journal)
    host.journal.sick = True
    try:
        futures = [lane.submit(lines(wide.payment(), wide.payment()).encode(), "shop") for _ in range(2)]
        for future in futures:
            with pytest.raises(Retryable):
                future.result(10)
    finally:
        host.journal = healthy
    eventually(lambda: not host.refusing)


def test_lines_wait_where_the_keys_behind_pseudonyms_have_no_room(wide: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 with the reason; the same body is accepted whole as soon as there is room."""
    if not wide.tocsin.fold.engine.wide:
        pytest.skip("the plain plane seals each key before its event")
    body = lines(*(wide.payment() for _ in range(20)))
    monkeypatch.setattr(identities, "MOST_WAITING", 0)
    answer = post(wide, body, LINES)
    problem = is_problem(answer, 429, "overloaded")
    assert "identities behind pseudonyms" in problem["detail"] and answer.headers["retry-after"] == "5"
    monkeypatch.undo()
    assert post(wide, body, LINES).json()["accepted"] == 20
