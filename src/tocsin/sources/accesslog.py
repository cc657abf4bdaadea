"""Access logs of web servers: common, combined and JSON lines become ``http.request`` documents.

The line formats are those of Apache's ``mod_log_config`` (common, combined, vhost_combined) and of nginx's default
``combined``; further fields behind the user agent are read where they are unmistakable (request time) and else left.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec

from tocsin.errors import BadEvent
from tocsin.methods.parsing import parse_time

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LINE = re.compile(
    r"(?:(?P<vhost>[A-Za-z0-9._-]+(?::\d{1,5})?)\s+)?"
    r"(?P<host>\[?[0-9A-Za-z:._%-]+\]?)(?:,\s*[0-9A-Fa-f:.]+)*\s+(?P<ident>\S+)\s+(?P<user>.*?)\s+"
    r"\[(?P<time>[^\]]{10,40})\]\s+"
    rf"{_QUOTED.replace('(', '(?P<request>', 1)}\s+"
    r"(?P<status>\d{3}|-)\s+(?P<bytes>\d+|-)(?P<rest>.*)"
)
_REST = re.compile(rf"\s+{_QUOTED}(?:\s+{_QUOTED})?(?P<more>.*)")
_DURATION = re.compile(r"(?:^|\s)(?:rt=)?(\d{1,4}\.\d{3,6})(?:\s|$)")
_REQUEST = re.compile(r"([A-Za-z][A-Za-z_-]{0,19}) (\S.*?)(?: +(HTTP/\d(?:\.\d)?))?")
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)")

# Field of the document -> names it goes by in JSON logs (nginx, Apache, Caddy, Traefik, Envoy), first present wins.
_NAMES: dict[str, tuple[str, ...]] = {
    "ip": (
        "remote_addr",
        "remote_ip",
        "client_ip",
        "clientip",
        "ClientHost",
        "client",
        "remote_host",
        "ip",
        "clientIp",
    ),
    "method": ("request_method", "method", "RequestMethod", "verb"),
    "path": ("request_uri", "RequestPath", "uri", "url", "path"),
    "status": ("status", "DownstreamStatus", "status_code", "response", "OriginStatus", "response_code"),
    "bytes": ("body_bytes_sent", "bytes_sent", "DownstreamContentSize", "size", "bytes"),
    "user_agent": ("http_user_agent", "user_agent", "request_User-Agent", "agent", "userAgent", "ua"),
    "referrer": ("http_referer", "http_referrer", "referer", "referrer", "request_Referer"),
    "host": ("http_host", "host", "RequestHost", "server_name", "vhost"),
    "time": ("time_iso8601", "time_local", "msec", "StartUTC", "@timestamp", "timestamp", "time", "ts", "start_time"),
}
_REQUEST_LINE = ("request", "request_line", "requestLine")
_SECONDS = ("request_time", "duration_s")


def _unescaped(text: str) -> str:
    """Return the text with the backslash escapes of quotes, backslashes and hexadecimal bytes undone."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 3 else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)

    return _ESCAPE.sub(one, text) if "\\" in text else text


def _address(text: str) -> str:
    """Return the normal form of a network address, or ``""`` where the log holds a host name."""
    try:
        return str(ipaddress.ip_address(text.strip("[]").partition("%")[0]))
    except ValueError:
        return ""


def _request_into(data: dict[str, Any], request: str) -> None:
    match = _REQUEST.fullmatch(request)
    if match is None:
        data["path"] = request or "-"
    else:
        data["method"], data["path"] = match[1].upper(), match[2]


def parse_line(line: str) -> tuple[int, dict[str, Any]]:
    """Return (time in microseconds, data of an ``http.request``) of a common or combined line.

    A request line that is no HTTP (a TLS handshake on the plain port) stays whole in ``path`` without a method.

    Raises
    ------
    BadEvent
        Where the line has another shape, or a time that is none.

    >>> parse_line('203.0.113.7 - - [22/Dec/2016:16:35:35 +0300] "GET /a?b=c HTTP/1.1" 404 12 "-" "curl/8"')[1]
    {'ip': '203.0.113.7', 'method': 'GET', 'path': '/a?b=c', 'status': 404, 'bytes': 12, 'user_agent': 'curl/8'}
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise BadEvent("the line is no access-log line (common or combined)", code="malformed")
    time = parse_time(match["time"])
    if time is None:
        raise BadEvent("the time in brackets is none", field="time", code="wrong-type")
    data: dict[str, Any] = {}
    address = _address(match["host"])
    if address:
        data["ip"] = address
    else:
        data["client_host"] = match["host"]
    if match["vhost"]:
        data["host"] = match["vhost"]
    if match["user"] not in ("-", "", '""'):
        data["account"] = match["user"].strip('"')
    _request_into(data, _unescaped(match["request"]))
    if match["status"] != "-":
        data["status"] = int(match["status"])
    data["bytes"] = 0 if match["bytes"] == "-" else int(match["bytes"])
    rest = _REST.fullmatch(match["rest"])
    if rest is not None:
        for name, value in (("referrer", rest[1]), ("user_agent", rest[2])):
            if value and value != "-":
                data[name] = _unescaped(value)
        duration = _DURATION.search(rest["more"])
        if duration:
            data["duration_ms"] = round(float(duration[1]) * 1000)
    return time, data


def is_access_line(line: str) -> bool:
    """Return whether a text line has the shape of a common or combined access log."""
    return _LINE.fullmatch(line.strip()) is not None


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with Caddy's nested ``request`` (and its headers) lifted to the top."""
    request = record.get("request")
    if not isinstance(request, dict):
        return record
    flat = {**record, **request}
    flat.pop("request", None) if isinstance(flat.get("request"), dict) else None
    headers = request.get("headers")
    if isinstance(headers, dict):
        for name, ours in (("User-Agent", "http_user_agent"), ("Referer", "http_referer")):
            value = headers.get(name)
            if isinstance(value, list) and value:
                flat[ours] = value[0]
    return flat


def _first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        value = record.get(name)
        if value is not None and value not in ("", "-"):
            return value
    return None


def is_access_record(record: dict[str, Any]) -> bool:
    """Return whether a JSON object is an access-log record: caller, request and status are all there."""
    flat = _flat(record)
    asked = _first(flat, _REQUEST_LINE) is not None or _first(flat, _NAMES["path"]) is not None
    return asked and _first(flat, _NAMES["ip"]) is not None and _first(flat, _NAMES["status"]) is not None


def _count(value: Any) -> int | None:
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def parse_record(record: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return (time, data of an ``http.request``) of a JSON access-log record; BadEvent as for ``parse_line``."""
    flat = _flat(record)
    stamp = _first(flat, _NAMES["time"])
    time = parse_time(f"{stamp:.6f}" if isinstance(stamp, float) else str(stamp))
    if time is None:
        raise BadEvent("the record has no time that can be read", field="time", code="missing")
    data: dict[str, Any] = {}
    caller = str(_first(flat, _NAMES["ip"]) or "")
    address = _address(caller) or _address(caller.rpartition(":")[0])
    if address:
        data["ip"] = address
    elif caller:
        data["client_host"] = caller
    request = _first(flat, _REQUEST_LINE)
    if isinstance(request, str):
        _request_into(data, request)
    for name in ("method", "path", "user_agent", "referrer", "host"):
        value = _first(flat, _NAMES[name])
        if value is not None and name not in data:
            data[name] = str(value)
    if "path" not in data:
        raise BadEvent("the record names no path", field="data.path", code="missing")
    for name in ("status", "bytes"):
        count = _count(_first(flat, _NAMES[name]))
        if count is not None:
            data[name] = count
    seconds = _first(flat, _SECONDS)
    if seconds is not None:
        try:
            data["duration_ms"] = round(float(seconds) * 1000)
        except (TypeError, ValueError) as error:
            raise BadEvent("request_time is no number", field="data.duration_ms", code="wrong-type") from error
    return time, data


def decode_record(line: str) -> tuple[int, dict[str, Any]]:
    """Return ``parse_record`` of a line of JSON; BadEvent where it is no JSON object."""
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise BadEvent("the line is no JSON", code="malformed") from error
    if not isinstance(record, dict):
        raise BadEvent("the line is no JSON object", code="malformed")
    return parse_record(record)
