"""The report of an assessment for people: on a terminal, as text, in a notebook; English or Chinese."""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as Line

from tocsin.assessment.words import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from tocsin.assessment.result import Assessment

SHOWN = 12
_COLOURS = {"P1": "bold red", "P2": "red", "P3": "yellow", "P4": "cyan", "deny": "bold red", "hold": "red"}


def render(result: Assessment, language: str, console: Console) -> None:
    """Print the report; at most 100 columns wide."""
    console.print(Group(*_parts(result, language if language in ("en", "zh") else "en")))


def as_text(result: Assessment, language: str, width: int) -> str:
    """Return the report as plain text of that width."""
    out = io.StringIO()
    render(result, language, Console(file=out, width=width, no_color=True, force_terminal=False))
    return out.getvalue()


def as_html(result: Assessment, language: str) -> str:
    """Return the report as one HTML block with its styles inline."""
    console = Console(record=True, width=100, file=io.StringIO(), force_jupyter=False)
    render(result, language, console)
    style = "<pre style='white-space:pre;overflow-x:auto;line-height:1.3;font-family:monospace'>{code}</pre>"
    return console.export_html(inline_styles=True, code_format=style)


def _parts(result: Assessment, lang: str) -> Iterator[RenderableType]:
    yield from _read(result, lang)
    if result.chosen is not None:
        yield from _table(result, lang)
    yield from _incidents(result, lang)
    yield from _rows(result, lang)
    yield from _answers(result, lang)


def _say(lang: str, key: str, **values: Any) -> str:
    return WORDS[key][0 if lang == "en" else 1].format(**values)


def _grid(*columns: tuple[str, str], title: str = "") -> Table:
    """Return a table of (header, ``left`` or ``right``) columns that fits 100 columns."""
    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, padding=(0, 1), pad_edge=False
    )
    for header, side in columns:
        table.add_column(header, justify="right" if side == "right" else "left", overflow="fold", header_style="dim")
    return table


def _time(micros: int | None) -> str:
    if micros is None:
        return "-"
    try:
        return datetime.fromtimestamp(micros / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "-"


def _read(result: Assessment, lang: str) -> Iterator[RenderableType]:
    events = result.events
    table = _grid((_say(lang, "file"), "left"), (_say(lang, "what"), "left"), title=_say(lang, "read"))
    for file in events["files"]:
        notes = "; ".join(note[lang] for note in file["notes"])
        refused = f"; {_say(lang, 'refused_lines', n=file['refused'])}" if file["refused"] else ""
        kind = _say(lang, f"kind_{file['kind'].replace(' ', '_')}")
        table.add_row(file["name"], f"{kind}: {notes}{refused}")
    yield table
    if events["accepted"]:
        types = ", ".join(f"{kind} {count:,}" for kind, count in events["by_type"].items())
        span = f"{_time(events['first'])} – {_time(events['last'])} UTC"
        yield Line(_say(lang, "events", n=f"{events['accepted']:,}", types=types, span=span))
    for part in events["tables"]:
        yield Line(
            _say(lang, "rows", **{name: f"{part[name]:,}" for name in ("rows", "labelled", "positives", "to_score")})
        )
        roles = [f"{_say(lang, role)} = {part[role]}" for role in ("label", "time", "amount") if part[role]] + (
            [f"{_say(lang, 'keys')} = {', '.join(part['keys'])}"] if part["keys"] else []
        )
        if roles:
            yield Line("  " + "; ".join(roles), style="dim")
    if events.get("duplicates"):
        yield Line(_say(lang, "duplicates", n=events["duplicates"]))
    for note in events["notes"][:5]:
        yield Line(f"! {note[lang]}", style="yellow")
    for refusal in result.refused["first"][:5]:
        yield Line(_say(lang, "refusal", **{k: refusal[k] for k in ("file", "line", "reason")}), style="yellow")
    for file in events["files"]:
        if file["mapping"]:
            yield Panel(
                file["mapping"].rstrip(), title=_say(lang, "mapping", file=file["name"]), title_align="left", width=100
            )
    yield Line("")


def _table(result: Assessment, lang: str) -> Iterator[RenderableType]:
    yield from _cleaning(result, lang)
    assert result.chosen is not None
    chosen = result.chosen
    if result.models:
        columns = [(_say(lang, "model"), "left")]
        columns += [(_say(lang, name), "right") for name in ("mse", "log_likelihood", "ap", "recall_at_1pct_fpr")]
        folds = chosen["folds"]
        title = _say(lang, "models", count=folds["count"], scheme=_say(lang, folds["scheme"]))
        table = _grid(*columns, title=title)
        for row in result.models:
            name = _say(lang, row["model"]) + (f" ({row['column']})" if "column" in row else "")
            cells = [f"{row[key]['mean']:.4f} ± {row[key]['sd']:.4f}" for key in ("mse", "log_likelihood")]
            cells += [f"{row[key]['mean']:.3f} ± {row[key]['sd']:.3f}" for key in ("ap", "recall_at_1pct_fpr")]
            table.add_row(name, *cells, style="bold green" if row["model"] == chosen["model"] else "")
        yield table
    name = _say(lang, chosen["model"])
    yield Line(_say(lang, "chosen", model=name, why=chosen["why"][lang]), style="bold")
    for note in chosen["notes"]:
        yield Line(f"  {note[lang]}", style="dim")
    yield Line("")


def _cleaning(result: Assessment, lang: str) -> Iterator[RenderableType]:
    names = ("column", "missing", "fill", "outliers", "filter", "scale")
    sides = ("left", "right", "left", "right", "left", "left")
    table = _grid(
        *((_say(lang, name), side) for name, side in zip(names, sides, strict=True)), title=_say(lang, "cleaned")
    )
    for column in result.cleaned["columns"][:30]:
        unreadable = column.get("unreadable")
        name = column["column"] + (f" ({_say(lang, 'unreadable', n=unreadable['cells'])})" if unreadable else "")
        if "fill" in column:
            words = [_say(lang, column[key]) for key in ("fill", "filter", "scale")]
            table.add_row(name, str(column["missing"]), words[0], str(column["outliers"]), words[1], words[2])
        else:
            table.add_row(name, str(column["missing"]), _say(lang, column["kind"]), "", "", "")
    if result.cleaned["columns"]:
        yield table
    for out in result.cleaned["left_out"]:
        yield Line(_say(lang, "left_out", column=out["column"], why=out["text"][lang]), style="yellow")
    for note in result.cleaned["notes"]:
        yield Line(f"! {note[lang]}", style="yellow")
    yield Line("")


def _incidents(result: Assessment, lang: str) -> Iterator[RenderableType]:
    found = [incident for incident in result.incidents if incident["kind"] != "rows-at-risk"]
    if not result.events["accepted"]:
        return
    if not found:
        yield Line(_say(lang, "no_incidents"), style="green")
        return
    table = _grid(
        ("", "left"),
        (_say(lang, "since"), "left"),
        (_say(lang, "incident"), "left"),
        (_say(lang, "evidence"), "left"),
        (_say(lang, "would"), "left"),
        title=_say(lang, "incidents", n=len(found)),
    )
    signals = {signal["id"]: signal for signal in result.signals}
    verbs: dict[str, list[str]] = {}
    for action in result.actions:
        if "incident" in action:
            verbs.setdefault(action["incident"], []).append(action["verb"])
    for incident in sorted(found, key=lambda one: (one["severity"], -one["score"]))[:SHOWN]:
        severity = Line(incident["severity"], style=_COLOURS.get(incident["severity"], ""))
        would = ", ".join(dict.fromkeys(verbs.get(incident["id"], ())))
        seen = _evidence(incident, signals, lang)
        table.add_row(severity, _time(incident["onset"])[5:16], incident["title"][lang], seen, would)
    yield table
    if len(found) > SHOWN:
        yield Line(_say(lang, "more", n=len(found) - SHOWN), style="dim")
    yield Line("")


def _evidence(incident: dict[str, Any], signals: dict[str, dict[str, Any]], lang: str) -> str:
    """Return why, in words: the reasons of its first signals, else the plain numbers of its evidence."""
    found = [signals[id] for id in incident.get("signals", ()) if id in signals]
    reasons = [reason["text"][lang].rstrip(".。") for signal in found[:20] for reason in signal.get("reasons", ())]
    parts = list(dict.fromkeys(reasons))[:3]
    if not parts:
        evidence = incident.get("evidence") or {}
        plain = {name: _short(value) for name, value in evidence.items() if not name.endswith(("_en", "_zh"))}
        parts = [f"{name} {value}" for name, value in plain.items() if value][:5]
    where = incident.get("where")
    if where:
        parts.append(_say(lang, "where", **where))
    return "; ".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, bool | int):
        return f"{value:,}"
    if isinstance(value, str):
        return value if len(value) <= 40 else value[:37] + "..."
    return ""


def _rows(result: Assessment, lang: str) -> Iterator[RenderableType]:
    rows = result.at_risk
    if result.chosen is None:
        return
    if not rows:
        yield Line(_say(lang, "no_rows"), style="green")
        return
    score = _say(lang, "probability" if result.chosen["supervised"] else "rank")
    columns = (
        (_say(lang, "line"), "right"),
        (score, "right"),
        (_say(lang, "answer"), "left"),
        (_say(lang, "because"), "left"),
    )
    table = _grid(*columns, title=_say(lang, "at_risk", n=len(rows)))
    for row in rows[:SHOWN]:
        reasons = "; ".join(reason["text"][lang] for reason in row["reasons"][:3])
        answer = Line(_say(lang, row["decision"]), style=_COLOURS.get(row["decision"], ""))
        table.add_row(str(row["line"]), f"{row['score']:.3f}", answer, reasons)
    yield table
    if len(rows) > SHOWN:
        yield Line(_say(lang, "more", n=len(rows) - SHOWN), style="dim")
    yield Line("")


def _answers(result: Assessment, lang: str) -> Iterator[RenderableType]:
    verbs: Counter[tuple[str, str]] = Counter()
    decisions: Counter[str] = Counter()
    for action in result.actions:
        if "verb" in action:
            verbs[action["verb"], action["state"]] += 1
        else:
            decisions[action["decision"]] += 1
    title = _say(lang, "answers")
    parts = [
        f"{verb} ×{count}" + (f" ({_say(lang, state)})" if state != "suggested" else "")
        for (verb, state), count in verbs.items()
    ]
    parts += [f"{_say(lang, answer)} ×{count:,}" for answer, count in sorted(decisions.items())]
    yield Line(f"{title}: " + (", ".join(parts) or _say(lang, "nothing")), style="bold")
    yield Line(_say(lang, "shadow_note"), style="dim")


def width_of(text: str) -> int:
    """Return how many terminal columns a text takes; wide characters take two.

    >>> width_of("ab"), width_of("金额")
    (2, 4)
    """
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)
