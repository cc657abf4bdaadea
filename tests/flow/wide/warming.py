"""Which kernels a module compiles late: asked of a fresh process, since this one has compiled all by now."""

from __future__ import annotations

import subprocess
import sys

ASK = """
import importlib, sys
name = sys.argv[1]
kernels = importlib.import_module(f"tocsin.flow.wide.{name}_kernels")
importlib.import_module(f"tocsin.flow.wide.{name}").warm()
here = {key: one for key, one in vars(kernels).items() if hasattr(one, "signatures")}
own = {key: one for key, one in here.items() if one.__module__ == kernels.__name__}
inner = set(sys.argv[2:])
print(*(key for key, one in own.items() if not one.signatures and key not in inner))
"""


def compiled_late(name: str, inner: set[str]) -> set[str]:
    """Return the kernels of ``flow.wide.<name>_kernels`` that ``warm()`` leaves out; ``inner`` run inside others."""
    done = subprocess.run([sys.executable, "-c", ASK, name, *inner], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
