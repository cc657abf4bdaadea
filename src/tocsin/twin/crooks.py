"""Crooks: the ordinary few that every shop has, and the groups that a trouble brings."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tocsin.core.events import MINUTE, SECOND
from tocsin.core.signal import Decision
from tocsin.twin.books import Loss
from tocsin.twin.checkout import Basket, checkout, log_in
from tocsin.twin.draws import Draws
from tocsin.twin.payments import AUTHORISATION_FEE, DECLINES, Attempt, defraud, route, step_up, tell
from tocsin.twin.service import REQUEST_COST, restock
from tocsin.twin.shoppers import register, visitor
from tocsin.twin.world import (
    AGENTS,
    CURRENCY,
    FOREIGN_BINS,
    GATEWAY_EDGES,
    GATEWAYS,
    Payer,
    hosting_ip,
    public_ip,
)

if TYPE_CHECKING:
    from tocsin.twin.store import Actor, Store
    from tocsin.twin.trouble import Mix, Part, Trouble

EPISODES_PER_MINUTE = 0.010
"""Ordinary fraud, on the day's average."""
ROBOT_AGENTS = ("python-requests/2.32.3", "Go-http-client/2.0", "curl/8.9.1", "okhttp/4.12.0")


def background(store: Store) -> Actor:
    """The ordinary share of fraud: stolen cards, taken-over accounts, and customers who deny what they bought."""
    number = 0
    while True:
        draws = store.draws("background", number)
        yield int(draws.gap(1 / (EPISODES_PER_MINUTE * store.pace)) * MINUTE)
        number += 1
        kind = draws.unit()
        if kind < 0.55:
            store.spawn(_stolen_card(store, draws))
        elif kind < 0.85:
            store.spawn(_takeover(store, draws))
        else:
            store.spawn(_denial(store, draws))


def _dear_basket(store: Store, draws: Draws) -> Basket:
    dear = [product for product in store.world.products if product.category in ("phones", "audio")]
    return Basket([(draws.pick(dear), 1 + draws.integer(2))])


def _stolen_card(store: Store, draws: Draws) -> Actor:
    """A new account buys dear things with one to three stolen cards."""
    payer = Payer(
        ip=hosting_ip(draws) if draws.chance(0.5) else public_ip(draws),
        device=f"dev-{draws.hexadecimal(12)}",
        agent=draws.pick(AGENTS),
        country=draws.pick(("CN", "CN", "NG", "RU", "VN")),
        session=f"s-{draws.hexadecimal(12)}",
        account=f"acct-n{draws.hexadecimal(8)}",
        address=f"{draws.integer(900) + 1} Warehouse Rd",
        name=f"Lin {draws.hexadecimal(4)}",
        guilty="stolen-card",
    )
    payer.email, payer.phone = f"{draws.hexadecimal(8)}@example.net", f"+86170{draws.integer(100_000_000):08d}"
    if store.service.request(draws, payer, "/") != 200:
        return
    if not register(store, draws, payer):
        return
    for _ in range(1 + draws.integer(3)):
        payer.card = f"card-{draws.hexadecimal(12)}"
        payer.bin = draws.pick(FOREIGN_BINS) if draws.chance(0.6) else "622588"
        store.expose("stolen-card", payer)
        yield int(draws.between(1, 8) * MINUTE)
        if store.service.request(draws, payer, "/checkout") != 200:
            return
        tries = int(draws.chance(0.45))
        yield from checkout(store, draws, payer, _dear_basket(store, draws), declined_times=tries)
        if draws.chance(0.5):
            return


def _takeover(store: Store, draws: Draws) -> Actor:
    """Somebody else gets into an account, changes the address and buys with the stored card."""
    victim = visitor(store, draws)
    while not victim.account:
        victim = visitor(store, draws)
    payer = Payer(
        ip=hosting_ip(draws) if draws.chance(0.4) else public_ip(draws),
        device=f"dev-{draws.hexadecimal(12)}",
        agent=draws.pick(AGENTS),
        country=draws.pick(("CN", "CN", "CN", "PH")),
        session=f"s-{draws.hexadecimal(12)}",
        account=victim.account,
        card=victim.card,
        bin=victim.bin,
        address=f"{draws.integer(900) + 1} Depot Rd",
        email=victim.email,
        phone=victim.phone,
        name=victim.name,
        guilty="takeover",
    )
    store.expose("takeover", payer)
    for _ in range(draws.integer(4)):
        if store.controls.blocks(payer, store.now):
            return
        log_in(store, payer, success=False)
        yield int(draws.gap(15) * SECOND)
    log_in(store, payer, success=True)
    if not step_up(store, draws, payer):
        return
    yield int(draws.gap(60) * SECOND)
    changed = {"field": "address", "address": payer.address}
    store.tell("account.changed", f"account:{payer.account}", payer.fields() | changed)
    yield int(draws.gap(120) * SECOND)
    if store.service.request(draws, payer, "/checkout") == 200:
        yield from checkout(store, draws, payer, _dear_basket(store, draws))


def _denial(store: Store, draws: Draws) -> Actor:
    """An ordinary customer buys and later denies it: nothing tells it apart beforehand."""
    payer = visitor(store, draws)
    if payer.account:
        payer.guilty = "denial"
        store.expose("denial", payer)
        yield int(draws.gap(60) * SECOND)
        yield from checkout(store, draws, payer, Basket([(store.world.product(draws), 1)]))


def groups(store: Store) -> Actor:
    """Bring what the troubles bring, minute by minute: crooks by rate, and changed prices and stock."""
    changed: dict[tuple[str, str], int] = {}
    while True:
        minute = store.now // MINUTE
        for trouble in store.troubles:
            if trouble.start - MINUTE <= store.now < trouble.end + MINUTE:
                for part in trouble.parts:
                    if part.primitive == "rate" and part.group:
                        _bring(store, trouble, part, minute)
                    elif part.stream == "catalogue":
                        _change(store, trouble, part, changed)
        yield MINUTE


def _bring(store: Store, trouble: Trouble, part: Part, minute: int) -> None:
    mix = trouble.groups[part.group]
    draws = store.draws("group", trouble.name, part.id, minute)
    for number in range(draws.poisson(part.numbers["per_minute"] * part.strength)):
        delay = int(draws.unit() * MINUTE)
        own = store.draws("act", trouble.name, part.id, minute, number)
        intensity = part.intensity(store.now + delay)
        if intensity <= 0 or not own.chance(intensity / part.strength):
            continue
        actor = {"payments": _tester, "requests": _robot, "logins": _guesser, "visits": _robot}[part.stream]
        store.spawn(actor(store, own, trouble.name, part.group, mix), delay)


def _member(store: Store, draws: Draws, trouble: str, group: str, mix: Mix) -> Payer:
    """Return one of a group: addresses, devices, cards and accounts from its pools, which the seed fixes."""
    ip, agent, country = _address(store.seed, trouble, group, draws.integer(max(mix.ips, 1)), mix.disguised)
    device = f"dev-{_pooled(store.seed, 'device', group, draws.integer(mix.devices))}" if mix.devices else ""
    account = f"acct-x{_pooled(store.seed, 'account', group, draws.integer(mix.accounts))}" if mix.accounts else ""
    card = _pooled(store.seed, "card", group, draws.integer(mix.cards)) if mix.cards else draws.hexadecimal(12)
    return Payer(
        ip=ip,
        device=device,
        agent=agent,
        country=country,
        session=f"s-{draws.hexadecimal(12)}",
        account=account,
        card=f"card-{card}",
        bin=FOREIGN_BINS[int(card, 16) % len(FOREIGN_BINS)],
        guilty=trouble,
    )


@lru_cache(maxsize=10_000)
def _address(seed: int, trouble: str, group: str, number: int, disguised: float) -> tuple[str, str, str]:
    """Return (address, user agent, country) of a group's machine of that number."""
    draws = Draws(seed, "member", trouble, group, number)
    if draws.chance(disguised):
        return public_ip(draws), draws.pick(AGENTS), "CN"
    return hosting_ip(draws), draws.pick(ROBOT_AGENTS), draws.pick(("NL", "RU", "US", "VN"))


@lru_cache(maxsize=10_000)
def _pooled(seed: int, what: str, group: str, number: int) -> str:
    return Draws(seed, what, group, number).hexadecimal(12)


def _tester(store: Store, draws: Draws, trouble: str, group: str, mix: Mix) -> Actor:
    """Try one stolen card with a small amount; where it works the shop pays for it later."""
    payer = _member(store, draws, trouble, group, mix)
    gateway = route(store, draws.weighted(GATEWAYS, GATEWAY_EDGES))
    amount = int(draws.between(mix.low, max(mix.high, mix.low + 1)))
    works, reason = draws.chance(mix.live), draws.pick((*DECLINES[1:], "stolen_card", "invalid_number"))
    store.expose(trouble, payer)
    if store.service.request(draws, payer, "/checkout/pay", method="POST") not in (200, 404):
        return
    if store.controls.active("payment.freeze", payer.card, store.now) or not step_up(store, draws, payer):
        return
    duration = draws.lognormal(gateway.median_ms, 0.45)
    yield int(duration * 1000)
    status = "succeeded" if works else "declined"
    tried = Attempt("", amount, gateway.name, status, "" if works else reason, int(duration))
    event, decision = tell(store, draws, payer, tried)
    store.books.lose(store.now, Loss.FEES, AUTHORISATION_FEE)
    store.books.hurt(store.now, trouble)
    if works and _let_through(store, draws, payer, decision):
        defraud(store, draws, payer, event, "", amount)


def _let_through(store: Store, draws: Draws, payer: Payer, decision: Decision) -> bool:
    if decision is Decision.CHALLENGE:
        return step_up(store, draws, payer, wanted=True)
    return decision is Decision.ALLOW


def _robot(store: Store, draws: Draws, trouble: str, group: str, mix: Mix) -> Actor:
    """Ask for one expensive page."""
    payer = _member(store, draws, trouble, group, mix)
    payer.card = ""
    store.expose(trouble, payer)
    status = store.service.request(draws, payer, draws.pick(mix.paths) + str(draws.integer(900)))
    if status not in (401, 403):
        store.books.hurt(store.now, trouble)
        store.books.counts["robot_requests"] += 1
        store.books.lose(store.now, Loss.CAPACITY, REQUEST_COST + draws.unit())
    yield 1


def _guesser(store: Store, draws: Draws, trouble: str, group: str, mix: Mix) -> Actor:
    """Try one password; where it works the account is robbed."""
    payer = _member(store, draws, trouble, group, mix)
    payer.card, payer.known = "", False
    if not payer.account:
        payer.account = store.world.customer(draws)[1].account
    works = draws.chance(mix.live * 0.1)
    store.expose(trouble, Payer(ip=payer.ip, device=payer.device, agent="", country=""))
    if store.service.request(draws, payer, "/login", method="POST") not in (200, 404):
        return
    yield int(draws.between(0.05, 0.3) * SECOND)
    log_in(store, payer, success=works)
    store.books.hurt(store.now, trouble)
    if works and step_up(store, draws, payer):
        store.books.lose(store.now, Loss.FRAUD, 40_000)


def _change(store: Store, trouble: Trouble, part: Part, changed: dict[tuple[str, str], int]) -> None:
    """Set prices or stock while the part is in force and put prices back afterwards."""
    goods = [p for p in store.world.products if part.acts_on({"sku": p.sku, "category": p.category})]
    intensity = part.intensity(store.now)
    for product in goods:
        place = (part.id + trouble.name, product.sku)
        if intensity > 0 and place not in changed:
            was = product.price if part.primitive == "price" else product.stock
            factor = 1.0 + (part.numbers.get("factor", 1.0) - 1.0) * part.strength
            new = round(part.numbers["set"] if "set" in part.numbers else was * factor)
            changed[place] = was
            store.expose_subject(trouble.name, f"sku:{product.sku}")
            if part.primitive == "price":
                _price(store, product.sku, max(new, 1))
            else:
                restock(store, product.sku, new - product.stock, "adjusted")
        elif store.now >= part.end and place in changed and part.primitive == "price":
            _price(store, product.sku, changed.pop(place))


def _price(store: Store, sku: str, price: int) -> None:
    product = next(product for product in store.world.products if product.sku == sku)
    data = {"sku": sku, "price": price, "was": product.price, "cost": product.cost, "currency": CURRENCY}
    product.price = price
    store.tell("price.changed", f"sku:{sku}", {**data, "by": "import"})
