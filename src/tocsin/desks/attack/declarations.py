"""What the attack desk asks of the data plane: windows, series, rules and the kinds of its signals."""

from __future__ import annotations

from tocsin.core.desk import Aggregate, Measure, Rule, Series, Window
from tocsin.core.signal import Decision, Text

HTTP = ("http.request",)
LOGIN = ("account.login",)
TEN_MINUTES_S = 600
MISSING = "data.status == 404 || data.status == 400 || data.status == 405 || data.status == 410"
SERVED = "!has(data.status) || (data.status != 401 && data.status != 403 && data.status != 429)"
"""Requests that were let through: what an answer at the edge should bring down."""
FAILED = "!data.success"
PROBES = (
    "(?i)(/[.](env|git|svn|hg|aws|ssh|htaccess|htpasswd|DS_Store|vscode|idea)|/wp-(login|admin|config|content/plugins)"
    "|xmlrpc[.]php|/php-?my-?admin|/pma/|/myadmin|/cgi-bin/|/actuator|/solr/|/manager/(html|text)|/server-status"
    "|/vendor/phpunit|/etc/passwd|[.](bak|old|sql|swp|zip|tar[.]gz|7z|rar)($|[?])|/(shell|cmd|c99|r57|eval-stdin|webshell)"
    "[.](php|jsp|aspx?)|/boaform|/HNAP1|/owa/|/autodiscover|/_ignition|/telescope|/console/|/setup[.]php"
    "|/config[.](json|php|ya?ml|inc)|/phpinfo|/web[.]config|/jenkins|/struts|/hudson|/axis2|/jmx-console|/invoker/"
    "|/\\\\$[{]|/global[.]asa|/test[.]php|/dump[.]sql|/backup)"
)
PROBING = f"data.path.matches('{PROBES}')"


def _window(name: str, fold: Aggregate, by: str, span_s: int, of: tuple[str, ...] = HTTP, **more: object) -> Window:
    return Window(name=name, fold=fold, by=by, span_s=span_s, of=of, **more)  # type: ignore[arg-type]


WINDOWS = (
    _window("ip_requests_10s", Aggregate.COUNT, "ip", 10),
    _window("ip_requests_60s", Aggregate.COUNT, "ip", 60),
    _window("ip_requests_10m", Aggregate.COUNT, "ip", TEN_MINUTES_S),
    _window("ip_earlier_1h", Aggregate.COUNT, "ip", 3000, delay_s=TEN_MINUTES_S),
    _window("ip_views_10m", Aggregate.COUNT, "ip", TEN_MINUTES_S, ("session.viewed",)),
    _window("host_requests_10s", Aggregate.COUNT, "host", 10),
    _window("host_requests_60s", Aggregate.COUNT, "host", 60),
    _window("host_requests_1h", Aggregate.COUNT, "host", 3600, delay_s=1200),
    _window("host_devices_1h", Aggregate.COUNT, "host", 3600, delay_s=1200, where="has(data.device)"),
    _window("ip_missing_5m", Aggregate.DISTINCT, "ip", 300, field="path", where=MISSING),
    _window(
        "ip_probes_10m", Aggregate.DISTINCT, "ip", TEN_MINUTES_S, field="path", where=f"data.path.matches('{PROBES}')"
    ),
    _window("ip_logins_10m", Aggregate.COUNT, "ip", TEN_MINUTES_S, LOGIN),
    _window("ip_failed_10m", Aggregate.COUNT, "ip", TEN_MINUTES_S, LOGIN, where=FAILED),
    _window("ip_failed_accounts_10m", Aggregate.DISTINCT, "ip", TEN_MINUTES_S, LOGIN, field="account", where=FAILED),
    _window("account_failed_10m", Aggregate.COUNT, "account", TEN_MINUTES_S, LOGIN, where=FAILED),
    _window("account_failed_ips_10m", Aggregate.DISTINCT, "account", TEN_MINUTES_S, LOGIN, field="ip", where=FAILED),
)

SERVED_SERIES = Series(
    name="attack.served",
    measure=Measure.COUNT,
    of=HTTP,
    where=SERVED,
    bucket_s=10,
    hurts="up",
    unit="requests",
    worth=1,
    keep=1440,
)
LOGIN_FAILURES = Series(
    name="attack.login-failures",
    measure=Measure.RATIO,
    of=LOGIN,
    hit=FAILED,
    bucket_s=15,
    hurts="up",
    unit="share",
    worth=20,
    keep=1440,
)
MISSES = Series(
    name="attack.missing", measure=Measure.RATIO, of=HTTP, hit=MISSING, bucket_s=60, hurts="up", unit="share", keep=1440
)
SERIES = (SERVED_SERIES, LOGIN_FAILURES, MISSES)


def _rule(id: str, when: str, decision: Decision, code: str, text: Text, on: tuple[str, ...]) -> Rule:
    return Rule(id=f"attack.{id}", when=when, decision=decision, code=code, text=text, on=on, desk="attack")


RULES = (
    _rule(
        "blocked-network",
        'in_cidr("blocked_networks", data.ip)',
        Decision.DENY,
        "network-blocked",
        Text("Requests from this network are not accepted.", "不接受来自该网络的请求。"),
        (*HTTP, *LOGIN),
    ),
    _rule(
        "guessing-address",
        "features.ip_failed_accounts_10m >= 10.0",
        Decision.CHALLENGE,
        "many-accounts-tried",
        Text(
            "Several accounts were tried from this connection. Please confirm that it is you.",
            "该网络连续尝试了多个账户，请确认是您本人。",
        ),
        LOGIN,
    ),
    _rule(
        "guessed-account",
        "features.account_failed_10m >= 5.0",
        Decision.CHALLENGE,
        "many-failed-sign-ins",
        Text(
            "There were many failed sign-ins to this account. Please confirm that it is you.",
            "该账户多次登录失败，请确认是您本人。",
        ),
        LOGIN,
    ),
)

KINDS = {
    "request-flood": Text("Request flood", "请求洪泛"),
    "scan": Text("Vulnerability scan", "漏洞扫描"),
    "login-flood": Text("Flood of failed sign-ins", "登录失败激增"),
    "injection": Text("Injected parameters", "参数注入"),
}
