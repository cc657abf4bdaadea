"""The demo: the store in real time against a running Tocsin, with a trouble now and then to show the loop."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from tocsin.core.events import MINUTE, SECOND
from tocsin.core.signal import Decision
from tocsin.twin.client import Line
from tocsin.twin.door import Door
from tocsin.twin.store import Store
from tocsin.twin.trouble import compose, named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.twin.trouble import Trouble

log = logging.getLogger("tocsin.twin")
FIRST_S = 60
"""Seconds after the start at which the first trouble begins."""
EVERY_S = 600
PROGRAMME = (
    ("card-testing", "strong", 300),
    ("gateway-outage", "strong", 480),
    ("request-flood", "strong", 240),
    ("card-testing", "medium", 420),
    ("request-flood", "medium", 300),
    ("gateway-outage", "medium", 480),
)
"""(drill, strength, seconds), one after the other, over and over."""
BUSY = 1.1
"""Least factor of the daily rhythm: a demo at four in the morning is still worth looking at."""
TICK_S = 0.5
FALLEN_BEHIND = 60 * SECOND


class _Muted:
    """The store's ear while it catches up after the machine slept."""

    def hear(self, event: dict[str, Any]) -> None:
        """Let it be."""

    def ask(self, event: dict[str, Any]) -> Decision:
        """Let it pass."""
        return Decision.ALLOW


def run(
    base_url: str,
    api_key: str,
    webhook_secret: str,
    port: int,
    seed: int = 1,
    speed: float = 2.0,
    *,
    stop: threading.Event | None = None,
    seconds: float | None = None,
) -> None:
    """Run the demo store until ``stop`` is set (or for ``seconds``).

    Parameters
    ----------
    base_url, api_key
        The Tocsin that hears the events; the key has the scopes ``events`` and ``verdicts``.
    webhook_secret, port
        The store's actuator door on loopback: ``POST http://127.0.0.1:port/actions``.
    speed
        Multiplies ordinary traffic (2.0: about 140 events a minute); time itself runs as it does.
    """
    stop = stop or threading.Event()
    begun = time.time_ns() // 1000
    run_id = f"live-{begun // SECOND:x}"
    line = Line(base_url, api_key, patient=True, wait=stop.wait)
    door = Door(webhook_secret, port)
    store = Store(seed, line, start=begun, pace=speed, floor=BUSY, run=run_id)
    door.attach(store.controls, lambda: time.time_ns() // 1000)
    door.start()
    log.info("the demo store is open; actuator door at %s", door.url)
    programme = _programme(seed, begun)
    coming = next(programme)
    reported = begun
    try:
        while not stop.is_set():
            now = time.time_ns() // 1000
            if seconds is not None and now >= begun + seconds * SECOND:
                break
            if now - store.now > FALLEN_BEHIND:
                log.info("fell %d s behind; catching up silently", (now - store.now) // SECOND)
                store.ear = _Muted()
                store.run(now - 5 * SECOND)
                store.ear = line
            if now >= coming.start - MINUTE and coming not in store.troubles:
                store.troubles[:] = [coming]
                wait = max(coming.start - now, 0) // SECOND
                log.info("trouble in %d s: %s (%s)", wait, coming.name, coming.strength)
            store.run(now)
            line.flush()
            if now >= coming.end:
                log.info("trouble over: %s (%s)", coming.name, coming.strength)
                coming = next(programme)
            if now - reported >= MINUTE:
                reported = now
                _report(store, line)
            stop.wait(TICK_S)
    finally:
        door.stop()
        line.close()
        log.info("the demo store is closed")


def _programme(seed: int, begun: int) -> Iterator[Trouble]:
    """Yield one trouble after the other."""
    start = begun + FIRST_S * SECOND
    number = 0
    while True:
        name, strength, duration = PROGRAMME[number % len(PROGRAMME)]
        spec = {**named(name), "warm_up_s": 0, "start": 0, "duration_s": duration}
        yield compose(spec, seed=seed + number, strength=strength, begin=start)
        start += EVERY_S * SECOND
        number += 1


def _report(store: Store, line: Line) -> None:
    totals = store.books.summary()
    in_force = sum(effect.start <= store.now < effect.end for effect in store.controls.history)
    log.info(
        "%d events sent, %d refused; %d orders, %d paid; lost %.2f; %d actions in force",
        line.sent,
        line.refused,
        totals["orders"],
        totals["paid"],
        store.books.lost() / 100,
        in_force,
    )


def main() -> None:
    """Run the demo store against a server; key and secret come from TOCSIN_DEMO_KEY and TOCSIN_DEMO_SECRET."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m tocsin.twin.live", description=main.__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8700")
    parser.add_argument("--port", type=int, default=8701, help="port of the store's actuator door")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=None)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s demo store: %(message)s", datefmt="%H:%M:%S")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        key, secret = os.environ["TOCSIN_DEMO_KEY"], os.environ["TOCSIN_DEMO_SECRET"]
    except KeyError as missing:
        parser.error(f"set {missing.args[0]}")
    run(options.url, key, secret, options.port, options.seed, options.speed, stop=stop, seconds=options.seconds)


if __name__ == "__main__":
    main()
