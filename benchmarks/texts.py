"""What the lines of the benchmark stream say: templates by share, and the texts that may stand at each place.

``<name>`` is a slot that is stamped (``stream.WIDTHS``) or one of CHOICES. A choice may be empty: a field that is not
always sent carries its comma with it.
"""

from __future__ import annotations

import json
import random

_HEAD = '{"specversion":"1.0","id":"<id>","source":"<source>","type":"'
_TIME = '","time":"<time>","data":{'
_EDGE = _HEAD.replace("<source>", "edge/<edge>")
_SHOP = _HEAD.replace("<source>", "shop/web-<edge>")
_PAY = _HEAD.replace("<source>", "payments")
_PERSON = '"account":"u<account>","session":"s-7f3a<session>","device":"dv<device>","ip":"<ip>"'
_GUEST = '"session":"s-7f3a<session>","device":"dv<device>","ip":"<ip>"'
_REQUEST = (
    '"method":"<method>","path":"<path>","status":<status>,"bytes":<bytes>,"duration_ms":<duration>,'
    '"host":"<host>","user_agent":"<agent>"<referrer>'
)
_VIEW = '"page":"<page>","sku":"<sku>","path":"<view>","duration_ms":<duration><visit>'
_CART = '"sku":"<sku>","quantity":<quantity>,"change":"<change>","price":<price>,"currency":"<currency>"'
_CHARGE = (
    '"amount":<amount>,"currency":"<currency>","payment":"py<number>","card":"tok_4f<card>",'
    '"gateway":"<gateway>","merchant":"<merchant>","method":"<paid_by>","bin":"<bin>","country":"<country>",'
    '"duration_ms":<slow>,<result>'
)
_ORDER = (
    '"order":"o-2026-<number>","amount":<amount>,"currency":"<currency>","card":"tok_4f<card>",'
    '"merchant":"<merchant>","country":"<country>","shipping_fee":<fee><coupon>,"items":[<items>]'
)
TEMPLATES: list[tuple[float, str]] = [
    (0.27, f'{_EDGE}http.request{_TIME}"ip":"<ip>",{_REQUEST}}}}}'),
    (0.18, f"{_EDGE}http.request{_TIME}{_PERSON},{_REQUEST}}}}}"),
    (0.10, f"{_SHOP}session.viewed{_TIME}{_GUEST},{_VIEW}}}}}"),
    (0.15, f"{_SHOP}session.viewed{_TIME}{_PERSON},{_VIEW}}}}}"),
    (0.12, f"{_SHOP}cart.changed{_TIME}{_PERSON},{_CART}}}}}"),
    (0.10, f"{_PAY}payment.attempted{_TIME}{_PERSON},{_CHARGE}}}}}"),
    (0.05, f"{_SHOP}order.placed{_TIME}{_PERSON},{_ORDER}}}}}"),
    (0.012, f'{_SHOP}search.performed{_TIME}{_PERSON},"query":"<query>","results":<hits>}}}}'),
    (0.005, f'{_SHOP}message.received{_TIME}{_PERSON},"channel":"chat","text":"<said>","language":"zh-CN"}}}}'),
    (0.003, f'{_SHOP}review.posted{_TIME}"account":"u<account>","sku":"<sku>","stars":<stars>,"text":"<said>"}}}}'),
    (0.006, f'{_SHOP}message.received{_TIME}{_PERSON},"channel":"mail","text":"<escaped>","language":"zh-CN"}}}}'),
    (0.004, f'{_SHOP}review.posted{_TIME}"account":"u<account>","sku":"<sku>","stars":<stars>,"text":"<escaped>"}}}}'),
]
"""(share, template); the last two are the third of the other lines that JSON escapes."""

_AGENTS = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 15; V2364A) AppleWebKit/537.36 Chrome/130.0.6723.102 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
]
_SAID = [
    "请问这件羽绒服什么时候发货？",
    "手机壳收到了，颜色和图片一样，很满意",
    "优惠券用不了，一直提示系统繁忙",
    "物流三天没有更新，麻烦查一下",
    "质量不错，下次还会再买",
    "付款成功但是订单没有显示",
    "Great shoes, 尺码偏小一码",
]
_QUERIES = [
    "羽绒服 男",
    "手机壳 防摔",
    "运动鞋",
    "red shoes",
    "蓝牙耳机 降噪",
    "4k monitor",
    "电热水壶",
    "保温杯 大容量",
]


def _escaped(text: str, rng: random.Random) -> str:
    """Return a text as JSON that needs escapes: a quote, a line's end, or every sign beyond ASCII."""
    kind = rng.randrange(3)
    if kind == 0:
        return json.dumps(text)[1:-1]
    spoken = f'"{text}"' if kind == 1 else text.replace("，", "\n")
    return json.dumps(spoken + "\n", ensure_ascii=False)[1:-1]


def _choices() -> dict[str, list[str]]:
    rng = random.Random(11)
    skus = [f"sku-{min(int(rng.paretovariate(0.9)), 99_999):05d}" for _ in range(4000)]
    prices = [int(rng.lognormvariate(8.2, 1.0)) + 100 for _ in range(2000)]
    names = ["羽绒服", "手机壳", "运动鞋", "Kettle", "保温杯", "USB-C cable"]

    def item() -> str:
        count, price = rng.choice((1, 1, 1, 2, 3)), rng.choice(prices)
        return f'{{"sku":"{rng.choice(skus)}","quantity":{count},"price":{price},"name":"{rng.choice(names)}"}}'

    pages = [f"/product/{sku}" for sku in skus[:1500]] + [
        f"/c/{n}/list?page={n % 9 + 1}&sort=sales" for n in range(400)
    ]
    calls = [f"/api/v2/stock/{sku}?fields=on_hand" for sku in skus[:800]] + ["/api/v2/cart", "/login", "/", "/checkout"]
    probes = ["/wp-login.php", "/.env", "/api/v2/users?id=1%20or%201=1", "/../../etc/passwd"]
    return {
        "edge": [f"{n}" for n in range(1, 7)],
        "method": ["GET"] * 17 + ["POST"] * 2 + ["HEAD"],
        "path": [*pages, *calls, *(f"/search?q={n:x}" for n in range(0x400, 0x5F0)), *probes],
        "view": [f"/product/{sku}" for sku in skus[:2000]],
        "status": ["200"] * 44 + ["304"] * 6 + ["302"] * 3 + ["404"] * 4 + ["401", "403", "500"],
        "bytes": [str(int(rng.lognormvariate(9, 1.2))) for _ in range(2000)],
        "duration": [str(int(rng.lognormvariate(4, 0.8)) + 1) for _ in range(1000)],
        "slow": [str(int(rng.lognormvariate(6, 0.6)) + 20) for _ in range(1000)],
        "host": ["www.shop.example", "m.shop.example", "api.shop.example"],
        "agent": _AGENTS,
        "referrer": ["", "", ',"referrer":"https://www.shop.example/"', ',"referrer":"https://m.shop.example/list"'],
        "page": ["home", "list", "list", "product", "product", "product", "product", "cart", "checkout"],
        "sku": skus,
        "visit": ["", "", ',"referrer":"search.example"', ',"campaign":"double11"'],
        "quantity": ["1"] * 12 + ["2", "2", "3", "5", "0"],
        "change": ["add"] * 7 + ["set"] * 2 + ["remove"],
        "price": [str(price) for price in prices],
        "amount": [str(int(rng.lognormvariate(9.6, 1.1)) + 100) for _ in range(4000)],
        "currency": ["CNY"] * 46 + ["USD", "USD", "EUR", "JPY"],
        "gateway": ["alipay", "alipay", "wechatpay", "wechatpay", "unionpay", "stripe"],
        "merchant": [f"m-{min(int(rng.paretovariate(1.1)), 9999):04d}" for _ in range(1000)],
        "paid_by": ["wallet"] * 6 + ["card"] * 3 + ["transfer"],
        "bin": [f"{n}" for n in range(622200, 622260)],
        "country": ["CN"] * 44 + ["HK", "SG", "US", "JP", "DE", "GB"],
        "result": ['"status":"succeeded"'] * 90
        + ['"status":"declined","decline_code":"insufficient_funds"'] * 5
        + ['"status":"declined","decline_code":"do_not_honor"'] * 3
        + ['"status":"failed"', '"status":"pending"'],
        "fee": ["0"] * 6 + ["800", "1200"],
        "coupon": [""] * 7 + [f',"coupon":"D11-{n:03d}","discount":{n * 100}' for n in range(1, 4)],
        "items": [",".join(item() for _ in range(rng.randint(1, 6))) for _ in range(6000)],
        "query": _QUERIES,
        "hits": [str(rng.randrange(400)) for _ in range(100)],
        "said": _SAID,
        "stars": ["5", "5", "5", "4", "4", "3", "2", "1"],
        "escaped": [_escaped(text, rng) for text in _SAID * 12],
    }


CHOICES = _choices()
