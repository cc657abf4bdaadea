"""``tocsin history``: the table names what is there, the question it prints can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.ledger.test_history import journal_of

from tocsin.cli.history import command

if TYPE_CHECKING:
    from pathlib import Path


def test_the_list_names_tables_rows_and_days_and_prints_a_question(tmp_path: Path) -> None:
    """After --compact every table has its rows; DuckDB answers the printed question where it is installed."""
    journal = journal_of(tmp_path)
    last = journal.closed()[-1].last
    journal.close()
    run = CliRunner()
    assert "is empty" in run.invoke(command, ["--data-dir", str(tmp_path)]).output
    done = run.invoke(command, ["--compact", "--data-dir", str(tmp_path)])
    assert done.exit_code == 0
    lines = {line.split()[0]: line.split()[1:] for line in done.output.splitlines() if line.strip()}
    assert lines["order.placed"][0] == str(last // 5)
    assert lines["order.placed"][2:] == ["2026-10-29", "to", "2026-10-29"]
    assert "0 segments" in run.invoke(command, ["--compact", "--data-dir", str(tmp_path)]).output
    duckdb = pytest.importorskip("duckdb")
    question = done.output.strip().splitlines()[-1].rstrip(";")
    assert [count for _, count in duckdb.sql(question).fetchall()] == [last // 5]


def test_a_folder_without_a_journal_is_a_wrong_call(tmp_path: Path) -> None:
    """Nothing is made where nothing is."""
    assert CliRunner().invoke(command, ["--data-dir", str(tmp_path)]).exit_code == 2
    assert not list(tmp_path.iterdir())
