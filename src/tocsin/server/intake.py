"""The hot path: ``POST /v1/events`` and ``POST /v1/verdicts`` as plain ASGI. 202 means on disk.

Nothing here knows a desk or a rule: bytes become documents (``bodies``), documents events (the door), events
receipts or a verdict (the host). A refused event is answered with its reason and kept as a dead letter.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.errors import BadEvent, Retryable
from tocsin.server.access import bearer
from tocsin.server.asked import Callers
from tocsin.server.bodies import ALONE, Cut, Gone, cut, of_lines, parsed, whole
from tocsin.server.box import LetterBox, Refused
from tocsin.server.problems import Problem, Refusal, headers_of, problem, problem_of
from tocsin.server.protocol import connection_of, lines
from tocsin.server.settling import settled
from tocsin.server.shapes import Accepted, RefusedEvent, VerdictAnswer
from tocsin.server.shell import SECURITY

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from tocsin.app import Tocsin
    from tocsin.core.events import Event
    from tocsin.core.records import ApiKey
    from tocsin.core.signal import Verdict
    from tocsin.runtime.widelane import WideLane
    from tocsin.server.accounts import Accounts
    from tocsin.server.asked import Asked
    from tocsin.server.bodies import Receive, Scope, Send
    from tocsin.server.metrics import Measures
    from tocsin.server.protocol import Connection

PATHS = {"/v1/events": "events", "/v1/verdicts": "verdicts"}
"""Path -> door."""
INLINE = 64
"""Requests of more events are checked in a thread, so that a large one does not hold up the verdicts."""
INLINE_BYTES = 512_000
"""NDJSON up to this size is scanned at once: it takes a millisecond, less than a change of threads may cost. While
somebody asks for verdicts it is not: the kernel leaves the interpreter to others, and they wait for no body."""
MOST_BURYING = 64
"""Requests whose refused events wait for the dead-letter box."""
MOST_WAITING = 1024
"""Verdict requests under way; beyond that the caller hears 429 at once."""
_SECURITY = lines(SECURITY)
_JSON = (b"content-type", b"application/json")
_JSON_LINE = lines((_JSON,))
_ENCODE = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Admitted:
    """What the door made of one request."""

    events: list[Event]
    refused: list[Refused]


class Intake:
    """The machine doors of one house."""

    def __init__(self, tocsin: Tocsin, accounts: Accounts, measures: Measures) -> None:
        settings = tocsin.settings
        self._tocsin = tocsin
        self._accounts = accounts
        self._measures = measures
        self._most_bytes = settings.max_request_bytes
        self._most_asked = min(settings.max_request_bytes, settings.max_event_bytes)
        self._waiting = 0
        self._verdict_stage = tocsin.plane["verdict"]
        self._callers = Callers(tocsin)
        self._admitting = ThreadPoolExecutor(2, thread_name_prefix="admit")
        self._burying = ThreadPoolExecutor(1, thread_name_prefix="bury")
        self._buried: set[asyncio.Future[None]] = set()
        self.box = LetterBox(tocsin.records, tocsin.door, most=settings.dead_letters, flush_keys=tocsin.vault.flush)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the path is one of ``PATHS``."""
        began = time.perf_counter()
        door, connection = PATHS[scope["path"]], connection_of(scope)
        try:
            status, body, headers = await self._answer(door, scope, receive, connection, began)
        except Gone:
            return
        except Refusal as refusal:
            status, body, headers = _problem(refusal.problem, refusal.headers)
        self._count(door, status, began)
        if connection is None or headers is not None or not connection.answer(scope, status, _head(body), body):
            await _send(status, body, headers, scope, receive, send)

    def _count(self, door: str, status: int, began: float) -> None:
        self._measures.requests.add(door, status)
        if door == "verdicts" and status == 200:
            took = time.perf_counter() - began
            self._measures.verdict_seconds.add(took)
            self._verdict_stage.add(took)

    async def _answer(
        self, door: str, scope: Scope, receive: Receive, connection: Connection | None, began: float
    ) -> _Answer:
        if scope["method"] != "POST":
            raise Refusal(405, "method-not-allowed", "this door takes POST", headers={"allow": "POST"})
        asked = dict(scope["headers"])
        key = self._key(asked.get(b"authorization", b""), door)
        encoding = asked.get(b"content-encoding", b"")
        body = await whole(
            receive,
            come=None if connection is None or encoding else connection.body(scope),
            length=asked.get(b"content-length", b""),
            encoding=encoding.decode("latin-1").lower() if encoding else "",
            most=self._most_bytes if door == "events" else self._most_asked,
        )
        content_type = asked.get(b"content-type", b"")
        if door == "verdicts":
            return await self._verdict(body, content_type, key, began)
        kind = content_type.decode("latin-1")
        if self._tocsin.host.wide is not None and of_lines(kind):
            answer = await self._lines(self._tocsin.host.wide, body, key)
        else:
            answer = await self._events(cut(body, kind), key)
        if answer[0] == 202 and b"wait=settled" in scope.get("query_string", b""):
            await settled(self._tocsin.host)
        return answer

    def _key(self, authorization: bytes, door: str) -> ApiKey:
        key = self._accounts.known(authorization)
        if key is None:
            token = bearer(authorization.decode("latin-1"))
            if not token:
                raise Refusal(401, "no-key", "send an API key: Authorization: Bearer KEY")
            key = self._accounts.key(token, authorization)
            if key is None:
                raise Refusal(401, "unknown-key", "this key is unknown or was revoked")
        if door not in key.scopes:
            raise Refusal(403, "scope", f"this key lacks the scope {door}")
        return key

    # Events ---------------------------------------------------------------------------------------------------------

    async def _events(self, found: Cut, key: ApiKey) -> _Answer:
        if len(found.pieces) > INLINE:
            loop = asyncio.get_running_loop()
            admitted = await loop.run_in_executor(self._admitting, self._admit, found, key.shop)
        else:
            admitted = self._admit(found, key.shop)
        accepted = duplicates = 0
        if admitted.events:
            try:
                # Shielded: a caller who is cut off must not take the future from under the host.
                receipts = await asyncio.shield(asyncio.wrap_future(self._submit(admitted.events)))
            except Retryable as error:
                return _problem(problem_of(error))
            duplicates = sum(receipt.duplicate for receipt in receipts)
            accepted = len(receipts) - duplicates
        if admitted.refused:
            # Only now: a request that was not taken comes again, and its letters would be there twice.
            self._bury(admitted.refused, key.shop, "events")
            if not admitted.events:
                return _none_taken(admitted.refused, found.single)
        refused = tuple(_refused(one) for one in admitted.refused)
        return _json(202, Accepted(accepted=accepted, duplicates=duplicates, refused=refused))

    async def _lines(self, lane: WideLane, body: bytes, key: ApiKey) -> _Answer:
        """Take NDJSON through the wide lane: scanned here where it is small, in a thread where it is large."""
        host = self._tocsin.host
        if host.refusing or host.stopped:
            return _problem(problem_of(Retryable(f"nothing is accepted: {host.refusing}", after_s=5.0)))
        try:
            if len(body) <= INLINE_BYTES and not lane.busy and not host.asked_lately:
                future = lane.submit(body, key.shop)
            else:
                loop = asyncio.get_running_loop()
                future = await loop.run_in_executor(self._admitting, lane.submit, body, key.shop)
        except Retryable as error:
            wait = str(max(1, round(error.after_s)))
            raise Refusal(429, "overloaded", error.reason, headers={"retry-after": wait}) from error
        try:
            receipt = await asyncio.shield(asyncio.wrap_future(future))
        except Retryable as error:
            return _problem(problem_of(error))
        refused = [Refused(one.index, one.document, one.error) for one in receipt.refused]
        if refused:
            self._bury(refused, key.shop, "events")
            if not receipt.accepted and not receipt.duplicates:
                return _none_taken(refused, single=False)
        told = tuple(_refused(one) for one in refused)
        return _json(202, Accepted(accepted=receipt.accepted, duplicates=receipt.duplicates, refused=told))

    def _submit(self, events: list[Event]) -> Any:
        """Hand over to the host; a full queue is 429, a stopped host 503."""
        try:
            return self._tocsin.host.submit(events)
        except Retryable as error:
            if self._tocsin.host.stopped:
                raise
            wait = str(max(1, round(error.after_s)))
            raise Refusal(429, "overloaded", error.reason, headers={"retry-after": wait}) from error

    def _admit(self, found: Cut, shop: str) -> Admitted:
        door, now = self._tocsin.door, self._tocsin.clock.now()
        most = self._tocsin.settings.max_event_bytes
        # On the data's clock (a drill, a rehearsal) no event is early or late.
        live = not self._tocsin.clock.data
        events: list[Event] = []
        refused: list[Refused] = []
        for index, piece in found.pieces:
            document: Any = None
            try:
                document = parsed(piece, most)
                events.append(
                    door.admit(document, now=now, live=live, shop=shop or None, size=len(piece), strict=found.strict)
                )
            except BadEvent as error:
                refused.append(Refused(index, document, error))
        return Admitted(events, refused)

    def _bury(self, refused: list[Refused], shop: str, door: str) -> None:
        """Keep dead letters without making the caller wait for the records."""
        for one in refused:
            self._measures.refused.labels(one.error.code).inc()
        if len(self._buried) >= MOST_BURYING:
            # Whoever floods us with nonsense must not fill the memory with it; the sender has the refusal.
            self.box.lost += len(refused)
            return
        now, belongs = self._tocsin.clock.now(), shop or self._tocsin.settings.shop
        put = partial(self.box.put, refused, now=now, shop=belongs, door=door)
        future = asyncio.get_running_loop().run_in_executor(self._burying, put)
        self._buried.add(future)
        future.add_done_callback(self._buried.discard)

    async def close(self) -> None:
        """Wait until every dead letter so far is in the box, then let go of the threads."""
        await asyncio.gather(*self._buried)
        self._admitting.shutdown(wait=False)
        self._burying.shutdown(wait=False)

    # Verdicts -------------------------------------------------------------------------------------------------------

    async def _verdict(self, body: bytes, content_type: bytes, key: ApiKey, began: float) -> _Answer:
        strict = ALONE.get(content_type)
        if strict is None or body[:1] != b"{":
            found = cut(body, content_type.decode("latin-1"))
            if len(found.pieces) != 1:
                raise Refusal(400, "malformed", "a verdict is asked for exactly one event")
            (_, piece), strict = found.pieces[0], found.strict
        else:
            piece = body
        if self._waiting >= MOST_WAITING:
            raise Refusal(429, "overloaded", "too many verdicts are asked for at once", headers={"retry-after": "1"})
        reply: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        self._callers.ask(bytes(piece), key.shop, strict, began, partial(_done, reply))
        self._waiting += 1
        try:
            job = await reply
        finally:
            self._waiting -= 1
        return self._told(job, key)

    def _told(self, job: Asked, key: ApiKey) -> _Answer:
        try:
            verdict = self._callers.verdict(job)
        except BadEvent as error:
            refused = [Refused(0, job.document, error)]
            self._bury(refused, key.shop, "verdicts")
            return _none_taken(refused, single=True)
        except Retryable as error:
            return _problem(problem_of(error))
        return _json(200, answer_of(verdict, job.replayed))

    def take(self, connection: Connection, cycle: RequestResponseCycle) -> bool:
        """Take a whole POST for a verdict as it comes as a rule, to be answered without a task: see ``Taking``.

        Whatever is unusual about it, all refusals of headers and keys among that, is left to ``__call__``.
        """
        began, headers = time.perf_counter(), cycle.scope["headers"]
        asked = dict(headers)
        strict = ALONE.get(asked.get(b"content-type", b""))
        key = self._accounts.known(asked.get(b"authorization", b""))
        if strict is None or key is None or "verdicts" not in key.scopes or b"content-encoding" in asked:
            return False
        body = bytes(cycle.body)
        if body[:1] != b"{" or len(body) > self._most_asked or self._waiting >= MOST_WAITING:
            return False
        tell = partial(self._answer_taken, connection, cycle, key, began)
        self._callers.ask(body, key.shop, strict, began, tell)
        self._waiting += 1
        return True

    def _answer_taken(
        self, connection: Connection, cycle: RequestResponseCycle, key: ApiKey, began: float, job: Asked
    ) -> None:
        self._waiting -= 1
        try:
            status, body, headers = self._told(job, key)
            self._count("verdicts", status, began)
            if headers is not None or not connection.answer(cycle.scope, status, _head(body), body):
                connection.run(cycle, partial(_send, status, body, headers))
        except Exception as error:
            connection.fail(cycle, error)


_Headers = list[tuple[bytes, bytes]]
_Answer = tuple[int, bytes, _Headers | None]
"""Status, body, and headers: None for those of plain JSON, which name nothing that a caller sent."""


def _done(reply: asyncio.Future[Asked], job: Asked) -> None:
    if not reply.done():
        reply.set_result(job)


async def _send(status: int, body: bytes, headers: _Headers | None, scope: Scope, receive: Receive, send: Send) -> None:
    """Give an answer the usual way."""
    if headers is None:
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *SECURITY]})
    await send({"type": "http.response.body", "body": body})


def _head(body: bytes) -> bytes:
    """Return the headers of plain JSON as they are written."""
    return b"%bcontent-length: %d\r\n%b" % (_JSON_LINE, len(body), _SECURITY)


def answer_of(verdict: Verdict, replayed: bool) -> VerdictAnswer:
    """Return what the caller is told of a verdict."""
    return VerdictAnswer(
        id=verdict.id,
        event=verdict.event_id,
        decision=verdict.served,
        computed=verdict.computed,
        score=verdict.score,
        reasons=verdict.reasons,
        expires=verdict.expires,
        late=verdict.late,
        degraded=verdict.degraded,
        replayed=replayed,
        outcome=verdict.outcome,
    )


def _refused(one: Refused) -> RefusedEvent:
    document = one.document if isinstance(one.document, dict) else {}
    id = document.get("id")
    return RefusedEvent(
        index=one.index,
        id=id[:200] if isinstance(id, str) else "",
        code=one.error.code,
        field=one.error.field,
        detail=one.error.reason,
    )


def _none_taken(refused: list[Refused], single: bool) -> _Answer:
    """Answer a request of which no event was accepted: the one problem, or all of them."""
    if single:
        return _problem(problem_of(refused[0].error))
    found = problem(400, "all-refused", "no event of this request was accepted; see refused")
    return _problem(
        msgspec.structs.replace(found, refused=tuple(msgspec.to_builtins(_refused(one)) for one in refused))
    )


def _json(status: int, value: Any) -> _Answer:
    return status, _ENCODE(value), None


def _problem(found: Problem, headers: dict[str, str] | None = None) -> _Answer:
    body = msgspec.json.encode(found)
    both = {**headers_of(found), **(headers or {}), "content-length": str(len(body))}
    return found.status, body, [(name.encode(), value.encode()) for name, value in both.items()]
