"""``tocsin vocabulary``: the event vocabulary as a page or as JSON Schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tocsin.core.events import AHEAD_LIMIT, ID_MEMORY, LATE_LIMIT, MINUTE, Entity, Kind, Privacy
from tocsin.core.schemas import event_schema
from tocsin.core.vocabulary import INTERNAL, VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.core.events import Field

_HEAD = f"""# Events · 事件

<!-- Written by `tocsin vocabulary`; a test keeps it so. -->

An event is a CloudEvents 1.0 document in structured JSON: `specversion`, `id`, `source`, `type`, `time`, optional
`subject` and `shop`, and `data` with the fields below. (source, id) is its identity: sent again it is acknowledged and
ignored. `time` is RFC 3339 or integer microseconds. Money is an integer in minor units of the event's `currency`.

事件采用 CloudEvents 1.0 的结构化 JSON。(source, id) 是唯一标识，重复发送会被确认并忽略。
金额一律为 `currency` 的最小货币单位整数。

Live doors refuse an event that is more than {LATE_LIMIT // MINUTE} minutes old or {AHEAD_LIMIT // 1_000_000} s ahead
of the receiving clock; file doors run on the data's clock. Identities are remembered for
{ID_MEMORY // (60 * MINUTE)} hours.

## Privacy classes

| class | what the door does |
|---|---|
| open | kept as it is; network addresses too, because lists, CIDR rules and the edge need them |
| pseudonym | replaced by a keyed hash; the clear key is sealed for actuators (not for sessions) |
| sealed | encrypted under the subject's own key; opened only where declared, each opening audited |
| masked | free text: cards, phones, mail addresses and ID numbers in it are masked |

## Versions

A field or a choice may be added without a new version. A field that changes its unit or meaning is a new field; the old
one stays for two releases. Unknown fields are kept (class open, masked as text); an event of an unknown type is
accepted as a plain event. JSON Schemas: `GET /v1/schemas/TYPE` or `tocsin vocabulary --schema TYPE`.

## Entities

{", ".join(f"`{entity.value}`" for entity in Entity)}: a field of that name is that entity's key in every type.
"""


@click.command(help="Print the event vocabulary as Markdown, or a JSON Schema of one type.")
@click.option("--schema", type=click.Choice(list(VOCABULARY)), default=None, help="JSON Schema of this type.")
def command(schema: str | None) -> None:
    """Write to standard output."""
    if schema is not None:
        click.echo(json.dumps(event_schema(VOCABULARY[schema]), indent=2, ensure_ascii=False))
        return
    click.echo(page(), nl=False)


def page() -> str:
    """Return docs/events.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## Types"
    for kind in VOCABULARY.values():
        yield f"\n### {kind.name}\n\n{_sentence(kind.meaning)} {kind.meaning_zh}。\n"
        yield "| field | kind | unit | class | meaning | 含义 |\n|---|---|---|---|---|---|"
        for field in kind.fields:
            yield _row(field)
    yield "\n## Internal types\n\nWritten to the journal by Tocsin itself; they never come in through a door.\n"
    yield "| type | meaning | 含义 |\n|---|---|---|"
    for name, (meaning, meaning_zh) in INTERNAL.items():
        yield f"| `{name}` | {meaning} | {meaning_zh} |"


def _row(field: Field) -> str:
    name = f"**`{field.name}`**" if field.required else f"`{field.name}`"
    kind = field.kind.value
    if field.choices:
        kind = " / ".join(f"`{choice}`" for choice in field.choices)
    elif field.entity is not None and field.kind is not Kind.IP:
        kind = f"key of {field.entity.value}"
    privacy = "" if field.privacy is Privacy.OPEN else field.privacy.value
    return f"| {name} | {kind} | {field.unit} | {privacy} | {field.meaning} | {field.meaning_zh} |"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
