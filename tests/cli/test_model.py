"""``tocsin model``: from labelled events to a live model and back, by named people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tocsin.cli.model import command
from tocsin.core.events import DAY
from tocsin.errors import Conflict, Misconfigured, NotFound

if TYPE_CHECKING:
    from pathlib import Path

START = 1_700_000_000_000_000


def write_events(path: Path, seed: int = 0) -> None:
    """Write 30 days of 1,500 payments of 40 cards; amounts far above the card's own are fraud, labelled a day later."""
    rng = np.random.default_rng(seed)
    usual = rng.uniform(2000, 9000, 40)
    lines = []
    for number, time in enumerate(np.sort(rng.integers(0, 30 * DAY, 1500)).tolist()):
        card, fraud = int(rng.integers(40)), bool(rng.random() < 0.06)
        amount = int(usual[card] * (rng.uniform(4, 8) if fraud else rng.uniform(0.5, 1.5)))
        data = {"amount": amount, "currency": "CNY", "card": f"c{card}", "merchant": "m", "status": "succeeded"}
        event = {"specversion": "1.0", "id": f"p{number}", "source": "t", "time": START + time, "data": data}
        lines.append({**event, "type": "payment.attempted"})
        if fraud:
            told = {"of": f"p{number}", "of_source": "t", "label": "fraud", "card": f"c{card}", "merchant": "m"}
            lines.append({**event, "id": f"l{number}", "time": START + time + DAY, "type": "label.given", "data": told})
    path.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))


def run(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A data folder with one candidate: (folder, events, version id)."""
    folder = tmp_path_factory.mktemp("model")
    events = folder / "events.ndjson"
    write_events(events)
    done = run("train", "--from", events, "--data-dir", folder / "data")
    assert done.exit_code == 0, done.output + repr(done.exception)
    version = done.output.split("candidate ")[1].split(";")[0]
    return folder, events, version


def test_training_prints_the_comparison(trained: tuple[Path, Path, str]) -> None:
    """All families beside chance and the amount, with what was learned from."""
    folder, _, version = trained
    shown = run("card", version, "--data-dir", folder / "data")
    assert shown.exit_code == 0
    for word in ("linear", "logistic", "trees", "chance", "the amount alone", "events.ndjson"):
        assert word in shown.output
    card = msgspec.json.decode(run("card", version, "--json", "--data-dir", folder / "data").output)
    assert card["frauds"] > 20


def test_a_model_goes_live_through_shadow_by_a_person_and_back(trained: tuple[Path, Path, str]) -> None:
    """Candidate to live at once is refused; shadow, then live, then rolled back to the shipped model."""
    folder, _, version = trained
    there = ("--by", "Chen", "--yes", "--data-dir", folder / "data")
    assert isinstance(run("publish", version, "--stage", "live", *there).exception, Conflict)
    assert isinstance(run("rollback", *there).exception, NotFound)
    for stage in ("shadow", "live"):
        done = run("publish", version, "--stage", stage, *there)
        assert f"{version} is {stage}, by Chen" in done.output, repr(done.exception)
    assert "live" in run("card", "--data-dir", folder / "data").output
    assert "the shipped model serves again, by Chen" in run("rollback", *there).output
    assert "retired" in run("card", version, "--data-dir", folder / "data").output


def test_nothing_is_published_without_a_name_or_consent(trained: tuple[Path, Path, str]) -> None:
    """--by is required, and without --yes the question must be answered."""
    folder, _, version = trained
    assert run("publish", version, "--stage", "shadow").exit_code == 2
    asked = run("publish", version, "--stage", "shadow", "--by", "Chen", "--data-dir", folder / "data")
    assert asked.exit_code == 1
    assert "Chen puts" in asked.output


def test_a_model_is_measured_on_other_labels(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    """Average precision on a stream of another seed is far above chance."""
    folder, _, version = trained
    write_events(tmp_path / "other.ndjson", seed=9)
    done = run("evaluate", version, "--from", tmp_path / "other.ndjson", "--json", "--data-dir", folder / "data")
    figures = msgspec.json.decode(done.output)
    assert figures["model"]["average_precision"] > 0.6 > 3 * figures["chance"]["average_precision"]


def test_bad_input_names_the_line(tmp_path: Path) -> None:
    """A broken line, or one without a time, stops the training with its number."""
    (tmp_path / "a.ndjson").write_text('{"type": "payment.attempted", "id": "1", "source": "s"}\n')
    assert "a.ndjson, line 1" in str(run("train", "--from", tmp_path / "a.ndjson").exception)
    (tmp_path / "b.ndjson").write_text("\n{oops\n")
    failed = run("train", "--from", tmp_path / "b.ndjson").exception
    assert isinstance(failed, Misconfigured)
    assert "b.ndjson, line 2" in str(failed)
