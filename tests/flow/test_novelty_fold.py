"""A desk that says what is unusual finds ``novelty`` beside its windows: learned online, the same in every cut."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from tocsin.core.desk import Aggregate, Novel, Rule, Window
from tocsin.core.events import SECOND, Event
from tocsin.core.signal import Decision, Mode, Text
from tocsin.flow.fold import Fold
from tocsin.flow.state import restore_into
from tocsin.flow.wide.jit import AVAILABLE

from .stream import Probe, event
from .test_house import kept

PAY = "payment.attempted"
WINDOWS = (
    Window(name="count", fold=Aggregate.COUNT, by="card", span_s=600, of=(PAY,)),
    Window(name="total", fold=Aggregate.SUM, by="card", span_s=600, of=(PAY,), field="amount"),
)
RULE = Rule(
    id="odd", when="features.novelty > 0.9", decision=Decision.HOLD, code="odd", text=Text("odd", "异常"), on=(PAY,),
    mode=Mode.LIVE, desk="probe",
)  # fmt: skip


class Curious(Probe):
    """A probe that asks for novelty."""

    novel = Novel(of=(PAY,), features=("count", "total"))


def payments(n: int) -> list[Event]:
    rng = random.Random(3)
    found = []
    for seq in range(1, n + 1):
        odd = seq > 400 and seq % 100 < 3
        card, amount = ("odd", 900_000) if odd else (f"c{rng.randrange(200)}", rng.randrange(100, 2000))
        found.append(event(seq, PAY, seq * SECOND, card=card, amount=amount))
    return found


def desk() -> Curious:
    return Curious(windows=WINDOWS, rules=(RULE,), limit=math.inf)


def told(fold: Fold, events: list[Event], sizes: list[int]) -> list[tuple[int, float | None]]:
    found, start = [], 0
    for size in sizes:
        rows = fold.step(events[start : start + size], range(len(events[start : start + size]))).rows
        found += [(start + row.index, row.features["novelty"]) for row in rows]
        start += size
    return found


@pytest.mark.parametrize(
    "wide", [False, pytest.param(True, marks=pytest.mark.skipif(not AVAILABLE, reason="no numba"))]
)
def test_novelty_is_the_same_in_every_cut_and_rules_read_it(wide: bool) -> None:
    """Missing at first, then high for what nobody did before."""
    events = payments(900)
    whole = Fold([desk()], wide=wide)
    cut = Fold([desk()], wide=wide)
    one = told(whole, events, [900])
    assert one == told(cut, events, [1, 7, 300, 92, 500])
    assert whole.digest() == cut.digest()
    scores = np.array([np.nan if score is None else score for _, score in one])
    odd = np.array([one.data["card"] == "odd" for one in events])
    assert np.isnan(scores[:250]).all()
    assert scores[odd][0] > np.nanquantile(scores[~odd], 0.98)
    assert np.nanmedian(scores[odd]) > 10 * np.nanmedian(scores[~odd])
    assert whole.counters["rule:odd"] > 0


@pytest.mark.skipif(not AVAILABLE, reason="no numba")
def test_a_snapshot_keeps_what_was_learned() -> None:
    """State and rest of the stream give what the whole stream gives."""
    events = payments(600)
    whole, first = Fold([desk()], wide=True), Fold([desk()], wide=True)
    expected = told(whole, events, [400, 200])[400:]
    told(first, events[:400], [400])
    meta, arrays = kept(first)
    second = Fold([desk()], wide=True)
    restore_into(second, meta, arrays)
    assert [(400 + place, score) for place, score in told(second, events[400:], [200])] == expected
