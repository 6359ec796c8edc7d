"""A SYMMIO deployment's logs, from its node to ``chain-blocks``: joined or backfilled, then followed.

Whoever else wants to know something of the chain asks this process on a topic: it alone decides how its node is used.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from models.heartbeats import ChainBeat, chain_key
from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.outlet import opened_outlet
from streams.ingest.symmio.chain_journal import Journal, opened_writer
from streams.ingest.symmio.checkpoint import NotFinal, join
from streams.ingest.symmio.doubts import Doubts
from streams.ingest.symmio.head import Follower
from streams.ingest.symmio.newheads import NewHeads
from streams.ingest.symmio.owner_requests import OwnerRequests, answer_owner_requests
from streams.ingest.symmio.resume import read_tail
from streams.kafka.topics import LEASES, OWNER_REQUESTS, OWNERS, require_topic
from streams.node.connect import deployment_of, opened_endpoints
from streams.node.contracts import is_contract
from streams.node.endpoints import Node
from streams.node.rpc import NoContract, RpcError, WebsocketEndpoint
from streams.process.backoff import Backoff
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.replicas.turns import turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from models.heartbeats import Beat
    from streams.ingest.outlet import Outlet
    from streams.ingest.symmio.tail import Tail
    from streams.process.clock import Clock
    from streams.settings import Settings, SymmioSettings

_log = logging.getLogger(__name__)


async def run(settings: Settings, name: str, clock: Clock, *, from_state: int | None = None) -> None:
    """Keep the deployment ``name`` in step with its chain until cancelled.

    Args:
        settings: Name Kafka, and the deployment with its endpoints.
        name: The deployment.
        clock: Tells which questions of the api's replicas still wait for an answer.
        from_state: Join at this block, by checkpoints, unless the topic's final blocks are already beyond it.

    Raises:
        BadSettings: The deployment, its endpoints or Kafka are not configured.
        BadTopic: A topic is missing: run ``tidemark topics create``.
        NoContract: There is no contract at the Diamond's address or a MultiAccount's.
        TidemarkError: A fault that an operator has to mend: another chain, a reorganisation deeper than finality, a
            broker that does not take records.
        Superseded: Another ingest of the deployment took over.
    """
    deployment = deployment_of(settings, name)
    async with opened_outlet(settings.bootstrap) as outlet:
        await require_topic(settings, CHAIN_BLOCKS, OWNER_REQUESTS, OWNERS, LEASES)
        # Once the writer is open nobody else writes, so the tail that is read then is all there is.
        async with turn(settings, "chain", name, clock), opened_writer(settings, name) as writer:
            journal = Journal(settings, name, writer, await read_tail(settings, settings.bootstrap, name))
            await _follow(settings, deployment, journal, outlet, clock, from_state=from_state)


async def _follow(
    settings: Settings,
    deployment: SymmioSettings,
    journal: Journal,
    outlet: Outlet,
    clock: Clock,
    *,
    from_state: int | None,
) -> None:
    name = journal.deployment
    heads = NewHeads(name, deployment.poll_interval_ms)
    async with (
        aiohttp.ClientSession() as session,
        opened_endpoints(session, deployment, heads.notify) as endpoints,
        AsyncExitStack() as opened,
    ):
        node = Node(name, endpoints, deployment.chain_id)
        follower = Follower(node, journal, deployment, Doubts(name))
        requests = OwnerRequests(settings, name, clock)
        listening = [
            asyncio.create_task(heads.listen(endpoint, lambda: node.highest), name=f"newHeads {endpoint.label}")
            for endpoint in endpoints
            if isinstance(endpoint, WebsocketEndpoint)
        ]
        opened.push_async_callback(requests.stop)
        for task in listening:
            opened.callback(task.cancel)
        try:
            await _require_contracts(node, [deployment.diamond, *deployment.multi_accounts])
            await requests.start()
            async with asyncio.TaskGroup() as tasks:
                answering = answer_owner_requests(requests, settings, deployment, node, outlet)
                tasks.create_task(answering, name="owner requests")
                beating = _Beating(name, follower, clock)
                tasks.create_task(HeartbeatWriter(settings, clock, beating.beats).run(), name="heartbeats")
                await _begin(node, journal, follower, deployment, from_state)
                await follower.follow(partial(beating.noting, heads.wait))
        except ExceptionGroup as group:
            # The first failure ended the others.
            failure = group.exceptions[0]
            raise failure from failure.__cause__


class _Beating:
    """What the ingest says of itself: when it was last in step with its node.

    Args:
        deployment: The deployment.
        follower: Knows whether it is in step.
        clock: Tells when.
    """

    def __init__(self, deployment: str, follower: Follower, clock: Clock) -> None:
        self._key = chain_key(deployment)
        self._follower = follower
        self._clock = clock
        self._in_step_ms = self._head = self._head_time_s = 0

    async def noting(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Note whether the topic stands at the node's head, and wait for the next one."""
        head = self._follower.in_step
        if head is not None:
            self._in_step_ms, self._head, self._head_time_s = self._clock.now_ms(), head.number, head.time_s
        await wait()

    def beats(self, process: str, at_ms: int) -> dict[str, Beat]:
        """What to say at an instant."""
        return {self._key: ChainBeat(process, at_ms, self._in_step_ms, self._head, self._head_time_s)}


async def _require_contracts(node: Node, addresses: Sequence[str]) -> None:
    """Check that there is code at each address, since an address without code never emits a log.

    Raises:
        NoContract: There is none; the message names the address.
    """
    for address in addresses:
        try:
            has_code = await is_contract(node, address)
        except RpcError as error:
            _log.warning("contract not checked deployment=%s address=%s reason=%s", node.deployment, address, error)
            continue
        if not has_code:
            msg = f"expected a contract at {address} of deployment {node.deployment}, found none; correct the address"
            raise NoContract(msg)


async def _begin(
    node: Node, journal: Journal, follower: Follower, deployment: SymmioSettings, from_state: int | None
) -> None:
    tail = journal.tail
    node.expect_head(tail.covered)
    reason = _reason_to_join(tail, deployment, from_state)
    if reason is not None:
        _log.info("joining deployment=%s reason=%s", journal.deployment, reason)
        await _join(node, journal, follower, deployment, from_state)
        return
    if deployment.start_block is not None:
        tail.begin_at(deployment.start_block)
    if from_state is not None:
        _log.info(
            "not joining deployment=%s from_state=%d reason=the topic's final blocks reach to %d already",
            journal.deployment,
            from_state,
            tail.final,
        )
    _log.info("going on deployment=%s after_block=%d final=%d", journal.deployment, tail.covered, tail.final)


async def _join(
    node: Node, journal: Journal, follower: Follower, deployment: SymmioSettings, from_state: int | None
) -> None:
    """Join, and begin anew, at a newer final block unless one was named, where the node does not give its state.

    A named block that is not final yet is waited for: that an endpoint does not have it says nothing of the chain.
    """
    backoff = Backoff(1.0, 60.0)
    while True:
        try:
            final = await follower.final_below(await node.head())
            await join(node.insisting(), journal, deployment, final if from_state is None else from_state, final)
        except NotFinal as error:
            _log.error("join waits deployment=%s reason=%s", node.deployment, error)
            await asyncio.sleep(backoff.next_s())
        except RpcError as error:
            _log.error("join begins anew deployment=%s reason=%s", node.deployment, error)
            await asyncio.sleep(backoff.next_s())
        else:
            return


def _reason_to_join(tail: Tail, deployment: SymmioSettings, from_state: int | None) -> str | None:
    if tail.joining is not None:
        return f"the join at block {tail.joining} was not finished"
    if from_state is not None and from_state > tail.final:
        return "asked for by --from-state"
    if tail.is_empty and deployment.start_block is None:
        return (
            "no start_block is configured and the topic is empty; the history may be long, or older than the "
            "contracts' BalanceChange events, before which balances are not in the logs. Set start_block to fold the "
            "logs from there, or name another block with --from-state"
        )
    return None
