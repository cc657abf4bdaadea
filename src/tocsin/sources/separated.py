"""CSV in its dialects: comma, semicolon, tab or bar, quoted cells, with and without a header."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from tocsin.core.signal import Text
from tocsin.errors import Misconfigured
from tocsin.methods.parsing import is_missing, parse_number
from tocsin.sources.refusals import Refusals
from tocsin.sources.tables import table_of_rows
from tocsin.sources.text import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tocsin.sources.mapping import Mapping
    from tocsin.sources.tables import Row, Table

csv.field_size_limit(10_000_000)


def sniff_separator(lines: Sequence[str]) -> str:
    """Return the one of comma, semicolon, tab and bar that splits these lines most evenly; comma where none does.

    >>> sniff_separator(["a;b", "1,5;2"]), sniff_separator(["a|b", "1|2"]), sniff_separator(["x", "1"])
    (';', '|', ',')
    """
    best, chosen = (0.0, 0), ","
    for separator in ",;\t|":
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)
        except csv.Error:
            continue
        if not widths:
            continue
        width, share = widths.most_common(1)[0]
        score = (share / widths.total(), width)
        if width > 1 and score > best:
            best, chosen = score, separator
    return chosen


def _headers(row: Sequence[str], name: str) -> tuple[list[str], bool]:
    """Return (column names, whether the first row held them); Misconfigured on duplicated headers."""
    cells = [cell.strip() for cell in row]
    plain = [cell for cell in cells if cell]
    if any(parse_number(cell) is not None for cell in plain) or (not plain and cells):
        return [f"column_{number}" for number in range(1, len(cells) + 1)], False
    named = [cell or f"column_{number}" for number, cell in enumerate(cells, 1)]
    twice = [cell for cell, count in Counter(named).items() if count > 1]
    if twice:
        raise Misconfigured(
            f"{name}: the header {twice[0]!r} stands over more than one column; rename one and try again"
        )
    return named, True


def open_csv(name: str, stream: BinaryIO, encoding: str, head: str, *, mapping: Mapping | None = None) -> Table:
    """Return the table of a CSV stream; Misconfigured where it has no rows or its headers repeat."""
    lines = Lines(stream, encoding)
    whole = head.splitlines(keepends=True)
    separator = sniff_separator((whole[:-1] or whole)[:50])
    reader = csv.reader(lines, delimiter=separator)
    refusals = Refusals()
    first = next((row for row in reader if any(cell.strip() for cell in row)), [])
    columns, has_header = _headers(first, name)
    code, sign = encoding.removesuffix("-sig"), "tab" if separator == "\t" else separator
    notes = [Text(f"{code}, separator {sign}", f"{code}，分隔符 {sign}")]
    if not has_header:
        notes.append(
            Text(
                "the first row holds values, so the columns are named column_1, column_2, ...",
                "首行即为数据，列名依次为 column_1、column_2……",
            )
        )

    def cells(row: list[str]) -> list[str | None]:
        return [None if is_missing(cell) else cell for cell in row]

    def rest() -> Iterator[Row]:
        if not has_header:
            yield reader.line_num, cells(first)
        while True:
            before = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                refusals.add(reader.line_num, f"the line is no CSV: {error}")
                continue
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if len(row) != len(columns):
                extra = all(not cell.strip() for cell in row[len(columns) :])
                if len(row) < len(columns) or not extra:
                    unclosed = " (a quote may not be closed)" if reader.line_num > before else ""
                    refusals.add(before, f"{len(row)} cells where the header has {len(columns)}{unclosed}")
                    continue
            yield before, cells(row[: len(columns)])
        if lines.odd:
            said = f"{lines.odd} lines were in another encoding and were read as such"
            notes.append(Text(said, f"{lines.odd} 行使用另一种编码，已按其读取"))
        if lines.broken:
            said = f"{lines.broken} lines held bytes that are no text; these were replaced"
            notes.append(Text(said, f"{lines.broken} 行含有非文本字节，已替换"))

    return table_of_rows(name, columns, rest(), refusals, mapping, notes)
