"""The one wiring room: who is connected with whom. Plain arguments, no rule of any domain."""

from __future__ import annotations

import secrets
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.actuators.shadow import ShadowActuator
from tocsin.core.desk import Rule
from tocsin.core.events import Event, derived_id, split_subject
from tocsin.core.playbook import Automation, Playbook, playbook_from
from tocsin.core.records import Limit, StoredPlaybook, StoredRule
from tocsin.core.signal import Decision
from tocsin.errors import Misconfigured, NotFound, Retryable
from tocsin.flow.cel import INCIDENT, Program, compile_expression
from tocsin.flow.fold import Fold
from tocsin.flow.hashing import Hasher
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.ledger import blocks
from tocsin.ledger.compactor import WriterProcess
from tocsin.ledger.history import History
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.keep import Keep
from tocsin.ledger.memory import MemoryJournal, MemoryRecords
from tocsin.ledger.models import ModelStore
from tocsin.ledger.recorder import RecorderProcess
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.retention import Retention
from tocsin.ledger.snapshots import SnapshotStore
from tocsin.ledger.vault import KeyVault
from tocsin.ledger.views import Views
from tocsin.runtime.asklane import AskLane
from tocsin.runtime.casebook import Casebook
from tocsin.runtime.clock import DataClock, SystemClock
from tocsin.runtime.embedded import EmbeddedHost
from tocsin.runtime.feed import Feed
from tocsin.runtime.follower import Follower
from tocsin.runtime.pace import Busy
from tocsin.runtime.recovery import Replayed, replay
from tocsin.runtime.responder import Responder
from tocsin.runtime.snapshotting import Snapshotter
from tocsin.runtime.stamping import Stamper
from tocsin.runtime.warming import Warming
from tocsin.runtime.widelane import WideLane
from tocsin.sources.door import Door
from tocsin.telemetry import Plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from tocsin.config import Settings
    from tocsin.core.action import Action
    from tocsin.core.desk import Desk
    from tocsin.core.incident import Incident
    from tocsin.core.ports import Actuator, Records
    from tocsin.core.signal import Text
    from tocsin.flow.wide.rows import Rows
    from tocsin.flow.wide.scan_chunk import Chunk
    from tocsin.ledger.disk import Disk
    from tocsin.ledger.snapshot_file import Snapshot
    from tocsin.runtime.lanes import Receipt
    from tocsin.runtime.stamping import Stamping
    from tocsin.sources.lines import WideDoor

KILL_FILE = "KILL"
LAST_ANSWERS_S = 3.0
BUSY_PER_S = 20_000.0
"""Events a second above which the history waits."""
CALLED_PER_S = 2000.0
"""Callers a second above which it waits, too: on two cores its process would take theirs."""


class KillSwitch:
    """The kill switch is a file: it works without network or database, for ``touch`` as for the console."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / KILL_FILE

    def on(self) -> bool:
        """Return whether nothing may be done, neither automatically nor by approval."""
        return self._file.exists()

    def reason(self) -> str:
        """Return who pulled it and why, as far as the file says."""
        return self._file.read_text(encoding="utf-8").strip() if self._file.exists() else ""

    def set(self, on: bool, who: str, reason: str) -> None:
        """Pull or release it."""
        if on:
            self._file.write_text(f"{who}: {reason}\n", encoding="utf-8")
        else:
            self._file.unlink(missing_ok=True)


class Tocsin:
    """One running installation: everything that the server and the commands need, by name."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: SystemClock | DataClock,
        desks: Sequence[Desk],
        journal: SegmentJournal | MemoryJournal,
        records: Records,
        folder: Path,
        demo: bool = False,
        actuators: Sequence[Actuator] | None = None,
        snapshots: SnapshotStore | None = None,
        snapshot: Future[Snapshot | None] | None = None,
    ) -> None:
        self.settings = settings
        self.snapshots = snapshots
        self._snapshot = snapshot
        self.clock = clock
        self.demo = demo
        self.desks = tuple(desks)
        self.journal = journal
        self.records = records
        self.live = Feed()
        self.kill = KillSwitch(folder)
        self.vault = KeyVault(records, folder)
        self.models = ModelStore(folder / "models", records)
        self.views = Views(records, currency=settings.currency)
        self.door = Door(self.vault, default_shop=settings.shop, max_event_bytes=settings.max_event_bytes)
        self.kinds: dict[str, Text] = {kind: text for desk in desks for kind, text in desk.kinds.items()}
        # Stored rules come from the journal, each at its place; the desks bring their own.
        self.plane = Plane()
        self.hasher = Hasher(self.vault.plane_seed)
        self.fold = Fold(
            desks,
            currency=settings.currency,
            load_model=self.models.read,
            hasher=self.hasher,
            log_events=settings.log_events,
        )
        store = records.store() if isinstance(records, SqlRecords) else None
        self.follower = Follower(records, self.live, RecorderProcess(store) if store is not None else None)
        self.casebook = Casebook(records, ceiling=Automation(settings.automation), killed=self.kill.on)
        self.casebook.campaign_factor = self.fold.budget_factor
        self.shadow = ShadowActuator()
        self.actuators = tuple(actuators) if actuators is not None else self._actuators()
        self.responder = Responder(
            self.casebook,
            records,
            kinds=self.kinds,
            playbooks=self.playbooks,
            conditions=holds,
            actuators=self.actuators,
            reveal=self._reveal,
            levels=self._levels,
            emit=self._emit,
            feed=self.live,
            now=clock.now,
        )
        self.host = EmbeddedHost(
            journal=journal,
            fold=self.fold,
            stamper=self._stamper(),
            views=self.views,
            follower=self.follower,
            feed=self.live,
            clock=clock,
            flush_keys=self.vault.flush,
            downstream=self.responder,
            queue_events=settings.queue_events,
            batch_events=settings.batch_events,
            fallback=Decision(settings.verdict_fallback),
            verdict_mode=settings.verdict_mode,
            ack_memory=settings.verdict_ack == "memory",
            plane=self.plane,
            wide=self._wide_lane(),
            asks=self._ask_lane(),
            shop=settings.shop,
            wide_records=blocks,
        )
        self.history = History(folder / "history")
        self.retention = self._retention()
        self.replayed = Replayed()
        self.at_end: list[Callable[[], None]] = []

    def start(self, progress: Callable[[int], None] | None = None) -> None:
        """Fold the journal again, write what a crash cut off, then begin to work."""
        self.follower.start()
        self.host.snapshots = self._snapshotter()
        self.host.warming = self._warming()
        if self.fold.engine.wide:
            self.fold.house.history = self._history
        after, began = 0, time.perf_counter()
        snapshot = self._found_snapshot()
        if self.host.snapshots is not None and snapshot is not None:
            after = self.host.snapshots.load(snapshot)
        del snapshot
        loaded = time.perf_counter()
        self.replayed = replay(
            self.host, signals_after=self.casebook.cursor("responder"), after=after, progress=progress
        )
        self.replayed.load_s = loaded - began
        self.responder.start()
        self.host.start()
        if self.host.warming is not None and self.host.cold_windows():
            self.host.warming.look()
        if self.retention is not None:
            self.retention.start()

    def stop(self) -> None:
        """Finish what waits, in the order of the loop, then let go of the files."""
        if self.host.running and not self.host.refusing:
            # What the last signals lead to comes back as events. A stuck actuator is not waited for.
            with suppress(Retryable, TimeoutError):
                self.host.settle().result(LAST_ANSWERS_S)
        self.host.stop()
        self.responder.stop()
        self.follower.stop()
        self.vault.close()
        if self.retention is not None:
            self.retention.stop()
        self.journal.close()
        self.records.close()
        for leave in self.at_end:
            leave()

    # What people may change; each takes effect at its place in the journal ----------------------------------------

    def rules(self) -> list[Rule]:
        """Return the rules that people have stored; a desk's own ones come with the desk."""
        stored = self.records.table(StoredRule).find({}, order="id", limit=10_000)
        return [msgspec.convert({**row.body, "mode": row.mode}, Rule) for row in stored]

    def configure(self, type: str, data: dict[str, Any], who: str) -> Future[list[Receipt]]:
        """Journal a change (``tocsin.rules``, ``.model``, ``.list``, ``.mode``) and let it take effect there."""
        now = self.clock.now()
        change = Event(
            id=derived_id(type, now, secrets.token_hex(8)),
            source="tocsin",
            type=type,
            time=now,
            shop=self.settings.shop,
            data={**data, "by": who},
        )
        return self.host.submit([change])

    def apply_rules(self, who: str) -> Future[list[Receipt]]:
        """Let the stored rules take effect."""
        documents = msgspec.to_builtins(self.rules())
        # Compiled here, in the caller's thread: the fold does not pause for it.
        self.fold.rules.prepare(documents)
        return self.configure("tocsin.rules", {"rules": documents}, who)

    def playbooks(self) -> list[Playbook]:
        """Return the playbooks: the desks' own, replaced by stored ones of the same name, and further stored ones."""
        found = {playbook.name: playbook for desk in self.desks for playbook in desk.playbooks()}
        for row in self.records.table(StoredPlaybook).find({}, order="id", limit=1000):
            found[row.id] = playbook_from(row.body)
        return list(found.values())

    def automation(self, key: str) -> Automation:
        """Return how far ``playbook:NAME`` or ``verb:NAME`` may go, as it is set."""
        row = self.records.table(Limit).get(f"automation/{key}")
        if row is not None:
            return Automation(row.word)
        return Automation.SUGGEST if key.startswith("playbook:") else Automation.AUTO

    # Connections ------------------------------------------------------------------------------------------------

    def _stamper(self) -> Stamping:
        """Return the memory of identities: compiled where the plane is."""
        if not self.fold.engine.wide:
            return Stamper()
        from tocsin.runtime.widestamping import WideStamper

        return WideStamper(self.hasher, self.settings.remembered_ids)

    def _wide_lane(self) -> WideLane | None:
        """Return the lane of lines, None where the plane is not compiled."""
        if not self.fold.engine.wide:
            return None
        most, (door, chunk) = self.settings.queue_events, self._scanning()
        return WideLane(door, chunk, clock=self.clock, plane=self.plane, most_events=most)

    def _ask_lane(self) -> AskLane | None:
        """Return the lane of callers who wait, None where the plane is not compiled."""
        if not self.fold.engine.wide:
            return None
        door, chunk = self._scanning()
        return AskLane(door, lambda rows: chunk(capacity=rows), clock=self.clock, plane=self.plane)

    def _scanning(self) -> tuple[WideDoor, Callable[..., Chunk]]:
        """Return a door of lines of its own, and what makes chunks for it."""
        from tocsin.flow.wide.scan_chunk import Chunk
        from tocsin.sources.lines import WideDoor

        names = self.fold.engine.names
        return WideDoor(self.door, self.vault, names, self.hasher), partial(Chunk, names, self.hasher)

    def _snapshotter(self) -> Snapshotter | None:
        """Return who takes snapshots, None where the state is folded from the journal alone."""
        if self.snapshots is None or not self.fold.engine.wide:
            return None
        return Snapshotter(
            self.host,
            self.snapshots,
            every_s=60.0 * self.settings.snapshot_minutes,
            every_events=self.settings.snapshot_events,
            # The journal reaches back to the older of two, and goes on while the next is written: twice this and a
            # quarter of the bound for that, at its peak 15 s for the default one.
            every_bytes=self.settings.journal_bytes * 3 // 8,
            put_in_place=self._covered,
        )

    def _found_snapshot(self) -> Snapshot | None:
        """Return the snapshot to begin with; Misconfigured where none holds what the journal no longer does."""
        if self.snapshots is None or not isinstance(self.journal, SegmentJournal):
            return None
        reading, self._snapshot = self._snapshot, None
        found = reading.result() if reading is not None else None
        if found is not None and found.seq > self.journal.last()[0]:
            found = self.snapshots.newest(most_seq=self.journal.last()[0])
        begins = self.journal.first()
        if begins > 1 and (found is None or found.seq < begins - 1):
            self.journal.close()
            raise Misconfigured(
                f"the journal begins with event {begins} and no snapshot in {self.snapshots.folder} holds what was "
                "before; restore a backup"
                + ("" if AVAILABLE else ", or install numba: the plain plane cannot read snapshots")
            )
        return found

    def _retention(self) -> Retention | None:
        """Return who bounds the journal, None where nothing can stand for what would go."""
        if self.snapshots is None or not self.fold.engine.wide or not isinstance(self.journal, SegmentJournal):
            return None
        stream = Busy(lambda: self.plane["fold"].rows, BUSY_PER_S)
        callers = Busy(lambda: self.plane["verdict"].runs, CALLED_PER_S)
        return Retention(
            self.journal,
            self.history,
            Keep.parse(self.settings.journal_keep_days),
            # In a process of its own: it takes more of an interpreter than those who ask for verdicts could spare.
            WriterProcess(self.history.folder),
            journal_bytes=self.settings.journal_bytes,
            everything=self.settings.history,
            now=self.clock.now,
            # What can wait waits while the fold has more than a moment's work: it costs more than the fold itself.
            busy=lambda: stream() or callers(),
        )

    def _warming(self) -> Warming | None:
        """Return who lets declared windows catch up with the past."""
        if not self.fold.engine.wide:
            return None
        from tocsin.runtime.reading import Reader

        return Warming(self.host, reader=lambda: Reader(self.fold.engine, self.settings.shop), oldest=self._oldest)

    def _history(self, after_tau: int, before_seq: int) -> Iterator[Rows]:
        """Yield the past for windows that become warm in a replay, as they did then."""
        return self.host.reader().history(self.journal, after_tau, before_seq, self._oldest())

    def _oldest(self) -> int:
        """Return the seq before the first event that the journal still holds."""
        return self.journal.first() - 1 if isinstance(self.journal, SegmentJournal) else 0

    def _covered(self, seq: int) -> None:
        """Let the journal know up to where snapshots and records stand for it."""
        if self.snapshots is not None and isinstance(self.journal, SegmentJournal):
            seq = self.snapshots.covered()
            self.journal.covered(min(seq, self.follower.written(seq)))

    def _actuators(self) -> tuple[Actuator, ...]:
        doors: list[Actuator] = []
        # Imported where they are used: a start without them is shorter.
        if self.settings.demo_url:
            from tocsin.actuators.shop import ShopActuator

            doors.append(ShopActuator(self.settings.demo_url, self.settings.webhook_secret))
        elif self.settings.webhook_url:
            from tocsin.actuators.webhook import WebhookActuator

            doors.append(WebhookActuator(self.settings.webhook_url, self.settings.webhook_secret))
        return (*doors, self.shadow)

    def _reveal(self, action: Action) -> Mapping[str, str]:
        """Return the clear key of an action's target for the door out, where the vault still has it; audited."""
        entity, key = split_subject(action.target)
        try:
            why = f"{action.verb} {action.id}"
            return {"key": self.vault.reveal(action.shop, entity, key, who="responder", why=why)}
        except NotFound:
            return {}

    def _levels(self, series: str, shop: str, start: int, end: int) -> list[float]:
        name, _, key = series.partition("/")
        points = self.views.series(name, key, start=start, end=end)
        return [point["value"] for point in points if point["value"] is not None]

    def _emit(self, events: list[Event]) -> None:
        self.host.note(events)


def holds(condition: str, incident: Incident) -> bool:
    """Return whether a CEL condition over ``incident`` holds; one that ends in an error does not."""
    return bool(_condition(condition).one({"incident": msgspec.to_builtins(incident)}))


@lru_cache(maxsize=1024)
def _condition(text: str) -> Program:
    return compile_expression(text, INCIDENT)


def build(
    settings: Settings,
    *,
    clock: SystemClock | DataClock | None = None,
    memory: bool = False,
    demo: bool = False,
    desks: Sequence[Desk] | None = None,
    actuators: Sequence[Actuator] | None = None,
    disk: Disk | None = None,
) -> Tocsin:
    """Return an installation over ``settings.data_dir``, or in memory; Misconfigured where the folder is unusable."""
    clock = clock or SystemClock()
    store = SnapshotStore(settings.folder / "snapshots", disk=disk)
    # Read beside all that follows, up to the start: it takes as long.
    reading = _beside(store.newest) if AVAILABLE and not memory else None
    if desks is None:
        # With the desks come the libraries that they count with: other desks may do without.
        from tocsin.desks.catalogue import catalogue

        desks = catalogue()
    if memory:
        scratch = tempfile.TemporaryDirectory(prefix="tocsin-")
        tocsin = Tocsin(
            settings,
            clock=clock,
            desks=desks,
            journal=MemoryJournal(),
            records=MemoryRecords(),
            folder=Path(scratch.name),
            demo=demo,
            actuators=actuators,
        )
        tocsin.at_end.append(scratch.cleanup)
        return tocsin
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Misconfigured(f"the data folder {folder} cannot be made: {error.strerror}; choose another") from error
    # What the newest snapshot holds need not be checked now: should it be damaged, it is checked as it is folded.
    newest = store.latest() if AVAILABLE else None
    journal = SegmentJournal(
        folder / "journal",
        segment_bytes=settings.segment_bytes,
        disk=disk,
        trusted=newest[0] if newest is not None else 0,
    )
    # The folder is ours now: what a killed process had begun to write is nobody's.
    store.clean()
    return Tocsin(
        settings,
        clock=clock,
        desks=desks,
        journal=journal,
        records=SqlRecords(f"sqlite:///{folder / 'records.sqlite'}"),
        folder=folder,
        demo=demo,
        actuators=actuators,
        snapshots=store,
        snapshot=reading,
    )


def _beside(work: Callable[[], Snapshot | None]) -> Future[Snapshot | None]:
    """Begin something in a thread of its own."""
    with_thread = ThreadPoolExecutor(1, "snapshot")
    future = with_thread.submit(work)
    with_thread.shutdown(wait=False)
    return future
