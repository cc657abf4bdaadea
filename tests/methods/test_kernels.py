"""Compiled loops are kept by the hash of all their sources: no upgrade runs an old one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin.methods.kernels import cache_folder, compiled, sweep

HERE = """
from pathlib import Path
from tocsin.methods.kernels import compiled
import inner
def outer(x):
    return inner.twice(x)
print(compiled(outer, Path(__file__).parent, cache=True)(21))
"""


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    cache_folder.cache_clear()


def folder_of(sources: Path) -> Path:
    cache_folder.cache_clear()
    return cache_folder(sources)


def test_the_folder_follows_the_sources(tmp_path: Path) -> None:
    """Any source beside a kernel may be what it calls; other files are not asked."""
    (tmp_path / "a.py").write_text("x = 1")
    first = folder_of(tmp_path)
    assert first.parent == tmp_path / "__pycache__"
    (tmp_path / "notes.txt").write_text("x = 2")
    assert folder_of(tmp_path) == first
    (tmp_path / "b.py").write_text("x = 2")
    second = folder_of(tmp_path)
    assert second != first
    (tmp_path / "b.py").unlink()
    assert folder_of(tmp_path) == first


def test_the_environment_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NUMBA_CACHE_DIR holds; the name says the sources all the same."""
    own = folder_of(tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert folder_of(tmp_path) == tmp_path / "cache" / own.name


def test_sources_that_cannot_be_written_to_are_cached_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that belongs to root still has its kernels compiled once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert folder_of(tmp_path).parent == tmp_path / "home" / "tocsin" / tmp_path.name


def test_a_sweep_leaves_the_kernels_of_these_sources_alone(tmp_path: Path) -> None:
    """Earlier ones go, and nothing else in the folder."""
    (tmp_path / "a.py").write_text("x = 1")
    kept = folder_of(tmp_path)
    for name in (kept.name, "kernels-0123", "kernels-4567", "a.cpython-311.pyc"):
        (kept.parent / name).mkdir(parents=True)
    assert sweep(tmp_path) == 2
    assert sorted(path.name for path in kept.parent.iterdir()) == sorted(["a.cpython-311.pyc", kept.name])
    assert sweep(tmp_path) == 0


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not there")
def test_a_change_of_an_inner_function_is_not_run_from_the_old_cache(tmp_path: Path) -> None:
    """What numba's own cache would miss: the outer file is the same, what it calls is not."""
    (tmp_path / "outer.py").write_text(HERE)
    inner = "import numba\n@numba.njit\ndef twice(x):\n    return {} * x\n"
    found = []
    for factor in (2, 3):
        (tmp_path / "inner.py").write_text(inner.format(factor))
        run = [sys.executable, "-B", str(tmp_path / "outer.py")]
        found.append(subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip())
    assert found == ["42", "63"]
    assert len(list((tmp_path / "__pycache__").glob("kernels-*"))) == 2


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not there")
def test_compiling_leaves_the_settings_of_others_alone(tmp_path: Path) -> None:
    """The folder is named for one kernel, not for all that the process compiles."""
    import numba

    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    compiled(lambda x: x, tmp_path)
    assert numba.config.CACHE_DIR == before  # type: ignore[attr-defined]
