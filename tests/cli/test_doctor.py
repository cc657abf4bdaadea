"""``tocsin doctor``: what is slow on a running server, what a stopped one's folder tells, what is not compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from click.testing import CliRunner
from tests.server.conftest import Site, serving

from tocsin.cli import doctor_plane
from tocsin.cli.doctor import command
from tocsin.cli.doctor_plane import KEY_FILE, uncompiled
from tocsin.config import load
from tocsin.methods.kernels import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_plane, "LOOK_S", 0.05)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Site]:
    with serving(load({"shop": "shop", "data_dir": str(tmp_path / "data")}, {})) as site:
        yield site


def post(site: Site) -> None:
    """Send three events."""
    body = b"\n".join(msgspec.json.encode(site.payment()) for _ in range(3))
    with site.machine() as http:
        answer = http.post("/v1/events", content=body, headers={"content-type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 3, answer.text


def doctor(site: Site, *more: str) -> tuple[int, str]:
    arguments = ["--data-dir", site.tocsin.settings.data_dir, "--port", site.url.rpartition(":")[2], *more]
    done = CliRunner().invoke(command, arguments)
    return done.exit_code, done.output


def test_a_running_server_is_asked_with_the_folders_own_key(house: Site, at_once: None) -> None:
    """Who owns the folder may look: the key is made once, for reading alone, and closed to others."""
    post(house)
    _, said = doctor(house)
    assert "server answers at" in said
    assert "stage fold" in said
    file = house.tocsin.settings.folder / KEY_FILE
    token = file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    key = house.web.accounts.key(token)
    assert key is not None and key.scopes == ("read",)
    doctor(house)
    assert file.read_text() == token


def test_what_is_wrong_is_said_with_what_to_do(house: Site, at_once: None) -> None:
    """A desk that is left out is an alarm: exit 1, and the sentence of the API."""
    house.tocsin.host.faults["desk:till"] = "ZeroDivisionError"
    code, said = doctor(house)
    assert code == 1
    assert "BAD  desk-left-out: The desk till is left out since it failed: ZeroDivisionError" in said


def test_a_key_that_may_not_look_is_told_so(house: Site, at_once: None) -> None:
    """It says how to get one that may, and goes on with the folder."""
    code, said = doctor(house, "--key", house.key("events"))
    assert "lets nobody look" in said
    assert "tocsin key make doctor --scope read" in said
    assert "journal:" not in said or "segments, bound" in said
    assert code in (0, 1)


def test_a_stopped_one_is_read_from_its_folder(tmp_path: Path) -> None:
    """Journal, snapshot and disk are told without a server; a bound beyond the disk is named."""
    with serving(load({"shop": "shop", "data_dir": str(tmp_path / "data")}, {})) as site:
        post(site)
        site.tocsin.host.settle().result(10)
        if site.tocsin.host.snapshots is not None:
            site.tocsin.host.snapshots.take().join()
    runner = CliRunner()
    arguments = ["--data-dir", str(tmp_path / "data"), "--port", "1"]
    said = runner.invoke(command, arguments).output
    assert "port 1 is free" in said
    assert "journal: " in said and "in 1 segments, bound 16 GB" in said
    if site.tocsin.fold.engine.wide:
        assert "snapshot up to event 3" in said
    said = runner.invoke(command, arguments, env={"TOCSIN_JOURNAL_BYTES": str(10**16)}).output
    assert "BAD  disk-small: The disk has" in said


def test_a_folder_that_is_not_there_yet_is_no_trouble(tmp_path: Path) -> None:
    """It is made at the first start; the doctor makes nothing."""
    said = CliRunner().invoke(command, ["--data-dir", str(tmp_path / "none"), "--port", "1"]).output
    assert "made at the first start" in said
    assert not (tmp_path / "none").exists()


def test_kernels_that_are_not_kept_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel is compiled where the cache of these very sources holds it."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "one.py").write_text("@kernel\ndef run(x):\n    return x\n\n\n@kernel\ndef warm(x):\n    return x\n")
    assert uncompiled(tmp_path) == ["one.run", "one.warm"]
    kept = cache_folder(tmp_path) / "one_1234"
    kept.mkdir(parents=True)
    (kept / "one.run-2.py311.nbi").touch()
    assert uncompiled(tmp_path) == ["one.warm"]
