"""What the store begins with: its catalogue, customers and payment gateways, all from one seed."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec

from tocsin.core.events import HOUR, MINUTE, SECOND
from tocsin.twin.draws import Draws, edges_of

EPOCH = 1_772_380_800 * SECOND
"""2026-03-01T16:00:00Z, midnight of a Monday in Shanghai: where simulated time begins unless told otherwise."""
LOCAL_OFFSET = 8 * HOUR
CURRENCY = "CNY"
SERVICE = "web"

_HOURLY = (0.55, 0.34, 0.2, 0.14, 0.13, 0.2, 0.38, 0.62, 0.85, 1.05, 1.2, 1.24, 1.26, 1.2, 1.14, 1.14, 1.16, 1.18, 1.26)
_EVENING = (1.44, 1.68, 1.8, 1.52, 1.0)
RHYTHM = _HOURLY + _EVENING
"""Traffic by local hour; ``rhythm`` interpolates it and divides by its mean."""
_MEAN = sum(RHYTHM) / len(RHYTHM)

CATEGORIES = ("phones", "audio", "kitchen", "toys", "books", "beauty", "sports", "home")
_MEDIAN_PRICE = {
    "phones": 90_000,
    "audio": 32_000,
    "kitchen": 16_000,
    "toys": 9_000,
    "books": 4_500,
    "beauty": 11_000,
    "sports": 18_000,
    "home": 12_000,
}
WORDS = {
    "phones": ("手机", "phone", "手机壳", "charger", "充电宝"),
    "audio": ("耳机", "headphones", "speaker", "音箱"),
    "kitchen": ("炒锅", "wok", "knife", "电饭煲"),
    "toys": ("积木", "puzzle", "doll", "玩具车"),
    "books": ("小说", "novel", "dictionary", "绘本"),
    "beauty": ("面霜", "cream", "口红", "shampoo"),
    "sports": ("跑鞋", "yoga mat", "球拍", "bottle"),
    "home": ("台灯", "lamp", "pillow", "收纳盒"),
}
AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15",
)
SURNAMES = ("Li", "Wang", "Zhang", "Chen", "Liu", "Yang", "Zhao", "Huang", "Wu", "Zhou")


def rhythm(time: int) -> float:
    """Return the traffic factor of a moment: 1.0 on the day's average.

    >>> round(rhythm(EPOCH + 4 * HOUR + HOUR // 2), 2) < 0.3 < 1.5 < round(rhythm(EPOCH + 21 * HOUR), 2)
    True
    """
    hour = ((time + LOCAL_OFFSET) / HOUR) % 24
    low = math.floor(hour)
    share = hour - low
    return ((1 - share) * RHYTHM[low] + share * RHYTHM[(low + 1) % 24]) / _MEAN


def rfc3339(time: int) -> str:
    """Return a moment as RFC 3339 with microseconds.

    >>> rfc3339(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    return datetime.fromtimestamp(time // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time % 1_000_000:06d}Z"


class Product(msgspec.Struct):
    """One item: price and cost in minor units, stock in pieces."""

    sku: str
    name: str
    category: str
    price: int
    cost: int
    stock: int


class Payer(msgspec.Struct):
    """Who acts: everything that an event can say of them. ``guilty`` is the truth that only the twin knows."""

    ip: str
    device: str
    agent: str
    country: str
    session: str = ""
    account: str = ""
    card: str = ""
    bin: str = ""
    address: str = ""
    email: str = ""
    phone: str = ""
    name: str = ""
    known: bool = False
    guilty: str = ""
    """Name of the trouble or kind of ordinary fraud; empty for the honest."""
    proved: bool = False
    """Whether they passed a challenge in this session."""

    def fields(self) -> dict[str, str]:
        """Return the fields that say who acts, as every event of theirs has them."""
        return {"account": self.account, "device": self.device, "ip": self.ip, "session": self.session}


class Customer(msgspec.Struct):
    """One honest account with its devices, cards and habits."""

    account: str
    devices: tuple[str, ...]
    ip: str
    cards: tuple[tuple[str, str], ...]
    """(card token, first six digits)."""
    address: str
    email: str
    phone: str
    name: str
    country: str
    agent: str
    gateway: str


class Gateway(msgspec.Struct, frozen=True):
    """One payment gateway: its share of payments, fee in 1/10000 of the amount, median time, ordinary failure share."""

    name: str
    share: float
    fee: int
    median_ms: float
    failure: float


GATEWAYS = (
    Gateway("alpha-pay", 0.44, 60, 420.0, 0.012),
    Gateway("beta-pay", 0.30, 65, 610.0, 0.016),
    Gateway("gamma-pay", 0.16, 75, 500.0, 0.020),
    Gateway("delta-pay", 0.10, 90, 780.0, 0.030),
)
GATEWAY_EDGES = edges_of([gateway.share for gateway in GATEWAYS])
BY_NAME = {gateway.name: gateway for gateway in GATEWAYS}
MAIL_HOSTS = ("example.com", "example.net", "example.org")
BINS = ("622588", "621700", "622202", "403361", "512425", "625965")
FOREIGN_BINS = ("411773", "524897", "447993", "535522")


def public_ip(draws: Draws) -> str:
    """Return a plausible household address."""
    first = draws.pick((36, 49, 58, 59, 60, 101, 106, 111, 113, 117, 119, 121, 123, 125, 180, 183, 218, 221))
    return f"{first}.{draws.integer(254) + 1}.{draws.integer(254) + 1}.{draws.integer(254) + 1}"


def hosting_ip(draws: Draws) -> str:
    """Return an address out of rented machines, where crooks and robots live."""
    block = draws.pick(("45.83", "185.220", "193.32", "89.248", "141.98", "5.188"))
    return f"{block}.{draws.integer(254) + 1}.{draws.integer(254) + 1}"


class World(msgspec.Struct):
    """Catalogue, customers and the office whose people share one address."""

    products: list[Product]
    edges: list[float]
    customers: list[Customer]
    weights: list[float]
    office: str
    colleagues: frozenset[int]

    def product(self, draws: Draws) -> Product:
        """Return an item by popularity."""
        return draws.weighted(self.products, self.edges)

    def customer(self, draws: Draws) -> tuple[int, Customer]:
        """Return (number, customer) by activity."""
        number = draws.weighted(range(len(self.customers)), self.weights)
        return number, self.customers[number]


def build(seed: int, *, customers: int = 4000, products: int = 120) -> World:
    """Return the world of that seed."""
    draws = Draws(seed, "world")
    goods = []
    for number in range(products):
        category = CATEGORIES[number % len(CATEGORIES)]
        price = int(draws.lognormal(_MEDIAN_PRICE[category], 0.55)) // 100 * 100 + 90
        name = f"{draws.pick(WORDS[category])} {draws.hexadecimal(3)}"
        stock = 150 + draws.integer(400)
        goods.append(Product(f"sku-{number:04d}", name, category, price, int(price * draws.between(0.6, 0.76)), stock))
    popularity = edges_of([1.0 / (1 + number) ** 0.7 for number in range(products)])
    people = [_customer(draws, number) for number in range(customers)]
    activity = edges_of([draws.lognormal(1.0, 0.8) for _ in people])
    office = public_ip(draws)
    colleagues = frozenset(draws.integer(customers) for _ in range(60))
    return World(goods, popularity, people, activity, office, colleagues)


def _customer(draws: Draws, number: int) -> Customer:
    devices = tuple(f"dev-{draws.hexadecimal(12)}" for _ in range(1 + int(draws.chance(0.35))))
    cards = tuple((f"card-{draws.hexadecimal(12)}", draws.pick(BINS)) for _ in range(1 + int(draws.chance(0.25))))
    surname = draws.pick(SURNAMES)
    return Customer(
        account=f"acct-{number:06d}",
        devices=devices,
        ip=public_ip(draws),
        cards=cards,
        address=f"{draws.integer(900) + 1} {draws.pick(('Renmin Rd', 'Zhongshan Rd', 'Jianguo St', 'Heping Ave'))}",
        email=f"{surname.lower()}.{number}@{draws.pick(MAIL_HOSTS)}",
        phone=f"+86138{number:08d}",
        name=f"{surname} {draws.hexadecimal(4)}",
        country="CN" if draws.chance(0.96) else draws.pick(("SG", "MY", "JP", "DE")),
        agent=draws.pick(AGENTS),
        gateway=draws.weighted(GATEWAYS, GATEWAY_EDGES).name,
    )


class Opening(msgspec.Struct, frozen=True):
    """A promotion that the store announces: traffic times ``peak`` for the first minutes, then times ``uplift``."""

    at: int
    hours: float = 2.0
    uplift: float = 1.5
    peak: float = 20.0
    peak_minutes: int = 1
    name: str = "spring-opening"

    @property
    def end(self) -> int:
        """When it is over (exclusive)."""
        return self.at + int(self.hours * HOUR)

    def factor(self, time: int) -> float:
        """Return the factor on traffic at a time."""
        if not self.at <= time < self.end:
            return 1.0
        return self.peak if time < self.at + self.peak_minutes * MINUTE else self.uplift
