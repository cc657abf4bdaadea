"""Any supported file as a source: looked at once, then read from the start."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from tocsin.core.events import derived_id
from tocsin.core.signal import Text
from tocsin.errors import BadEvent, Misconfigured
from tocsin.methods.parsing import normal, parse_label, parse_time
from tocsin.sources import accesslog
from tocsin.sources.mapping import LABEL_NAMES, TIME_NAMES, Mapping, find_column, guess_mapping
from tocsin.sources.refusals import Refusals
from tocsin.sources.separated import open_csv
from tocsin.sources.tables import Table, open_parquet, open_records
from tocsin.sources.text import Lines, detect_encoding, open_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK = 50


class AccessLog:
    """An access log, common, combined or JSON: one ``http.request`` a line; implements ``core.ports.Source``.

    Lines that are none are counted in ``refusals`` with their number.
    """

    kind = "access log"
    mapping = None
    head = b""

    def __init__(self, name: str, lines: Lines, *, json: bool) -> None:
        self.name = name
        self.refusals = Refusals()
        form = Text("JSON", "JSON") if json else Text("common or combined", "common 或 combined")
        self.notes = [Text(f"{form.en} format, {lines.encoding}", f"{form.zh} 格式，{lines.encoding}")]
        self._lines = lines
        self._parse = accesslog.decode_record if json else accesslog.parse_line

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, event document) in the order of the log."""
        source = f"file:{self.name}"
        for number, line in enumerate(self._lines, 1):
            if not line.strip():
                continue
            try:
                time, data = self._parse(line)
            except BadEvent as error:
                self.refusals.add(number, error.reason, error.code, error.field)
                continue
            yield (
                number,
                {
                    "specversion": "1.0",
                    "id": derived_id(source, number, line),
                    "source": source,
                    "type": "http.request",
                    "time": time,
                    "data": data,
                },
            )


class EventLines:
    """CloudEvents, one JSON object a line or one JSON array; implements ``core.ports.Source``."""

    kind = "events"
    mapping = None
    head = b""

    def __init__(self, name: str, records: Iterator[tuple[int, Any]], refusals: Refusals) -> None:
        self.name = name
        self.refusals = refusals
        self.notes = [Text("CloudEvents", "CloudEvents")]
        self._records = records

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, event document) in the order of the file."""
        return self._records


Opened = AccessLog | EventLines | Table


def open_source(path: str, mapping: Mapping | None = None) -> Opened:
    """Return the source of a file, or of standard input for ``-``: sniffed, not yet read.

    Parameters
    ----------
    path
        CSV, Parquet, NDJSON (CloudEvents, access-log records or plain objects), a JSON array, an access log; also gzip.
    mapping
        Of a table's columns to an event; guessed where it is None and the headers and values allow it, shown as
        ``.mapping``. A table that fits no event has None there and is read with ``frame()``. ``.head`` holds the first
        bytes of any source.

    Raises
    ------
    Misconfigured
        No such file, empty, binary, a header alone, a repeated header; the message says what to do.
    """
    name = "stdin" if path == "-" else PurePath(path).name
    head, stream = open_bytes(path)
    source = _sniffed(name, head, stream, mapping)
    source.head = head
    return source


def _sniffed(name: str, head: bytes, stream: BinaryIO, mapping: Mapping | None) -> Opened:
    if head.startswith(b"PAR1"):
        return _mapped(open_parquet(name, stream, mapping=mapping))
    encoding = detect_encoding(head, name)
    text = _text_of(head, encoding)
    start = text.lstrip()
    if start.startswith(("{", "[")) and not accesslog.is_access_line(start.split("\n", 1)[0]):
        return _open_json(name, stream, encoding, start, mapping)
    shown = [line for line in text.splitlines()[:_LOOK] if line.strip()]
    if sum(map(accesslog.is_access_line, shown)) * 2 > len(shown):
        return AccessLog(name, Lines(stream, encoding), json=False)
    return _mapped(open_csv(name, stream, encoding, text, mapping=mapping))


def _text_of(head: bytes, encoding: str) -> str:
    """Return the head as text, without what a cut in the middle of a character left."""
    return head.decode(encoding, errors="replace").removeprefix("\ufeff")


def _mapped(table: Table) -> Table:
    """Return the table with a mapping: the given one, checked, or the one that headers and values suggest."""
    if table.mapping is not None:
        table.mapping.check(table.columns)
        return table
    table.mapping = guess_for(table)
    return table


def guess_for(table: Table, label: str = "") -> Mapping | None:
    """Return the mapping that a table's headers and values suggest; an id column must be unique as far as is seen."""
    mapping = guess_mapping(table.columns, time=time_column(table), label=label or label_column(table))
    if mapping is not None and mapping.id and len(set(table.texts(mapping.id))) < len(table.sample):
        return msgspec.structs.replace(mapping, id="")
    return mapping


def time_column(table: Table) -> str:
    """Return the column of times: by its header where its values are times, else by values that are clearly dates."""
    for column in sorted(table.columns, key=lambda name: find_column([name], TIME_NAMES) == ""):
        named = find_column([column], TIME_NAMES) != ""
        texts = [normal(text) for text in table.texts(column)[:200]]
        dates = [
            text for text in texts if parse_time(text) is not None and (named or not text.replace(".", "").isdigit())
        ]
        if texts and len(dates) >= 0.9 * len(texts):
            return column
    return ""


def label_column(table: Table) -> str:
    """Return the column whose header names a label and whose values are labels, or ``""``."""
    found = [column for column in table.columns if find_column([column], LABEL_NAMES)]
    found.sort(key=lambda column: LABEL_NAMES.index(_label_name(column)))
    for column in found:
        texts = table.texts(column)
        if texts and all(parse_label(text) is not None for text in texts):
            return column
    return ""


def _label_name(column: str) -> str:
    return next(name for name in LABEL_NAMES if find_column([column], [name]))


def _open_json(name: str, stream: BinaryIO, encoding: str, start: str, mapping: Mapping | None) -> Opened:
    first = _first_record(start)
    if first is not None and accesslog.is_access_record(first) and "specversion" not in first and mapping is None:
        return AccessLog(name, Lines(stream, encoding), json=True)
    refusals = Refusals()
    lines = Lines(stream, encoding)
    records = _array(name, lines) if start.startswith("[") else _records(lines, refusals)
    peeked = next(records, None)
    if peeked is None:
        why = f": {refusals.first[0].reason}" if refusals.total else ""
        raise Misconfigured(f"{name} looks like JSON, but no line holds a JSON object{why}")
    chained = _again(peeked, records)
    document = peeked[1]
    if isinstance(document.get("type"), str) and ("specversion" in document or isinstance(document.get("data"), dict)):
        return EventLines(name, chained, refusals)
    return _mapped(open_records(name, chained, refusals, mapping=mapping))


def _again(first: tuple[int, Any], rest: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    yield first
    yield from rest


def _first_record(start: str) -> dict[str, Any] | None:
    try:
        record = msgspec.json.decode(start.split("\n", 1)[0])
    except msgspec.DecodeError:
        return None
    return record if isinstance(record, dict) else None


def _records(lines: Lines, refusals: Refusals) -> Iterator[tuple[int, Any]]:
    """Yield (line, object) of NDJSON; lines that are none are counted in ``refusals``."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            refusals.add(number, f"the line is no JSON ({error})")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            refusals.add(number, "the line is no JSON object", "wrong-type")


def _array(name: str, lines: Lines) -> Iterator[tuple[int, Any]]:
    """Yield (number from 1, object) of one JSON array; it is read whole."""
    try:
        records = msgspec.json.decode("".join(lines), type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise Misconfigured(f"{name} is no JSON array of objects: {error}") from error
    yield from enumerate(records, 1)
