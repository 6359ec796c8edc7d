"""What is counted as missed: transitions that were wanted and are gone, and no others."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from models.alerts import LIQUIDATABLE, QUIET, UNPRICED, with_transitions
from models.codec import encode_row
from streams.webhooks.delivery import Delivery
from tests.property.test_webhooks import ACCOUNTS, SETTINGS, Progress, Receiver, valuation
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from typing import Any

KEY = ACCOUNTS[0]


@pytest.mark.parametrize(("alarm", "missed"), [(UNPRICED, 0), (LIQUIDATABLE, 12)])
def test_what_nobody_wants_is_not_missed(alarm: int, missed: int) -> None:
    body: dict[str, Any] | None = None
    for at in range(20):
        body = with_transitions(KEY, body, QUIET if at % 2 else alarm, valuation(at), {})
    assert body is not None
    chance = random.Random(1)
    name = f"missed-{alarm}"
    settings = SETTINGS.model_copy(update={"kinds": ("liquidatable", "recovered")})
    delivery = Delivery(
        name,
        settings,
        rows={KEY: encode_row(1, 20, body)},
        epoch=1,
        progress=Progress(chance),
        poster=Receiver(chance),
        clock=WallClock(lambda: 0),
        chance=chance,
    )

    delivery._next(KEY)

    assert missed == (REGISTRY.get_sample_value("tidemark_webhook_missed_total", {"webhook": name}) or 0)
