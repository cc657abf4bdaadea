"""Fused functions over one event: what the scalar evaluation says, value and cause."""

from __future__ import annotations

import pytest

from tocsin.flow.cel import RULE, Program

from .cel_random import FEATURES
from .cel_wild import Sample, Wild, differences, lists

SCOPE = RULE.narrow((), FEATURES)


def compared(seed: int, count: int, rows: int) -> list[str]:
    """Return where fused functions of 30 expressions each differ from single values."""
    maker, found, held = Wild(seed), [], lists()
    for _ in range(count // 30):
        sample = Sample(maker.events(rows), held)
        programs = [Program(maker.make("bool", maker.random.choice((1, 3, 3, 5))), SCOPE) for _ in range(30)]
        for program, values in zip(programs, sample.fused(programs), strict=True):
            found += differences(program, sample.alone(program), values)
    return found


def test_fused_functions_are_the_single_values() -> None:
    """Thirty expressions in one function give each row the value or the cause that each gives alone."""
    assert compared(seed=7, count=900, rows=25) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_thousand_fused_expressions(seed: int) -> None:
    """5 x 20,000 expressions x 12 rows: fused and single values are the same."""
    assert compared(seed=seed, count=20_000, rows=12) == []
