"""Settling: a caller waits until what was sent is folded and answered, within a bound, and learns what holds if not."""

from __future__ import annotations

import asyncio
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, Protocol

from tocsin.errors import Retryable
from tocsin.server.problems import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


class Settles(Protocol):
    """A host whose work can be waited for."""

    def settle(self) -> Future[None]:
        """Return a future that is done when all submitted before is folded and answered; Retryable where it ended."""
        ...


SETTLED_S = 20.0
"""How long a caller may wait for the fold and the responder; the line of the twin gives up after 30 seconds."""
TAKEN_S = 10.0
"""How long a change of the configuration may take to be on disk, and as long again to be in force."""


async def settled(host: Settles, within_s: float = SETTLED_S) -> None:
    """Wait until all that was submitted before is folded and answered by the responder.

    What was submitted stays accepted whatever comes of the wait; the refusal says so.

    Raises
    ------
    Refusal
        503 where the host has stopped or stops meanwhile, or where it takes longer than ``within_s`` seconds.
    """
    try:
        # Shielded: a caller who is cut off must not take the future from under the host.
        async with asyncio.timeout(within_s):
            await asyncio.shield(asyncio.wrap_future(host.settle()))
    except Retryable as error:
        detail = f"what was accepted is on disk, but not all of it was answered: {error.reason}"
        raise _unsettled(detail, error.after_s) from error
    except TimeoutError as error:
        detail = (
            f"what was accepted is on disk, but was not answered within {within_s:g} seconds: send it again to go on "
            "waiting (it counts once), or see the data plane for what holds up"
        )
        raise _unsettled(detail, 5.0) from error


def taken(change: Callable[[], Future[Any]], what: str, within_s: float = TAKEN_S) -> None:
    """Make a change, waiting in a thread until it is on disk; ``what`` names it, for the refusal.

    Raises
    ------
    Refusal
        503 where the host refuses it or has stopped (nothing was changed), or where it takes longer than ``within_s``
        seconds (it may still take effect).
    """
    try:
        change().result(within_s)
    except Retryable as error:
        raise _unsettled(f"{what} were not changed: {error.reason}", error.after_s) from error
    except FutureTimeout as error:
        detail = f"{what} have not been written within {within_s:g} seconds, but may still be: look, then decide"
        raise _unsettled(detail, 5.0) from error


def folded(host: Settles, otherwise: str, within_s: float = TAKEN_S) -> None:
    """Wait in a thread until all that was submitted before is folded; ``otherwise`` says what holds if it is not.

    Raises
    ------
    Refusal
        503 where the host has stopped or stops meanwhile, or where it takes longer than ``within_s`` seconds.
    """
    try:
        host.settle().result(within_s)
    except Retryable as error:
        raise _unsettled(f"{otherwise}: {error.reason}", error.after_s) from error
    except FutureTimeout as error:
        detail = f"{otherwise}: what came before is not folded within {within_s:g} seconds; see the data plane"
        raise _unsettled(detail, 5.0) from error


def _unsettled(detail: str, after_s: float) -> Refusal:
    return Refusal(503, "unavailable", detail, headers={"retry-after": str(max(1, round(after_s)))})
