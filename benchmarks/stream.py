"""The benchmark stream: structured CloudEvents as NDJSON, written beforehand and stamped again in place.

45 % http.request, 25 % session.viewed, 12 % cart.changed, 10 % payment.attempted, 5 % order.placed with 1 to 6 items,
3 % other with Chinese text, a third of these with JSON escapes. A pool of lines is written once; ``take`` hands out its
next lines after overwriting their time, their id, their numbers and their keys, all of fixed width, where they stand.
Keys follow a zipf law; two draws a line: a person (session, account, device, card) and a place (ip).

Reference: the exponent 0.99 is that of YCSB (Cooper et al., Benchmarking cloud serving systems, SoCC 2010).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np

from benchmarks.stamping import SLOTS, assemble, restamp
from benchmarks.texts import CHOICES, TEMPLATES

BUCKETS = 16_384
MOST_KEYS = 100_000_000
"""Keys have eight digits."""
WIDTHS = {"time": 27, "id": 16, "ip": 15, "session": 8, "account": 8, "device": 8, "card": 8, "number": 8}
_BLOCK = 50_000


class Stream:
    """Lines of the mix, the same for the same arguments.

    Parameters
    ----------
    seed
        Of the lines, of the draws of keys and of the order of types.
    live_keys
        Distinct keys of each entity type, at most 10^8.
    exponent
        Of the zipf law of the keys; 0 draws them all alike.
    pool
        Lines that are written beforehand; what ``take`` returned holds until the pool has come round.
    fresh
        Share of lines whose keys are new and never come again.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        live_keys: int = 1_000_000,
        exponent: float = 0.99,
        pool: int = 200_000,
        fresh: float = 0.0,
    ) -> None:
        if not 0 < live_keys <= MOST_KEYS:
            raise ValueError("live_keys must be between 1 and 10^8")
        self.seed, self.pool, self.live_keys = seed, pool, live_keys
        self.lines = 0
        """Lines handed out so far."""
        self._at = 0
        self._buffer, self._starts, self._slots = _written(np.random.default_rng(seed), pool)
        self.draw_by(exponent)
        self._fresh = np.uint64(min(int(fresh * 2**32), 2**32 - 1))
        self._draw = np.uint64(np.random.default_rng([seed, 1]).integers(2**63))

    def draw_by(self, exponent: float) -> None:
        """Draw the keys of all further lines by another zipf law."""
        self.exponent = exponent
        self._quantiles = quantiles(self.live_keys, exponent)

    def take(self, n: int, now_us: int, step_us: int = 1) -> memoryview:
        """Return the next ``n`` lines as one body of NDJSON; line i carries the time ``now_us + i * step_us``.

        The view shows the pool itself. A body never runs over the pool's end: ``n`` lines that do not fit there begin
        at its start.
        """
        if n > self.pool:
            raise ValueError(f"the pool has {self.pool} lines only")
        first = self._at if self._at + n <= self.pool else 0
        settings = np.array([first, n, self.lines, now_us, step_us, self.live_keys, MOST_KEYS], np.int64)
        restamp(self._buffer, self._starts, self._slots, self._quantiles, settings, self._draw, self._fresh)
        self._at = first + n
        self.lines += n
        return memoryview(self._buffer.data)[int(self._starts[first]) : int(self._starts[first + n])]

    def events(self, n: int, now_us: int, step_us: int = 1) -> list[dict[str, Any]]:
        """Return the next ``n`` events as documents."""
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        return [decode(line) for line in bytes(self.take(n, now_us, step_us)).splitlines()]


def quantiles(keys: int, exponent: float) -> np.ndarray:
    """Return the zipf law's quantiles at BUCKETS + 1 even steps, as ranks from 0: float64, linear in between."""
    mass = np.cumsum(np.arange(1, keys + 1, dtype=np.float64) ** -exponent)
    mass = np.concatenate([[0.0], mass / mass[-1]])
    return np.interp(np.linspace(0.0, 1.0, BUCKETS + 1), mass, np.arange(keys + 1, dtype=np.float64))


def _written(rng: np.random.Generator, pool: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (bytes, starts int64 [pool + 1], slots int32 [pool, SLOTS] from each line's start, -1 where absent)."""
    pieces = _Pieces()
    plans = [(share, [pieces.part(part) for part in _parts(template)]) for share, template in TEMPLATES]
    widest = max(len(parts) for _, parts in plans)
    shares = np.array([share for share, _ in plans])
    kinds = rng.choice(len(plans), size=pool, p=shares / shares.sum())
    blob, ends, slot_of = pieces.closed()
    buffers, lengths, slots = [], [], np.full((pool, SLOTS), -1, np.int32)
    for start in range(0, pool, _BLOCK):
        block = kinds[start : start + _BLOCK]
        parts = np.full((len(block), widest), -1, np.int32)
        for kind, (_, columns) in enumerate(plans):
            rows = np.flatnonzero(block == kind)
            for place, choices in enumerate(columns):
                parts[rows, place] = choices[rng.integers(len(choices), size=len(rows))]
        buffer, ran = assemble(parts, blob, ends, slot_of, slots[start : start + len(block)])
        buffers.append(buffer)
        lengths.append(ran)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return np.concatenate(buffers), starts, slots


def _parts(template: str) -> list[str]:
    """Return a template's literal and named parts in turn, the named ones as ``<name>``; a slot stands there once."""
    parts = [part for part in re.split(r"(<[a-z_]+>)", template + "\n") if part]
    stamped = [part for part in parts if part[1:-1] in WIDTHS]
    if len(set(stamped)) < len(stamped):
        raise ValueError(f"a slot stands twice: {template}")
    return parts


class _Pieces:
    """Every text that a line is put together from, once."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._slots: list[int] = []
        self._known: dict[str, np.ndarray] = {}

    def part(self, part: str) -> np.ndarray:
        """Return the numbers of the pieces that may stand at a part."""
        found = self._known.get(part)
        if found is None:
            name = part[1:-1] if part.startswith("<") else ""
            if name in WIDTHS:
                texts, slot = ["0" * WIDTHS[name]], list(WIDTHS).index(name)
            else:
                texts, slot = CHOICES[name] if name else [part], -1
            first = len(self._texts)
            self._texts += [text.encode() for text in texts]
            self._slots += [slot] * len(texts)
            found = self._known[part] = np.arange(first, len(self._texts), dtype=np.int32)
        return found

    def closed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (all texts uint8, their ends int64 [n + 1] from 0, their slots int8 [n])."""
        blob = np.frombuffer(b"".join(self._texts), np.uint8)
        ends = np.concatenate([[0], np.cumsum([len(text) for text in self._texts])]).astype(np.int64)
        return blob, ends, np.array(self._slots, np.int8)
