"""What the doctor says of the data plane: of a running server over HTTP, of a stopped one from its folder."""

from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING

import httpx
import msgspec

from tocsin.flow.wide.jit import AVAILABLE, SOURCES
from tocsin.ledger.segments import SUFFIX
from tocsin.ledger.snapshots import SnapshotStore
from tocsin.methods.kernels import cache_folder
from tocsin.server.advice import advise
from tocsin.server.advice_room import disk_small
from tocsin.server.measured import PlaneView, Thread, Weight

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.config import Settings
    from tocsin.server.measured import Advice

FINE, NOTE, BAD = "ok", "note", "BAD"
METHODS = SOURCES.parents[1] / "methods"
LOOK_S = 2.0
"""Shares and rates are of at least so long a time."""
KEY_FILE = "doctor-key"
_KERNEL = re.compile(r"^@kernel\ndef (\w+)", re.MULTILINE)


class Finding(msgspec.Struct, frozen=True):
    """One line: how it is, what was looked at, and what to do where it is not fine."""

    state: str
    what: str
    hint: str = ""


# The installation -----------------------------------------------------------------------------------------------


def kernels() -> Iterator[Finding]:
    """Say whether a start has kernels to compile."""
    if not AVAILABLE:
        yield Finding(
            NOTE,
            "the plain plane computes: numba is not installed, or TOCSIN_PLAIN is set",
            "the values are the same, dozens of times slower; install numba and unset TOCSIN_PLAIN",
        )
        return
    missing = [name for sources in (SOURCES, METHODS) for name in uncompiled(sources)]
    yield Finding(
        NOTE if missing else FINE,
        f"{len(missing)} kernels of the data plane are not compiled" if missing else "kernels are compiled",
        "run: tocsin warm (minutes, once); else the first events wait for the compiler",
    )


def uncompiled(sources: Path) -> list[str]:
    """Return the kernels of a folder of sources that the compiler has not kept, as ``module.function``."""
    kept = {path.name.partition("-")[0] for path in cache_folder(sources).rglob("*.nbi")}
    names = [f"{path.stem}.{name}" for path in sources.glob("*.py") for name in _KERNEL.findall(path.read_text())]
    return sorted(name for name in names if name not in kept)


# A running server -----------------------------------------------------------------------------------------------


def running(settings: Settings, key: str) -> Iterator[Finding]:
    """Look at the server on the configured port for a moment, and say what it says of itself."""
    address = f"http://{settings.host}:{settings.port}"
    for folder, token in _keys(settings, key):
        view = _look(address, token)
        if view is not None:
            yield Finding(FINE, f"server answers at {address}" + (f", data in {folder}" if folder else ""))
            yield from told(view, settings.language)
            return
    yield Finding(
        NOTE,
        f"what listens at {address} lets nobody look",
        "name the data folder of that server with --data-dir, or pass a key with the scope read: "
        "tocsin key make doctor --scope read",
    )


def told(view: PlaneView, language: str) -> Iterator[Finding]:
    """Say what a plane looks like: its stages, then advice."""
    for stage in view.stages:
        busy = "" if stage.thread is Thread.CALLER else f"{100 * stage.share:5.1f} % of the {stage.thread.value} thread"
        if stage.p50_ms:
            yield Finding(
                FINE,
                f"stage {stage.name:<8} {stage.rows_per_s:>12,.0f} rows/s {stage.us_per_row:>10.3g} us a row   p50 "
                f"{stage.p50_ms:.3g} ms, p99 {stage.p99_ms:.3g} ms   {busy}".rstrip(),
            )
    advice = advise(view)
    yield from (_advised(one, language) for one in advice)
    if not advice:
        yield Finding(FINE, f"data plane: nothing is slow ({view.flow.accepted_per_s:,.0f} events/s just now)")


def _advised(advice: Advice, language: str) -> Finding:
    state = NOTE if advice.weight is Weight.HINT else BAD
    return Finding(state, f"{advice.code}: {advice.text.zh if language == 'zh' else advice.text.en}")


def _look(address: str, token: str) -> PlaneView | None:
    """Return a look at the last moments, None where this key may not."""
    with httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"}, timeout=10) as http:
        try:
            while True:
                answer = http.get("/v1/plane")
                if answer.status_code != httpx.codes.OK:
                    return None
                view = msgspec.json.decode(answer.content, type=PlaneView)
                # Where nobody looked lately, the first look is of all the time since then.
                if view.over_s <= 60.0 + LOOK_S and view.over_s >= LOOK_S:
                    return view
                time.sleep(LOOK_S)
        except (httpx.HTTPError, msgspec.MsgspecError):
            return None


def _keys(settings: Settings, key: str) -> Iterator[tuple[Path | None, str]]:
    """Yield keys to try: the given one, else that of the folder, and that of the demo's folder in it."""
    if key:
        yield None, key
        return
    for folder in (settings.folder, settings.folder / "demo"):
        if (folder / "records.sqlite").exists():
            yield folder, _own_key(folder, settings.shop)


def _own_key(folder: Path, shop: str) -> str:
    """Return the doctor's key of an installation, made where it has none: who owns the folder may look."""
    from tocsin.ledger.records import SqlRecords
    from tocsin.runtime.clock import SystemClock
    from tocsin.server.accounts import Accounts

    file = folder / KEY_FILE
    records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
    try:
        accounts = Accounts(records, SystemClock().now)
        if file.exists() and accounts.key(file.read_text()) is not None:
            return file.read_text()
        token, _ = accounts.make_key("doctor", ("read",), shop=shop, who="doctor")
    finally:
        records.close()
    file.touch(mode=0o600)
    file.write_text(token)
    return token


# A stopped one --------------------------------------------------------------------------------------------------


def stored(settings: Settings) -> Iterator[Finding]:
    """Say what the folder tells: the journal, snapshots, and whether the disk can take what may still come."""
    folder = settings.folder
    sizes = [path.stat().st_size for path in (folder / "journal").glob(f"*{SUFFIX}")]
    if not sizes:
        return
    written, snapshots = sum(sizes), SnapshotStore(folder / "snapshots")
    yield Finding(
        FINE, f"journal: {written / 1e9:.3g} GB in {len(sizes)} segments, bound {settings.journal_bytes / 1e9:.3g} GB"
    )
    latest, state = snapshots.latest(), 0
    if latest is not None:
        seq, at = latest
        state = snapshots.bytes()
        yield Finding(
            FINE, f"snapshot up to event {seq}, {state / 1e6:.3g} MB, {(time.time() - at) / 3600:.1f} hours old"
        )
    elif AVAILABLE and written > settings.journal_bytes:
        yield Finding(
            BAD,
            "no snapshot, and the journal is over its bound",
            "nothing can be given back, and a start folds all of it: start the server and look at its log",
        )
    else:
        yield Finding(NOTE, "no snapshot yet", "a start folds the whole journal; one is written at the next stop")
    free = shutil.disk_usage(folder).free
    yield from (_advised(one, settings.language) for one in disk_small(free, written, settings.journal_bytes, state))
