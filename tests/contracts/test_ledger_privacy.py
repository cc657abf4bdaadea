"""Law 9: what is personal never lies on disk in clear, in no file of the installation and in no export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec import inspect

from tocsin.core.records import DeadLetter
from tocsin.core.signal import Verdict
from tocsin.core.vocabulary import PERSONAL
from tocsin.errors import BadEvent, NotFound
from tocsin.ledger.export import export, forget
from tocsin.ledger.forget import FREE
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.vault import KeyVault
from tocsin.sources.door import Door

if TYPE_CHECKING:
    from pathlib import Path

CLEAR = {entity.value: f"clear-{entity.value}-0815" for entity in PERSONAL}
SEALED = {
    "email": "clear.mail@shop.example",
    "phone": "+86 138 0013 8000",
    "name": "Clear Name 王小明",
    "address_text": "1 Clear Street, 上海",
}
TEXT = "call me at 13800138000 or clear.mail@shop.example"


def documents() -> list[dict[str, Any]]:
    """Return events that carry every personal field, good ones and ones that are refused."""
    order = {"order": "o1", "amount": 100, **CLEAR, **SEALED}
    message = {"account": CLEAR["account"], "text": TEXT, "channel": "chat"}
    # A name inside an unknown object may be a product's: the door cannot know that it is a person's.
    unnamed = {field: value for field, value in SEALED.items() if field != "name"}
    whole = [
        {"type": "order.placed", "data": order, "subject": f"account:{CLEAR['account']}"},
        {"type": "message.received", "data": message},
        {"type": "own.type", "data": {"nested": {**CLEAR, **unnamed}}},
        {"type": "order.placed", "data": {**order, "amount": "clear.mail@shop.example"}},
        {"type": "order.placed", "data": {**order, "order": None}, "subject": f"card:{CLEAR['card']}"},
    ]
    return [{"id": f"d{n}", "source": "/shop", "time": 1000 + n, **one} for n, one in enumerate(whole)]


class Installation:
    def __init__(self, folder: Path) -> None:
        self.records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
        self.journal = SegmentJournal(folder / "journal")
        self.vault = KeyVault(self.records, folder)
        self.door = Door(self.vault)
        self.refused = 0

    def take(self, document: dict[str, Any]) -> None:
        """Accept or bury one document, as the intake does."""
        try:
            event = self.door.admit(document, now=2000, live=False)
        except BadEvent as error:
            self.refused += 1
            text = msgspec.json.encode(self.door.bury(document)).decode()
            self.records.table(DeadLetter).put(
                DeadLetter(
                    id=f"l{self.refused}",
                    received=1,
                    shop="default",
                    door="file",
                    code=error.code,
                    field=error.field,
                    reason=error.reason,
                    document=text,
                )
            )
            return
        seq = self.journal.last()[0] + 1
        self.vault.flush()
        self.journal.append([msgspec.structs.replace(event, seq=seq, tau=seq)])
        self.journal.commit()

    def close(self) -> None:
        self.vault.flush()
        self.journal.close()
        self.records.close()


@pytest.fixture
def clear_words() -> list[bytes]:
    words = [*CLEAR.values(), *SEALED.values(), "13800138000", "王小明"]
    return [word.encode() for word in words]


def test_no_file_and_no_export_holds_a_personal_value_in_clear(tmp_path: Path, clear_words: list[bytes]) -> None:
    here = Installation(tmp_path)
    for document in documents():
        here.take(document)
    assert here.refused == 2
    exported = b"".join(export(here.journal, here.records))
    here.close()
    stored = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, raw in (stored | {"export": exported}).items():
        assert not [word for word in clear_words if word in raw], name


@pytest.mark.parametrize("entity", PERSONAL)
def test_after_forgetting_nothing_sealed_of_the_subject_can_be_opened(tmp_path: Path, entity: str) -> None:
    here = Installation(tmp_path)
    data = {"order": "o1", "amount": 100, entity: CLEAR[entity], **SEALED}
    here.take({"id": "d", "source": "/shop", "type": "order.placed", "time": 1, "data": data})
    here.take({"id": "bad", "source": "/shop", "type": "order.placed", "time": 1, "data": {**data, "amount": "x"}})
    event = next(iter(here.journal.read()))
    subject = f"{entity}:{event.data[entity]}"
    assert here.vault.open("default", subject, event.sealed, who="w", why="y") == SEALED
    forget(
        "default", f"{entity}:{CLEAR[entity]}", journal=here.journal, records=here.records, vault=here.vault, who="a"
    )
    with pytest.raises(NotFound):
        here.vault.open("default", subject, event.sealed, who="w", why="y")
    assert next(iter(here.journal.read())).sealed == {}
    assert [letter.document for letter in here.records.table(DeadLetter).find()] == [""]
    # The customer comes back: refused and accepted events are taken as ever, and nothing of them can be opened.
    here.take({"id": "late", "source": "/shop", "type": "order.placed", "time": 2, "data": data})
    here.take({"id": "bad2", "source": "/shop", "type": "order.placed", "time": 2, "data": {**data, "amount": "x"}})
    late = list(here.journal.read())[-1]
    assert late.data[entity] == event.data[entity]
    with pytest.raises(NotFound):
        here.vault.open("default", subject, late.sealed, who="w", why="y")
    here.close()


def test_a_verdict_has_no_member_that_may_hold_free_text() -> None:
    """Nor anything in it: so there is nothing to empty in it when its subject is forgotten."""
    seen: set[str] = set()

    def look(kind: Any) -> None:
        for part in getattr(kind, "types", (kind,)):
            if isinstance(part, inspect.StructType):
                seen.update(field.encode_name for field in part.fields)
                for field in part.fields:
                    look(field.type)
            elif isinstance(part, inspect.VarTupleType | inspect.ListType):
                look(part.item_type)
            elif isinstance(part, inspect.DictType):
                # Names of features are names of members, too: they hold numbers alone.
                values = getattr(part.value_type, "types", (part.value_type,))
                assert {type(one) for one in values} <= {inspect.FloatType, inspect.IntType, inspect.NoneType}
            else:
                assert not isinstance(part, inspect.AnyType | inspect.RawType)

    look(inspect.type_info(Verdict))
    assert {"reasons", "features", "contribution"} <= seen
    assert not seen & FREE
