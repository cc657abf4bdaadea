"""SQL only: what was stored outlives the process, the schema follows its migrations, damage and strangers are told."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy import event as sqlalchemy_event

from tocsin.core.action import Action
from tocsin.core.incident import Incident
from tocsin.core.records import Audit, DeadLetter, Switch
from tocsin.core.signal import Decision, Signal, Verdict
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.schema import METADATA
from tocsin.ledger.shapes import SHAPES, cursor
from tocsin.ledger.upgrade import HEAD

if TYPE_CHECKING:
    from pathlib import Path


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'records.sqlite'}"


def test_what_was_put_outlives_the_process(tmp_path: Path) -> None:
    records = SqlRecords(url(tmp_path))
    records.table(Switch).put(Switch(id="kill", word="on"))
    records.close()
    records = SqlRecords(url(tmp_path))
    assert records.table(Switch).get("kill") == Switch(id="kill", word="on")
    records.close()


def test_the_migrations_lead_to_the_tables_that_are_used(tmp_path: Path) -> None:
    SqlRecords(url(tmp_path)).close()
    engine = create_engine(url(tmp_path))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_the_start_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", "tocsin.ledger:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    SqlRecords(url(tmp_path)).close()
    with sqlite3.connect(tmp_path / "records.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Misconfigured, match="9999"):
        SqlRecords(url(tmp_path))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(Misconfigured, match="damaged"):
        SqlRecords(url(tmp_path))


def test_a_folder_that_is_not_there_is_named_as_the_cause(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="unable to open"):
        SqlRecords(url(tmp_path / "nothing"))


def test_a_store_in_memory_has_another_name() -> None:
    with pytest.raises(Misconfigured, match="MemoryRecords"):
        SqlRecords("sqlite://")


def test_readers_go_on_beside_a_transaction_and_see_the_last_commit(tmp_path: Path) -> None:
    records = SqlRecords(url(tmp_path))
    table = records.table(Switch)
    table.put(Switch(id="a", word="before"))
    seen: list[Switch | None] = []
    with records.transaction():
        table.put(Switch(id="a", word="after"))
        reader = threading.Thread(target=lambda: seen.append(table.get("a")))
        reader.start()
        reader.join(timeout=5)
        assert table.get("a") == Switch(id="a", word="after")
    assert seen == [Switch(id="a", word="before")]
    assert table.get("a") == Switch(id="a", word="after")
    records.close()


def test_a_writer_of_another_process_makes_a_write_retryable(tmp_path: Path) -> None:
    records = SqlRecords(url(tmp_path), busy_ms=20)
    other = sqlite3.connect(tmp_path / "records.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Retryable, match="locked"):
        records.table(Switch).put(Switch(id="a"))
    other.execute("ROLLBACK")
    records.table(Switch).put(Switch(id="a"))
    other.close()
    records.close()


def test_deleted_records_leave_no_trace_in_the_files_after_a_checkpoint(tmp_path: Path) -> None:
    records = SqlRecords(url(tmp_path))
    table = records.table(Switch)
    table.put_many([Switch(id=str(n), word=f"secret-{n}-word") for n in range(50)])
    for n in range(50):
        table.drop(str(n))
    records.checkpoint()
    assert not any(b"-word" in path.read_bytes() for path in tmp_path.iterdir())
    records.close()


def test_verdicts_are_written_in_bulk(tmp_path: Path) -> None:
    records = SqlRecords(url(tmp_path))
    verdicts = [
        Verdict(
            id=f"{n:04}",
            event_id=f"e{n}",
            event_source="s",
            event_type="order.placed",
            shop="s",
            subject="account:a",
            time=n,
            tau=n,
            computed=Decision.ALLOW,
            served=Decision.ALLOW,
        )
        for n in range(1500)
    ]
    records.table(Verdict).put_many(iter(verdicts))
    assert records.table(Verdict).count() == 1500
    assert records.table(Verdict).find({"time__gte": 1498}, order="time") == verdicts[1498:]
    records.close()


def test_the_questions_of_the_console_use_an_index(tmp_path: Path) -> None:
    records = SqlRecords(url(tmp_path))
    plans: list[str] = []
    questions: list[tuple[type[Any], dict[str, Any], str]] = [
        (Incident, {"phase": "open"}, "-opened"),
        (Incident, {}, "-updated"),
        (Action, {"state": "asked"}, "-created"),
        (Action, {"incident": "i"}, "-created"),
        (Verdict, {}, "-tau"),
        (Verdict, {"served": "deny"}, "-tau"),
        (DeadLetter, {"state": "waiting"}, "-received"),
        (Signal, {}, "-onset"),
        (Audit, {}, "-id"),
    ]

    @sqlalchemy_event.listens_for(records._readers, "before_cursor_execute")
    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        plan = cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
        plans.append(" ".join(row[3] for row in plan))

    for kind, where, order in questions:
        records.table(kind).find(where, order=order, after=_cursor(kind, order))
    records.close()
    assert len(plans) == len(questions)
    assert all("USING INDEX" in plan or "SEARCH" in plan for plan in plans), plans


@pytest.mark.parametrize("first", [True, False])
def test_every_page_of_verdicts_comes_from_the_index_that_knows_its_order(tmp_path: Path, first: bool) -> None:
    """Of millions, newest first: whatever filter the door has; those that did not allow have an index of their own."""
    records = SqlRecords(url(tmp_path))
    plans: list[str] = []

    @sqlalchemy_event.listens_for(records._readers, "before_cursor_execute")
    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        plan = cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
        plans.append(" ".join(row[3] for row in plan))

    asked: list[tuple[dict[str, Any], str]] = [
        ({}, "tau"),
        ({"shop": "s"}, "tau"),
        ({"event_type": ["order.placed"]}, "tau"),
        ({"tau__gte": 5, "tau__lt": 9}, "tau"),
        ({"served": ["allow"]}, "tau"),
        ({"computed": ["allow", "hold"]}, "tau"),
        ({"served": ["deny"]}, "served_tau"),
        ({"computed": [Decision.HOLD]}, "computed_tau"),
        ({"served": ["deny"], "tau__gte": 5, "tau__lt": 9, "shop": "s"}, "served_tau"),
    ]
    for where, _ in asked:
        records.table(Verdict).find(where, order="-tau", after="" if first else _cursor(Verdict, "-tau"))
    records.table(Verdict).find({"served": ["deny", "hold"]}, order="-tau")
    records.close()
    for (where, index), plan in zip(asked, plans, strict=False):
        assert f"USING INDEX ix_verdicts_{index}_id" in plan, where
        assert "TEMP B-TREE" not in plan, where
    assert "SEARCH verdicts USING INDEX ix_verdicts_served_tau_id (served=?)" in plans[-1]


def test_an_older_database_is_brought_up_to_date_with_what_it_holds(tmp_path: Path) -> None:
    """Verdicts of the version before are found in the new orders, and no index is left that nothing asks for."""
    engine = create_engine(url(tmp_path))
    config = Config()
    config.set_main_option("script_location", "tocsin.ledger:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        told = {
            "event_id": "e",
            "event_source": "s",
            "event_type": "t",
            "shop": "s",
            "subject": "",
            "time": 5,
            "tau": 6,
        }
        body = json.dumps({"id": "a", **told, "computed": "deny", "served": "deny"})
        connection.exec_driver_sql(
            "INSERT INTO verdicts (id, served, computed, tau, time, search, body) VALUES ('a','deny','deny',6,5,'',?)",
            (body,),
        )
    engine.dispose()
    records = SqlRecords(url(tmp_path))
    assert [one.id for one in records.table(Verdict).find({"served": "deny"}, order="-tau")] == ["a"]
    with records.reading() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='index' AND tbl_name='verdicts'")
        found = {name for (name,) in names if not name.startswith("sqlite_")}
    assert found == {f"ix_verdicts_{name}_id" for name in ("tau", "served_tau", "computed_tau")}
    records.close()


def test_a_log_that_others_keep_from_being_emptied_is_told(tmp_path: Path) -> None:
    """Who forgets must not believe that no overwritten row is left."""
    records = SqlRecords(url(tmp_path), busy_ms=20)
    records.table(Switch).put(Switch(id="a"))
    with closing(sqlite3.connect(tmp_path / "records.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM switches").fetchall()
        records.table(Switch).put(Switch(id="a", word="new"))
        with pytest.raises(Retryable, match="not emptied"):
            records.checkpoint()
        other.execute("ROLLBACK")
    records.checkpoint()
    assert (tmp_path / "records.sqlite-wal").stat().st_size == 0
    records.close()


def _cursor(kind: type[Any], order: str) -> str:
    return cursor(SHAPES[kind], order, 5 if order != "-id" else "x", "x")
