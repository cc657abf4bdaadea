"""The rule machine: what the scalar evaluation says, value and cause, however rows come and wherever they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.events import Event
from tocsin.flow.cel import RULE, Program
from tocsin.flow.lists import Lists
from tocsin.flow.wide.jit import AVAILABLE

from ..cel_random import FEATURES
from ..cel_wild import Sample, Wild, differences, lists

if not AVAILABLE:
    pytest.skip("the rule machine needs compiled kernels", allow_module_level=True)

from tocsin.flow.machine import machine as module
from tocsin.flow.machine import tables
from tocsin.flow.machine.assembly import Foreign, assembled
from tocsin.flow.wide.lines import LineRows

from .running import at_once, expected, machine_of, one_by_one

SCOPE = RULE.narrow((), FEATURES)
EDGES = (0, 1, -1, 2, -2, 3, 7, 2**31, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1)


def picked(sample: Sample) -> Any:
    """Return the lines of a sample, each named by its row of the chunk."""
    lines: Any = sample.lines
    return LineRows(lines.chunk, index=np.arange(lines.n))


def compared(seed: int, count: int, rows: int) -> list[str]:
    """Return where machines of 30 expressions each differ from single values: row by row, packed and as columns."""
    maker, found, held = Wild(seed), [], lists()
    for _ in range(count // 30):
        sample = Sample(maker.events(rows), held)
        programs = [Program(maker.make("bool", maker.random.choice((1, 3, 3, 5))), SCOPE) for _ in range(30)]
        machine = machine_of(programs, tuple({event.type for event in sample.events}))
        alone = [sample.alone(program) for program in programs]
        for program, want, got in zip(programs, alone, one_by_one(machine, sample, 30), strict=True):
            found += differences(program, want, got)
        batches = (("events", sample.wide), ("lines", sample.lines), ("picked lines", picked(sample)))
        for name, batch in batches:
            if at_once(machine, sample, batch) != expected(alone):
                found.append(f"{name}: {[program.text for program in programs]}")
    return found


def test_the_machine_says_what_each_program_says_alone() -> None:
    """Thirty random programs as one, over 20 and 64 rows packed or as they lie, and over 80 rows as columns."""
    assert compared(seed=21, count=300, rows=20) == []
    assert compared(seed=23, count=60, rows=64) == []
    assert compared(seed=22, count=300, rows=80) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_thousand_expressions_on_the_machine(seed: int) -> None:
    """5 x 20,000 expressions x 12 and 70 rows: the machine and single values are the same."""
    assert compared(seed=seed, count=14_000, rows=12) == []
    assert compared(seed=100 + seed, count=6_000, rows=70) == []


INTEGERS = tuple(
    f"data.amount {op} data.quantity {how} data.duration_ms" for op in "+-*/%" for how in ("<", "==", ">=")
)
DOUBLES = tuple(f"features.n1 {op} features.n2 {how} score" for op in "+-*/" for how in ("<", "!=", ">", "<="))
OTHERS = (
    "-data.amount > data.quantity",
    "int(features.n1) == data.amount",
    "double(data.amount) > features.n1",
    "data.amount > features.n1",
    "data.amount in [0, -1, 9223372036854775807]",
    "features.n1 in [0.0, 1.0, -1.0]",
    "(data.success ? data.amount : data.quantity) > 3",
    "(data.amount > 0 ? data.success : score > 0.5) == data.success",
    "(data.amount > 0) <= data.success",
    "has(data.amount) && !has(data.card) || has(features.n2)",
    "data.amount == null || data.success != null",
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_instructions_are_what_single_values_are(data: st.DataObject) -> None:
    """Integers at their edges never wrap, NaN and infinity compare as one by one, missing operands are told."""
    whole = st.one_of(st.none(), st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1))
    real = st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from((0.0, -0.0, 1.0, 2.0**63)))
    rows = []
    for seq in range(9):
        fields = {name: data.draw(whole) for name in ("amount", "quantity", "duration_ms")}
        fields["success"] = data.draw(st.sampled_from((True, False, None)))
        features = {name: value for name in ("n1", "n2") if (value := data.draw(real)) is not None}
        present = {name: value for name, value in fields.items() if value is not None}
        event = Event(id=str(seq), source="t", type="payment.attempted", time=seq, tau=seq, data=present)
        rows.append((event, features, data.draw(real)))
    sample = Sample(rows, Lists(), lines=False)
    programs = [Program(text, SCOPE) for text in (*INTEGERS, *DOUBLES, *OTHERS)]
    machine = machine_of(programs, ("payment.attempted",))
    for program, got in zip(programs, one_by_one(machine, sample, len(programs)), strict=True):
        assert differences(program, sample.alone(program), got) == []


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("features.n1 > 3.0 && data.amount > 5000", 0),
        ("data.card == 'a' || data.card in ['b', 'c'] || data.ip.startsWith('10.')", 0),
        ("in_list('some', data.card) && data.card == data.ip", 0),
        ("double(data.amount) * 2.0 > features.mean / features.n1", 0),
        ("in_cidr('nets', data.ip)", 1),
        ("in_list('some', data.amount)", 1),
        ("size(data.card + data.ip) > 3", 1),
    ],
)
def test_what_has_no_instruction_is_computed_elsewhere(text: str, foreign: int) -> None:
    """Numbers, words, patterns of one text and named lists have instructions; the rest is an input of the program."""
    inputs = assembled(Program(text, SCOPE)).inputs
    assert sum(isinstance(one, Foreign) for one in inputs) == foreign


def cards(texts: list[str], held: Lists | None = None, tau: int = 40) -> Sample:
    """Return a sample of events with these cards."""
    return Sample(
        [
            (Event(id=str(at), source="t", type="x", time=at, tau=tau, data={"card": text}), {}, None)
            for at, text in enumerate(texts)
        ],
        held if held is not None else Lists(),
        lines=False,
    )


def test_a_list_is_followed_as_it_changes_and_expires() -> None:
    """A value counts from when it is put on a list until its expiry or its removal, packed or as columns."""
    held = Lists()
    machine = machine_of([Program("in_list('some', data.card)", SCOPE)], ("x",))
    few, many = cards(["a", "b"], held), cards(["a", "b"] * 50, held)

    def found() -> tuple[list[int], int]:
        return (
            dict(machine.run(few.wide, few.table, few.scores, held)[0]).get(0, []),
            len(dict(machine.run(many.wide, many.table, many.scores, held)[0]).get(0, [])),
        )

    assert found() == ([], 0)
    held.add("some", "a", expires=41)
    held.add("some", "b", expires=40)
    assert found() == ([0], 50)
    for number in range(5000):
        held.add("some", f"other-{number}")
    held.add("some", "b")
    assert found() == ([0, 1], 100)
    held.remove("some", "a")
    assert found() == ([1], 50)
    assert machine.run(few.wide, few.table, few.scores, None)[0] == []


def test_answers_are_forgotten_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few texts are remembered, what is said of each is the same."""
    monkeypatch.setattr(tables, "MOST", 100)
    program = Program("data.card.endsWith('7') || data.card.matches('1[0-5]$')", SCOPE)
    machine = machine_of([program], ("x",))
    for start in range(0, 900, 90):
        sample = cards([f"card-{number}" for number in range(start, start + 90)])
        assert at_once(machine, sample, sample.wide) == expected([sample.alone(program)])
        some = np.arange(30)
        hits, _ = machine.run(sample.wide.pick(some), sample.table.pick(some), sample.scores[some], sample.lists)
        assert hits == [(0, [row for row in at_once(machine, sample, sample.wide)[0][0] if row < 30])]


def test_room_is_made_for_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """More hits and waiting rows than there was room for: none is lost, none is counted twice."""
    monkeypatch.setattr(module, "ROOM", 8)
    programs = [Program(text, SCOPE) for text in ("true", "data.amount > 1", "score > 0.5 || data.card.contains('1')")]
    machine = machine_of(programs, ("x",))
    sample = cards([f"card-{number}" for number in range(200)])
    alone = [sample.alone(program) for program in programs]
    for _ in range(2):
        assert at_once(machine, sample, sample.wide) == expected(alone)
    causes = {(rule, cause): times for rule, cause, times in machine.errors()}
    assert causes[1, "missing"] == 400
    machine.forget()
    assert machine.errors() == []


def test_a_machine_goes_on_with_what_the_one_before_it_has_learned() -> None:
    """After a reload no text is asked about again where its conditions are the same, and lists are still followed."""
    held = Lists()
    held.add("some", "card-3")
    texts = ("data.card.endsWith('7')", "in_list('some', data.card)", "data.card == 'card-1'")
    programs = [Program(text, SCOPE) for text in texts]
    few, many = cards([f"card-{number}" for number in range(10)], held), cards(["card-7", "card-3"] * 50, held)
    first = machine_of(programs, ("x",))
    for sample in (few, many):
        at_once(first, sample, sample.wide)
    learned = next(iter(first.program.answers.values()))
    second = machine_of([programs[1], programs[0]], ("x",), first)
    assert list(second.program.answers.values()) == [learned]
    held.add("some", "card-4")
    held.remove("some", "card-3")
    for sample in (few, many, few):
        alone = [sample.alone(program) for program in (programs[1], programs[0])]
        assert at_once(second, sample, sample.wide) == expected(alone)
    assert learned.count == 10
    other = machine_of([Program("data.card.endsWith('8')", SCOPE)], ("x",), second)
    assert at_once(other, few, few.wide)[0] == {0: [8]}
