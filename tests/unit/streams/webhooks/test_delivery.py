"""What is counted as missed: transitions that were wanted and are gone, and no others."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from models.alerts import HEDGER_TRANSITIONS, LIQUIDATABLE, QUIET, UNPRICED, with_transitions
from models.codec import encode_row
from streams.webhooks.delivery import Delivery
from tests.property.test_webhooks import ACCOUNTS, HEDGERS, SETTINGS, Progress, Receiver, valuation
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from typing import Any

KEY = ACCOUNTS[0]


def test_hedgers_that_came_and_went_a_few_times_each_are_not_missed_beside_what_nobody_wants() -> None:
    body: dict[str, Any] | None = None
    for at in range(24):
        hedgers = [HEDGERS[at % 2]] if at < 4 else []
        alarms = QUIET if at % 2 else UNPRICED
        body = with_transitions(KEY, body, alarms, {**valuation(at), "liquidatable_hedgers": hedgers}, {})

    assert body is not None
    assert 0 == missed_of("hedgers", ("hedger_liquidatable", "hedger_recovered"), body)


def test_hedgers_for_whose_transitions_a_row_has_no_place_are_missed_by_whoever_wants_them() -> None:
    many = [f"0x{at:040x}" for at in range(HEDGER_TRANSITIONS + 5)]
    body = with_transitions(KEY, None, QUIET, {**valuation(1), "liquidatable_hedgers": many}, {})

    assert 5 == missed_of("many", ("hedger_liquidatable", "hedger_recovered"), body)
    assert 0 == missed_of("many-unwanted", ("liquidatable", "recovered"), body)


@pytest.mark.parametrize(("alarm", "missed"), [(UNPRICED, 0), (LIQUIDATABLE, 12)])
def test_what_nobody_wants_is_not_missed(alarm: int, missed: int) -> None:
    body: dict[str, Any] | None = None
    for at in range(20):
        body = with_transitions(KEY, body, QUIET if at % 2 else alarm, valuation(at), {})
    assert body is not None
    assert missed == missed_of(f"missed-{alarm}", ("liquidatable", "recovered"), body)


@pytest.mark.parametrize(
    "wrong", [{"id": 7}, {"id": "x"}, {"as_of_ms": "x"}, {"as_of_ms": 0, "made_from": 7}, {"upnl": []}]
)
def test_a_row_that_something_else_wrote_concerns_its_account_alone(wrong: dict[str, Any]) -> None:
    body = with_transitions(KEY, None, LIQUIDATABLE, valuation(1), {})
    other = with_transitions(ACCOUNTS[1], None, LIQUIDATABLE, valuation(1), {})
    foreign = {**body, "transitions": [{**body["transitions"][0], **wrong}]}
    chance = random.Random(1)
    delivery = Delivery(
        "foreign",
        SETTINGS,
        rows={KEY: encode_row(1, 1, foreign), ACCOUNTS[1]: encode_row(1, 1, other)},
        epoch=1,
        progress=Progress(chance),
        poster=Receiver(chance),
        clock=WallClock(lambda: 0),
        chance=chance,
    )
    before = REGISTRY.get_sample_value("tidemark_unreadable_rows_total", {"table": "alerts"}) or 0

    assert delivery._next(KEY) is None
    assert delivery._next(ACCOUNTS[1]) is not None
    assert before + 1 == REGISTRY.get_sample_value("tidemark_unreadable_rows_total", {"table": "alerts"})


def missed_of(name: str, kinds: tuple[str, ...], body: dict[str, Any]) -> float:
    """How many transitions of a row a receiver that wants these kinds counts as missed."""
    chance = random.Random(1)
    settings = SETTINGS.model_copy(update={"kinds": kinds})
    delivery = Delivery(
        name,
        settings,
        rows={KEY: encode_row(1, int(body["count"]), body)},
        epoch=1,
        progress=Progress(chance),
        poster=Receiver(chance),
        clock=WallClock(lambda: 0),
        chance=chance,
    )

    delivery._next(KEY)

    return REGISTRY.get_sample_value("tidemark_webhook_missed_total", {"webhook": name}) or 0
