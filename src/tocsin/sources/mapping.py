"""Mapping: which column of a table is which field of which event; written in YAML, guessed where none is given.

::

    type: payment.attempted
    time: tx_datetime
    id: transaction_id          # optional; the row number where absent
    label: tx_fraud             # optional; never becomes part of an event
    currency: CNY               # of amounts without a currency column
    fields:                     # field of the event: column of the table
      amount: tx_amount
      account: customer_id
      merchant: terminal_id

Columns that no line names are kept under their own names when ``rest: keep`` (the default), or left out with ``drop``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import Misconfigured
from tocsin.methods.parsing import normal

if TYPE_CHECKING:
    from tocsin.core.events import Kind


class Mapping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Columns of one table as fields of one event type; see the module's docstring."""

    type: str
    time: str = ""
    id: str = ""
    label: str = ""
    currency: str = "CNY"
    fields: dict[str, str] = {}
    rest: str = "keep"

    def __post_init__(self) -> None:
        """Refuse a mapping that names what does not exist."""
        if self.rest not in ("keep", "drop"):
            raise Misconfigured(f"mapping: rest is {self.rest!r}; it must be keep or drop")
        if self.type.startswith("tocsin."):
            raise Misconfigured("mapping: types that begin with tocsin. are Tocsin's own; name another")
        if self.time == "" and self.type != "":
            raise Misconfigured("mapping: 'time' must name the column that holds the time of the event")

    def columns(self) -> set[str]:
        """Return every column that it names."""
        return {self.time, self.id, self.label, *self.fields.values()} - {""}

    def check(self, columns: list[str]) -> None:
        """Raise Misconfigured where it names a column that the table does not have, or leaves out a required field."""
        for column in sorted(self.columns()):
            if column not in columns:
                raise Misconfigured(f"mapping: the table has no column {column!r}; it has {', '.join(columns)}")
        kind = VOCABULARY.get(self.type)
        for field in kind.fields if kind else ():
            if field.required and field.name not in self.fields and not (self.rest == "keep" and field.name in columns):
                raise Misconfigured(f"mapping: {self.type} needs the field {field.name!r} ({field.meaning})")


def load_mapping(text: str) -> Mapping:
    """Return the mapping of a YAML text; Misconfigured says what is wrong with it."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Misconfigured(f"mapping: this is no YAML: {error}") from error
    try:
        return msgspec.convert(document, Mapping)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"mapping: {error}; see `tocsin assess --help` for an example") from error


def dump_mapping(mapping: Mapping) -> str:
    """Return the mapping as YAML text that ``load_mapping`` accepts."""
    document: dict[str, Any] = msgspec.to_builtins(mapping)
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)


LABEL_NAMES = (
    "is_anomaly anomaly is_fraud fraud tx_fraud is_fraudulent fraudulent is_abnormal is_attack is_outlier "
    "is_bot is_malicious "
    "fraud_flag anomaly_label fraud_label class label target y outlier attack chargeback is_chargeback isfraud "
    "isanomaly "
    "是否异常 是否欺诈 是否作弊 是否攻击 是否可疑 异常 欺诈 异常标签 欺诈标签 标签 类别标签 异常标志"
).split()
"""Headers that name a label, the surest first."""

TIME_NAMES = (
    "time timestamp event_time datetime date_time transaction_time tx_datetime tx_time trans_date_trans_time "
    "purchase_time "
    "payment_time pay_time order_time created_at create_time created ts occurred_at date transaction_date "
    "order_date event_date "
    "时间 交易时间 下单时间 支付时间 发生时间 创建时间 访问时间 登录时间 事件时间 时间戳 日期 交易日期 "
    "订单日期 下单日期"
).split()

ID_NAMES = (
    "id transaction_id tx_id trans_id trans_num order_id payment_id event_id row_id record_id uuid index no "
    "seq serial "
    "编号 序号 流水号 交易流水号 交易编号 交易id 订单id 记录编号 行号"
).split()

FIELD_NAMES: dict[str, tuple[str, ...]] = {
    "amount": tuple(
        "amount transaction_amount tx_amount amt purchase_value purchase_amount payment_amount order_amount "
        "total total_amount value "
        "order_value price_total grand_total 金额 交易金额 订单金额 支付金额 付款金额 实付金额 消费金额 总金额 "
        "应付金额 退款金额".split()
    ),
    "account": tuple(
        "account account_id user user_id userid uid customer customer_id client_id member_id buyer_id nameorig "
        "cust_id username "
        "账户 账号 用户 用户id 用户编号 客户 客户id 客户编号 会员 会员id 会员编号 买家id 用户名 账户id".split()
    ),
    "device": tuple(
        "device device_id deviceid device_fingerprint fingerprint 设备 设备id 设备号 设备编号 设备指纹".split()
    ),
    "ip": tuple("ip ip_address ipaddress client_ip remote_addr remote_ip ip地址 访问ip 登录ip".split()),
    "card": tuple(
        "card card_id card_token card_hash cc_num card_number card1 卡 卡号 银行卡 银行卡号 卡id 支付卡".split()
    ),
    "address": tuple("address shipping_address delivery_address 收货地址 地址 配送地址".split()),
    "session": tuple("session session_id sessionid 会话 会话id".split()),
    "merchant": tuple(
        "merchant merchant_id terminal terminal_id seller seller_id shop_id store_id namedest 商户 商户id "
        "商户号 商户编号 "
        "商家 商家id 店铺 店铺id 终端 终端号".split()
    ),
    "sku": tuple("sku sku_id product_id item_id goods_id product stockcode 商品 商品id 商品编号 货号".split()),
    "order": tuple("order order_id order_no order_number orderid 订单 订单号 订单编号".split()),
    "payment": tuple("payment payment_id pay_id 支付单号 支付流水号".split()),
    "status": tuple(
        "status state result http_status status_code response_code 状态 结果 状态码 支付状态 交易状态".split()
    ),
    "gateway": tuple("gateway payment_gateway channel_id psp 网关 支付网关 支付渠道 支付通道".split()),
    "method": tuple("method payment_method http_method request_method verb 方式 支付方式 请求方法".split()),
    "currency": tuple("currency currency_code 币种 货币".split()),
    "country": tuple("country country_code 国家 国家代码".split()),
    "success": tuple("success succeeded login_success is_success 成功 是否成功 登录成功 登录结果".split()),
    "path": tuple("path url uri request_uri request_path 路径 请求路径 网址 访问路径".split()),
    "user_agent": tuple("user_agent useragent ua agent 用户代理 浏览器标识".split()),
    "bytes": tuple("bytes body_bytes_sent size 字节数".split()),
    "metric": tuple("metric metric_name 指标 指标名 指标名称".split()),
    "value": tuple("value metric_value 数值 值 指标值".split()),
    "service": tuple("service service_name host hostname server 服务 服务名 主机".split()),
    "coupon": tuple("coupon coupon_code coupon_id voucher 优惠券 优惠码 优惠券码 优惠券id".split()),
    "decline_code": tuple("decline_code decline_reason 拒绝原因 拒付原因".split()),
    "quantity": tuple("quantity qty count 数量 件数".split()),
    "on_hand": tuple("on_hand stock inventory 库存 库存量 现有库存".split()),
    "price": tuple("price unit_price 单价 价格".split()),
    "text": tuple("text review content comment 评价 评论 内容 评价内容".split()),
    "stars": tuple("stars rating score 星级 评分".split()),
    "email": tuple("email e_mail mail email_address 邮箱 电子邮箱 邮件地址 邮箱地址".split()),
    "phone": tuple("phone phone_number mobile telephone tel 手机 手机号 手机号码 电话 联系电话 电话号码".split()),
    "name": tuple(
        "name full_name customer_name receiver recipient 姓名 收货人 收件人 客户姓名 真实姓名 联系人".split()
    ),
    "address_text": tuple("address_text address_line street 详细地址 收货地址明文".split()),
    "query": tuple("query search_query keyword 搜索词 关键词".split()),
}

PERSONAL_FIELDS = ("account", "device", "card", "address", "session", "email", "phone", "name", "address_text")
"""Fields of which no value may stay in clear, whatever the event's type."""

# Event type -> (fields that must be found, fields of which one more must be); first that fits wins.
_SHAPES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("http.request", ("path",), ("ip", "status", "method")),
    ("account.login", ("success",), ("account", "ip", "device")),
    ("coupon.redeemed", ("coupon",), ("account", "device", "order")),
    ("payment.attempted", ("amount",), ("card", "merchant", "payment", "gateway")),
    ("order.placed", ("amount", "order"), ("account", "device", "ip", "address")),
    ("payment.attempted", ("amount",), ("account", "device", "ip")),
    ("metric.sampled", ("metric", "value"), ("metric",)),
    ("stock.changed", ("sku", "on_hand"), ("sku",)),
    ("review.posted", ("text", "stars"), ("stars",)),
    ("search.performed", ("query",), ("session", "account", "device", "ip")),
)


def header(text: str) -> str:
    """Return a header as it is compared: plain width, lower case, words joined by underscores, units in brackets gone.

    >>> header(" Transaction Amount(USD) "), header("交易金额（元）"), header("isFraud"), header("userID")
    ('transaction_amount', '交易金额', 'is_fraud', 'user_id')
    """
    plain = re.sub(r"[(\[（【][^)\]）】]*[)\]）】]\s*$", "", normal(text))
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    return re.sub(r"[\s\-./]+", "_", plain.strip()).strip("_").lower()


def find_column(columns: list[str], names: tuple[str, ...] | list[str]) -> str:
    """Return the column whose header is the earliest of the names, or ``""``."""
    by_header: dict[str, str] = {}
    for column in columns:
        by_header.setdefault(header(column), column)
    for name in names:
        if name in by_header:
            return by_header[name]
    return ""


def personal_field(column: str) -> str:
    """Return the personal field that a header names, or ``""``.

    >>> personal_field("手机号"), personal_field("amount")
    ('phone', '')
    """
    return next((field for field in PERSONAL_FIELDS if find_column([column], FIELD_NAMES[field])), "")


def guess_mapping(columns: list[str], *, time: str = "", label: str = "", currency: str = "CNY") -> Mapping | None:
    """Return the mapping that the headers suggest, or None where they fit no event (no time, or no event's fields).

    ``time`` and ``label`` name columns that were recognised by their values already.
    """
    time = time or find_column(columns, TIME_NAMES)
    label = label or find_column(columns, LABEL_NAMES)
    if not time:
        return None
    free = [column for column in columns if column not in (time, label)]
    found = {field: find_column(free, names) for field, names in FIELD_NAMES.items()}
    for kind, needed, any_of in _SHAPES:
        if not all(found.get(name) for name in needed) or not any(found.get(name) for name in any_of):
            continue
        known = VOCABULARY[kind]
        fields: dict[str, str] = {}
        for field in known.fields:
            column = found.get(field.name, "")
            if column and column not in fields.values():
                fields[field.name] = column
        for name in PERSONAL_FIELDS:
            column = found[name]
            if column and column not in fields.values():
                fields.setdefault(name, column)
        identity = find_column([c for c in free if c not in fields.values()], ID_NAMES)
        return Mapping(type=kind, time=time, id=identity, label=label, currency=currency, fields=fields)
    return None


def kind_of(mapping: Mapping, field: str) -> Kind | None:
    """Return the vocabulary's kind of a mapped field, or None for one that it does not know."""
    known = VOCABULARY.get(mapping.type)
    found = known.field(field) if known else None
    return found.kind if found else None
