"""Honest people: they come by the rhythm of the day, look around, and one in eight wants to buy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.core.events import DAY, HOUR, MINUTE, SECOND
from tocsin.core.signal import Decision
from tocsin.twin.books import Loss
from tocsin.twin.checkout import Basket, checkout, sign_in
from tocsin.twin.payments import step_up
from tocsin.twin.world import CURRENCY, WORDS, Payer, Product, public_ip, rfc3339

if TYPE_CHECKING:
    from collections.abc import Generator

    from tocsin.twin.draws import Draws
    from tocsin.twin.store import Actor, Store

VISITS_PER_MINUTE = 9.0
"""On the day's average, before promotions."""
BUYERS = 0.15
"""Share of visits that want to buy."""
MAIL_FACTOR = 3.0
BRISK = 0.5
"""Share of capacity up to which pages come fast enough for everyone."""
IMPATIENCE = 0.3
"""Share that leaves a page, for each whole capacity above ``BRISK``."""


def arrivals(store: Store) -> Actor:
    """Let each minute's visitors in."""
    minute = 0
    for opening in store.openings:
        store.spawn(_announce(store, opening.name), 10 * MINUTE)
    while True:
        draws = store.draws("arrivals", minute)
        rate = VISITS_PER_MINUTE * store.tempo() * store.opening_factor()
        for number in range(draws.poisson(rate)):
            store.spawn(_visit(store, store.draws("visit", minute, number)), int(draws.unit() * MINUTE))
        surge = rate * (store.factor("rate", "visits", {}) - 1.0)
        if surge > 0:
            extra = store.draws("surge", minute)
            for number in range(extra.poisson(surge)):
                store.spawn(_visit(store, store.draws("extra", minute, number)), int(extra.unit() * MINUTE))
        minute += 1
        yield MINUTE


def _announce(store: Store, name: str) -> Actor:
    for opening in store.openings:
        if opening.name == name:
            data = {
                "campaign": name,
                "title": "Spring opening",
                "start": rfc3339(opening.at),
                "end": rfc3339(opening.end),
                "uplift": opening.uplift,
                "peak": opening.peak,
                "peak_minutes": opening.peak_minutes,
                "budget_factor": 2.0,
            }
            store.tell("campaign.planned", f"campaign:{name}", data)
    yield 1


def visitor(store: Store, draws: Draws) -> Payer:
    """Return who comes: mostly customers on their own devices, some of them at the office, and some strangers."""
    session = f"s-{draws.hexadecimal(12)}"
    number, customer = store.world.customer(draws)
    if draws.chance(0.3):
        return Payer(
            ip=public_ip(draws),
            device=f"dev-{draws.hexadecimal(12)}",
            agent=customer.agent,
            country="CN",
            session=session,
        )
    hour = ((store.now + 8 * HOUR) % DAY) / HOUR
    at_work = number in store.world.colleagues or draws.chance(0.03)
    ip = store.world.office if at_work and 9 <= hour < 18 else customer.ip
    if draws.chance(0.08):
        ip = public_ip(draws)
    card, digits = draws.pick(customer.cards)
    return Payer(
        ip=ip,
        device=draws.pick(customer.devices),
        agent=customer.agent,
        country=customer.country,
        session=session,
        account=customer.account,
        card=card,
        bin=digits,
        address=customer.address,
        email=customer.email,
        phone=customer.phone,
        name=customer.name,
        known=True,
    )


def fill(store: Store, draws: Draws) -> Basket:
    """Return what somebody means to buy: fixed before the first page, so that a lost sale has a price."""
    lines: list[tuple[Product, int]] = []
    for _ in range(1 + int(draws.chance(0.3)) + int(draws.chance(0.12))):
        product = store.world.product(draws)
        quantity = 1 + int(draws.chance(0.12))
        lines.append((product, quantity))
    return Basket(lines, coupon="WELCOME10" if draws.chance(0.12) else "")


def _visit(store: Store, draws: Draws, payer: Payer | None = None, *, referrer: str = "") -> Actor:
    """One visit: pages, perhaps a search, perhaps an order."""
    payer = payer or visitor(store, draws)
    basket = fill(store, draws) if draws.chance(BUYERS) else None
    referrer = referrer or draws.pick(("", "", "https://search.example.org/", "https://social.example.com/"))
    first = ("/", "home") if draws.chance(0.5) else (f"/list/{store.world.product(draws).category}", "list")
    if not _page(store, draws, payer, *first, referrer=referrer):
        return _give_up(store, basket)
    yield int(draws.gap(12) * SECOND)
    if draws.chance(0.22):
        category = store.world.product(draws).category
        query = draws.pick(WORDS[category])
        found = {"query": query, "results": draws.integer(60)}
        store.tell("search.performed", f"session:{payer.session}", payer.fields() | found)
        yield int(draws.gap(10) * SECOND)
    seen = [product for product, _ in basket.lines] if basket else []
    seen += [store.world.product(draws) for _ in range(draws.integer(3))]
    for product in seen:
        if not _page(store, draws, payer, f"/product/{product.sku}", "product", product=product):
            return _give_up(store, basket)
        yield int(draws.gap(20) * SECOND)
    if basket is None:
        return None
    if not payer.account:
        if not (yield from _register(store, draws, payer)):
            return _give_up(store, basket)
    elif draws.chance(0.7) and not (yield from sign_in(store, draws, payer)):
        return _give_up(store, basket)
    for product, quantity in basket.lines:
        line = {"sku": product.sku, "quantity": quantity, "change": "add", "price": product.price}
        store.tell("cart.changed", f"session:{payer.session}", payer.fields() | line | {"currency": CURRENCY})
        yield int(draws.gap(6) * SECOND)
    if not _page(store, draws, payer, "/checkout", "checkout"):
        return _give_up(store, basket)
    yield int(draws.gap(25) * SECOND)
    yield from checkout(store, draws, payer, basket)
    return None


def _give_up(store: Store, basket: Basket | None) -> None:
    """Book the sale that an honest visitor did not make."""
    if basket is not None:
        store.books.lose(store.now, Loss.LOST_SALES, basket.margin())
        store.books.counts["given_up"] += 1


def _page(
    store: Store,
    draws: Draws,
    payer: Payer,
    path: str,
    page: str,
    *,
    referrer: str = "",
    product: Product | None = None,
) -> bool:
    """Ask for a page, trying again once where the shop is overloaded; return whether they stay."""
    status = store.service.request(draws, payer, path, referrer=referrer)
    if status in (500, 503) and draws.aside.chance(0.5):
        status = store.service.request(draws, payer, path, referrer=referrer)
    if status not in (200, 404):
        return False
    view = {"page": page, "path": path, "sku": product.sku if product else ""}
    store.tell("session.viewed", f"session:{payer.session}", payer.fields() | view)
    return draws.unit() >= IMPATIENCE * max(store.service.load() - BRISK, 0.0)


def _register(store: Store, draws: Draws, payer: Payer) -> Generator[int, None, bool]:
    """A stranger becomes a customer; return whether the store lets them."""
    payer.account = f"acct-n{draws.hexadecimal(8)}"
    payer.card, payer.bin = f"card-{draws.hexadecimal(12)}", draws.pick(("622588", "621700", "622202"))
    payer.address = f"{draws.integer(900) + 1} Renmin Rd"
    payer.name = f"Lin {draws.hexadecimal(4)}"
    payer.email = f"{payer.account}@example.com"
    payer.phone = f"+86139{draws.integer(100_000_000):08d}"
    yield int(draws.gap(15) * SECOND)
    return register(store, draws, payer)


def register(store: Store, draws: Draws, payer: Payer) -> bool:
    """Open an account; the store asks whether it should. A denied one is not opened, a doubtful one must confirm."""
    contact = {"email": payer.email, "phone": payer.phone, "name": payer.name}
    origin = {"country": payer.country, "user_agent": payer.agent, "channel": "web"}
    _, decision = store.ask("account.registered", f"account:{payer.account}", payer.fields() | contact | origin)
    if decision is Decision.ALLOW:
        return True
    return decision is not Decision.DENY and step_up(store, draws, payer, wanted=True)


def oddities(store: Store) -> Actor:
    """What looks odd and is not: a mail that brings a burst of visitors, a customer whose card keeps being declined."""
    number = 0
    while True:
        draws = store.draws("oddity", number)
        yield int(draws.gap(8) * HOUR)
        number += 1
        if draws.chance(0.45):
            store.spawn(_mail(store, number))
        else:
            store.spawn(_unlucky(store, number))


def _mail(store: Store, number: int) -> Actor:
    """A marketing mail goes out unannounced: up to three times as many come, fading over a quarter of an hour."""
    for minute in range(15):
        draws = store.draws("mail", number, minute)
        fading = (MAIL_FACTOR - 1.0) * (1.0 - minute / 15)
        for visit in range(draws.poisson(VISITS_PER_MINUTE * store.tempo() * fading)):
            own = store.draws("mail-visit", number, minute, visit)
            actor = _visit(store, own, referrer="https://mail.example.com/")
            store.spawn(actor, int(draws.unit() * MINUTE))
        yield MINUTE


def _unlucky(store: Store, number: int) -> Actor:
    """One customer whose card is declined tries again and again, and then takes another one."""
    draws = store.draws("unlucky", number)
    payer = visitor(store, draws)
    if payer.account:
        basket = fill(store, draws)
        store.service.request(draws, payer, "/checkout")
        yield from checkout(store, draws, payer, basket, declined_times=3 + draws.integer(3))
