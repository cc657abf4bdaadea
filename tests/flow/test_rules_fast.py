"""Rules on columns of Rows, fused for single events, and reloaded: always what the scalar evaluation says."""

from __future__ import annotations

import pytest

from tocsin.flow.cel import RULE, Program

from .cel_random import FEATURES
from .cel_wild import Sample, Wild, differences, lists

SCOPE = RULE.narrow((), FEATURES)
KINDS = ("bool", "bool", "bool", "int", "double", "string")


def compared(seed: int, count: int, rows: int) -> list[str]:
    """Return where columns of Rows or of plain batches differ from single values."""
    maker, found, held = Wild(seed), [], lists()
    for number in range(count):
        if number % 40 == 0:
            sample = Sample(maker.events(rows), held)
        program = Program(maker.make(KINDS[number % len(KINDS)], 3), SCOPE)
        expected = sample.alone(program)
        for wide in (True, False):
            found += differences(program, expected, sample.columns(program, wide=wide))
    return found


def test_columns_of_hashed_texts_are_the_single_values() -> None:
    """Values and causes by row are the same on Rows, on a plain batch and one by one: wrong types, any text, lists."""
    assert compared(seed=5, count=600, rows=80) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_thousand_expressions_on_rows(seed: int) -> None:
    """5 x 20,000 expressions x 16 rows: columns and single values are the same."""
    assert compared(seed=seed, count=20_000, rows=16) == []
