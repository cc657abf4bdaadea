"""The features of a declaration, rows of one block with ratios beside them, are those that the plain windows say."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the wide half needs numba")

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flow.test_windows import EPOCH_ALIGNED, PAY, window

from tocsin.core.desk import Aggregate as A
from tocsin.core.desk import Ratio
from tocsin.core.events import SECOND
from tocsin.flow.batch import FEW, PlainBatch
from tocsin.flow.names import Names
from tocsin.flow.wide.rows import Rows

from .test_windows import HASHER, NAMES, plain, random_event, wide

DECLINED, ALL = window(A.COUNT, 60, where='data.status == "declined"'), window(A.COUNT, 60)
AMOUNT, GAP = window(A.SUM, 3600, field="amount", by="ip"), window(A.RECENCY, 3600)
SKETCH = window(A.DISTINCT, 86_400, field="ip")
SHARE = Ratio(name="share", over=DECLINED.name, under=ALL.name)
EACH = Ratio(name="each", over=AMOUNT.name, under=ALL.name)
DECLARATIONS = (
    (DECLINED, ALL, AMOUNT, GAP),
    (GAP, AMOUNT),
    (SHARE, GAP, ALL, EACH, AMOUNT, DECLINED),
    (DECLINED, ALL, SHARE, SKETCH),
    (),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DECLARATIONS), st.integers(0, 10**6), st.sampled_from((1, 5, FEW, FEW + 1)))
def test_a_declaration_reads_what_the_plain_windows_say(declared: tuple[Any, ...], seed: int, n: int) -> None:
    """By name, as a matrix, as documents and of some of the rows: whatever else is declared."""
    random = Random(seed)
    events = [random_event(random, seq, EPOCH_ALIGNED + seq * SECOND) for seq in range(1, n + 1)]
    every = (DECLINED, ALL, AMOUNT, GAP, SKETCH)
    tables = []
    for windows, batch in ((wide(every), Rows(events, NAMES, HASHER)), (plain(every), PlainBatch(events))):
        windows.declare(declared, (PAY,))
        tables.append(windows.table(declared, windows.step(batch), n))
    names = [one.name for one in declared]
    some = np.array(sorted(random.sample(range(n), random.randrange(1, n + 1))))
    mine, theirs = tables
    assert list(mine.names) == list(theirs.names) == names
    for got, want in ((mine, theirs), (mine.pick(some), theirs.pick(some))):
        np.testing.assert_array_equal(got.matrix(names), want.matrix(names))
        np.testing.assert_array_equal(got.matrix(names[:1]), want.matrix(names[:1]))
        assert got.dicts(np.arange(got.n)) == want.dicts(np.arange(want.n))
        for name in names:
            np.testing.assert_array_equal(got[name].values, want[name].values)
        beside = got.beside("more", np.arange(got.n, dtype=np.float64)) if names else got
        np.testing.assert_array_equal(beside.matrix(names), want.matrix(names))


def test_windows_declared_later_move_no_feature() -> None:
    """A declaration is laid out anew once others have been added or taken out."""
    windows, random = wide((GAP,), (PAY,)), Random(1)
    declared = (ALL, GAP)
    windows.declare(declared, (PAY,))
    for change in (lambda: None, lambda: windows.declare((AMOUNT,), (PAY,)), lambda: windows.withdraw((AMOUNT,))):
        change()
        events = [random_event(random, seq, windows.tau + seq) for seq in range(1, 9)]
        columns = windows.step(Rows(events, Names(), HASHER))
        table = windows.table(declared, columns, 8)
        for one in declared:
            np.testing.assert_array_equal(table[one.name].values, columns[windows.slots[one.fingerprint()]])


def test_a_batch_names_each_type_once() -> None:
    """Few rows and many, codes ascending."""
    random = Random(2)
    for n in (1, FEW, FEW + 1, 200):
        rows = Rows([random_event(random, seq, seq) for seq in range(1, n + 1)], NAMES, HASHER)
        assert rows.codes == sorted(set(rows.kinds.tolist()))
