"""The store's own books: orders, revenue, and every kind of loss. Money in minor units."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

import msgspec


class Loss(StrEnum):
    """What money is lost to."""

    FRAUD = "fraud"
    """Goods and charge-back fees of fraudulent orders that were paid and shipped."""
    FEES = "fees"
    """What gateways charge for stolen cards tried at the till: authorisations and scheme penalties."""
    LOST_SALES = "lost_sales"
    """Margin of honest customers who wanted to buy and could not, or gave up."""
    FRICTION = "friction"
    """Step-up messages and manual reviews."""
    CAPACITY = "capacity"
    """Traffic served to robots, and machines rented on top."""
    ROUTING = "routing"
    """Higher fees of gateways that payments were moved to."""
    MISPRICING = "mispricing"
    """Goods sold below cost."""


class State(StrEnum):
    """Where an order stands in the books."""

    PENDING = "pending"
    PAID = "paid"
    CANCELLED = "cancelled"


class Account(msgspec.Struct):
    """One order as the books know it."""

    amount: int
    margin: int
    state: State = State.PENDING
    refunded: int = 0
    charged_back: int = 0


class Books:
    """Orders and money: ``taken == kept + refunded + charged back`` at any moment."""

    def __init__(self) -> None:
        self.orders: dict[str, Account] = {}
        self.losses: list[tuple[int, Loss, int]] = []
        self.harm: dict[str, list[int]] = {}
        self.taken = 0
        self.counts: Counter[str] = Counter()

    def place(self, order: str, amount: int, margin: int) -> None:
        """Open an order."""
        self.orders[order] = Account(amount, margin)

    def pay(self, order: str) -> None:
        """Book the money of an open order."""
        account = self.orders[order]
        account.state = State.PAID
        self.taken += account.amount

    def cancel(self, order: str) -> None:
        """Close an order; what was taken for it goes back."""
        account = self.orders[order]
        if account.state is State.PAID:
            account.refunded = account.amount
        account.state = State.CANCELLED

    def charge_back(self, order: str) -> None:
        """Give the money of a paid order back to the card's owner."""
        account = self.orders[order]
        account.charged_back = account.amount

    def lose(self, time: int, what: Loss, amount: float) -> None:
        """Book a loss."""
        if amount > 0:
            self.losses.append((time, what, round(amount)))

    def hurt(self, time: int, group: str) -> None:
        """Note one unit of harm that a trouble really did: what effective response is measured by."""
        self.harm.setdefault(group, []).append(time)

    @property
    def kept(self) -> int:
        """Money taken and not given back."""
        return self.taken - sum(account.refunded + account.charged_back for account in self.orders.values())

    def lost(self, start: int = 0, end: int | None = None) -> int:
        """Return all losses in [start, end)."""
        return sum(amount for time, _, amount in self.losses if time >= start and (end is None or time < end))

    def summary(self) -> dict[str, int]:
        """Return the totals as plain numbers."""
        states = Counter(account.state for account in self.orders.values())
        lost: Counter[Loss] = Counter()
        for _, what, amount in self.losses:
            lost[what] += amount
        return {
            "orders": len(self.orders),
            **{state.value: states[state] for state in State},
            "taken": self.taken,
            "kept": self.kept,
            **{f"lost_{what.value}": lost[what] for what in Loss},
        }
