"""The vocabulary: every event type with its fields, in one typed table.

Versions: a field may be added, and a choice too, without a new version. A field that changes its unit or meaning is a
new field; the old one is kept for two releases. Unknown fields are kept as they are (class open); an event of an
unknown type is accepted as a plain event and no desk reads it until one declares it.

Field names that name an entity (``account``, ``card``, ``ip``, ...) are that entity's key in every type.
"""

from __future__ import annotations

from tocsin.core.events import Entity, EventType, Field, Kind, Privacy, subject_of


def _key(name: str, meaning: str, meaning_zh: str, *, required: bool = False) -> Field:
    """Return an entity's key field: pseudonymised where it names a person or their things, open where it does not."""
    personal = name in {"account", "device", "card", "address", "session"}
    return Field(
        name,
        Kind.IP if name == "ip" else Kind.KEY,
        meaning,
        meaning_zh,
        required=required,
        privacy=Privacy.PSEUDONYM if personal else Privacy.OPEN,
        entity=Entity(name),
    )


_ACCOUNT = _key("account", "customer account", "客户账户")
_DEVICE = _key("device", "device fingerprint", "设备指纹")
# The network address stays in clear: lists, CIDR rules and the edge need it as it is. docs/events.md says how long it is kept.
_IP = _key("ip", "network address of the caller (IPv4 or IPv6)", "调用方网络地址")
_CARD = _key("card", "payment card or wallet token; never the number itself", "支付卡或钱包令牌，绝不是卡号本身")
_ADDRESS = _key("address", "delivery address, normalised to one line", "收货地址，规整为一行")
_SESSION = _key("session", "browsing session", "浏览会话")
_SKU = _key("sku", "stock keeping unit", "库存单位")
_MERCHANT = _key("merchant", "seller or terminal that is paid", "收款商户或终端")
_WAREHOUSE = _key("warehouse", "warehouse", "仓库")
_CARRIER = _key("carrier", "parcel carrier", "承运商")
_SERVICE = _key("service", "technical service or host", "技术服务或主机")
_CAMPAIGN = _key("campaign", "promotion", "促销活动")
_EMAIL = Field("email", Kind.TEXT, "mail address", "电子邮箱", privacy=Privacy.SEALED)
_PHONE = Field("phone", Kind.TEXT, "telephone number", "电话号码", privacy=Privacy.SEALED)
_NAME = Field("name", Kind.TEXT, "person's name", "姓名", privacy=Privacy.SEALED)
_ADDRESS_LINE = Field("address_text", Kind.TEXT, "delivery address in clear", "收货地址明文", privacy=Privacy.SEALED)
_ORDER = Field("order", Kind.KEY, "order number", "订单号")
_PAYMENT = Field("payment", Kind.KEY, "payment number", "支付单号")
_CURRENCY = Field("currency", Kind.CURRENCY, "ISO 4217 code of every amount in the event", "事件中金额的 ISO 4217 币种")
_COUPON = Field("coupon", Kind.KEY, "coupon code", "优惠券代码")
_COUNTRY = Field("country", Kind.TEXT, "ISO 3166-1 alpha-2", "ISO 3166-1 国家代码")
_AGENT = Field("user_agent", Kind.TEXT, "user agent header", "用户代理")
_GATEWAY = Field("gateway", Kind.KEY, "payment gateway", "支付网关")
_SHIPMENT = Field("shipment", Kind.KEY, "shipment or tracking number", "运单号")
_REASON = Field("reason", Kind.TEXT, "reason code given by the shop", "商店给出的原因码")
_LANGUAGE = Field("language", Kind.TEXT, "BCP 47 tag", "BCP 47 语言标签")


def _money(name: str, meaning: str, meaning_zh: str, *, required: bool = False) -> Field:
    return Field(name, Kind.MONEY, meaning, meaning_zh, unit="minor units", required=required)


def _number(name: str, meaning: str, meaning_zh: str, unit: str, *, required: bool = False, scale: int = 6) -> Field:
    return Field(name, Kind.NUMBER, meaning, meaning_zh, unit=unit, required=required, scale=scale)


def _count(name: str, meaning: str, meaning_zh: str, unit: str, *, required: bool = False) -> Field:
    return Field(name, Kind.INTEGER, meaning, meaning_zh, unit=unit, required=required)


def _text(
    name: str,
    meaning: str,
    meaning_zh: str,
    *,
    required: bool = False,
    masked: bool = False,
    choices: tuple[str, ...] = (),
) -> Field:
    privacy = Privacy.MASKED if masked else Privacy.OPEN
    return Field(name, Kind.TEXT, meaning, meaning_zh, required=required, privacy=privacy, choices=choices)


def _required(field: Field) -> Field:
    return Field(
        field.name,
        field.kind,
        field.meaning,
        field.meaning_zh,
        field.unit,
        True,
        field.privacy,
        field.entity,
        field.scale,
        field.choices,
    )


_ITEMS = Field("items", Kind.ITEMS, "order lines {sku, quantity, price, name}", "订单行 {sku, quantity, price, name}")
_PERSON = (_ACCOUNT, _DEVICE, _IP, _SESSION)
_ORDER_BODY = (
    *_PERSON,
    _CARD,
    _ADDRESS,
    _MERCHANT,
    _CAMPAIGN,
    _COUPON,
    _CURRENCY,
    _COUNTRY,
    _ITEMS,
    _EMAIL,
    _PHONE,
    _NAME,
    _ADDRESS_LINE,
    _money("discount", "discount granted on the whole order", "整单优惠"),
    _money("shipping_fee", "delivery fee", "运费"),
)

_TYPES = (
    EventType(
        "order.placed",
        "a customer placed an order",
        "客户下单",
        (_required(_ORDER), _money("amount", "what the customer is to pay", "应付金额", required=True), *_ORDER_BODY),
    ),
    EventType(
        "order.paid",
        "an order was paid",
        "订单已支付",
        (
            _required(_ORDER),
            _money("amount", "amount paid", "实付金额"),
            _PAYMENT,
            _GATEWAY,
            *_PERSON,
            _CARD,
            _CURRENCY,
        ),
    ),
    EventType(
        "order.cancelled",
        "an order was cancelled",
        "订单已取消",
        (_required(_ORDER), _REASON, *_PERSON, _money("amount", "amount of the order", "订单金额"), _CURRENCY),
    ),
    EventType(
        "order.shipped",
        "an order left the warehouse",
        "订单已发货",
        (
            _required(_ORDER),
            _SHIPMENT,
            _WAREHOUSE,
            _CARRIER,
            _ACCOUNT,
            Field("promised", Kind.TIME, "promised delivery time", "承诺送达时间"),
        ),
    ),
    EventType(
        "order.delivered",
        "an order reached the customer",
        "订单已送达",
        (_required(_ORDER), _SHIPMENT, _CARRIER, _ACCOUNT),
    ),
    EventType(
        "order.returned",
        "goods came back",
        "订单已退货",
        (_required(_ORDER), _REASON, _ACCOUNT, _ITEMS, _money("amount", "value of the goods", "货值"), _CURRENCY),
    ),
    EventType(
        "payment.attempted",
        "a payment was tried",
        "发起支付",
        (
            _money("amount", "amount of the payment", "支付金额", required=True),
            _CURRENCY,
            _PAYMENT,
            _ORDER,
            *_PERSON,
            _CARD,
            _MERCHANT,
            _ADDRESS,
            _GATEWAY,
            _text("status", "how it ended", "结果", choices=("pending", "succeeded", "declined", "failed")),
            _text("decline_code", "reason given by the issuer or gateway", "拒绝原因码"),
            _text("method", "card, wallet, transfer, cod", "支付方式"),
            _text("bin", "first six digits of the card", "卡号前六位"),
            _COUNTRY,
            _count("duration_ms", "time the gateway took", "网关耗时", "ms"),
            _EMAIL,
            _PHONE,
            _NAME,
        ),
    ),
    EventType(
        "refund.requested",
        "a customer asked for money back",
        "申请退款",
        (_required(_ORDER), _money("amount", "amount asked for", "退款金额"), _CURRENCY, _REASON, *_PERSON),
    ),
    EventType(
        "account.registered",
        "an account was opened",
        "注册账户",
        (
            _required(_ACCOUNT),
            _DEVICE,
            _IP,
            _SESSION,
            _EMAIL,
            _PHONE,
            _NAME,
            _COUNTRY,
            _AGENT,
            _text("channel", "where the customer came from", "来源渠道"),
        ),
    ),
    EventType(
        "account.login",
        "a sign-in was tried",
        "登录尝试",
        (
            _ACCOUNT,
            _DEVICE,
            _IP,
            _SESSION,
            _COUNTRY,
            _AGENT,
            Field("success", Kind.BOOLEAN, "whether it succeeded", "是否成功", required=True),
            _text("method", "password, code, passkey, social", "登录方式"),
        ),
    ),
    EventType(
        "account.changed",
        "master data of an account changed",
        "账户资料变更",
        (
            _required(_ACCOUNT),
            _DEVICE,
            _IP,
            _SESSION,
            _text("field", "what changed: password, email, phone, address, payout", "变更项", required=True),
            _EMAIL,
            _PHONE,
            _NAME,
            _ADDRESS,
            _ADDRESS_LINE,
        ),
    ),
    EventType(
        "session.viewed",
        "a page or product was looked at",
        "浏览页面",
        (
            _SESSION,
            _ACCOUNT,
            _DEVICE,
            _IP,
            _SKU,
            _CAMPAIGN,
            _text("page", "kind of page: home, list, product, cart, checkout", "页面类型"),
            _text("path", "path of the page", "页面路径", masked=True),
            _text("referrer", "referring host", "来源域名"),
            _count("duration_ms", "time spent", "停留时间", "ms"),
        ),
    ),
    EventType(
        "search.performed",
        "a search was made",
        "搜索",
        (
            _SESSION,
            _ACCOUNT,
            _DEVICE,
            _IP,
            _text("query", "what was searched", "搜索词", required=True, masked=True),
            _count("results", "hits shown", "结果数", "hits"),
        ),
    ),
    EventType(
        "cart.changed",
        "a cart changed",
        "购物车变更",
        (
            _SESSION,
            _ACCOUNT,
            _DEVICE,
            _IP,
            _SKU,
            _count("quantity", "new quantity", "新数量", "pieces"),
            _text("change", "what was done", "操作", choices=("add", "remove", "set", "clear")),
            _money("price", "unit price shown", "展示单价"),
            _CURRENCY,
        ),
    ),
    EventType(
        "coupon.redeemed",
        "a coupon was used",
        "使用优惠券",
        (
            _required(_COUPON),
            _ACCOUNT,
            _DEVICE,
            _IP,
            _ORDER,
            _CAMPAIGN,
            _ADDRESS,
            _money("value", "discount granted", "优惠金额"),
            _CURRENCY,
        ),
    ),
    EventType(
        "http.request",
        "a request reached the edge",
        "HTTP 请求",
        (
            _IP,
            _text("method", "HTTP method", "请求方法"),
            _text("path", "path with query as it was asked", "路径及查询串", required=True, masked=True),
            _count("status", "HTTP status", "状态码", "code"),
            _count("bytes", "bytes sent", "发送字节", "bytes"),
            _count("duration_ms", "time taken", "耗时", "ms"),
            _AGENT,
            _text("referrer", "referer header", "来源", masked=True),
            _text("host", "host header", "主机"),
            _SERVICE,
            _SESSION,
            _ACCOUNT,
            _DEVICE,
            _text("body", "request body, cut at 8 KiB", "请求体", masked=True),
        ),
    ),
    EventType(
        "metric.sampled",
        "a technical or business metric was read",
        "指标采样",
        (
            _text("metric", "name of the metric", "指标名", required=True),
            _number("value", "its value", "数值", "as the metric says", required=True),
            _text("unit", "unit of the value", "单位"),
            _SERVICE,
            Field("labels", Kind.OBJECT, "labels of the metric", "标签"),
        ),
    ),
    EventType(
        "sensor.sampled",
        "a physical sensor was read",
        "传感器采样",
        (
            _text("sensor", "name of the sensor", "传感器名", required=True),
            _number("value", "its value", "数值", "as the sensor says", required=True),
            _text("unit", "unit of the value", "单位"),
            _WAREHOUSE,
            _SHIPMENT,
        ),
    ),
    EventType(
        "log.line",
        "a service wrote a log line",
        "日志行",
        (
            _text("message", "the line", "日志内容", required=True, masked=True),
            _text("level", "debug, info, warning, error, fatal", "级别"),
            _SERVICE,
            _text("logger", "component", "组件"),
        ),
    ),
    EventType(
        "stock.changed",
        "stock of an item changed",
        "库存变更",
        (
            _required(_SKU),
            _WAREHOUSE,
            _count("on_hand", "pieces after the change", "变更后库存", "pieces", required=True),
            _count("delta", "change", "变化量", "pieces"),
            _count("reserved", "pieces reserved", "预留", "pieces"),
            _REASON,
        ),
    ),
    EventType(
        "price.changed",
        "a price changed",
        "价格变更",
        (
            _required(_SKU),
            _money("price", "new unit price", "新单价", required=True),
            _money("was", "old unit price", "旧单价"),
            _money("cost", "unit cost", "单位成本"),
            _CURRENCY,
            _text("by", "who or what changed it", "变更者"),
            _CAMPAIGN,
        ),
    ),
    EventType(
        "market.observed",
        "a competitor's offer was seen",
        "市场观察",
        (
            _required(_SKU),
            _money("price", "price seen", "竞品价格", required=True),
            _CURRENCY,
            _text("competitor", "who offers it", "竞争者"),
            Field("in_stock", Kind.BOOLEAN, "whether it can be bought", "是否有货"),
        ),
    ),
    EventType(
        "listing.changed",
        "a product page changed",
        "商品页变更",
        (
            _required(_SKU),
            _MERCHANT,
            _text("title", "title of the listing", "标题"),
            _text("description", "text of the listing", "描述"),
            Field("images", Kind.TEXTS, "image references", "图片引用"),
            _text("category", "category path", "类目"),
        ),
    ),
    EventType(
        "shipment.updated",
        "a parcel was scanned",
        "物流更新",
        (
            _required(_SHIPMENT),
            _ORDER,
            _CARRIER,
            _WAREHOUSE,
            _text(
                "status",
                "what happened",
                "状态",
                required=True,
                choices=(
                    "created",
                    "picked_up",
                    "in_transit",
                    "out_for_delivery",
                    "delivered",
                    "exception",
                    "returned",
                ),
            ),
            _text("place", "where", "地点"),
            Field("estimated", Kind.TIME, "estimated delivery", "预计送达"),
        ),
    ),
    EventType(
        "message.received",
        "a customer wrote",
        "收到客户消息",
        (
            _ACCOUNT,
            _SESSION,
            _ORDER,
            _text("channel", "chat, mail, social", "渠道"),
            _text("text", "what was written", "内容", required=True, masked=True),
            _LANGUAGE,
            _EMAIL,
            _PHONE,
            _NAME,
        ),
    ),
    EventType(
        "call.received",
        "a customer called",
        "收到客户来电",
        (
            _ACCOUNT,
            _ORDER,
            _count("duration_s", "length of the call", "通话时长", "s"),
            _text("transcript", "transcript of the call", "通话文本", masked=True),
            _LANGUAGE,
            _PHONE,
        ),
    ),
    EventType(
        "review.posted",
        "a review was posted",
        "发布评价",
        (
            _SKU,
            _ACCOUNT,
            _MERCHANT,
            _ORDER,
            _count("stars", "1 to 5", "星级", "stars"),
            _text("text", "what was written", "内容", masked=True),
            _LANGUAGE,
            Field("images", Kind.TEXTS, "image references", "图片引用"),
        ),
    ),
    EventType(
        "record.accessed",
        "a member of staff opened a record",
        "员工访问记录",
        (
            _text("staff", "who opened it", "员工", required=True),
            _text("record", "what was opened", "记录", required=True),
            _text("purpose", "why", "目的"),
            _ACCOUNT,
            _IP,
        ),
    ),
    EventType(
        "deploy.finished",
        "a change went live",
        "发布完成",
        (
            _required(_SERVICE),
            _text("version", "what went live", "版本"),
            Field("success", Kind.BOOLEAN, "whether it succeeded", "是否成功"),
            _text("by", "who", "发布者"),
        ),
    ),
    EventType(
        "campaign.planned",
        "a promotion was planned or changed",
        "促销计划",
        (
            _required(_CAMPAIGN),
            _text("title", "its name", "名称"),
            Field("start", Kind.TIME, "when it begins", "开始时间", required=True),
            Field("end", Kind.TIME, "when it ends", "结束时间", required=True),
            _number("uplift", "expected factor on orders", "预期倍数", "factor"),
            _number("peak", "expected factor in the opening minutes", "开场预期倍数", "factor"),
            _count("peak_minutes", "length of the opening", "开场时长", "min"),
            Field("skus", Kind.TEXTS, "items on promotion", "促销商品"),
            Field("coupons", Kind.TEXTS, "coupons", "优惠券"),
            _number("budget_factor", "factor on the guard's budgets", "护栏额度倍数", "factor"),
        ),
    ),
    EventType(
        "label.given",
        "the truth about an earlier event became known",
        "标注",
        (
            _text("of", "id of the event that is labelled", "被标注事件的 id", required=True),
            _text("of_source", "its source", "被标注事件的来源"),
            Field("of_time", Kind.TIME, "its time", "被标注事件的时间"),
            _text(
                "label",
                "what it turned out to be",
                "标签",
                required=True,
                choices=("fraud", "legitimate", "attack", "false_alarm", "confirmed"),
            ),
            _text("by", "who says so: chargeback, analyst, customer", "标注来源"),
            *_PERSON,
            _CARD,
            _MERCHANT,
            _ADDRESS,
            _SKU,
            _GATEWAY,
            _money("amount", "amount of the labelled event", "被标注事件金额"),
            _CURRENCY,
        ),
    ),
    EventType(
        "verdict.resolved",
        "how a hold or a challenge ended",
        "裁决处置结果",
        (
            _text("verdict", "id of the verdict", "裁决 id", required=True),
            _text(
                "outcome",
                "how it ended",
                "结果",
                required=True,
                choices=("released", "confirmed", "passed", "failed", "expired"),
            ),
            _text("by", "who or what ended it", "处置者"),
            _ACCOUNT,
            _CARD,
        ),
    ),
)

VOCABULARY: dict[str, EventType] = {kind.name: kind for kind in _TYPES}

INTERNAL: dict[str, tuple[str, str]] = {
    "tocsin.verdict": ("a verdict as computed and as served, with its features", "裁决（计算值与实际值）及其特征"),
    "tocsin.signal": ("a desk's signal", "席位信号"),
    "tocsin.incident": ("an incident was opened or changed its phase", "事件单状态变化"),
    "tocsin.ruling": ("the guard's or a person's ruling on an action", "护栏或人员的裁定"),
    "tocsin.action": ("an action was done, undone or expired", "动作执行、撤销或到期"),
    "tocsin.outcome": ("what came of an action", "动作结果"),
    "tocsin.label": ("a person labelled an incident", "人员对事件单的标注"),
    "tocsin.rules": ("the rule set changed", "规则集变更"),
    "tocsin.model": ("a model was published or rolled back", "模型发布或回滚"),
    "tocsin.mode": ("a mode, budget or kill switch changed", "模式、额度或总闸变更"),
    "tocsin.list": ("a named list changed", "名单变更"),
    "tocsin.windows": ("the windows that people declared changed", "人员声明的窗口变更"),
    "tocsin.warm": ("a new window has caught up with the past", "新窗口已补齐历史"),
    "tocsin.tick": ("time went on without an event while something was due", "无事件期间的时钟推进"),
    "tocsin.fault": ("a part of Tocsin failed", "内部故障"),
}
"""Types that Tocsin itself writes to the journal; they never come in through a door."""
ENTITY_FIELDS: dict[str, Entity] = {entity.value: entity for entity in Entity}


def entities_of(data: dict[str, object]) -> dict[str, str]:
    """Return the entities that an event's data names (entity -> key), in the order of ``Entity``."""
    found: dict[str, str] = {}
    for name in ENTITY_FIELDS:
        value = data.get(name)
        if isinstance(value, str) and value:
            found[name] = value
    return found


PERSONAL = (Entity.ACCOUNT, Entity.DEVICE, Entity.CARD, Entity.ADDRESS, Entity.SESSION)
"""Entities that name a person or their things: pseudonymised at the door; sealed values belong to the first one named."""


def sealed_under(data: dict[str, object], source: str, id: str) -> str:
    """Return the subject whose key seals an event's values: its account, else the next personal entity, else the event."""
    for entity in PERSONAL:
        value = data.get(entity.value)
        if isinstance(value, str) and value:
            return subject_of(entity, value)
    return subject_of("event", f"{source}/{id}")
