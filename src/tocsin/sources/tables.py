"""Tables: CSV, Parquet and plain JSON lines as rows, and with a mapping as event documents."""

from __future__ import annotations

import io
import itertools
import math
from collections import Counter
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import polars as pl

from tocsin.core.events import Kind, derived_id
from tocsin.core.signal import Text
from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import BadEvent, Misconfigured
from tocsin.methods.parsing import is_missing
from tocsin.sources.columns import Converter, converters, key_text
from tocsin.sources.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tocsin.sources.mapping import Mapping

SAMPLE = 1000
"""Rows that are looked at before a column's decimal mark and order of day and month are settled."""
CHUNK = 50_000
_FRAME = Text("data frame", "数据框")

Row = tuple[int, "Sequence[Any]"]


class Table:
    """Rows with named columns; implements ``core.ports.Source`` once it has a mapping.

    Parameters
    ----------
    name
        Of the file, as shown to people; becomes the ``source`` of its events.
    columns
        Headers in order.
    rows
        Gives the rows from the first on: (line or row number from 1, one value per column); called once, unless
        ``frame`` has read them all.
    sample
        The first rows, from which formats are settled.
    """

    kind = "table"
    head = b""

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        rows: Callable[[], Iterator[Row]],
        sample: Sequence[Row],
        refusals: Refusals,
        *,
        mapping: Mapping | None = None,
        notes: Sequence[Text] = (),
        whole: pl.DataFrame | None = None,
    ) -> None:
        self._whole = whole
        self._lines: list[int] = []
        self.name = name
        self.columns = list(columns)
        self.mapping = mapping
        self.refusals = refusals
        self.notes = list(notes)
        self.sample = list(sample)
        self._rows = rows

    def rows(self) -> Iterator[Row]:
        """Yield (line number, values) of every row that has the right number of cells."""
        if self._lines and self._whole is not None:
            return zip(self._lines, self._whole.iter_rows(), strict=True)
        return self._rows()

    def texts(self, column: str) -> list[str]:
        """Return the values of a column in the sample as texts."""
        at = self.columns.index(column)
        return [str(row[at]) for _, row in self.sample if row[at] is not None]

    def frame(self) -> tuple[pl.DataFrame, list[int]]:
        """Return all rows as a data frame (texts where the file holds texts) and the line number of each."""
        if self._whole is not None:
            return self._whole, self._lines or list(range(1, self._whole.height + 1))
        lines: list[int] = []
        chunks: list[pl.DataFrame] = []
        iterator = self.rows()
        while block := list(itertools.islice(iterator, CHUNK)):
            lines.extend(line for line, _ in block)
            data = {name: [row[at] for _, row in block] for at, name in enumerate(self.columns)}
            chunks.append(pl.DataFrame({name: _series(name, values) for name, values in data.items()}))
        if not chunks:
            return pl.DataFrame({name: pl.Series(name, [], dtype=pl.String) for name in self.columns}), []
        whole = {name: _stacked([chunk[name] for chunk in chunks]) for name in self.columns}
        self._whole, self._lines = pl.DataFrame(whole), lines
        return self._whole, self._lines

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, event document) in the order of the table; rows that cannot be one are counted as refused."""
        if self.mapping is None:
            raise Misconfigured(f"{self.name}: the columns fit no event; give --mapping FILE")
        self.mapping.check(self.columns)
        convert = _Documents(self, self.mapping)
        for line, row in self.rows():
            try:
                document = convert(line, row)
            except BadEvent as error:
                self.refusals.add(line, error.reason, error.code, error.field)
                continue
            yield line, document
        for field, count in convert.left_out.items():
            said = f"{count} rows hold a {field} that cannot be read; they were taken without it"
            self.notes.append(Text(said, f"{count} 行的 {field} 无法读取，已忽略该字段"))


class _Documents:
    """Turns rows into event documents by the mapping; the converters are settled once, from the sample.

    A required field that cannot be read refuses the row; another one is left out and counted in ``left_out``.
    """

    def __init__(self, table: Table, mapping: Mapping) -> None:
        self._mapping = mapping
        self._source = f"file:{table.name}"
        self._at = {name: position for position, name in enumerate(table.columns)}
        self._converters: list[tuple[str, int, Converter]] = []
        known = VOCABULARY.get(mapping.type)
        self._required = {field.name for field in known.fields if field.required} if known else set()
        self._money = {field.name for field in known.fields if field.kind is Kind.MONEY} if known else set()
        self.left_out: Counter[str] = Counter()
        samples = {name: table.texts(name) for name in table.columns}
        self._time, named, rest = converters(mapping, table.columns, samples)
        for field, column, converter in (*named, *rest):
            self._converters.append((field, self._at[column], converter))

    def __call__(self, line: int, row: Sequence[Any]) -> dict[str, Any]:
        mapping = self._mapping
        time = self._time(row[self._at[mapping.time]])
        if time is None:
            raise BadEvent(f"column {mapping.time!r} holds no time", field="time", code="missing")
        data: dict[str, Any] = {}
        for field, at, convert in self._converters:
            try:
                value = convert(row[at])
            except BadEvent:
                if field in self._required:
                    raise
                self.left_out[field] += 1
                continue
            if value is not None:
                data[field] = value
        key = row[self._at[mapping.id]] if mapping.id else None
        id = str(key) if key not in (None, "") else derived_id(self._source, line)
        if not self._money.isdisjoint(data):
            data.setdefault("currency", mapping.currency)
        return {
            "specversion": "1.0",
            "id": id,
            "source": self._source,
            "type": mapping.type,
            "time": time,
            "data": data,
        }


def _stacked(parts: Sequence[pl.Series]) -> pl.Series:
    """Return the chunks of a column as one: of their kind where they agree, else as texts; empty ones have no say."""
    kinds = {part.dtype for part in parts if part.null_count() < len(part)}
    if len(kinds) == 1:
        kind = kinds.pop()
        return pl.concat(
            [part if part.dtype == kind else pl.Series(part.name, [None] * len(part), kind) for part in parts]
        )
    return pl.concat([_as_texts(part.name, part.to_list()) for part in parts])


def _as_texts(name: str, values: Sequence[Any]) -> pl.Series:
    return pl.Series(name, [None if value is None else key_text(value) for value in values], dtype=pl.String)


def _series(name: str, values: list[Any]) -> pl.Series:
    """Return the values as one column: as they are where they are of one kind, else as texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {str} or not kinds:
        return pl.Series(name, values, dtype=pl.String)
    if kinds <= {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds <= {int, float}:
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    if kinds <= {datetime}:
        return pl.Series(name, values)
    return _as_texts(name, values)


def table_of_rows(
    name: str,
    columns: list[str],
    rows: Iterator[Row],
    refusals: Refusals,
    mapping: Mapping | None,
    notes: list[Text],
) -> Table:
    """Return the table of an iterator of rows, its first ``SAMPLE`` looked at; Misconfigured where there is none."""
    sample = list(itertools.islice(rows, SAMPLE))
    if not sample:
        why = f" ({refusals.total} lines were refused: {refusals.first[0].reason})" if refusals.total else ""
        raise Misconfigured(f"{name} has a header and no rows{why}: there is nothing to assess")
    table = Table(name, columns, lambda: itertools.chain(sample, rows), sample, refusals, mapping=mapping)
    table.notes = notes
    return table


def open_parquet(name: str, stream: BinaryIO, *, mapping: Mapping | None = None) -> Table:
    """Return the table of a Parquet file; Misconfigured where it cannot be read or has no rows."""
    content = stream.read()
    stream.close()
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Misconfigured(f"{name}: this Parquet file cannot be read ({error})") from error
    return table_of_frame(name, frame, mapping=mapping, note=Text("Parquet", "Parquet"))


def table_of_frame(name: str, frame: pl.DataFrame, *, mapping: Mapping | None = None, note: Text = _FRAME) -> Table:
    """Return the table of a data frame; rows are numbered from 1."""
    table = table_of_rows(name, frame.columns, _frame_rows(frame), Refusals(), mapping, [note])
    return Table(
        name, frame.columns, table.rows, table.sample, table.refusals, mapping=mapping, notes=[note], whole=frame
    )


def _frame_rows(frame: pl.DataFrame) -> Iterator[Row]:
    for number, row in enumerate(frame.iter_rows(), 1):
        yield number, [None if isinstance(value, float) and math.isnan(value) else value for value in row]


def open_records(name: str, lines: Iterator[tuple[int, Any]], refusals: Refusals, *, mapping: Mapping | None) -> Table:
    """Return the table of plain JSON objects; its columns are the keys of the first ``SAMPLE`` ones, in order met."""
    head = list(itertools.islice(lines, SAMPLE))
    columns = list(dict.fromkeys(key for _, record in head for key in record))
    known = set(columns)

    def rows() -> Iterator[Row]:
        for line, record in itertools.chain(head, lines):
            if not known.issuperset(record):
                refusals.add(line, "the record has keys that none of the first records has", "malformed")
                continue
            yield line, [_plain(record.get(column)) for column in columns]

    return table_of_rows(name, columns, rows(), refusals, mapping, [Text("JSON lines", "JSON 行")])


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return None if is_missing(value) else value
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value
