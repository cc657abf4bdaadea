"""``assess`` on whole files: the loop in shadow, the JSON, the report, the command and the notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

import tocsin
from tocsin.assessment import shadow
from tocsin.assessment.result import KEYS
from tocsin.assessment.run import assess_paths
from tocsin.assessment.vault import PassingVault
from tocsin.assessment.words import WORDS
from tocsin.cli.assess import command
from tocsin.errors import Misconfigured
from tocsin.sources.door import Door
from tocsin.sources.refusals import Refusals


def scan(folder: Path, *, backwards: bool = False) -> str:
    """Write an access log of quiet visitors and one scanner that asks for what is not there; return its path."""
    lines = []
    for second in range(1200):
        stamp = f"11/Nov/2024:10:{second // 60:02d}:{second % 60:02d} +0800"
        if second % 7 == 0:
            lines.append(
                f'198.51.100.{second % 40} - - [{stamp}] "GET /item/{second} HTTP/1.1" 200 900 "-" "Mozilla/5.0"'
            )
        if 600 <= second < 900:
            path = f"/index.php?id={second}%27%20UNION%20SELECT%201,2--%20" if second % 3 else f"/admin{second}.bak"
            lines.append(f'203.0.113.66 - - [{stamp}] "GET {path} HTTP/1.1" 404 10 "-" "sqlmap/1.7"')
    path = folder / "access.log"
    path.write_text("\n".join(reversed(lines) if backwards else lines) + "\nnot a line\n", encoding="utf-8")
    return str(path)


def plain(folder: Path, name: str = "plain.csv", *, label: bool = True, n: int = 400) -> str:
    random = np.random.default_rng(2)
    amount = random.lognormal(4, 1, n).round(2)
    y = random.random(n) < np.where(amount > 150, 0.4, 0.02)
    rows = [f"{value},{random.choice(['browse', 'buy'])},{int(hit)}" for value, hit in zip(amount, y, strict=True)]
    text = "transaction_amount,user_behavior,is_anomaly\n" + "\n".join(rows)
    if not label:
        text = "\n".join(line.rpartition(",")[0] for line in text.split("\n"))
    (folder / name).write_text(text + "\n", encoding="utf-8")
    return str(folder / name)


def test_a_scan_in_an_access_log_becomes_an_incident_with_its_lines_and_what_the_rules_would_do(tmp_path: Path) -> None:
    result = assess_paths([scan(tmp_path)])
    assert result.events["accepted"] == 472
    assert result.refused["total"] == 1
    assert result.refused["first"][0]["line"] == 473
    subjects = {key for incident in result.incidents for key in incident.get("entities", {}).get("ip", ())}
    assert "203.0.113.66" in subjects
    where = [incident["where"] for incident in result.incidents if incident["subject"] == "ip:203.0.113.66"]
    assert all(1 <= one["first_line"] <= one["last_line"] <= 473 for one in where)
    assert any(action.get("verb", "").startswith("ip.") for action in result.actions)
    assert all(action["state"] in ("suggested", "denied") for action in result.actions)


def test_the_report_does_not_depend_on_the_order_of_lines_or_the_size_of_batches(tmp_path: Path) -> None:
    def found(path: str) -> Any:
        result = assess_paths([path])
        for incident in result.incidents:
            incident.pop("where")
        return result.incidents, [{k: v for k, v in a.items() if k not in ("line", "event")} for a in result.actions]

    assert found(scan(tmp_path)) == found(scan(tmp_path, backwards=True))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_batches_of_any_size_give_the_same_signals_incidents_and_actions(tmp_path: Path, size: int) -> None:
    from tocsin.desks.attack import AttackDesk
    from tocsin.sources.files import open_source

    def run(batch: int) -> shadow.Shadow:
        source = open_source(path)
        loop = shadow.Shadow([AttackDesk()], batch=batch)
        door = Door(PassingVault(b"x"))
        loop.run(shadow.admitted(source.name, source.read(), door, source.refusals, shadow.Counter()))
        return loop

    path = scan(tmp_path)
    whole, cut = run(10_000), run(size)
    assert whole.signals == cut.signals
    assert whole.incidents == cut.incidents
    assert whole.actions == cut.actions
    assert whole.verdicts == cut.verdicts


def test_events_are_put_in_order_duplicates_ignored_and_bad_ones_counted() -> None:
    def event(id: str, time: int) -> dict[str, Any]:
        data = {"ip": "203.0.113.1", "path": "/"}
        return {"specversion": "1.0", "id": id, "source": "s", "type": "http.request", "time": time, "data": data}

    documents = enumerate([event("b", 2), event("a", 1), event("b", 2), event("c", 3), {"id": "x"}], 1)
    refusals, counts = Refusals(), shadow.Counter[str]()
    placed = list(shadow.admitted("f", documents, Door(PassingVault(b"x")), refusals, counts))
    assert [(line, event.id) for _, line, event in placed] == [(2, "a"), (1, "b"), (4, "c")]
    assert counts["duplicates"] == 1
    assert [refusal.line for refusal in refusals.first] == [5]


def test_a_labelled_file_and_one_to_score_are_taken_as_one_table(tmp_path: Path) -> None:
    result = assess_paths([plain(tmp_path), plain(tmp_path, "open.csv", label=False)])
    assert result.events["rows"] == 800
    assert result.events["tables"][0]["to_score"] == 400
    assert {action["file"] for action in result.actions} == {"open.csv"}
    assert {action["line"] for action in result.actions} == set(range(2, 402))


def test_json_has_exactly_the_agreed_keys_and_nothing_else_goes_to_standard_output(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(command, [plain(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert tuple(document) == KEYS
    assert "Chosen" in done.stderr
    done = runner.invoke(command, [plain(tmp_path), "--json", str(tmp_path / "out.json"), "--lang", "zh"])
    assert json.loads((tmp_path / "out.json").read_bytes()) == document
    assert "选择" in done.stdout


def test_json_never_overwrites_what_is_no_json(tmp_path: Path) -> None:
    path = plain(tmp_path)
    before = Path(path).read_bytes()
    done = CliRunner().invoke(command, [path, "--json", path])
    assert done.exit_code == 2
    assert Path(path).read_bytes() == before


def test_check_exits_with_one_where_trouble_was_found(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, [scan(tmp_path), "--check"]).exit_code == 1


def test_the_report_fits_a_hundred_columns_in_both_languages(tmp_path: Path) -> None:
    from tocsin.assessment.report import width_of

    result = assess_paths([plain(tmp_path), scan(tmp_path)])
    for language in ("en", "zh"):
        text = result.report(language)
        assert max(width_of(line) for line in text.splitlines()) <= 100
    assert "<pre" in result._repr_html_()
    assert set(msgspec.to_builtins(result)) == set(KEYS)


def test_every_phrase_exists_in_both_languages() -> None:
    assert all(english and chinese for english, chinese in WORDS.values())


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, dict], ids=["polars", "pandas", "columns"])
def test_a_notebook_passes_any_data_frame(tmp_path: Path, make: Any) -> None:
    frame = pl.read_csv(plain(tmp_path))
    result = tocsin.assess(make(frame.to_dict(as_series=False)))
    assert result.chosen is not None
    assert result.models
    assert result.at_risk == sorted(result.at_risk, key=lambda row: -row["score"])
    assert result.at_risk[0]["row"] >= 1
    assert result.report("zh")


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no table"):
        tocsin.assess(object())


@pytest.mark.parametrize("arguments", [["none.csv"], ["x.csv", "--label", "nope"], ["x.csv", "--mapping", "bad.yaml"]])
def test_bad_input_is_refused_with_what_to_do(tmp_path: Path, arguments: list[str]) -> None:
    plain(tmp_path, "x.csv")
    (tmp_path / "bad.yaml").write_text("type: [", encoding="utf-8")
    paths = [str(tmp_path / word) if word.endswith((".csv", ".yaml")) else word for word in arguments]
    done = CliRunner().invoke(command, paths)
    assert isinstance(done.exception, Misconfigured)


def test_a_mapping_that_was_shown_is_accepted_and_gives_the_same_events(tmp_path: Path) -> None:
    path = tmp_path / "pay.csv"
    path.write_text("时间,卡号,金额\n2024-11-11 10:00:00,c1,5\n2024-11-11 10:00:01,c2,6\n", encoding="utf-8")
    shown = assess_paths([str(path)]).events["files"][0]["mapping"]
    assert "payment.attempted" in shown
    from tocsin.sources.mapping import load_mapping

    again = assess_paths([str(path)], mapping=load_mapping(shown))
    assert again.events["accepted"] == 2
    assert "c1" not in again.json().decode()


def test_no_personal_value_of_a_table_reaches_the_report_or_an_event(tmp_path: Path) -> None:
    """Names, phones, mails and keys stand in neither the JSON nor the events, in a mapped table and in a plain one."""
    people = [
        ("acct-77", "13812345678", "zhang.san@example.com", "王小明"),
        ("acct-88", "13987654321", "li.si@example.com", "李大力"),
    ]
    rows = [f"2024-11-11 10:{i % 60:02d}:00,{','.join(people[i % 2])},{i},{i % 9 == 0:d}" for i in range(180)]
    secrets = [value for person in people for value in person]
    for name, headers in (
        ("mapped", "时间,用户ID,手机号,邮箱,姓名,交易金额,是否异常"),
        ("plain", "t1,账号,电话,email,姓名,x,是否异常"),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join([headers, *rows]), encoding="utf-8")
        result = assess_paths([str(path)])
        said = result.json().decode() + result.report("zh")
        assert not [secret for secret in secrets if secret in said]


def test_few_events_over_many_years_are_judged_without_series_and_that_is_said(tmp_path: Path) -> None:
    rows = [
        f"{2000 + number // 12}-{1 + number % 12:02d}-03 10:00:00,c{number % 5},{number + 1}" for number in range(300)
    ]
    path = tmp_path / "years.csv"
    path.write_text("\n".join(["time,card,amount", *rows]), encoding="utf-8")
    result = assess_paths([str(path)])
    assert result.events["accepted"] == 300
    assert "rates were not watched" in result.events["notes"][0]["en"]
