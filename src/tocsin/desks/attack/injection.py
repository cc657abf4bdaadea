"""Injected parameters: a text becomes its plain form, and weighted tokens of each attack class are added up.

Weights are such that 1.0 is an attack by itself; weaker tokens must meet. Classes: ``sqli``, ``xss``, ``traversal``,
``command``, ``template`` (expression and template languages, Log4Shell), ``entity`` (XXE) and ``query`` (NoSQL, LDAP,
header splitting). Patterns run on RE2: linear in the text whatever an attacker sends.

References: OWASP Core Rule Set 4 (what to look for), libinjection (SQL in quotes, numbers and bare context).
"""

from __future__ import annotations

import html
import math
import unicodedata
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import re2
import yaml

LONGEST = 8192
"""Characters of one part that are looked at."""
ATTACK = 1.0
"""Sum of weights from which a text is called an attack."""
_ROUNDS = 3
_MOST_VALUES = 64
"""Query and form values that are looked at one by one."""
_NOT_IN_AGENTS = frozenset({"shellshock", "script-tag", "strong-call", "union-select", "system-file", "code-call"})


class Finding(NamedTuple):
    """The class with the highest sum of weights, that sum, and the names of its tokens."""

    kind: str
    weight: float
    tokens: tuple[str, ...]

    @property
    def score(self) -> float:
        """Confidence in [0, 1): 0.8 at weight 1, 0.96 at 2."""
        return 1.0 - math.exp(-1.61 * self.weight)


CLEAN = Finding("", 0.0, ())


def _compiled() -> dict[str, tuple[tuple[str, float, re2._Regexp[str]], ...]]:
    document = yaml.safe_load((files("tocsin.desks.attack") / "tokens.yaml").read_text(encoding="utf-8"))
    return {
        kind: tuple((row["name"], float(row["weight"]), re2.compile(f"(?is){row['pattern']}")) for row in rows)
        for kind, rows in document.items()
    }


_COMPILED = _compiled()
_UNUSUAL = re2.compile(
    r"[^\w\s/.,:?&=~@!+%\-]|&&|\.\.|--|\x00|(?i)\b(select|union|or|and|having|order|exec|drop|script|"
    r"waitfor)\b|0x|[a-z]+:/|/(etc|proc|bin|windows)/|^\W*(cat|ls|ping|id|dir)\b|web-inf|javascript|"
    r"\.(ini|conf|bak)|/\.|[\r\n]|[(=<>]|^\.\.|c:/"
)
_OVERLONG = re2.compile(
    r"(?i)%c0%(ae|2e|5e|6e)|%e0%80%ae|%f0%80%80%ae|%f8%80%80%80%ae|%fc%80%80%80%80%ae|%uff0e|%u002e|"
    r"%25%32%65"
)
_OVERLONG_SLASH = re2.compile(
    r"(?i)%c0%(af|2f|9v|qf)|%c1%(9c|1c|pc|8s|af)|%e0%80%af|%f0%80%80%af|%f8%80%80%80%af|"
    r"%fc%80%80%80%80%af|%u2215|%u2216|%uefc8|%uf025|%u005c|%u002f|%bg%qf|%c0[/\\]"
)
_UNICODE = re2.compile(r"(?i)(?:%u|\\u)\{?([0-9a-f]{4})\}?|\\x([0-9a-f]{2})")
_COMMENT = re2.compile(r"/\*[^!*]{0,40}\*+/")
_SPACES = re2.compile(r"[\t\x0b\x0c\xa0 ]+")
_HEX_DOT = re2.compile(r"(?i)0x2e")
_HEX_SLASH = re2.compile(r"(?i)0x(2f|5c)")
_SPLIT_SCHEME = re2.compile(r"(?i)j\s*a\s*v\s*a\s*s\s*c\s*r\s*i\s*p\s*t\s*:|v\s*b\s*s\s*c\s*r\s*i\s*p\s*t\s*:")


def plain(text: str) -> str:
    r"""Return the text with its encodings taken off.

    Percent (nested, overlong, %u), HTML entities, \\u and \\x escapes, full-width letters. Backslashes become slashes
    only where ``judge_text`` looks for paths.

    >>> plain("%252e%252e%252fetc"), plain("&lt;script&gt;"), plain("%uff1cb%c0%af")
    ('../etc', '<script>', '<b/')
    """
    text = text[:LONGEST]
    for _ in range(_ROUNDS):
        before = text
        if "%" in text:
            text = _OVERLONG_SLASH.sub("/", _OVERLONG.sub(".", text))
        if "\\" in text or "%u" in text or "%U" in text:
            text = _UNICODE.sub(_character, text)
        if "%" in text:
            text = _percent(text)
        if "&" in text:
            text = html.unescape(text)
        if text == before:
            break
    return unicodedata.normalize("NFKC", text) if not text.isascii() else text


def judge_text(text: str) -> Finding:
    r"""Return what one decoded or encoded parameter value is: the strongest class, or CLEAN.

    >>> judge_text("1' or '1'='1").kind, judge_text("<svg onload=alert(1)>").kind, judge_text("red shoes 9\\"").kind
    ('sqli', 'xss', '')
    """
    value = plain(text)
    if not _UNUSUAL.search(value):
        return CLEAN
    spaced = _SPACES.sub(" ", value)
    forms = {
        "sqli": _COMMENT.sub(" ", spaced.replace("\x00", " ")),
        "xss": _SPLIT_SCHEME.sub("javascript:", value.replace("\x00", "")),
        "traversal": _HEX_SLASH.sub("/", _HEX_DOT.sub(".", value.replace("\\", "/"))),
        "command": spaced.replace("\\\n", ""),
    }
    best = CLEAN
    document = value.lstrip().startswith("<?xml")
    for kind, tokens in _COMPILED.items():
        form = forms.get(kind, value)
        found = [(name, weight) for name, weight, pattern in tokens if pattern.search(form)]
        weight = sum(weight for _, weight in found)
        if kind == "xss" and document and weight < 2 * ATTACK:
            continue
        if weight > best.weight:
            best = Finding(kind, weight, tuple(name for name, _ in found))
    return best if best.weight >= ATTACK else CLEAN


def judge_request(path: str, body: str | None = None, agent: str | None = None) -> Finding:
    """Return the strongest finding in a request: its path, each query and form value, and headers that are logged."""
    route, _, query = path.partition("?")
    best = judge_text(route)
    pieces = [*query.split("&"), *((body or "").split("&") if body else [])]
    # Beyond the first values the rest is looked at as one text: a request must not cost what its sender likes.
    for piece in (*pieces[:_MOST_VALUES], "&".join(pieces[_MOST_VALUES:]), query if len(pieces) > 1 else ""):
        if not piece:
            continue
        _, assigned, value = piece.partition("=")
        # A short piece is judged whole too: its name may be the injected part.
        for part in (value, piece) if assigned and len(piece) < 200 else (value or piece,):
            finding = judge_text(part.replace("+", " "))
            if finding.weight > best.weight:
                best = finding
    if agent:
        finding = _judge_agent(agent)
        # Ordinary agents hold semicolons, parentheses and short words; only what no browser says counts there.
        if finding.weight > best.weight and (finding.kind == "template" or _NOT_IN_AGENTS.intersection(finding.tokens)):
            best = finding
    return best


@lru_cache(maxsize=8192)
def _judge_agent(agent: str) -> Finding:
    """Return what a user agent is; few of them make up most requests."""
    return judge_text(agent)


def _character(match: re2._Match[str]) -> str:
    return chr(int(match.group(1) or match.group(2), 16))


def _percent(text: str) -> str:
    raw = unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
