"""The simulated Flash: what happens there is what the venue's accounts can be, and every basket of it has figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.codec import decode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import VALUATIONS
from models.flash.chain_accounts import LAYER_OF, AccountSaid, ClockSaid, account_text, encode_account_record, type_of
from models.flash.flash_references import reference_name
from models.flash.flash_table import built_in_table, write_table
from models.flash.flash_venue import FLASH
from models.flash.solana_keys import basket_address, key_of, key_text
from streams.ingest.flash.oracle_frames import OracleReader
from tidemark.demo.flash_venue import SimulatedFlash
from tidemark.demo.market import Market

if TYPE_CHECKING:
    from tidemark.demo.solana_node import ChainAccount

_GENESIS_S = 1_700_000_000
_TABLE = built_in_table()


def _record(address: str, account: ChainAccount, slot: int) -> bytes:
    kind = type_of(account.data)
    assert kind is not None
    return encode_account_record(
        AccountSaid(
            pubkey=address, account=kind, programme=account.programme, layer=LAYER_OF[kind], slot=slot,
            received_ms=_GENESIS_S * 1_000, data=account_text(account.data),
        )
    )  # fmt: skip


def _basket_of(owner: str) -> str:
    keys = key_of(owner), key_of(_TABLE.programme)
    assert keys[0] is not None
    assert keys[1] is not None
    return key_text(basket_address(keys[0], keys[1]))


def _worker(flash: SimulatedFlash, second: int) -> Engine:
    """What a worker makes of both chains as they stand."""
    sources = lambda name: (PriceSource(f"o:{name}".encode(), 60_000),)  # noqa: E731
    engine = Engine({"flash": EngineDeployment(FLASH, None, sources)})
    now_ms = (_GENESIS_S + second) * 1_000
    symbols = {account: symbol for symbol, account in _TABLE.oracles.items()}
    engine.reference(b"flash:table", write_table(_TABLE), 0)
    clock = ClockSaid(layer="base", slot=1, unix_s=flash.base.unix_s, received_ms=flash.base.unix_s * 1_000)
    engine.reference(b"flash:clock", encode_account_record(clock), 1)
    for offset, (address, account) in enumerate(flash.base.of_programme(_TABLE.programme, flash.base.slot).items(), 2):
        name = reference_name(type_of(account.data) or "", address)
        if name is not None:
            engine.reference(f"flash:{name}".encode(), _record(address, account, flash.base.slot), offset)
        if address in symbols:
            reader = OracleReader(symbols[address], lambda _: None)
            for tick in reader.read(account.data, "o", now_ms).ticks:
                engine.tick(tick, offset)
    for offset, owner in enumerate(flash.owners):
        stands = flash.rollup.at(_basket_of(owner), flash.rollup.slot)
        assert stands is not None
        record = FLASH.decode(_record(_basket_of(owner), stands, flash.rollup.slot), (offset, -1))
        engine.account_record(f"flash:{owner}".encode(), record, now_ms)
    engine.fold("flash")
    engine.value(now_ms)
    return engine


def test_every_owner_has_positions_with_figures_from_the_first_second_on() -> None:
    flash = SimulatedFlash(1, _GENESIS_S, Market(1))
    flash.open(600)
    for second in (600, 630, 700):
        for now in range(flash.base.slot // 2 + 1, second + 1):
            flash.grow_to(now)
        engine = _worker(flash, second)
        for owner in flash.owners:
            row = engine.tables.read(VALUATIONS, f"flash:{owner}".encode())
            assert row is not None
            body = decode_row(row).body
            assert (body["status"], body["unpriced"]) == ("valued", 0)
            assert body["positions"]


def test_the_same_seed_is_the_same_venue() -> None:
    flashes = [SimulatedFlash(seed, _GENESIS_S, Market(seed)) for seed in (3, 3, 4)]
    for flash in flashes:
        flash.open(60)
        for now in range(61, 120):
            flash.grow_to(now)
    first, second, other = (
        [flash.rollup.at(_basket_of(owner), flash.rollup.slot) for owner in flash.owners] for flash in flashes
    )
    assert first == second
    assert first != other
