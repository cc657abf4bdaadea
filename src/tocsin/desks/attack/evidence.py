"""The evidence of one row: floods, scans, password guessing, injected parameters. Pure; a row looks at itself alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import re2

from tocsin.core.events import Entity
from tocsin.core.signal import Decision, Reason, Text
from tocsin.desks.attack.injection import judge_request

if TYPE_CHECKING:
    from tocsin.core.desk import Batch, Features

FLOOD_10S, FLOOD_60S = 80, 300
"""Requests from one address that no person makes: 8 a second for ten seconds, 5 for a minute."""
SURGE = 2.0
"""The shop is in a surge when its last minute is this often the hour's mean, and more than chance explains."""
LEAST_HOUR = 60
DEVICES = 0.5
"""Share of requests that name a device: from here on, one that does not is conspicuous."""
SCAN_MISSING, SCAN_PROBES = 10, 3
"""Distinct paths that do not exist within five minutes; distinct paths that only scanners ask for within ten."""
GUESSES = 10
"""Failed sign-ins within ten minutes."""
STUFFED = 5
"""Distinct accounts among them from which it is stuffing, not one person's forgotten password."""
GUESS_COST = 20
"""Minor units that one guess costs in expectation: one in a thousand opens an account."""

_TOOLS = re2.compile(
    r"(?i)(sqlmap|nikto|nessus|acunetix|w3af|netsparker|openvas|nuclei|wpscan|dirbuster|gobuster|feroxbuster|ffuf|wfuzz|"
    r"masscan|zgrab|nmap|arachni|havij|skipfish|whatweb|jorgee|zmeu|morfeus|fimap|commix|xsser|dirsearch|burpcollaborator|"
    r"hydra|muieblackcat|paros|webinspect|appscan|qualys|l9explore|l9tcpid|fuzz faster)"
)
_TEXT = {
    "flood": Text(
        "{requests} requests within {seconds} s from one address.", "同一地址 {seconds} 秒内发出 {requests} 次请求。"
    ),
    "robot": Text(
        "During a surge of requests this address asked for pages {requests} times without ever showing one.",
        "请求激增期间，该地址请求了 {requests} 次页面，却从未真正展示过页面。",
    ),
    "missing": Text(
        "{paths} different pages that do not exist within 5 minutes.", "5 分钟内访问了 {paths} 个不存在的页面。"
    ),
    "probes": Text(
        "{paths} different paths that only scanners ask for.", "访问了 {paths} 个只有扫描器才会访问的路径。"
    ),
    "tool": Text("The caller calls itself a scanner: {tool}.", "调用方自称扫描工具：{tool}。"),
    "stuffing": Text(
        "{failures} failed sign-ins to {accounts} accounts within 10 minutes from one address.",
        "同一地址 10 分钟内对 {accounts} 个账户登录失败 {failures} 次。",
    ),
    "guessing": Text(
        "{failures} failed sign-ins within 10 minutes from one address.", "同一地址 10 分钟内登录失败 {failures} 次。"
    ),
    "account": Text(
        "{failures} failed sign-ins to one account within 10 minutes from {addresses} addresses.",
        "10 分钟内有 {addresses} 个地址对同一账户登录失败 {failures} 次。",
    ),
    "injection": Text(
        "A parameter holds what looks like {class_en}: {tokens}.", "参数中疑似含有{class_zh}：{tokens}。"
    ),
}
_CLASSES = {
    "sqli": ("an SQL injection", "SQL 注入"),
    "xss": ("cross-site scripting", "跨站脚本"),
    "traversal": ("a path traversal", "路径穿越"),
    "command": ("a command injection", "命令注入"),
    "template": ("a template or lookup injection", "模板或 JNDI 注入"),
    "entity": ("an XML entity or server-side include", "XML 实体或服务端包含"),
    "query": ("a query or header injection", "查询或响应头注入"),
}


class Evidence(NamedTuple):
    """One finding about one row; ``tells`` says whether it is sent as a signal too."""

    kind: str
    entity: Entity
    key: str
    score: float
    reason: Reason
    seen: dict[str, Any]
    decision: Decision = Decision.CHALLENGE
    since_s: int = 60
    loss_per_minute: int = 0
    series: str = ""
    tells: bool = True


def floods(batch: Batch, features: Features, http: np.ndarray) -> list[tuple[int, Evidence]]:
    """Return addresses that ask far too often, and, during a surge of the shop, newcomers that never show a page.

    A finding is repeated each time the count has grown by half of its threshold, not with every request.
    """
    ten, minute = _counts(features, "ip_requests_10s"), _counts(features, "ip_requests_60s")
    found = []
    hard = http & (_steps(ten, FLOOD_10S) | _steps(minute, FLOOD_60S))
    robots = http & ~hard & _robots(batch, features)
    ips = batch.texts("ip")
    for row in np.flatnonzero(hard | robots).tolist():
        ip = ips[row]
        if not ip:
            continue
        if hard[row]:
            short = ten[row] >= FLOOD_10S
            requests, seconds = (int(ten[row]), 10) if short else (int(minute[row]), 60)
            per_minute, word, score = requests * 60 // seconds, "flood", 0.97
        else:
            requests, seconds, word, score = int(_counts(features, "ip_requests_10m")[row]), 600, "robot", 0.85
            per_minute = max(int(minute[row]), 1)
        seen = {"requests": requests, "seconds": seconds, "per_minute": per_minute, "hard": bool(hard[row])}
        reason = Reason(f"request-{word}", _TEXT[word].filled(seen), feature="ip_requests_10m", value=float(requests))
        found.append(
            (
                row,
                Evidence(
                    "request-flood", Entity.IP, ip, score, reason, seen, since_s=min(seconds, 60),
                    loss_per_minute=per_minute, series="attack.served",
                ),
            )
        )  # fmt: skip
    return found


def _robots(batch: Batch, features: Features) -> np.ndarray:
    """Return the rows of robots in a surge: a newcomer's second and later requests without any page shown.

    It takes a shop whose pages report themselves (requests name devices, views arrive); elsewhere nobody is a robot.
    """
    hour = _counts(features, "host_requests_1h")
    short = _beyond(_counts(features, "host_requests_10s"), hour / 360.0)
    surge = (hour >= LEAST_HOUR) & (short | _beyond(_counts(features, "host_requests_60s"), hour / 60.0))
    telling = _counts(features, "host_devices_1h") >= DEVICES * hour
    requests = _counts(features, "ip_requests_10m")
    silent = (_counts(features, "ip_views_10m") == 0) & (_counts(features, "ip_earlier_1h") == 0)
    nameless = np.array([device is None for device in batch.texts("device")], bool)
    due = (requests >= 2) & ((requests <= 8) | (requests % 8 == 0))
    return np.asarray(surge & telling & silent & due & (nameless | (requests >= 8)), bool)


def _beyond(count: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return where a count is a surge: twice what is expected, and five standard deviations above that."""
    return np.asarray(count > SURGE * expected + 5.0 * np.sqrt(SURGE * expected) + 10.0, bool)


def scans(batch: Batch, features: Features, http: np.ndarray) -> list[tuple[int, Evidence]]:
    """Return addresses that look for what is not there, and callers that call themselves a scanner."""
    missing, probes = _counts(features, "ip_missing_5m"), _counts(features, "ip_probes_10m")
    tools = [_TOOLS.search(agent) if agent else None for agent in batch.texts("user_agent")]
    rows = http & ((missing >= SCAN_MISSING) | (probes >= SCAN_PROBES) | np.array([t is not None for t in tools], bool))
    ips = batch.texts("ip")
    found = []
    for row in np.flatnonzero(rows).tolist():
        ip, tool = ips[row], tools[row]
        if not ip:
            continue
        if tool is not None:
            word, seen, score = "tool", {"tool": tool.group(0).lower()}, 0.95
        elif probes[row] >= SCAN_PROBES:
            word, seen, score = "probes", {"paths": int(probes[row])}, _confidence(probes[row], SCAN_PROBES)
        else:
            word, seen, score = "missing", {"paths": int(missing[row])}, _confidence(missing[row], SCAN_MISSING)
        reason = Reason(f"scan-{word}", _TEXT[word].filled(seen))
        found.append((row, Evidence("scan", Entity.IP, ip, score, reason, seen, series="attack.missing")))
    return found


def injections(batch: Batch, http: np.ndarray) -> list[tuple[int, Evidence]]:
    """Return requests that carry code where a value belongs."""
    paths, bodies, agents, ips = (batch.texts(name) for name in ("path", "body", "user_agent", "ip"))
    status = batch.column("status")
    found = []
    for row in np.flatnonzero(http).tolist():
        path, ip = paths[row], ips[row]
        finding = judge_request(path, bodies[row], agents[row]) if path else None
        if finding is None or not finding.kind:
            continue
        english, chinese = _CLASSES[finding.kind]
        answered = bool(status.present[row] and status.values[row] < 400)
        seen = {
            "class": finding.kind, "class_en": english, "class_zh": chinese, "tokens": ", ".join(finding.tokens),
            "answered": answered,
        }  # fmt: skip
        reason = Reason(f"injection-{finding.kind}", _TEXT["injection"].filled(seen), feature="path")
        decision = Decision.DENY if finding.score >= 0.95 else Decision.CHALLENGE
        found.append(
            (
                row,
                Evidence(
                    "injection", Entity.IP, ip or "unknown", finding.score, reason, seen, decision, since_s=0,
                    series="attack.missing", tells=bool(ip),
                ),
            )
        )  # fmt: skip
    return found


def guesses(batch: Batch, features: Features, login: np.ndarray) -> list[tuple[int, Evidence]]:
    """Return addresses and accounts with a flood of failed sign-ins."""
    failed, logins = _counts(features, "ip_failed_10m"), _counts(features, "ip_logins_10m")
    accounts = _counts(features, "ip_failed_accounts_10m")
    of_account, addresses = _counts(features, "account_failed_10m"), _counts(features, "account_failed_ips_10m")
    by_ip = login & (failed >= GUESSES) & (failed * 2 >= logins)
    by_account = login & (of_account >= GUESSES)
    ips, names = batch.texts("ip"), batch.texts("account")
    found = []
    for row in np.flatnonzero(by_ip | by_account).tolist():
        ip, account = ips[row], names[row]
        if by_ip[row] and ip:
            failures, seen = int(failed[row]), {"failures": int(failed[row]), "accounts": int(accounts[row])}
            word = "stuffing" if accounts[row] >= STUFFED else "guessing"
            entity, key = Entity.IP, ip
        elif by_account[row] and account:
            failures, seen = int(of_account[row]), {"failures": int(of_account[row]), "addresses": int(addresses[row])}
            word, entity, key = "account", Entity.ACCOUNT, account
        else:
            continue
        reason = Reason(f"login-{word}", _TEXT[word].filled(seen), value=float(failures))
        found.append(
            (
                row,
                Evidence(
                    "login-flood", entity, key, _confidence(failures, GUESSES), reason, {**seen, "how": word},
                    since_s=120, loss_per_minute=failures * GUESS_COST // 10, series="attack.login-failures",
                ),
            )
        )  # fmt: skip
    return found


def _counts(features: Features, name: str) -> np.ndarray:
    """Return a feature with 0 where it is missing."""
    return np.asarray(np.nan_to_num(features[name].values), np.float64)


def _steps(counts: np.ndarray, threshold: int) -> np.ndarray:
    """Return where a count stands at its threshold or a multiple of half of it above: a count grows one by one."""
    return np.asarray((counts >= threshold) & ((counts - threshold) % (threshold // 2) == 0), bool)


def _confidence(count: float, threshold: int) -> float:
    """Return 0.8 at the threshold, nearing 0.99 as the count grows."""
    return float(min(0.99, 1.0 - 0.2 * threshold / max(count, 1.0)))
