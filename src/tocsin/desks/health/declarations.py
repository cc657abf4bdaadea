"""What the health desk asks of the data plane: its series, and the kinds of its signals."""

from __future__ import annotations

from tocsin.core.desk import Measure, Series
from tocsin.core.signal import Text

PAYMENT = ("payment.attempted",)
ENDED = "!has(data.status) || data.status != 'pending'"
BROKEN = "data.status == 'failed'"
"""The gateway's own failures; a declined card is the issuer's answer and says nothing about the gateway."""
BUCKET_S = 10
KEEP = 1440
"""Four hours."""


def _payments(name: str, measure: Measure, **more: object) -> Series:
    return Series(name=name, measure=measure, of=PAYMENT, bucket_s=BUCKET_S, keep=KEEP, **more)  # type: ignore[arg-type]


FAILURES = _payments(
    "health.payment-failures", Measure.RATIO, where=ENDED, hit=BROKEN, by="gateway", hurts="up", unit="share"
)
FAILED_AMOUNT = _payments(
    "health.failed-amount", Measure.SUM, field="amount", where=BROKEN, by="gateway", hurts="up", unit="money"
)
ALL_FAILURES = _payments(
    "health.payment-failures-all", Measure.RATIO, where=ENDED, hit=BROKEN, hurts="up", unit="share"
)
DURATION = _payments(
    "health.payment-time", Measure.QUANTILE, field="duration_ms", quantile=0.9, by="gateway", hurts="up", unit="ms"
)
ORDERS = Series(
    name="health.orders",
    measure=Measure.COUNT,
    of=("order.placed",),
    bucket_s=60,
    keep=KEEP,
    hurts="down",
    unit="orders",
    worth=5_000,
)
ERRORS = Series(
    name="health.http-errors",
    measure=Measure.RATIO,
    of=("http.request",),
    hit="data.status >= 500",
    bucket_s=BUCKET_S,
    keep=KEEP,
    hurts="up",
    unit="share",
    worth=20,
)
SERIES = (FAILURES, FAILED_AMOUNT, ALL_FAILURES, DURATION, ORDERS, ERRORS)

KINDS = {
    "gateway-outage": Text("Payment gateway outage", "支付网关故障"),
    "http-errors": Text("The shop answers with errors", "商店返回错误"),
    "orders-drop": Text("Orders have dropped", "订单骤降"),
}
