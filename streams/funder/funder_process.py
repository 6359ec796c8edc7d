"""The process of ``tidemark funder``: one process a deployment charges for all its hedgers, and others wait."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar, assert_never

import aiohttp

from models.heartbeats import FunderBeat, funder_key
from models.leases import LEASE_TTL_MS
from models.money import E18
from models.symmio.funding_plan import Eligibility, charge_of, eligibility_of
from models.symmio.funding_records import CeilingMet, Frozen, Missed, Outcome, Plan, Transaction
from streams.funder.account_charges import AccountCharges, Route
from streams.funder.ceilings import Ceilings, limits_of
from streams.funder.chain_view import PATIENCE, Chain, ChainError
from streams.funder.executor import Executor
from streams.funder.funding_inputs import Tables, expected_terms_of
from streams.funder.funding_journal import opened_journal, read_journal
from streams.funder.hedgers import hedgers_of, party_bs
from streams.funder.muon import Muon
from streams.funder.rounds import freeze
from streams.funder.sender import Sender
from streams.funder.signer_balance import tell_balance
from streams.kafka.topics import FUNDING, require_topic
from streams.node.endpoints import Node
from streams.node.rpc import HttpEndpoint
from streams.process.backoff import Backoff
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.replicas.turns import turn
from streams.settings import BadSettings, symmio_deployments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from models.symmio.funding_plan import ChainQuote, Charge, Window
    from models.symmio.funding_records import Epoch, FrozenMarket, Record
    from streams.funder.account_charges import Progress
    from streams.funder.funding_journal import Journal
    from streams.funder.hedgers import Hedger
    from streams.process.clock import Clock
    from streams.settings import FundingSettings, Settings, SymmioSettings

_log = logging.getLogger(__name__)

T = TypeVar("T")

_ASK_NODE_AGAIN_S = (0.5, 10.0)


async def run(settings: Settings, name: str, clock: Clock, *, lease_ttl_ms: int = LEASE_TTL_MS) -> None:
    """Charge the funding of deployment ``name`` until cancelled.

    Args:
        settings: The configuration.
        name: The deployment.
        clock: Tells which marks are stale, and how far back the journal is read.
        lease_ttl_ms: How long after an executor was killed another one takes its place, in ms.

    Raises:
        BadSettings: A setting that is needed is missing.
        BadTopic: The topic is missing.
        WrongChain: Every endpoint is of another chain.
        Fenced, Superseded: Another executor took over.
    """
    deployment = _configured(settings, name)
    muon_url = deployment.funding.muon
    if muon_url is None:
        msg = f"deployments.{name}.funding.muon: expected the URL of a Muon gateway, found nothing"
        raise BadSettings(msg)
    async with _connected(deployment, name) as chain, aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        hedgers = await hedgers_of(name, deployment, session)
        await require_topic(settings, FUNDING)
        await _answered(chain.pending_time_s)
        routes = [await _answered(partial(_route, chain, name, deployment, one)) for one in hedgers]
        muon = Muon(session, muon_url.get_secret_value(), deployment)
        failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        tasks.create_task(_raise(failed))
        tables = Tables(settings, name, clock, lambda error: _fail(failed, error))
        try:
            # An executor that waits for its turn reads the tables meanwhile.
            await tables.start()
            # Once the journal is open nobody else writes, so what is read then is all there is.
            async with (
                turn(settings, "funder", name, clock, lease_ttl_ms),
                opened_journal(settings, name) as journal,
            ):
                # One that waits for its turn does not beat: it would hide that nobody works.
                beats = HeartbeatWriter(
                    settings, clock, lambda process, at_ms: {funder_key(name): FunderBeat(process, at_ms)}
                )
                tasks.create_task(beats.run(), name="heartbeats")
                records = [record async for record in read_journal(settings, name, clock)]
                valid_s = await _answered(chain.signature_valid_s)
                turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
                async with asyncio.TaskGroup() as work:
                    work.create_task(journal.run())
                    for number, (hedger, route) in enumerate(zip(hedgers, routes, strict=True)):
                        one = _Working(name, deployment, hedger, route, chain, muon, journal, tables, turns, valid_s)
                        own = [record for record in records if _is_of(record, hedger, is_first=number == 0)]
                        work.create_task(one.run(own))
        finally:
            await tables.stop()


class _Working(NamedTuple):
    """What charges for one hedger; the node, the gateway, the journal and the tables are those of all of them."""

    name: str
    deployment: SymmioSettings
    hedger: Hedger
    route: Route
    chain: Chain
    muon: Muon
    journal: Journal
    tables: Tables
    turns: defaultdict[str, asyncio.Lock]
    valid_s: int

    async def run(self, records: Sequence[Record]) -> None:
        """Charge until cancelled, from what is on record of the hedger."""
        signer, funding = self.hedger.signer, self.deployment.funding
        ceilings = Ceilings(self.name, signer.address, limits_of(funding), self.journal)

        def charges_of(party_a: str, progress: dict[Epoch, Progress]) -> AccountCharges:
            return AccountCharges(
                party_a,
                progress,
                route=self.route,
                chain=self.chain,
                muon=self.muon,
                sender=sender,
                charge_on=funding.charge_on,
                batch=funding.batch,
                valid_s=self.valid_s,
            )

        def unmined(record: Transaction) -> None:
            executor.unmined(record)

        sender = Sender(
            self.name,
            self.chain,
            signer,
            self.journal,
            ceilings=ceilings,
            depth=self.deployment.finality_depth,
            replace_after_s=funding.replace_after_s,
            coin_e18=None if funding.coin_price is None else int(funding.coin_price * E18),
            on_unmined=unmined,
        )
        executor = Executor(
            self.name,
            self.hedger.party_b,
            chain=self.chain,
            journal=self.journal,
            tables=self.tables,
            charges_of=charges_of,
            is_watching=sender.is_watching,
            turns=self.turns,
            depth=self.deployment.finality_depth,
            concurrency=funding.concurrency,
        )
        executor.restore(records)
        ceilings.restore(record for record in records if isinstance(record, CeilingMet))
        transactions = [record for record in records if isinstance(record, Transaction)]
        await _answered(partial(sender.start, transactions))
        _log.info("funder ready deployment=%s party_b=%s signer=%s", self.name, self.hedger.party_b, signer.address)
        every_s = self.deployment.poll_interval_ms / 1_000
        async with asyncio.TaskGroup() as work:
            work.create_task(sender.run(every_s))
            work.create_task(executor.run(every_s))
            work.create_task(tell_balance(self.name, self.chain, signer.address))


def _is_of(record: Record, hedger: Hedger, *, is_first: bool) -> bool:
    """Whether a record is of a hedger; those of before they named one are of the first."""
    match record:
        case Transaction(signer=signer) | CeilingMet(signer=signer):
            return signer == hedger.signer.address
        case Frozen(party_b=party_b) | Plan(party_b=party_b) | Outcome(party_b=party_b) | Missed(party_b=party_b):
            return party_b == hedger.party_b or (is_first and not party_b)
        case _:
            assert_never(record)


class Planned(NamedTuple):
    """The plan for an epoch: its terms, and each account's quotes with their charges, or why there is none."""

    frozen: Frozen
    charges: dict[str, list[tuple[int, Charge | Eligibility]]]


async def plan(settings: Settings, name: str, clock: Clock) -> list[Planned]:
    """Find what would be charged in the windows that are open, or open next; send and write nothing.

    A window that is not open yet is planned as though it had opened a moment ago.

    Args:
        settings: The configuration.
        name: The deployment.
        clock: Tells which marks are stale.

    Raises:
        BadSettings: What is needed is not configured.
        WrongChain: Every endpoint is of another chain.
        NodeDown: The node does not answer.
    """
    deployment = _configured(settings, name)
    failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
    tables = Tables(settings, name, clock, lambda error: _fail(failed, error))
    planned = []
    async with _connected(deployment, name) as chain:
        try:
            await tables.start()
            now_s = await chain.pending_time_s()
            for party_b in party_bs(name, deployment):
                for epoch, window in sorted(tables.next_windows(now_s).items()):
                    asked = expected_terms_of(window, now_s)
                    await tables.read_prices(asked)
                    frozen, plans = freeze(
                        epoch,
                        window,
                        symbols=tables.markets(epoch),
                        positions=tables.positions(party_b),
                        terms_of=partial(_terms_as_of, tables, asked),
                        at_s=now_s,
                        tables_s=tables.time_s,
                        party_b=party_b,
                    )
                    planned.append(Planned(frozen, await _charges(chain, deployment.funding, frozen, plans)))
        finally:
            await tables.stop()
    return planned


def _terms_as_of(tables: Tables, asked: Window, symbol_id: int, window: Window) -> FrozenMarket | str:
    del window
    return tables.freeze(symbol_id, asked)


async def _charges(
    chain: Chain, funding: FundingSettings, frozen: Frozen, plans: Sequence[Plan]
) -> dict[str, list[tuple[int, Charge | Eligibility]]]:
    charges: dict[str, list[tuple[int, Charge | Eligibility]]] = {}
    for one in plans:
        priced = [(quote_id, symbol_id) for quote_id, symbol_id in one.quotes if symbol_id in frozen.markets]
        quotes = await chain.quotes([quote_id for quote_id, _ in priced])
        charges[one.party_a] = [
            (quote_id, _planned(quotes[quote_id], frozen, symbol_id, (one.party_a, one.party_b), funding))
            for quote_id, symbol_id in priced
        ]
    return charges


def _planned(
    quote: ChainQuote, frozen: Frozen, symbol_id: int, parties: tuple[str, str], funding: FundingSettings
) -> Charge | Eligibility:
    party_a, party_b = parties
    eligibility = eligibility_of(quote, party_a=party_a, party_b=party_b, pays_s=frozen.epoch.pays_s)
    if eligibility is not Eligibility.DUE:
        return eligibility
    return charge_of(quote, frozen.markets[symbol_id].terms, funding.charge_on)


def _configured(settings: Settings, name: str) -> SymmioSettings:
    deployment = symmio_deployments(settings).get(name)
    if deployment is None:
        msg = f"expected one of the deployments {', '.join(sorted(symmio_deployments(settings)))}, found {name!r}"
        raise BadSettings(msg)
    return deployment


@asynccontextmanager
async def _connected(deployment: SymmioSettings, name: str) -> AsyncIterator[Chain]:
    urls = [secret.get_secret_value() for secret in deployment.rpc]
    async with aiohttp.ClientSession() as session:
        endpoints = [
            HttpEndpoint(session, url, f"#{number}")
            for number, url in enumerate(urls, start=1)
            if url.startswith("http")
        ]
        if not endpoints:
            msg = f"deployments.{name}.rpc: expected an http or https endpoint, found none"
            raise BadSettings(msg)
        yield Chain(Node(name, endpoints, deployment.chain_id, PATIENCE), deployment.diamond)


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the node answers: whether it does is no reason to end, and it is said why nothing is charged."""
    backoff = Backoff(*_ASK_NODE_AGAIN_S)
    while True:
        try:
            return await ask()
        except ChainError as error:
            _log.error("not ready to charge: %s", error)
            await asyncio.sleep(backoff.next_s())


async def _route(chain: Chain, name: str, deployment: SymmioSettings, hedger: Hedger) -> Route:
    party_b, signer = hedger
    if signer.address != party_b and not await chain.has_code(party_b):
        msg = (
            f"deployments.{name}.funding.party_b: expected the signer's address {signer.address} or a contract that "
            f"forwards its calls, found {party_b} without code"
        )
        raise BadSettings(msg)
    return Route(signer.address, party_b, deployment.diamond)


def _fail(failed: asyncio.Future[NoReturn], error: BaseException) -> None:
    if not failed.done():
        failed.set_exception(error)


async def _raise(failed: asyncio.Future[NoReturn]) -> None:
    await failed
