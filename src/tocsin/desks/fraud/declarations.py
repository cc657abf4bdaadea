"""What the fraud desk asks of the data plane: windows, series, rules and the kinds of its signals.

Spans above one hour are multiples of one day, so that all windows of one key share one log of hourly hops.
"""

from __future__ import annotations

from tocsin.core.desk import Aggregate, Measure, Novel, Ratio, Rule, Series, Window
from tocsin.core.signal import Decision, Text

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400
PAYMENT = ("payment.attempted",)
LABEL = ("label.given",)
SCORED = ("payment.attempted", "order.placed")
DECLINED = "data.status == 'declined'"
FRAUD = "data.label == 'fraud'"
MATURITY_S = 7 * DAY_S
"""How long the truth about a payment takes: base rates are counted over payments at least so old."""


def _window(name: str, fold: Aggregate, by: str, span_s: int, of: tuple[str, ...] = PAYMENT, **more: object) -> Window:
    return Window(name=name, fold=fold, by=by, span_s=span_s, of=of, **more)  # type: ignore[arg-type]


def _burst(entity: str, label: str, span_s: int) -> tuple[Window | Ratio, ...]:
    """Return what card testing looks like from one address, device or bin: attempts, cards, declines and money."""
    return (
        _window(f"{entity}_n_{label}", Aggregate.COUNT, entity, span_s),
        _window(f"{entity}_cards_{label}", Aggregate.DISTINCT, entity, span_s, field="card"),
        _window(f"{entity}_declined_{label}", Aggregate.COUNT, entity, span_s, where=DECLINED),
        _window(f"{entity}_sum_{label}", Aggregate.SUM, entity, span_s, field="amount"),
    )


def _risk(entity: str, days: int) -> tuple[Window | Ratio, ...]:
    """Return the matured risk of a key: labels of the last days over the payments they can belong to."""
    fraud, base = f"{entity}_fraud_{days}d", f"{entity}_base_{days}d"
    return (
        _window(fraud, Aggregate.COUNT, entity, days * DAY_S, LABEL, where=FRAUD),
        _window(base, Aggregate.COUNT, entity, days * DAY_S, delay_s=MATURITY_S),
        Ratio(name=f"{entity}_risk_{days}d", over=fraud, under=base),
    )


_CARD = (
    _window("card_n_1h", Aggregate.COUNT, "card", HOUR_S),
    _window("card_since", Aggregate.RECENCY, "card", 7 * DAY_S),
    _window("card_n_1d", Aggregate.COUNT, "card", DAY_S),
    _window("card_n_7d", Aggregate.COUNT, "card", 7 * DAY_S),
    _window("card_base_56d", Aggregate.COUNT, "card", 56 * DAY_S, delay_s=MATURITY_S),
    _window("card_mean_1d", Aggregate.MEAN, "card", DAY_S, field="amount"),
    _window("card_mean_7d", Aggregate.MEAN, "card", 7 * DAY_S, field="amount"),
    _window("card_std_7d", Aggregate.STD, "card", 7 * DAY_S, field="amount"),
    _window("card_mean_14d", Aggregate.MEAN, "card", 14 * DAY_S, field="amount"),
    _window("card_std_14d", Aggregate.STD, "card", 14 * DAY_S, field="amount"),
    _window("card_mean_28d", Aggregate.MEAN, "card", 28 * DAY_S, field="amount"),
    _window("card_base_mean", Aggregate.MEAN, "card", 56 * DAY_S, field="amount", delay_s=MATURITY_S),
    _window("card_base_std", Aggregate.STD, "card", 56 * DAY_S, field="amount", delay_s=MATURITY_S),
    _window("card_fraud_56d", Aggregate.COUNT, "card", 56 * DAY_S, LABEL, where=FRAUD),
    _window("card_fraud_sum_56d", Aggregate.SUM, "card", 56 * DAY_S, LABEL, where=FRAUD, field="amount"),
)
_ACCOUNT = (
    _window("account_n_1h", Aggregate.COUNT, "account", HOUR_S),
    _window("account_n_1d", Aggregate.COUNT, "account", DAY_S),
    _window("account_sum_1d", Aggregate.SUM, "account", DAY_S, field="amount"),
    _window("account_mean_28d", Aggregate.MEAN, "account", 28 * DAY_S, field="amount"),
    _window("account_cards_1d", Aggregate.DISTINCT, "account", DAY_S, field="card"),
    _window("account_declined_1h", Aggregate.COUNT, "account", HOUR_S, where=DECLINED),
    _window("account_orders_1h", Aggregate.COUNT, "account", HOUR_S, ("order.placed",)),
    _window("account_fraud_56d", Aggregate.COUNT, "account", 56 * DAY_S, LABEL, where=FRAUD),
)
_DEVICE = (
    *_burst("device", "1h", HOUR_S),
    _window("device_accounts_1d", Aggregate.DISTINCT, "device", DAY_S, field="account"),
    _window("device_fraud_56d", Aggregate.COUNT, "device", 56 * DAY_S, LABEL, where=FRAUD),
)
_IP = (
    *_burst("ip", "10m", 10 * MINUTE_S),
    *_burst("ip", "1h", HOUR_S),
    _window("ip_fraud_28d", Aggregate.COUNT, "ip", 28 * DAY_S, LABEL, where=FRAUD),
)
_BIN = (*_burst("bin", "10m", 10 * MINUTE_S), *_burst("bin", "1h", HOUR_S))
_ADDRESS = (
    _window("address_cards_7d", Aggregate.DISTINCT, "address", 7 * DAY_S, field="card"),
    _window("address_accounts_7d", Aggregate.DISTINCT, "address", 7 * DAY_S, field="account"),
    _window("address_fraud_56d", Aggregate.COUNT, "address", 56 * DAY_S, LABEL, where=FRAUD),
)
_MERCHANT = (
    *(window for days in (1, 2, 3, 7, 14, 21, 28, 35, 56) for window in _risk("merchant", days)),
    *(
        _window(f"merchant_fraud_sum_{d}d", Aggregate.SUM, "merchant", d * DAY_S, LABEL, where=FRAUD, field="amount")
        for d in (3, 7, 14, 28)
    ),
)

WINDOWS: tuple[Window | Ratio, ...] = (*_CARD, *_ACCOUNT, *_DEVICE, *_IP, *_BIN, *_ADDRESS, *_MERCHANT)

NOVEL = Novel(
    of=PAYMENT,
    features=(
        "card_n_1h",
        "card_n_1d",
        "account_n_1h",
        "account_sum_1d",
        "device_n_1h",
        "device_cards_1h",
        "ip_n_1h",
        "ip_cards_1h",
        "ip_sum_1h",
    ),
)
"""What an unusual payment is told by: how much its card, customer, device and address have done of late."""

SERIES = (
    Series(
        name="fraud.declines",
        measure=Measure.COUNT,
        of=PAYMENT,
        bucket_s=MINUTE_S,
        where=DECLINED,
        hurts="up",
        unit="payments",
    ),
    Series(
        name="fraud.declined_amount",
        measure=Measure.MEAN,
        of=PAYMENT,
        bucket_s=MINUTE_S,
        field="amount",
        where=DECLINED,
        hurts="down",
        unit="minor units",
    ),
)

KINDS = {
    "card-testing": Text("Card testing", "盗卡试刷"),
    "account-fraud": Text("Fraudulent payments of one customer", "单一客户的欺诈支付"),
}


def _rule(id: str, when: str, decision: Decision, code: str, text: Text, on: tuple[str, ...] = SCORED) -> Rule:
    return Rule(id=f"fraud.{id}", when=when, decision=decision, code=code, text=text, on=on, desk="fraud")


RULES = (
    _rule(
        "blocked-card",
        'in_list("blocked_cards", data.card)',
        Decision.DENY,
        "card-blocked",
        Text("This card cannot be used here. Please use another one.", "此卡无法在本店使用，请更换支付方式。"),
    ),
    _rule(
        "confirmed-card",
        "features.card_fraud_56d >= 1.0",
        Decision.HOLD,
        "card-history",
        Text(
            "An earlier payment with this card was disputed, so we check this order by hand.",
            "此卡近期有被争议的付款，我们将人工核对本订单。",
        ),
    ),
    _rule(
        "confirmed-address",
        "features.address_fraud_56d >= 2.0",
        Decision.HOLD,
        "address-history",
        Text(
            "Earlier orders to this address were disputed, so we check this order by hand.",
            "寄往该地址的订单曾被争议，我们将人工核对本订单。",
        ),
    ),
    _rule(
        "card-velocity",
        "features.card_n_1h >= 8.0",
        Decision.CHALLENGE,
        "many-payments",
        Text(
            "There were many payments in a short time. Please confirm that it is you.",
            "短时间内付款次数较多，请验证是您本人操作。",
        ),
        PAYMENT,
    ),
    _rule(
        "device-cards",
        "features.device_cards_1h >= 4.0",
        Decision.CHALLENGE,
        "many-cards",
        Text(
            "Several cards were tried on this device. Please confirm that it is you.",
            "该设备短时间内使用了多张卡，请验证是您本人操作。",
        ),
        PAYMENT,
    ),
    _rule(
        "testing-device",
        "features.device_cards_1h >= 5.0 && features.device_declined_1h >= 4.0",
        Decision.DENY,
        "card-testing",
        Text(
            "Too many declined cards were tried on this device. Please try again later or contact us.",
            "该设备尝试的卡多次被拒，请稍后再试或联系客服。",
        ),
        PAYMENT,
    ),
    _rule(
        "testing-ip",
        "features.ip_cards_10m >= 8.0 && features.ip_declined_10m >= 6.0",
        Decision.CHALLENGE,
        "card-testing",
        Text(
            "Many declined cards were tried from your network. Please confirm that it is you.",
            "您所在网络有多张卡被拒，请验证是您本人操作。",
        ),
        PAYMENT,
    ),
)
