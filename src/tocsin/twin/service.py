"""The web service: a number of machines that can be overloaded, its access log, and the robots that are welcome."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tocsin.core.events import MINUTE, SECOND
from tocsin.twin.books import Loss
from tocsin.twin.world import SERVICE, Payer, hosting_ip

if TYPE_CHECKING:
    from tocsin.twin.draws import Draws
    from tocsin.twin.store import Actor, Store

PER_MACHINE = 3.0
"""Requests a second that one machine serves."""
MACHINES = 2
SPAN = 10 * SECOND
REQUEST_COST = 0.4
"""Minor units that one request of a robot costs in traffic and machine time."""
MACHINE_MINUTE = 60
"""Minor units that a minute of a rented machine costs."""
PASSES = {"person": 0.93, "robot": 0.02}
"""Share that gets through a challenge."""


class Service:
    """Load over the last ten seconds against capacity: above it requests fail, near it they are slow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: deque[int] = deque()

    def capacity(self) -> float:
        """Return requests a second; the store itself rents machines for promotions it announced."""
        store = self._store
        own = MACHINES * max(store.opening_factor(), 1.0) * max(store.pace, 1.0)
        return PER_MACHINE * (own + store.controls.replicas(store.now))

    def load(self) -> float:
        """Return requests a second over the last ten seconds as a share of capacity."""
        now, recent = self._store.now, self._recent
        while recent and recent[0] <= now - SPAN:
            recent.popleft()
        return len(recent) / 10.0 / self.capacity()

    def request(self, draws: Draws, payer: Payer, path: str, *, method: str = "GET", referrer: str = "") -> int:
        """Serve one request, log it, and return its status: 200, 401 (challenged), 403 (blocked), 500 or 503."""
        store = self._store
        now = store.now
        draws = draws.aside
        if store.controls.blocks(payer, now):
            return self._log(draws, payer, path, method, 403, 2.0, referrer)
        if store.controls.challenges(payer, now) and not self._proves(draws, payer):
            return self._log(draws, payer, path, method, 401, 4.0, referrer)
        self._recent.append(now)
        load = self.load()
        attributes = {"path": path, "country": payer.country}
        failure, _, trouble = store.failing("requests", attributes)
        time_ms = draws.lognormal(45.0, 0.5) / max(1.0 - min(load, 0.97), 0.03)
        time_ms = time_ms * store.factor("latency", "requests", attributes) + store.added_ms("requests", attributes)
        status = 200
        if load > 1.0 and draws.chance(1.0 - 1.0 / load):
            status = 503
        elif failure > 0 and draws.chance(failure):
            status = 500
            store.books.hurt(now, trouble)
        elif draws.chance(0.004):
            status = 404
        return self._log(draws, payer, path, method, status, time_ms, referrer)

    def _proves(self, draws: Draws, payer: Payer) -> bool:
        """Whether they pass the challenge; who passed once in a session is not asked again."""
        if not payer.proved:
            payer.proved = draws.chance(PASSES["robot" if payer.guilty else "person"])
        return payer.proved

    def _log(
        self, draws: Draws, payer: Payer, path: str, method: str, status: int, time_ms: float, referrer: str
    ) -> int:
        size = 400 if status >= 400 else int(draws.lognormal(14_000, 0.6))
        self._store.tell(
            "http.request",
            f"ip:{payer.ip}",
            {
                "ip": payer.ip,
                "method": method,
                "path": path,
                "status": status,
                "bytes": size,
                "duration_ms": int(min(time_ms, 30_000)),
                "user_agent": payer.agent,
                "referrer": referrer,
                "host": "shop.example.com",
                "service": SERVICE,
                "session": payer.session,
                "account": payer.account if payer.known else "",
                "device": payer.device,
            },
        )
        return status


def machinery(store: Store) -> Actor:
    """What machines do by themselves: metrics, welcome crawlers, a health probe, replenishment, rent."""
    store.spawn(_crawlers(store))
    minute = 0
    while True:
        draws = store.draws("machinery", minute)
        load = store.service.load()
        store.tell("metric.sampled", f"service:{SERVICE}", _metric("utilisation", round(load, 4), "share"))
        rented = store.controls.replicas(store.now)
        store.books.lose(store.now, Loss.CAPACITY, MACHINE_MINUTE * rented)
        for product in store.world.products:
            if product.stock < 40 and draws.chance(0.02):
                restock(store, product.sku, 300, "replenished")
        minute += 1
        yield MINUTE


def restock(store: Store, sku: str, delta: int, reason: str) -> None:
    """Change the stock of an item and say so."""
    product = next(product for product in store.world.products if product.sku == sku)
    product.stock = max(product.stock + delta, 0)
    data = {"sku": sku, "on_hand": product.stock, "delta": delta, "reason": reason, "warehouse": "wh-1"}
    store.tell("stock.changed", f"sku:{sku}", data)


def _metric(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"metric": name, "value": value, "unit": unit, "service": SERVICE}


_CRAWLERS = (
    "Mozilla/5.0 (compatible; ExampleSearchBot/2.1; +https://search.example.org/bot)",
    "Mozilla/5.0 (compatible; PriceLensBot/1.4; +https://prices.example.net/bot)",
)


def _crawlers(store: Store) -> Actor:
    draws = store.draws("crawlers")
    robots = [
        Payer(ip=hosting_ip(draws), device="", agent=agent, country="US") for agent in _CRAWLERS for _ in range(2)
    ]
    probe = Payer(ip="10.0.0.5", device="", agent="kube-probe/1.31", country="CN")
    paths = [f"/product/{product.sku}" for product in store.world.products]
    while True:
        store.service.request(draws, probe, "/healthz")
        burst = 12 if draws.chance(0.03) else 3
        for _ in range(draws.integer(burst + 1)):
            store.service.request(draws, draws.pick(robots), draws.pick(paths))
            yield int(draws.gap(4.0) * SECOND)
        yield int(draws.between(40, 80) * SECOND / max(store.tempo(), 0.5))
