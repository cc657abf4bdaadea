"""From the basket to the parcel: sign-in, order, payment through a gateway, review, shipping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import HOUR, MINUTE, SECOND
from tocsin.core.signal import Decision
from tocsin.twin.books import Loss
from tocsin.twin.world import BY_NAME, CURRENCY, GATEWAY_EDGES, GATEWAYS, Gateway, Payer, Product

if TYPE_CHECKING:
    from collections.abc import Generator

    from tocsin.twin.draws import Draws
    from tocsin.twin.store import Actor, Store

STEP_UP_COST = 15
"""Minor units: one text message."""
REVIEW_COST = 600
"""Minor units: five minutes of a person."""
AUTHORISATION_FEE = 60
"""Minor units that one tried stolen card costs: authorisation and scheme penalty."""
CHARGE_BACK_FEE = 15_000
PASSES_STEP_UP = {True: 0.06, False: 0.95}
"""Share of crooks and of honest people that pass a step-up."""
DECLINES = ("insufficient_funds", "do_not_honor", "incorrect_cvc", "expired_card")
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
    data = {"account": payer.account, "device": payer.device, "ip": payer.ip}
    more = {"session": payer.session.removesuffix("+"), "country": payer.country, "user_agent": payer.agent}
    store.tell("account.login", f"account:{payer.account}", {**data, **more, "success": success, "method": "password"})


def step_up(store: Store, draws: Draws, payer: Payer, *, wanted: bool = False) -> bool:
    """Ask for a second factor where the store was told to (or ``wanted``); return whether they may go on."""
    if not wanted and not store.controls.steps_up(payer, store.now):
        return True
    store.books.lose(store.now, Loss.FRICTION, STEP_UP_COST)
    return draws.aside.chance(PASSES_STEP_UP[bool(payer.guilty)])


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
            **people,
            "session": payer.session.removesuffix("+"),
            "card": payer.card,
            **contact,
            "country": payer.country,
            "items": items,
            "coupon": basket.coupon,
            "discount": basket.discount() or None,
            "shipping_fee": basket.shipping() or None,
        },
    )


def route(store: Store, wanted: Gateway) -> Gateway:
    """Return the gateway to take: the wanted one unless payments are to be routed away from it."""
    if not store.controls.active("gateway.failover", wanted.name, store.now):
        return wanted
    for other in GATEWAYS:
        if other.name != wanted.name and not store.controls.active("gateway.failover", other.name, store.now):
            return other
    return wanted


def pay(
    store: Store,
    draws: Draws,
    payer: Payer,
    wanted: Gateway,
    order: str,
    amount: int,
    *,
    forced_decline: bool = False,
    decline: float = 0.05,
) -> Generator[int, None, str]:
    """Try one payment; return ``paid``, ``held``, ``declined``, ``failed`` or ``refused`` (by the store itself)."""
    if store.controls.blocks(payer, store.now) or store.controls.active("payment.freeze", payer.card, store.now):
        return "refused"
    if not step_up(store, draws, payer):
        return "refused"
    gateway = route(store, wanted)
    attributes = {"gateway": gateway.name, "country": payer.country}
    duration = draws.lognormal(gateway.median_ms, 0.45) * store.factor("latency", "payments", attributes)
    duration = min(duration + store.added_ms("payments", attributes), 30_000)
    share, code, trouble = store.failing("payments", attributes)
    broken, ordinary, luck = draws.chance(share), draws.chance(gateway.failure), draws.chance(decline)
    reason, choice = "", draws.pick(DECLINES)
    if broken or ordinary or duration >= 30_000:
        status, reason = "failed", code if broken else "gateway_timeout"
    elif luck or forced_decline:
        status, reason = "declined", choice
    else:
        status = "succeeded"
    yield int(duration * 1000)
    if broken:
        store.books.hurt(store.now, trouble)
    event, decision = attempt(store, payer, gateway, order, amount, status, reason, int(duration), draws)
    if payer.guilty:
        store.books.lose(store.now, Loss.FEES, AUTHORISATION_FEE)
        if status == "declined" and draws.chance(0.3):
            store.spawn(_label(store, event, payer, "fraud", "analyst"), int(draws.between(1, 12) * HOUR))
    if status != "succeeded":
        return status
    return (yield from _obey(store, draws, payer, decision, event, order, amount, gateway, wanted))


def attempt(
    store: Store,
    payer: Payer,
    gateway: Gateway,
    order: str,
    amount: int,
    status: str,
    reason: str,
    duration_ms: int,
    draws: Draws,
) -> tuple[dict[str, object], Decision]:
    """Tell of a payment as the gateway answered it and ask whether to take the money; return (event, decision)."""
    store.books.counts[f"payment_{status}"] += 1
    return store.ask(
        "payment.attempted",
        f"card:{payer.card}",
        {
            "payment": f"p-{draws.hexadecimal(10)}",
            "order": order,
            "amount": amount,
            "currency": CURRENCY,
            "account": payer.account,
            "device": payer.device,
            "ip": payer.ip,
            "session": payer.session.removesuffix("+"),
            "card": payer.card,
            "address": payer.address,
            "gateway": gateway.name,
            "status": status,
            "decline_code": reason,
            "method": "card",
            "bin": payer.bin,
            "country": payer.country,
            "duration_ms": duration_ms,
        },
    )


def _obey(
    store: Store,
    draws: Draws,
    payer: Payer,
    decision: Decision,
    event: dict[str, object],
    order: str,
    amount: int,
    gateway: Gateway,
    wanted: Gateway,
) -> Generator[int, None, str]:
    """Do what the verdict says with an authorised payment."""
    store.books.counts[f"{decision.value}_{'guilty' if payer.guilty else 'honest'}"] += 1
    if decision is Decision.DENY:
        return "refused"
    if decision is Decision.HOLD or (order and store.controls.active("order.hold", order, store.now)):
        return "held"
    if decision is Decision.CHALLENGE:
        yield int(draws.gap(20) * SECOND)
        if not step_up(store, draws, payer, wanted=True):
            return "refused"
    extra = (gateway.fee - BY_NAME[wanted.name].fee) * amount / 10_000
    store.books.lose(store.now, Loss.ROUTING, extra)
    if order:
        store.books.pay(order)
        people = {"account": payer.account, "device": payer.device, "ip": payer.ip, "card": payer.card}
        data = {"order": order, "amount": amount, "currency": CURRENCY, "gateway": gateway.name, **people}
        store.tell("order.paid", f"order:{order}", data)
    if payer.guilty:
        _fraud(store, draws, payer, event, order, amount)
    return "paid"


def _fraud(store: Store, draws: Draws, payer: Payer, event: dict[str, object], order: str, amount: int) -> None:
    """Book what a successful fraud costs; the label comes with the charge-back, hours or days later."""
    store.books.lose(store.now, Loss.FRAUD, amount + CHARGE_BACK_FEE)
    if order:
        store.books.charge_back(order)
    delay = 4 * HOUR + int(draws.gap(30) * HOUR)
    store.spawn(_label(store, event, payer, "fraud", "chargeback"), delay)


def _label(store: Store, event: dict[str, object], payer: Payer, label: str, by: str) -> Actor:
    """Tell the truth about an earlier payment."""
    data = event["data"]
    amount = data.get("amount") if isinstance(data, dict) else None
    store.tell(
        "label.given",
        f"card:{payer.card}",
        {
            "of": event["id"],
            "of_source": event["source"],
            "of_time": event["time"],
            "label": label,
            "by": by,
            "account": payer.account,
            "device": payer.device,
            "ip": payer.ip,
            "card": payer.card,
            "address": payer.address,
            "amount": amount,
            "currency": CURRENCY,
        },
    )
    yield 1


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
    store.books.pay(order)
    people = {"account": payer.account, "device": payer.device, "ip": payer.ip, "card": payer.card}
    store.tell(
        "order.paid", f"order:{order}", {"order": order, "amount": basket.amount(), "currency": CURRENCY} | people
    )
    if payer.guilty:
        store.books.lose(store.now, Loss.FRAUD, basket.amount() + CHARGE_BACK_FEE)
        store.books.charge_back(order)
    yield from _deliver(store, draws, payer, basket, order)


def cancel(store: Store, payer: Payer, order: str, reason: str) -> None:
    """Close an order."""
    store.books.cancel(order)
    people = {"account": payer.account, "device": payer.device, "ip": payer.ip}
    amount = store.books.orders[order].amount
    data = {"order": order, "reason": reason, **people, "amount": amount, "currency": CURRENCY}
    store.tell("order.cancelled", f"order:{order}", data)


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
