"""From windows to what the model reads: amounts against the card's own past, and the calendar."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.desk import Ratio, Window
from tocsin.core.events import DAY, HOUR
from tocsin.core.signal import Text
from tocsin.desks.fraud.declarations import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SERVED = tuple(window.name for window in WINDOWS if isinstance(window, Window | Ratio))
"""The names of the windows, in the order in which verdicts journal them."""


class Payment:
    """What derived features are made from: the windows of rows, their amounts [n] and times [n]."""

    def __init__(self, x: np.ndarray, amount: np.ndarray, time: np.ndarray) -> None:
        self._x, self.amount, self.time = x, amount, time

    def __getitem__(self, window: str) -> np.ndarray:
        """Return a window's values, NaN where missing."""
        return self._x[:, _PLACE[window]]

    @cached_property
    def usual(self) -> np.ndarray:
        """The card's usual amount: matured payments without those that turned out to be fraud, at least two."""
        count = self["card_base_56d"] - self["card_fraud_56d"]
        total = self["card_base_mean"] * self["card_base_56d"] - self["card_fraud_sum_56d"]
        return np.where((count >= 2) & (total > 0), total / count, np.nan)


USUAL = ("card_base_56d", "card_fraud_56d", "card_base_mean", "card_fraud_sum_56d")
MADE: dict[str, tuple[tuple[str, ...], Callable[[Payment], np.ndarray]]] = {
    "amount": ((), lambda of: of.amount),
    "amount_over_usual": (USUAL, lambda of: of.amount / of.usual),
    "amount_deviation": (
        ("card_base_mean", "card_base_std"),
        lambda of: (of.amount - of["card_base_mean"]) / of["card_base_std"],
    ),
    "amount_over_28d": (("card_mean_28d",), lambda of: of.amount / of["card_mean_28d"]),
    "amount_over_7d": (("card_mean_7d",), lambda of: of.amount / of["card_mean_7d"]),
    "usual_amount": (USUAL, lambda of: of.usual),
    "lift_1d": (("card_mean_1d", *USUAL), lambda of: of["card_mean_1d"] / of.usual),
    "lift_7d": (("card_mean_7d", *USUAL), lambda of: of["card_mean_7d"] / of.usual),
    "lift_14d": (("card_mean_14d", *USUAL), lambda of: of["card_mean_14d"] / of.usual),
    "spread_7d": (("card_std_7d", *USUAL), lambda of: of["card_std_7d"] / of.usual),
    "spread_14d": (("card_std_14d", *USUAL), lambda of: of["card_std_14d"] / of.usual),
    "account_over_28d": (("account_mean_28d",), lambda of: of.amount / of["account_mean_28d"]),
    "hour": ((), lambda of: (of.time % DAY) / HOUR),
    "weekday": ((), lambda of: (of.time // DAY + 3) % 7),
}
"""Each derived feature: the windows behind it, and how it is made."""
DERIVED = tuple(MADE)
NAMES = (*DERIVED, *SERVED)
UNDATED = frozenset({"amount", "hour", "weekday"})
"""Derived features that look at the payment alone; the others look as far back as the card's usual amount."""


def _spans() -> dict[str, int]:
    windows = {window.name: window.span_s for window in WINDOWS if isinstance(window, Window)}
    ratios = {
        ratio.name: max(windows[ratio.over], windows[ratio.under]) for ratio in WINDOWS if isinstance(ratio, Ratio)
    }
    longest = max(windows.values())
    return {name: 0 if name in UNDATED else longest for name in DERIVED} | windows | ratios


SPANS = _spans()
"""How far back each feature looks, in seconds."""

REASONS: dict[str, Text] = {
    "unusual-amount": Text(
        "The amount differs from what is usual for this card.", "本次金额与该卡平常的消费金额不符。"
    ),
    "spending-pattern": Text(
        "Spending with this card has changed in the last days.", "该卡最近几天的消费习惯发生了变化。"
    ),
    "many-payments": Text("There were unusually many payments in a short time.", "短时间内付款次数异常。"),
    "many-cards": Text("Several cards were used together.", "同时使用了多张卡。"),
    "declines": Text("Payments were declined shortly before.", "此前不久有付款被拒。"),
    "merchant-risk": Text("Recent payments to this seller were disputed.", "该商户近期的付款有争议。"),
    "history": Text("Earlier payments of this customer were disputed.", "该客户此前的付款有争议。"),
    "unusual-time": Text("The time of the payment is unusual.", "付款时间不同寻常。"),
    "unusual-pattern": Text("The pattern of this payment is unusual.", "这笔付款的模式不同寻常。"),
    "little-known": Text("Too little is known about this payment yet.", "目前对这笔付款了解太少。"),
}
LEAST: dict[str, float] = {"many-payments": 2, "many-cards": 2, "declines": 1, "history": 1, "merchant-risk": 1e-9}
"""A statement that names a number is made only where the value is at least this; else ``UNUSUAL`` is said."""
UNUSUAL = "unusual-pattern"
UNKNOWN = "little-known"
"""The reason where no value that is there speaks against the payment."""
CODES = tuple(REASONS)


def code_of(feature: str) -> str:
    """Return the reason code that a feature speaks for.

    >>> code_of("merchant_risk_7d"), code_of("amount_over_usual"), code_of("device_cards_1h")
    ('merchant-risk', 'unusual-amount', 'many-cards')
    """
    if feature.startswith("merchant_"):
        return "merchant-risk"
    if "fraud" in feature:
        return "history"
    if "declined" in feature:
        return "declines"
    if "cards" in feature or "accounts" in feature:
        return "many-cards"
    if feature in {"hour", "weekday"}:
        return "unusual-time"
    if "amount" in feature or "over" in feature:
        return "unusual-amount"
    if "_n_" in feature or "orders" in feature or "since" in feature:
        return "many-payments"
    return "spending-pattern"


def windows_of(features: Sequence[str]) -> tuple[str, ...]:
    """Return the windows that these features of ``NAMES`` are made from, in the order of ``SERVED``.

    >>> sorted(windows_of(["amount_over_7d", "hour", "ip_n_1h"]))
    ['card_mean_7d', 'ip_n_1h']
    """
    needed = {window for name in features for window in (MADE[name][0] if name in MADE else (name,))}
    return tuple(name for name in SERVED if name in needed)


def model_input(
    served: np.ndarray,
    names: Sequence[str],
    amount: np.ndarray,
    time: np.ndarray,
    derived: Sequence[str] = DERIVED,
) -> np.ndarray:
    """Return float64 [n, len(NAMES)], NaN where missing.

    Parameters
    ----------
    served
        float64 [n, k], the windows' values as they were served; a window that is not among ``names`` [k] is missing.
    amount
        float64 [n], minor units; NaN where missing.
    time
        int64 [n], the events' own times in microseconds.
    derived
        The derived features that are wanted; the others are missing.
    """
    own, given = _places(tuple(names))
    x = np.full((len(served), len(NAMES)), np.nan)
    x[:, own] = served[:, given]
    of = Payment(x, np.asarray(amount, float), time)
    with np.errstate(divide="ignore", invalid="ignore"):
        for name in derived:
            x[:, _PLACE[name]] = MADE[name][1](of)
    x[~np.isfinite(x)] = np.nan
    return x


_PLACE = {name: place for place, name in enumerate(NAMES)}


@cache
def _places(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return where known windows belong in ``NAMES``, and where they are given."""
    known = [(_PLACE[name], given) for given, name in enumerate(names) if name in _PLACE and name not in MADE]
    places = np.array(known, np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1]
