"""Flash from nodes of both chains through Kafka and the real worker: an owner's row, and a restart of the ingest."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from pydantic import SecretStr

from models.engine.tables import STATEMENTS, VALUATIONS
from models.flash.chain_accounts import FLASH_ACCOUNTS
from models.flash.flash_accounts import encode_account
from models.flash.flash_table import table_text
from models.money import format_e18
from streams.ingest.flash import flash_follow
from streams.ingest.prices import price_follow
from streams.kafka.deadletter import decode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.settings.flash.flash_settings import FlashSettings
from streams.settings.flash.oracle_source import FlashOracleSource
from tests.support.eventually import eventually
from tests.support.flash import (
    NOW_S,
    OWNER,
    PROGRAMME,
    SOL_LONG,
    basket,
    basket_of,
    ledger,
    oracle,
    position,
    text,
    the_table,
)
from tests.support.hostile_solana import two_chains
from tests.support.pipeline import feed_rows, records_of, worker
from tidemark.demo.solana_node import SolanaNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from streams.settings import Settings

KEY = f"flash:{OWNER}".encode()


@asynccontextmanager
async def running(*tasks: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Processes of the ingest, as tasks; one that fails fails the test."""
    started = [asyncio.create_task(task) for task in tasks]
    try:
        yield
        for task in started:
            if task.done():
                task.result()
    finally:
        for task in started:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def row_is(settings: Settings, **columns: object) -> bool:
    row = (await feed_rows(settings, VALUATIONS)).get(KEY)
    return row is not None and {name: row.body[name] for name in columns} == columns


async def test_a_basket_goes_from_the_rollup_to_its_row_and_a_restart_says_nothing_twice(
    settings: Callable[..., Settings],
) -> None:
    base, rollup = two_chains()
    for symbol, price in (("SOL", "150"), ("USDC", "1"), ("BTC", "60000")):
        base.put(text(f"{symbol} oracle"), PROGRAMME, encode_account(oracle(price)))
    base.put(text("ledger"), PROGRAMME, encode_account(ledger(("USDC", 5))))
    rollup.put(basket_of(), PROGRAMME, encode_account(basket(position(SOL_LONG))))
    nodes = SolanaNode(base), SolanaNode(rollup)
    for node in nodes:
        await node.start()
    base_urls, rollup_urls = (tuple(map(SecretStr, node.urls)) for node in nodes)
    mine = settings()
    table = mine.data_dir / "table.json"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(table_text(the_table()))
    deployment = FlashSettings(
        base_rpc=base_urls, rollup_rpc=rollup_urls, table=table, reference_interval_ms=100, clock_interval_ms=100
    )
    source = FlashOracleSource(rpc=base_urls, table=table)
    mine = mine.model_copy(update={"deployments": {"flash": deployment}, "sources": {"flash-oracle": source}})
    await create_topics(mine.bootstrap, registry(mine))
    clock = SystemClock()
    accounts = topic_name(mine, FLASH_ACCOUNTS)
    async with worker(mine) as process:
        await process.ready(60)
        prices = price_follow.run(mine, "flash-oracle", clock)
        async with running(flash_follow.run(mine, "flash", clock), prices):
            await eventually(lambda: row_is(mine, status="valued", owner=OWNER, slot="0"), 60)
            rollup.next_slot()
            rollup.put(text("cut"), PROGRAMME, encode_account(basket(owner=text("other")))[:90])
            rollup.put(basket_of(), PROGRAMME, encode_account(basket(position(SOL_LONG), position(SOL_LONG))))
            await eventually(lambda: row_is(mine, status="valued", slot="1"), 60)
        said = len(await records_of(mine, accounts))
        rollup.next_slot()
        rollup.put(basket_of(), PROGRAMME, encode_account(basket(position(SOL_LONG))))
        async with running(flash_follow.run(mine, "flash", clock)):
            await eventually(lambda: row_is(mine, status="valued", slot="2"), 60)
        row = (await feed_rows(mine, VALUATIONS))[KEY].body
        shown = (await feed_rows(mine, STATEMENTS))[KEY].body["statement"]
    for node in nodes:
        await node.stop()
    assert format_e18(int(row["upnl"])) == "4.9824939408"
    assert row["conversions"]["USDC"]["mark_key"] == "flash-oracle:USDC"
    assert (shown["basket"]["pubkey"], shown["ledger"]["pubkey"]) == (basket_of(), text("ledger"))
    records = await records_of(mine, accounts)
    assert len(records) == said + 1
    assert {json.loads(value)["kind"] for _, value in records} == {"account"}
    letters = [decode_dead_letter(value) for _, value in await records_of(mine, topic_name(mine, DEAD_LETTERS))]
    assert ["not a whole Basket account" in one.reason for one in letters] == [True]
    assert NOW_S < int(clock.now_ms() / 1_000)
