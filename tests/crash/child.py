"""The server that the crash suite kills: the real one, with a disk and an actuator that pull the plug at a set place.

``python child.py FOLDER PORT HOW [WHAT AT]``. HOW is ``copy`` or ``fork``: how snapshots are written. WHAT is ``write``
(after so many bytes of the journal), ``before-sync`` and ``after-sync`` (the n-th fdatasync: after it the event is on
disk and not yet acknowledged), ``before-act`` and ``after-act`` (the n-th call of the actuator: after it the world has
changed and the receipt is not yet recorded), ``snapshot-write`` (bytes of snapshots), ``snapshot-sync`` (between saving
one and putting it in place), ``publish`` (it is in place, the older ones are not yet gone), ``folder`` (the journal has
a new segment, or one has gone).

Snapshots are taken every few hundred events and segments are small, so that the journal is recycled on the way.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tocsin.app import build
from tocsin.config import load
from tocsin.core.action import VERBS, Action, Receipt
from tocsin.core.records import Limit
from tocsin.ledger import retention
from tocsin.ledger.disk import Disk
from tocsin.runtime import hoststate, snapshotting
from tocsin.runtime.clock import DataClock
from tocsin.server.main import serve

KINDS = (
    *("write", "before-sync", "after-sync", "before-act", "after-act"),
    *("snapshot-write", "snapshot-sync", "publish", "folder"),
)
SETTINGS = {
    "automation": "auto",
    "verdict_mode": "live",
    "snapshot_events": 400,
    "segment_bytes": 400_000,
    "journal_bytes": 1_500_000,
    "journal_keep_days": "1,*=400",
}


class Plug:
    """Pulls itself at the set place."""

    def __init__(self, what: str, at: int) -> None:
        self.what = what
        self.at = at
        self.server = os.getpid()
        # Shared with the children that write snapshots.
        self._counts = np.frombuffer(mmap.mmap(-1, 4096), np.int64)

    @property
    def counts(self) -> dict[str, int]:
        """How far each kind went."""
        return dict(zip(KINDS, self._counts.tolist(), strict=False))

    def passed(self, what: str, by: int = 1) -> int:
        """Count; return how many bytes may still be written before the end (for bytes), -1 where it goes on."""
        place = KINDS.index(what)
        before = int(self._counts[place])
        self._counts[place] += by
        if what == self.what and before + by >= self.at:
            return self.at - before
        return -1

    def step(self, what: str) -> None:
        """Count, and die where it is the place."""
        if self.passed(what) >= 0:
            self.pull()

    def pull(self) -> None:
        """Die at once, as by a power cut of the process."""
        os.kill(self.server, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class PlugDisk(Disk):
    """The real disk, until the plug is pulled."""

    def __init__(self, plug: Plug) -> None:
        self.plug = plug
        self._snapshots: set[int] = set()

    def open(self, path: Path, flags: int) -> int:
        # A part of a write that goes past the page cache is refused: here it must be possible to die within one.
        file = super().open(path, flags & ~os.O_DIRECT)
        (self._snapshots.add if path.parent.name == "snapshots" else self._snapshots.discard)(file)
        return file

    def write_at(self, file: int, buffers: Sequence[memoryview], offset: int) -> int:
        data = b"".join(buffers)
        left = self.plug.passed("snapshot-write" if file in self._snapshots else "write", len(data))
        if left >= 0:
            os.pwrite(file, data[:left], offset)
            self.plug.pull()
        return super().write_at(file, [memoryview(data)], offset)

    def fdatasync(self, file: int) -> None:
        if file in self._snapshots:
            super().fdatasync(file)
            self.plug.step("snapshot-sync")
            return
        self.plug.step("before-sync")
        super().fdatasync(file)
        self.plug.step("after-sync")

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.plug.step("publish" if folder.name == "snapshots" else "folder")


class World:
    """An actuator whose effects outlive the process: a file, one line each; a repeated id changes nothing."""

    name = "world"
    verbs = frozenset(VERBS)

    def __init__(self, folder: Path, plug: Plug) -> None:
        self._file = folder / "effects"
        self._plug = plug

    def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
        return self._once(f"{action.id} do {action.verb} {action.target}")

    def undo(self, action: Action) -> Receipt:
        return self._once(f"{action.id} undo {action.verb} {action.target}")

    def _once(self, line: str) -> Receipt:
        self._plug.step("before-act")
        known = self._file.read_text().splitlines() if self._file.exists() else []
        if line not in known:
            with self._file.open("a") as file:
                file.write(line + "\n")
        self._plug.step("after-act")
        return Receipt(ok=True, ref=line)


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    plug = Plug(sys.argv[4], int(sys.argv[5])) if len(sys.argv) > 4 else Plug("", 0)
    snapshotting.SMALL_BYTES = 0 if sys.argv[3] == "fork" else 1 << 40
    hoststate.PIECE_ROWS = 500
    retention.EVERY_S = 0.02
    settings = load({"data_dir": str(folder), "port": port, **SETTINGS}, {})
    world = World(folder, plug)
    tocsin = build(settings, clock=DataClock(), actuators=[world], disk=PlugDisk(plug))
    for playbook in tocsin.playbooks():
        key = f"playbook:{playbook.name}"
        if tocsin.records.table(Limit).get(f"automation/{key}") is None:
            tocsin.records.table(Limit).put(Limit(id=f"automation/{key}", kind="automation", key=key, word="auto"))
    tocsin.start()
    try:
        serve(tocsin, settings.host, settings.port)
    finally:
        tocsin.stop()
    (folder / "counts").write_text(" ".join(f"{name}={count}" for name, count in plug.counts.items()))


if __name__ == "__main__":
    main()
