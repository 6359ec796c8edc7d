"""Places of sockets, as one replica counts them while no broker answers; tests/integration has several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.dialects.flash.socket_places import Full, Place, SocketPlaces
from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Leases
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

MINE, THEIRS = "192.0.2.1", "198.51.100.7"


class Counted:
    """Places, and what was taken."""

    def __init__(self, most: int = 100, most_of_owner: int = 5) -> None:
        self.leases = Leases(Settings(), SystemClock())
        self.places = SocketPlaces(self.leases, "flash", most=most, most_of_owner=most_of_owner)

    async def take(self, owner: str, client: str, times: int = 1) -> Sequence[Place | Full]:
        return [await self.places.take(owner, client, lambda _: None) for _ in range(times)]


def granted(taken: Sequence[Place | Full]) -> int:
    return sum(isinstance(one, Place) for one in taken)


async def test_an_owner_has_five_places_from_an_address_and_the_sixth_is_refused() -> None:
    counted = Counted()
    taken = await counted.take("owner", MINE, 7)
    assert (5, [Full.OWNER] * 2) == (granted(taken), list(taken[5:]))
    assert "per-owner connection limit reached" == Full.OWNER.value


async def test_strangers_that_hold_all_they_can_do_not_keep_the_owner_out() -> None:
    counted = Counted()
    for stranger in range(50):
        await counted.take("owner", f"198.51.100.{stranger}", 5)
    # What they hold together is one each, and the four that are shared.
    assert (1, Full.OWNER) == (granted(await counted.take("owner", MINE)), (await counted.take("owner", MINE))[0])


async def test_a_place_that_is_given_back_is_taken_again_whichever_it_was() -> None:
    for which in range(5):
        counted = Counted()
        taken = await counted.take("owner", MINE, 5)
        given = taken[which]
        assert isinstance(given, Place)
        given.release()
        given.release()
        again = await counted.take("owner", MINE, 2)
        assert (1, Full.OWNER) == (granted(again), again[1])


async def test_everybody_together_has_so_many_places_and_one_that_finds_none_takes_none_of_its_owner() -> None:
    counted = Counted(most=3)
    taken = [place for owner in ("a", "b", "c") for place in await counted.take(owner, MINE)]
    assert 3 == granted(taken)
    assert [Full.EVERYBODY] * 10 == await counted.take("d", MINE, 10)
    for place in taken:
        assert isinstance(place, Place)
        place.release()
    assert 3 == granted(await counted.take("d", MINE, 3))


@pytest.mark.parametrize("most_of_owner", [1, 2])
async def test_an_owner_may_have_as_few_places_as_one(most_of_owner: int) -> None:
    counted = Counted(most_of_owner=most_of_owner)
    assert most_of_owner == granted(await counted.take("owner", MINE, 5))
    assert 1 == granted(await counted.take("owner", THEIRS, 5))
