"""Measured: what the data plane says of itself. Shapes of ``GET /v1/plane``, read by metrics, advice, doctor, console.

A part that this installation has not got (the plain plane has no wide lane, a house in memory no snapshots) is None.
Counts are since the start of the process unless a field says otherwise; ``over_s`` is the recent time that shares,
rates and quantiles are about. Times are microseconds, durations are in the unit that ends the name.
"""

from enum import StrEnum

from tocsin.core.signal import Mode, Text
from tocsin.server.shapes import Shape


class Thread(StrEnum):
    """Who runs a stage. Stages of one thread share its time; those of different threads overlap."""

    DOOR = "door"
    FOLD = "fold"
    WRITER = "writer"
    CALLER = "caller"
    """Not a thread: it is the time that a caller waits, in which all of the others work."""


THREADS: dict[str, Thread] = {
    "scan": Thread.DOOR,
    "stamp": Thread.FOLD,
    "fold": Thread.FOLD,
    "derive": Thread.FOLD,
    "write": Thread.WRITER,
    "sync": Thread.WRITER,
    "publish": Thread.WRITER,
    "verdict": Thread.CALLER,
}
"""Stage -> who runs it."""


class StageView(Shape, frozen=True):
    """One stage of the plane (``telemetry.STAGES``)."""

    name: str
    text: Text
    thread: Thread
    runs: int
    rows: int
    seconds: float
    longest_ms: float
    share: float
    """Of the recent time: 1.0 is one thread that does nothing else."""
    rows_per_s: float
    us_per_row: float
    rows_per_run: float
    """Size of a batch, recently."""
    p50_ms: float
    p99_ms: float
    """Of the recent runs, right to within 19 %."""


class QueueView(Shape, frozen=True):
    """What waits, before the fold and behind it."""

    events: int
    """Single events that wait to be folded."""
    rows: int | None
    """Rows that wait in the wide lane."""
    most: int
    """How many of each may wait; beyond it requests are refused."""
    waited_s: float
    """How long the oldest of them has waited."""
    unwritten_events: int
    unwritten_bytes: int
    """Folded, not yet on disk."""
    grown_bytes: int
    """How much more that is than at the beginning of the recent time."""
    shed: int
    """Requests of lines and single events refused because too many waited."""
    shed_recent: int


class FlowView(Shape, frozen=True):
    """What came in, and what became of it."""

    seq: int
    tau: int
    """Of the last folded event, 0 before the first."""
    lag_s: float
    """Receiving clock minus that tau: also long when nobody sends anything."""
    accepted: int
    accepted_per_s: float
    duplicates: int
    refused: dict[str, int]
    """Events refused at the doors, by code."""
    late: int
    """Entries of series whose bucket had closed."""
    verdicts: int
    verdicts_late: int
    """Verdicts of which the caller had given up waiting."""
    verdicts_late_share: float
    """Of the recent answers to callers."""
    verdicts_degraded: int
    deadline_ms: int


class CauseView(Shape, frozen=True):
    """Why lines took the slow door."""

    cause: str
    lines: int


class ScannerView(Shape, frozen=True):
    """The wide door: lines that the kernel read, and those that it left to the slow door."""

    lines: int
    slow: int
    share: float
    """Of slow lines, recently."""
    lines_recent: int
    causes: tuple[CauseView, ...]


class IdsView(Shape, frozen=True):
    """The memory of event identities, by which duplicates are recognised."""

    count: int
    capacity: int
    span_s: float
    """How far back every identity is known for certain."""
    declared_s: float
    forgotten_early: int


class WindowsView(Shape, frozen=True):
    """Keyed windows."""

    keys: dict[str, int]
    """Live keys by entity."""
    log_events: int
    log_capacity: int
    span_s: float
    """How far back the exact windows reach, where one reaches less far than is declared."""
    declared_s: float
    """How far back they are declared to reach."""
    log_full: int
    """Events that left the log before their span was over."""
    cold: tuple[str, ...]
    """Declared windows that have not yet seen all that they reach back to."""
    warming_seq: int
    warming_until: int
    """Events read, and to be read, for windows that warm; 0 and 0 while none does."""


class PartView(Shape, frozen=True):
    """Memory of one part of the state."""

    part: str
    bytes: int


class RuleCost(Shape, frozen=True):
    """What one rule has done and cost since it came into force."""

    id: str
    desk: str
    mode: Mode
    hits: int
    errors: dict[str, int]
    """By cause."""
    seconds: float
    """Sampled."""
    share: float
    """Of the seconds of all rules."""


class RulesView(Shape, frozen=True):
    """The rules in force, the dearest first."""

    count: int
    seconds: float
    fold_share: float
    """Of the seconds of the fold."""
    items: tuple[RuleCost, ...]


class JournalView(Shape, frozen=True):
    """The journal; ``segments`` None where it lies in memory."""

    last_seq: int
    first_seq: int
    """First event that is kept."""
    bytes: int
    most_bytes: int
    segments: int | None
    overdue_bytes: int
    """By how much it exceeds its bound because nothing covers what could go."""
    refusals: int
    refusing: str
    free_bytes: int | None
    """On its disk."""


class SnapshotsView(Shape, frozen=True):
    """Snapshots of the state."""

    seq: int
    """Up to which the newest goes, 0 where there is none."""
    age_s: float | None
    every_s: float
    bytes: int
    """Of the arrays of the last one that this process took; 0 before."""
    pause_ms: float
    """How long that held up the fold."""
    taken: int
    failed: int
    behind: int
    """Events since the newest: what a start would fold again."""


class HistoryView(Shape, frozen=True):
    """The Parquet history."""

    through: int
    """Last seq that was taken up."""
    segments: int
    files: int
    rows: int
    behind: int
    """Closed segments of the journal that were not taken up yet."""
    fault: str


class Weight(StrEnum):
    """How much an advice matters: something is lost or refused; it is slow or soon will be; good to know."""

    ALARM = "alarm"
    WARNING = "warning"
    HINT = "hint"


class Advice(Shape, frozen=True):
    """What is wrong or slow, and what to do about it."""

    code: str
    weight: Weight
    text: Text


class PlaneView(Shape, frozen=True):
    """The data plane in one look."""

    now: int
    over_s: float
    """How long the recent time is: at most a minute, or since the start where nobody looked before."""
    uptime_s: float
    compiled: bool
    """Whether kernels compute; the plain plane gives the same values, slowly."""
    advice: tuple[Advice, ...]
    stages: tuple[StageView, ...]
    queue: QueueView
    flow: FlowView
    scanner: ScannerView | None
    ids: IdsView | None
    windows: WindowsView | None
    deadlines_pending: int
    memory: tuple[PartView, ...]
    rules: RulesView
    journal: JournalView
    snapshots: SnapshotsView | None
    history: HistoryView | None
    faults: dict[str, str]
