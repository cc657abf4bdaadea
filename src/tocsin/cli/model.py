"""``tocsin model``: train on labels, look at the card, publish through shadow by a named person, roll back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tocsin import config
from tocsin.core.desk import Candidate
from tocsin.core.events import DAY, SECOND, Event
from tocsin.errors import Misconfigured, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.app import Tocsin
    from tocsin.core.desk import Labelled
    from tocsin.desks.fraud.model import FraudModel

DESK = "fraud"
LEARNED_ON = ("payment.attempted",)
TWIN_MATURITY = 5 * DAY
"""The demo store's charge-backs come within five days."""
_DATA = click.option("--data-dir", default=None, help="Folder of the installation (default: data).")
_BY = click.option("--by", required=True, help="The person who decides; it is recorded.")
_YES = click.option("--yes", is_flag=True, help="Do not ask again.")


@click.group(help="Train, evaluate, publish and roll back the fraud model.")
def command() -> None:
    """Group of the model commands."""


@command.command(help="Train a model: on a file of events (NDJSON), on the journal (default), or on the demo store.")
@click.option("--from", "source", type=click.Path(exists=True, path_type=Path), help="Events with labels, NDJSON.")
@click.option("--twin", is_flag=True, help="Learn from the demo store instead.")
@click.option("--days", type=int, default=14, show_default=True, help="Simulated days of the demo store.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the artefact here instead of into the model store.")
@_DATA
def train(source: Path | None, twin: bool, days: int, seed: int, out: Path | None, data_dir: str | None) -> None:
    """Fold the stream through the desk, learn, and keep the candidate."""
    from tocsin.desks.fraud.desk import FraudDesk
    from tocsin.desks.fraud.learning import Plan

    if twin and source:
        raise click.UsageError("--twin and --from exclude each other")
    origin = f"demo store, seed {seed}, {days} days" if twin else str(source.name if source else "journal")
    with_journal = source is None and not twin
    # The demo store's model serves every new installation, whose long windows are empty at first.
    desk = FraudDesk(plan=Plan(seed=seed, longest_s=DAY // SECOND if twin else 0))
    if with_journal:
        from tocsin.ledger.retention import kept_events

        tocsin = _opened(data_dir)
        try:
            labelled = _collect(kept_events(tocsin.history, tocsin.journal, *desk.reads))
        finally:
            tocsin.stop()
    else:
        labelled = _collect(_of_twin(seed, days), TWIN_MATURITY) if source is None else _collect(_of_file(source))
    click.echo(f"{len(labelled.y)} payments with known truth, {int(labelled.y.sum())} of them fraud", err=True)
    candidate = desk.learn(labelled)
    if candidate is None:
        raise Misconfigured("too few labels: at least 20 frauds and 20 legitimate payments are needed")
    command_line = f"tocsin model train --twin --seed {seed} --days {days}" if twin else "tocsin model train"
    candidate = _named(candidate, {"trained_on": origin, "command": command_line})
    _show(candidate.card)
    if out is not None:
        out.write_bytes(candidate.artefact)
        click.echo(f"written: {out} ({len(candidate.artefact)} bytes)")
        return
    tocsin = _opened(data_dir)
    try:
        version = tocsin.models.put(candidate)
    finally:
        tocsin.stop()
    click.echo(f"candidate {version.id}; next: tocsin model publish {version.id} --stage shadow --by NAME")


@command.command(help="Measure a model (version id or file) on events with labels (NDJSON).")
@click.argument("model")
@click.option("--from", "source", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_DATA
def evaluate(model: str, source: Path, as_json: bool, data_dir: str | None) -> None:
    """Print the figures of a model on other labels."""
    from tocsin.desks.fraud.learning import evaluated

    held, _ = _model(model, data_dir)
    figures = evaluated(held, _collect(_of_file(source)))
    if as_json:
        click.echo(msgspec.json.encode(figures))
    else:
        _table({"model": figures["model"], "chance": figures["chance"]})


@command.command(help="Move a version on: candidate -> shadow -> live. Only a named person lets a model go live.")
@click.argument("version")
@click.option("--stage", type=click.Choice(["shadow", "live"]), required=True)
@_BY
@_YES
@_DATA
def publish(version: str, stage: str, by: str, yes: bool, data_dir: str | None) -> None:
    """Record the stage and let it take effect at its place in the journal."""
    if not yes:
        click.confirm(f"{by} puts {version} {stage}?", abort=True)
    tocsin = _opened(data_dir)
    tocsin.start()
    try:
        moved = tocsin.models.stage(version, stage, by=by)
        tocsin.configure("tocsin.model", {"desk": moved.desk, "digest": moved.digest, "stage": stage}, by).result(60)
    finally:
        tocsin.stop()
    click.echo(f"{moved.id} is {moved.stage}, by {by}")


@command.command(help="Take the live model out and put the one before it back (the shipped one if there is none).")
@_BY
@_YES
@_DATA
def rollback(by: str, yes: bool, data_dir: str | None) -> None:
    """Retire the live version and let the last one serve again."""
    if not yes:
        click.confirm(f"{by} rolls the live model back?", abort=True)
    tocsin = _opened(data_dir)
    tocsin.start()
    try:
        current = tocsin.models.live(DESK)
        if current is None:
            raise NotFound("no published model is live; the shipped one serves")
        back = tocsin.models.rollback(DESK, by=by)
        changes = [{"desk": DESK, "digest": current.digest, "stage": "retired"}]
        if back is not None:
            changes.append({"desk": DESK, "digest": back.digest, "stage": "live"})
        for change in changes:
            tocsin.configure("tocsin.model", change, by).result(60)
    finally:
        tocsin.stop()
    click.echo(f"{current.id} is retired, {back.id if back else 'the shipped model'} serves again, by {by}")


@command.command(help="Show the card of a version, a file, or (without one) of the shipped model, and all versions.")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_DATA
def card(model: str | None, as_json: bool, data_dir: str | None) -> None:
    """Print how the model was made and how good it is beside the others."""
    held, versions = _model(model, data_dir)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(held.card)))
        return
    _show(held.card)
    for row in versions:
        click.echo(f"{row.id}  {row.stage:9}  {_date(row.created)}  {row.by}")


# Where events come from --------------------------------------------------------------------------------------------


def _collect(events: Iterator[Event], maturity: int = 7 * DAY) -> Labelled:
    from tocsin.desks.fraud.desk import FraudDesk
    from tocsin.runtime.learner import Collector

    collector = Collector(FraudDesk(), on=LEARNED_ON, settles=_settles, maturity=maturity)
    collector.fold(events)
    return collector.labelled()


def _settles(event: Event) -> bool:
    """Return whether the payment can be disputed at all: a declined one without a label stays unknown."""
    return event.data.get("status") not in ("declined", "failed")


def _of_twin(seed: int, days: int) -> Iterator[Event]:
    from tocsin.twin.store import Recorder, Store, stream

    recorder = Recorder()
    store = Store(seed, recorder)
    for document in stream(store, recorder, store.start + days * DAY):
        if document["type"] in _READS:
            yield _event(document, "demo store")


_READS = frozenset({*LEARNED_ON, "order.placed", "label.given"})


def _of_file(path: Path) -> Iterator[Event]:
    """Return the events of an NDJSON file in the order of their times; Misconfigured names the line that is wrong."""
    events = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                document = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise Misconfigured(f"{path.name}, line {number}: {error}") from error
            if document.get("type") in _READS:
                events.append(_event(document, f"{path.name}, line {number}"))
    return iter(sorted(events, key=lambda event: event.time))


def _event(document: dict[str, Any], where: str) -> Event:
    """Return a document as an event of this process alone: nothing of it is stored, so nothing is sealed."""
    time = document.get("time")
    try:
        if isinstance(time, str):
            time = round(datetime.fromisoformat(time).timestamp() * 1_000_000)
        return msgspec.convert(
            {"id": document["id"], "source": document["source"], "type": document["type"], "time": time}
            | {"data": document.get("data") or {}},
            Event,
        )
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise Misconfigured(f"{where}: no CloudEvent with id, source, type and time: {error}") from error


# Versions and cards ------------------------------------------------------------------------------------------------


def _opened(data_dir: str | None) -> Tocsin:
    from tocsin.app import build

    return build(config.load({"data_dir": data_dir}))


def _model(name: str | None, data_dir: str | None) -> tuple[FraudModel, list[Any]]:
    """Return a model by version id, file, or (None) the live or shipped one, and the versions of the store."""
    from tocsin.core.records import ModelVersion
    from tocsin.desks.fraud.desk import shipped
    from tocsin.desks.fraud.model import unpack

    if name is not None and Path(name).is_file():
        return unpack(Path(name).read_bytes()), []
    settings = config.load({"data_dir": data_dir})
    if name is None and not settings.folder.is_dir():
        held = shipped().model
        if held is None:
            raise NotFound("no model is shipped and none is published")
        return held, []
    tocsin = _opened(data_dir)
    try:
        versions = tocsin.models.versions(DESK)
        found = tocsin.models.live(DESK) if name is None else tocsin.records.table(ModelVersion).get(name)
        if found is not None:
            return unpack(tocsin.models.read(found.digest)), versions
    finally:
        tocsin.stop()
    held = shipped().model if name is None else None
    if held is None:
        raise NotFound(f"there is no model {name or 'shipped or published'}")
    return held, versions


def _named(candidate: Candidate, more: dict[str, Any]) -> Candidate:
    """Return the candidate with more on its card, inside the artefact too."""
    from tocsin.desks.fraud.model import unpack

    card = candidate.card | more
    held = msgspec.structs.replace(unpack(candidate.artefact), card=card)
    return Candidate(desk=candidate.desk, artefact=held.pack(), card=card)


def _show(card: dict[str, Any]) -> None:
    click.echo(f"trained on {card.get('trained_on', 'labels')}: {card['rows']} payments, {card['frauds']} frauds,")
    click.echo(f"{_date(card['start'])} to {_date(card['end'])}; chosen: {card['chosen']} ({card['why']})")
    trivial = {"the amount alone": card["baselines"]["amount_alone"], "chance": card["baselines"]["chance"]}
    _table({f"{name}{' *' if name == card['chosen'] else ''}": row for name, row in card["families"].items()} | trivial)
    click.echo("cost per 10,000 orders in minor units; held-out rows, later than the training rows")


COLUMNS = {
    "mse": "MSE",
    "log_likelihood": "log-likelihood",
    "average_precision": "AP",
    "recall_at_1_percent_fpr": "recall at 1% FPR",
    "cost_per_10k": "cost",
    "cost_per_10k_at_half": "cost at 0.5",
    "cost_per_10k_without": "cost without",
}


def _table(rows: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("", *COLUMNS.values()):
        table.add_column(title, justify="right" if title else "left")
    for name, figures in rows.items():
        shown = [figures.get(key) for key in COLUMNS]
        table.add_row(name, *("" if value is None else f"{value:,.5g}" for value in shown))
    Console(width=120).print(table)


def _date(time: int) -> str:
    return datetime.fromtimestamp(time / 1_000_000, UTC).date().isoformat()
