"""What the store knows of each record type: its table, the columns it can be asked by, the texts it is searched in."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from tocsin.core.action import Action, Outcome, Ruling
from tocsin.core.campaign import Campaign
from tocsin.core.incident import Incident
from tocsin.core.records import (
    ApiKey,
    Audit,
    DeadLetter,
    IdentityPage,
    Limit,
    ListEntry,
    ModelVersion,
    Session,
    StoredPlaybook,
    StoredRule,
    SubjectKey,
    Switch,
    User,
)
from tocsin.core.signal import Signal, Verdict
from tocsin.errors import BadEvent, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LONGEST_KEY = 512
"""Indexed texts are cut at this many characters; the body keeps them whole."""
LEAST, MOST = -(2**63), 2**63 - 1


class ColumnKind(StrEnum):
    """The types that SQLite and PostgreSQL share."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How one record type lies in the store.

    ``columns`` are the fields that it can be asked and ordered by, ``indexes`` the lists of columns that the store
    keeps in order; ``search`` are paths of texts (``title.en``) that ``find(search=...)`` looks through.
    ``versioned`` records are put only over their predecessor or themselves; ``optional`` columns may hold None.
    ``usual`` are values that most rows of a column have and nobody looks for: an index that begins with the column
    leaves those rows out.
    """

    kind: type[Any]
    name: str
    columns: dict[str, ColumnKind]
    indexes: tuple[tuple[str, ...], ...] = ()
    search: tuple[str, ...] = ()
    versioned: bool = False
    optional: frozenset[str] = frozenset()
    usual: dict[str, str] = {}

    def row(self, record: Any) -> dict[str, Any]:
        """Return the values of the indexed columns, ``version`` and ``search`` included where the table has them."""
        plan = _plan(self)
        texts = [*map(str, plan.get_texts(record))]
        joined = "".join(texts)
        if len(joined) > LONGEST_KEY or "\0" in joined:
            texts = [_plain(text)[:LONGEST_KEY] for text in texts]
        whole = [
            value if value is None or (value.__class__ is int and LEAST <= value <= MOST) else _whole(value)
            for value in plan.get_whole(record)
        ]
        row = dict(zip(plan.names, (*texts, *whole), strict=True))
        for name, value in zip(plan.others, plan.get_others(record), strict=True):
            row[name] = _indexed(self, name, value)
        if self.versioned:
            row["version"] = record.version
        if self.search:
            row["search"] = _plain("\n".join(map(str, plan.get_search(record))).casefold())
        return row


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a shape's row is read off a record: many columns at once."""

    names: tuple[str, ...]
    """Texts, then whole numbers."""
    get_texts: Callable[[Any], tuple[Any, ...]]
    get_whole: Callable[[Any], tuple[Any, ...]]
    others: tuple[str, ...]
    get_others: Callable[[Any], tuple[Any, ...]]
    get_search: Callable[[Any], tuple[Any, ...]]


_plans: dict[str, _Plan] = {}


def _plan(shape: Shape) -> _Plan:
    found = _plans.get(shape.name)
    if found is None:
        texts = tuple(
            name for name, kind in shape.columns.items() if kind is ColumnKind.TEXT and name not in shape.optional
        )
        whole = tuple(name for name, kind in shape.columns.items() if kind is ColumnKind.INTEGER)
        others = tuple(name for name in shape.columns if name not in texts and name not in whole)
        found = _plans[shape.name] = _Plan(
            texts + whole, _reader(texts), _reader(whole), others, _reader(others), _reader(shape.search)
        )
    return found


def _reader(paths: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads these attributes of a record, as a tuple however many they are."""
    if len(paths) > 1:
        return attrgetter(*paths)
    if not paths:
        return lambda record: ()
    only = attrgetter(paths[0])
    return lambda record: (only(record),)


def _indexed(shape: Shape, name: str, value: Any) -> Any:
    """Return the value of a real column, or of a text that may be missing."""
    if value is None:
        return None
    if shape.columns[name] is ColumnKind.TEXT:
        return _plain(str(value))[:LONGEST_KEY]
    if not math.isfinite(value):
        raise ValueError(f"{shape.name}.{name} is {value}")
    return float(value)


def _whole(number: int) -> int:
    if number.__class__ is bool:
        return int(number)
    # A column holds 64 bits; the body keeps a greater number as it is.
    return max(LEAST, min(MOST, int(number)))


def _plain(text: str) -> str:
    # PostgreSQL stores no NUL in a text.
    return text.replace("\0", "�")


_T, _I, _R = ColumnKind.TEXT, ColumnKind.INTEGER, ColumnKind.REAL


def _shape(
    kind: type[Any],
    name: str,
    *,
    texts: str = "",
    integers: str = "",
    reals: str = "",
    indexes: str = "",
    search: str = "",
    usual: dict[str, str] | None = None,
) -> Shape:
    columns = {word: _T for word in texts.split()}
    columns |= dict.fromkeys(integers.split(), _I) | dict.fromkeys(reals.split(), _R)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    optional = frozenset(name for name in columns if type(None) in get_args(fields[name].type))
    return Shape(
        kind=kind,
        name=name,
        columns=columns,
        indexes=tuple(tuple(one.split("+")) for one in indexes.split()),
        search=tuple(search.split()),
        versioned="version" in fields,
        optional=optional,
        usual=usual or {},
    )


SHAPES: dict[type[Any], Shape] = {
    shape.kind: shape
    for shape in (
        _shape(
            Incident,
            "incidents",
            texts="shop kind subject severity phase label",
            integers="onset opened updated closed loss_per_minute loss",
            reals="score",
            indexes="opened+id updated+id phase+severity kind subject",
            search="id kind subject title.en title.zh",
        ),
        _shape(
            Signal,
            "signals",
            texts="desk kind shop subject",
            integers="onset tau",
            indexes="onset+id subject",
            search="id desk kind subject",
        ),
        _shape(
            Action,
            "actions",
            texts="shop incident playbook verb target state effect",
            integers="created decided done ended expires",
            indexes="created+id state+created incident target expires",
            search="id incident playbook verb target",
        ),
        _shape(Ruling, "rulings", texts="action answer by", integers="time", indexes="action time+id"),
        _shape(Outcome, "outcomes", texts="action what effect", integers="time", indexes="action time+id"),
        _shape(
            Verdict,
            "verdicts",
            texts="event_id event_source event_type shop subject computed served outcome",
            integers="time tau expires amount late",
            reals="score",
            indexes="tau+id served+tau+id computed+tau+id",
            search="id event_id event_type subject model",
            usual={"served": "allow", "computed": "allow"},
        ),
        _shape(User, "users", texts="role", integers="created"),
        _shape(Session, "sessions", texts="user", integers="created expires", indexes="user expires"),
        _shape(ApiKey, "api_keys", texts="name shop", integers="created revoked"),
        _shape(
            DeadLetter,
            "dead_letters",
            texts="shop door code state event_id event_type",
            integers="received",
            indexes="received+id state+received",
            search="id event_id event_type code field reason",
        ),
        _shape(Limit, "limits", texts="kind key word", integers="changed"),
        _shape(Switch, "switches", texts="word", integers="changed"),
        _shape(StoredRule, "rules", texts="mode", integers="changed"),
        _shape(StoredPlaybook, "playbooks", integers="changed"),
        _shape(
            ListEntry,
            "list_entries",
            texts="name value",
            integers="expires changed",
            indexes="name expires",
            search="name value note",
        ),
        _shape(
            ModelVersion, "models", texts="desk digest stage", integers="created changed", indexes="desk+stage digest"
        ),
        _shape(Audit, "audits", texts="who what target", integers="time", indexes="time", search="who what target"),
        _shape(SubjectKey, "subject_keys", integers="created shredded"),
        _shape(IdentityPage, "identity_pages", texts="shop entity", integers="count created", indexes="shop+entity"),
        _shape(Campaign, "campaigns", texts="shop name", integers="start end"),
    )
}


def shape_of(kind: type[Any]) -> Shape:
    """Return the shape of a record type; Misconfigured where it is not a record."""
    try:
        return SHAPES[kind]
    except KeyError:
        known = ", ".join(sorted(one.__name__ for one in SHAPES))
        raise Misconfigured(f"records: {kind.__name__} is not a record; records are {known}") from None


class Question(msgspec.Struct, frozen=True):
    """One ``find``, checked: the same for every backend."""

    conditions: tuple[tuple[str, str, Any], ...]
    """(column, ``in`` / ``gte`` / ``lt``, value); ``in`` takes a tuple, in which None stands for a missing value."""
    order: str
    descending: bool
    after: tuple[Any, str] | None
    """(value of the order column, id) of the last record seen."""
    search: str


def conditions_of(shape: Shape, where: Mapping[str, Any] | None) -> tuple[tuple[str, str, Any], ...]:
    """Return a filter as (column, operator, value); BadEvent names a column or operator that there is not."""
    found: list[tuple[str, str, Any]] = []
    for field, value in (where or {}).items():
        name, _, operator = field.partition("__")
        if (name != "id" and name not in shape.columns) or operator not in ("", "gte", "lt"):
            raise BadEvent(f"{shape.name} cannot be asked by {field}", field=field, code="out-of-range")
        if operator:
            found.append((name, operator, _asked(name, value)))
        elif isinstance(value, list | tuple | set | frozenset):
            found.append((name, "in", tuple(_asked(name, one) for one in value)))
        else:
            found.append((name, "in", (_asked(name, value),)))
    return tuple(found)


def _asked(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return str(value) if name == "id" else _plain(str(value))[:LONGEST_KEY]
    return _whole(value) if isinstance(value, int) else value


def question(
    shape: Shape, where: Mapping[str, Any] | None, order: str, after: str, search: str, limit: int
) -> Question:
    """Return the checked question; BadEvent names what cannot be asked, a foreign or broken cursor included."""
    descending, name = order.startswith("-"), order.removeprefix("-")
    if name != "id" and name not in shape.columns:
        raise BadEvent(f"{shape.name} cannot be ordered by {name}", field="order", code="out-of-range")
    if search and not shape.search:
        raise BadEvent(f"{shape.name} cannot be searched", field="search", code="out-of-range")
    if limit < 1:
        raise BadEvent("limit must be at least 1", field="limit", code="out-of-range")
    place = None
    if after:
        try:
            cursor = msgspec.json.decode(_from_word(after), type=tuple[str, str, str | int | float | None, str])
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadEvent("after is no cursor of this list", field="after") from error
        if cursor[:2] != (shape.name, order):
            raise BadEvent("after is a cursor of another list or order", field="after")
        if not _may_hold(shape, name, cursor[2]):
            raise BadEvent("after is no cursor of this list", field="after")
        place = cursor[2:]
    return Question(conditions_of(shape, where), name, descending, place, _plain(search.casefold()))


def _may_hold(shape: Shape, name: str, value: str | float | None) -> bool:
    """Return whether an order column can have that value: a cursor comes from outside."""
    if value is None:
        return name in shape.optional
    kind = shape.columns.get(name, ColumnKind.TEXT)
    if kind is ColumnKind.INTEGER:
        return isinstance(value, int) and value == _whole(value)
    return isinstance(value, str) == (kind is ColumnKind.TEXT)


def cursor(shape: Shape, order: str, value: Any, id: str) -> str:
    """Return the opaque cursor that stands behind a record."""
    return _to_word(msgspec.json.encode((shape.name, order, value, id)))


def _to_word(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _from_word(word: str) -> bytes:
    return base64.urlsafe_b64decode(word.encode() + b"=" * (-len(word) % 4))
