"""Places of a user's connections. Leases that were not started hold what one replica alone allows."""

from __future__ import annotations

import asyncio

from api.access.connection_leases import USER_CONNECTIONS, UserPlace
from models.leases import Limit
from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Leases
from streams.settings import Settings
from tests.support.eventually import eventually

LIMIT = Limit(USER_CONNECTIONS, 2)


class Connection:
    """One that ends where there is no place for it."""

    def __init__(self, leases: Leases) -> None:
        self.refused = 0
        self.place = UserPlace(leases, LIMIT, self._end)

    def _end(self) -> None:
        self.refused += 1


async def test_a_user_has_so_many_places_and_those_that_are_left_are_free_again() -> None:
    leases = Leases(Settings(kafka="127.0.0.1:1"), SystemClock())
    first, second, third, other = (Connection(leases) for _ in range(4))
    for connection in (first, second, third):
        connection.place.take("desk-1")
        connection.place.take("desk-1")
    other.place.take("desk-2")
    await eventually(lambda: third.refused == 1)

    assert [0, 0, 1, 0] == [connection.refused for connection in (first, second, third, other)]
    first.place.leave()
    fourth = Connection(leases)
    fourth.place.take("desk-1")
    fifth = Connection(leases)
    fifth.place.take("desk-1")
    await eventually(lambda: fifth.refused == 1)
    assert 0 == fourth.refused


async def test_a_place_that_is_left_before_it_was_taken_is_not_taken() -> None:
    leases = Leases(Settings(kafka="127.0.0.1:1"), SystemClock())
    for _ in range(5):
        connection = Connection(leases)
        connection.place.take("desk-1")
        connection.place.leave()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(tasks)
    last = [Connection(leases) for _ in range(3)]
    for connection in last:
        connection.place.take("desk-1")
    await eventually(lambda: last[2].refused == 1)
    assert [0, 0] == [connection.refused for connection in last[:2]]


async def test_who_has_no_name_is_not_counted() -> None:
    leases = Leases(Settings(kafka="127.0.0.1:1"), SystemClock())
    connections = [Connection(leases) for _ in range(5)]
    for connection in connections:
        connection.place.take("")
        connection.place.leave()
    assert 1 == len(asyncio.all_tasks())
