"""Bodies of the machine doors: read with a bound, unpacked with a bound, cut into events."""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.errors import BadEvent
from tocsin.server.problems import Refusal
from tocsin.server.unpacking import Gzip, unzstd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
JSON = "application/json"
GZIP = ("gzip", "x-gzip")
ENCODINGS = frozenset({"", "identity", "zstd", *GZIP})
BODY_S = 30
"""How long a body may take: a caller who sends a byte a second must not hold a connection for ever."""

_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()


class Gone(Exception):
    """The caller hung up before the body was whole."""


async def whole(receive: Receive, *, length: bytes, encoding: str, most: int, come: bytes | None = None) -> bytes:
    """Return the body, unpacked; 413 as soon as it exceeds ``most`` bytes, packed or not; 415 for other codings.

    ``come``: all of it where it is there already and not packed; nothing is received then.
    """
    if come is not None and len(come) <= most:
        return come
    if encoding not in ENCODINGS:
        raise Refusal(415, "encoding", "content encodings are gzip, zstd and identity")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    begun = receive().__await__()
    try:
        # Asked for at once: a small body has come with its head, as a rule, and no clock need be set.
        waits = next(begun)
    except StopIteration as stop:
        message: Message = stop.value
        ended = not message.get("more_body", False)
        if ended and not encoding and message["type"] == "http.request":
            body: bytes = message.get("body", b"")
            if len(body) > most:
                raise _too_large(most) from None
            return body
        first = _First(receive, None, None, message)
        if ended:
            return await _read(first, encoding, most)
    else:
        first = _First(receive, begun, waits, None)
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(first, encoding, most)
    except TimeoutError as error:
        detail = f"the body took longer than {BODY_S} seconds"
        raise Refusal(408, "slow", detail, headers={"connection": "close"}) from error


class _First:
    """A ``receive`` whose first message has been asked for: it is there (``message``), or ``begun`` waits for it."""

    def __init__(
        self, receive: Receive, begun: Generator[Any, Any, Message] | None, waits: Any, message: Message | None
    ) -> None:
        self._receive = receive
        self._begun = begun
        self._waits = waits
        self._message = message

    async def __call__(self) -> Message:
        if self._message is not None:
            message, self._message = self._message, None
            return message
        if self._begun is not None:
            begun, self._begun = self._begun, None
            return await _resumed(begun, self._waits)
        return await self._receive()


@coroutine
def _resumed(begun: Generator[Any, Any, Message], waits: Any) -> Generator[Any, Any, Message]:
    """Go on with what waits already."""
    try:
        while True:
            try:
                sent = yield waits
            except BaseException as error:  # a cancellation belongs to what waits
                waits = begun.throw(error)
            else:
                waits = begun.send(sent)
    except StopIteration as stop:
        message: Message = stop.value
        return message


async def _read(receive: Receive, encoding: str, most: int) -> bytes:
    unpack = Gzip() if encoding in GZIP else None
    parts: list[bytes] = []
    size = packed = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk: bytes = message.get("body", b"")
        packed += len(chunk)
        if packed > most:
            raise _too_large(most)
        for piece in (chunk,) if unpack is None else unpack.pieces(chunk, most - size):
            size += len(piece)
            parts.append(piece)
        if size > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            break
    if unpack is not None and not unpack.ended:
        raise Refusal(400, "malformed", "the gzip stream is cut off")
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    if encoding != "zstd":
        return body
    parts = list(unzstd(body, most))
    if sum(map(len, parts)) > most:
        raise _too_large(most)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> Refusal:
    # The rest of the body must not be read and thrown away: the connection ends with the answer.
    detail = f"the request is larger than {most} bytes"
    return Refusal(413, "oversized", detail, headers={"connection": "close"})


def of_lines(content_type: str) -> bool:
    """Return whether a content type says that a body is NDJSON."""
    return content_type.partition(";")[0].strip().lower() in LINES


class Cut(msgspec.Struct, frozen=True):
    """A body cut into events: (index, raw JSON) each; ``single`` where the caller sent exactly one, not a list."""

    pieces: list[tuple[int, bytes | memoryview]]
    single: bool
    strict: bool


ALONE: Mapping[bytes, bool] = {ONE.encode(): True, JSON.encode(): False}
"""Content types of one event, as most callers write them, and whether CloudEvents asks for ``specversion``."""


def cut(body: bytes, content_type: str) -> Cut:
    """Return the raw events of a body; 415 for a type that is not spoken here, 400 where no event can be found."""
    kind = content_type.partition(";")[0].strip().lower()
    body = body.removeprefix(b"\xef\xbb\xbf")
    if kind in LINES:
        lines = enumerate(body.split(b"\n"))
        return Cut([(index, line) for index, line in lines if line.strip()], single=False, strict=False)
    if kind == ONE:
        return Cut([(0, body)], single=True, strict=True)
    if kind == BATCH:
        return Cut(_listed(body), single=False, strict=True)
    if kind == JSON:
        if body.lstrip()[:1] == b"[":
            return Cut(_listed(body), single=False, strict=False)
        return Cut([(0, body)], single=True, strict=False)
    spoken = ", ".join((ONE, BATCH, "application/x-ndjson", JSON))
    raise Refusal(415, "content-type", f"content types are {spoken}")


def _listed(body: bytes) -> list[tuple[int, bytes | memoryview]]:
    try:
        return [(index, memoryview(raw)) for index, raw in enumerate(_RAW_LIST.decode(body))]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "malformed", "the body is not a JSON list of events") from error


def parsed(piece: bytes | memoryview, most: int) -> Any:
    """Return one event's document; BadEvent where it is too large or not JSON."""
    if len(piece) > most:
        raise BadEvent(f"the event is larger than {most} bytes", code="oversized")
    try:
        return _ANY.decode(piece)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvent("this is not JSON", code="malformed") from error
