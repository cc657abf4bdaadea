"""Compactor: who writes a segment's files for the history, at the pace that the caller allows.

A server does it in a process of its own, whatever it computes there: the interpreter of those who answer is held by
nobody else, its memory goes back to the system, and where it dies it dies alone. The one who asks stops it
(SIGSTOP) while others need the processor, and kills it where the work is void: what it wrote counts only once the
manifest says so.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import msgspec

from tocsin.errors import Retryable
from tocsin.ledger.compacting import IDLE, USUAL, Answer, Task
from tocsin.ledger.helper import how_it_ended, pipes, started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tocsin.ledger.files import File, Files
    from tocsin.ledger.keep import Keep
    from tocsin.ledger.shelf import Closed

LOOK_S = 0.05
"""How often it is asked how to go on: so long it may run on when others need the processor."""
LINGERS_S = 10.0
"""So long a child waits for the next segment: to start one costs as much as a small segment."""
_ENDS_S = 1.0
"""So long the end of a killed child is waited for: where the processor is busy the idle one is slow to die, too."""
_READ = 1 << 16
_ALONE = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Pace(Enum):
    """How a writer is to go on."""

    RUN = 1
    WAIT = 2
    END = 3
    """Leave it: the work is void."""


class Writer(Protocol):
    """Writes closed segments as files of the history, one at a time."""

    def write(self, segment: Closed, keep: Keep, *, whole: bool, pace: Callable[[], Pace]) -> list[File] | None:
        """Return a segment's files, durable; None where ``pace`` said END before they were.

        ``whole``: all that is kept, else only what is kept longer, which others wait for. OSError where the disk
        refuses, Misconfigured where the segment is damaged, Retryable where the writer died.
        """
        ...

    def rest(self) -> None:
        """Take note that nothing is to be written just now: what it holds for the next segment may go."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class WriterHere:
    """Writes in this process."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def write(self, segment: Closed, keep: Keep, *, whole: bool, pace: Callable[[], Pace]) -> list[File] | None:
        """Write, as ``Writer`` says."""
        from tocsin.ledger.compaction import compacted

        def pause() -> None:
            while (told := pace()) is Pace.WAIT:
                time.sleep(LOOK_S)
            if told is Pace.END:
                raise _Void

        try:
            return compacted(segment, keep.ever if whole else keep.longer, self._files, pause)
        except _Void:
            return None

    def rest(self) -> None:
        """Do nothing: it holds nothing."""

    def close(self) -> None:
        """Do nothing: it holds nothing."""


class _Void(Exception):
    """The work was made void."""


class WriterProcess:
    """Writes in a child process that lives as long as there is work, and some seconds more; for one thread.

    The child runs where nobody else wants the processor (SCHED_IDLE, else nice 19), but at the usual priority for what
    is not ``whole``: the bound of the journal waits for that. It has none of this process's files, sockets, locks and
    settings. It ends with this process, also where that is killed, and with the thread that first wrote.
    """

    def __init__(self, folder: Path, *, lingers_s: float = LINGERS_S) -> None:
        self._folder = folder.absolute()
        self._lingers_s = lingers_s
        self._worked = 0.0
        self._child: subprocess.Popen[bytes] | None = None
        self._priority = ""
        self._stopped = False
        self._dying: list[subprocess.Popen[bytes]] = []
        """Killed, and slow to end; the next child does not write before they have ended."""

    @property
    def process(self) -> int:
        """The id of the child; 0 where there is none."""
        return self._child.pid if self._child is not None else 0

    def write(self, segment: Closed, keep: Keep, *, whole: bool, pace: Callable[[], Pace]) -> list[File] | None:
        """Write, as ``Writer`` says."""
        if pace() is Pace.END:
            return None
        task = Task(
            folder=str(self._folder),
            path=str(segment.path.absolute()),
            first=segment.first,
            last=segment.last,
            size=segment.size,
            keep=keep,
            whole=whole,
        )
        try:
            said = self._asked(self._started(IDLE if whole else USUAL), task, pace)
        except BaseException:
            self._kill()
            raise
        if said is None:
            self._kill()
            return None
        self._worked = time.monotonic()
        return said.taken()

    def rest(self) -> None:
        """Let the child end where it has had nothing to do for a while."""
        if time.monotonic() - self._worked >= self._lingers_s:
            self.close()

    def close(self) -> None:
        """End the child, which gives its memory back: it has nothing to finish."""
        self._kill()

    def _started(self, priority: str) -> subprocess.Popen[bytes]:
        if self._child is not None and self._priority != priority:
            self.close()
        if self._child is None:
            self._child = started("tocsin.ledger.compacting", priority, settings=_ALONE)
            self._priority, self._stopped = priority, False
        return self._child

    def _asked(self, child: subprocess.Popen[bytes], task: Task, pace: Callable[[], Pace]) -> Answer | None:
        """Return what the child answers, None where it is to end before."""
        given, heard = (pipe.fileno() for pipe in pipes(child))
        try:
            os.write(given, msgspec.json.encode(task) + b"\n")
        except BrokenPipeError:
            raise self._died(child) from None
        said, poll = b"", select.poll()
        poll.register(heard, select.POLLIN)
        while not said.endswith(b"\n"):
            told = pace()
            if told is Pace.END:
                return None
            self._let(child, told is Pace.RUN)
            if poll.poll(1e3 * LOOK_S):
                part = os.read(heard, _READ)
                if not part:
                    raise self._died(child)
                said += part
        return msgspec.json.decode(said, type=Answer)

    def _let(self, child: subprocess.Popen[bytes], run: bool) -> None:
        if run is self._stopped:
            child.send_signal(signal.SIGCONT if run else signal.SIGSTOP)
            self._stopped = not run

    def _died(self, child: subprocess.Popen[bytes]) -> Retryable:
        ended = how_it_ended(child)
        return Retryable(
            f"history: the process that writes it {ended}; it needs half a GB of memory and is tried again"
        )

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in pipes(child):
            pipe.close()
        child.kill()
        self._dying = [one for one in (*self._dying, child) if not _ended(one)]


def _ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(_ENDS_S)
    except subprocess.TimeoutExpired:
        return False
    return True
