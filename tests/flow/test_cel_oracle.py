"""The expression language agrees with the Rust CEL package on random typed expressions and rows with missing fields."""

from __future__ import annotations

import math
from typing import Any

import cel as oracle
import numpy as np
import pytest

from tocsin.core.events import Event
from tocsin.flow.batch import FeatureTable, PlainBatch
from tocsin.flow.cel import RULE, Program

from .cel_random import FEATURES, Maker

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


def differences(seed: int, count: int, rows: int) -> list[str]:
    maker, found = Maker(seed), []
    for number in range(count):
        if number % 50 == 0:
            envs = [maker.row() for _ in range(rows)]
            events = [Event(id=str(i), source="t", type="x", time=0, data=env["data"]) for i, env in enumerate(envs)]
            batch = PlainBatch(events)
            columns = {n: np.array([env["features"].get(n, np.nan) for env in envs]) for n in FEATURES}
            table = FeatureTable(rows, columns)
            scores = np.array([env.get("score", np.nan) for env in envs])
        text = maker.make(TYPES[number % len(TYPES)], 3)
        ours, theirs = Program(text, RULE.narrow((), FEATURES)), oracle.compile(text)
        values, codes = ours.values(batch, table, scores)
        for row, env in enumerate(envs):
            want = expected(theirs, env)
            single = ours.one(env)
            column = ERROR if codes[row] else values[row : row + 1].tolist()[0]
            alone = ERROR if single.error else single.value
            if not same(alone, want) or not same(column, want):
                found.append(f"{text}  with {env}: single {alone}, columns {column}, oracle {want}")
    return found


def test_three_thousand_expressions_agree() -> None:
    """3,000 expressions x 12 rows: single value, column and oracle are the same, errors included."""
    assert differences(seed=11, count=3000, rows=12) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_expressions_agree(seed: int) -> None:
    """10 x 10,000 expressions x 12 rows agree with the oracle."""
    assert differences(seed=seed, count=10_000, rows=12) == []
