"""Answers whose a sub-account is, for those whom no block that was read names: the api asks on a topic, not a node."""

from __future__ import annotations

import asyncio
import logging
from itertools import product
from typing import TYPE_CHECKING

from prometheus_client import Counter

from models.errors import BadRecord, TidemarkError
from models.ids import account_key
from models.owners import OWNER_WAITED_FOR_S, SubAccountOwner, decode_owner_request, encode_owner
from streams.kafka.reader import TopicReader, offsets_since
from streams.kafka.topics import OWNER_REQUESTS, OWNERS, topic_name
from streams.node.contract_views import ContractViews

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.ingest.outlet import Outlet
    from streams.kafka.record import Record
    from streams.node.endpoints import Node
    from streams.process.clock import Clock
    from streams.settings import Settings, SymmioSettings

_log = logging.getLogger(__name__)

_REQUESTS = Counter(
    "tidemark_owner_requests_total", "Accounts whose owner was asked for, by the answer.", ("deployment", "outcome")
)

# 40 accounts a second are more than people make, and few enough calls beside those for blocks.
_ACCOUNTS_AT_ONCE = 10
_PAUSE_S = 0.25
# What is asked for beyond this would be answered when nobody waits for it any more.
_WAITING_MAX = int(OWNER_WAITED_FOR_S / _PAUSE_S) * _ACCOUNTS_AT_ONCE


class OwnerRequests(TopicReader):
    """The accounts of one deployment whose owner is asked for, each once, in the order of their first requests.

    Args:
        settings: Name the broker and the topic.
        deployment: Whose accounts; requests for others are passed over.
        clock: Tells which requests of before the start still wait for an answer.
    """

    def __init__(self, settings: Settings, deployment: str, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, OWNER_REQUESTS), clock)
        self._deployment = deployment
        self._waiting: dict[str, None] = {}
        self._heard = asyncio.Event()

    async def wait(self) -> None:
        """Return when an account is waiting.

        Raises:
            KafkaError: The reader has ended.
        """
        hearing, ending = asyncio.ensure_future(self._heard.wait()), asyncio.ensure_future(self.closed())
        try:
            await asyncio.wait([hearing, ending], return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                ending.result()
        finally:
            hearing.cancel()
            ending.cancel()

    def oldest(self) -> list[str]:
        """As many accounts as are asked for at once. They go on waiting, so that they are not asked for twice."""
        return list(self._waiting)[:_ACCOUNTS_AT_ONCE]

    def forget(self, accounts: Iterable[str]) -> None:
        """Let accounts wait no longer, whether they were answered or not: who still wants to know asks again."""
        for account in accounts:
            self._waiting.pop(account, None)
        if not self._waiting:
            self._heard.clear()

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin with the requests that somebody may still wait for."""
        since_ms = max(0, self._clock.now_ms() - int(OWNER_WAITED_FOR_S * 1_000))
        return await offsets_since(consumer, end, since_ms)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for tp, records in fetched.items():
            for record in records:
                try:
                    deployment, account = decode_owner_request(record.key, record.value)
                except BadRecord as error:
                    _REQUESTS.labels(self._deployment, "unreadable").inc()
                    _log.warning(
                        "owner request refused partition=%d offset=%d error=%s", tp.partition, record.offset, error
                    )
                    continue
                if deployment == self._deployment:
                    self._add(account)

    def _add(self, account: str) -> None:
        if account in self._waiting:
            return
        if len(self._waiting) >= _WAITING_MAX:
            _REQUESTS.labels(self._deployment, "no_room").inc()
            return
        self._waiting[account] = None
        self._heard.set()


async def answer_owner_requests(
    requests: OwnerRequests, settings: Settings, deployment: SymmioSettings, node: Node, outlet: Outlet
) -> None:
    """Answer requests on ``owners``, until cancelled.

    Args:
        requests: Started; those of the node's deployment.
        settings: Name the topic.
        deployment: Names the contracts.
        node: Is asked once for what several replicas want to know at a time.
        outlet: The way to Kafka.

    Raises:
        NotAcknowledged: The broker did not take an answer.
        KafkaError: The requests cannot be read any more.
    """
    topic = topic_name(settings, OWNERS)
    while True:
        await requests.wait()
        accounts = requests.oldest()
        found = await find_sub_account_owners(node, deployment, accounts)
        # Whoever asks from here on is answered anew.
        requests.forget(accounts)
        for account, owner in found.items():
            key = account_key(node.deployment, account)
            await outlet.put(topic, key, None if owner is None else encode_owner(owner))
            _REQUESTS.labels(node.deployment, "no_owner" if owner is None else "owner").inc()
        _REQUESTS.labels(node.deployment, "not_told").inc(len(accounts) - len(found))
        await asyncio.sleep(_PAUSE_S)


async def find_sub_account_owners(
    node: Node, deployment: SymmioSettings, accounts: Sequence[str]
) -> dict[str, SubAccountOwner | None]:
    """Ask the deployment's MultiAccounts who owns accounts, as of the newest block.

    An owner is believed of any endpoint, since accounts keep theirs. That there is none, only of one that has the
    newest block that is known: another one, or a backend, may be behind.

    Args:
        node: Is asked for as long as somebody waits.
        deployment: Names the contracts.
        accounts: Addresses in lower case.

    Returns:
        For each account its owner, or None where none of the contracts made it. Accounts of which the node does not say
        it in time are left out.
    """
    found: dict[str, SubAccountOwner] = {}
    are_all_told = True
    try:
        async with asyncio.timeout(OWNER_WAITED_FOR_S):
            for multi_account, is_sure in product(deployment.multi_accounts, (False, True)):
                left = [account for account in accounts if account not in found]
                if left:
                    try:
                        views = ContractViews(deployment.diamond, await _newest(node) if is_sure else "latest")
                        found |= await _owners_at(node, views, multi_account, left)
                    except TidemarkError as error:
                        are_all_told = False
                        _log.warning("owners not told deployment=%s cause=%r", node.deployment, error)
    except TimeoutError:
        are_all_told = False
        _log.warning("owners not told deployment=%s cause=no answer in %s s", node.deployment, OWNER_WAITED_FOR_S)
    # Who was made by none may still have been made by one that did not say so.
    return dict.fromkeys(accounts) | found if are_all_told else dict(found)


async def _newest(node: Node) -> int:
    return node.highest if node.highest >= 0 else (await node.head()).number


async def _owners_at(
    node: Node, views: ContractViews, multi_account: str, accounts: Sequence[str]
) -> dict[str, SubAccountOwner]:
    owners = await node.ask_many([views.owner_of(multi_account, account) for account in accounts])
    return {
        account: SubAccountOwner(multi_account, owner)
        for account, owner in zip(accounts, owners, strict=True)
        if owner is not None
    }
