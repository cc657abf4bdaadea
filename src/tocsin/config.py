"""Settings: one table, read once at the door of the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from tocsin.errors import Misconfigured


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings with their units and defaults; environment variables are ``TOCSIN_`` + the name in capitals."""

    data_dir: str = "data"
    """Folder of journal, records and keys."""
    host: str = "127.0.0.1"
    port: int = 8700
    shop: str = "default"
    """The shop that events without a ``shop`` attribute belong to."""
    currency: str = "CNY"
    """Currency of money totals of the shop."""
    language: str = ""
    """Of a person who has chosen none: ``en``, ``zh``, or empty for that of the browser."""
    max_event_bytes: int = 1_000_000
    max_request_bytes: int = 16_000_000
    queue_events: int = 262_144
    """Accepted but not yet folded events; beyond it the intake answers 429."""
    batch_events: int = 1024
    """Largest batch of one fold."""
    log_events: int = 32_000_000
    """How many events the exact windows reach back at most; beyond it their span shrinks, which is told."""
    remembered_ids: int = 64_000_000
    """How many event identities are remembered at most, for 24 hours; 38 bytes each when full."""
    snapshot_minutes: float = 10.0
    """How often the state is written beside the journal: a start folds only what came after the last one."""
    snapshot_events: int = 100_000_000
    """A snapshot is taken after so many events at the latest."""
    verdict_ack: str = "disk"
    """When a verdict is answered: ``disk`` (it is durable), ``memory`` (it is folded; durable a commit later)."""
    verdict_deadline_ms: int = 100
    verdict_fallback: str = "allow"
    """Served when the deadline is missed or the journal refuses: ``allow`` (fail-open) or ``hold`` (fail-closed)."""
    verdict_mode: str = "shadow"
    """``shadow``: verdicts are computed and recorded, ``allow`` is served; ``live``: the computed verdict is served."""
    segment_bytes: int = 64_000_000
    journal_bytes: int = 16_000_000_000
    """Bound of the journal; beyond it the oldest segments go that a snapshot covers."""
    journal_keep_days: str = "30,label.given=400,tocsin.*=400,features.*=400"
    """Days that events are kept, then ``type=days`` or ``prefix*=days``; 0: never in the history."""
    history: bool = True
    """Whether closed segments are taken into the Parquet history whole; else only types that are kept longer are."""
    dead_letters: int = 10_000
    """How many refused events are kept."""
    automation: str = "suggest"
    """Ceiling for every playbook: ``suggest``, ``approve`` or ``auto``."""
    session_hours: int = 12
    webhook_url: str = ""
    webhook_secret: str = ""
    demo_url: str = ""
    """Base address of the demo store's actuator door; set by ``tocsin up --demo``."""
    trusted_hosts: str = "127.0.0.1,localhost,[::1]"

    @property
    def folder(self) -> Path:
        """``data_dir`` as a path."""
        return Path(self.data_dir)


def load(overrides: dict[str, Any] | None = None, environ: dict[str, str] | None = None) -> Settings:
    """Return the settings: defaults, then ``TOCSIN_*`` variables, then ``overrides``; Misconfigured names a bad one."""
    environ = dict(os.environ) if environ is None else environ
    values: dict[str, Any] = {}
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    for name in known:
        variable = f"TOCSIN_{name.upper()}"
        if variable in environ:
            values[name] = environ[variable]
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"settings: {error}; variables are TOCSIN_ + name, see docs/settings.md") from error
    choices = {
        "language": ("", "en", "zh"),
        "verdict_fallback": ("allow", "hold"),
        "verdict_ack": ("disk", "memory"),
        "verdict_mode": ("shadow", "live"),
        "automation": ("suggest", "approve", "auto"),
    }
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise Misconfigured(
                f"settings: {name} is {getattr(settings, name)!r}; it must be one of {', '.join(allowed)}"
            )
    return settings
