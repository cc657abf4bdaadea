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
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import re2

LONGEST = 8192
"""Characters of one part that are looked at."""
ATTACK = 1.0
"""Sum of weights from which a text is called an attack."""
_ROUNDS = 3
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

_COMMANDS = (
    "cat|ls|id|ping|wget|curl|nc|ncat|netcat|bash|sh|zsh|dash|cmd|powershell|pwsh|sleep|whoami|uname|echo|dir|ipconfig|"
    "ifconfig|nslookup|dig|chmod|chown|rm|python|python3|perl|php|ruby|telnet|ps|netstat|printenv|env|sudo|kill|touch|cp|"
    "mv|tftp|certutil|rundll32|regsvr32|mshta|systeminfo|tasklist|head|tail|grep|awk|sed|expr|"
    "timeout|phpinfo|system|exec|getent|hostname|pwd|net\s+(user|view|localgroup)"
)
_DANGEROUS_TAGS = (
    "script|iframe|frame|frameset|object|embed|applet|svg|math|meta|base|link|style|img|image|video|audio|source|input|"
    "form|body|marquee|details|isindex|bgsound|layer|ilayer|xml|html|head|template|portal|animate|set|keygen|button|"
    "textarea|select|isindex|noscript|table|td|div|a|x|p|br|b|i|xss|plaintext|listing|title|textarea|noembed|comment"
)

_TOKENS: dict[str, tuple[tuple[str, float, str], ...]] = {
    "sqli": (
        ("union-select", 1.0, r"\bunion\b[\s(/*!]*(all|distinct|\d*)[\s(/*!]*select\b"),
        ("select-from", 0.7, r"\bselect\b.{1,300}\bfrom\b"),
        ("select-expression", 0.8, r"\bselect[\s(]+([@*(\d'\"]|null|user|version|database|current_|load_file|count|distinct|case|top\b|pg_|sleep|chr?\b|char|concat|if\b|name\b|banner|system_user)"),
        ("tautology", 1.0, r"\b(and|or|xor|having|where|not|when|div)\b[\s(!~+'\"-]*(\d+(\.\d+)?|'[^']{0,40}'?|\"[^\"]{0,40}\"?|true|false|null|@)['\")\s]*(=|<|>|!=|\blike\b|\bin\b|\bis\b|\bbetween\b|\brlike\b|\bregexp\b|\bnot\b|\bdiv\b|\band\b[\s(]+\d)"),
        ("symbolic-tautology", 1.0, r"(\|\||&&)[\s(!~+'\"-]*(\d+|'[^']{0,40}'?)['\")\s]*(=|<|>|like\b)"),
        ("compare-call", 0.8, r"\b(and|or|xor|having|where)\b[\s(!'\"]*[a-z_@][\w.@]*\s*\("),
        ("compare-name", 0.6, r"\b(and|or|having|where)\b[\s('\"]+[a-z_][\w.]*['\")\s]*(=|<|>|\blike\b|\bis\b\s+(not\s+)?null|\bin\b\s*\()"),
        ("quote-break", 0.6, r"['\"`][\s)]*(\b(or|and|union|xor|having|limit|order|group|procedure|like|rlike|div|is|between|in|into|collate|escape|waitfor|select|insert|regexp)\b|;|--|#|\|\||&&|/\*|=|<>|!=|\*\s*['\"(])"),
        ("number-break", 0.5, r"^[\s(-]*-?\d+[\s'\")%]+(or|and|union|order|group|having|limit|procedure|xor|div|rlike|like|between|where|in|is)\b[\s(]"),
        ("paren-break", 0.4, r"^[^(]{0,60}['\"\d%][\s]*\)+"),
        ("comment-tail", 0.5, r"(--[\s+-]|--$|#\s*$|/\*.{0,60}|;\s*--|--[\w\s]{0,8}$|;\x00)"),
        ("stacked", 1.0, r";\s*(select|insert|update|delete|drop|alter|create|exec|execute|declare|shutdown|waitfor|truncate|call|begin|commit|if\s*\(|merge|grant|set\s+@|copy\s+|use\s+|begin\b)"),
        ("strong-call", 1.0, r"\b(sleep|benchmark|pg_sleep|extractvalue|updatexml|load_file|make_set|utl_inaddr|utl_http|dbms_\w+|ctxsys|group_concat|randomblob|json_keys|gtid_subset|xmltype|generate_series|current_setting|regexp_substring|procedure\s+analyse|row_count|geometrycollection|polygon|multipoint|name_const|st_latfromgeohash|pg_read_file|lo_import|dblink|sys_eval|sys_exec|user_lock|httpuritype|drithsx|char_length|iif|fn_\w+|xmlagg|convert|cast|charindex|bitand|hex|unhex|ascii|ord)[\w.]*\s*\("),
        ("weak-call", 0.4, r"\b(char|chr|concat|concat_ws|substring|substr|mid|if|ifnull|nullif|version|user|database|elt|floor|rand|exp|count|length|coalesce|conv|lower|upper|left|right|exists|row|min|max|schema|password|md5|sha1|user_name|db_name|object_id|power|abs|round|replace)\s*\("),
        ("catalogue", 1.0, r"(information_schema|sysobjects|syscolumns|sysdatabases|pg_catalog|pg_user|pg_shadow|mysql\.(user|db|innodb)|all_tables|all_tab|user_tables|rdb\$|sqlite_master|@@[a-z]|master\.\.|msys\w+|sys\.(user|tab|all|dba|obj|database|v_|log)|sysibm|syscat\.|domain\.domains|v\$version|db_name\s*\(|xp_\w+|sp_\w+|\bfrom\s+dual\b|\$\$|utl_file|waitfor\s+(delay|time))"),
        ("statement", 1.0, r"\b(insert\s+(ignore\s+)?into|update\s+[\w.`\"]+\s+set|delete\s+from|drop\s+(table|database|user|schema|function|view|index|procedure|login|role|column|all|if)|create\s+(table|user|function|or\s+replace|login|database|procedure|view|index|role|trigger|temporary|global)|alter\s+(table|user|login|database|session|system)|truncate\s+table|exec(ute)?[\s(]+(master|sp_|xp_|immediate|@|\(|')|declare\s+[@\w]+|grant\s+\w+|load\s+data|backup\s+database|into\s+(out|dump)file|bulk\s+insert|lock\s+table|handler\s+\w+\s+open|show\s+(tables|databases|columns|grants|variables)|shutdown\b\s*(with|;|--|$)|attach\s+database|copy\s+\w+\s+(from|to))"),
        ("order-by", 0.9, r"\b(order|group)\s+by\s+[\d(`]"),
        ("having", 0.7, r"\bhaving\b\s*[\d('\"]"),
        ("limit", 0.5, r"\blimit\s+\d+\s*(,\s*\d+|offset|--|#|$|into|procedure)"),
        ("case-when", 1.0, r"\bcase\b.{0,80}\bwhen\b.{0,200}\bthen\b|\(case\b"),
        ("alias-where", 1.0, r"\bas\s+\w+\s+where\s+\d"),
        ("hex-literal", 0.4, r"\b0x[0-9a-f]{4,}"),
        ("concatenation", 0.8, r"'\s*(\|\||\+)\s*'|'\s*\|\|\s*\(|\|\|\s*'|'\s*\+\s*\(|\+\s*'[^']{0,20}$"),
        ("equal-pair", 0.7, r"['\"]\s*=\s*['\"(]|^['\"]\s*(=|<|>|-|\+|\*|\^|&|\|)|(^|\s)\d+\s*=\s*\d+|\bnull\b\s*(,\s*null|#|--)"),
        ("inline-comment", 0.7, r"/\*!?\d*.{0,80}\*/"),
        ("is-null", 0.5, r"\bis\s+(not\s+)?null\b|\blike\s+['\"(%\d]|\bnot\s+in\s*\(|\brlike\s*['\"(]|\bbetween\s+\d+\s+and\s+\d+|\bsounds\s+like\b"),
        ("waitfor", 1.0, r"\bwaitfor\b\s*(delay|time)\b|\bpg_sleep\b|\bbenchmark\s*\("),
    ),
    "xss": (
        ("script-tag", 1.0, r"<\s*/?\s*(script|iframe|object|embed|applet|svg|meta|frameset|isindex|bgsound|marquee|xss|math|base)\b|<script"),
        ("tag", 0.6, rf"<[\s/]*({_DANGEROUS_TAGS})[\s/>\x0b\x0c:]|<[a-z!?/][^<>]{{0,200}}>|<[a-z]+[\s/]+\w+\s*="),
        ("handler", 0.6, r"[\s/'\"<>;\x0b\x0c]on[a-z]{3,28}\s*="),
        ("bare-handler", 0.4, r"\bon(error|load|click|focus|blur|mouse[a-z]+|key[a-z]+|change|submit|start|toggle|begin|end|animation[a-z]+|transition[a-z]+|pointer[a-z]+|touch[a-z]+|drag[a-z]*|wheel|scroll|copy|cut|paste|resize|hashchange|message|pageshow|popstate|unload)\s*="),
        ("script-scheme", 1.0, r"(java|vb|live)script\s*:|data:\s*(text/html|image/svg|application/x|[^,]{0,40};base64)|feed:\s*(//|java|data)|mocha:"),
        ("dialogue", 0.7, r"\b(alert|prompt|confirm|eval|settimeout|setinterval|execscript|msgbox|importscripts|fetch|\$\.getscript)\s*[(`\[]|\b(alert|confirm|prompt|eval)\b\s*[;)}\]]"),
        ("document", 0.7, r"\b(document|window|self|top|parent|this|globalthis|frames)\s*(\.|\[\s*['\"/])\s*(cookie|write|domain|location|body|forms|createelement|getelement|open|name|alert|eval|\w+\s*['\"\]])|\blocation\s*(=|\.)"),
        ("code", 0.8, r"fromcharcode|innerhtml|outerhtml|srcdoc|xlink:href|formaction|-moz-binding|behavior\s*:|expression\s*\(|@import|allowscriptaccess|\+adw-|unescape\s*\(|string\.raw|constructor\s*[.(\[]|\]\[\s*\(|window\.name|atob\s*\(|\bthrow\b.{0,40}onerror|onerror\s*=\s*(alert|eval)|url\s*\(\s*['\"]?\s*(java|data|http)|seeksegmenttime|&\{"),
        ("quote-tag", 0.6, r"['\"]\s*/?>|['\"]\s*;\s*(\w+\s*[(=]|//)|['\"][-+*^|&]\s*\w+\s*[(`]|\}\s*[-+*]\s*\w+\("),
    ),
    "traversal": (
        ("climb", 1.0, r"\.\.+[/;]+\.*|/\.\.+(/|$|;)|\.\.\.\.//|^\.\.$|=\.\."),
        ("dots", 1.0, r"(^|[/=])\.{3,}[/{]|(^|/)\.{6,}|/\.//\./|\.\.0x2f|0x2e0x2e|/\.\.[^.\w]"),
        ("system-file", 1.0, r"/etc/(passwd|shadow|group|hosts?|issue|motd|fstab|crontab|sudoers|[a-z0-9.]{1,20}/[\w.-]+\.(conf|ini))|(^|[/\s])etc/(passwd|shadow|hosts|issue|group)|win\.ini|boot\.ini|system\.ini|system32|web-inf|meta-inf|/proc/(self|version|cpuinfo|\d)|httpd\.conf|php\.ini|my\.cnf|nginx\.conf|/var/(log|lib|mail|www)/|/windows/|/winnt/|id_rsa|\.ssh/|\.bash_history|/usr/local/(apache|etc|php|lib)|c:/|\.htpasswd|global\.asa|/inetpub/|/xampp/|/boot/grub|/root/\.|/home/[^/]{1,30}/\.|/opt/\w+/(conf|logs)"),
        ("file-scheme", 1.0, r"\b(file|php|zip|phar|expect|glob|jar|netdoc|gopher|dict|ogg|ssh2|zlib|compress\.\w+)\s*:/{1,3}|\bdata:text/plain;base64|169\.254\.169\.254"),
        ("null-byte", 0.7, r"\x00"),
        ("configuration", 0.6, r"\.(ini|conf|cfg|bak|htaccess|log|passwd)(\x00|$)|/\.(env|git|svn|hg|aws|htaccess|htpasswd|ds_store)|[\x00?#;]\.(jpg|png|html?)$"),
    ),
    "command": (
        ("piped", 1.0, rf"[;|&`\n\r]+\s*[('\"]*(/?(usr/)?s?bin/)?({_COMMANDS})(\.exe)?['\"]*(\s+[\w/.$<>'\"{{-]|\s*$|\s*[|&`)<>\n#(]|\$|;\s*(\w+\s+[-/]|$|id|ls|echo)|\+)"),
        ("substitution", 0.8, r"\$\([^()]{1,200}\)?|`[^`]{2,200}`|\$\(\(|<\([a-z]"),
        ("path-binary", 1.0, r"/(usr/(local/)?)?s?bin/[a-z]|\bcmd(\.exe)?['\"]?\s*/[ck]\b|\bpowershell(\.exe)?\s+[-/]|\bsh\s+-c\b|/dev/(tcp|udp)/|bash\s+-[ic]|\bnc\s+(-|\d)"),
        ("bare-command", 0.6, r"^\W*(cat|ls|wget|curl|ping|nslookup|whoami|ifconfig|ipconfig|uname|netstat|dir|type|id|echo|sleep|phpinfo|net|rm|ps)(\s+(-|/|\$|http|[a-z]:|\d|%)|\s+[^\s]*(/|passwd)|\s*[|;&`])"),
        ("code-call", 1.0, r"\b(system|exec|passthru|shell_exec|popen|proc_open|pcntl_exec|phpinfo|file_get_contents|fsockopen|base64_decode|gzinflate|create_function|call_user_func\w*|assert|os\.(system|popen)|subprocess\.\w+|child_process|execsync|runtime\.exec|processbuilder|file_put_contents|fopen|readfile|highlight_file|include|require|include_once|getallheaders|str_rot13|preg_replace)\s*\(|\b(eval|print|echo|die|exit|var_dump|print_r|response\.write)\s*\(\s*[\"'`$\w(]|print\s*`|\$_(get|post|request|cookie|server|files)\b|<\?(php|=)|\$\{@|__import__\s*\("),
        ("field-separator", 1.0, r"\$\{?ifs\b|\$ifs|\{(cat|ls|echo|ping|wget|curl|nc|sleep|id),|\becho\$|\$\{path:|\$@|[a-z]['\"]{2}[a-z]+['\"]{2}"),
        ("shellshock", 1.0, r"\(\s*\)[\s.]*\{[^}]{0,60}\}?[\s.]*[:;>_]"),
        ("redirect", 0.6, r"[;|&]\s*\w+.{0,60}[<>]\s*/|>\s*/(dev|tmp|var)|2>&1|\d>&\d|\|\|?\s*true\b|%0a\s*[a-z]"),
        ("separator", 0.4, r"(^|\w)\s*(\|\||&&|;|\||&)\s*[a-z]{2,12}(\s+-\w|\s+/|\s*\$|\s*%)|^[|;&`]+\s*\w+|[|`;&]\s*$"),
    ),
    "template": (
        ("lookup", 1.0, r"\$\{[^}]{0,60}(jndi|::-|lower:|upper:|env:|sys:|java:|ctx:|date:|main:|bundle:|k8s:|docker:|script:|url:|dns:)|jndi\s*:\s*[\w:$/{]{0,20}[/$}]|\$\{\$?\{|\$\{j\}?|j\$?\{?n?\}?di:\w+:/"),
        ("braces", 0.9, r"\{\{[^}]{0,200}[*.(\[_'\"|=+-][^}]{0,200}\}?\}|\{%[^%]{0,100}(if|for|set|include|import|print|debug|extends)\b|\{#.{0,80}#\}|\{php\}|\{\{\d+"),
        ("expression", 0.9, r"[#$%@*]\{[^}]{0,200}[*.(+\[@'\"][^}]{0,200}\}|[$#]\{\s*\d+\s*[*+-]\s*\d+|<%=?[^%]{0,200}|\[\[\$?\{|\$\{\d+\}|\$\{t\(|#set\s*\(|#(foreach|include|parse|evaluate)\s*\(|@\(\d+|@\{\d"),
        ("introspection", 1.0, r"__(class|mro|globals|subclasses|builtins|init|base|bases|dict|proto)__|java\.lang|getruntime|freemarker|getclass\s*\(|t\(java|#_?memberaccess|@ognl|ognl\.|#context|processbuilder|request\.application|config\.items|self\._|classloader|\.getengine|constructor\.(prototype|constructor)|global\.process|lipsum"),
    ),
    "entity": (
        ("entity", 1.0, r"<!entity|<!doctype[^>]{0,300}(\[|system|public\s+['\"]|file:)|<!element|<xi:include|<xsl:(value-of|include|stylesheet)"),
        ("include", 1.0, r"<!--\s*#\s*(exec|include|echo|config|printenv|fsize|set)\b|<esi:"),
    ),
    "query": (
        ("operator", 1.0, r"\[\$(ne|gt|gte|lt|lte|regex|where|in|nin|exists|or|and|not|eq)\]|['\"{]\s*\$(ne|gt|gte|lt|lte|regex|where|nin|exists|or|expr|func)\b['\"]?\s*:|\$where\b|\|\|\s*this\.|this\.\w+\s*(==|\.match)|;\s*return\b|db\.\w+\.(find|insert|drop)|\$ne=|\$gt="),
        ("filter", 1.0, r"\*\s*\)\s*\(\s*[|&!(]|\)\s*\(\s*[|&!]\s*\(|\(\s*[|&!]\s*\(\s*\w+\s*=|\*\)\(\w+=|\)\(\w+=\*|\*\(\|\(|\)\(cn=|objectclass\s*="),
        ("header", 1.0, r"[\r\n]+\s*(set-cookie|location|content-(type|length|encoding)|x-[a-z-]+|http/1\.|host|transfer-encoding|refresh|link)\s*[:/]"),
    ),
}  # fmt: skip
_COMPILED = {
    kind: tuple((name, weight, re2.compile(f"(?is){pattern}")) for name, weight, pattern in tokens)
    for kind, tokens in _TOKENS.items()
}
_UNUSUAL = re2.compile(r"[^\w\s/.,:?&=~@!+%\-]|\.\.|--|\x00|(?i)\b(select|union|or|and|having|order|exec|drop|script|waitfor)\b|0x|[a-z]+:/|/(etc|proc|bin|windows)/|^\W*(cat|ls|ping|id|dir)\b|web-inf|javascript|\.(ini|conf|bak)|/\.|[\r\n]|[(=<>]|^\.\.|c:/")
_OVERLONG = re2.compile(r"(?i)%c0%(ae|2e|5e|6e)|%e0%80%ae|%f0%80%80%ae|%f8%80%80%80%ae|%fc%80%80%80%80%ae|%uff0e|%u002e|%25%32%65")
_OVERLONG_SLASH = re2.compile(r"(?i)%c0%(af|2f|9v|qf)|%c1%(9c|1c|pc|8s|af)|%e0%80%af|%f0%80%80%af|%f8%80%80%80%af|%fc%80%80%80%80%af|%u2215|%u2216|%uefc8|%uf025|%u005c|%u002f|%bg%qf|%c0[/\\]")
_UNICODE = re2.compile(r"(?i)(?:%u|\\u)\{?([0-9a-f]{4})\}?|\\x([0-9a-f]{2})")
_COMMENT = re2.compile(r"/\*[^!*]{0,40}\*+/")
_SPACES = re2.compile(r"[\t\x0b\x0c\xa0 ]+")
_HEX_DOT = re2.compile(r"(?i)0x2e")
_HEX_SLASH = re2.compile(r"(?i)0x(2f|5c)")
_SPLIT_SCHEME = re2.compile(r"(?i)j\s*a\s*v\s*a\s*s\s*c\s*r\s*i\s*p\s*t\s*:|v\s*b\s*s\s*c\s*r\s*i\s*p\s*t\s*:")


def plain(text: str) -> str:
    """Return the text with its encodings taken off: percent (nested, overlong, %u), HTML entities, \\u and \\x escapes,
    full-width letters; backslashes become slashes only in ``judge_text``'s look for paths.

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
    """Return what one decoded or encoded parameter value is: the strongest class, or CLEAN.

    >>> judge_text("1' or '1'='1").kind, judge_text("<svg onload=alert(1)>").kind, judge_text("red shoes 9\\"").kind
    ('sqli', 'xss', '')
    """
    value = plain(text)
    if not _UNUSUAL.search(value):
        return CLEAN
    spaced = _SPACES.sub(" ", value)
    forms = {
        "sqli": _COMMENT.sub(" ", spaced),
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
    for piece in (*pieces, query if len(pieces) > 1 else ""):
        _, assigned, value = piece.partition("=")
        for part in {value if assigned else piece, piece} if len(piece) < 200 else {value if assigned else piece}:
            finding = judge_text(part.replace("+", " "))
            if finding.weight > best.weight:
                best = finding
    if agent:
        finding = judge_text(agent)
        # Ordinary agents hold semicolons, parentheses and short words; only what no browser says counts there.
        if finding.weight > best.weight and (finding.kind == "template" or _NOT_IN_AGENTS.intersection(finding.tokens)):
            best = finding
    return best


def _character(match: re2._Match[str]) -> str:
    return chr(int(match.group(1) or match.group(2), 16))


def _percent(text: str) -> str:
    raw = unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
