"""The process that writes the history: ``python -m tocsin.ledger.compacting PARENT PRIORITY``.

It says when it is ready, takes one task a line from standard input and answers each with a line: the files that it
wrote, durable, or why it could not. It writes no manifest, so nothing of what it does counts before its parent says so.
It needs no key: sealed values do not enter the history.

It ends with its input, and with the process PARENT whatever ends that. PRIORITY is ``idle`` (it runs where nobody
else wants to) or ``usual``.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.disk import Disk
from tocsin.ledger.files import File, Files, alone
from tocsin.ledger.helper import bound
from tocsin.ledger.keep import Keep
from tocsin.ledger.shelf import Closed

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE, USUAL = "idle", "usual"
_NICE = 19


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One closed segment to write to ``folder``: what is kept at all (``whole``), or only what is kept longer."""

    folder: str
    path: str
    first: int
    last: int
    size: int
    keep: Keep
    whole: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task: ``files``, or the error ``kind`` (``disk``, ``retry``, ``stop``) with its text."""

    files: list[File] = []
    kind: str = ""
    text: str = ""
    number: int = 0
    """Errno, of the kind ``disk``."""
    path: str | None = None

    @classmethod
    def of(cls, error: OSError | Retryable | Misconfigured) -> Answer:
        """Return the answer that brings an error to the parent."""
        if isinstance(error, OSError):
            path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
            return cls(kind="disk", text=error.strerror or str(error), number=error.errno or 0, path=path)
        return cls(kind="retry" if isinstance(error, Retryable) else "stop", text=str(error))

    def taken(self) -> list[File]:
        """Return the files, or raise the error that it brings."""
        if not self.kind:
            return self.files
        if self.kind == "disk":
            raise OSError(self.number, self.text, self.path)
        raise Retryable(self.text) if self.kind == "retry" else Misconfigured(self.text)


def main() -> None:
    """Do task after task."""
    together, answers = bound(int(sys.argv[1]))
    priority = sys.argv[2]
    if priority == IDLE:
        _step_back()
    # Events by the thousand, none in a circle: the collector would look at all of them for nothing.
    gc.disable()
    for line in sys.stdin.buffer:
        answer = _done(msgspec.json.decode(line, type=Task), together)
        gc.collect()
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()


def _step_back() -> None:
    os.nice(_NICE)
    if hasattr(os, "SCHED_IDLE"):
        # A container may refuse it; the lowest of the usual priorities is nearly the same.
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _done(task: Task, pause: Callable[[], None]) -> Answer:
    # Polars: only now, at the priority that was set.
    from tocsin.ledger.compaction import compacted

    disk, segment = Disk(), Closed(Path(task.path), task.first, task.last, task.size)
    files = Files(Path(task.folder), disk)
    wanted = task.keep.ever if task.whole else task.keep.longer
    try:
        files.make(files.folder)
        with alone(files.folder):
            # What one that was killed before us left behind, which may have been slow to die.
            files.sweep((), f"{task.first:020d}-{task.last:020d}")
            answer = Answer(files=compacted(segment, wanted, files, pause))
        _forget_pages(segment.path, disk)
    except (OSError, Retryable, Misconfigured) as error:
        return Answer.of(error)
    return answer


def _forget_pages(path: Path, disk: Disk) -> None:
    """Let the page cache go of a segment: it is read once."""
    file = disk.open(path, os.O_RDONLY)
    try:
        disk.drop_pages(file)
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
