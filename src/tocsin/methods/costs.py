"""What an answer costs: the expected cost of letting through, asking, holding and refusing, and the best threshold.

All money in minor units. With p the probability of harm, A the amount, and the good customer's value
G = margin A + goodwill, the harm H = A + fee:

* allow: p H
* challenge: p leak H + (1 - p) drop G
* hold: p miss H + (1 - p) wait G + review
* deny: (1 - p) G

Reference: Elkan, The Foundations of Cost-Sensitive Learning (2001); Bahnsen et al., example-dependent costs (2014).
"""

from __future__ import annotations

import msgspec
import numpy as np

ANSWERS = ("allow", "challenge", "hold", "deny")


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of being wrong; shares in [0, 1], money in minor units."""

    margin: float = 0.25
    """Gross margin as a share of the amount, lost when a good order is refused."""
    goodwill: float = 5000.0
    """What it costs to offend a good customer, beside the margin."""
    fee: float = 15_000.0
    """Chargeback fee and handling of one harmful payment, beside its amount."""
    review: float = 600.0
    """A person's time for one held order."""
    leak: float = 0.1
    """Share of harmful payments that pass a challenge."""
    drop: float = 0.12
    """Share of good customers that give up at a challenge."""
    miss: float = 0.1
    """Share of harmful orders that a reviewer lets go."""
    wait: float = 0.1
    """Share of a good order's value lost by holding it."""

    def __post_init__(self) -> None:
        """Refuse what is no share or no price."""
        shares = (self.margin, self.leak, self.drop, self.miss, self.wait)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("margin, leak, drop, miss and wait are shares from 0 to 1")
        if not all(0 <= price < 1e12 for price in (self.goodwill, self.fee, self.review)):
            raise ValueError("goodwill, fee and review are prices in minor units, not negative")

    def table(self, p: np.ndarray, amount: np.ndarray) -> np.ndarray:
        """Return the expected costs [n, 4] of the four answers, in the order of ``ANSWERS``."""
        p, amount = np.asarray(p, float), np.asarray(amount, float)
        harm, good = p * (amount + self.fee), (1 - p) * (self.margin * amount + self.goodwill)
        return np.column_stack(
            [harm, self.leak * harm + self.drop * good, self.miss * harm + self.wait * good + self.review, good]
        )

    def cheapest(self, p: np.ndarray, amount: np.ndarray) -> np.ndarray:
        """Return the index into ``ANSWERS`` [n] of the least expected cost; the milder answer wins a tie."""
        return np.asarray(np.argmin(self.table(p, amount), axis=1))

    def threshold(self, amount: np.ndarray) -> np.ndarray:
        """Return the probability [n] from which refusing is cheaper than letting through: G / (G + H).

        >>> Costs(margin=0.25, goodwill=0, fee=0).threshold(np.array([100.0])).tolist()
        [0.2]
        """
        amount = np.asarray(amount, float)
        good = self.margin * amount + self.goodwill
        total = good + amount + self.fee
        return np.asarray(np.divide(good, total, out=np.full_like(total, 0.5), where=total > 0))


def cost_per_10k(y: np.ndarray, amount: np.ndarray, refused: np.ndarray, costs: Costs) -> float:
    """Return what refusing these rows (and letting the others through) really cost, per 10,000 orders, minor units.

    >>> y = np.array([True, False]); amount = np.array([100, 100])
    >>> cost_per_10k(y, amount, np.array([False, False]), Costs(fee=0))  # one loss of 100 in two orders
    500000.0
    """
    y, amount = np.asarray(y, bool), np.asarray(amount, float)
    if not len(y):
        return float("nan")
    lost = np.where(y & ~refused, amount + costs.fee, 0.0).sum()
    offended = np.where(~y & refused, costs.margin * amount + costs.goodwill, 0.0).sum()
    return float((lost + offended) / len(y) * 10_000)


def answered_cost_per_10k(y: np.ndarray, amount: np.ndarray, answers: np.ndarray, costs: Costs) -> float:
    """Return the cost of the four-way answers (indexes into ``ANSWERS``) given the truth, per 10,000 orders."""
    if not len(y):
        return float("nan")
    table = costs.table(np.asarray(y, bool).astype(float), amount)
    return float(table[np.arange(len(table)), answers].mean() * 10_000)
