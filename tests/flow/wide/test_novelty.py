"""Novelty: deterministic by the journal's order, per shop, whatever the cut; its state is plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import Misconfigured
from tocsin.flow.wide.novelty import Novelty

NAMES = ("ip_n_10m", "account_sum_1h", "device_cards_1h")
SHAPE = {"trees": 5, "depth": 6, "window": 20, "seed": 3}


def rows(n: int = 300) -> tuple[np.ndarray, list[str]]:
    """Return features and shops of a stream."""
    rng = np.random.default_rng(0)
    x = np.round(rng.lognormal(1, 1, (n, 3)))
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, rng.choice(["a", "b", "店"], n).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=8))
def test_no_cut_changes_a_score(cuts: list[int]) -> None:
    """Cut anywhere and carried over as state: the same scores and digest; a shop alone scores as among others."""
    x, shops = rows()
    whole = Novelty(NAMES, **SHAPE)
    want = whole.step(x, shops)
    found, one, start = [], Novelty(NAMES, **SHAPE), 0
    for stop in [*sorted(cuts), 300]:
        again = Novelty(NAMES, **SHAPE)
        assert again.restore(*one.state())
        one = again
        if stop > start:
            found.append(one.step(x[start:stop], shops[start:stop]))
        start = max(start, stop)
    assert np.array_equal(np.concatenate(found), want, equal_nan=True)
    assert one.digest() == whole.digest()
    mine = np.array(shops) == "b"
    assert np.array_equal(Novelty(NAMES, **SHAPE).step(x[mine], ["b"] * int(mine.sum())), want[mine], equal_nan=True)


def test_what_does_not_fit_is_refused() -> None:
    """No features, one twice, shops that do not go with the rows; a state of other trees is let go, to learn anew."""
    for names in ((), ("a", "a")):
        with pytest.raises(Misconfigured, match="features"):
            Novelty(names)
    x, shops = rows()
    one = Novelty(NAMES, **SHAPE)
    one.step(x, shops)
    for other in ({"depth": 7}, {"seed": 4}, {"window": 40}):
        changed = Novelty(NAMES, **{**SHAPE, **other})
        fresh = changed.digest()
        assert not changed.restore(*one.state())
        assert changed.digest() == fresh
    assert not Novelty(NAMES[::-1], **SHAPE).restore(*one.state())
    with pytest.raises(ValueError, match="2 shops"):
        one.step(x, ["a", "b"])
