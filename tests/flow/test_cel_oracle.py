"""The expression language agrees with the Rust CEL package on random typed expressions and rows with missing fields."""

from __future__ import annotations

import math
from typing import Any

import cel as oracle
import pytest

from tocsin.core.events import Event
from tocsin.flow.cel import RULE, Program
from tocsin.flow.lists import Lists
from tocsin.flow.wide.jit import AVAILABLE

from .cel_random import FEATURES, Maker
from .cel_wild import Sample

ERROR = object()
TYPES = ("bool", "bool", "bool", "int", "double", "string")
ORACLE_ERRORS = (KeyError, ValueError, TypeError, RuntimeError, ZeroDivisionError, OverflowError, IndexError)


def same(left: Any, right: Any) -> bool:
    if left is ERROR or right is ERROR:
        return left is right
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and bool(left == right)


def expected(program: Any, env: dict[str, Any]) -> Any:
    try:
        return program.execute(env)
    except ORACLE_ERRORS:
        return ERROR


def machine_differs(programs: list[Program], sample: Sample, wanted: list[list[Any]]) -> list[str]:
    """Return the boolean programs of which the rule machine says otherwise, each row a batch of its own."""
    if not AVAILABLE:
        return []
    from .machine.running import machine_of, one_by_one

    chosen = [at for at, program in enumerate(programs) if program.type == "bool"]
    machine = machine_of([programs[at] for at in chosen], ("x",))
    found = []
    for at, rows in zip(chosen, one_by_one(machine, sample, len(chosen)), strict=True):
        said = [ERROR if isinstance(one, str) else one[0] for one in rows]
        if not all(map(same, said, wanted[at])):
            found.append(f"{programs[at].text}: machine {said}, oracle {wanted[at]}")
    return found


def differences(seed: int, count: int, rows: int) -> list[str]:
    maker, found = Maker(seed), []
    for start in range(0, count, 50):
        envs = [maker.row() for _ in range(rows)]
        events = [Event(id=str(i), source="t", type="x", time=0, data=env["data"]) for i, env in enumerate(envs)]
        triples = [(event, env["features"], env.get("score")) for event, env in zip(events, envs, strict=True)]
        sample = Sample(triples, Lists(), lines=False)
        programs: list[Program] = []
        wanted: list[list[Any]] = []
        for number in range(start, min(start + 50, count)):
            text = maker.make(TYPES[number % len(TYPES)], 3)
            ours, theirs = Program(text, RULE.narrow((), FEATURES)), oracle.compile(text)
            values, codes = ours.values(sample.plain, sample.table, sample.scores)
            programs.append(ours)
            wanted.append([expected(theirs, env) for env in envs])
            for row, (env, want) in enumerate(zip(envs, wanted[-1], strict=True)):
                single = ours.one(env)
                column = ERROR if codes[row] else values[row : row + 1].tolist()[0]
                alone = ERROR if single.error else single.value
                if not same(alone, want) or not same(column, want):
                    found.append(f"{text}  with {env}: single {alone}, columns {column}, oracle {want}")
        found += machine_differs(programs, sample, wanted)
    return found


def test_three_thousand_expressions_agree() -> None:
    """3,000 expressions x 12 rows: single value, column, rule machine and oracle are the same, errors included."""
    assert differences(seed=11, count=3000, rows=12) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_expressions_agree(seed: int) -> None:
    """10 x 10,000 expressions x 12 rows agree with the oracle."""
    assert differences(seed=seed, count=10_000, rows=12) == []
