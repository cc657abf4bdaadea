"""From the basket to the parcel: sign-in, order, payment, review, shipping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import HOUR, MINUTE, SECOND
from tocsin.twin.books import Loss
from tocsin.twin.payments import defraud, pay, step_up, take
from tocsin.twin.world import CURRENCY, GATEWAY_EDGES, GATEWAYS, Payer, Product

if TYPE_CHECKING:
    from collections.abc import Generator

    from tocsin.twin.draws import Draws
    from tocsin.twin.store import Actor, Store

REVIEW_COST = 600
"""Minor units: five minutes of a person."""
SHIPPING = 800
FREE_FROM = 9_900


class Basket(msgspec.Struct):
    """What somebody means to buy."""

    lines: list[tuple[Product, int]]
    coupon: str = ""

    def goods(self) -> int:
        """Return the price of the goods."""
        return sum(product.price * quantity for product, quantity in self.lines)

    def discount(self) -> int:
        """Return what the coupon takes off."""
        return min(self.goods() // 10, 5_000) if self.coupon else 0

    def shipping(self) -> int:
        """Return the delivery fee."""
        return 0 if self.goods() >= FREE_FROM else SHIPPING

    def amount(self) -> int:
        """Return what is to be paid."""
        return self.goods() - self.discount() + self.shipping()

    def margin(self) -> int:
        """Return what the store earns by it."""
        return self.amount() - sum(product.cost * quantity for product, quantity in self.lines)


def sign_in(store: Store, draws: Draws, payer: Payer) -> Generator[int, None, bool]:
    """Sign in, mistyping now and then; return whether it worked."""
    for attempt in range(3):
        mistyped = draws.chance(0.07 if attempt == 0 else 0.3)
        broken = draws.chance(store.failing("logins", {"country": payer.country})[0])
        log_in(store, payer, success=not (mistyped or broken))
        if not (mistyped or broken):
            return step_up(store, draws, payer)
        yield int(draws.gap(9) * SECOND)
    return False


def log_in(store: Store, payer: Payer, *, success: bool) -> None:
    """Tell of one sign-in attempt."""
    data = {"country": payer.country, "user_agent": payer.agent, "success": success, "method": "password"}
    store.tell("account.login", f"account:{payer.account}", payer.fields() | data)


def checkout(store: Store, draws: Draws, payer: Payer, basket: Basket, *, declined_times: int = 0) -> Actor:
    """Place an order and pay for it, trying again as people do."""
    if _paused(store, basket):
        store.books.lose(store.now, Loss.LOST_SALES, 0 if payer.guilty else basket.margin())
        return
    factor = store.factor("value", "orders", {})
    if factor > 1.0:
        basket.lines = [(product, round(quantity * factor) or 1) for product, quantity in basket.lines]
    order = f"o-{draws.hexadecimal(10)}"
    amount, margin = basket.amount(), basket.margin()
    store.books.place(order, amount, margin)
    _place(store, payer, basket, order, amount)
    gateway = draws.weighted(GATEWAYS, GATEWAY_EDGES)
    for attempt in range(1 + declined_times + int(draws.chance(0.6)) + int(draws.chance(0.3))):
        yield int(draws.gap(8 if attempt else 4) * SECOND)
        status = yield from pay(store, draws, payer, gateway, order, amount, forced_decline=attempt < declined_times)
        if status == "paid":
            yield from _deliver(store, draws, payer, basket, order)
            return
        if status == "held":
            yield from _review(store, draws, payer, basket, order)
            return
        if status == "refused":
            break
        if draws.chance(0.35):
            gateway = draws.weighted(GATEWAYS, GATEWAY_EDGES)
    yield int(draws.gap(120) * SECOND)
    cancel(store, payer, order, "payment_failed")
    if not payer.guilty:
        store.books.lose(store.now, Loss.LOST_SALES, margin)


def _paused(store: Store, basket: Basket) -> bool:
    """Whether an item is not for sale: told to pause, or out of stock."""
    return any(
        product.stock < quantity or store.controls.active("sku.pause", product.sku, store.now)
        for product, quantity in basket.lines
    )


def _place(store: Store, payer: Payer, basket: Basket, order: str, amount: int) -> None:
    items = [
        {"sku": product.sku, "quantity": quantity, "price": product.price, "name": product.name}
        for product, quantity in basket.lines
    ]
    people = {"account": payer.account, "device": payer.device, "ip": payer.ip}
    contact = {"email": payer.email, "phone": payer.phone, "name": payer.name, "address": payer.address}
    if basket.coupon:
        value = {"value": basket.discount(), "currency": CURRENCY, "order": order}
        store.tell("coupon.redeemed", f"account:{payer.account}", {**people, "coupon": basket.coupon, **value})
    store.tell(
        "order.placed",
        f"order:{order}",
        {
            "order": order,
            "amount": amount,
            "currency": CURRENCY,
            **payer.fields(),
            "card": payer.card,
            **contact,
            "country": payer.country,
            "items": items,
            "coupon": basket.coupon,
            "discount": basket.discount() or None,
            "shipping_fee": basket.shipping() or None,
        },
    )


def _review(store: Store, draws: Draws, payer: Payer, basket: Basket, order: str) -> Actor:
    """A person looks at a held order and lets it go or cancels it."""
    store.books.lose(store.now, Loss.FRICTION, REVIEW_COST)
    yield int(draws.between(20, 60) * MINUTE)
    if payer.guilty and draws.chance(0.9):
        cancel(store, payer, order, "fraud_suspected")
        return
    if draws.chance(0.06):
        cancel(store, payer, order, "customer_gave_up")
        store.books.lose(store.now, Loss.LOST_SALES, basket.margin())
        return
    take(store, payer, order, basket.amount())
    if payer.guilty:
        defraud(store, draws, payer, None, order, basket.amount())
    yield from _deliver(store, draws, payer, basket, order)


def cancel(store: Store, payer: Payer, order: str, reason: str) -> None:
    """Close an order."""
    store.books.cancel(order)
    amount = store.books.orders[order].amount
    data = {"order": order, "reason": reason, "amount": amount, "currency": CURRENCY}
    store.tell("order.cancelled", f"order:{order}", data | payer.fields())


def _deliver(store: Store, draws: Draws, payer: Payer, basket: Basket, order: str) -> Actor:
    """Take the goods from stock and send them."""
    for product, quantity in basket.lines:
        product.stock = max(product.stock - quantity, 0)
        loss = max(product.cost - product.price, 0) * quantity
        store.books.lose(store.now, Loss.MISPRICING, loss)
        data = {"sku": product.sku, "on_hand": product.stock, "delta": -quantity, "reason": "sold", "warehouse": "wh-1"}
        store.tell("stock.changed", f"sku:{product.sku}", data)
    yield int(draws.between(2, 20) * HOUR)
    shipment, carrier = f"sh-{draws.hexadecimal(10)}", draws.pick(("swift", "yonder", "courier-9"))
    parcel = {"order": order, "shipment": shipment, "carrier": carrier, "account": payer.account}
    store.tell("order.shipped", f"order:{order}", {**parcel, "warehouse": "wh-1"})
    yield int(draws.between(20, 70) * HOUR)
    store.tell("order.delivered", f"order:{order}", parcel)
