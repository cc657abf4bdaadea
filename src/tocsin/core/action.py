"""Action, Ruling and Outcome: one wish, whether it may be, and what came of it. And the table of verbs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tocsin.core.events import Entity, derived_id
from tocsin.core.signal import Text


class Unit(StrEnum):
    """What a verb's budget is counted in: business units, across all desks."""

    MESSAGES = "messages"
    ORDERS = "orders"
    ACCOUNTS = "accounts"
    ADDRESSES = "addresses"
    CARDS = "cards"
    SKUS = "skus"
    GATEWAYS = "gateways"
    REPLICAS = "replicas"
    MONEY = "money"


class Verb(msgspec.Struct, frozen=True):
    """One thing that can be wished: imperative name, what it is done to, its budget unit and its limits.

    ``undo`` is the verb's own inverse, done by the same actuator; a verb without one needs a person.
    ``ttl_s`` is the default life of the effect in seconds; 0 for a verb without a lasting effect.
    ``per_hour`` is the default budget of a new installation, in ``unit``.
    """

    name: str
    target: Entity | None
    unit: Unit
    ttl_s: int
    per_hour: int
    reversible: bool
    text: Text


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb("notify", None, Unit.MESSAGES, 0, 60, True, Text("Notify {who}", "通知{who}")),
        Verb("order.hold", None, Unit.ORDERS, 3600, 200, True, Text("Hold order {target}", "暂扣订单 {target}")),
        Verb(
            "payment.freeze",
            Entity.CARD,
            Unit.CARDS,
            3600,
            100,
            True,
            Text("Freeze payments of card {target}", "冻结卡 {target} 的付款"),
        ),
        Verb(
            "gateway.failover",
            Entity.SERVICE,
            Unit.GATEWAYS,
            1800,
            2,
            True,
            Text("Route payments away from {target}", "将付款从网关 {target} 切走"),
        ),
        Verb("sku.pause", Entity.SKU, Unit.SKUS, 3600, 20, True, Text("Pause sales of {target}", "暂停销售 {target}")),
        Verb(
            "account.stepup",
            Entity.ACCOUNT,
            Unit.ACCOUNTS,
            3600,
            500,
            True,
            Text("Ask {target} for step-up verification", "要求 {target} 加强验证"),
        ),
        Verb(
            "device.stepup",
            Entity.DEVICE,
            Unit.ACCOUNTS,
            3600,
            500,
            True,
            Text("Ask device {target} for step-up verification", "要求设备 {target} 加强验证"),
        ),
        Verb(
            "ip.block", Entity.IP, Unit.ADDRESSES, 900, 500, True, Text("Block address {target}", "封禁地址 {target}")
        ),
        Verb(
            "ip.challenge",
            Entity.IP,
            Unit.ADDRESSES,
            900,
            1000,
            True,
            Text("Challenge address {target}", "对地址 {target} 发起人机验证"),
        ),
        Verb(
            "shop.protect",
            Entity.SHOP,
            Unit.REPLICAS,
            900,
            4,
            True,
            Text("Challenge every unknown visitor of {target}", "对 {target} 的所有陌生访客发起验证"),
        ),
        Verb(
            "service.scale", Entity.SERVICE, Unit.REPLICAS, 1800, 10, True, Text("Scale out {target}", "扩容 {target}")
        ),
        Verb(
            "stock.reorder",
            Entity.SKU,
            Unit.MONEY,
            0,
            0,
            False,
            Text("Propose to reorder {target}", "建议补货 {target}"),
        ),
        Verb(
            "price.propose",
            Entity.SKU,
            Unit.SKUS,
            0,
            50,
            False,
            Text("Propose a price for {target}", "建议 {target} 的价格"),
        ),
        Verb(
            "shipment.reroute", None, Unit.ORDERS, 0, 100, False, Text("Reroute shipment {target}", "改派运单 {target}")
        ),
        Verb(
            "substitute.offer",
            Entity.SKU,
            Unit.MESSAGES,
            3600,
            100,
            True,
            Text("Offer substitutes for {target}", "为 {target} 提供替代品"),
        ),
        Verb(
            "reply.send",
            Entity.ACCOUNT,
            Unit.MESSAGES,
            0,
            100,
            False,
            Text("Answer customer {target}", "答复客户 {target}"),
        ),
    )
}


class ActionState(StrEnum):
    """Where an action stands. ``asked`` waits for a person; ``due`` is ruled ALLOW and recorded, not yet done."""

    ASKED = "asked"
    SUGGESTED = "suggested"
    DUE = "due"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    UNDOING = "undoing"
    UNDONE = "undone"
    EXPIRED = "expired"


class Answer(StrEnum):
    """May we? The three answers of the guard."""

    ALLOW = "ALLOW"
    ASK = "ASK"
    DENY = "DENY"


class Effect(StrEnum):
    """Did it help? Judged from the series that the action named."""

    HELPED = "helped"
    NO_DIFFERENCE = "no_difference"
    HURT = "hurt"
    UNKNOWN = "unknown"


class Expectation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which series an action should move, in which direction, by when (law 6)."""

    series: str
    direction: str
    """``down`` or ``up``: where the series should go."""
    within_s: int


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wish: verb, target, arguments, ttl, idempotency key.

    The id is the idempotency key: it derives from incident, playbook, step and target, so that the same wish made
    twice is one action. ``created``, ``decided``, ``done`` and ``ended`` are microseconds; 0 before they happen.
    """

    id: str
    shop: str
    incident: str
    playbook: str
    step: int
    verb: str
    target: str
    args: dict[str, Any] = {}
    ttl_s: int = 0
    cost: int = 1
    """How much of the verb's budget it takes, in the verb's unit."""
    expect: Expectation | None = None
    state: ActionState = ActionState.SUGGESTED
    effect: str = ""
    """An ``Effect`` once it is judged; empty before."""
    created: int = 0
    decided: int = 0
    done: int = 0
    ended: int = 0
    expires: int = 0
    by: str = "tocsin"
    """Who approved, denied or undid it last."""
    error: str = ""
    attempts: int = 0
    before: float | None = None
    """Level of the expected series when the action was done; ``after`` when it was judged."""
    after: float | None = None
    version: int = 1


class Ruling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """May we? With reasons; recorded before anything is done."""

    id: str
    action: str
    answer: Answer
    reasons: tuple[Reasoned, ...]
    time: int
    by: str = "guard"


class Reasoned(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ground of a ruling: a stable code and a text for people."""

    code: str
    text: Text


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an actuator says of one do or undo: the outside world's own reference and details."""

    ok: bool
    ref: str = ""
    detail: str = ""
    retry: bool = False
    """Whether a failure may pass by itself."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of an action: done, failed, undone, expired; and helped, made no difference, or hurt."""

    id: str
    action: str
    what: str
    time: int
    effect: str = ""
    before: float | None = None
    after: float | None = None
    detail: str = ""
    by: str = "tocsin"


def action_id(incident: str, playbook: str, step: int, verb: str, target: str) -> str:
    """Return the identity and idempotency key of a wish."""
    return derived_id("action", incident, playbook, step, verb, target)
