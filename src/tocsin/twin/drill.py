"""One drill: the same seed with Tocsin, without it, with fixed thresholds, and without the trouble."""

from __future__ import annotations

import base64
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tocsin.core.events import HOUR, MINUTE, SECOND
from tocsin.core.signal import Decision
from tocsin.twin.client import Line
from tocsin.twin.door import Door
from tocsin.twin.draws import Draws
from tocsin.twin.score import Result, Truth, responded
from tocsin.twin.store import Store
from tocsin.twin.thresholds import Limits, Meter, tune
from tocsin.twin.trouble import Trouble, begin_of, compose, horizon_of
from tocsin.twin.world import EPOCH, Opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tocsin.twin.world import World

STEP = 10 * SECOND
"""Simulated time between two deliveries: what Tocsin decides takes effect at the next one."""
QUIET_HOURS = 24
PROBATION = HOUR
"""Verdicts are served from then on, or from the trouble's start if that is earlier: no shop trusts a desk that has
not seen an hour of it, and windows are empty before."""


class Side(Protocol):
    """A running Tocsin on the data's clock, as a drill needs it."""

    base_url: str
    key: str

    def observe(self, moment: int) -> None:
        """Let its clock move on."""
        ...

    def go_live(self) -> None:
        """Serve verdicts from now on; before, they are computed and recorded only."""
        ...

    def pseudonym(self, entity: str, key: str) -> str:
        """Return the name under which it knows an entity."""
        ...


class Opener(Protocol):
    """Starts a Tocsin that acts through the store's door."""

    def __call__(self, door_url: str, secret: str, begin: int) -> AbstractContextManager[Side]:
        """Return a running Tocsin whose clock stands at ``begin``; leaving the context stops it."""
        ...


class Deaf:
    """An ear that hears nothing: the store without Tocsin."""

    def hear(self, event: dict[str, Any]) -> None:
        """Let it be."""

    def ask(self, event: dict[str, Any]) -> Decision:
        """Let it pass."""
        return Decision.ALLOW


def attended(
    open_side: Opener,
    seed: int,
    begin: int,
    end: int,
    *,
    troubles: Sequence[Trouble] = (),
    openings: tuple[Opening, ...] = (),
    world: World | None = None,
    progress: Callable[[float], object] = lambda share: None,
) -> tuple[Store, list[dict[str, Any]], Truth]:
    """Run a store with Tocsin; return (store, incidents, truth)."""
    with _door() as (door, secret), open_side(door.url, secret, begin) as side:
        line = Line(side.base_url, side.key)
        try:
            store = Store(seed, line, start=begin, troubles=list(troubles), openings=openings, world=world)
            door.attach(store.controls, lambda: store.now)
            line.before_send = lambda: side.observe(store.now)
            live_at = min([begin + PROBATION, *(trouble.start for trouble in troubles)])
            serving = False
            while store.now < end:
                if not serving and store.now >= live_at:
                    serving = True
                    side.go_live()
                store.run(min(store.now + STEP, end))
                line.flush(settled=True)
                progress((store.now - begin) / (end - begin))
            truth = Truth(list(troubles), store.guilty, side.pseudonym)
            return store, line.incidents(), truth
        finally:
            line.close()


@contextmanager
def _door() -> Iterator[tuple[Door, str]]:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    door = Door(secret).start()
    try:
        yield door, secret
    finally:
        door.stop()


def unattended(
    seed: int, begin: int, end: int, *, troubles: Sequence[Trouble] = (), limits: Limits | None = None
) -> Store:
    """Run a store alone, or with fixed thresholds."""
    meter = Meter(limits) if limits is not None else None
    store = Store(seed, meter or Deaf(), start=begin, troubles=list(troubles))
    if meter is not None:
        meter.attach(store)
    store.run(end)
    return store


def rehearse(
    spec: Mapping[str, Any],
    strength: str,
    seed: int,
    open_side: Opener,
    limits: Limits,
    progress: Callable[[float], object] = lambda share: None,
) -> Result:
    """Return the score of one drill at one strength."""
    begin = begin_of(spec, seed=seed, strength=strength)
    trouble = compose(spec, seed=seed, strength=strength, begin=begin)
    end = horizon_of(spec, trouble)
    quiet = unattended(seed, begin, end).books.lost()
    alone = unattended(seed, begin, end, troubles=[trouble])
    rival = unattended(seed, begin, end, troubles=[trouble], limits=limits)
    store, incidents, truth = attended(open_side, seed, begin, end, troubles=[trouble], progress=progress)
    opened = [incident["opened"] for incident in incidents if truth.about(incident, trouble)]
    answered = responded(trouble, store.books, alone.books, store.controls.history)
    return Result(
        drill=trouble.name,
        strength=strength,
        detected=bool(opened),
        seconds_to_detect=round((min(opened) - trouble.start) / SECOND, 1) if opened else None,
        seconds_to_respond=None if answered is None else round(answered, 1),
        false_incidents=sum(truth.false(incident) for incident in incidents),
        lost_with=store.books.lost() - quiet,
        lost_without=alone.books.lost() - quiet,
        lost_with_thresholds=rival.books.lost() - quiet,
    )


def quiet_opening(seed: int) -> Opening:
    """Return the announced opening of a quiet day: a minute at 20 times the traffic, when the seed says."""
    return Opening(EPOCH + (10 + Draws(seed, "opening").integer(11)) * HOUR)


def quiet_rows(seeds: Sequence[int], hours: int = QUIET_HOURS) -> list[list[tuple[int, int, int, int]]]:
    """Return what the rival's series show on the quiet days of these seeds."""
    days = []
    for seed in seeds:
        meter = Meter()
        store = Store(seed, meter, start=EPOCH, openings=(quiet_opening(seed),))
        store.run(EPOCH + hours * HOUR + MINUTE)
        days.append(meter.rows)
    return days


def tuned(seeds: Sequence[int], per_day: float = 1.0) -> Limits:
    """Return the rival's limits, tuned on the quiet days of these seeds."""
    return tune(quiet_rows(seeds), per_day)


class Quiet(msgspec.Struct, frozen=True):
    """What Tocsin did on a day on which nothing was wrong."""

    seed: int
    incidents: int
    false: list[str]
    """``kind subject`` of every incident about nothing."""
    refused_honest: int
    """Honest payments that were held or denied, of ``paid_honest`` that were let through."""
    paid_honest: int
    cost: int
    """Money lost beyond the same day without Tocsin, minor units; negative where it prevented ordinary fraud."""


def quiet_day(
    seed: int,
    open_side: Opener,
    hours: float = QUIET_HOURS,
    progress: Callable[[float], object] = lambda share: None,
) -> Quiet:
    """Return what Tocsin does on one quiet day with its opening minute."""
    end = EPOCH + int(hours * HOUR)
    openings = (quiet_opening(seed),)
    store, incidents, truth = attended(open_side, seed, EPOCH, end, openings=openings, progress=progress)
    alone = Store(seed, Deaf(), start=EPOCH, openings=openings)
    alone.run(end)
    counts = store.books.counts
    return Quiet(
        seed=seed,
        incidents=len(incidents),
        false=[f"{one['kind']} {one['subject']}" for one in incidents if truth.false(one)],
        refused_honest=counts["deny_honest"] + counts["hold_honest"],
        paid_honest=counts["allow_honest"] + counts["challenge_honest"],
        cost=store.books.lost() - alone.books.lost(),
    )
