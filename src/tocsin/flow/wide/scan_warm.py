"""Compiles the scanner's kernels, so that the first body does not wait for them."""

from __future__ import annotations

import numpy as np

from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.lines import Chunk, LineRows
from tocsin.flow.wide.scan import Scanner, Scope
from tocsin.flow.wide.scan_pseudonyms import fill_known
from tocsin.flow.wide.scan_trusted import Replayer, unchecked

_LINE = b'{"id":"1","source":"s","type":"stock.changed","time":1,"data":{"sku":"a","on_hand":1}}'


def warm() -> None:
    """Compile every kernel that scans lines or makes columns of them."""
    names, hasher = Names(), Hasher()
    chunk = Chunk(names, hasher, capacity=4)
    scanner, scope = Scanner(names, hasher, unchecked()), Scope("default", 1, {}, frozenset())
    scanner.scan(_LINE, 0, chunk, scope, now=1, live=False, longest=1000)
    rows = LineRows(chunk)
    rows.keys("sku")
    rows.keys("on_hand")
    rows.column("on_hand")
    rows.typed("event", "id", "string")
    Replayer(names, hasher).read(rows.lines(), chunk)
    fill_known(np.zeros(4, np.uint64), np.ones(1, np.uint64))
