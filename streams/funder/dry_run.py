"""What would be charged in the next windows, and about what that would cost: ``tidemark funder --dry-run``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from models.money import E18
from models.symmio.funding_plan import Charge, Eligibility, batches, charge_of, eligibility_of, moved_to_party_b
from models.symmio.funding_records import Transaction, share_bps
from streams.funder.ceilings import limits_of
from streams.funder.chain_errors import Reverted
from streams.funder.connect import configured, connected
from streams.funder.data_fees import DataFees
from streams.funder.diamond_calls import PairSignature, charge_data
from streams.funder.fees import fees_of
from streams.funder.flights import State
from streams.funder.funding_inputs import Tables, expected_terms_of
from streams.funder.funding_journal import read_journal
from streams.funder.hedgers import party_bs
from streams.funder.rounds import freeze
from streams.kafka.topics import FUNDING, require_topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.symmio.funding_plan import ChainQuote, Window
    from models.symmio.funding_records import Frozen, FrozenMarket, Plan
    from streams.funder.chain_view import Chain
    from streams.funder.epoch_ticks import EpochTicks
    from streams.process.clock import Clock
    from streams.settings import FundingSettings, Settings

# The gas of a charge is that of those of so long.
_GAS_OF_MS = 3 * 86_400_000
# As long as Muon's signatures are; no byte is zero, since zeros cost less.
_WORD = b"\xa5" * 32
_SIGNATURE = PairSignature(
    _WORD, 1, -1, -1, _WORD * 2 + b"\x1b", int.from_bytes(_WORD), f"0x{'a5' * 20}", f"0x{'a5' * 20}"
)


class ExpectedFees(NamedTuple):
    """About what the charges of an epoch would cost at the fees of now, beside what they charge.

    ``cost_wei`` is None where nothing is on record by which the gas of a charge could be told. ``moved_e18`` is the sum
    of what is charged, whoever pays it. ``share`` is the one of the other in bps, None where either is not known.
    """

    transactions: int
    moved_e18: int
    cost_wei: int | None
    share: int | None


class Planned(NamedTuple):
    """The plan for an epoch: its terms, each account's quotes with their charges or why there is none, and the fees."""

    frozen: Frozen
    charges: dict[str, list[tuple[int, Charge | str]]]
    fees: ExpectedFees


class _Found(NamedTuple):
    charges: dict[str, list[tuple[int, Charge | str]]]
    moved_e18: int


async def plan(settings: Settings, name: str, clock: Clock) -> list[Planned]:
    """Find what would be charged in the windows that are open, or open next; send and write nothing.

    A window that is not open yet is planned as though it had opened a moment ago.

    Args:
        settings: The configuration.
        name: The deployment.
        clock: Tells which marks are stale, and how far back the journal is read.

    Raises:
        BadSettings: What is needed is not configured.
        BadTopic: The topic of the records is missing.
        WrongChain: Every endpoint is of another chain.
        NodeDown: The node does not answer.
    """
    deployment = configured(settings, name)
    failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()

    def fatal(error: BaseException) -> None:
        if not failed.done():
            failed.set_exception(error)

    await require_topic(settings, FUNDING)
    tables = Tables(settings, name, clock, fatal)
    planned = []
    async with connected(deployment, name, clock) as chain:
        try:
            await tables.start()
            gas = await _gas_of_a_charge(settings, name, clock)
            now_s = await chain.shown_time_s()
            for party_b in party_bs(name, deployment):
                for epoch, window in sorted(tables.next_windows(now_s).items()):
                    asked = expected_terms_of(window, now_s)
                    ticks = await tables.read_prices(asked)
                    frozen, plans = freeze(
                        epoch,
                        window,
                        symbols=tables.markets(epoch),
                        positions=tables.positions(party_b),
                        terms_of=partial(_terms_as_of, tables, ticks, asked),
                        at_s=now_s,
                        tables_s=tables.time_s,
                        party_b=party_b,
                    )
                    found = await _charges(chain, deployment.funding, frozen, plans)
                    planned.append(
                        Planned(frozen, found.charges, await _fees(chain, deployment.funding, found, gas=gas))
                    )
        finally:
            await tables.stop()
    return planned


def _terms_as_of(
    tables: Tables, ticks: EpochTicks, asked: Window, symbol_id: int, window: Window
) -> FrozenMarket | str:
    del window
    return tables.freeze(ticks, symbol_id, asked)


async def _gas_of_a_charge(settings: Settings, name: str, clock: Clock) -> int | None:
    """The gas that a charge took so far, its part of the transaction's included; None where there was none."""
    newest: dict[tuple[str, int], Transaction] = {}
    async for record in read_journal(settings, name, clock.now_ms() - _GAS_OF_MS):
        if isinstance(record, Transaction):
            newest[record.signer, record.nonce] = record
    mined = [one for one in newest.values() if one.state == State.MINED and one.charges and one.gas_used]
    charges = sum(len(one.charges) for one in mined)
    return sum(one.gas_used or 0 for one in mined) // charges if charges else None


async def _charges(chain: Chain, funding: FundingSettings, frozen: Frozen, plans: Sequence[Plan]) -> _Found:
    charges: dict[str, list[tuple[int, Charge | str]]] = {}
    moved_e18 = 0
    for one in plans:
        quotes, refused = await _quotes(
            chain, [quote_id for quote_id, symbol in one.quotes if symbol in frozen.markets]
        )
        charges[one.party_a] = []
        for quote_id, symbol_id in one.quotes:
            if quote_id in refused:
                charges[one.party_a].append((quote_id, f"its view: {refused[quote_id]}"))
            elif quote_id in quotes:
                charge = _planned(quotes[quote_id], frozen, symbol_id, (one.party_a, one.party_b), funding)
                charges[one.party_a].append((quote_id, charge))
                if isinstance(charge, Charge):
                    moved_e18 += abs(moved_to_party_b([(quotes[quote_id], charge)]))
    return _Found(charges, moved_e18)


async def _quotes(chain: Chain, quote_ids: Sequence[int]) -> tuple[dict[int, ChainQuote], dict[int, str]]:
    """Read quotes; those whose view the contract refuses come with its reason."""
    try:
        return await chain.quotes(quote_ids), {}
    except Reverted:
        refused = await chain.unreadable(quote_ids)
        return await chain.quotes([one for one in quote_ids if one not in refused]), refused


def _planned(
    quote: ChainQuote, frozen: Frozen, symbol_id: int, parties: tuple[str, str], funding: FundingSettings
) -> Charge | str:
    party_a, party_b = parties
    eligibility = eligibility_of(
        quote, symbol_id=symbol_id, party_a=party_a, party_b=party_b, pays_s=frozen.epoch.pays_s
    )
    if eligibility is not Eligibility.DUE:
        return eligibility.value
    return charge_of(quote, frozen.markets[symbol_id].terms, funding.charge_on)


async def _fees(chain: Chain, funding: FundingSettings, found: _Found, *, gas: int | None) -> ExpectedFees:
    """About what charges cost now; ``gas`` is that of a charge."""
    base_wei, tip_wei = await chain.fees()
    limits = limits_of(funding)
    price_wei = min(base_wei + fees_of(base_wei, tip_wei, limits.fees).tip_wei, limits.fees.max_wei)
    data_fees = DataFees(chain)
    transactions = cost_wei = 0
    for party_a, charges in found.charges.items():
        due = [charge for _, charge in charges if isinstance(charge, Charge) and charge.rate_e18]
        for batch in batches(due, funding.batch):
            transactions += 1
            batch_gas = (gas or 0) * len(batch)
            data_wei = await data_fees.now_wei(charge_data(party_a, batch, _SIGNATURE), batch_gas)
            cost_wei += batch_gas * price_wei + data_wei
    known_wei = None if gas is None else cost_wei
    coin_e18 = None if funding.coin_price is None else int(funding.coin_price * E18)
    share = None if known_wei is None else share_bps(known_wei, coin_e18, found.moved_e18)
    return ExpectedFees(transactions, found.moved_e18, known_wei, share)
