"""The process of ``tidemark funder``: one process a deployment charges for all its hedgers, and others wait."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar, assert_never

import aiohttp

from models.heartbeats import FunderBeat, funder_key
from models.leases import LEASE_TTL_MS
from models.money import E18
from models.symmio.funding_records import CeilingMet, Frozen, Missed, Outcome, Plan, Refused, Settled, Transaction
from streams.funder.account_charges import AccountCharges, Route
from streams.funder.ceilings import Ceilings, limits_of
from streams.funder.chain_errors import ChainError
from streams.funder.connect import configured, connected
from streams.funder.executor import Executor
from streams.funder.funding_inputs import Tables
from streams.funder.funding_journal import opened_journal
from streams.funder.hedgers import hedgers_of
from streams.funder.muon import Muon
from streams.funder.sender import Sender
from streams.funder.signer_balance import tell_balance
from streams.kafka.topics import FUNDING, require_topic
from streams.process.backoff import Backoff
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.replicas.turns import turn
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from models.symmio.funding_records import Epoch, Record
    from streams.funder.account_charges import Progress
    from streams.funder.chain_view import Chain
    from streams.funder.funding_journal import Journal
    from streams.funder.hedgers import Hedger
    from streams.process.clock import Clock
    from streams.settings import Settings, SymmioSettings

_log = logging.getLogger(__name__)

T = TypeVar("T")

_ASK_NODE_AGAIN_S = (0.5, 10.0)


async def run(settings: Settings, name: str, clock: Clock, *, lease_ttl_ms: int = LEASE_TTL_MS) -> None:
    """Charge the funding of deployment ``name`` until cancelled.

    Args:
        settings: The configuration.
        name: The deployment.
        clock: Tells which marks are stale, and when records are written.
        lease_ttl_ms: How long after an executor was killed another one takes its place, in ms.

    Raises:
        BadSettings: A setting that is needed is missing.
        BadTopic: The topic is missing.
        WrongChain: Every endpoint is of another chain.
        Fenced, Superseded: Another executor took over.
    """
    deployment = configured(settings, name)
    muon_url = deployment.funding.muon
    if muon_url is None:
        msg = f"deployments.{name}.funding.muon: expected the URL of a Muon gateway, found nothing"
        raise BadSettings(msg)
    async with (
        connected(deployment, name, clock) as chain,
        aiohttp.ClientSession() as session,
        asyncio.TaskGroup() as tasks,
    ):
        hedgers = await hedgers_of(name, deployment, session)
        await require_topic(settings, FUNDING)
        await _answered(chain.agreed_time_s)
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
                opened_journal(settings, name, clock) as journal,
            ):
                # One that waits for its turn does not beat: it would hide that nobody works.
                beats = HeartbeatWriter(
                    settings, clock, lambda process, at_ms: {funder_key(name): FunderBeat(process, at_ms)}
                )
                tasks.create_task(beats.run(), name="heartbeats")
                records = await journal.read_back(settings)
                # A contract that is no Diamond is told of now, and not only when something is to be charged.
                await _answered(chain.signature_valid_s)
                turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
                async with asyncio.TaskGroup() as work:
                    work.create_task(journal.run())
                    for number, (hedger, route) in enumerate(zip(hedgers, routes, strict=True)):
                        one = Working(name, deployment, hedger, route, chain, muon, journal, tables, turns)
                        own = [record for record in records if is_of(record, hedger, is_first=number == 0)]
                        work.create_task(one.run(own))
        finally:
            await tables.stop()


class Working(NamedTuple):
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


def is_of(record: Record, hedger: Hedger, *, is_first: bool) -> bool:
    """Whether a record is of a hedger; those of before they named one are of the first."""
    match record:
        case Transaction(signer=signer) | CeilingMet(signer=signer):
            return signer == hedger.signer.address
        case (
            Frozen(party_b=party_b)
            | Plan(party_b=party_b)
            | Outcome(party_b=party_b)
            | Missed(party_b=party_b)
            | Refused(party_b=party_b)
        ):
            return party_b == hedger.party_b or (is_first and not party_b)
        case Settled():
            return False
        case _:
            assert_never(record)


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
