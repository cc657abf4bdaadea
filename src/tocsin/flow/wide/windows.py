"""Windows, compiled: the values of ``tocsin.flow.windows.Windows``, bit for bit, from kernels over columns.

What a plane carries (``plan.carried``) and distinct windows over 1 h run compiled; a window of another kind (a recency
of more than 1 h with a delay, an exact span with more than 1 h of it) runs on its plain store. Sums are exact below
2^63 in fixed point, deviations while n times the sum of squares stays below 2^127.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.desk import Ratio, Window
from tocsin.errors import Misconfigured
from tocsin.flow.batch import FEW, FeatureTable
from tocsin.flow.filters import filter_of, passes
from tocsin.flow.store import SHARDS
from tocsin.flow.view import View, reach
from tocsin.flow.wide import stored
from tocsin.flow.wide.laid import Columns, Named
from tocsin.flow.wide.plan import carried, plans_of
from tocsin.flow.wide.plane import Plane
from tocsin.flow.wide.sketch import SketchTable
from tocsin.flow.wide.sketched import Sketched, sketched, take_shards
from tocsin.flow.windows import MOST_TABLES, Windows, stores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tocsin.flow.batch import PlainBatch
    from tocsin.flow.hashing import Hasher
    from tocsin.flow.wide.rows import Rows

LOG_EVENTS = 32_000_000
NOWHERE = -1
"""The slot of a window that another plane has taken over."""


class WideWindows(Windows):
    """All windows of a fold, over ``Rows``.

    Parameters
    ----------
    currency
        What a money field counts in where the event names no currency.
    hasher
        The installation's; the same as that of the rows.
    log_events
        Entries that a log of exact spans holds at most: beyond, a span reaches back as far as they do (``span_s``).
    """

    def __init__(self, currency: str = "CNY", hasher: Hasher | None = None, log_events: int = LOG_EVENTS) -> None:
        super().__init__(currency, hasher)
        self.log_events = log_events
        self.planes: list[tuple[Plane, list[int]]] = []
        """Each with the slots of its windows."""
        self.sketches: list[Sketched] = []
        self._places: list[int] = []
        """By slot, the row of a step's block that is its column; where that stands apart ``NOWHERE``."""
        self._height = 0
        self._laid: dict[int, Named] = {}
        """By the slots of a declaration."""
        self._peers: list[list[int]] = []
        """Slots that the plain flow keeps in one store, which all their readers read."""

    def declare(self, windows: Iterable[Window | Ratio], reads: Iterable[str]) -> None:
        """Add windows that events of the types ``reads`` read; those already known keep their state.

        A window that is new while the stream is under way stays missing until it has seen all that it reaches back to.
        """
        reads = list(reads)
        fresh = []
        for window in windows:
            if isinstance(window, Ratio):
                continue
            slot = self.slots.get(window.fingerprint())
            if slot is None:
                slot = self._slot(window)
                fresh.append((slot, window))
            self.readers[slot].update(reads)
        self._peers.extend([slot for slot, _ in store.windows] for store in stores_of(fresh, self.hasher))
        self._build(fresh)
        self._read()

    def withdraw(self, windows: Iterable[Window]) -> None:
        """Let go of windows: declared again they begin anew. State shared with others goes with the last of these."""
        windows = list(windows)
        gone = {self.slots.get(window.fingerprint(), NOWHERE) for window in windows}
        self.planes = [(plane, [NOWHERE if slot in gone else slot for slot in slots]) for plane, slots in self.planes]
        self.planes = [(plane, slots) for plane, slots in self.planes if max(slots) > NOWHERE]
        self.sketches = [sketch for sketch in self.sketches if sketch.slot not in gone]
        peers = ([slot for slot in slots if slot not in gone] for slots in self._peers)
        self._peers = [slots for slots in peers if slots]
        super().withdraw(windows)

    def _slot(self, window: Window) -> int:
        if window.where and not window.each:
            filter_of(window.where, window.of)
        return super()._slot(window)

    def _build(self, fresh: Sequence[tuple[int, Window]]) -> None:
        """Make what computes new windows."""
        self.sketches.extend(Sketched(slot, window, self.counters) for slot, window in fresh if sketched(window))
        mine = [(slot, window) for slot, window in fresh if carried(window)]
        for places in plans_of([window for _, window in mine]):
            self._add_plane([mine[place][0] for place in places], [mine[place][1] for place in places])
        self.stores.extend(self._stores([one for one in fresh if not carried(one[1]) and not sketched(one[1])]))

    def _add_plane(self, slots: list[int], windows: Sequence[Window]) -> Plane:
        plane = Plane(windows, self.currency, self.hasher.text(self.currency), self.log_events, self.counters)
        self.planes.append((plane, slots))
        return plane

    def _read(self) -> None:
        """Let every window be read by the readers of all windows that the plain flow keeps with it."""
        readers: list[frozenset[str]] = [frozenset()] * len(self.windows)
        for slots in self._peers:
            types: frozenset[str] = frozenset().union(*(self.readers[slot] for slot in slots))
            for slot in slots:
                readers[slot] = types
        for store in self.stores:
            store.readers = frozenset().union(*(readers[slot] for slot, _ in store.windows))
        for sketch in self.sketches:
            sketch.readers = readers[sketch.slot]
        self._places, self._height = [NOWHERE] * len(self.windows), 0
        for plane, slots in self.planes:
            plane.declare_readers([frozenset() if slot == NOWHERE else readers[slot] for slot in slots])
            for place, slot in enumerate(slots, self._height):
                if slot != NOWHERE:
                    self._places[slot] = place
            self._height += len(slots)
        self._laid.clear()

    def step(self, batch: PlainBatch) -> Sequence[np.ndarray]:
        """Enter and read a batch of ``Rows`` (stamped, tau ascending) in its order.

        Returns per slot float64 [n], NaN where the value is missing.
        """
        rows: Rows = batch  # type: ignore[assignment]
        columns = Columns(self._places, np.full((self._height, rows.n), np.nan))
        if not rows.n:
            return columns
        first = 0
        for plane, slots in self.planes:
            plane.step(rows, columns.block[first : first + len(slots)])
            first += len(slots)
        for sketch in self.sketches:
            columns.apart[sketch.slot] = sketch.step(rows)
        if self.stores:
            self._step_plain(rows, columns.apart)
        taus = rows.taus
        self.tau = int(taus[-1])
        if full := sum(plane.forced for plane, _ in self.planes):
            self.counters["log_full"] = full
        if max(self.warm, default=0) > taus[0]:
            self._hide(columns, taus)
        return columns

    def table(self, declared: Sequence[Window | Ratio], columns: Sequence[np.ndarray], n: int) -> FeatureTable:
        """Return the features of one desk by its own names, ratios included."""
        slots, ratios = self._named(declared)
        if not isinstance(columns, Columns) or columns.apart or (ratios and n > FEW):
            return super().table(declared, columns, n)
        known = self._laid.get(id(slots))
        if known is None or known.slots is not slots:
            if len(self._laid) >= MOST_TABLES:
                self._laid.clear()
            known = self._laid[id(slots)] = Named(declared, slots, ratios, self._places, self._height)
        return FeatureTable(n, known.laid(columns.block))

    def _step_plain(self, rows: Rows, columns: dict[int, np.ndarray]) -> None:
        view = View(rows.events, self.currency, len(self.windows))
        for store in self.stores:
            if store.where and not store.each:
                mask = np.asarray(passes(rows, store.where, store.of, self.counters))
                view.masks[store.where, store.of] = mask.tolist()
        for store in self.stores:
            store.step(view)
            for slot, _ in store.windows:
                out = view.out[slot]
                columns[slot] = np.full(view.n, np.nan) if out is None else np.asarray(out, np.float64)

    # State as a whole.

    def digest(self) -> str:
        """Return the hash of all state that can still matter: equal for equal histories, however they were folded."""
        lines = [super().digest()]
        for plane, _ in self.planes:
            names = sorted(str(window.fingerprint()) for window in plane.plan.windows)
            lines.append(repr((names, stored.digest(stored.capture(plane), plane.plan))))
        lines.extend(repr((sketch.window.fingerprint(), sketch.table.canonical(self.tau))) for sketch in self.sketches)
        return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=16).hexdigest()

    def split(self, groups: Sequence[frozenset[int]]) -> list[Windows]:
        """Return one part per group of shards (0..255, the upper eight bits of a key's hash).

        What an event reads over several items is the largest (recency: smallest) of what the parts say.
        """
        if sorted(shard for group in groups for shard in group) != list(range(SHARDS)):
            raise Misconfigured("split: the groups must name every shard from 0 to 255 exactly once")
        parts: list[Windows] = []
        captured = [stored.capture(plane) for plane, _ in self.planes]
        tables = [sketch.table.split(groups) for sketch in self.sketches]
        for place, group in enumerate(groups):
            part = self._twin()
            among = np.zeros(SHARDS, bool)
            among[sorted(group)] = True
            for (plane, _), whole in zip(part.planes, captured, strict=True):
                plane.stage.shards = among
                stored.load(plane, stored.part_of(whole, plane.plan, among))
            for sketch, split in zip(part.sketches, tables, strict=True):
                sketch.shards, sketch.table = among, split[place]
            for own, store in zip(part.stores, self.stores, strict=True):
                own.take(group, store)
            parts.append(part)
        return parts

    @classmethod
    def merge(cls, parts: Sequence[Windows]) -> WideWindows:
        """Return the whole of which these are the parts, all folded up to the same event."""
        wide = [part for part in parts if isinstance(part, WideWindows)]
        whole = wide[0]._twin()
        whole.tau = max(part.tau for part in wide)
        for part in wide:
            whole.counters.update(part.counters)
            for own, store in zip(whole.stores, part.stores, strict=True):
                own.take(store.shards or frozenset(range(SHARDS)), store)
        for own in whole.stores:
            own.shards = None if own.shards is None or len(own.shards) == SHARDS else own.shards
        for place, (plane, _) in enumerate(whole.planes):
            theirs = [part.planes[place][0] for part in wide]
            plane.stage.shards = take_shards([one.stage.shards for one in theirs])
            stored.load(plane, stored.whole_of([stored.capture(one) for one in theirs], plane.plan))
        for place, sketch in enumerate(whole.sketches):
            mine = [part.sketches[place] for part in wide]
            sketch.shards = take_shards([one.shards for one in mine])
            sketch.table = SketchTable.merge([one.table for one in mine])
        return whole

    def _twin(self) -> WideWindows:
        """Return windows of the same declarations without state."""
        twin = WideWindows(self.currency, self.hasher, self.log_events)
        self._name(twin)
        twin._peers = [list(one) for one in self._peers]
        for plane, slots in self.planes:
            twin._add_plane(list(slots), plane.plan.windows)
        twin.sketches = [Sketched(sketch.slot, sketch.window, twin.counters) for sketch in self.sketches]
        twin.stores = [own for store in self.stores for own in twin._stores(store.windows)]
        twin._read()
        return twin

    def adopt(self, other: WideWindows) -> list[int]:
        """Take over the windows that another fold has computed for us up to the same tau, and say their slots.

        They are warm from now on. Raises Misconfigured where the other stands elsewhere, or hashes otherwise.
        """
        if other.tau != self.tau or other.hasher.seed != self.hasher.seed or other.currency != self.currency:
            raise Misconfigured("adopt: the other windows must stand at the same tau, under the same seed and currency")
        to = {
            slot: self.slots[w.fingerprint()] for slot, w in enumerate(other.windows) if w.fingerprint() in self.slots
        }
        for store in other.stores:
            if not all(slot in to for slot, _ in store.windows):
                # Of a store whose other windows were withdrawn meanwhile nothing can be taken over.
                to = {slot: own for slot, own in to.items() if slot not in {one for one, _ in store.windows}}
        taken = set(to.values())
        self.planes = [(plane, [NOWHERE if s in taken else s for s in slots]) for plane, slots in self.planes]
        self.planes += [(plane, [to.get(slot, NOWHERE) for slot in slots]) for plane, slots in other.planes]
        self.planes = [(plane, slots) for plane, slots in self.planes if max(slots) > NOWHERE]
        self.sketches = [sketch for sketch in self.sketches if sketch.slot not in taken]
        for sketch in other.sketches:
            if sketch.slot in to:
                sketch.slot = to[sketch.slot]
                self.sketches.append(sketch)
        self.stores = [store for store in self.stores if not taken.issuperset(slot for slot, _ in store.windows)]
        for store in other.stores:
            if all(slot in to for slot, _ in store.windows):
                store.windows = tuple((to[slot], window) for slot, window in store.windows)
                self.stores.append(store)
        for slot, own in to.items():
            self.warm[own] = other.warm[slot]
        self._read()
        return sorted(taken)

    def state(self, capture: Callable[[Plane], Any] = stored.capture) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return all state as (what JSON can hold, plain arrays); windows on plain stores are left out.

        ``capture`` says how planes are kept: as ``stored.Stored``, or their logs apart (``logged.Beside``).
        """
        planes = []
        arrays: dict[str, Any] = {}
        for place, (plane, slots) in enumerate(self.planes):
            captured = capture(plane)
            arrays.update({f"plane{place}.{name}": array for name, array in captured.arrays().items()})
            # None: another plane has the window, or nobody declares it.
            warm = [None if slot == NOWHERE else self.warm[slot] for slot in slots]
            planes.append({
                "windows": msgspec.to_builtins(plane.plan.windows), "warm": warm,
                "tau": captured.tau, "forced": captured.forced, "maps": len(captured.maps),
            })  # fmt: skip
        sketches = []
        for place, sketch in enumerate(self.sketches):
            meta, own = sketch.table.state()
            arrays.update({f"sketch{place}.{name}": array for name, array in own.items()})
            window = msgspec.to_builtins(sketch.window)
            sketches.append({"window": window, "warm": self.warm[sketch.slot], "table": meta})
        meta = {"tau": self.tau, "counters": dict(self.counters), "planes": planes, "sketches": sketches}
        return meta, arrays

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> list[int]:
        """Become what ``state`` returned, under the declarations made so far; return the slots that are known again.

        A window that the state does not know is missing until it is warm; one that is declared no more is dropped where
        nothing of its plane is declared, and else kept without a reader.
        """
        self.tau = int(meta["tau"])
        self.counters.update(meta["counters"])
        self.warm = [self.tau + reach(window) if self.tau else 0 for window in self.windows]
        self.planes, self.sketches, self.stores = [], [], []
        self._free.extend(sorted(self._gone))
        self._gone.clear()
        known: set[int] = set()
        for place, saved in enumerate(meta["planes"]):
            windows = msgspec.convert(saved["windows"], list[Window])
            slots = [self.slots.get(window.fingerprint(), NOWHERE) for window in windows]
            slots = [
                NOWHERE if slot in known or since is None else slot
                for slot, since in zip(slots, saved["warm"], strict=True)
            ]
            if max(slots) > NOWHERE:
                plane = self._add_plane(slots, windows)
                own = _under(f"plane{place}.", arrays)
                rows = [own[f"rows{table}"] for table in range(len(plane.plan.tables))]
                maps = [own[f"map{at}"] for at in range(saved["maps"])]
                stored.load(plane, stored.Stored(saved["tau"], saved["forced"], rows, own["log"], maps))
                self._known(slots, saved["warm"], known)
        for place, saved in enumerate(meta["sketches"]):
            window = msgspec.convert(saved["window"], Window)
            slot = self.slots.get(window.fingerprint())
            if slot is not None:
                sketch = Sketched(slot, window, self.counters)
                sketch.table.restore(saved["table"], _under(f"sketch{place}.", arrays))
                self.sketches.append(sketch)
                self._known([slot], [saved["warm"]], known)
        declared = ((slot, self.windows[slot]) for slot in sorted(self.slots.values()))
        self._build([(slot, window) for slot, window in declared if slot not in known])
        self._read()
        return sorted(known)

    def _known(self, slots: Sequence[int], warm: Sequence[int | None], known: set[int]) -> None:
        for slot, since in zip(slots, warm, strict=True):
            if slot != NOWHERE and since is not None:
                self.warm[slot] = since
                known.add(slot)

    # Measures.

    def span_s(self) -> float:
        """Return how many seconds exact spans reach back: the longest that is declared, or what the log holds."""
        return min((plane.span() / 1e6 for plane, _ in self.planes if plane.plan.reach), default=0.0)

    def sizes(self) -> dict[str, int]:
        """Return live keys by entity (``keys:card``), entries in the logs (``log``).

        Keys of an entity that several planes keep count once for each.
        """
        found: dict[str, int] = {}
        for plane, _ in self.planes:
            for name, size in plane.sizes().items():
                found[name] = found.get(name, 0) + size
        return found

    def bytes(self) -> dict[str, int]:
        """Return the bytes of the state by part: ``index``, ``rows`` (with hops), ``maps``, ``log``, ``sketches``."""
        found = {"index": 0, "rows": 0, "maps": 0, "log": 0}
        for plane, _ in self.planes:
            for name, size in plane.bytes().items():
                found[name] += size
        found["sketches"] = sum(sketch.table.bytes() for sketch in self.sketches)
        return found


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def warm() -> None:
    """Call every kernel once with the dtypes of real use."""
    from tocsin.core.desk import Aggregate
    from tocsin.core.events import Event
    from tocsin.flow.names import Names
    from tocsin.flow.wide.growing import warm as warm_growth
    from tocsin.flow.wide.lines import Chunk, LineRows
    from tocsin.flow.wide.rows import Rows

    window = Window(name="warm", fold=Aggregate.DISTINCT, by="card", span_s=60, of=("warm",), field="ip")
    event = Event(id="warm", source="warm", type="warm", time=1, tau=1, seq=1, data={"card": "c", "ip": "i"})
    windows = WideWindows()
    windows.declare([window], ["warm"])
    names = Names()
    windows.step(Rows([event], names, windows.hasher))
    chunk = Chunk(names, windows.hasher, capacity=1)
    chunk.append(event)
    windows.step(LineRows(chunk))
    warm_growth()
    other = WideWindows()
    other.declare([window], ["warm"])
    other.restore(*windows.state())
