"""The contract of records: every backend, the same answers."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.core.events import Event
from tocsin.core.incident import Incident, Moment, Phase, Severity
from tocsin.core.records import DeadLetter, ListEntry, Switch
from tocsin.core.signal import Decision, Reason, Text, Verdict
from tocsin.errors import BadEvent, Conflict, Misconfigured
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.records import SqlRecords

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.core.ports import Records

BACKENDS = ("memory", "sql")


def opened(backend: str, folder: Path) -> Records:
    return MemoryRecords() if backend == "memory" else SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")


@pytest.fixture(params=BACKENDS)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    store = opened(request.param, tmp_path)
    yield store
    store.close()


def incident(id: str, **more: Any) -> Incident:
    fields: dict[str, Any] = {
        "shop": "s",
        "kind": "card-testing",
        "title": Text("Card testing", "盗卡测试"),
        "subject": "ip:203.0.113.7",
        "severity": Severity.P2,
        "phase": Phase.OPEN,
        "onset": 1,
        "opened": 2,
        "updated": 3,
    }
    return Incident(id=id, **(fields | more))


def verdict(id: str, **more: Any) -> Verdict:
    fields: dict[str, Any] = {
        "event_id": "e" + id,
        "event_source": "shop",
        "event_type": "order.placed",
        "shop": "s",
        "subject": "account:a",
        "time": 5,
        "tau": 6,
        "computed": Decision.HOLD,
        "served": Decision.ALLOW,
    }
    return Verdict(id=id, **(fields | more))


def test_what_is_read_is_what_was_put(records: Records) -> None:
    one = incident(
        "i",
        entities={"ip": ("203.0.113.7",)},
        timeline=(Moment(time=2**60, what="note", detail={"n": 1, "x": [1.5, None, "é"]}),),
    )
    records.table(Incident).put(one)
    two = verdict("v", score=0.25, reasons=(Reason("r", Text("a", "甲"), value=3.5),), features={"f": None, "g": 1.5})
    records.table(Verdict).put(two)
    assert records.table(Incident).get("i") == one
    assert records.table(Verdict).get("v") == two
    assert records.table(Incident).get("v") is None


def test_what_is_no_record_is_refused(records: Records) -> None:
    with pytest.raises(Misconfigured, match="Event is not a record"):
        records.table(Event)


def test_a_version_may_be_put_only_over_its_predecessor_or_itself(records: Records) -> None:
    table = records.table(Incident)
    table.put(incident("i", version=1))
    table.put(incident("i", version=2, score=0.5))
    table.put(incident("i", version=2, score=0.75))
    for version in (1, 4):
        with pytest.raises(Conflict):
            table.put(incident("i", version=version))
    with pytest.raises(Conflict):
        table.put_many([incident("j"), incident("i", version=9)])
    assert table.get("j") is None
    found = table.get("i")
    assert found is not None
    assert (found.version, found.score) == (2, 0.75)


def test_a_transaction_is_all_or_nothing_and_the_outermost_counts(records: Records) -> None:
    table = records.table(Switch)
    table.put(Switch(id="a", word="before"))
    with pytest.raises(RuntimeError), records.transaction():
        table.put(Switch(id="a", word="after"))
        table.put_many([Switch(id="b"), Switch(id="c")])
        with records.transaction():
            table.drop("a")
        assert table.get("a") is None
        assert table.count() == 2
        raise RuntimeError
    assert table.get("a") == Switch(id="a", word="before")
    assert table.count() == 1
    with records.transaction():
        with pytest.raises(Conflict), records.transaction():
            records.table(Incident).put(incident("i", version=1))
            records.table(Incident).put(incident("i", version=3))
        table.put(Switch(id="d"))
    assert table.get("d") is not None


def test_filters_orders_and_search(records: Records) -> None:
    table = records.table(Incident)
    table.put(incident("a", severity=Severity.P1, opened=10, subject="sku:100%_x", kind="Stock-Out"))
    table.put(incident("b", severity=Severity.P3, opened=30, phase=Phase.RESOLVED))
    table.put(incident("c", severity=Severity.P3, opened=20))
    ids = lambda *args, **named: [one.id for one in table.find(*args, **named)]  # noqa: E731
    assert ids() == ["c", "b", "a"]
    assert ids(order="opened") == ["a", "c", "b"]
    assert ids(order="-opened") == ["b", "c", "a"]
    assert ids({"severity": "P3"}, order="id") == ["b", "c"]
    assert ids({"severity": ["P1", "P3"], "phase": Phase.OPEN}, order="id") == ["a", "c"]
    assert ids({"severity": []}) == []
    assert ids({"opened__gte": 20, "opened__lt": 30}) == ["c"]
    assert ids(search="STOCK") == ["a"]
    assert ids(search="盗卡", order="id") == ["a", "b", "c"]
    assert ids(search="0%_") == ["a"]
    assert ids(search="%") == ["a"]
    assert ids(search="\\") == []
    assert table.count({"severity": "P3"}) == 2
    assert table.count() == 3


def test_what_cannot_be_asked_is_named(records: Records) -> None:
    table = records.table(Incident)
    for asked in ({"title": "x"}, {"opened__gt": 1}, {"nothing": 1}):
        with pytest.raises(BadEvent, match="cannot be asked") as refused:
            table.find(asked)
        assert refused.value.field == next(iter(asked))
    with pytest.raises(BadEvent, match="ordered"):
        table.find(order="title")
    with pytest.raises(BadEvent, match="searched"):
        records.table(Switch).find(search="x")
    with pytest.raises(BadEvent, match="limit"):
        table.find(limit=0)


def test_pages_neither_repeat_nor_skip_while_records_come_and_go(records: Records) -> None:
    table = records.table(Verdict)
    table.put_many([verdict(f"v{n:02}", time=n // 3) for n in range(20)])
    page = table.find(order="-time", limit=7)
    table.put(verdict("new", time=99))
    table.drop(page[-1].id)
    seen = [one.id for one in page]
    while page.next:
        page = table.find(order="-time", limit=7, after=page.next)
        seen += [one.id for one in page]
    assert seen == [f"v{n:02}" for n in range(19, -1, -1)]


FORGED = ('"x"', "null", "1.5", str(2**64), "[]")


def test_a_number_of_more_than_64_bits_is_kept_and_found(records: Records) -> None:
    table = records.table(Verdict)
    table.put(verdict("a", amount=10**20))
    found = table.find({"amount__gte": 10**19, "time__lt": 10**30})
    assert [one.amount for one in found] == [10**20]


def test_a_foreign_or_broken_cursor_is_refused(records: Records) -> None:
    table = records.table(Verdict)
    table.put_many([verdict("a"), verdict("b")])
    after = table.find(order="-time", limit=1).next
    forged = [base64.urlsafe_b64encode(f'["verdicts","-time",{value},"a"]'.encode()).decode() for value in FORGED]
    for broken in ("x", after[:-3], "é", after + "!", *forged):
        with pytest.raises(BadEvent, match="cursor"):
            table.find(order="-time", after=broken)
    with pytest.raises(BadEvent, match="another"):
        table.find(order="time", after=after)
    assert table.find(limit=2).next == ""


def test_threads_that_count_together_lose_nothing(records: Records) -> None:
    table = records.table(Switch)
    table.put(Switch(id="n"))

    def count() -> None:
        for _ in range(10):
            with records.transaction():
                found = table.get("n")
                assert found is not None
                table.put(msgspec.structs.replace(found, number=found.number + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.get("n") == Switch(id="n", number=40)


# Every backend does what memory does

IDS = st.sampled_from(["a", "b", "c", "d", "e", "f"])
TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=4)
LETTERS = st.builds(
    DeadLetter,
    id=IDS,
    received=st.integers(0, 4),
    shop=st.sampled_from(["s", "t"]),
    door=st.just("http"),
    code=st.sampled_from(["malformed", "missing"]),
    field=st.just(""),
    reason=TEXTS,
    document=TEXTS,
)
VERDICTS = st.builds(
    lambda id, time, score, amount: verdict(id, time=time, score=score, amount=amount),
    IDS,
    st.integers(0, 2),
    st.none() | st.sampled_from([0.0, 0.25, 1.0]),
    st.none() | st.integers(-1, 1),
)
INCIDENTS = st.builds(
    lambda id, opened, version, phase, score: incident(id, opened=opened, version=version, phase=phase, score=score),
    IDS,
    st.integers(0, 3),
    st.integers(1, 3),
    st.sampled_from(Phase),
    st.floats(0, 1),
)
RECORDS: st.SearchStrategy[Any] = LETTERS | VERDICTS | INCIDENTS
WHERES: dict[type[Any], st.SearchStrategy[dict[str, Any]]] = {
    DeadLetter: st.fixed_dictionaries(
        {},
        optional={
            "shop": st.sampled_from(["s", "t"]) | st.lists(st.sampled_from(["s", "t"]), max_size=2),
            "received__gte": st.integers(0, 4),
            "id": st.lists(IDS, max_size=3),
        },
    ),
    Verdict: st.fixed_dictionaries(
        {},
        optional={
            "score": st.none() | st.sampled_from([0.25, [None, 1.0]]),
            "score__lt": st.sampled_from([0.25, 1.0]),
            "amount__gte": st.integers(-1, 1),
        },
    ),
    Incident: st.fixed_dictionaries({}, optional={"phase": st.lists(st.sampled_from(Phase), max_size=3)}),
}
ORDERS = {
    DeadLetter: ["id", "-id", "received", "-received", "code"],
    Verdict: ["-time", "score", "-score", "amount", "-amount"],
    Incident: ["-opened", "score", "phase"],
}
STEPS = st.lists(
    st.tuples(st.just("put"), RECORDS)
    | st.tuples(st.just("put_many"), st.lists(LETTERS, max_size=4) | st.lists(INCIDENTS, max_size=3))
    | st.tuples(st.just("drop"), RECORDS)
    | st.tuples(st.just("undone"), RECORDS),
    max_size=12,
)


def result_of(records: Records, step: str, value: Any) -> str:
    """Do one step; return how it ended."""
    try:
        if step == "put_many":
            records.table(type(value[0]) if value else DeadLetter).put_many(value)
        elif step == "drop":
            records.table(type(value)).drop(value.id)
        elif step == "put":
            records.table(type(value)).put(value)
        else:
            with records.transaction():
                records.table(type(value)).put(value)
                raise KeyError
    except (Conflict, KeyError) as error:
        return type(error).__name__
    return ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.data())
def test_sql_answers_as_memory_does_after_any_steps(
    twins: tuple[Records, Records], steps: list[tuple[str, Any]], data: st.DataObject
) -> None:
    memory, sql = twins
    for store in twins:
        for kind in WHERES:
            for one in store.table(kind).find(limit=100):
                store.table(kind).drop(one.id)
    for step, value in steps:
        assert result_of(memory, step, value) == result_of(sql, step, value)
    for kind, wheres in WHERES.items():
        where = data.draw(wheres)
        order = data.draw(st.sampled_from(ORDERS[kind]))
        limit = data.draw(st.integers(1, 4))
        search = data.draw(TEXTS) if kind is DeadLetter else ""
        assert memory.table(kind).count(where) == sql.table(kind).count(where)
        after = ""
        while True:
            ours, theirs = (
                one.table(kind).find(where, order=order, limit=limit, after=after, search=search) for one in twins
            )
            assert ours == theirs
            assert ours.next == theirs.next
            after = ours.next
            if not after:
                break


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Records, Records]]:
    sql = SqlRecords(f"sqlite:///{tmp_path_factory.mktemp('twins') / 'records.sqlite'}")
    yield MemoryRecords(), sql
    sql.close()


def test_a_list_entry_is_found_by_its_value_however_long(records: Records) -> None:
    long = "x" * 2000
    records.table(ListEntry).put(ListEntry(id="l/" + long, name="l", value=long))
    found = records.table(ListEntry).find({"value": long})
    assert [one.value for one in found] == [long]
