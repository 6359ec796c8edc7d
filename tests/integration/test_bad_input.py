"""What cannot be read is refused with its cause and position, and the rest of the flow goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from models.account_events import decode_account_record
from models.chain_records import Block, Checkpoint, Join, Joined, RawLog, Rollback, Watermark
from models.engine.tables import ACCOUNTS, DEPLOYMENTS, MARKS, VALUATIONS
from models.ids import mark_key
from models.prices import MarkTick, encode_tick
from models.symmio.topics import CHAIN_BLOCKS
from models.symmio.venue import SYMMIO
from streams.kafka.deadletter import DeadLetter, decode_dead_letter
from streams.kafka.partitions import partition_of
from streams.kafka.topics import DEAD_LETTERS, PRICE_TICKS, create_topics, registry, routed_name, topic_name
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, feed_rows, producer, records_of, worker, write_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.chain_records import ChainRecord
    from streams.settings import Settings

SOURCE = "binance-futures"
OTHER = "other"
ACCOUNT = "0x" + "a" * 40


def tick(symbol: str, at_ms: int, mark: str) -> bytes:
    return encode_tick(MarkTick(SOURCE, symbol, at_ms, at_ms, mark, None, None, None))


async def dead_letters(settings: Settings) -> list[DeadLetter]:
    return [decode_dead_letter(value) for _, value in await records_of(settings, topic_name(settings, DEAD_LETTERS))]


async def made(settings: Callable[..., Settings]) -> Settings:
    deployments = golden_deployment()
    mine = settings(deployments={**deployments, OTHER: deployments[DEPLOYMENT]})
    await create_topics(mine.bootstrap, registry(mine))
    return mine


async def test_prices_that_are_none_become_dead_letters_and_move_no_mark(settings: Callable[..., Settings]) -> None:
    mine = await made(settings)
    key = mark_key(SOURCE, "BTCUSDT")
    refused = {
        tick("BTCUSDT", 2, "NaN"): "expected a plain decimal number, found 'NaN'",
        tick("BTCUSDT", 3, "-5"): "in (0, 1e15], found -5",
        tick("BTCUSDT", 4, "0"): "in (0, 1e15], found 0",
        tick("BTCUSDT", 5, "1" + "0" * 40): "in (0, 1e15]",
        tick("BTCUSDT", 6, "1e9"): "expected a plain decimal number, found '1e9'",
        tick("BTCUSDT", 7, "100")[:-9]: "expected a price tick",
        b"": "expected a price tick",
    }
    async with producer(mine) as sender, worker(mine) as process:
        topic = topic_name(mine, PRICE_TICKS)
        await sender.send(topic, tick("BTCUSDT", 1, "100.5"), key=key)
        for value in refused:
            await sender.send(topic, value, key=key)
        await sender.send(topic, tick("BTCUSDT", 8, "101.5"), key=key)
        wrong = (partition_of(key, mine.topics.partitions) + 1) % mine.topics.partitions
        await sender.send(topic, tick("BTCUSDT", 9, "999"), key=key, partition=wrong)
        await sender.flush()
        await process.ready()
        await all_committed(mine)

    marks = await feed_rows(mine, MARKS)
    assert ["101500000000000000000"] == [row.body["mark"] for row in marks.values()]
    letters = await dead_letters(mine)
    in_place = [letter for letter in letters if letter.partition != wrong]
    assert [1, 2, 3, 4, 5, 6, 7] == [letter.offset for letter in in_place]
    for letter, reason in zip(in_place, refused.values(), strict=True):
        assert reason in letter.reason
        assert topic == letter.source
    assert ["expected key"] == [letter.reason[:12] for letter in letters if letter.partition == wrong]


def spoiled(chain: Sequence[ChainRecord], change: Callable[[RawLog], RawLog]) -> tuple[list[ChainRecord], int]:
    """The chain with one log of its middle changed, and the number of that log's block."""
    middle = next(
        at for at, record in enumerate(chain) if at > len(chain) // 2 and isinstance(record, Block) and record.logs
    )
    block = chain[middle]
    assert isinstance(block, Block)
    bad = msgspec.structs.replace(block, logs=(change(block.logs[0]), *block.logs[1:]))
    return [*chain[:middle], bad, *chain[middle + 1 :]], block.number


BALANCE_CHANGE_PARTY_A = "0x12f926682e9716435703a506b436993346a19a8d2f4378b264fee4c5a87f34a2"
DIAMOND_CUT = "0x8faa70878671ccd212d20771b795c50af8fd3ff6cf27f4bde57e5d4de0aeb673"
SPOILERS: dict[str, Callable[[RawLog], RawLog]] = {
    "malformed data": lambda log: msgspec.structs.replace(log, data="0x1234"),
    "unknown topic0": lambda log: msgspec.structs.replace(log, topics=("0x" + "9" * 64,)),
    "a changed Diamond": lambda log: msgspec.structs.replace(log, topics=(DIAMOND_CUT,), data="0x"),
}


@pytest.mark.parametrize("spoiler", SPOILERS)
async def test_a_log_that_cannot_be_folded_makes_its_deployment_unknown_from_there_and_no_other(
    settings: Callable[..., Settings], spoiler: str
) -> None:
    mine = await made(settings)
    chain = golden_chain()
    bad, number = spoiled(chain, SPOILERS[spoiler])
    async with worker(mine) as process:
        await write_chain(mine, DEPLOYMENT, bad)
        await write_chain(mine, OTHER, chain)
        await process.ready()
        await all_committed(mine)

        async def marked() -> bool:
            valuations = await feed_rows(mine, VALUATIONS)
            known = {row.body["status"] for key, row in valuations.items() if key.startswith(OTHER.encode())}
            unknown = [row for key, row in valuations.items() if key.startswith(DEPLOYMENT.encode())]
            return (
                bool(unknown)
                and all(row.body["status"] == "unsupported" and row.body["upnl"] is None for row in unknown)
                and bool(known)
                and "unsupported" not in known
            )

        await eventually(marked, 20)
        status = await process.status()

    rows = await feed_rows(mine, DEPLOYMENTS)
    assert [number] == [gap["block"] for gap in rows[DEPLOYMENT.encode()].body["gaps"]]
    assert [] == rows[OTHER.encode()].body["gaps"]
    assert number == status["deployments"][DEPLOYMENT]["unsupported_since"]
    assert status["deployments"][OTHER]["unsupported_since"] is None
    for _, value in await records_of(mine, routed_name(mine, SYMMIO.routed)):
        decode_account_record(value)


async def test_a_chain_record_that_is_none_is_a_dead_letter_and_the_deployment_is_unknown(
    settings: Callable[..., Settings],
) -> None:
    mine = await made(settings)
    async with producer(mine) as sender, worker(mine) as process:
        await sender.send_and_wait(topic_name(mine, CHAIN_BLOCKS), b'{"kind":"block"}', key=DEPLOYMENT.encode())
        await process.ready()
        await all_committed(mine)

    assert [0] == [letter.offset for letter in await dead_letters(mine)]
    row = (await feed_rows(mine, DEPLOYMENTS))[DEPLOYMENT.encode()]
    assert "expected a chain-blocks record" in row.body["gaps"][0]["reason"]


async def test_a_rollback_below_the_unsupported_block_makes_the_deployment_known_again(
    settings: Callable[..., Settings],
) -> None:
    mine = await made(settings)
    chain = golden_chain()
    bad, number = spoiled(chain, SPOILERS["unknown topic0"])
    at = next(at for at, record in enumerate(bad) if isinstance(record, Block) and record.number == number)
    before = [record for record in bad[:at] if isinstance(record, Block)][-1]
    async with worker(mine) as process:
        await write_chain(mine, DEPLOYMENT, [*bad[: at + 1], Rollback(before.number, before.hash), *chain[at:]])
        await write_chain(mine, OTHER, chain)
        await process.ready()
        await all_committed(mine)
        assert (await process.status())["deployments"][DEPLOYMENT]["unsupported_since"] is None

    rows = await feed_rows(mine, ACCOUNTS)
    states = {key.decode().split(":")[1]: row.body["state"] for key, row in rows.items() if key.startswith(b"golden:")}
    assert states
    assert states == {
        key.decode().split(":")[1]: row.body["state"] for key, row in rows.items() if key.startswith(b"other:")
    }


async def test_what_cannot_be_sent_to_an_account_makes_it_suspect_and_stops_nobody(
    settings: Callable[..., Settings],
) -> None:
    mine = await made(settings)
    chain = golden_chain()
    at, block = next(
        (at, record)
        for at, record in enumerate(chain)
        if isinstance(record, Block) and any(log.topics[0] == BALANCE_CHANGE_PARTY_A for log in record.logs)
    )
    log = next(log for log in block.logs if log.topics[0] == BALANCE_CHANGE_PARTY_A)
    huge = msgspec.structs.replace(block, logs=(*block.logs, *[log] * 3_000))
    async with worker(mine) as process:
        await write_chain(mine, DEPLOYMENT, [*chain[:at], huge])
        await write_chain(mine, OTHER, chain)
        await process.ready()
        await all_committed(mine)

    rows = await feed_rows(mine, ACCOUNTS)
    suspects = {key: row.body["suspect"][0] for key, row in rows.items() if row.body["suspect"]}
    assert [f"{DEPLOYMENT}:0x{log.topics[1][-40:]}".encode()] == list(suspects)
    assert all("expected a record of" in cause for cause in suspects.values())


async def test_a_join_after_the_unsupported_block_makes_the_deployment_known_again(
    settings: Callable[..., Settings],
) -> None:
    mine = await made(settings)
    bad, _ = spoiled(golden_chain(), SPOILERS["unknown topic0"])
    balances = ("7", *["0"] * 8)
    joined: list[Any] = [
        Join(10_000, "0x1", 1, ()),
        Checkpoint(
            10_000, "0x1", 1, ACCOUNT, None, None, None, balances, liquidated=False, reimbursement="0",
            party_bs=(), quotes=(),
        ),
        Joined(10_000, 1),
        Watermark(10_000, 1, 10_000),
    ]  # fmt: skip
    async with worker(mine) as process:
        await write_chain(mine, DEPLOYMENT, bad)
        await write_chain(mine, DEPLOYMENT, joined)
        await process.ready()
        await all_committed(mine)

        async def known() -> bool:
            valuation = (await feed_rows(mine, VALUATIONS)).get(f"{DEPLOYMENT}:{ACCOUNT}".encode())
            return valuation is not None and valuation.body["status"] == "valued" and valuation.body["upnl"] == "0"

        await eventually(known, 20)
        assert (await process.status())["deployments"][DEPLOYMENT]["unsupported_since"] is None

    rows = await feed_rows(mine, ACCOUNTS)
    left_out = [
        row.body["suspect"] for key, row in rows.items() if key.startswith(b"golden:0x") and ACCOUNT.encode() not in key
    ]
    assert left_out
    assert all(suspect is not None and "no checkpoint of the join" in suspect[0] for suspect in left_out)
