"""Helpers: child processes that take work off this one, with nothing of it but what they are handed.

A helper has none of this process's files, sockets, locks and settings, which may hold secrets. It ends with this
process, also where that is killed, and with the thread that started it; a terminal's interrupt does not reach it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READY = b"\n"
"""The first byte that a helper says: from now on it ends with its parent."""
_PR_SET_PDEATHSIG = 1


def started(module: str, *words: str, settings: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start ``python -m MODULE PARENT WORDS...``; returns when it is ready, or has ended before that.

    ``settings`` are further environment variables.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    # Not from the working folder (-P), and in a group of its own: the parent knows what to do at an interrupt.
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(os.getpid()), *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**kept, **(settings or {})}, process_group=0,
    )  # fmt: skip
    # Where it has ended, whoever gives it work hears so. Stopped or given work before, it could outlive this process.
    os.read(pipes(child)[1].fileno(), 1)
    return child


def pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return what the child reads, and what it says."""
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("a child without its pipes")
    return child.stdin, child.stdout


def how_it_ended(child: subprocess.Popen[bytes]) -> str:
    """Wait for the end of a child that says nothing more; return how it came about, for people."""
    code = child.wait()
    return f"was ended by signal {-code}" if code < 0 else f"ended with {code}, see the log"


def bound(parent: int) -> tuple[Callable[[], None], IO[bytes]]:
    """In the helper: bind it to its parent and say so; return a check of that bond, and what its answers go to."""

    def together() -> None:
        # Where the system sends no signal at the parent's end, that end shows in whose child this is.
        if os.getppid() != parent:
            os._exit(1)

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    together()
    # Answers alone go to the parent: whatever a library prints is for the log.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(READY)
    answers.flush()
    return together, answers
