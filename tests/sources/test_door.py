"""The door: what it keeps, what it hides, what it refuses and how it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.events import DAY, HOUR, MINUTE, SECOND, Event, Privacy
from tocsin.core.schemas import schema_document
from tocsin.core.vocabulary import VOCABULARY, sealed_under
from tocsin.errors import BadEvent
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.vault import KeyVault
from tocsin.sources.door import Door, redact
from tocsin.sources.letters import PSEUDONYM_MARK, SEALED_MARK

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_795_000_000_000_000


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> KeyVault:
    return KeyVault(MemoryRecords(), tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def door(vault: KeyVault) -> Door:
    return Door(vault, default_shop="shop", max_event_bytes=10_000)


def document(type: str = "payment.attempted", **data: Any) -> dict[str, Any]:
    data = {"amount": 1299, **data} if type == "payment.attempted" else data
    return {"specversion": "1.0", "id": "e1", "source": "till", "type": type, "time": NOW, "data": data}


def admit(door: Door, one: dict[str, Any], **more: Any) -> Event:
    return door.admit(one, now=NOW, live=True, **more)


def refusal(door: Door, one: Any, **more: Any) -> BadEvent:
    with pytest.raises(BadEvent) as caught:
        door.admit(one, **{"now": NOW, "live": True, **more})
    return caught.value


# What is kept ---------------------------------------------------------------------------------------------------


def test_keys_of_people_become_pseudonyms_and_open_fields_stay(door: Door, vault: KeyVault) -> None:
    """An account is its keyed hash, an address of the network and an order stay as they are."""
    event = admit(door, document(account="alice", ip="203.0.113.7", order=4711, gateway="g1"))
    assert event.data["account"] == vault.pseudonym("shop", "account", "alice")
    assert event.data["ip"] == "203.0.113.7"
    assert event.data["order"] == "4711"
    assert event.shop == "shop"
    assert event.seq == event.tau == 0


def test_the_same_key_has_the_same_pseudonym_in_every_type(door: Door) -> None:
    """A label that repeats a card names the same card; a number and its digits are one key."""
    paid = admit(door, document(card=9001))
    label = admit(door, document("label.given", of="e1", label="fraud", card="9001"))
    plain = admit(door, document("parcel.weighed", card="9001"))
    assert paid.data["card"] == label.data["card"] == plain.data["card"]


def test_sealed_values_are_encrypted_under_their_subject(door: Door, vault: KeyVault) -> None:
    """The data holds no mail and no phone; the account's key opens them."""
    event = admit(door, document(account="alice", email="a@b.example", phone=13800138000, name="Alice"))
    assert event.data.keys() == {"amount", "account"}
    assert b"a@b.example" not in msgspec.json.encode(event)
    subject = sealed_under(event.data, event.source, event.id)
    assert subject == f"account:{event.data['account']}"
    clear = vault.open("shop", subject, event.sealed, who="test", why="test")
    assert clear == {"email": "a@b.example", "phone": "13800138000", "name": "Alice"}


def test_sealed_values_without_a_person_belong_to_the_event(door: Door, vault: KeyVault) -> None:
    """Without account, device, card, address and session the event itself is the subject."""
    event = admit(door, document(email="a@b.example"))
    assert vault.open("shop", "event:till/e1", event.sealed, who="t", why="t") == {"email": "a@b.example"}


def test_free_text_is_masked(door: Door) -> None:
    """A card in a message and a mail in a query string are gone, the rest is there."""
    event = admit(door, document("message.received", text="my card 4111111111111111, order 1001"))
    assert event.data["text"] == "my card [card], order 1001"
    request = admit(door, document("http.request", path="/r?m=a%40b.example&x=1"))
    assert request.data["path"] == "/r?m=[mail]&x=1"


def test_unknown_fields_and_types_are_kept(door: Door) -> None:
    """What the vocabulary does not know comes through unchanged, of whatever shape."""
    extra = {"colour": "red", "deep": {"list": [1, 2.5, None, {"a": True}]}, "n": 7}
    assert admit(door, document(**extra)).data == {"amount": 1299, **extra}
    assert admit(door, document("robot.charged", level=0.5)).data == {"level": 0.5}


def test_personal_names_inside_unknown_objects_are_hidden(door: Door, vault: KeyVault) -> None:
    """A customer object of a foreign schema does not carry mails and accounts past the door."""
    event = admit(door, document("crm.synced", customer={"account": 5, "email": "a@b.example", "tags": ["x"]}))
    assert event.data["customer"] == {"account": vault.pseudonym("shop", "account", "5"), "tags": ["x"]}
    assert event.sealed.keys() == {"customer.email"}


@pytest.mark.parametrize(
    ("time", "microseconds"),
    [
        ("2026-11-18T11:06:40Z", 1_795_000_000_000_000),
        ("2026-11-18T19:06:40.25+08:00", 1_795_000_000_250_000),
        (1_795_000_000_000_001, 1_795_000_000_000_001),
    ],
)
def test_times_are_rfc_3339_or_microseconds(door: Door, time: Any, microseconds: int) -> None:
    """Whatever the offset, inside there is one kind of time."""
    assert admit(door, {**document(), "time": time}).time == microseconds


def test_a_live_event_without_time_happened_now(door: Door) -> None:
    """A file has its own clock, so there the time must be in the data."""
    timeless = {name: value for name, value in document().items() if name != "time"}
    assert admit(door, timeless).time == NOW
    assert refusal(door, timeless, live=False).code == "missing"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("2001:DB8:0::1", "2001:db8::1"), ("::ffff:203.0.113.7", "203.0.113.7"), ("10.0.0.1", "10.0.0.1")],
)
def test_addresses_have_one_form(door: Door, given: str, kept: str) -> None:
    """Two ways to write one address are one key."""
    assert admit(door, document(ip=given)).data["ip"] == kept


@pytest.mark.parametrize(
    ("subject", "data", "kept"),
    [
        ("account:alice", {}, "account:{alice}"),
        ("alice", {"account": "alice"}, "account:{alice}"),
        ("ip:203.0.113.7", {}, "ip:203.0.113.7"),
        ("order:1001", {}, "order:1001"),
        ("someone we do not know", {}, ""),
        ("staff:bob", {}, ""),
    ],
)
def test_a_subject_never_carries_a_persons_key(
    door: Door, vault: KeyVault, subject: str, data: dict[str, str], kept: str
) -> None:
    """entity:key is pseudonymised where the entity is personal, kept where it is not, dropped where nobody knows."""
    event = admit(door, {**document(**data), "subject": subject})
    assert event.subject == kept.replace("{alice}", vault.pseudonym("shop", "account", "alice"))


def test_nulls_and_empty_keys_are_absent(door: Door) -> None:
    """Null and an empty key say that there is none."""
    assert admit(door, document(account=None, card="", order="")).data == {"amount": 1299}
    assert refusal(door, document("order.shipped", order="")).code == "missing"


# What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "field", "code", "says"),
    [
        ({"amount": 12.99}, "data.amount", "wrong-type", "minor units"),
        ({"amount": "1299"}, "data.amount", "wrong-type", "minor units"),
        ({"amount": True}, "data.amount", "wrong-type", "minor units"),
        ({"amount": 10**16}, "data.amount", "out-of-range", "minor units"),
        ({"amount": None}, "data.amount", "missing", "missing"),
        ({"currency": "cny"}, "data.currency", "wrong-type", "ISO 4217"),
        ({"ip": "203.0.113.777"}, "data.ip", "wrong-type", "IPv4"),
        ({"ip": "203.0.113"}, "data.ip", "wrong-type", "IPv4"),
        ({"status": "perhaps"}, "data.status", "out-of-range", "succeeded"),
        ({"duration_ms": 1.5}, "data.duration_ms", "wrong-type", "integer"),
        ({"account": ["a"]}, "data.account", "wrong-type", "key"),
        ({"account": 1.5}, "data.account", "wrong-type", "key"),
        ({"account": "x" * 1025}, "data.account", "oversized", "1024"),
        ({"extra": 2**63}, "data.extra", "out-of-range", "64 bits"),
        ({"extra": {"n": [2**64]}}, "data.extra.n[0]", "out-of-range", "64 bits"),
        ({"bulk": "x" * 10_000}, "", "oversized", "10000"),
    ],
)
def test_a_refusal_names_field_and_reason(door: Door, data: dict[str, Any], field: str, code: str, says: str) -> None:
    """Whoever sent it can mend it from the answer alone."""
    error = refusal(door, document(**data))
    assert (error.field, error.code) == (field, code)
    assert says in error.reason


@pytest.mark.parametrize(
    ("lines", "field", "code"),
    [
        ("two shoes", "data.items", "wrong-type"),
        (["shoe"], "data.items[0]", "wrong-type"),
        ([{"sku": "s"}], "data.items[0].quantity", "missing"),
        ([{"sku": "s", "quantity": 1}, {"quantity": 1}], "data.items[1].sku", "missing"),
        ([{"sku": "s", "quantity": -1}], "data.items[0].quantity", "out-of-range"),
        ([{"sku": "s", "quantity": 1, "price": 9.5}], "data.items[0].price", "wrong-type"),
    ],
)
def test_item_lists_are_checked_line_by_line(door: Door, lines: Any, field: str, code: str) -> None:
    """The refusal names the line."""
    error = refusal(door, document("order.returned", order="1", items=lines))
    assert (error.field, error.code) == (field, code)


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"id": ""}, "id", "missing"),
        ({"id": 5}, "id", "wrong-type"),
        ({"source": None}, "source", "missing"),
        ({"type": "x" * 513}, "type", "oversized"),
        ({"type": "tocsin.rules"}, "type", "out-of-range"),
        ({"specversion": "0.3"}, "specversion", "out-of-range"),
        ({"time": "yesterday"}, "time", "wrong-type"),
        ({"time": "2026-11-18T11:06:40"}, "time", "wrong-type"),
        ({"time": True}, "time", "wrong-type"),
        ({"time": -1}, "time", "out-of-range"),
        ({"data": [1]}, "data", "wrong-type"),
        ({"shop": "other"}, "shop", "out-of-range"),
        ({"subject": 7}, "subject", "wrong-type"),
    ],
)
def test_attributes_are_those_of_cloudevents(door: Door, change: dict[str, Any], field: str, code: str) -> None:
    """Each wrong attribute is named."""
    error = refusal(door, {**document(), **change}, shop="shop")
    assert (error.field, error.code) == (field, code)


def test_specversion_is_asked_for_where_the_content_type_promises_it(door: Door) -> None:
    """NDJSON may leave it out, CloudEvents content types may not."""
    bare = {name: value for name, value in document().items() if name != "specversion"}
    assert admit(door, bare).id == "e1"
    assert refusal(door, bare, strict=True).code == "missing"


@pytest.mark.parametrize("one", [None, 5, "event", [document()]])
def test_an_event_is_an_object(door: Door, one: Any) -> None:
    """Anything else is malformed."""
    assert refusal(door, one).code == "malformed"


def test_the_age_limits_hold_to_the_microsecond_and_only_live(door: Door) -> None:
    """5 minutes back, 60 seconds ahead; files run on the data's clock."""
    for time, code in ((NOW - 5 * MINUTE, ""), (NOW - 5 * MINUTE - 1, "too-old"), (NOW + MINUTE, "")):
        one = {**document(), "time": time}
        assert (refusal(door, one).code if code else admit(door, one).time) == (code or time)
    assert refusal(door, {**document(), "time": NOW + 60 * SECOND + 1}).code == "too-far-ahead"
    assert door.admit({**document(), "time": NOW - 400 * DAY}, now=NOW, live=False).time == NOW - 400 * DAY


def test_deep_nesting_is_refused_not_crashed_on(door: Door) -> None:
    """A tower of brackets is malformed."""
    tower: Any = 1
    for _ in range(200):
        tower = [tower]
    assert refusal(door, document(extra=tower)).code == "malformed"


_SECRET = st.text(alphabet="qwzxjkvQWZXJKV", min_size=12, max_size=30)
_HIDDEN = sorted(
    {
        (kind.name, field.name)
        for kind in VOCABULARY.values()
        for field in kind.fields
        if field.privacy in (Privacy.SEALED, Privacy.PSEUDONYM)
    }
)


@given(st.sampled_from(_HIDDEN), _SECRET, st.sampled_from(["list", "long", "object", "other"]))
def test_no_refusal_and_no_dead_letter_shows_a_hidden_value(
    door: Door, place: tuple[str, str], secret: str, wrong: str
) -> None:
    """Whatever is wrong with an event, the answer and the box hold no sealed or pseudonym value."""
    kind, field = place
    value: Any = {"list": [secret], "long": secret * 100, "object": {"x": secret}, "other": secret}[wrong]
    one = document(kind, **{field: value, "amount": 0.5 if wrong == "other" else 5})
    one["subject"] = f"account:{secret}"
    one["time"] = NOW - HOUR
    error = refusal(door, one)
    assert secret not in error.reason + error.field
    assert secret not in str(door.bury(one, shop="shop"))
    assert secret not in str(redact(one))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = sorted({field.name for kind in VOCABULARY.values() for field in kind.fields})


@given(
    st.sampled_from(sorted(VOCABULARY)) | st.text(min_size=1, max_size=10),
    st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=8), _JSON, max_size=6),
    st.dictionaries(st.sampled_from(["id", "source", "time", "subject", "shop", "data"]), _JSON, max_size=2),
)
def test_whatever_comes_is_an_event_that_can_be_stored_or_a_refusal(
    door: Door, type: str, data: dict[str, Any], change: dict[str, Any]
) -> None:
    """Nothing else leaves the door; what is admitted survives the journal's encoding, what is refused can be buried."""
    one = {**document(type), "data": data, **change}
    try:
        event = admit(door, one)
    except BadEvent as error:
        assert error.reason and error.code
        door.bury(one, shop="shop")
        return
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


# Dead letters ---------------------------------------------------------------------------------------------------


def test_a_buried_event_comes_back_whole_once_it_is_mended(door: Door, vault: KeyVault) -> None:
    """Pseudonyms and sealed values survive in the letter without being readable: mending one field is enough."""
    customer = {"device": "d1", "phone": 13800138000, "name": "kept"}
    one = document(account="alice", email="a@b.example", amount=12.99, note="hello", customer=customer)
    letter = msgspec.json.decode(msgspec.json.encode(door.bury(one, shop="shop")))
    assert letter["data"]["account"].keys() == {PSEUDONYM_MARK}
    assert letter["data"]["email"].keys() == {SEALED_MARK}
    letter["data"]["amount"] = 1299
    event = door.admit(letter, now=NOW, live=True, shop="shop", redriven=True)
    right = admit(door, {**one, "data": {**one["data"], "amount": 1299}})
    assert event.data == right.data
    assert event.data["customer"].keys() == {"device", "name"}
    subject = f"account:{event.data['account']}"
    clear = vault.open("shop", subject, event.sealed, who="t", why="t")
    assert clear == {"email": "a@b.example", "customer.phone": "13800138000"}


def test_nobody_slips_a_pseudonym_in_through_a_live_door(door: Door) -> None:
    """The marks of dead letters mean nothing to a sender."""
    assert refusal(door, document(account={PSEUDONYM_MARK: "abc"})).code == "wrong-type"


def test_a_letter_may_be_as_old_as_ids_are_remembered(door: Door) -> None:
    """Within 24 hours a duplicate is still recognised, so a person may drive a late event in; not after."""
    late = {**document(), "time": NOW - 23 * HOUR}
    assert door.admit(late, now=NOW, live=True, redriven=True).time == late["time"]
    assert refusal(door, {**document(), "time": NOW - 25 * HOUR}, redriven=True).code == "too-old"


# The schemas say the same ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(VOCABULARY))
def test_every_type_has_a_valid_schema(name: str) -> None:
    """JSON Schema 2020-12 takes each generated document."""
    schema = schema_document(name)
    assert schema is not None
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "data", [{"amount": 1299, "currency": "CNY"}, {"amount": 1.5}, {"status": "no"}, {"amount": 1, "currency": "yuan"}]
)
def test_schema_and_door_agree(door: Door, data: dict[str, Any]) -> None:
    """What the published schema refuses the door refuses, and the other way round."""
    one = {**document("order.placed"), "type": "payment.attempted", "data": data}
    schema = schema_document("payment.attempted")
    assert schema is not None
    valid = jsonschema.Draft202012Validator(schema).is_valid(one)
    try:
        admit(door, one)
    except BadEvent:
        assert not valid
    else:
        assert valid


def test_a_folder_of_keys_is_needed_only_once(tmp_path: Path) -> None:
    """The same installation gives the same pseudonym after a restart."""
    records = MemoryRecords()
    first = Door(KeyVault(records, tmp_path)).admit(document(card="c"), now=NOW, live=True)
    second = Door(KeyVault(records, tmp_path)).admit(document(card="c"), now=NOW, live=True)
    assert first.data == second.data
