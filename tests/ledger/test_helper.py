"""Helpers: a child that cannot work is noticed at its first task, and none works for anybody but its parent."""

from __future__ import annotations

import subprocess
import sys

from tocsin.ledger.helper import READY, how_it_ended, pipes, started


def test_a_helper_that_does_not_come_up_is_told_with_its_end() -> None:
    """Whoever starts it does not wait for it, and hears how it ended."""
    child = started("tocsin.nowhere")
    for pipe in pipes(child):
        pipe.close()
    assert how_it_ended(child) == "ended with 1, see the log"


def test_a_helper_of_somebody_else_ends_before_it_is_ready() -> None:
    """Its parent may have died between its start and its first word: then it belongs to another process."""
    command = [sys.executable, "-P", "-m", "tocsin.ledger.recording", "1"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")


def test_what_a_helper_prints_is_for_the_log() -> None:
    """Its answers alone reach the parent, behind the byte that says it is ready."""
    script = """
import os, sys
from tocsin.ledger.helper import bound
together, answers = bound(os.getppid())
together()
print("a library's word", flush=True)
answers.write(b"answer")
answers.flush()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stdout == READY + b"answer"
    assert b"a library's word" in done.stderr
