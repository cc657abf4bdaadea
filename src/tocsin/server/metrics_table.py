"""The one table of metrics: name, kind, unit, labels, meaning, and how the data plane's are read.

``docs/metrics.md`` is written from it (``page``), a test holds it to that.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tocsin.server.measured import PlaneView

    Values = list[tuple[tuple[str, ...], float]]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)
MOST_RULES = 500
"""Rules that have metrics of their own, the dearest first."""


class Kind(StrEnum):
    """What Prometheus takes it for."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Row(msgspec.Struct, frozen=True):
    """One metric. A counter's name has ``_total`` behind it in the text."""

    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()


C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
METRICS: dict[str, Row] = {
    # Doors
    "tocsin_requests": Row(C, "requests", "requests of the machine doors", ("door", "status")),
    "tocsin_events_refused": Row(C, "events", "events refused at a door", ("code",)),
    "tocsin_verdict_seconds": Row(H, "seconds", "time from request to answer of /v1/verdicts"),
    "tocsin_letters_kept": Row(G, "letters", "dead letters kept since the start"),
    "tocsin_letters_lost": Row(G, "letters", "refused events the box could not take"),
    "tocsin_scanned_lines": Row(C, "lines", "lines that came through the wide door"),
    "tocsin_slow_lines": Row(C, "lines", "lines that the scanner left to the slow door", ("cause",)),
    "tocsin_slow_lines_share": Row(G, "share", "lines that the scanner left to the slow door, recently"),
    # Stages
    "tocsin_stage_seconds": Row(H, "seconds", "how long the runs of a stage took", ("stage",)),
    "tocsin_stage_rows": Row(C, "rows", "events or lines that went through a stage", ("stage",)),
    "tocsin_stage_batch_rows": Row(G, "rows", "rows of a run, recently", ("stage",)),
    "tocsin_stage_busy_share": Row(G, "share", "time that a stage took of the recent time", ("stage",)),
    # What came in
    "tocsin_accepted": Row(C, "events", "events accepted: on disk"),
    "tocsin_duplicates": Row(C, "events", "events that were known already"),
    "tocsin_verdicts": Row(C, "verdicts", "verdicts computed"),
    "tocsin_verdicts_late": Row(C, "verdicts", "verdicts of which the caller had given up waiting"),
    "tocsin_verdicts_degraded": Row(C, "verdicts", "verdicts served from the configured fall-back"),
    "tocsin_series_late": Row(C, "entries", "entries of series whose bucket had closed"),
    "tocsin_fold": Row(C, "counts", "counts of the fold by name", ("name",)),
    # What waits
    "tocsin_queue_events": Row(G, "events", "events in the queue, not yet folded"),
    "tocsin_queue_single_events": Row(G, "events", "of those, the ones that came as single events"),
    "tocsin_queue_rows": Row(G, "rows", "rows that wait in the wide lane"),
    "tocsin_queue_age_seconds": Row(G, "seconds", "how long the oldest of what waits has waited"),
    "tocsin_shed": Row(C, "refusals", "requests of lines and single events refused because the queue was full"),
    "tocsin_unwritten_events": Row(G, "events", "folded events that are not on disk yet"),
    "tocsin_unwritten_bytes": Row(G, "bytes", "bytes of lines that were folded and are not on disk yet"),
    "tocsin_lag_seconds": Row(G, "seconds", "receiving clock minus tau of the last folded event"),
    "tocsin_tau_age_seconds": Row(G, "seconds", "age of the newest accepted event"),
    "tocsin_refusing": Row(G, "0 or 1", "1 while the intake accepts nothing"),
    # State
    "tocsin_ids": Row(G, "ids", "event identities that are remembered"),
    "tocsin_ids_capacity": Row(G, "ids", "event identities that are remembered at most"),
    "tocsin_ids_span_seconds": Row(G, "seconds", "how far back every identity is known for certain"),
    "tocsin_ids_forgotten_early": Row(C, "ids", "identities let go of before 24 hours had passed"),
    "tocsin_window_keys": Row(G, "keys", "live keys of the windows", ("entity",)),
    "tocsin_window_log_events": Row(G, "events", "entries of the logs of exact windows"),
    "tocsin_window_log_capacity": Row(G, "events", "entries that such a log holds at most"),
    "tocsin_window_span_seconds": Row(G, "seconds", "how far back the exact windows reach"),
    "tocsin_window_declared_seconds": Row(G, "seconds", "how far back they are declared to reach"),
    "tocsin_window_log_full": Row(C, "events", "events that left the log before their span was over"),
    "tocsin_windows_cold": Row(G, "windows", "declared windows that have not seen all that they reach back to"),
    "tocsin_warming_read_seq": Row(G, "seq", "event up to which warming windows have read; 0 while none warms"),
    "tocsin_warming_until_seq": Row(G, "seq", "event up to which they are to read; 0 while none warms"),
    "tocsin_deadlines_pending": Row(G, "keys", "keys of which something is due"),
    "tocsin_memory_bytes": Row(G, "bytes", "memory of a part of the state; `process` is the whole process", ("part",)),
    # Rules
    "tocsin_rule_hits": Row(C, "events", "events on which a rule fired", ("rule",)),
    "tocsin_rule_errors": Row(C, "events", "events on which a rule ended in an error", ("rule", "cause")),
    "tocsin_rule_seconds": Row(C, "seconds", "time spent on a rule, sampled", ("rule",)),
    # What keeps it
    "tocsin_journal_bytes": Row(G, "bytes", "size of the journal"),
    "tocsin_journal_segments": Row(G, "files", "segments of the journal"),
    "tocsin_journal_first_seq": Row(G, "seq", "first event that the journal keeps"),
    "tocsin_journal_last_seq": Row(G, "seq", "last event that is on disk"),
    "tocsin_journal_overdue_bytes": Row(G, "bytes", "by how much it exceeds its bound"),
    "tocsin_journal_refusals": Row(C, "writes", "writes that the journal refused"),
    "tocsin_disk_free_bytes": Row(G, "bytes", "free space of the data folder's disk"),
    "tocsin_snapshot_seq": Row(G, "seq", "event up to which the newest snapshot goes"),
    "tocsin_snapshot_age_seconds": Row(G, "seconds", "age of the newest snapshot"),
    "tocsin_snapshot_bytes": Row(G, "bytes", "size of the last snapshot that this process took"),
    "tocsin_snapshot_pause_seconds": Row(G, "seconds", "how long that held up the fold"),
    "tocsin_snapshots": Row(C, "snapshots", "snapshots that are in place"),
    "tocsin_snapshots_failed": Row(C, "snapshots", "snapshots that could not be written"),
    "tocsin_history_through_seq": Row(G, "seq", "last event that the history took up"),
    "tocsin_history_segments": Row(G, "segments", "segments of the journal in the history"),
    "tocsin_history_files": Row(G, "files", "Parquet files of the history"),
    "tocsin_history_rows": Row(G, "rows", "rows of the history"),
    "tocsin_history_behind_segments": Row(G, "segments", "closed segments that the history has still to take up"),
    # The house
    "tocsin_kill_switch": Row(G, "0 or 1", "1 while the kill switch is on"),
    "tocsin_incidents_open": Row(G, "incidents", "incidents that are not closed", ("severity",)),
    "tocsin_faults": Row(G, "parts", "parts that do not work, desks that are left out among them"),
    "tocsin_advice": Row(G, "pieces", "pieces of advice that GET /v1/plane gives", ("weight",)),
}
"""Name -> what it is. In the order of the page."""


def samples(view: PlaneView) -> dict[str, Values]:
    """Return the data plane's metrics: name -> (label values, value); a part that is not there is left out."""
    flow, queue = view.flow, view.queue
    found: dict[str, Values] = {
        "tocsin_stage_rows": [((stage.name,), stage.rows) for stage in view.stages],
        "tocsin_stage_batch_rows": [((stage.name,), stage.rows_per_run) for stage in view.stages],
        "tocsin_stage_busy_share": [((stage.name,), stage.share) for stage in view.stages],
        "tocsin_rule_hits": [((rule.id,), rule.hits) for rule in view.rules.items],
        "tocsin_rule_errors": [
            ((rule.id, cause), n) for rule in view.rules.items for cause, n in sorted(rule.errors.items())
        ],
        "tocsin_rule_seconds": [((rule.id,), rule.seconds) for rule in view.rules.items],
        "tocsin_memory_bytes": [((one.part,), one.bytes) for one in view.memory],
        "tocsin_advice": [
            ((weight,), sum(advice.weight == weight for advice in view.advice))
            for weight in ("alarm", "warning", "hint")
        ],
    }
    plain: dict[str, float | None] = {
        "tocsin_accepted": flow.accepted,
        "tocsin_duplicates": flow.duplicates,
        "tocsin_verdicts": flow.verdicts,
        "tocsin_verdicts_late": flow.verdicts_late,
        "tocsin_verdicts_degraded": flow.verdicts_degraded,
        "tocsin_series_late": flow.late,
        "tocsin_lag_seconds": flow.lag_s,
        "tocsin_queue_events": queue.events + (queue.rows or 0),
        "tocsin_queue_single_events": queue.events,
        "tocsin_queue_rows": queue.rows,
        "tocsin_queue_age_seconds": queue.waited_s,
        "tocsin_shed": queue.shed,
        "tocsin_unwritten_events": queue.unwritten_events,
        "tocsin_unwritten_bytes": queue.unwritten_bytes,
        "tocsin_deadlines_pending": view.deadlines_pending,
        "tocsin_faults": len(view.faults),
        "tocsin_journal_last_seq": view.journal.last_seq,
        "tocsin_disk_free_bytes": view.journal.free_bytes,
        **_state(view, found),
        **_kept(view),
    }
    return found | {name: [((), value)] for name, value in plain.items() if value is not None}


def _state(view: PlaneView, found: dict[str, Values]) -> dict[str, float | None]:
    plain: dict[str, float | None] = {}
    if view.scanner is not None:
        plain |= {"tocsin_scanned_lines": view.scanner.lines, "tocsin_slow_lines_share": view.scanner.share}
        found["tocsin_slow_lines"] = [((one.cause,), one.lines) for one in view.scanner.causes]
    if view.ids is not None:
        plain |= {
            "tocsin_ids": view.ids.count,
            "tocsin_ids_capacity": view.ids.capacity,
            "tocsin_ids_span_seconds": view.ids.span_s,
            "tocsin_ids_forgotten_early": view.ids.forgotten_early,
        }
    if view.windows is not None:
        found["tocsin_window_keys"] = [((entity,), keys) for entity, keys in view.windows.keys.items()]
        plain |= {
            "tocsin_window_log_events": view.windows.log_events,
            "tocsin_window_log_capacity": view.windows.log_capacity,
            "tocsin_window_span_seconds": view.windows.span_s,
            "tocsin_window_declared_seconds": view.windows.declared_s,
            "tocsin_window_log_full": view.windows.log_full,
            "tocsin_windows_cold": len(view.windows.cold),
            "tocsin_warming_read_seq": view.windows.warming_seq,
            "tocsin_warming_until_seq": view.windows.warming_until,
        }
    return plain


def _kept(view: PlaneView) -> dict[str, float | None]:
    plain: dict[str, float | None] = {}
    journal, snapshots, history = view.journal, view.snapshots, view.history
    if journal.segments is not None:
        plain |= {
            "tocsin_journal_bytes": journal.bytes,
            "tocsin_journal_segments": journal.segments,
            "tocsin_journal_first_seq": journal.first_seq,
            "tocsin_journal_overdue_bytes": journal.overdue_bytes,
        }
    if snapshots is not None:
        plain |= {
            "tocsin_snapshot_seq": snapshots.seq,
            "tocsin_snapshot_age_seconds": snapshots.age_s,
            "tocsin_snapshot_bytes": snapshots.bytes,
            "tocsin_snapshot_pause_seconds": snapshots.pause_ms / 1e3,
            "tocsin_snapshots": snapshots.taken,
            "tocsin_snapshots_failed": snapshots.failed,
        }
    if history is not None:
        plain |= {
            "tocsin_history_through_seq": history.through,
            "tocsin_history_segments": history.segments,
            "tocsin_history_files": history.files,
            "tocsin_history_rows": history.rows,
            "tocsin_history_behind_segments": history.behind,
        }
    return plain


def page() -> str:
    """Return the table as it stands in ``docs/metrics.md``."""
    lines = ["| name | kind | unit | labels | meaning |", "|---|---|---|---|---|"]
    for name, row in METRICS.items():
        shown = f"{name}_total" if row.kind is C else name
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{shown}` | {row.kind.value} | {row.unit} | {labels} | {row.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
