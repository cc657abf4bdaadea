"""Pseudonyms that are made later, many at once, are those that hashlib makes of each."""

from __future__ import annotations

import base64
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")

import numba

from tocsin.flow.wide import scan_pseudonyms as made
from tocsin.flow.wide.blake import key_state
from tocsin.flow.wide.scan_bytes import PAD
from tocsin.flow.wide.scan_values import CONTROLS, KNOWN, NOTED, PENDING, REPORTS

SCOPES = (bytes(range(32)), bytes(range(32, 64)))
KEYS = st.lists(st.tuples(st.integers(0, 1), st.binary(min_size=1, max_size=40)), min_size=1, max_size=30)


@numba.njit
def _wait(body, spans, entities, cache, control, scratch):
    for row in range(len(spans)):
        made.pseudonym_later(body, spans[row, 0], spans[row, 1], entities[row], 24 * row, cache, control, scratch)


def _run(keys, cache, known, reports, control):
    body = np.frombuffer(b"".join(key for _, key in keys) + bytes(PAD), np.uint8)
    ends = np.cumsum([len(key) for _, key in keys])
    spans = np.column_stack([ends - [len(key) for _, key in keys], [len(key) for _, key in keys]])
    entities = np.array([entity for entity, _ in keys], np.int64)
    text, scratch = np.zeros(24 * len(keys) + PAD, np.uint8), np.zeros(made.SCRATCH, np.int64)
    states = np.array([key_state(scope) for scope in SCOPES])
    _wait(body, spans, entities, cache, control, scratch)
    made.make_pseudonyms(body, text, states, cache, known, reports, control, scratch)
    told = [(int(e), body[a : a + n].tobytes()) for e, a, n in reports[: control[REPORTS]]]
    control[REPORTS] = 0
    return [text[24 * row : 24 * row + 24].tobytes() for row in range(len(keys))], told


@given(KEYS)
def test_many_at_once_are_those_of_hashlib_also_from_the_cache(keys):
    """Fresh or kept, short or long, of either entity; each new key of a noted entity is told once."""
    cache, known = np.zeros(64 * made.CACHE_LINE, np.uint8), np.zeros(256, np.uint64)
    reports, control = np.zeros((64, 3), np.int64), np.zeros(CONTROLS, np.int64)
    control[NOTED] = 0b10
    expected = [
        base64.b32encode(hashlib.blake2b(key, key=SCOPES[entity], digest_size=15).digest()).lower()
        for entity, key in keys
    ]
    found, told = _run(keys, cache, known, reports, control)
    assert found == expected
    assert sorted(told) == sorted({one for one in keys if one[0] == 1})
    assert (control[KNOWN], control[PENDING]) == (len(told), 0)
    assert _run(keys, cache, known, reports, control) == (expected, [])
