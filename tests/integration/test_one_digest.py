"""One window replayed from Kafka, an archive and a capture, before and after the log cleaner ran: one digest.

In it are the window's records, the offsets that an instant comes to, what ``upnl-ws`` shows of an account, its position
states, a map of funding, the ``pu`` of a ledger's account, and the frame in which a basket of Flash was sent.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from api.dialects.bitfinex.calc_requests import Calculation
from api.dialects.bitfinex.ledger_book import LedgerBook, Statements
from api.dialects.flash.flash_dialect import FLASH as FLASH_DIALECT
from api.dialects.symmio.frames import upnl_object
from models.codec import decode_row
from models.engine.tables import POSITION_STATES, STATEMENTS, VALUATIONS
from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.ids import mark_key
from models.kept_inputs import (
    CalculationsMade,
    FundingMade,
    KeptFunding,
    KeptMark,
    decode_kept,
    encode_kept,
    kept_key,
)
from models.ledger.ledger_venue import LEDGER_EVENTS, LEDGER_SETTINGS
from models.ledger.priced_account import PricedAccount
from models.money import parse_e18
from models.prices import MarkTick, OracleSaid, encode_tick
from models.provenance import MADE_FROM, named_marks
from models.symmio.funding import funding_rates, funding_view
from models.symmio.topics import CHAIN_BLOCKS
from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog, JoinedLog
from streams.archive.archiving import archive_due, find_due
from streams.kafka.topics import PRICE_TICKS, registry, served_name, topic_name
from streams.process.clock import SystemClock
from streams.replay.accounts_at import value_accounts_at
from streams.replay.bounded_log import Place, Span
from streams.replay.calculated_at import calculated_at
from streams.replay.captured_log import CapturedLog, CaptureWriter
from streams.replay.kafka_log import KafkaLog
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold
from streams.replay.row_inputs import NamedInputs, Places, read_offsets_of
from streams.settings.flash.flash_settings import FlashSettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.eventually import eventually
from tests.support.flash import OWNER, SOL_LONG, basket, references, said
from tests.support.flash import position as flash_position
from tests.support.golden import FORKS, FORKS_SYMBOL, forked_chain, forked_deployment
from tests.support.ledger import inputs, position, record, wallet
from tests.support.listed_log import all_read
from tests.support.pipeline import producer, write_chain, write_ticks
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aiokafka import AIOKafkaProducer

    from models.engine.tables import MemoryTables
    from streams.replay.bounded_log import Log
    from streams.settings import Settings

CLOCK = SystemClock()
DESK, ANN, PERP = "desk", "ann", "tBTCF0:USTF0"
PRICES = {"tBTCUSD": "120", PERP: "110", "tUSTUSD": "0.99"}
SOURCE = "binance-futures"
FLASH, ORACLES = "flash", {"SOL": "150", "USDC": "1"}
FUNDED = FundingMade(
    88_000, "0.75", "0.01", is_scaled=True, markets={"BTCUSDT": KeptFunding(1, 0, "53940000000000", 14_400, 28_800)}
)
# By then, after several forks, somebody has a position of the market that has a price, and position states.
_BLOCKS = 350
# As a broker cleans a topic that nobody waits for.
_CLEANED_SOON = {
    "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "segment.ms": "100",
    "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "1000",
}  # fmt: skip


async def tell(settings: Settings) -> None:
    """A chain, a ledger whose settings are said twice, prices, and what funding was made of."""
    await write_chain(settings, FORKS, forked_chain()[:_BLOCKS])
    now_ms = CLOCK.now_ms()
    prices = {FORKS_SYMBOL: "3.25", **PRICES}
    await write_ticks(
        settings, [MarkTick(SOURCE, name, now_ms, now_ms, price, None, None, None) for name, price in prices.items()]
    )
    named = inputs(PRICES, paths={"USTF0": ["tUSTUSD"]}).settings
    events = [
        record("account_opened", 1, owner=ANN),
        record("wallet_set", 2, wallet=wallet("50", "USTF0")),
        record("position_set", 3, position=position("0.5", "100", PERP, type="derivative")),
    ]
    async with producer(settings) as sender:
        for _ in range(2):
            for name, value in named.items():
                topic, key = topic_name(settings, LEDGER_SETTINGS), f"{DESK}:{name}".encode()
                await sender.send_and_wait(topic, msgspec.json.encode(value), key=key)
        for event in events:
            await sender.send_and_wait(topic_name(settings, LEDGER_EVENTS), event, key=f"{DESK}:{ANN}".encode())
        await sender.send_and_wait(served_name(settings), encode_kept(FUNDED), key=kept_key("funding", FORKS))
        sent = encode_kept(await basket_sent(settings, sender))
        await sender.send_and_wait(served_name(settings), sent, key=kept_key("calc", FLASH))


async def basket_sent(settings: Settings, sender: AIOKafkaProducer) -> CalculationsMade:
    """Say a basket of Flash, prices and references, and what a replica keeps of the frame that it sends of them."""
    now_ms, marks, named = CLOCK.now_ms(), {}, {}
    for symbol, price in ORACLES.items():
        oracle = OracleSaid(-8, price, "0.5", "regular")
        tick = MarkTick("flash-oracle", symbol, now_ms, now_ms, price, None, None, None, oracle=oracle)
        key = mark_key("flash-oracle", symbol)
        at = await sender.send_and_wait(topic_name(settings, PRICE_TICKS), encode_tick(tick), key=key)
        marks[symbol] = KeptMark(key.decode(), at.offset, stale=False)
    for name, value in references().items():
        at = await sender.send_and_wait(topic_name(settings, FLASH_REFERENCES), value, key=f"{FLASH}:{name}".encode())
        named[name] = at.partition, at.offset
    record = said(basket(flash_position(SOL_LONG)))
    await sender.send_and_wait(topic_name(settings, FLASH_ACCOUNTS), record, key=f"{FLASH}:{OWNER}".encode())
    return CalculationsMade(now_ms, [(f"{FLASH}:{OWNER}", 1, 1, "basket venue")], dict(marks), dict(named))


async def tables_at(log: Log, settings: Settings, deployment: str, at_ms: int) -> MemoryTables:
    """Every table of a deployment, folded from the first record on and valued at an instant."""
    valued = await value_accounts_at(log, settings, deployment, at_ms, on_record=lambda _: None, is_stated=True)
    return valued.fold.engine.tables


def body_in(tables: MemoryTables, account: bytes) -> Mapping[str, Any]:
    row = tables.read(VALUATIONS, account)
    assert row is not None
    return decode_row(row).body


async def digest_of(log: Log, settings: Settings, vector: Mapping[Place, Span], account: bytes, at_ms: int) -> str:
    """What the window has, and what is made of it."""
    records = [one async for one in read_merged(log, vector)]
    tables = await tables_at(log, settings, FORKS, at_ms)
    states = tables.read(POSITION_STATES, account)
    (made,) = [decode_kept(one.value or b"") for one in records if one.key == kept_key("funding", FORKS)]
    assert isinstance(made, FundingMade)
    held = await log.held({place.topic for place in vector})
    found = await log.find(held, records[len(records) // 2].time_ms)
    said = [
        [*map(repr, records)],
        sorted([*place, offset] for place, offset in found.items()),
        upnl_object(body_in(tables, account)),
        repr(states),
        {name: _funding(made, one) for name, one in made.markets.items()},
        await _pu(log, settings, at_ms),
        await _basket(log, settings, at_ms),
    ]
    assert all(said)
    assert b'"states":[{' in (states or b"")
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _funding(made: FundingMade, market: KeptFunding) -> dict[str, Any]:
    rates = funding_rates(
        int(market.rate_e18),
        epoch_s=market.epoch_s,
        interval_s=market.interval_s,
        share_e18=parse_e18(made.share),
        max_rate_e18=parse_e18(made.max_rate),
    )
    return dict(funding_view(rates, epoch_s=market.epoch_s, now_ms=made.at_ms))


async def _basket(log: Log, settings: Settings, at_ms: int) -> object:
    """The frame in which the basket was sent, of the inputs that were kept."""
    key = f"{FLASH}:{OWNER}".encode()
    (found,) = await calculated_at(log, settings, key, at_ms, on_record=lambda _: None, on_unreadable=all_read)
    assert found.statement is not None
    assert FLASH_DIALECT.again is not None
    frame = FLASH_DIALECT.again(found.statement, found.asked, found.inputs)
    assert isinstance(frame, dict)
    assert frame["data"]["positionMetrics"]
    return frame


async def _pu(log: Log, settings: Settings, at_ms: int) -> list[Any]:
    """The frame of the ledger's position, of the inputs that its row names."""
    tables = await tables_at(log, settings, DESK, at_ms)
    key, partitions = f"{DESK}:{ANN}".encode(), settings.topics.partitions
    body = json.loads(json.dumps(body_in(tables, key)))
    ticks = Places(topic_name(settings, PRICE_TICKS), partitions)
    said = Places(topic_name(settings, LEDGER_SETTINGS), partitions)
    wanted: dict[Place, set[int]] = {}
    for one in named_marks(body):
        wanted.setdefault(ticks.of(one["mark_key"].encode()), set()).add(one["mark_offset"])
    for at in body[MADE_FROM]["references"].values():
        if at is not None:
            wanted.setdefault(Place(said.topic, at[0]), set()).add(at[1])
    read = await read_offsets_of(log, wanted, lambda _: None)
    named = NamedInputs(body, RawFold(settings, DESK, None), read, ticks, said)
    statements = Statements(dict(tables.items(STATEMENTS)), None, lambda _: False, {})  # type: ignore[arg-type]
    book = LedgerBook(key, statements, lambda _key, held, _asked: PricedAccount(held, named))
    frame = book.calculate(Calculation("position", PERP))
    assert frame is not None
    return [frame.type, json.loads(json.dumps(list(frame.payload), default=str))]


def somebody(tables: MemoryTables) -> bytes:
    """An account with a uPnL and position states."""
    holding = {key for key, row in tables.items(VALUATIONS) if decode_row(row).body["upnl"] not in {None, "0"}}
    told = {key for key, row in tables.items(POSITION_STATES) if b'"states":[{' in row}
    return min(holding & told)


async def captured(log: Log, vector: Mapping[Place, Span], directory: Path) -> CapturedLog:
    writer = CaptureWriter(directory, vector)
    async for one in read_merged(log, vector):
        writer.take(one)
    writer.finish(code="test", made_ms=CLOCK.now_ms(), since_ms=None, until_ms=None)
    return CapturedLog(directory)


async def configure(settings: Settings, kind: ConfigResourceType, config: Mapping[str, str], topic: str = "") -> None:
    """Configure a topic, or the one broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        (broker,) = (await admin.describe_cluster())["brokers"]
        await admin.alter_configs([ConfigResource(kind, topic or str(broker["node_id"]), dict(config))])
    finally:
        await admin.close()


async def clean(settings: Settings, log: Log) -> None:
    """Have the broker clean the ledger's settings, and wait until it has."""
    topic = topic_name(settings, LEDGER_SETTINGS)

    async def count() -> int:
        held = await log.held([topic])
        vector = {place: Span(one.begin, one.end) for place, one in held.items()}
        return len([one async for one in read_merged(log, vector) if one.key != b"filler"])

    before = await count()
    await configure(settings, ConfigResourceType.TOPIC, _CLEANED_SOON, topic)

    async def is_cleaned() -> bool:
        # Only a segment that a broker does not write to any more is cleaned, and a record ends one that is old enough.
        async with producer(settings) as sender:
            for partition in range(settings.topics.partitions):
                await sender.send_and_wait(topic, b"{}", key=b"filler", partition=partition)
        return await count() <= before // 2

    await eventually(is_cleaned, 120)


async def test_a_window_has_one_digest_from_kafka_archive_and_capture_also_after_the_log_was_cleaned(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    desk = LedgerDeploymentSettings(default_sources=(SOURCE,), default_max_age_ms=10**12)
    flash = FlashSettings(default_max_age_ms=10**12)
    own = settings(deployments={**forked_deployment(), DESK: desk, FLASH: flash}, topics={"partitions": 2})
    # A broker looks every 15 s for what is to be cleaned, and hears of another pace when it has slept.
    await configure(own, ConfigResourceType.BROKER, {"log.cleaner.backoff.ms": "200"})
    await create_all(own)
    await tell(own)
    live, at_ms = KafkaLog(own.bootstrap, {}, CLOCK), CLOCK.now_ms()
    raw = (CHAIN_BLOCKS, PRICE_TICKS, LEDGER_EVENTS, LEDGER_SETTINGS, FLASH_ACCOUNTS, FLASH_REFERENCES)
    everything = [topic_name(own, one) for one in raw]
    everything.append(served_name(own))
    whole = {place: Span(one.begin, one.end) for place, one in (await live.held(everything)).items()}
    vector = {place: span for place, span in whole.items() if place.topic != topic_name(own, LEDGER_SETTINGS)}
    store, configs = opened_store(str(tmp_path / "archive")), {one.name: one.config for one in registry(own)}
    for topic in everything:
        due = await find_due(live, store, topic, CLOCK.now_ms() + 60_000)
        await archive_due(live, store, due, configs[topic], code="test", on_record=lambda _: None)
    archive, capture = ArchivedLog(store), await captured(live, whole, tmp_path / "capture")
    account = somebody(await tables_at(live, own, FORKS, at_ms))

    async def replayed(log: Log) -> str:
        return await digest_of(log, own, vector, account, at_ms)

    logs = (*(live, archive, capture) * 3, JoinedLog(ArchivedLog(store), live))
    digests = [await replayed(log) for log in logs]
    assert len(digests) == 10
    assert 1 == len(set(digests))

    settings_before = [one async for one in read_merged(archive, whole)]
    await clean(own, live)
    again = [await replayed(log) for log in (live, archive, capture, JoinedLog(ArchivedLog(store), live))]
    assert set(digests) == set(again)
    # What the cleaner took is in the archive still, and in archive and log together.
    assert settings_before == [one async for one in read_merged(JoinedLog(ArchivedLog(store), live), whole)]
