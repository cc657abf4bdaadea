"""``tocsin replay``: feeds any supported file to a running server, with its times shifted to now."""

from __future__ import annotations

import email.utils
import heapq
import time
from typing import TYPE_CHECKING, Any

import click
import httpx
import msgspec
from rich.console import Console

from tocsin.errors import Misconfigured, Retryable
from tocsin.methods.parsing import parse_time
from tocsin.sources.files import open_source
from tocsin.sources.mapping import load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tocsin.sources.mapping import Mapping

BATCH_EVENTS = 500
BATCH_BYTES = 1_000_000
REORDER = 200_000
TICK_S = 0.25
PATIENCE_S = 60.0
"""How long a server that cannot be reached, or is busy, is asked again before it is given up."""

Timed = tuple[int, dict[str, Any]]


class Tally(msgspec.Struct):
    """What became of the events, and what held them up."""

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    waits: int = 0
    waited_s: float = 0.0
    reasons: dict[str, int] = {}


class Sender:
    """Sends batches of documents to ``/v1/events`` and waits where the server asks for it.

    Parameters
    ----------
    client
        With base address and key set.
    sleep, clock
        Seconds; passed in so that tests need not wait.
    """

    def __init__(
        self,
        client: httpx.Client,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._clock = clock
        self.tally = Tally()

    def send(self, documents: list[dict[str, Any]]) -> None:
        """Send one batch; halves it where it is too large. Retryable after ``PATIENCE_S`` of refusal to answer.

        Misconfigured where the address or the key is wrong.
        """
        body = b"\n".join(msgspec.json.encode(document) for document in documents)
        response = self._posted(body)
        if response.status_code == 413 and len(documents) > 1:
            half = len(documents) // 2
            self.send(documents[:half])
            self.send(documents[half:])
            return
        self.tally.sent += len(documents)
        if response.status_code == 413:
            self.tally.refused += 1
            self._count("oversized", 1)
            return
        if response.status_code in (401, 403):
            raise Misconfigured("the server does not accept the key; pass one with --key (scope: events)")
        if response.status_code not in (200, 202):
            raise Misconfigured(f"the server answered {response.status_code} {_detail(response)}; is --to its address?")
        try:
            answer = response.json()
        except ValueError as error:
            raise Misconfigured("the answer is no JSON; is --to the address of a Tocsin server?") from error
        self.tally.accepted += int(answer.get("accepted", 0))
        self.tally.duplicates += int(answer.get("duplicates", 0))
        refused = answer.get("refused", [])
        self.tally.refused += len(refused)
        for one in refused:
            self._count(f"{one.get('code', '?')} {one.get('field', '')}".strip(), 1)

    def _count(self, reason: str, n: int) -> None:
        self.tally.reasons[reason] = self.tally.reasons.get(reason, 0) + n

    def _posted(self, body: bytes) -> httpx.Response:
        deadline = self._clock() + PATIENCE_S
        pause = 0.5
        while True:
            try:
                response = self._client.post(
                    "/v1/events", content=body, headers={"content-type": "application/x-ndjson"}
                )
            except httpx.TransportError as error:
                wait, why = pause, f"{type(error).__name__}"
                pause = min(pause * 2, 8.0)
            else:
                if response.status_code not in (429, 503):
                    return response
                wait, why = retry_after(response.headers.get("retry-after", "")) or pause, f"{response.status_code}"
            if self._clock() + wait > deadline:
                raise Retryable(f"the server did not take events for {PATIENCE_S:.0f} s ({why}); is it running?")
            self.tally.waits += 1
            self.tally.waited_s += wait
            self._sleep(wait)


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json().get("detail", ""))
    except (ValueError, AttributeError):
        return ""


def retry_after(header: str) -> float:
    """Return the seconds that a Retry-After header asks for (a number or a date), 0 where it asks for none.

    >>> retry_after("3"), retry_after(""), retry_after("soon")
    (3.0, 0.0, 0.0)
    """
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def in_order(documents: Iterable[tuple[int, dict[str, Any]]], capacity: int) -> Iterator[Timed]:
    """Yield (time, document) ascending in time as far as a buffer of ``capacity`` documents allows; 0 keeps the order.

    Documents without a time that can be read take the one before; 0 where there is none yet.
    """
    heap: list[tuple[int, int, dict[str, Any]]] = []
    last = 0
    for number, document in documents:
        stamp = document.get("time")
        found = stamp if isinstance(stamp, int) else parse_time(str(stamp)) if stamp is not None else None
        last = last if found is None else found
        heapq.heappush(heap, (last, number, document))
        if len(heap) > capacity:
            when, _, first = heapq.heappop(heap)
            yield when, first
    while heap:
        when, _, first = heapq.heappop(heap)
        yield when, first


def batches(
    timed: Iterable[Timed],
    speed: float,
    *,
    fresh: str = "",
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Iterator[list[dict[str, Any]]]:
    """Yield batches when they are due, with their times shifted: the first event happens now.

    At ``speed`` N an hour of the file takes 3600 / N seconds; 0 sends as fast as the server takes, and every event
    happens when it is sent. ``fresh`` is put behind every id, so that a second replay brings new events.
    """
    start: tuple[int, float] | None = None
    batch: list[dict[str, Any]] = []
    size = 0
    opened = due = now()
    for when, document in timed:
        if start is None and when:
            start = (when, now())
        # An event without a time, or one that comes too late to be put in order, happens right after the one before.
        due = now() if start is None or not speed else max(due, start[1] + (when - start[0]) / 1e6 / speed)
        if batch and (len(batch) >= BATCH_EVENTS or size >= BATCH_BYTES or due > opened + TICK_S):
            yield batch
            batch, size = [], 0
        if due > now():
            sleep(due - now())
        if not batch:
            opened = now()
        shifted = document | {"time": int(due * 1e6)}
        if fresh:
            shifted["id"] = f"{document['id']}.{fresh}" if "id" in document else fresh
        size += 200 + sum(len(str(value)) for value in document.get("data", {}).values())
        batch.append(shifted)
    if batch:
        yield batch


@click.command(epilog="Exit codes: 0 done, 1 some events were refused or the server gave up, 2 bad input.")
@click.argument("path")
@click.option("--to", "url", required=True, metavar="URL", help="Address of the server, http://127.0.0.1:8700.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    help="1 keeps the file's pace, 60 makes an hour a minute, 0 is as fast as the server takes.",
)
@click.option("--key", default="", envvar="TOCSIN_KEY", help="API key with the scope events; also from TOCSIN_KEY.")
@click.option(
    "--mapping",
    "mapping_file",
    type=click.Path(exists=True, dir_okay=False),
    help="YAML for tables, as `tocsin assess` shows it.",
)
@click.option(
    "--fresh", is_flag=True, help="Give every event a new identity, so that a second replay is not a duplicate."
)
def command(path: str, url: str, speed: float, key: str, mapping_file: str | None, fresh: bool) -> None:
    """Feed PATH (any file that `tocsin assess` reads, or - for standard input) to a running server.

    Times are shifted so that the first event happens now. A busy server (429) is waited for as long as it asks.
    """
    if speed < 0:
        raise click.UsageError("--speed must not be negative")
    source = open_source(path, _mapping(mapping_file))
    headers = {"authorization": f"Bearer {key}"} if key else {}
    capacity = 0 if path == "-" else REORDER
    console = Console(stderr=True, soft_wrap=True)
    try:
        client = httpx.Client(base_url=url, headers=headers, timeout=30.0)
    except (httpx.InvalidURL, ValueError) as error:
        raise click.UsageError(f"--to {url}: {error}") from error
    with client:
        sender = Sender(client)
        suffix = f"{int(time.time()):x}" if fresh else ""
        with console.status("0 events") as status:
            for batch in batches(in_order(source.read(), capacity), speed, fresh=suffix):
                sender.send(batch)
                tally = sender.tally
                status.update(f"{tally.sent:,} events, {tally.accepted:,} accepted, waited {tally.waited_s:.0f} s")
    _summary(sender.tally, source.refusals.total, console)
    if sender.tally.refused or source.refusals.total:
        raise click.exceptions.Exit(1)


def _mapping(path: str | None) -> Mapping | None:
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return load_mapping(file.read())


def _summary(tally: Tally, unread: int, console: Console) -> None:
    console.print(
        f"{tally.sent:,} events sent: {tally.accepted:,} accepted, {tally.duplicates:,} duplicates, "
        f"{tally.refused:,} refused; waited {tally.waits} times for the server ({tally.waited_s:.1f} s)"
    )
    if unread:
        console.print(f"{unread:,} lines of the file could not be read as events; `tocsin assess` names them")
    for reason, count in sorted(tally.reasons.items(), key=lambda pair: -pair[1])[:10]:
        console.print(f"  refused: {reason} × {count}")
    if tally.duplicates and not tally.accepted:
        console.print("  all were known already (ids are remembered for 24 hours); --fresh gives them new identities")
