"""The benchmark stream: admitted line by line, of the stated mix, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
from benchmarks.stream import MOST_KEYS, Stream

from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.vault import KeyVault
from tocsin.sources.door import Door

NOW = 1_794_355_199_900_000
STEP = 1_000


def test_the_door_admits_every_line_with_its_own_time_and_id(tmp_path) -> None:
    """2,000 lines over the end of a second and of a day: none refused, times and numbers as they were stamped."""
    stream = Stream(3, pool=2_000, live_keys=5_000)
    vault = KeyVault(MemoryRecords(), tmp_path)
    door = Door(vault)
    events = [door.admit(document, now=NOW, live=True, strict=True) for document in stream.events(2_000, NOW, STEP)]
    vault.flush()
    assert [event.time for event in events] == [NOW + i * STEP for i in range(2_000)]
    assert [int(event.id) for event in events] == list(range(2_000))


def test_the_mix_is_the_stated_one() -> None:
    """Of 20,000 lines 45, 25, 12, 10, 5 and 3 in a hundred, give or take 1; orders of 1 to 6; 200 to 450 bytes."""
    stream = Stream(5, pool=20_000, live_keys=1_000)
    body = bytes(stream.take(20_000, NOW))
    events = [msgspec.json.decode(line) for line in body.splitlines()]
    shares = Counter(event["type"] for event in events)
    wanted = {"http.request": 45, "session.viewed": 25, "cart.changed": 12, "payment.attempted": 10, "order.placed": 5}
    for kind, share in wanted.items():
        assert abs(shares[kind] / 200 - share) < 1
    assert abs(sum(count for kind, count in shares.items() if kind not in wanted) / 200 - 3) < 0.5
    assert {len(event["data"]["items"]) for event in events if event["type"] == "order.placed"} == {1, 2, 3, 4, 5, 6}
    assert 200 < len(body) / 20_000 < 450
    escaped = sum(b"\\" in line for line in body.splitlines()) / 20_000
    assert 0.006 < escaped < 0.014


def test_a_stream_is_a_function_of_its_seed_and_not_of_the_cuts() -> None:
    """Two streams of one seed say the same, one by 100 lines, the other by 1,000; another seed says something else."""
    parts, whole = Stream(1, pool=1_000, live_keys=50), Stream(1, pool=1_000, live_keys=50)
    cut = b"".join(bytes(parts.take(100, NOW + i * 100)) for i in range(20))
    assert cut == b"".join(bytes(whole.take(1_000, NOW + i * 1_000)) for i in range(2))
    assert bytes(Stream(2, pool=1_000, live_keys=50).take(1_000, NOW)) != cut[: len(cut) // 2]


def test_keys_follow_the_zipf_law_and_fresh_ones_never_return() -> None:
    """With 1,000 keys the first has 1 / H(1,000; 0.99) of the draws; with ``fresh`` = 0.5 half of all keys are new."""
    drawn = Counter(event["data"]["account"] for event in _people(Stream(7, pool=40_000, live_keys=1_000)))
    expected = 1 / sum(rank**-0.99 for rank in range(1, 1_001))
    assert abs(drawn["u00000000"] / sum(drawn.values()) - expected) < 0.02
    assert len(drawn) > 900
    fresh = _people(Stream(7, pool=20_000, live_keys=1_000, fresh=0.5))
    keys = [int(event["data"]["account"][1:]) for event in fresh]
    new = [key for key in keys if key >= 1_000]
    assert abs(len(new) / len(keys) - 0.5) < 0.03
    assert len(set(new)) == len(new) and max(new) < MOST_KEYS


def test_addresses_differ_as_keys_do() -> None:
    """As many addresses as keys are drawn, all of fifteen characters."""
    stream = Stream(9, pool=20_000, live_keys=300, exponent=0.0)
    found = {event["data"]["ip"] for event in stream.events(20_000, NOW) if "ip" in event["data"]}
    assert len(found) == 300
    assert {len(address) for address in found} == {15}
    assert all(100 <= int(octet) <= 255 for address in found for octet in address.split("."))


def _people(stream: Stream) -> list[dict]:
    events = stream.events(stream.pool, NOW)
    assert np.all(np.diff(stream._starts) > 0)
    return [event for event in events if "account" in event["data"]]
