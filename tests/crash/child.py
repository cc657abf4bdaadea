"""The server that the crash suite kills: the real one, with a disk and an actuator that pull the plug at a set place.

``python child.py FOLDER PORT [WHAT AT]``. WHAT is ``write`` (after so many bytes of the journal), ``before-sync`` and
``after-sync`` (the n-th fdatasync: after it the event is on disk and not yet acknowledged), ``before-act`` and
``after-act`` (the n-th call of the actuator: after it the world has changed and the receipt is not yet recorded).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tocsin.app import build
from tocsin.config import load
from tocsin.core.action import VERBS, Action, Receipt
from tocsin.core.records import Limit
from tocsin.ledger.disk import Disk
from tocsin.runtime.clock import DataClock
from tocsin.server.main import serve

KEY = "tcs_crash-suite"


class Plug:
    """Pulls itself at the set place."""

    def __init__(self, what: str, at: int) -> None:
        self.what = what
        self.at = at
        self.counts: dict[str, int] = {}

    def passed(self, what: str, by: int = 1) -> int:
        """Count; return how many bytes may still be written before the end (for ``write``)."""
        before = self.counts.get(what, 0)
        self.counts[what] = before + by
        if what == self.what and before + by >= self.at:
            return self.at - before
        return -1

    def pull(self) -> None:
        """Die at once, as by a power cut of the process."""
        os.kill(os.getpid(), signal.SIGKILL)


class PlugDisk(Disk):
    """The real disk, until the plug is pulled."""

    def __init__(self, plug: Plug) -> None:
        self.plug = plug

    def write_at(self, file: int, buffers: Sequence[memoryview], offset: int) -> int:
        data = b"".join(buffers)
        left = self.plug.passed("write", len(data))
        if left >= 0:
            os.pwrite(file, data[:left], offset)
            self.plug.pull()
        return super().write_at(file, [memoryview(data)], offset)

    def fdatasync(self, file: int) -> None:
        if self.plug.passed("before-sync") >= 0:
            self.plug.pull()
        super().fdatasync(file)
        if self.plug.passed("after-sync") >= 0:
            self.plug.pull()


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
        if self._plug.passed("before-act") >= 0:
            self._plug.pull()
        known = self._file.read_text().splitlines() if self._file.exists() else []
        if line not in known:
            with self._file.open("a") as file:
                file.write(line + "\n")
        if self._plug.passed("after-act") >= 0:
            self._plug.pull()
        return Receipt(ok=True, ref=line)


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    plug = Plug(sys.argv[3], int(sys.argv[4])) if len(sys.argv) > 3 else Plug("", 0)
    settings = load({"data_dir": str(folder), "port": port, "automation": "auto", "verdict_mode": "live"}, {})
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
