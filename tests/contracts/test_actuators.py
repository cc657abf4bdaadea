"""Every actuator keeps the contract: a repeated do or undo gives the same receipt and has no second effect."""

from __future__ import annotations

import pytest

from tocsin.actuators.shadow import ShadowActuator
from tocsin.actuators.shop import ShopActuator
from tocsin.actuators.webhook import WebhookActuator
from tocsin.testing import LoopbackReceiver, check_actuator

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_shadow() -> None:
    actuator = ShadowActuator()
    check_actuator(actuator, lambda: len(actuator.entries))


@pytest.mark.parametrize("kind", [WebhookActuator, ShopActuator])
def test_over_http_at_a_real_receiver(kind: type[WebhookActuator]) -> None:
    with LoopbackReceiver(SECRET) as receiver:
        actuator = kind(receiver.url, SECRET)
        check_actuator(actuator, lambda: len(receiver.effects))
        actuator.close()
        assert receiver.refused == 0


def test_the_demo_store_answers_the_same_protocol() -> None:
    """Names and body are those that the store's door reads."""
    with LoopbackReceiver(SECRET) as receiver:
        actuator = ShopActuator(receiver.url, SECRET)
        check_actuator(actuator, lambda: len(receiver.effects))
        actuator.close()
        (first, *_) = receiver.effects.values()
    assert first["type"] == "action.do"
    assert set(first["action"]) == {"id", "shop", "verb", "target", "key", "args", "ttl_s", "incident"}
