"""The store itself: simulated time, its actors, and the events that they leave behind.

Actors are generators that yield how many microseconds to wait; the store wakes them in order of time. Every actor owns
its random numbers (``draws.Draws``), so the same seed gives the same bytes, and an obeyed action changes only what it
touches: the same shopper comes at the same moment with and without Tocsin.

``python -m tocsin.twin.store --seed 1 --hours 24 --out day.ndjson`` writes a day without a Tocsin.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from tocsin.core.events import DAY, HOUR, MINUTE, Entity, subject_of
from tocsin.core.signal import Decision
from tocsin.twin.books import Books
from tocsin.twin.controls import Controls
from tocsin.twin.crooks import background, groups
from tocsin.twin.draws import Draws
from tocsin.twin.service import Service, machinery
from tocsin.twin.shoppers import arrivals, oddities
from tocsin.twin.world import EPOCH, Opening, Payer, World, build, rfc3339, rhythm

if TYPE_CHECKING:
    from tocsin.twin.trouble import Trouble

SOURCE = "/demo-store"
Actor = Generator[int, None, None]
"""Yields microseconds to wait."""


class Ear(Protocol):
    """Whoever listens to the store: Tocsin over HTTP, a file, a list."""

    def hear(self, event: dict[str, Any]) -> None:
        """Take an event."""
        ...

    def ask(self, event: dict[str, Any]) -> Decision:
        """Take an event and say what to do with it."""
        ...


class Recorder:
    """An ear that keeps what it hears and lets everything pass."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def hear(self, event: dict[str, Any]) -> None:
        """Keep it."""
        self.events.append(event)

    def ask(self, event: dict[str, Any]) -> Decision:
        """Keep it and let it pass."""
        self.events.append(event)
        return Decision.ALLOW


class Store:
    """One store from ``start`` on.

    Parameters
    ----------
    seed
        Everything random follows from it.
    ear
        Who hears the events.
    start
        First moment, microseconds.
    troubles
        What goes wrong, if anything; may be appended to while it runs.
    openings
        Promotions that the store announces and prepares for.
    pace
        Multiplies ordinary traffic.
    floor
        Least factor of the daily rhythm: 0 leaves the nights quiet.
    run
        Part of every event's id, so that two runs of one seed can be told apart.
    """

    def __init__(
        self,
        seed: int,
        ear: Ear,
        *,
        start: int = EPOCH,
        troubles: list[Trouble] | None = None,
        openings: tuple[Opening, ...] = (),
        pace: float = 1.0,
        floor: float = 0.0,
        run: str = "",
        world: World | None = None,
    ) -> None:
        self.seed = seed
        self.now = start
        self.start = start
        self.ear = ear
        self.world = world or build(seed)
        self.books = Books()
        self.controls = Controls()
        self.troubles = troubles if troubles is not None else []
        self.openings = openings
        self.pace = pace
        self._floor = floor
        self.service = Service(self)
        self.guilty: dict[str, set[str]] = {}
        """The truth: name of trouble or kind of ordinary fraud -> subjects in clear that took part in it."""
        self._queue: list[tuple[int, int, Actor]] = []
        self._count = 0
        self._order = 0
        self._prefix = f"{run or seed}-"
        for actor in (arrivals(self), oddities(self), background(self), groups(self), machinery(self)):
            self.spawn(actor)

    def spawn(self, actor: Actor, delay: int = 0) -> None:
        """Let an actor begin after a delay."""
        self._order += 1
        heapq.heappush(self._queue, (self.now + max(delay, 0), self._order, actor))

    def run(self, until: int) -> None:
        """Let simulated time pass up to and excluding ``until``."""
        queue = self._queue
        while queue and queue[0][0] < until:
            self.now, order, actor = heapq.heappop(queue)
            delay = next(actor, None)
            if delay is not None:
                self._order = order = self._order + 1
                heapq.heappush(queue, (self.now + max(delay, 1), order, actor))
        self.now = until

    def draws(self, *key: int | str) -> Draws:
        """Return the random numbers of an actor of this store."""
        return Draws(self.seed, *key)

    def event(self, kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
        """Return a CloudEvent that happens now; empty fields are left out."""
        self._count += 1
        return {
            "specversion": "1.0",
            "id": f"{self._prefix}{self._count:x}",
            "source": SOURCE,
            "type": kind,
            "time": rfc3339(self.now),
            "subject": subject,
            "data": {name: value for name, value in data.items() if value not in ("", None)},
        }

    def tell(self, kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
        """Let the ear hear of something and return the event."""
        event = self.event(kind, subject, data)
        self.ear.hear(event)
        return event

    def ask(self, kind: str, subject: str, data: dict[str, Any]) -> tuple[dict[str, Any], Decision]:
        """Ask what to do with something and return (event, decision)."""
        event = self.event(kind, subject, data)
        return event, self.ear.ask(event)

    def expose(self, name: str, payer: Payer) -> None:
        """Note in the truth who took part in a trouble or fraud."""
        subjects = self.guilty.setdefault(name, set())
        for entity in (Entity.IP, Entity.DEVICE, Entity.CARD, Entity.ACCOUNT):
            key = getattr(payer, entity.value)
            if key:
                subjects.add(subject_of(entity, key))

    def expose_subject(self, name: str, subject: str) -> None:
        """Note in the truth what a trouble acts on."""
        self.guilty.setdefault(name, set()).add(subject)

    def tempo(self) -> float:
        """Return how busy an ordinary moment is: the day's rhythm, times the pace."""
        return max(rhythm(self.now), self._floor) * self.pace

    def opening_factor(self) -> float:
        """Return what announced promotions multiply traffic by now."""
        factor = 1.0
        for opening in self.openings:
            factor *= opening.factor(self.now)
        return factor

    def factor(self, primitive: str, on: str, attributes: dict[str, str]) -> float:
        """Return what troubles multiply something by now."""
        product = 1.0
        for trouble in self.troubles:
            product *= trouble.factor(primitive, on, attributes, self.now)
        return product

    def added_ms(self, on: str, attributes: dict[str, str]) -> float:
        """Return the milliseconds that troubles add now."""
        return sum(trouble.added_ms(on, attributes, self.now) for trouble in self.troubles)

    def failing(self, on: str, attributes: dict[str, str]) -> tuple[float, str, str]:
        """Return (share, reason code, name of the trouble) of what troubles let fail now."""
        worst: tuple[float, str, str] = (0.0, "", "")
        for trouble in self.troubles:
            share, code = trouble.failure(on, attributes, self.now)
            if share > worst[0]:
                worst = (share, code, trouble.name)
        return worst


def stream(store: Store, recorder: Recorder, until: int, step: int = 10 * MINUTE) -> Iterator[dict[str, Any]]:
    """Yield the store's events up to a moment, without keeping them."""
    while store.now < until:
        store.run(min(store.now + step, until))
        yield from recorder.events
        recorder.events.clear()


def main() -> None:
    """Write the NDJSON CloudEvents of a seed."""
    import argparse
    from pathlib import Path

    import msgspec

    from tocsin.twin.trouble import NAMES, STRENGTHS, compose, named, read

    parser = argparse.ArgumentParser(prog="python -m tocsin.twin.store", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--start", type=int, default=EPOCH // 1_000_000, help="Unix seconds")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--drill", choices=NAMES)
    parser.add_argument("--spec", type=Path)
    parser.add_argument("--strength", choices=STRENGTHS, default="medium")
    parser.add_argument("--opening", type=float, help="hour at which an announced opening minute at 20x begins")
    parser.add_argument("--truth", type=Path, help="write the truth as JSON beside the events")
    options = parser.parse_args()
    start = options.start * 1_000_000
    troubles = []
    if options.drill or options.spec:
        spec = read(options.spec) if options.spec else named(options.drill)
        troubles = [compose(spec, seed=options.seed, strength=options.strength, begin=start)]
    openings = (Opening(start + int(options.opening * HOUR)),) if options.opening is not None else ()
    recorder = Recorder()
    store = Store(options.seed, recorder, start=start, troubles=troubles, openings=openings)
    encoder = msgspec.json.Encoder()
    with options.out.open("wb") as file:
        for event in stream(store, recorder, start + int(options.hours * HOUR)):
            file.write(encoder.encode(event) + b"\n")
    if options.truth:
        truth = {
            "troubles": troubles,
            "guilty": {name: sorted(subjects) for name, subjects in store.guilty.items()},
            "books": store.books.summary(),
            "days": (store.now - start) / DAY,
        }
        options.truth.write_bytes(msgspec.json.encode(truth))


if __name__ == "__main__":
    main()
