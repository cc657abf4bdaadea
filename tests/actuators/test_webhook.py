"""The webhook tells what may be tried again from what may not, and never sends a pseudonym as a key."""

from __future__ import annotations

import pytest

from tocsin.actuators.shadow import ShadowActuator
from tocsin.actuators.shop import ShopActuator
from tocsin.actuators.webhook import WebhookActuator, open_key
from tocsin.errors import Misconfigured
from tocsin.testing import LoopbackReceiver, made_up_action

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.mark.parametrize(
    ("status", "retry"), [(500, True), (503, True), (429, True), (408, True), (400, False), (409, False)]
)
def test_what_may_pass_by_itself_is_tried_again_and_nothing_else(status: int, retry: bool) -> None:
    with LoopbackReceiver(SECRET, answers=[status]) as receiver:
        actuator = WebhookActuator(receiver.url, SECRET)
        receipt = actuator.do(made_up_action(), {})
        assert (receipt.ok, receipt.retry, receipt.detail) == (False, retry, f"HTTP {status}")
        assert actuator.do(made_up_action(), {}).ok
        assert len(receiver.effects) == 1
        actuator.close()


def test_a_wrong_secret_is_final_and_has_no_effect() -> None:
    with LoopbackReceiver(SECRET) as receiver:
        actuator = WebhookActuator(receiver.url, OTHER)
        receipt = actuator.do(made_up_action(), {})
        assert (receipt.ok, receipt.retry) == (False, False)
        assert receiver.refused == 1 and not receiver.effects
        actuator.close()


def test_a_receiver_that_is_slow_or_gone_may_be_tried_again() -> None:
    with LoopbackReceiver(SECRET, delay_s=5.0) as receiver:
        actuator = WebhookActuator(receiver.url, SECRET, timeout_s=0.2)
        slow = actuator.do(made_up_action(), {})
        assert (slow.ok, slow.retry) == (False, True) and "Timeout" in slow.detail
    gone = actuator.undo(made_up_action())
    assert (gone.ok, gone.retry) == (False, True)
    actuator.close()


def test_the_clear_key_is_sent_where_it_is_known_and_a_pseudonym_never() -> None:
    with LoopbackReceiver(SECRET) as receiver:
        actuator = WebhookActuator(receiver.url, SECRET)
        action = made_up_action("account.stepup")
        actuator.do(action, {"key": "mei@example.com"})
        actuator.undo(action)
        sent = [document["action"]["key"] for document in receiver.effects.values()]
        actuator.close()
    assert sent == ["mei@example.com", ""]
    assert (open_key("ip:2001:db8::1"), open_key("card:5f0c")) == ("2001:db8::1", "")


@pytest.mark.parametrize("url", ["", "shop.example.com/actions", "ftp://shop.example.com", "http://"])
def test_an_address_that_cannot_be_posted_to_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="webhook address"):
        WebhookActuator(url, SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "not base64!"])
def test_a_secret_that_cannot_sign_is_refused(secret: str) -> None:
    with pytest.raises(Misconfigured, match="secret"):
        WebhookActuator("http://127.0.0.1:1/actions", secret)


def test_a_shop_is_never_told_to_notify_and_shadow_forgets_the_oldest() -> None:
    assert "notify" not in ShopActuator("http://127.0.0.1:1/", SECRET).verbs
    shadow = ShadowActuator(keep=2)
    for number in range(3):
        shadow.do(made_up_action(number=number), {})
    assert [entry.action.target for entry in shadow.entries] == ["ip:203.0.113.1", "ip:203.0.113.2"]
