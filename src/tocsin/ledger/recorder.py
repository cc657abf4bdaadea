"""Recorder: who has the verdicts written to SQLite by a process of its own.

A row costs tens of microseconds of an interpreter that those who answer callers share, and each call of the database
takes it from them. The child has its own; here a verdict is packed, and no more.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Retryable
from tocsin.ledger.helper import how_it_ended, pipes, started
from tocsin.ledger.recording import Answer, Portion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.core.records import Switch
    from tocsin.core.signal import Verdict
    from tocsin.ledger.recording import Store

AT_ONCE = 32
"""So many verdicts are packed at once, in some tens of microseconds: others want the interpreter."""
_ENDS_S = 5.0
"""So long a child that has nothing left to do is given to end by itself."""
_READ = 1 << 16
_NONE: Mapping[str, bytes] = {}


class RecorderProcess:
    """Writes verdicts by a child process that starts with the first batch; for one thread.

    A batch is in the records, whole and durable, when ``write`` returns, or not at all. Where the child dies amid one
    it is started again and gets the batch once more: to put a row twice is to put it once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._body = msgspec.json.Encoder().encode
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> int:
        """The id of the child; 0 where there is none."""
        return self._child.pid if self._child is not None else 0

    def write(self, verdicts: Sequence[Verdict], cursor: Switch | None, bodies: Mapping[str, bytes] = _NONE) -> None:
        """Put verdicts and, where it moves, the cursor; ``bodies``: the JSON of verdicts by id, where it is there.

        Retryable where the database is locked, the disk full or failing, or where there can be no child or it died
        twice; Misconfigured where the file is damaged or may not be written to.
        """
        try:
            try:
                self._write(verdicts, cursor, bodies)
            except _Died:
                self.close()
                self._write(verdicts, cursor, bodies)
        except _Died as error:
            self.close()
            raise Retryable(f"records: the process that writes them {error}") from None
        except OSError as error:
            raise Retryable(f"records: no process can be started to write them: {error.strerror}") from error

    def close(self) -> None:
        """Let the child end: it has nothing to finish."""
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in pipes(child):
            pipe.close()
        try:
            child.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _write(self, verdicts: Sequence[Verdict], cursor: Switch | None, bodies: Mapping[str, bytes]) -> None:
        child = self._child
        if child is None:
            child = self._child = started("tocsin.ledger.recording")
            self._tell(child, msgspec.json.encode(self._store) + b"\n")
        last = max(0, len(verdicts) - 1) // AT_ONCE * AT_ONCE
        for first in range(0, last + 1, AT_ONCE):
            lines = self._packed(verdicts[first : first + AT_ONCE], bodies)
            portion = Portion(len(lines), first == last, cursor if first == last else None)
            self._tell(child, b"%b\n%b" % (msgspec.json.encode(portion), lines))
        self._hear(child)

    def _packed(self, verdicts: Sequence[Verdict], bodies: Mapping[str, bytes]) -> bytes:
        """Return a line for each verdict."""
        found = [bodies.get(verdict.id) or self._body(verdict) for verdict in verdicts]
        return b"\n".join([*found, b""]) if found else b""

    def _tell(self, child: subprocess.Popen[bytes], words: bytes) -> None:
        rest, pipe = memoryview(words), pipes(child)[0].fileno()
        try:
            while rest:
                rest = rest[os.write(pipe, rest) :]
        except BrokenPipeError:
            raise _Died(how_it_ended(child)) from None

    def _hear(self, child: subprocess.Popen[bytes]) -> None:
        said, pipe = b"", pipes(child)[1].fileno()
        while not said.endswith(b"\n"):
            part = os.read(pipe, _READ)
            if not part:
                raise _Died(how_it_ended(child))
            said += part
        if said != b"\n":
            raise msgspec.json.decode(said, type=Answer).error()


class _Died(Exception):
    """The child ended before its answer; how."""
