"""chain-blocks → account-events, quotes, markets, deployments: who is concerned by what happened on chain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, assert_never

import prometheus_client

from models.account_events import (
    AccountCheckpoint,
    AccountRecord,
    Final,
    RolledBack,
    Supported,
    Transaction,
    Unfoldable,
    Unsupported,
    encode_account_record,
)
from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark, decode_chain_record
from models.codec import decode_row
from models.deployments import DeploymentState, decode_deployment, encode_deployment
from models.errors import BadRecord
from models.ids import account_key, market_key, quote_key
from models.symmio.markets import Market, decode_market, encode_market, market_of_view
from models.symmio.routing import route_block
from streams.kafka.partitions import expect_in_place, partition_of
from streams.kafka.topics import CHAIN_BLOCKS, DEPLOYMENTS, MARKETS, QUOTES, account_events_name, topic_name
from streams.settings import BadSettings
from streams.transport.publisher import RecordTooLarge, check_size

if TYPE_CHECKING:
    from models.chain_records import ChainRecord
    from streams.kafka.record import Record
    from streams.settings import Settings
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_BLOCKS = prometheus_client.Counter(
    "tidemark_routed_records_total", "Records of chain-blocks routed.", ("deployment", "kind")
)
_SENT = prometheus_client.Counter(
    "tidemark_account_events_total", "Account events sent by the router.", ("deployment",)
)
# A quote's id is given to another account only by a reorganisation; four are more forks than one quote will see.
_ROUTES_KEPT = 4
# A block's logs are decoded in about 1 ms; the loop is given back every 10 ms.
_YIELD_EVERY = 10


class RouterAgent:
    """Keeps ``quotes``, ``markets`` and ``deployments`` and sends ``account-events``.

    What is redelivered is routed again, in order, with the state that stood when it was first routed: a route is looked
    up as of the record's own position.
    """

    def __init__(self, settings: Settings, rows: Rows) -> None:
        self._settings = settings
        self._rows = rows
        self._events = account_events_name(settings)
        self._blocks = topic_name(settings, CHAIN_BLOCKS)

    async def handle(self, part: Slice) -> None:
        """Route a slice, record by record; each deployment's row is written once, after all its outputs."""
        states: dict[str, DeploymentState] = {}
        for at, record in enumerate(part):
            name = (record.key or b"").decode(errors="replace")
            standing = states.get(name) or self._state(part.partition, name)
            states[name] = self._route(name, standing, record, part)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for name, state in states.items():
            if state.position > self._state(part.partition, name).position:
                row = (state.position[0] + 1, encode_deployment(state))
                self._rows.write(DEPLOYMENTS, part.partition, name.encode(), row, part)
            else:
                self._rows.restate(DEPLOYMENTS, part.partition, name.encode(), part)

    def _route(
        self, name: str, standing: DeploymentState, record: Record[bytes | None], part: Slice
    ) -> DeploymentState:
        try:
            expect_in_place(record.key or b"", part.partition, self._settings.topics.partitions)
            chain_record = decode_chain_record(record.value or b"")
        except BadRecord as error:
            self._rows.refuse(part, record, error)
            since = Unsupported((record.offset, 0), standing.head, str(error))
            state = self._unsupported(name, standing, since, part)
        else:
            _BLOCKS.labels(name, type(chain_record).__name__.lower()).inc()
            state = self._routed(name, standing, chain_record, record.offset, part)
        position = (record.offset, -1)
        # What is redelivered is sent again, but says nothing new of the deployment.
        return state.at(position) if position > standing.position else standing

    def _routed(
        self, name: str, state: DeploymentState, record: ChainRecord, offset: int, part: Slice
    ) -> DeploymentState:
        position = (offset, -1)
        match record:
            case Block():
                return self._block(name, state, record, offset, part)
            case Watermark():
                self._to_all(name, Final(position, record.head, record.head_time_s, record.final), part)
                return state.watermark(record.head, record.head_time_s, record.final)
            case Rollback():
                supported = state.gap_above(record.ancestor, position)
                self._to_all(name, RolledBack(position, record.ancestor, supported), part)
                return state.rolled_back(record.ancestor, position)
            case Join():
                for view in record.symbols:
                    self._write_market(part, name, market_of_view(view), offset)
                self._to_all(name, Supported(position, record.block, record.enumerated), part)
                return state.joined(position)
            case Joined():
                return state
            case Checkpoint():
                self._checkpoint(name, record, offset, part)
                return state
            case _:
                assert_never(record)

    def _block(self, name: str, state: DeploymentState, block: Block, offset: int, part: Slice) -> DeploymentState:
        if not state.supported_at((offset, 0)):
            return state
        settings = self._settings.deployments.get(name)
        if settings is None:
            # Going on would lose the block; taking it for a fact of the chain would outlive the mistake.
            msg = f"expected [deployments.{name}], whose blocks are in {self._blocks}, in the configuration; found none"
            raise BadSettings(msg)
        routed = route_block(
            block,
            offset=offset,
            diamond=settings.diamond,
            multi_accounts=frozenset(settings.multi_accounts),
            account_of=lambda quote_id: self._account_of(part.partition, name, quote_id, offset),
            begun=state.begun_before(offset),
        )
        for quote_id, account, symbol_id in routed.quotes:
            self._write_route(part, quote_key(name, quote_id), account, symbol_id, offset)
        for market in routed.markets:
            self._write_market(part, name, market, offset)
        for account, transaction in routed.transactions:
            self._to_account(name, account, transaction, part)
        if routed.begun:
            state = state.begin(offset)
        if routed.unsupported is not None:
            since = Unsupported((offset, routed.unsupported.tx_index), block.number, routed.unsupported.reason)
            return self._unsupported(name, state, since, part)
        return state

    def _checkpoint(self, name: str, checkpoint: Checkpoint, offset: int, part: Slice) -> None:
        for quote in checkpoint.quotes:
            self._write_route(part, quote_key(name, quote.quote_id), checkpoint.account, quote.symbol_id, offset)
        self._to_account(name, checkpoint.account, AccountCheckpoint((offset, -1), checkpoint), part)

    def _unsupported(self, name: str, state: DeploymentState, since: Unsupported, part: Slice) -> DeploymentState:
        self._to_all(name, since, part)
        return state.unsupported(since.position, since.block, since.reason)

    def _to_account(self, name: str, account: str, record: Transaction | AccountCheckpoint, part: Slice) -> None:
        key = account_key(name, account)
        partition = partition_of(key, self._settings.topics.partitions)
        value = encode_account_record(record)
        try:
            check_size(self._events, key, value)
        except RecordTooLarge as error:
            value = encode_account_record(Unfoldable(record.position, str(error)))
        self._rows.send(self._events, partition, key, value, part)
        _SENT.labels(name).inc()

    def _to_all(self, name: str, record: AccountRecord, part: Slice) -> None:
        value = encode_account_record(record)
        for partition in range(self._settings.topics.partitions):
            self._rows.send(self._events, partition, name.encode(), value, part)

    def _state(self, partition: int, name: str) -> DeploymentState:
        value = self._rows.get(DEPLOYMENTS, partition, name.encode())
        return DeploymentState() if value is None else decode_deployment(decode_row(value).body)

    def _account_of(self, partition: int, name: str, quote_id: int, offset: int) -> str | None:
        account = None
        for at, candidate, _ in self._routes(partition, quote_key(name, quote_id)):
            if at <= offset:
                account = candidate
        return account

    def _routes(self, partition: int, key: bytes) -> list[tuple[int, str, int]]:
        value = self._rows.get(QUOTES, partition, key)
        return [] if value is None else [tuple(route) for route in decode_row(value).body["routes"]]

    def _write_route(self, part: Slice, key: bytes, account: str, symbol_id: int, offset: int) -> None:
        routes = self._routes(part.partition, key)
        if routes and routes[-1][0] >= offset:
            self._rows.restate(QUOTES, part.partition, key, part)
            return
        routes = [*routes, (offset, account, symbol_id)][-_ROUTES_KEPT:]
        self._rows.write(QUOTES, part.partition, key, (offset + 1, {"routes": routes}), part)

    def _write_market(self, part: Slice, name: str, market: Market, offset: int) -> None:
        key = market_key(name, market.symbol_id)
        value = self._rows.get(MARKETS, part.partition, key)
        row = None if value is None else decode_row(value)
        if row is not None and row.version > offset + 1:
            self._rows.restate(MARKETS, part.partition, key, part)
            return
        merged = market if row is None else market.over(decode_market(market.symbol_id, row.body))
        self._rows.write(MARKETS, part.partition, key, (offset + 1, encode_market(merged)), part)
