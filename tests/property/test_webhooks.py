"""Whatever a receiver does and whenever the sender dies, each transition is taken, in order, under one id and body."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import pytest

from models.alerts import TRANSITION_KINDS, with_transitions
from models.codec import encode_row
from models.webhook_messages import messages_of
from streams.settings.webhooks import WebhookSettings
from streams.webhooks.delivery import Delivery
from streams.webhooks.posting import Attempt, Outcome
from tests.support.clocks import WallClock
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.webhook_messages import WebhookMessage

ACCOUNTS = [f"d:0x{at:040x}".encode() for at in range(6)]
HEDGERS = [f"0x{at:040x}" for at in (0xB1, 0xB2)]
ROUNDS = 60
SETTINGS = WebhookSettings.model_validate(
    {
        "url": "https://desk.example/",
        "secret": "whsec_" + "A" * 32,
        "kinds": tuple(kind for kinds in TRANSITION_KINDS for kind in kinds),
    }
)


def valuation(as_of_ms: int) -> dict[str, object]:
    figures = dict.fromkeys(("upnl", "notional", "available_balance"), "0")
    told = {"block": 1, "status": "valued", "stale": 0, "unpriced": 0, "distance_bps": None}
    made = {"account_order": [1, 1], "position": [1, 1], "positions": ()}
    return {"as_of_ms": as_of_ms, **told, **made, **figures}


class World:
    """Accounts whose alarms come and go, and their rows."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.rows: dict[bytes, bytes] = {}
        self._bodies: dict[bytes, dict[str, object]] = {}
        self.listener: Delivery | None = None

    def moves(self) -> None:
        """The alarms of one account and its hedgers change; its row has the newest transitions alone."""
        key = self._chance.choice(ACCOUNTS)
        before = self._bodies.get(key)
        alarms = self._chance.randrange(16)
        hedgers = [hedger for hedger in HEDGERS if self._chance.random() < 0.5]
        shown = {**valuation(len(self.rows)), "liquidatable_hedgers": hedgers}
        body = with_transitions(key, before, alarms, shown, {})
        self._bodies[key] = body
        self.rows[key] = encode_row(1, int(body["count"]), body)
        if self.listener is not None:
            self.listener.changed([key])


class Receiver:
    """Refuses, hangs up, takes a message and does not say so, or takes it: as chance has it, until told to behave."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.is_hostile = True
        self.heard: list[WebhookMessage] = []

    async def post(self, message: WebhookMessage) -> Attempt:
        await asyncio.sleep(self._chance.uniform(0, 3))
        does = self._chance.choice([*Outcome]) if self.is_hostile else Outcome.DELIVERED
        if does is Outcome.DELIVERED or (does is Outcome.UNREACHABLE and self._chance.random() < 0.5):
            self.heard.append(message)
        await asyncio.sleep(self._chance.uniform(0, 3))
        return Attempt(does, "as chance has it", self._chance.choice([None, 7.0]))


class Progress:
    """What stands in the topic: it is written a moment after it is told to be."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.taken: dict[bytes, int] = {}

    def of(self, key: bytes) -> int:
        return self.taken.get(key, 0)

    async def advance(self, key: bytes, ordinal: int) -> None:
        await asyncio.sleep(self._chance.uniform(0, 1))
        self.taken[key] = ordinal


async def played(seed: int) -> tuple[World, Receiver, Progress]:
    chance = random.Random(seed)
    world, receiver, progress = World(chance), Receiver(chance), Progress(chance)

    def begun() -> asyncio.Task[None]:
        clock = WallClock(lambda: 0)
        delivery = Delivery(
            "desk", SETTINGS, rows=world.rows, epoch=1, progress=progress, poster=receiver, clock=clock, chance=chance
        )
        world.listener = delivery
        delivery.changed([*world.rows])
        return asyncio.create_task(delivery.run())

    task = begun()
    for at in range(ROUNDS):
        world.moves()
        await asyncio.sleep(chance.uniform(0, 40))
        if at % 15 == 14:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            task = begun()
    receiver.is_hostile = False
    # The longest back-off is 300 s.
    await asyncio.sleep(1_000)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return world, receiver, progress


def of_account(messages: Sequence[WebhookMessage], key: bytes) -> list[WebhookMessage]:
    return [one for one in messages if json.loads(one.body)["data"]["account"] == key.decode()]


@pytest.mark.parametrize("seed", range(15))
def test_each_transition_is_taken_at_least_once_in_the_order_of_its_account(seed: int) -> None:
    world, receiver, progress = run_in_no_time(played(seed), least_step_s=1e-6)

    for key, row in world.rows.items():
        standing = messages_of(key.decode(), json.loads(row[16:]), epoch=1, after=0)
        heard = of_account(receiver.heard, key)
        first = list(dict.fromkeys(heard))
        assert set(standing) <= set(heard)
        assert sorted(first, key=lambda one: one.ordinal) == first
        assert len({one.id for one in first}) == len(first)
        assert progress.of(key) == standing[-1].ordinal


def test_a_transition_that_was_taken_is_not_sent_again_by_one_that_starts_anew() -> None:
    async def twice() -> list[WebhookMessage]:
        chance = random.Random(0)
        world, receiver, progress = World(chance), Receiver(chance), Progress(chance)
        receiver.is_hostile = False
        for _ in range(20):
            world.moves()
        for _ in range(2):
            delivery = Delivery(
                "desk", SETTINGS, rows=world.rows, epoch=1, progress=progress, poster=receiver,
                clock=WallClock(lambda: 0), chance=chance,
            )  # fmt: skip
            delivery.changed([*world.rows])
            task = asyncio.create_task(delivery.run())
            await asyncio.sleep(1_000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return receiver.heard

    heard = run_in_no_time(twice(), least_step_s=1e-6)

    assert heard
    assert len({message.id for message in heard}) == len(heard)
