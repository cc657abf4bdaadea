"""Rules in CEL as a shop would write them, as many as are asked for: features, amounts, states, paths and lists."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tocsin.core.desk import Aggregate, Rule, Window
from tocsin.core.signal import Decision, Mode, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HTTP, VIEWED, CART = ("http.request",), ("session.viewed",), ("cart.changed",)
PAYMENTS, ORDERS = ("payment.attempted",), ("order.placed",)
PAYING = (*PAYMENTS, *ORDERS)
LISTS = {
    "blocked": [f"100.100.{100 + n}.{101 + n % 9}" for n in range(50, 150)],
    "merchants": [f"m-{n:04d}" for n in range(900, 960)],
    "countries": ["KP", "IR"],
}
"""What is on the named lists that the rules read."""
PATTERNS = (
    r"(?i)union(.|%20)+select",
    r"\.\./\.\./",
    r"(?i)/wp-(login|admin)",
    r"/api/v[0-9]+/users\?id=[0-9]+%20",
    r"(?i)\.(env|git|bak)$",
)
_ANSWERS = (Decision.CHALLENGE, Decision.HOLD, Decision.DENY)


def rule_book(
    count: int, windows: Sequence[Window], *, busiest_per_s: float = 100.0, seed: int = 0
) -> tuple[Rule, ...]:
    """Return ``count`` live rules over the windows' features, the first ones the same however many are asked for.

    ``busiest_per_s`` is how many events a second the busiest key has: no bound on a count lies below its number, so
    that rules fire on what is rare and not on every event of a zipf law's head.
    """
    rng = random.Random(seed)
    shapes = _shapes(rng, windows, busiest_per_s)
    rules = []
    for number in range(count):
        on, when = next(shapes)
        code = f"bench-{number:03d}"
        text = Text(f"Benchmark rule {number}", f"基准规则 {number}")
        rules.append(
            Rule(id=code, when=when, decision=rng.choice(_ANSWERS), code=code, text=text, on=on, mode=Mode.LIVE)
        )
    return tuple(rules)


def _bound(window: Window, busiest: float, rng: random.Random) -> str:
    """Return a bound that the feature seldom reaches."""
    events = busiest * window.span_s * rng.uniform(1.5, 4.0)
    value = {
        Aggregate.COUNT: events,
        Aggregate.SUM: events * (60_000 if window.field == "amount" else 40_000),
        Aggregate.MEAN: 200_000.0 if window.field == "amount" else 2_000.0,
        Aggregate.STD: 250_000.0 if window.field == "amount" else 3_000.0,
        Aggregate.DISTINCT: events,
        Aggregate.RECENCY: window.span_s * rng.uniform(0.98, 1.0),
    }[window.fold]
    return f"{value:.1f}"


def _shapes(rng: random.Random, windows: Sequence[Window], busiest: float) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (event types, expression) without end, the shapes in turn."""
    personal = [window for window in windows if window.by != "ip"]
    by_ip = [window for window in windows if window.by == "ip"]
    counts = [window for window in windows if window.fold is Aggregate.COUNT]
    pairs = [(a, b) for a in counts for b in counts if a.by == b.by and a.span_s < b.span_s]
    # Fields that not every type declares need rules that look at the types that do.
    paid = [window for window in windows if window.by in ("account", "card")]

    def over(choice: Sequence[Window]) -> str:
        window = rng.choice(choice)
        return f"features.{window.name} > {_bound(window, busiest, rng)}"

    while True:
        amount = rng.randrange(60_000, 500_000, 1_000)
        a, b = rng.sample(counts, 2)
        short, long = rng.choice(pairs)
        yield (), over(windows)
        yield PAYING, f"data.amount > {amount} && {over(paid)}"
        yield PAYMENTS, f'data.status == "declined" && data.amount > {amount}'
        yield HTTP, f"data.status >= 400 && {over(by_ip)}"
        yield (), f"{over(personal)} && {over(by_ip)}"
        yield PAYMENTS, f'data.status in ["declined", "failed"] && data.gateway == "stripe" && data.amount > {amount}'
        yield HTTP, f'data.method == "POST" && data.path.startsWith("/api/") && {over(by_ip)}'
        yield (), f"features.{a.name} > {_bound(a, busiest, rng)} || features.{b.name} > {_bound(b, busiest, rng)}"
        yield PAYING, f'data.country != "CN" && data.currency != "CNY" && data.amount > {amount}'
        yield ORDERS, f"has(data.coupon) && data.discount * {rng.randint(2, 9)} > data.amount && data.amount > 0"
        yield CART, f'data.change == "add" && data.quantity > {rng.randint(5, 20)} && data.price > {amount // 10}'
        yield HTTP, f'data.path.matches("{rng.choice(PATTERNS)}")'.replace("\\", "\\\\")
        yield (), f'in_list("blocked", data.ip) && features.{a.name} > {rng.randint(1, 50)}.0'
        yield VIEWED, f'data.page == "checkout" && data.duration_ms < {rng.randint(2, 9)} && {over(personal)}'
        yield PAYING, f"double(data.amount) > {rng.randint(40, 400)}.0 * {_bound(paid[0], busiest, rng)}"
        yield (
            (),
            f"features.{short.name} > 10.0 && features.{long.name} / features.{short.name} > {2 * amount // 1000}.0",
        )
        yield HTTP, f'data.user_agent.contains("python-requests") && data.bytes > {amount * 3} && {over(by_ip)}'
        yield PAYMENTS, f'in_list("merchants", data.merchant) && data.duration_ms > {rng.randint(3, 9)}000'
        yield PAYING, f"score > 0.{rng.randint(90, 99)} && data.amount > {amount}"
        yield PAYMENTS, f'!(data.country in ["CN", "HK", "SG"]) && data.method == "card" && {over(paid)}'
