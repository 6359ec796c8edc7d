from __future__ import annotations

import asyncio

from tidemark.presence import Presence


async def test_who_waits_for_the_broker_goes_on_when_it_comes_and_at_once_while_it_is_here() -> None:
    presence = Presence(is_here=False)
    waiting = asyncio.create_task(presence.wait())
    presence.came()
    await waiting
    await presence.wait()
    assert presence.is_here


async def test_only_a_broker_that_was_away_returns() -> None:
    presence = Presence(is_here=True)
    returned = asyncio.create_task(presence.returned())
    await asyncio.sleep(0)
    presence.came()
    await asyncio.sleep(0)
    assert not returned.done()
    presence.went()
    presence.came()
    await returned


async def test_who_waits_for_the_next_return_does_not_take_the_last_one_for_it() -> None:
    presence = Presence(is_here=False)
    presence.came()
    returned = asyncio.create_task(presence.returned())
    await asyncio.sleep(0)
    assert not returned.done()
    returned.cancel()
