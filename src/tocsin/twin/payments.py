"""Payments: a card, a gateway, a verdict; and what a fraud costs, whose label comes hours or days later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.events import HOUR, SECOND
from tocsin.core.signal import Decision
from tocsin.twin.books import Loss
from tocsin.twin.world import BY_NAME, CURRENCY, GATEWAYS, Gateway, Payer

if TYPE_CHECKING:
    from collections.abc import Generator

    from tocsin.twin.draws import Draws
    from tocsin.twin.store import Actor, Store

STEP_UP_COST = 15
"""Minor units: one text message."""
AUTHORISATION_FEE = 60
"""Minor units that one tried stolen card costs: authorisation and scheme penalty."""
CHARGE_BACK_FEE = 15_000
PASSES_STEP_UP = {True: 0.06, False: 0.95}
"""Share of crooks and of honest people that pass a step-up."""
DECLINES = ("insufficient_funds", "do_not_honor", "incorrect_cvc", "expired_card")
LONGEST_MS = 30_000
DECLINED = 0.05
"""Share of honest payments that the card's bank declines."""


class Attempt(msgspec.Struct, frozen=True):
    """One payment as the gateway answered it; ``order`` is empty where only a card was tried."""

    order: str
    amount: int
    gateway: str
    status: str
    reason: str
    duration_ms: int


def step_up(store: Store, draws: Draws, payer: Payer, *, wanted: bool = False) -> bool:
    """Ask for a second factor where the store was told to (or ``wanted``); return whether they may go on."""
    if not wanted and not store.controls.steps_up(payer, store.now):
        return True
    store.books.lose(store.now, Loss.FRICTION, STEP_UP_COST)
    return draws.aside.chance(PASSES_STEP_UP[bool(payer.guilty)])


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
) -> Generator[int, None, str]:
    """Try one payment; return ``paid``, ``held``, ``declined``, ``failed`` or ``refused`` (by the store itself)."""
    if store.controls.blocks(payer, store.now) or store.controls.active("payment.freeze", payer.card, store.now):
        return "refused"
    if not step_up(store, draws, payer):
        return "refused"
    tried, trouble = _through(store, draws, payer, route(store, wanted), order, amount, forced_decline)
    yield tried.duration_ms * 1000
    if trouble:
        store.books.hurt(store.now, trouble)
    event, decision = tell(store, draws, payer, tried)
    if payer.guilty:
        store.books.lose(store.now, Loss.FEES, AUTHORISATION_FEE)
        if tried.status == "declined" and draws.chance(0.3):
            store.spawn(label(store, event, payer, "analyst"), int(draws.between(1, 12) * HOUR))
    if tried.status != "succeeded":
        return tried.status
    return (yield from _obey(store, draws, payer, decision, event, tried, wanted))


def _through(
    store: Store, draws: Draws, payer: Payer, gateway: Gateway, order: str, amount: int, forced_decline: bool
) -> tuple[Attempt, str]:
    """Send a payment through a gateway; return it with the trouble that broke it, if one did."""
    attributes = {"gateway": gateway.name, "country": payer.country}
    duration = draws.lognormal(gateway.median_ms, 0.45) * store.factor("latency", "payments", attributes)
    duration = min(duration + store.added_ms("payments", attributes), LONGEST_MS)
    share, code, trouble = store.failing("payments", attributes)
    # All of them are drawn in any case: the actor's later numbers must not depend on the trouble.
    broken, ordinary, declined = draws.chance(share), draws.chance(gateway.failure), draws.chance(DECLINED)
    reason = draws.pick(DECLINES)
    if broken or ordinary or duration >= LONGEST_MS:
        status, reason = "failed", code if broken else "gateway_timeout"
    elif declined or forced_decline:
        status = "declined"
    else:
        status, reason = "succeeded", ""
    return Attempt(order, amount, gateway.name, status, reason, int(duration)), trouble if broken else ""


def tell(store: Store, draws: Draws, payer: Payer, tried: Attempt) -> tuple[dict[str, Any], Decision]:
    """Tell of a payment and ask whether to take the money; return (event, decision)."""
    store.books.counts[f"payment_{tried.status}"] += 1
    return store.ask(
        "payment.attempted",
        f"card:{payer.card}",
        {
            "payment": f"p-{draws.hexadecimal(10)}",
            "order": tried.order,
            "amount": tried.amount,
            "currency": CURRENCY,
            **payer.fields(),
            "card": payer.card,
            "address": payer.address,
            "gateway": tried.gateway,
            "status": tried.status,
            "decline_code": tried.reason,
            "method": "card",
            "bin": payer.bin,
            "country": payer.country,
            "duration_ms": tried.duration_ms,
        },
    )


def _obey(
    store: Store,
    draws: Draws,
    payer: Payer,
    decision: Decision,
    event: dict[str, Any],
    tried: Attempt,
    wanted: Gateway,
) -> Generator[int, None, str]:
    """Do what the verdict says with an authorised payment."""
    store.books.counts[f"{decision.value}_{'guilty' if payer.guilty else 'honest'}"] += 1
    if decision is Decision.DENY:
        return "refused"
    if decision is Decision.HOLD or store.controls.active("order.hold", tried.order, store.now):
        return "held"
    if decision is Decision.CHALLENGE:
        yield int(draws.aside.gap(20) * SECOND)
        if not step_up(store, draws, payer, wanted=True):
            return "refused"
    extra = (BY_NAME[tried.gateway].fee - BY_NAME[wanted.name].fee) * tried.amount / 10_000
    store.books.lose(store.now, Loss.ROUTING, extra)
    take(store, payer, tried.order, tried.amount, tried.gateway)
    if payer.guilty:
        defraud(store, draws, payer, event, tried.order, tried.amount)
    return "paid"


def take(store: Store, payer: Payer, order: str, amount: int, gateway: str = "") -> None:
    """Take the money of an order."""
    store.books.pay(order)
    data = {"order": order, "amount": amount, "currency": CURRENCY, "gateway": gateway, "card": payer.card}
    store.tell("order.paid", f"order:{order}", data | payer.fields())


def defraud(store: Store, draws: Draws, payer: Payer, event: dict[str, Any] | None, order: str, amount: int) -> None:
    """Book what a successful fraud costs; the label of its payment comes with the charge-back."""
    goods = amount if order else 0
    store.books.lose(store.now, Loss.FRAUD, goods + CHARGE_BACK_FEE)
    if order:
        store.books.charge_back(order)
    if event is not None:
        store.spawn(label(store, event, payer, "chargeback"), 4 * HOUR + int(draws.gap(30) * HOUR))


def label(store: Store, event: dict[str, Any], payer: Payer, by: str) -> Actor:
    """Tell that an earlier payment was a fraud, repeating its entities."""
    about = {"of": event["id"], "of_source": event["source"], "of_time": event["time"], "label": "fraud", "by": by}
    things = {"card": payer.card, "address": payer.address, "amount": event["data"]["amount"], "currency": CURRENCY}
    store.tell("label.given", f"card:{payer.card}", about | payer.fields() | things)
    yield 1
