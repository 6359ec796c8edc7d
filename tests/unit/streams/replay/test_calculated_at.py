"""What a replica calculated of an account, found on ``served`` and made again of the inputs that are kept there."""

from __future__ import annotations

import msgspec
import pytest

from api.dialects.flash.flash_dialect import FLASH as DIALECT
from models.engine.tables import STATEMENTS
from models.errors import BadRecord
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.replay.calculated_at import calculated_at
from tests.support.calculated import KEY, Noted, calculate, with_served
from tests.support.flash import NOW_S, SOL_LONG, basket, clock, position, said
from tests.support.listed_log import all_read
from tests.support.told_flash import told_flash


@pytest.mark.parametrize("asked", ["basket venue", "metrics venue", "metrics mark"])
async def test_a_frame_is_found_and_made_again_though_prices_and_basket_are_others_since(asked: str) -> None:
    world = told_flash()
    frame, kept = calculate(world, asked)
    at_ms = world.now_ms
    world.tick("SOL", "170").refer({"clock": clock(NOW_S + 7_200)}).say(said(basket(position(SOL_LONG)), slot=2))
    later, kept_later = calculate(world, asked)
    log = with_served(world, kept, kept_later)

    assert DIALECT.again is not None
    for wanted, wanted_ms in ((frame, at_ms), (later, world.now_ms)):
        (found,) = await calculated_at(
            log, world.settings, KEY, wanted_ms, on_record=lambda _: None, on_unreadable=all_read
        )
        assert found.statement is not None
        assert (asked, wanted_ms) == (found.asked, found.made.at_ms)
        assert wanted == DIALECT.again(found.statement, found.asked, found.inputs)
    assert frame != later


async def test_of_an_account_of_which_nothing_was_calculated_nothing_is_found() -> None:
    world = told_flash()
    _, kept = calculate(world, "basket venue")
    log = with_served(world, kept)
    assert [] == await calculated_at(
        log, world.settings, b"flash:nobody", world.now_ms, on_record=lambda _: None, on_unreadable=all_read
    )
    assert [] == await calculated_at(
        log, world.settings, KEY, world.now_ms - 1, on_record=lambda _: None, on_unreadable=all_read
    )


async def test_a_tick_that_is_not_held_any_more_is_named() -> None:
    world = told_flash()
    frame, kept = calculate(world, "metrics venue")
    log = with_served(world, kept)
    for place in [place for place in log.of if place.topic == topic_name(world.settings, PRICE_TICKS)]:
        log.of[place] = []
    (found,) = await calculated_at(
        log, world.settings, KEY, world.now_ms, on_record=lambda _: None, on_unreadable=all_read
    )
    assert found.statement is not None
    assert DIALECT.again is not None
    with pytest.raises(BadRecord, match="is not held any more"):
        DIALECT.again(found.statement, found.asked, found.inputs)
    assert frame is not None


async def test_what_is_written_when_its_moment_is_over_is_of_its_moment_whoever_wrote_last() -> None:
    world = told_flash()
    _, kept = calculate(world, "basket venue")
    at_ms = world.now_ms
    world.tick("SOL", "170")
    _, kept_later = calculate(world, "basket venue")
    # The replica that calculated first had to wait for its broker.
    log = with_served(world, kept_later, kept, late_ms=5_000)

    for wanted_ms in (at_ms, world.now_ms):
        (found,) = await calculated_at(
            log, world.settings, KEY, wanted_ms, on_record=lambda _: None, on_unreadable=all_read
        )
        assert wanted_ms == found.made.at_ms


async def test_inputs_that_are_others_than_were_calculated_of_are_named() -> None:
    world = told_flash()
    _, kept = calculate(world, "metrics venue")
    log = with_served(world, kept)

    async def refused() -> str:
        (found,) = await calculated_at(
            log, world.settings, KEY, world.now_ms, on_record=lambda _: None, on_unreadable=all_read
        )
        assert found.statement is not None
        assert DIALECT.again is not None
        with pytest.raises(BadRecord) as error:
            DIALECT.again(found.statement, found.asked, found.inputs)
        return str(error.value)

    for topic, expected in ((PRICE_TICKS, "expected a tick of flash-oracle:"), ("flash-references", "the reference ")):
        before = {
            place: records for place, records in log.of.items() if place.topic == topic_name(world.settings, topic)
        }
        log.of |= {
            place: [msgspec.structs.replace(one, key=b"other") for one in records] for place, records in before.items()
        }
        assert expected in await refused()
        log.of |= before
    (found,) = await calculated_at(
        log, world.settings, KEY, world.now_ms, on_record=lambda _: None, on_unreadable=all_read
    )
    with pytest.raises(BadRecord, match="among what was calculated of"):
        found.inputs.mark("ETH")
    with pytest.raises(BadRecord, match="among what was calculated of"):
        found.inputs.reference("pool.none")


async def test_a_calculation_that_this_version_does_not_make_is_named() -> None:
    world = told_flash()
    row = world.engine.tables.read(STATEMENTS, KEY)
    assert row is not None
    assert DIALECT.again is not None
    with pytest.raises(BadRecord, match="another version calculated it"):
        DIALECT.again(row, "basket other", Noted(world))


async def test_a_record_of_calculations_that_cannot_be_read_is_told() -> None:
    world = told_flash()
    _, kept = calculate(world, "basket venue")
    log, told = with_served(world, kept, b"nonsense"), list[int]()

    (found,) = await calculated_at(
        log, world.settings, KEY, world.now_ms, on_record=lambda _: None,
        on_unreadable=lambda one, _: told.append(one.offset),
    )  # fmt: skip

    assert (0, {1}) == (found.record.offset, set(told))
