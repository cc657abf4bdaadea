"""The scanner's parts: chunks that are filled, thinned out and cleared, and rows of lines that are rows of events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.events import Event
from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import Misconfigured
from tocsin.flow.hashing import Hasher, siphash
from tocsin.flow.names import Names
from tocsin.flow.wide.lines import Chunk, LineRows
from tocsin.flow.wide.rows import Rows
from tocsin.flow.wide.scan import Check, Rule, Rules, Scanner, Scope
from tocsin.flow.wide.scan_tables import Tables
from tocsin.flow.wide.scan_trusted import Replayer, unchecked
from tocsin.flow.wide.scan_warm import warm

NAMES, HASHER = Names(), Hasher()
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(max_size=12),
    st.none(),
    st.lists(st.integers(0, 3), max_size=2),
)
ITEMS = st.lists(st.dictionaries(st.sampled_from(["sku", "quantity", "price", "name", "odd"]), SCALARS), max_size=3)
FIELDS = ["amount", "account", "currency", "status", "value", "path", "strange"]
EVENTS = st.builds(
    Event,
    id=st.text(min_size=1, max_size=5),
    source=st.sampled_from(["web", "till", "ü"]),
    type=st.sampled_from(["http.request", "order.placed", "parcel.weighed"]),
    time=st.integers(0, 2**53),
    data=st.one_of(
        st.dictionaries(st.sampled_from(FIELDS), SCALARS), st.fixed_dictionaries({"items": ITEMS, "order": st.text()})
    ),
    subject=st.sampled_from(["", "ip:1.2.3.4"]),
    shop=st.sampled_from(["default", "laden"]),
    seq=st.integers(0, 9),
    tau=st.integers(0, 2**53),
)


def compare(rows: Any, plain: Any, names: list[str]) -> None:
    assert rows.n == plain.n
    for name in names:
        for column in ("keys", "identities", "text_hashes"):
            (values, present), (wanted, there) = getattr(rows, column)(name), getattr(plain, column)(name)
            assert (present == there).all()
            assert (values[there] == wanted[there]).all()


def filled(events: list[Event]) -> Chunk:
    chunk = Chunk(NAMES, HASHER, capacity=max(1, len(events)))
    for event in events:
        chunk.append(event)
    return chunk


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=12), st.data())
def test_rows_of_lines_are_rows_of_events(events: list[Event], data: st.DataObject) -> None:
    """Whatever rows are picked, columns, events, items and lines are those of the events."""
    rows, plain = LineRows(filled(events)), Rows(events, NAMES, HASHER)
    picked = np.array(sorted(data.draw(st.sets(st.integers(0, len(events) - 1)))) if events else [], np.int64)
    for one, other in ((rows, plain), (rows.pick(picked), plain.pick(picked))):
        assert list(one.events) == list(other.events)
        compare(one, other, FIELDS)
        compare(one.items, other.items, ["sku", "quantity", "odd"] if other.items.n else [])
        assert (one.items.row == other.items.row).all()
        assert (one.currencies("CNY") == other.currencies("CNY")).all()
        assert (one.of_type("order.placed") == other.of_type("order.placed")).all()
        assert (one.taus == other.taus).all()
        for name in FIELDS:
            assert list(one.texts(name)) == list(other.texts(name))
            np.testing.assert_array_equal(one.column(name).values, other.column(name).values)
        read = [msgspec.json.decode(line, type=Event) for line in one.lines().split(b"\n") if line]
        assert read == list(other.events)
    assert [event.id for event in rows.events[1:3]] == [event.id for event in events[1:3]]
    keep = np.zeros(len(events), bool)
    keep[picked] = True
    assert rows.lines_of(keep) == rows.pick(picked).lines()


@settings(max_examples=100)
@given(st.lists(EVENTS, min_size=1, max_size=12), st.data())
def test_rows_taken_out_leave_the_others_as_they_were(events: list[Event], data: st.DataObject) -> None:
    """Refused lines leave no hole: what is behind moves up, with its items."""
    bare = [event if "items" not in event.data else msgspec.structs.replace(event, data={}) for event in events]
    gone = sorted(data.draw(st.sets(st.integers(0, len(events) - 1), min_size=1)))
    chunk = filled([bare[row] if row in gone else event for row, event in enumerate(events)])
    chunk.drop(gone)
    left = [event for row, event in enumerate(events) if row not in gone]
    rows, plain = LineRows(chunk), Rows(left, NAMES, HASHER)
    assert list(rows.events) == left
    compare(rows, plain, FIELDS)
    compare(rows.items, plain.items, ["sku"] if plain.items.n else [])
    assert not chunk.tags[:, chunk.n :].any()


@settings(max_examples=100)
@given(st.lists(EVENTS, max_size=12))
def test_lines_of_the_journal_come_back_as_they_were(events: list[Event]) -> None:
    """Written by a chunk or by the plain encoder, lines are read back to the same rows."""
    bare = [msgspec.structs.replace(event, seq=0, tau=0) for event in events]
    for lines in (LineRows(filled(bare)).lines(), b"\n".join(map(msgspec.json.encode, bare))):
        chunk = Chunk(NAMES, HASHER, capacity=16)
        assert Replayer(NAMES, HASHER).read(lines, chunk) == -1
        assert list(LineRows(chunk).events) == bare
        compare(LineRows(chunk), Rows(bare, NAMES, HASHER), FIELDS)
        assert [int(one) for one in chunk.identity[: chunk.n]] == [
            siphash(HASHER.seed, f"{event.source}\x1f{event.id}".encode()) for event in bare
        ]


def test_a_block_goes_on_in_the_next_chunk() -> None:
    """Five lines and room for two rows: three chunks."""
    events = [Event(id=str(number), source="s", type="http.request", time=number) for number in range(5)]
    block, at, found = LineRows(filled(events)).lines(), 0, []
    chunk, replayer = Chunk(NAMES, HASHER, capacity=2), Replayer(NAMES, HASHER)
    while at >= 0:
        chunk.clear()
        at = replayer.read(block, chunk, at)
        found += list(LineRows(chunk).events)
    assert found == events


def test_rows_of_a_cleared_chunk_are_refused() -> None:
    """Nobody reads the next body's rows through a batch of the last one."""
    chunk = filled([Event(id="1", source="s", type="http.request", time=1, data={"status": 200})])
    rows = LineRows(chunk)
    chunk.clear()
    with pytest.raises(RuntimeError, match="cleared"):
        rows.column("status")
    with pytest.raises(RuntimeError, match="cleared"):
        rows.events[0]
    chunk.append(Event(id="2", source="s", type="http.request", time=1))
    with pytest.raises(ValueError, match="full"):
        chunk.append(Event(id="3", source="s", type="http.request", time=1))


def test_a_chunk_grows_with_its_lines() -> None:
    """Text and items have no fixed room."""
    items = [{"sku": str(number), "quantity": number} for number in range(5000)]
    event = Event(id="1", source="s", type="order.placed", time=1, data={"order": "x" * 500_000, "items": items})
    rows = LineRows(filled([event]))
    assert rows.events[0] == event
    assert rows.items.n == 5000
    assert rows.items.fixed("quantity", 0)[0].sum() == 5000 * 4999 // 2


def test_every_type_and_field_of_the_vocabulary_is_in_the_tables() -> None:
    """The kernel is made from the vocabulary; what it cannot hold is said at once."""
    rules = unchecked()
    tables = Tables(NAMES, rules)
    assert tables.plan.shape[1] == len(NAMES.fields) + 1
    assert {name for kind in VOCABULARY.values() for name in (field.name for field in kind.fields)} <= {
        *NAMES.fields,
        "items",
    }
    with pytest.raises(Misconfigured, match="at most 7"):
        Tables(NAMES, msgspec.structs.replace(rules, personal=tuple("abcdefgh")))


def test_memory_of_keys_grows_and_starts_anew() -> None:
    """Keys are told once, also after the set has grown; once all is forgotten they are told again."""
    fields = {name: {"account": Rule(Check.PERSONAL)} for name in VOCABULARY}
    rules = Rules(
        fields=fields, required=dict.fromkeys(fields, ()), masked=frozenset(), personal=("account",), subjects={}
    )
    scanner = Scanner(NAMES, HASHER, rules)
    scope = Scope("shop", 1, {"account": bytes(32)}, frozenset({"account"}))
    chunk = Chunk(NAMES, HASHER)

    def told(first: int, last: int) -> list[str]:
        lines = [
            json.dumps({"id": "1", "source": "s", "type": "account.login", "time": 1, "data": {"account": f"a{key}"}})
            for key in range(first, last)
        ]
        chunk.clear()
        body, at, found = "\n".join(lines).encode(), 0, []
        while at >= 0:
            scanned = scanner.scan(body, at, chunk, scope, now=1, live=False, longest=1000)
            found += [key for _, key in scanned.reports]
            at = scanned.rest
        assert not len(scanned.slow)
        return found

    for first in range(0, 48_000, 8_000):
        assert told(first, first + 8_000) == [f"a{number}" for number in range(first, first + 8_000)]
        assert told(first, first + 8_000) == []
    assert told(0, 8_000) == []
    scanner.forget()
    assert len(told(0, 8_000)) == 8_000


def test_kernels_can_be_made_ahead() -> None:
    """Warming compiles without a door."""
    warm()
