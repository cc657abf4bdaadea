"""Bytes of unknown origin as lines of text: gzip, UTF-8 with and without mark, UTF-16, GB18030, mixtures."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 1 << 16
"""How much of a file is looked at before it is read."""
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive or spreadsheet; save the sheet as CSV (UTF-8) and pass that"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet; save it as CSV (UTF-8) and pass that"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"SQLite format 3", "a database; export the table as CSV"),
    (b"\x7fELF", "a program"),
)


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already: they come again, then the rest."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size] = self._head[:size]
            self._head = self._head[size:]
            return size
        chunk = (
            self._rest.read1(len(buffer)) if isinstance(self._rest, io.BufferedReader) else self._rest.read(len(buffer))
        )
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._rest.close()
        super().close()


def _head_of(stream: io.BufferedReader) -> bytes:
    """Return the first bytes: at least a line where there is one, at most ``HEAD``, without waiting for more."""
    head = b""
    while len(head) < HEAD:
        chunk = stream.read1(HEAD - len(head))
        if not chunk:
            break
        head += chunk
        if stream is sys.stdin.buffer and b"\n" in head:
            break
    return head


def open_bytes(path: str) -> tuple[bytes, BinaryIO]:
    """Return (first bytes, stream from the start) of a file or of standard input (``-``), gzip undone.

    Raises
    ------
    Misconfigured
        Where there is no such file, it is empty, or it is no text, Parquet or gzip; says what to do.
    """
    name = "standard input" if path == "-" else path
    try:
        raw = sys.stdin.buffer if path == "-" else Path(path).open("rb")
    except IsADirectoryError as error:
        raise Misconfigured(f"{name} is a folder; name the files in it") from error
    except FileNotFoundError as error:
        raise Misconfigured(f"{name}: no such file") from error
    except PermissionError as error:
        raise Misconfigured(f"{name} cannot be read: permission denied") from error
    head, stream = _peeked(cast("io.BufferedReader", raw))
    if head[:2] == b"\x1f\x8b":
        try:
            head, stream = _peeked(io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=stream))))
        except (OSError, EOFError) as error:
            raise Misconfigured(f"{name}: the gzip data is damaged ({error})") from error
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        stream.close()
        raise Misconfigured(f"{name} is empty: there is nothing to assess")
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            stream.close()
            raise Misconfigured(f"{name} is {what}; supported are CSV, Parquet, NDJSON and access logs, also with gzip")
    return head, stream


def _peeked(stream: io.BufferedReader) -> tuple[bytes, BinaryIO]:
    head = _head_of(stream)
    return head, cast("BinaryIO", io.BufferedReader(_Rejoined(head, cast("BinaryIO", stream))))


def detect_encoding(head: bytes, name: str) -> str:
    """Return ``utf-8-sig``, ``utf-16``, ``utf-8`` or ``gb18030`` by mark, else by which one reads more of the lines.

    Misconfigured where the bytes are no text.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    controls = sum(head.count(bytes([code])) for code in range(32) if code not in (9, 10, 11, 12, 13, 27))
    if b"\0" in head or controls > len(head) // 50:
        raise Misconfigured(f"{name} is no text (binary data); supported are CSV, Parquet, NDJSON and access logs")
    votes = {"utf-8": 0, "gb18030": 0}
    lines = head.split(b"\n")
    for line in lines[:-1] if len(lines) > 1 else lines:
        if not line.isascii():
            votes["utf-8" if _reads(line, "utf-8") else "gb18030"] += 1
    return "gb18030" if votes["gb18030"] > votes["utf-8"] else "utf-8"


def _reads(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


class Lines:
    """The lines of a text stream, in order, each decoded on its own.

    ``odd`` counts the lines that were in another encoding than the file's (UTF-8 among GB18030 and the other way
    round); ``broken`` those that are in neither, whose bad bytes were replaced by U+FFFD.
    """

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self.encoding = encoding
        self.odd = 0
        self.broken = 0

    def __iter__(self) -> Iterator[str]:
        """Yield the lines with their ends."""
        if self.encoding == "utf-16":
            yield from io.TextIOWrapper(self._stream, encoding="utf-16", newline="")
            return
        main = "utf-8" if self.encoding.startswith("utf-8") else "gb18030"
        other = "gb18030" if main == "utf-8" else "utf-8"
        first = True
        for line in self._stream:
            text = self._decoded(line, main, other)
            if first:
                text, first = text.removeprefix("\ufeff"), False
            yield text

    def _decoded(self, line: bytes, main: str, other: str) -> str:
        for encoding in (main, other):
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError:
                continue
            self.odd += encoding != main
            return text
        self.broken += 1
        return line.decode(main, errors="replace")
