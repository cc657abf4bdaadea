"""The answer and the threshold are those of the least expected cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.methods.costs import Costs, answered_cost_per_10k, cost_per_10k

SHARE = st.floats(0, 1)
PRICE = st.floats(0, 1e5)


@given(st.builds(Costs, margin=SHARE, goodwill=PRICE, fee=PRICE), st.floats(0, 1e6), st.floats(0, 1))
def test_the_threshold_minimises_the_expected_cost(costs: Costs, amount: float, p: float) -> None:
    """Refusing from the threshold on costs no more, in expectation, than any other decision for that p."""
    allow, _, _, deny = costs.table(np.array([p]), np.array([amount]))[0]
    by_threshold = deny if p >= costs.threshold(np.array([amount]))[0] else allow
    assert by_threshold <= min(allow, deny) + 1e-6 * (allow + deny + 1)


@given(st.builds(Costs, margin=SHARE, leak=SHARE, drop=SHARE, miss=SHARE, wait=SHARE), st.floats(0, 1e6), SHARE)
def test_the_cheapest_of_four_answers_is_taken(costs: Costs, amount: float, p: float) -> None:
    """``cheapest`` is the brute-force minimum over the four answers."""
    table = costs.table(np.array([p]), np.array([amount]))[0]
    assert table[costs.cheapest(np.array([p]), np.array([amount]))[0]] == table.min()


def test_no_other_cut_is_cheaper_on_calibrated_rows() -> None:
    """With p the true probability, cutting at the threshold costs less than at 0.5 or anywhere on a grid."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 3, 200_000)
    y = rng.random(200_000) < p
    amount = np.full(200_000, 8000.0)
    costs = Costs()
    own = cost_per_10k(y, amount, p >= costs.threshold(amount), costs)
    grid = [cost_per_10k(y, amount, p >= cut, costs) for cut in np.linspace(0.02, 0.98, 49)]
    assert own <= min(grid) * 1.01
    assert own < cost_per_10k(y, amount, p >= 0.5, costs) < cost_per_10k(y, amount, p > 2, costs)


def test_costs_by_hand() -> None:
    """One fraud of 100 let through and one good order of 100 refused: (100 + 10) + (25 + 5), over two orders."""
    costs = Costs(margin=0.25, goodwill=5, fee=10)
    y, amount = np.array([True, False]), np.array([100, 100])
    assert cost_per_10k(y, amount, np.array([False, True]), costs) == pytest.approx((110 + 30) / 2 * 10_000)
    assert answered_cost_per_10k(y, amount, np.array([0, 3]), costs) == pytest.approx((110 + 30) / 2 * 10_000)


def test_what_is_no_share_is_refused() -> None:
    """A margin of 25 (per cent) is a mistake that would turn every answer around."""
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        Costs(margin=25)
