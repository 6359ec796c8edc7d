"""Coming back to ``/v1/ws``, to a replica that is ahead, behind, or made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.api import api_settings
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.native import NativeServer
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.support.native import Line

KEY = "main:0x" + "ab" * 20
CATCH_UP_S = 5.0


def body(upnl: int) -> dict[str, Any]:
    return valuation_body(upnl=e18(str(upnl)))


def with_server(test: Callable[[FakeTables, Line], Coroutine[Any, Any, None]]) -> None:
    """Run a test in virtual time, against a replica that has read the account's row up to version 3."""

    async def run() -> None:
        tables = FakeTables("main")
        tables.valuations.put(KEY, 3, body(3))
        async with NativeServer(api_settings("main"), tables).client() as line:
            await line.heard()
            await test(tables, line)

    run_in_no_time(run())


def resume(line: Line, seq: list[int], *, epoch: int = 1, channel: str = "valuations", key: str = KEY) -> None:
    line.ask("subscribe", channel=channel, keys=[key], interval_ms=0, resume={key: {"epoch": epoch, "seq": seq}})


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


@pytest.mark.parametrize("channel", ["account", "valuations", "positions"])
def test_a_replica_that_is_behind_does_not_take_the_client_back(channel: str) -> None:
    async def test(tables: FakeTables, line: Line) -> None:
        resume(line, [1, 5], channel=channel)
        (ack,) = await line.heard(1)
        tables.valuations.put(KEY, 4, body(4))
        assert [] == await line.heard(1)
        tables.valuations.put(KEY, 5, body(5))
        (snapshot,) = await line.heard(0.2)
        tables.valuations.put(KEY, 6, valuation_body(positions=[]))
        (delta,) = await line.heard(0.2)

        assert not ack["subs"][0]["resumed"]
        assert ("snapshot", [1, 5]) == (snapshot["type"], snapshot["seq"])
        assert ("delta", [1, 5], [1, 6]) == (delta["type"], delta["prev"], delta["seq"])

    with_server(test)


def test_a_replica_that_is_ahead_answers_with_what_it_has_at_once() -> None:
    async def test(_: FakeTables, line: Line) -> None:
        resume(line, [1, 2])
        _ack, snapshot = await line.heard()

        assert ("snapshot", [1, 3]) == (snapshot["type"], snapshot["seq"])

    with_server(test)


def test_a_row_that_never_comes_is_not_waited_for_for_ever() -> None:
    async def test(_: FakeTables, line: Line) -> None:
        resume(line, [9, 1])
        assert ["ack"] == kinds(await line.heard(CATCH_UP_S - 0.1))
        heard = await line.heard(0.3)

        assert [[1, 3]] == [message["seq"] for message in heard if message["type"] == "snapshot"]

    with_server(test)


def test_what_must_not_wait_does_not_where_the_replica_is_behind_either() -> None:
    async def test(tables: FakeTables, line: Line) -> None:
        resume(line, [1, 4])
        await line.heard(1)
        tables.valuations.put(KEY, 4, valuation_body(liquidatable=True))
        (snapshot,) = await line.heard()

        assert snapshot["data"]["liquidatable"]

    with_server(test)


def test_resync_is_answered_with_what_the_replica_has() -> None:
    async def test(_: FakeTables, line: Line) -> None:
        resume(line, [1, 3])
        (ack,) = await line.heard()
        line.ask("resync", sub=1)
        _ack, snapshot = await line.heard()

        assert ack["subs"][0]["resumed"]
        assert [1, 3] == snapshot["seq"]

    with_server(test)


@pytest.mark.parametrize(
    ("seq", "epoch"), [([1, 5], 2), ([5], 1), ([], 1), ([1, 3, -1], 1), ([0, 99], 1), ([-(2**63), 2**63], 1)]
)
def test_what_is_not_newer_or_of_another_epoch_is_answered_with_a_snapshot_at_once(seq: list[int], epoch: int) -> None:
    async def test(_: FakeTables, line: Line) -> None:
        resume(line, seq, epoch=epoch)
        assert ["ack", "snapshot"] == kinds(await line.heard())

    with_server(test)


def test_a_change_waits_its_interval_the_first_one_too() -> None:
    async def test(tables: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="valuations", keys=[KEY], interval_ms=4_000)
        await line.heard()
        tables.valuations.put(KEY, 4, body(4))
        assert [] == await line.heard(3.9)
        tables.valuations.put(KEY, 5, body(5))
        (delta,) = await line.heard(0.2)

        assert ([1, 3], [1, 5]) == (delta["prev"], delta["seq"])

    with_server(test)


def test_a_change_waits_its_interval_also_where_another_channel_of_the_account_was_given_up() -> None:
    async def test(tables: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="valuations", keys=[KEY], interval_ms=60_000)
        line.ask("subscribe", channel="alerts", keys=[KEY])
        await line.heard()
        line.ask("unsubscribe", subs=[2])
        await line.heard()
        tables.valuations.put(KEY, 4, body(4))

        assert [] == await line.heard(1)

    with_server(test)


def test_a_row_that_is_taken_away_and_comes_back_does_not_wait() -> None:
    async def test(tables: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="valuations", keys=[KEY], interval_ms=60_000)
        await line.heard()
        tables.valuations.remove(KEY)
        (gone,) = await line.heard()
        tables.valuations.put(KEY, 4, body(4))
        (back,) = await line.heard()

        assert ("absent", []) == (gone["data"]["status"], gone["seq"])
        assert ("valued", [], [1, 4]) == (back["data"]["status"], back["prev"], back["seq"])

    with_server(test)
