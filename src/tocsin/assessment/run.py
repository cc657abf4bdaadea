"""From paths or a data frame to one ``Assessment``: events through the shadow loop, plain tables through the models."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from tocsin.assessment.result import Assessment
from tocsin.assessment.shadow import Shadow, admitted
from tocsin.assessment.tables import TableResult, assess_table
from tocsin.assessment.vault import PassingVault
from tocsin.errors import Misconfigured
from tocsin.sources.door import Door
from tocsin.sources.files import Opened, guess_for, label_column, open_source
from tocsin.sources.mapping import dump_mapping
from tocsin.sources.tables import Table, table_of_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Desk
    from tocsin.sources.mapping import Mapping

BIG_TABLE = 2_000_000


def assess_paths(
    paths: Sequence[str],
    *,
    mapping: Mapping | None = None,
    label: str = "",
    leave_out: Sequence[str] = (),
    seed: int = 0,
    desks: Sequence[Desk] | None = None,
) -> Assessment:
    """Return the assessment of files, merged by time; ``-`` is standard input.

    Tables with a label, and tables that fit no event, are also compared by models; labelled and unlabelled tables of
    the same columns are taken as one. Raises Misconfigured with what to do where nothing can be made of a file.
    """
    sources = [open_source(path, mapping) for path in paths]
    secret = b"".join(source.head for source in sources) + str(seed).encode()
    return _assess(
        sources, secret, label=label, leave_out=leave_out, seed=seed, desks=desks, mapped=mapping is not None
    )


def assess_frame(frame: Any, *, label: str = "", leave_out: Sequence[str] = (), seed: int = 0) -> Assessment:
    """Return the assessment of a data frame: pandas, polars, Arrow, or anything that polars can make a frame of."""
    table = table_of_frame("data frame", as_polars(frame))
    table.mapping = guess_for(table, label)
    secret = repr(table.sample[:50]).encode()
    return _assess([table], secret, label=label, leave_out=leave_out, seed=seed, desks=None, mapped=False)


def as_polars(frame: Any) -> pl.DataFrame:
    """Return the frame as polars; Misconfigured where it is no table."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    try:
        if type(frame).__module__.split(".")[0] == "pandas":
            return pl.DataFrame({str(name): pl.Series(str(name), _cells(frame[name])) for name in frame.columns})
        if hasattr(frame, "__arrow_c_stream__"):
            return pl.DataFrame(frame)
        if hasattr(frame, "__dataframe__"):
            found = pl.from_dataframe(frame)
            return found
        return pl.DataFrame(frame)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise Misconfigured(
            f"this is no table that can be read ({error}); pass a data frame or a dict of columns"
        ) from error


def _cells(column: Any) -> Any:
    """Return a pandas column as something polars takes without a further library."""
    kind = str(column.dtype)
    if kind.startswith("datetime64") and "," not in kind:
        return column.to_numpy()
    if kind[:3] in ("int", "uin", "flo") or kind == "bool":
        return column.to_numpy()
    values = [None if value is None or value != value else value for value in column.tolist()]
    kinds = {type(value) for value in values if value is not None}
    return values if len(kinds) <= 1 and kinds <= {str, bool, int, float} else [_text(value) for value in values]


def _text(value: Any) -> str | None:
    return None if value is None or str(value) in ("NaT", "<NA>") else str(value)


def _assess(
    sources: Sequence[Opened],
    secret: bytes,
    *,
    label: str,
    leave_out: Sequence[str],
    seed: int,
    desks: Sequence[Desk] | None,
    mapped: bool,
) -> Assessment:
    plain = [source for source in sources if isinstance(source, Table) and _is_plain(source, label)]
    results = [
        assess_table(
            frame,
            lines,
            names,
            label=label or (group[0].mapping.label if group[0].mapping else ""),
            time=group[0].mapping.time if group[0].mapping else "",
            leave_out=leave_out,
            seed=seed,
        )
        for group in _groups(plain, label)
        for frame, lines, names in [_joined(group)]
    ]
    streams = [source for source in sources if not isinstance(source, Table) or source.mapping is not None]
    if label and not plain:
        raise Misconfigured(f"--label {label}: none of the files is a table")
    loop = _shadow_run(streams, secret, desks)
    return _merged(sources, results, loop)


def _is_plain(table: Table, label: str) -> bool:
    return table.mapping is None or bool(label) or bool(table.mapping.label)


def _groups(tables: Sequence[Table], label: str) -> list[list[Table]]:
    """Return tables of the same columns together: a labelled file and the file that is to be scored are one table."""
    groups: dict[frozenset[str], list[Table]] = {}
    for table in tables:
        named = label or (table.mapping.label if table.mapping else "") or label_column(table)
        groups.setdefault(frozenset(table.columns) - {named}, []).append(table)
    return list(groups.values())


def _joined(group: Sequence[Table]) -> tuple[pl.DataFrame, list[int], list[str]]:
    """Return (rows of all tables, line of each, file of each)."""
    frames, lines, names = [], [], []
    for table in group:
        frame, own = table.frame()
        frames.append(frame if len(group) == 1 else frame.cast(pl.String))
        lines.extend(own)
        names.extend([table.name] * len(own))
    return pl.concat(frames, how="diagonal_relaxed"), lines, names


class Loop(msgspec.Struct, kw_only=True):
    """What the shadow run left: the run itself and its counters."""

    run: Any
    counts: Counter[str]


def _shadow_run(streams: Sequence[Opened], secret: bytes, desks: Sequence[Desk] | None) -> Loop:
    from tocsin.desks.catalogue import catalogue

    door = Door(PassingVault(secret))
    counts: Counter[str] = Counter()
    currency = next((source.mapping.currency for source in streams if source.mapping is not None), "CNY")
    shadow = Shadow(catalogue() if desks is None and streams else desks or (), currency=currency)
    ordered = [admitted(source.name, source.read(), door, source.refusals, counts) for source in streams]
    shadow.run(heapq.merge(*ordered, key=lambda placed: placed[2].time))
    return Loop(run=shadow, counts=counts)


def _merged(sources: Sequence[Opened], results: Sequence[TableResult], loop: Loop) -> Assessment:
    shadow: Shadow = loop.run
    files = [_file(source) for source in sources]
    incidents = []
    for incident in shadow.incidents.values():
        built = msgspec.to_builtins(incident)
        incidents.append(built | {"where": shadow.where(incident.subject)})
    events: dict[str, Any] = {
        "accepted": sum(shadow.by_type.values()),
        "by_type": dict(shadow.by_type),
        "first": shadow.first,
        "last": shadow.last,
        "duplicates": loop.counts["duplicates"],
        "late": shadow.late,
        "decisions": dict(shadow.decisions),
        "files": files,
        "notes": msgspec.to_builtins(shadow.notes),
        "tables": [result.events for result in results],
    }
    if results:
        events["rows"] = sum(result.events["rows"] for result in results)
    refused = _refused(sources)
    if not events["accepted"] and not results:
        first = "; line {line}: {reason}".format(**refused["first"][0]) if refused["first"] else ""
        raise Misconfigured(f"nothing could be read: {refused['total']} lines were refused{first}")
    return Assessment(
        events=events,
        refused=refused,
        cleaned={
            "columns": [column for result in results for column in result.cleaned["columns"]],
            "left_out": [out for result in results for out in result.cleaned["left_out"]],
            "notes": [note for result in results for note in result.cleaned["notes"]],
        },
        models=[row for result in results for row in result.models],
        chosen=_chosen(results),
        signals=[
            *(msgspec.to_builtins(signal) for signal in shadow.signals),
            *(signal for result in results for signal in result.signals),
        ],
        incidents=[*incidents, *(incident for result in results for incident in result.incidents)],
        actions=[
            *(
                msgspec.to_builtins(action)
                | {"state": action.state.value, "ruling": msgspec.to_builtins(shadow.rulings[action.id])}
                for action in shadow.actions.values()
            ),
            *shadow.verdicts,
            *(action for result in results for action in result.actions),
        ],
    )


def _refused(sources: Sequence[Opened]) -> dict[str, Any]:
    """Return what all sources refused: counted by code, the first ones of each file with line and reason."""
    counts: Counter[str] = Counter()
    listed: list[dict[str, Any]] = []
    for source in sources:
        counts.update(source.refusals.counts)
        listed.extend({"file": source.name} | msgspec.to_builtins(refusal) for refusal in source.refusals.first)
    return {"total": sum(counts.values()), "by_code": dict(counts), "first": listed}


def _chosen(results: Sequence[TableResult]) -> dict[str, Any] | None:
    if not results:
        return None
    first = dict(results[0].chosen)
    if len(results) > 1:
        first["further_tables"] = [result.chosen for result in results[1:]]
    return first


def _file(source: Opened) -> dict[str, Any]:
    return {
        "name": source.name,
        "kind": source.kind,
        "refused": source.refusals.total,
        "notes": msgspec.to_builtins(source.notes),
        "mapping": None if source.mapping is None else dump_mapping(source.mapping),
    }
