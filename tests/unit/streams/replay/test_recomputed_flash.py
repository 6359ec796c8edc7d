"""Baskets of Flash, recomputed: with the prices, the custodies and the time of the chain that their rows name."""

from __future__ import annotations

import pytest

from streams.replay.account_at import At, value_account_at
from streams.replay.row_check import Checking, RowReport, check_rows
from tests.support.flash import (
    NOW_S,
    OWNER,
    clock,
    references,
)
from tests.support.told_flash import ToldFlash, told_flash


async def check(world: ToldFlash) -> RowReport:
    return await check_rows(Checking(world.log(), world.settings, 60_000, {}, lambda _: None))


async def test_a_basket_is_valued_with_the_prices_and_the_time_of_the_instant() -> None:
    world = told_flash()
    first, first_ms = world.row(), world.now_ms
    world.tick("SOL", "160").refer({"clock": clock(NOW_S + 7_200)})
    second = world.row()
    for row, at_ms in ((first, first_ms), (second, world.now_ms)):
        found = await value_account_at(
            world.log(), world.settings, "flash", OWNER, At(time_ms=at_ms), on_record=lambda _: None
        )
        assert found is not None
        assert [found.body[name] for name in ("upnl", "upnl_net", "equity")] == [
            row[name] for name in ("upnl", "upnl_net", "equity")
        ]
    assert first["upnl_net"] != second["upnl_net"]


@pytest.mark.parametrize("max_age_ms", [10**12, 2_500])
async def test_rows_follow_from_what_they_name_though_some_of_their_marks_are_stale(max_age_ms: int) -> None:
    world = told_flash(max_age_ms)
    report = await check(world)
    assert ([], 1, 1) == (report.differences, report.rows, report.same)


async def test_a_row_with_a_position_that_lacks_its_custody_follows_from_what_it_names() -> None:
    world = told_flash()
    name = next(name for name in references() if name.startswith("custody."))
    world.refer({name: b""})
    assert world.row()["status"] == "unpriced"
    report = await check(world)
    assert ([], 1, 1) == (report.differences, report.rows, report.same)
