"""Actions that the store obeys: what they change, that they change it once, and that they end."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from standardwebhooks import Webhook

from tocsin.core.events import HOUR, MINUTE, SECOND
from tocsin.core.signal import Decision
from tocsin.twin.controls import Controls, Refused
from tocsin.twin.door import Door
from tocsin.twin.store import Recorder, Store
from tocsin.twin.trouble import Trouble, compose, named
from tocsin.twin.world import EPOCH, Payer

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = EPOCH + 12 * HOUR
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests....").decode()


def wish(verb: str, key: str, *, identity: str = "a1", ttl_s: int = 600, **args: Any) -> dict[str, Any]:
    return {"id": identity, "verb": verb, "target": f"x:{key}", "key": key, "ttl_s": ttl_s, "args": args}


def test_an_action_is_in_force_until_its_ttl_is_over() -> None:
    """600 seconds: in force at 0 and 599 s, not at 600 s."""
    controls = Controls()
    controls.do(wish("ip.block", "203.0.113.7"), 0)
    assert [controls.active("ip.block", "203.0.113.7", s * SECOND) for s in (0, 599, 600)] == [True, True, False]


def test_the_same_action_twice_is_one_and_its_undo_ends_it() -> None:
    """Repeating neither prolongs it nor starts it again after the undo; undoing twice or unknown is harmless."""
    controls = Controls()
    action = wish("payment.freeze", "card-1")
    assert controls.do(action, 0) == controls.do(action, 300 * SECOND)
    assert len(controls.history) == 1
    controls.undo(action, 400 * SECOND)
    controls.undo(action, 500 * SECOND)
    controls.undo(wish("ip.block", "b", identity="never"), 0)
    controls.do(action, 410 * SECOND)
    assert [controls.active("payment.freeze", "card-1", s * SECOND) for s in (399, 400, 420)] == [True, False, False]


@pytest.mark.parametrize(
    "action",
    [
        wish("world.end", "now"),
        {**wish("payment.freeze", ""), "key": ""},
        wish("gateway.failover", "no-such-pay"),
        {**wish("ip.block", "1.2.3.4"), "id": ""},
        {**wish("ip.block", "1.2.3.4"), "ttl_s": -1},
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_a_reason(action: dict[str, Any]) -> None:
    """Unknown verbs and gateways, hidden keys and bad numbers are refused and leave nothing behind."""
    controls = Controls()
    with pytest.raises(Refused):
        controls.do(action, 0)
    assert controls.history == []


def test_machines_are_added_as_asked() -> None:
    """Two wishes of two and three machines make five."""
    controls = Controls()
    controls.do(wish("service.scale", "web", replicas=2), 0)
    controls.do(wish("service.scale", "web", identity="a2", replicas=3), 0)
    assert controls.replicas(SECOND) == 5


def troubled(drill: str, strength: str = "strong") -> Trouble:
    spec = {**named(drill), "warm_up_s": 60, "start": 0, "duration_s": 1200}
    return compose(spec, seed=3, strength=strength, begin=NOON)


def test_blocked_crooks_cannot_attempt() -> None:
    """With every address of the group blocked no payment of theirs reaches a gateway, and nothing is lost to them."""
    trouble = troubled("card-testing")
    free = Store(3, Recorder(), start=NOON, troubles=[trouble])
    free.run(NOON + 30 * MINUTE)
    recorder = Recorder()
    store = Store(3, recorder, start=NOON, troubles=[trouble])
    addresses = {s.removeprefix("ip:") for s in free.guilty["card-testing"] if s.startswith("ip:")}
    for ip in addresses:
        store.controls.do(wish("ip.block", ip, identity=ip, ttl_s=3600), store.now)
    store.run(NOON + 30 * MINUTE)
    assert len(free.books.harm["card-testing"]) > 300
    assert "card-testing" not in store.books.harm
    attempts = [e for e in recorder.events if e["type"] == "payment.attempted" and e["data"]["ip"] in addresses]
    assert attempts == []
    refused = [e for e in recorder.events if e["type"] == "http.request" and e["data"]["ip"] in addresses]
    assert refused
    assert {e["data"]["status"] for e in refused} == {403}


def test_blocked_innocents_cost_the_store_their_orders() -> None:
    """Blocking every customer of a busy half hour loses sales, and the books say so."""
    recorder = Recorder()
    Store(5, recorder, start=NOON).run(NOON + 30 * MINUTE)
    free = Store(5, Recorder(), start=NOON)
    free.run(NOON + 30 * MINUTE)
    store = Store(5, Recorder(), start=NOON)
    for ip in {e["data"]["ip"] for e in recorder.events if "ip" in e["data"]}:
        store.controls.do(wish("ip.block", ip, identity=ip, ttl_s=3600), store.now)
    store.run(NOON + 30 * MINUTE)
    assert len(store.books.orders) < len(free.books.orders) / 4
    assert store.books.summary()["lost_lost_sales"] > free.books.summary()["lost_lost_sales"] + 100_000


def test_failover_moves_payments_and_saves_orders() -> None:
    """During an outage no payment goes to the gateway that was left, and fewer orders are cancelled."""
    trouble = troubled("gateway-outage")
    alone = Store(3, Recorder(), start=NOON, troubles=[trouble])
    alone.run(NOON + 30 * MINUTE)
    recorder = Recorder()
    store = Store(3, recorder, start=NOON, troubles=[trouble])
    store.controls.do(wish("gateway.failover", "alpha-pay", ttl_s=3600), store.now)
    store.run(NOON + 30 * MINUTE)
    gateways = {e["data"]["gateway"] for e in recorder.events if e["type"] == "payment.attempted"}
    assert "alpha-pay" not in gateways
    assert store.books.summary()["cancelled"] < alone.books.summary()["cancelled"]
    assert store.books.summary()["lost_routing"] > 0


def test_protection_keeps_robots_out_and_the_shop_upright() -> None:
    """With every stranger challenged a flood harms a twentieth of what it did."""
    trouble = troubled("request-flood", "medium")
    alone = Store(3, Recorder(), start=NOON, troubles=[trouble])
    alone.run(NOON + 25 * MINUTE)
    store = Store(3, Recorder(), start=NOON, troubles=[trouble])
    store.controls.do(wish("shop.protect", "shop", ttl_s=3600), store.now)
    store.run(NOON + 25 * MINUTE)
    assert len(store.books.harm["request-flood"]) < len(alone.books.harm["request-flood"]) / 20
    assert store.books.lost() < alone.books.lost()


class _Strict(Recorder):
    """Denies every payment."""

    def ask(self, event: dict[str, Any]) -> Decision:
        super().ask(event)
        return Decision.DENY if event["type"] == "payment.attempted" else Decision.ALLOW


def test_a_denied_payment_is_not_taken() -> None:
    """Where Tocsin denies every payment no order is paid and no money comes in."""
    store = Store(2, _Strict(), start=NOON)
    store.run(NOON + 30 * MINUTE)
    assert store.books.taken == 0
    assert store.books.summary()["paid"] == 0


@pytest.fixture
def door() -> Iterator[tuple[Door, Controls]]:
    opened, controls = Door(SECRET).start(), Controls()
    opened.attach(controls, lambda: 5 * SECOND)
    yield opened, controls
    opened.stop()


def post(door: Door, body: dict[str, Any], identity: str, secret: str = SECRET) -> httpx.Response:
    payload = msgspec.json.encode(body).decode()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identity, now, payload),
    }
    return httpx.post(door.url, content=payload, headers=headers, timeout=5)


def test_the_door_obeys_signed_wishes_once(door: tuple[Door, Controls]) -> None:
    """A repeated webhook-id gets the same answer and has no second effect; the undo ends it."""
    opened, controls = door
    body = {"type": "action.do", "action": wish("ip.block", "203.0.113.7")}
    first, second = post(opened, body, "a1.do"), post(opened, body, "a1.do")
    assert (first.status_code, first.json()["ok"]) == (200, True)
    assert first.json() == second.json()
    assert len(controls.history) == 1
    assert post(opened, {**body, "type": "action.undo"}, "a1.undo").status_code == 200
    assert not controls.active("ip.block", "203.0.113.7", 6 * SECOND)


def test_the_door_refuses_wrong_signatures_and_bodies(door: tuple[Door, Controls]) -> None:
    """401 for another secret, 400 for another shape, 422 for what this store cannot do; nothing is done."""
    opened, controls = door
    other = "whsec_" + base64.b64encode(b"another secret of the tests").decode()
    body = {"type": "action.do", "action": wish("ip.block", "203.0.113.7")}
    assert post(opened, body, "b1.do", other).status_code == 401
    assert post(opened, {"type": "hello"}, "b2.do").status_code == 400
    assert post(opened, {"type": "action.do", "action": wish("world.end", "x")}, "b3.do").status_code == 422
    assert controls.history == []


def test_a_step_up_stops_most_crooks_and_few_customers() -> None:
    """The share that passes is below a tenth for crooks and above nine tenths for honest people."""
    from tocsin.twin.checkout import step_up

    store = Store(1, Recorder(), start=NOON)
    passed = {}
    for guilty in ("", "takeover"):
        draws = store.draws("step-up", guilty)
        payer = Payer(ip="", device="d", agent="", country="CN", guilty=guilty)
        passed[guilty] = sum(step_up(store, draws, payer, wanted=True) for _ in range(500)) / 500
    assert passed[""] > 0.9
    assert passed["takeover"] < 0.1
