"""Export, backup, restore, forget: what leaves the ledger, what comes back, and what must not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tocsin.core.action import Action, ActionState, Answer, Outcome, Reasoned, Ruling
from tocsin.core.events import Event
from tocsin.core.incident import Incident, Moment, Phase, Severity
from tocsin.core.records import Audit, DeadLetter, SubjectKey
from tocsin.core.signal import Decision, Signal, Text, Verdict
from tocsin.errors import BadEvent, Misconfigured, NotFound
from tocsin.ledger.audit import verify_audit
from tocsin.ledger.backup import MANIFEST
from tocsin.ledger.export import LEFT_OUT, NOT_EXPORTED, backup, digest, export, forget, restore
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.memory import MemoryJournal, MemoryRecords
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.shapes import SHAPES
from tocsin.ledger.vault import KeyVault

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.core.ports import Journal, Records

MAIL = "alice@clear.example"


def order(seq: int, **more: Any) -> Event:
    fields: dict[str, Any] = {
        "type": "order.placed",
        "data": {"order": f"o{seq}", "amount": seq},
        "seq": seq,
        "tau": seq,
    }
    return Event(id=f"e{seq}", source="shop", time=seq, **(fields | more))


def internal(seq: int, data: dict[str, Any]) -> Event:
    return Event(id=f"i{seq}", source="tocsin", type="tocsin.signal", time=seq, data=data, seq=seq, tau=seq)


def incident(**more: Any) -> Incident:
    fields: dict[str, Any] = {
        "id": "inc",
        "shop": "default",
        "kind": "k",
        "title": Text("t", "题"),
        "subject": "ip:1.2.3.4",
        "severity": Severity.P1,
        "phase": Phase.OPEN,
        "onset": 1,
        "opened": 2,
        "updated": 3,
    }
    return Incident(**(fields | more))


def ruling(id: str, time: int) -> Ruling:
    return Ruling(id=id, action="a", answer=Answer.ALLOW, reasons=(Reasoned("c", Text("e", "z")),), time=time)


def filled(journal: Journal, records: Records, *, shift: int) -> None:
    """Store one story as a run would, ``shift`` standing for whatever differs between two runs of it."""
    seq = 0
    for number in range(1, 4):
        for _ in range(shift if number == 2 else 1):
            seq += 1
            journal.append([internal(seq, {"at": shift})])
        seq += 1
        one = order(number, sealed={"email": f"nonce-{shift}"})
        journal.append([msgspec.structs.replace(one, seq=seq, tau=seq)])
        journal.commit()
    records.table(Incident).put(incident(opened=shift, updated=shift, version=shift, timeline=(Moment(shift, "note"),)))
    records.table(Ruling).put_many([ruling(f"r{n}", shift) for n in range(shift)])
    records.table(Outcome).put(Outcome(id=f"o{shift}", action="a", what="done", time=shift, detail=f"ref {shift}"))


def test_two_runs_of_one_story_export_the_same_bytes_whatever_clocks_and_retries_did(tmp_path: Path) -> None:
    journal, records = MemoryJournal(), MemoryRecords()
    filled(journal, records, shift=1)
    other_journal, other_records = (
        SegmentJournal(tmp_path / "journal"),
        SqlRecords(f"sqlite:///{tmp_path / 'r.sqlite'}"),
    )
    filled(other_journal, other_records, shift=3)
    lines = list(export(journal, records))
    assert lines == list(export(other_journal, other_records))
    assert digest(journal, records) == digest(other_journal, other_records)
    kinds = [msgspec.json.decode(line)["noun"] for line in lines]
    assert kinds == ["Event"] * 3 + ["Incident", "Outcome", "Ruling"]
    assert msgspec.json.decode(lines[0]) == {
        "noun": "Event",
        "id": "e1",
        "source": "shop",
        "type": "order.placed",
        "time": 1,
        "data": {"amount": 1, "order": "o1"},
        "sealed": ["email"],
    }
    other_journal.close()
    other_records.close()


def test_another_story_exports_other_bytes() -> None:
    journal, records = MemoryJournal(), MemoryRecords()
    filled(journal, records, shift=1)
    before = digest(journal, records)
    records.table(Incident).put(incident(version=2, phase=Phase.RESOLVED))
    assert digest(journal, records) != before


def test_every_kind_of_record_is_exported_or_has_a_reason_not_to_be() -> None:
    assert LEFT_OUT.keys() - {Event} | NOT_EXPORTED.keys() == SHAPES.keys()
    for kind, fields in LEFT_OUT.items():
        assert set(fields) <= {field.name for field in msgspec.structs.fields(kind)}
        assert all(fields.values())


# Forget


class Shop:
    """An installation with one customer, alice, and a stranger."""

    def __init__(self, folder: Path) -> None:
        self.journal = SegmentJournal(folder / "journal", 600)
        self.records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
        self.vault = KeyVault(self.records, folder)
        self.alice = self.vault.pseudonym("default", "account", "alice-key")
        self.other = self.vault.pseudonym("default", "account", "other-key")
        self.sealed = self.vault.seal("default", f"account:{self.alice}", {"email": MAIL})
        self.vault.flush()
        self._events()
        self._records()

    def _events(self) -> None:
        note = {"text": "my masked words", "channel": "chat", "loyalty": "unknown words", "points": 7}
        events = [
            order(1, data={"order": "o1", "amount": 5, "account": self.alice}, sealed=self.sealed),
            order(2, type="message.received", data={"account": self.alice, **note}),
            order(3, type="message.received", data={"account": self.other, **note}),
            internal(4, {"subject": f"account:{self.alice}", "evidence": {"sample": "my masked words", "n": 3}}),
            order(5, shop="elsewhere", type="message.received", data={"account": self.alice, **note}),
            order(6, type="own.type", data={"nested": {"account": self.alice, "words": "deep words"}, "n": 1}),
        ]
        self.journal.append(events)
        self.journal.commit()

    def _records(self) -> None:
        subject = f"account:{self.alice}"
        about = incident(
            subject=subject,
            evidence={"sample": "my masked words", "n": 3},
            timeline=(Moment(1, "note", detail={"note": "her words", "to": subject}),),
        )
        self.records.table(Incident).put(about)
        self.records.table(Incident).put(incident(id="other", evidence={"sample": "words of others"}))
        self.records.table(Signal).put(
            Signal(
                id="s",
                desk="d",
                kind="k",
                shop="default",
                subject=subject,
                score=1,
                onset=0,
                tau=0,
                evidence={"x": "words"},
            )
        )
        self.records.table(Action).put(
            Action(
                id="a",
                shop="default",
                incident="inc",
                playbook="p",
                step=1,
                verb="notify",
                target=subject,
                args={"text": "Dear Alice"},
                state=ActionState.DONE,
            )
        )
        letter = DeadLetter(
            id="l1", received=1, shop="default", door="http", code="c", field="", reason="r", document=""
        )
        alices = f'{{"data":{{"account":{{"$pseudonym":"{self.alice}"}},"text":"her words"}}}}'
        self.records.table(DeadLetter).put(msgspec.structs.replace(letter, document=alices))
        self.records.table(DeadLetter).put(msgspec.structs.replace(letter, id="l2", document='{"id":"x alice-key"}'))
        self.records.table(DeadLetter).put(msgspec.structs.replace(letter, id="l3", document='{"id":"other"}'))
        self.records.table(Verdict).put(
            Verdict(
                id="v",
                event_id="e1",
                event_source="shop",
                event_type="order.placed",
                shop="default",
                subject=subject,
                time=1,
                tau=1,
                computed=Decision.ALLOW,
                served=Decision.ALLOW,
                features={"n": 1.0},
            )
        )

    def close(self) -> None:
        self.journal.close()
        self.records.close()


@pytest.mark.parametrize("by", ["clear", "pseudonym"])
def test_a_forgotten_subject_leaves_only_numbers_and_a_name_that_nobody_can_resolve(tmp_path: Path, by: str) -> None:
    shop = Shop(tmp_path)
    key = "alice-key" if by == "clear" else shop.alice
    stores = {"journal": shop.journal, "records": shop.records, "vault": shop.vault}
    done = forget("default", f"account:{key}", **stores, who="admin", why="asked")  # type: ignore[arg-type]
    assert (done.subject, done.key, done.events, done.records) == (f"account:{shop.alice}", True, 4, 3)
    assert done.letters == (2 if by == "clear" else 1)
    events = {event.seq: event for event in shop.journal.read()}
    assert [event.seq for event in events.values()] == [1, 2, 3, 4, 5, 6]
    assert (events[1].data, events[1].sealed) == ({"order": "o1", "amount": 5, "account": shop.alice}, {})
    assert events[2].data == {"account": shop.alice, "text": "[forgotten]", "channel": "chat", "points": 7}
    assert events[3].data["text"] == events[5].data["text"] == "my masked words"
    assert events[4].data == {"subject": f"account:{shop.alice}", "evidence": {"sample": "[forgotten]", "n": 3}}
    assert events[6].data == {"n": 1}
    found = shop.records.table(Incident).get("inc")
    assert found is not None
    assert found.evidence == {"sample": "[forgotten]", "n": 3}
    assert found.timeline[0].detail == {"note": "[forgotten]", "to": f"account:{shop.alice}"}
    letter = shop.records.table(DeadLetter).get("l1")
    assert letter is not None
    assert (letter.document, letter.state) == ("", "discarded")
    with pytest.raises(NotFound):
        shop.vault.open("default", f"account:{shop.alice}", shop.sealed, who="w", why="y")
    with pytest.raises(NotFound):
        shop.vault.reveal("default", "account", shop.alice, who="w", why="y")
    assert shop.vault.reveal("default", "account", shop.other, who="w", why="y") == "other-key"
    assert verify_audit(shop.records) is None
    assert [one.what for one in shop.records.table(Audit).find(order="id", limit=2)] == ["vault.shred", "forget"]
    again = forget("default", f"account:{key}", **stores, who="admin")  # type: ignore[arg-type]
    assert (again.key, again.events, again.records, again.letters) == (False, 0, 0, 0)
    shop.close()
    mine = [b"alice@", b"Dear Alice", b"her words", b"deep words"] + [b"alice-key"] * (by == "clear")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or not any(word in path.read_bytes() for word in mine), path


def test_only_people_and_their_things_can_be_forgotten(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for wrong in ("alice-key", "sku:1", "account:"):
        with pytest.raises(BadEvent, match="ENTITY:KEY"):
            forget("default", wrong, journal=shop.journal, records=shop.records, vault=shop.vault, who="admin")
    shop.close()


def test_an_export_holds_nothing_sealed_and_no_clear_key(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    text = b"".join(export(shop.journal, shop.records))
    assert b"clear.example" not in text
    assert shop.sealed["email"].encode() not in text
    assert b'"account":"' + shop.alice.encode() in text
    shop.close()


# Backup and restore


def reopened(folder: Path) -> tuple[SegmentJournal, SqlRecords, KeyVault]:
    records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
    return SegmentJournal(folder / "journal"), records, KeyVault(records, folder)


def test_a_restored_backup_is_the_installation(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "live")
    manifest = backup(tmp_path / "live", tmp_path / "copy")
    before = digest(shop.journal, shop.records)
    shop.close()
    assert {"master.key", "records.sqlite", f"journal/{1:020d}.seg"} <= manifest.files.keys()
    restore(tmp_path / "copy", tmp_path / "again")
    assert (tmp_path / "again" / "master.key").stat().st_mode & 0o777 == 0o600
    journal, records, vault = reopened(tmp_path / "again")
    assert digest(journal, records) == before
    assert vault.reveal("default", "account", shop.alice, who="w", why="y") == "alice-key"
    assert vault.pseudonym("default", "account", "alice-key") == shop.alice
    journal.close()
    records.close()


def test_a_backup_taken_while_events_arrive_holds_a_prefix_with_all_its_keys(tmp_path: Path) -> None:
    live = tmp_path / "live"
    journal, records, vault = SegmentJournal(live / "journal", 20_000), *reopened_records(live)
    stop = threading.Event()

    def work() -> None:
        seq = 0
        while not stop.is_set():
            batch = []
            for _ in range(20):
                seq += 1
                subject = f"account:{vault.pseudonym('default', 'account', str(seq))}"
                batch.append(order(seq, subject=subject, sealed=vault.seal("default", subject, {"email": MAIL})))
            vault.flush()
            journal.append(batch)
            journal.commit()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        while journal.last()[0] < 200:
            pass
        first = journal.last()[0]
        backup(live, tmp_path / "copy")
    finally:
        stop.set()
        worker.join()
    journal.close()
    records.close()
    restore(tmp_path / "copy", tmp_path / "again")
    journal, records, vault = reopened(tmp_path / "again")
    events = list(journal.read())
    assert len(events) >= first
    for event in events[-40:]:
        assert vault.open("default", event.subject, event.sealed, who="w", why="y") == {"email": MAIL}
    journal.close()
    records.close()


def reopened_records(folder: Path) -> tuple[SqlRecords, KeyVault]:
    records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
    return records, KeyVault(records, folder)


def test_who_was_forgotten_since_the_backup_stays_forgotten(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "live")
    backup(tmp_path / "live", tmp_path / "copy")
    shop.vault.shred("default", f"account:{shop.alice}")
    shop.close()
    restore(tmp_path / "copy", tmp_path / "again", replaces=tmp_path / "live")
    journal, records, vault = reopened(tmp_path / "again")
    with pytest.raises(NotFound):
        vault.reveal("default", "account", shop.alice, who="w", why="y")
    row = records.table(SubjectKey).get(f"default/account:{shop.alice}")
    assert row is not None
    assert row.shredded
    assert vault.reveal("default", "account", shop.other, who="w", why="y") == "other-key"
    journal.close()
    records.close()


def test_a_changed_or_incomplete_backup_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    Shop(tmp_path / "live").close()
    backup(tmp_path / "live", tmp_path / "copy")
    segment = next((tmp_path / "copy" / "journal").glob("*.seg"))
    segment.write_bytes(segment.read_bytes()[:-1])
    with pytest.raises(Misconfigured, match="missing or was changed"):
        restore(tmp_path / "copy", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    (tmp_path / "copy" / MANIFEST).unlink()
    with pytest.raises(Misconfigured, match="no complete backup"):
        restore(tmp_path / "copy", tmp_path / "again")


def test_nothing_is_written_over_and_nothing_into_itself(tmp_path: Path) -> None:
    Shop(tmp_path / "live").close()
    with pytest.raises(Misconfigured, match="lies inside"):
        backup(tmp_path / "live", tmp_path / "live" / "copy")
    with pytest.raises(Misconfigured, match="no data folder"):
        backup(tmp_path / "nothing", tmp_path / "copy")
    backup(tmp_path / "live", tmp_path / "copy")
    for target in (tmp_path / "copy", tmp_path / "live"):
        with pytest.raises(Misconfigured, match="not empty"):
            restore(tmp_path / "copy", target)
    with pytest.raises(Misconfigured, match="not empty"):
        backup(tmp_path / "live", tmp_path / "copy")
