"""Whatever nodes of both chains leave out, repeat, delay or refuse, the basket in the table is that of the newest slot.

Nodes stay as bad as they are until the end: what they do is decided by a seed, and when it comes to an end is not.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from random import Random
from typing import TYPE_CHECKING

import pytest

from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS
from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.flash.flash_accounts import encode_account
from models.flash.flash_venue import FLASH
from tests.support.eventually import eventually
from tests.support.flash import NOW_MS, PROGRAMME, SOL_LONG, basket, basket_of, ledger, position, references, text
from tests.support.hostile_solana import HostileNode, RecordingOutlet, following, going_on, two_chains

if TYPE_CHECKING:
    from models.flash.flash_account import FlashAccount
    from tidemark.demo.solana_node import SolanaChain

_OWNERS = [text(f"owner {number}") for number in range(4)]


def _tables(outlet: RecordingOutlet) -> dict[str, FlashAccount]:
    """What a worker makes of the records."""
    sources = lambda name: (PriceSource(f"oracle:{name}".encode(), 60_000),)  # noqa: E731
    engine = Engine({"flash": EngineDeployment(FLASH, None, sources)})
    for offset, (key, value) in enumerate(outlet.of(FLASH_ACCOUNTS)):
        assert value is not None
        engine.account_record(key, FLASH.decode(value, (offset, -1)), NOW_MS)
    engine.fold("flash")
    rows = {owner: engine.tables.read(ACCOUNTS, f"flash:{owner}".encode()) for owner in _OWNERS}
    return {owner: FLASH.read(row) for owner, row in rows.items() if row is not None}


def _is_in_step(outlet: RecordingOutlet, base: SolanaChain, rollup: SolanaChain) -> bool:
    tables = _tables(outlet)
    for owner in _OWNERS:
        stands, deposits = rollup.at(basket_of(owner), rollup.slot), base.at(text(f"{owner} ledger"), base.slot)
        account = tables.get(owner)
        parts = (None, None) if account is None else (account.basket, account.ledger)
        for part, now in zip(parts, (stands, deposits), strict=True):
            held = None if part is None or part.data is None else part.data
            if held != (None if now is None else b64encode(now.data).decode()):
                return False
    return True


def _step(rng: Random, base: SolanaChain, rollup: SolanaChain) -> None:
    """Something happens on either chain."""
    base.next_slot()
    rollup.next_slot()
    owner = rng.choice(_OWNERS)
    address = basket_of(owner)
    match rng.randrange(8):
        case 0:
            if rollup.at(address, rollup.slot) is not None:
                rollup.close(address)
        case 1:
            base.put(
                text(f"{owner} ledger"), PROGRAMME, encode_account(ledger(("USDC", rng.randrange(9)), owner=owner))
            )
        case 2:
            # The base chain's copy of a basket, which nobody updates.
            base.put(address, PROGRAMME, encode_account(basket(owner=owner)))
        case _:
            held = position(SOL_LONG, str(rng.randrange(100, 200)))
            rollup.put(address, PROGRAMME, encode_account(basket(held, owner=owner)))


@pytest.mark.parametrize("seed", range(6))
async def test_the_basket_in_the_table_is_the_newest_slots(seed: int) -> None:
    rng = Random(seed)
    base, rollup = two_chains()
    # The rollup is old, and baskets stand on it before anybody looks.
    rollup.slot = 400_000_000
    for owner in _OWNERS[:2]:
        rollup.put(basket_of(owner), PROGRAMME, encode_account(basket(position(SOL_LONG), owner=owner)))
    bad = [HostileNode(chain, Random(rng.random()), 0.15) for chain in (base, base, rollup, rollup)]
    outlet = RecordingOutlet()
    async with following(bad[:2], bad[2:], outlet) as followed:
        for _ in range(120):
            _step(rng, base, rollup)
            if rng.random() < 0.03:
                await rng.choice(bad).drop()
            # What happens and what the ingest does come in any order.
            await asyncio.sleep(0)
            if rng.random() < 0.3:
                await eventually(followed.followers["rollup"].is_read.is_set, 60)
        slots = asyncio.create_task(going_on(base, rollup))
        await eventually(lambda: _is_in_step(outlet, base, rollup), 60)
        names = {f"flash:{name}".encode() for name in references()}
        await eventually(lambda: names <= {key for key, _ in outlet.of(FLASH_REFERENCES)}, 60)
        slots.cancel()
