"""The part of the scanner's kernel that makes pseudonyms: later, many at once.

A line leaves room for its pseudonyms and notes what they are of; every few lines those of all that were accepted are
made. So what was made before, kept in a cache, is asked for long before it is read, and eight new ones are hashed side
by side. A line that is not accepted leaves nothing: neither in the cache nor among what the vault is told.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.blake import blake2b15_base32
from tocsin.flow.wide.blake_lanes import (
    COUNTED,
    HIGH,
    LANE_WORDS,
    LANES,
    LOW,
    MESSAGE,
    SHORT_WORDS,
    STATE,
    compress_lanes,
    put_base32,
)
from tocsin.flow.wide.jit import kernel, woven
from tocsin.flow.wide.prefetch import prefetch
from tocsin.flow.wide.scan_bytes import head, uncounted
from tocsin.flow.wide.scan_tables import SPREAD
from tocsin.flow.wide.scan_values import K0, K1, KNOWN, NOTED, PENDING, PLAIN_SCRATCH, REPORTS, SCOPE
from tocsin.flow.wide.words import load64, store64

U = np.uint64
_C0, _C1, _C2 = SPREAD, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_BLOCK = 128
CACHE_LINE = 64
"""Bytes of a line of the cache: the pseudonym, 32 bytes of key, the tag."""
LONGEST_SHORT = 8 * SHORT_WORDS
"""Longer keys are neither cached nor hashed side by side."""
LINE_MOST = 16
"""Pseudonyms of one line at most: the entities, and the subject."""
QUEUE_MOST = 128
# Places in an entry of the queue: the key's words first; what is asked of ``known`` for it takes the place of the tag.
_TAG, _ENTITY, _START, _LENGTH, _OUT, _LINE, _WORDS = 4, 5, 6, 7, 8, 9, 10
QUEUE = PLAIN_SCRATCH
MISSED = QUEUE + _WORDS * QUEUE_MOST
LANE = MISSED + QUEUE_MOST
SCRATCH = LANE + LANE_WORDS
"""Size of the scratch array."""


@woven
def pseudonym_later(
    body: np.ndarray, start: Any, length: Any, entity: Any, at: Any, cache: np.ndarray, control: np.ndarray,
    scratch: np.ndarray,
) -> None:  # fmt: skip
    """Note that ``text[at : at + 24]`` becomes the pseudonym of ``body[start : start + length]``; there is room."""
    entry = QUEUE + _WORDS * control[PENDING]
    control[PENDING] += 1
    w0, w1 = head(body, start, length, 0), head(body, start, length, 1)
    w2, w3 = head(body, start, length, 2), head(body, start, length, 3)
    tag = U(1 << 63) | U(control[SCOPE]) << U(16) | U(entity) << U(8) | U(length)
    mixed = (w0 ^ U(control[K0])) * U(_C0) ^ (w1 ^ U(control[K1])) * U(_C1) ^ (w2 + tag) * U(_C2) ^ w3 * U(_C0)
    mixed = (mixed ^ (mixed >> U(32))) * U(_C1)
    line = (np.int64(mixed >> U(32)) & (len(cache) // CACHE_LINE - 1)) * CACHE_LINE
    prefetch(cache, line)
    scratch[entry], scratch[entry + 1], scratch[entry + 2], scratch[entry + 3] = w0, w1, w2, w3
    scratch[entry + _TAG], scratch[entry + _ENTITY] = tag, entity
    scratch[entry + _START], scratch[entry + _LENGTH], scratch[entry + _OUT] = start, length, at
    scratch[entry + _LINE] = line if 0 < length <= LONGEST_SHORT else np.int64(-1)


@woven
def cached(text: np.ndarray, cache: np.ndarray, scratch: np.ndarray, entry: Any) -> Any:
    """Write a pseudonym that the cache holds; return whether it does."""
    line, at = scratch[entry + _LINE], scratch[entry + _OUT]
    if load64(cache, line + 56) != U(scratch[entry + _TAG]):
        return False
    for word in range(SHORT_WORDS):
        if load64(cache, line + 24 + 8 * word) != U(scratch[entry + word]):
            return False
    store64(text, at, load64(cache, line))
    store64(text, at + 8, load64(cache, line + 8))
    store64(text, at + 16, load64(cache, line + 16))
    return True


@woven
def printed(text: np.ndarray, at: Any) -> Any:
    """Return the print of a pseudonym, by which it is among ``known``; never 0."""
    found = (load64(text, at) * U(_C0)) ^ (load64(text, at + 8) * U(_C1)) ^ (load64(text, at + 16) * U(_C2))
    return (found ^ (found >> U(32))) * U(_C0) | U(1)


@woven
def eight_made(
    first: Any, count: Any, text: np.ndarray, states: np.ndarray, cache: np.ndarray, known: np.ndarray,
    scratch: np.ndarray,
) -> None:  # fmt: skip
    """Make the pseudonyms of up to eight missed entries, and keep them in the cache."""
    for lane in range(LANES):
        entry = scratch[MISSED + min(first + lane, count - 1)]
        for word in range(8):
            scratch[LANE + STATE + LANES * word + lane] = np.int64(states[scratch[entry + _ENTITY], word])
        for word in range(SHORT_WORDS):
            scratch[LANE + MESSAGE + LANES * word + lane] = scratch[entry + word]
        scratch[LANE + COUNTED + lane] = _BLOCK + scratch[entry + _LENGTH]
    compress_lanes(scratch, np.int64(LANE))
    for lane in range(min(LANES, count - first)):
        entry = scratch[MISSED + first + lane]
        line, at = scratch[entry + _LINE], scratch[entry + _OUT]
        put_base32(text, at, U(scratch[LANE + LOW + lane]), U(scratch[LANE + HIGH + lane]))
        store64(cache, line, load64(text, at))
        store64(cache, line + 8, load64(text, at + 8))
        store64(cache, line + 16, load64(text, at + 16))
        for word in range(SHORT_WORDS):
            store64(cache, line + 24 + 8 * word, U(scratch[entry + word]))
        store64(cache, line + 56, U(scratch[entry + _TAG]))
        print_ = printed(text, at)
        scratch[entry + _TAG] = np.int64(print_)
        prefetch(known, place_of(known, print_))


@woven
def told(known: np.ndarray, reports: np.ndarray, control: np.ndarray, scratch: np.ndarray, entry: Any) -> None:
    """Report the key of an entry whose entity is noted, unless it was reported before."""
    entity = scratch[entry + _ENTITY]
    if (control[NOTED] >> entity) & 1 and make_known(known, U(scratch[entry + _TAG])):
        place = control[REPORTS]
        reports[place, 0], reports[place, 1], reports[place, 2] = (
            entity,
            scratch[entry + _START],
            scratch[entry + _LENGTH],
        )
        control[REPORTS] += 1
        control[KNOWN] += 1


@uncounted
def make_pseudonyms(
    body: np.ndarray, text: np.ndarray, states: np.ndarray, cache: np.ndarray, known: np.ndarray,
    reports: np.ndarray, control: np.ndarray, scratch: np.ndarray,
) -> None:  # fmt: skip
    """Make all pseudonyms that were left for later; keys of noted entities that are not ``known`` go to ``reports``."""
    missed = np.int64(0)
    for place in range(control[PENDING]):
        entry = QUEUE + _WORDS * place
        if scratch[entry + _LINE] >= 0:
            if not cached(text, cache, scratch, entry):
                scratch[MISSED + missed] = entry
                missed += 1
        else:
            at = scratch[entry + _OUT]
            state = states[scratch[entry + _ENTITY]]
            blake2b15_base32(state, body, scratch[entry + _START], scratch[entry + _LENGTH], text, at)
            scratch[entry + _TAG] = np.int64(printed(text, at))
            told(known, reports, control, scratch, entry)
    for first in range(0, missed, LANES):
        eight_made(first, missed, text, states, cache, known, scratch)
    for place in range(missed):
        told(known, reports, control, scratch, scratch[MISSED + place])
    control[PENDING] = 0


@woven
def place_of(known: np.ndarray, print_: Any) -> Any:
    """Return where the search for a print begins."""
    return np.int64((print_ >> U(20)) & U(len(known) - 1))


@woven
def make_known(known: np.ndarray, print_: Any) -> Any:
    """Put a print into the set; return whether it was not there."""
    mask = len(known) - 1
    at = place_of(known, print_)
    while known[at] != U(0):
        if known[at] == print_:
            return False
        at = (at + 1) & mask
    known[at] = print_
    return True


@kernel
def fill_known(known: np.ndarray, prints: np.ndarray) -> None:
    """Put these prints into the set."""
    for print_ in prints:
        make_known(known, print_)
