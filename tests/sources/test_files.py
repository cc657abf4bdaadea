"""Any supported file is recognised by its content and read whole; what cannot be read is refused with what to do."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tocsin.errors import Misconfigured
from tocsin.sources.files import AccessLog, EventLines, open_source
from tocsin.sources.tables import Table

LINE = '203.0.113.7 - - [22/Dec/2016:16:35:35 +0300] "GET /a HTTP/1.1" 200 12 "-" "curl/8"\n'
HEADERS = ["交易时间", "用户ID", "交易金额", "备注"]
ROWS = [["2024/11/11 00:00:01", "u1", "1.2万", 'say "hi"'], ["2024年11月11日 10时", "u2", "¥1299.00", "a,b;c\td"]]


def write(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def csv_text(separator: str) -> str:
    def cell(text: str) -> str:
        quoted = any(sign in text for sign in (separator, '"', "\n"))
        return '"' + text.replace('"', '""') + '"' if quoted else text

    return "\r\n".join(separator.join(cell(text) for text in row) for row in [HEADERS, *ROWS]) + "\r\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_every_encoding_and_separator_gives_the_same_table(
    tmp_path: Path, encoding: str, separator: str, packed: bool
) -> None:
    content = csv_text(separator).encode(encoding)
    path = write(tmp_path, "t.csv", gzip.compress(content) if packed else content)
    source = open_source(path)
    assert isinstance(source, Table)
    assert source.columns == HEADERS
    assert [list(row) for _, row in source.rows()] == ROWS


def test_a_table_becomes_events_by_the_guessed_mapping(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "t.csv", csv_text(",").encode()))
    assert source.mapping is not None
    assert source.mapping.type == "payment.attempted"
    documents = [document for _, document in source.read()]
    assert [document["data"]["amount"] for document in documents] == [1_200_000, 129_900]
    assert [document["data"]["account"] for document in documents] == ["u1", "u2"]
    assert documents[1]["time"] == documents[0]["time"] + (10 * 3600 - 1) * 1_000_000


def test_an_access_log_is_recognised_and_bad_lines_are_counted_with_their_number(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "x.log", (LINE * 3 + "junk\n" + LINE).encode()))
    assert isinstance(source, AccessLog)
    read = list(source.read())
    assert [line for line, _ in read] == [1, 2, 3, 5]
    assert len({document["id"] for _, document in read}) == 4
    assert [(refusal.line, refusal.code) for refusal in source.refusals.first] == [(4, "malformed")]


def test_cloudevents_are_recognised_as_lines_and_as_an_array(tmp_path: Path) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "order.paid", "time": 1, "data": {"order": "o"}}
    lines = open_source(write(tmp_path, "e.ndjson", (json.dumps(event) + "\n{broken\n").encode()))
    assert isinstance(lines, EventLines)
    assert [document for _, document in lines.read()] == [event]
    assert lines.refusals.total == 1
    array = open_source(write(tmp_path, "e.json", json.dumps([event, event]).encode()))
    assert len(list(array.read())) == 2


def test_plain_objects_are_a_table(tmp_path: Path) -> None:
    content = b'{"is_anomaly": 1, "x": 2.5}\n{"is_anomaly": 0, "x": null}\n'
    source = open_source(write(tmp_path, "p.ndjson", content))
    assert isinstance(source, Table)
    assert source.columns == ["is_anomaly", "x"]
    frame, lines = source.frame()
    assert lines == [1, 2]
    assert frame["x"].to_list() == [2.5, None]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"amount": [1.5, 2.5], "user_id": [1, 2]})
    frame.write_parquet(tmp_path / "t.parquet")
    source = open_source(str(tmp_path / "t.parquet"))
    assert isinstance(source, Table)
    assert source.frame()[0].equals(frame)


def test_a_file_of_two_encodings_is_read_line_by_line_and_said(tmp_path: Path) -> None:
    content = "名称,x\n".encode() + "张三,1\n".encode("gb18030") + "李四,2\n王五,3\n".encode()
    source = open_source(write(tmp_path, "m.csv", content))
    assert isinstance(source, Table)
    assert [row[0] for _, row in source.rows()] == ["张三", "李四", "王五"]
    assert any("another encoding" in note.en for note in source.notes)


def test_ragged_rows_are_refused_with_their_line_and_the_rest_is_read(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "r.csv", b"a,b\n1,2\n3\n4,5,6\n7,8,\n9,10\n"))
    assert isinstance(source, Table)
    assert [line for line, _ in source.rows()] == [2, 5, 6]
    assert [refusal.line for refusal in source.refusals.first] == [3, 4]


def test_a_table_without_a_header_gets_numbered_columns(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "n.csv", b"1,2\n3,4\n"))
    assert isinstance(source, Table)
    assert source.columns == ["column_1", "column_2"]
    assert len(list(source.rows())) == 2


def test_standard_input_is_read_once_and_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO((LINE * 2000).encode()))  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert len(list(open_source("-").read())) == 2000


BAD: list[tuple[str, bytes, str]] = [
    ("empty.csv", b"", "empty"),
    ("blank.csv", b"\n \n", "empty"),
    ("mark.csv", b"\xef\xbb\xbf", "empty"),
    ("header.csv", b"a,b\n", "no rows"),
    ("junk.bin", bytes(range(256)) * 20, "binary"),
    ("twice.csv", b"a,a\n1,2\n", "more than one column"),
    ("sheet.xlsx", b"PK\x03\x04rest", "CSV"),
    ("cut.gz", gzip.compress(b"a,b\n1,2\n" * 1000, mtime=0)[:20], "damaged"),
    ("cut.parquet", b"PAR1 and no more", "cannot be read"),
    ("list.json", b"[1, 2]", "array"),
]


@pytest.mark.parametrize(("name", "content", "word"), BAD)
def test_bad_input_is_refused_with_what_to_do(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        open_source(write(tmp_path, name, content))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, word in ((tmp_path / "none.csv", "no such file"), (tmp_path, "folder")):
        with pytest.raises(Misconfigured, match=word):
            open_source(str(path))


def test_rows_are_the_same_after_the_frame_was_made(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "t.csv", csv_text(",").encode()))
    assert isinstance(source, Table)
    source.frame()
    again: list[Any] = [(line, list(row)) for line, row in source.rows()]
    assert again == [(2, ROWS[0]), (3, ROWS[1])]


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_the_frame_does_not_depend_on_how_rows_are_chunked(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.sources.tables.CHUNK", chunk)
    values: list[Any] = [1, "two", True, None, 2.5, "x", {"a": 1}, False]
    content = "\n".join(json.dumps({"a": value, "b": place}) for place, value in enumerate(values)).encode()
    source = open_source(write(tmp_path, "m.ndjson", content))
    assert isinstance(source, Table)
    frame, _ = source.frame()
    assert frame["a"].to_list() == ["1", "two", "True", None, "2.5", "x", '{"a":1}', "False"]
    assert frame["b"].to_list() == [float(place) for place in range(8)]


def test_a_column_that_repeats_is_no_identity_so_that_no_row_counts_as_a_duplicate(tmp_path: Path) -> None:
    content = b"id,time,card,amount\n1,2024-11-11,c,5\n1,2024-11-12,c,6\n"
    source = open_source(write(tmp_path, "d.csv", content))
    assert source.mapping is not None
    assert source.mapping.id == ""
    assert len({document["id"] for _, document in source.read()}) == 2
