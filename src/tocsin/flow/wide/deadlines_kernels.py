"""Kernels of the deadlines: what is armed, linked in the order of arming, with an index by key.

Arrays of one deadline: ``index`` int32 and ``hashes`` uint64 [room] (``places``), ``taus`` and ``seqs`` int64 [room] of
the arming events, ``links`` int32 [room, 2]: the places armed before and after, + 1. A free place leads by AFTER to the
next free one. ``head`` int64 [5]: the oldest, the newest and the first free place, + 1; how many places were ever used,
and how many keys are armed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import inlined, kernel
from tocsin.flow.wide.places import find, put, remove
from tocsin.flow.wide.prefetch import prefetch

AHEAD = 8
"""Rows between one look ahead and the next."""

OLDEST, NEWEST, FREE, USED, ARMED = range(5)
BEFORE, AFTER = range(2)
DISARMS, ARMS = 1, 2


@inlined
def append(links: np.ndarray, head: np.ndarray) -> Any:
    """Return a place that has become the newest."""
    if head[FREE]:
        place = head[FREE] - 1
        head[FREE] = links[place, AFTER]
    else:
        place = head[USED]
        head[USED] += 1
    links[place, BEFORE], links[place, AFTER] = head[NEWEST], 0
    if head[NEWEST]:
        links[head[NEWEST] - 1, AFTER] = place + 1
    else:
        head[OLDEST] = place + 1
    head[NEWEST] = place + 1
    head[ARMED] += 1
    return place


@inlined
def unlink(links: np.ndarray, head: np.ndarray, place: Any) -> None:
    """Free a place."""
    before, after = np.int64(links[place, BEFORE]), np.int64(links[place, AFTER])
    if before:
        links[before - 1, AFTER] = after
    else:
        head[OLDEST] = after
    if after:
        links[after - 1, BEFORE] = before
    else:
        head[NEWEST] = before
    links[place, AFTER] = head[FREE]
    head[FREE] = place + 1
    head[ARMED] -= 1


@kernel
def enter(
    index: np.ndarray,
    hashes: np.ndarray,
    taus: np.ndarray,
    seqs: np.ndarray,
    links: np.ndarray,
    head: np.ndarray,
    keys: np.ndarray,
    flags: np.ndarray,
    row_taus: np.ndarray,
    row_seqs: np.ndarray,
    changes: np.ndarray,
) -> None:
    """Disarm and arm row by row; there is room for every row that may arm.

    ``keys`` uint64, ``flags`` uint8 (DISARMS, ARMS), ``row_taus``, ``row_seqs`` int64 [m]. ``changes`` int64 [m, 2]
    receives the place that a row disarmed and the place that it armed, -1 for none.
    """
    mask = np.int64(len(index) - 1)
    for at in range(len(keys)):
        if at + 2 * AHEAD < len(keys):
            prefetch(index, np.int64(keys[at + 2 * AHEAD] & np.uint64(mask)))
        if at + AHEAD < len(keys):
            ahead = np.int64(index[np.int64(keys[at + AHEAD] & np.uint64(mask))]) - 1
            if ahead >= 0:
                prefetch(hashes, ahead)
                prefetch(links, 2 * ahead)
        changes[at, 0] = changes[at, 1] = -1
        place = find(index, hashes, keys[at])
        if flags[at] & DISARMS and place >= 0:
            remove(index, hashes, keys[at])
            unlink(links, head, place)
            changes[at, 0] = place
            place = np.int64(-1)
        if flags[at] & ARMS and place < 0:
            place = append(links, head)
            hashes[place], taus[place], seqs[place] = keys[at], row_taus[at], row_seqs[at]
            put(index, keys[at], place)
            changes[at, 1] = place


@kernel
def miss(index: np.ndarray, hashes: np.ndarray, links: np.ndarray, head: np.ndarray) -> None:
    """Take out the oldest."""
    place = head[OLDEST] - 1
    remove(index, hashes, hashes[place])
    unlink(links, head, place)


@kernel
def load(links: np.ndarray, head: np.ndarray, n: int) -> None:
    """Link the places 0 .. n - 1 of empty arrays in their order."""
    for _ in range(n):
        append(links, head)


@kernel
def armed(links: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Return the places of what is armed, in the order of arming."""
    found = np.empty(head[ARMED], np.int64)
    at = head[OLDEST]
    for n in range(len(found)):
        found[n] = at - 1
        at = np.int64(links[at - 1, AFTER])
    return found
