"""The expression language: what it means, and errors that point at their column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.events import SECOND, Event
from tocsin.flow.batch import FeatureTable, PlainBatch
from tocsin.flow.cel import FILTER, INCIDENT, RULE, CelError, compile_expression
from tocsin.flow.lists import Lists

from .cel_random import FEATURES, Maker

PAYMENT = RULE.narrow(("payment.attempted",), ("card_n1h",))


def value(text: str, result: str = "", **env: Any) -> Any:
    found = compile_expression(text, RULE, result=result).one(env)
    return found.error or found.value


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("data.amuont > 5", 1, 6, "did you mean 'amount'"),
        ("has(data.card) &&\n  features.card_n2h > 5.0", 2, 12, "did you mean 'card_n1h'"),
        ("data.amount + 1.5 > 2.0", 1, 13, "int and double do not mix"),
        ("data.amount", 1, 1, "must be bool, it is int"),
        ("data.status.matches('(')", 1, 21, "not an RE2 pattern"),
        ("data.amount > ", 1, 15, "expected a value"),
        ("data.amount > 5 5", 1, 17, "unexpected '5'"),
        ("amount > 5", 1, 1, "unknown name 'amount'"),
        ("data.status > 5", 1, 13, "no such overload: string > int"),
        ("event.tpye == 'x'", 1, 7, "did you mean 'type'"),
        ("size(data.amount) > 1", 1, 1, "no such overload: size(int)"),
        ("sice(data.card) > 1", 1, 1, "did you mean 'size'"),
        ("true ? 1 : 'a'", 1, 6, "must be of one type"),
        ("data.amount > 9223372036854775808", 1, 15, "64 bits"),
        ("data.amount > 5u", 1, 15, "unsigned"),
        ("data.amount > 5 # x", 1, 17, "unexpected character '#'"),
        ("", 1, 1, "empty"),
        ("(" * 60 + "true" + ")" * 60, 1, 49, "too deeply"),
        ("1" + "+1" * 400 + " > 0", 1, None, "too many operators"),
        ("data == 1", 1, 1, "name one of its fields"),
        ("in_list('x', true)", 1, 1, "no such overload"),
    ],
)
def test_an_error_points_at_its_column(text: str, line: int, column: int | None, says: str) -> None:
    """What is refused when it is saved says where and why, in one sentence with the place marked."""
    with pytest.raises(CelError) as caught:
        compile_expression(text, PAYMENT)
    error = caught.value
    assert says in str(error)
    assert (error.line, error.column) == (line, column or error.column)
    assert str(error).split("\n")[-1].index("^") == error.column + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-5 / 2", -2),
        ("-5 % 2", -1),
        ("1 / 0", "division"),
        ("1.0 / 0.0", float("inf")),
        ("9223372036854775807 + 1", "overflow"),
        ("-(-9223372036854775807 - 1)", "overflow"),
        ("data.amount > 1", "missing"),
        ("data.amount > 1 || true", True),
        ("data.amount > 1 && false", False),
        ("data.amount > 1 && true", "missing"),
        ("1 / 0 > 1 ? true : false", "division"),
        ("has(data.amount)", False),
        ("1 == 1.0 && 2 < 2.5", True),
        ("size('中文')", 2),
        ("'card' in ['ip', 'card']", True),
        ("string(2.50)", "2.5"),
        ("int('x')", "conversion"),
        ("int(2.9) + int('-2')", 0),
        ("'a\\u4e2d\\n' == \"a中\\n\"", True),
        ("r'\\d' == '\\\\d'", True),
        ("[1, 2][1] + [3][0]", 5),
        ("[1][2]", "index"),
        ("0x1F", 31),
        ("'aXb'.matches('a.b') && !'b'.startsWith('a')", True),
        ("score > 0.5", "missing"),
        ("true || 1 / 0 > 0", True),
    ],
)
def test_values_by_hand(text: str, expected: Any) -> None:
    """The meaning of the CEL specification: errors are absorbed by && and ||, integers never wrap."""
    assert value(text) == expected


def test_a_feature_is_a_double_and_missing_when_nan() -> None:
    """A warming or empty window is missing, never 0."""
    assert value("features.n > 3", features={"n": 4.0}) is True
    assert value("features.n > 3", features={"n": float("nan")}) == "missing"


def test_filters_see_items_and_incidents_see_anything() -> None:
    """An order item has its types; in a dynamic incident a wrong type is an error when it runs."""
    assert compile_expression("item.quantity > 2 && data.amount > 5", FILTER).one(
        {"item": {"quantity": 3}, "data": {"amount": 6}}
    )
    incident = {"incident": {"severity": "P1", "evidence": {"n": 12, "share": 0.5}, "entities": {"ip": ["10.0.0.7"]}}}
    for text in (
        "incident.severity in ['P1', 'P2'] && incident.evidence.n > 10",
        "incident.evidence.share >= 0.5 && '10.0.0.7' in incident.entities.ip",
        "has(incident.evidence.n) && !has(incident.evidence.m)",
        "incident.entities['ip'].size() == 1",
    ):
        assert compile_expression(text, INCIDENT).one(incident), text
    assert compile_expression("incident.severity > 5", INCIDENT).one(incident).error == "overload"
    assert compile_expression("incident.nothing > 5", INCIDENT).one(incident).error == "missing"


def test_lists_expire_and_hold_networks() -> None:
    """A value is on a list until its expiry; networks of both families are found, IPv4 inside IPv6 too."""
    lists = Lists()
    lists.add("bad", "c1", expires=10 * SECOND)
    lists.add("bad", "42")
    for network in ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32"):
        lists.add("nets", network)
    listed = compile_expression("in_list('bad', data.card)", RULE)
    assert listed.one({"data": {"card": "c1"}}, lists, tau=10 * SECOND - 1)
    assert not listed.one({"data": {"card": "c1"}}, lists, tau=10 * SECOND)
    assert compile_expression("in_list('bad', 42)", RULE).one({}, lists)
    covered = compile_expression("in_cidr('nets', data.ip)", RULE)
    found = [
        bool(covered.one({"data": {"ip": ip}}, lists))
        for ip in ("10.9.9.9", "192.0.2.7", "192.0.2.8", "2001:db8::1", "::ffff:10.0.0.1")
    ]
    assert found == [True, True, False, True, True]
    assert covered.one({"data": {"ip": "no address"}}, lists).error == "conversion"
    lists.remove("nets", "10.0.0.0/8")
    assert not covered.one({"data": {"ip": "10.9.9.9"}}, lists)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_rows_and_single_values_are_the_same(seed: int) -> None:
    """Columns, few rows and one environment: the same values, the same causes of error."""
    maker = Maker(seed)
    envs = [maker.row() for _ in range(16)]
    events = [Event(id=str(i), source="t", type="x", time=0, data=env["data"]) for i, env in enumerate(envs)]
    columns = {name: np.array([env["features"].get(name, np.nan) for env in envs]) for name in FEATURES}
    scores = np.array([env.get("score", np.nan) for env in envs])
    for _ in range(5):
        program = compile_expression(maker.make("bool", 3), RULE)
        fires, causes = program.rows(PlainBatch(events), FeatureTable(16, columns), scores)
        few, few_causes = program.rows(
            PlainBatch(events[:3]), FeatureTable(3, {n: v[:3] for n, v in columns.items()}), scores[:3]
        )
        for row, env in enumerate(envs):
            one = program.one(env)
            assert (bool(fires[row]), causes[row] if causes is not None else "") == (bool(one), one.error)
            if row < 3:
                assert (bool(few[row]), few_causes[row] if few_causes is not None else "") == (bool(one), one.error)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="data.mount <>=!&|()[]'\"\\1.5eu,?:+-*/%\n", max_size=40))
def test_no_text_does_worse_than_a_cel_error(text: str) -> None:
    """Whatever a person types is compiled or refused with a place; nothing else is raised."""
    try:
        compile_expression(text, RULE)
    except CelError as error:
        assert error.line >= 1
        assert error.column >= 1
