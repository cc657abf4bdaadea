"""The server under measurement: nothing that it does is left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.http_host import TICK, _cpu_s

BURN = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass\n"
PARENT = f"""
import subprocess, sys
burn = {BURN!r}
subprocess.run([sys.executable, "-c", burn], check=True)
child = subprocess.Popen(
    [sys.executable, "-c", "import sys\\n" + burn + "print(flush=True)\\nsys.stdin.read()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
child.stdout.readline()
print(flush=True)
sys.stdin.read()
"""


def test_the_processor_time_of_children_counts_while_they_run_and_after() -> None:
    """A child that has ended and one that still runs, each of which burnt 0.3 s."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdout.readline()
        fields = Path(f"/proc/{parent.pid}/stat").read_text().rpartition(")")[2].split()
        own = (int(fields[11]) + int(fields[12])) / TICK
        assert _cpu_s(parent.pid)[0] - own >= 0.58
        assert _cpu_s(os.getpid())[0] >= _cpu_s(parent.pid)[0]
        parent.stdin.close()
