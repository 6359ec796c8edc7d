"""chain-blocks → account-events, quotes, markets, deployments: the first half of the fold, in the chain's order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_never

from models.account_events import (
    AccountCheckpoint,
    Final,
    RolledBack,
    Supported,
    Unfoldable,
    Unsupported,
    encode_account_record,
)
from models.body_reader import body_reader
from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark, decode_chain_record
from models.codec import encode_body
from models.deployments import DeploymentState, decode_deployment, encode_deployment, lost_deployment
from models.engine.step import Output, RowId, Stage, Step, Write, step_of
from models.engine.stored_rows import stored
from models.engine.tables import DEPLOYMENTS, MARKETS, QUOTES
from models.errors import TidemarkError
from models.ids import account_key, market_key, quote_key
from models.symmio.markets import decode_market, encode_market, market_of_view
from models.symmio.routing import route_block
from models.symmio.symmio_row_bodies import QuoteRoutesBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Struct

    from models.account_events import AccountRecord, Transaction
    from models.chain_records import ChainRecord
    from models.engine.stored_rows import Stored, StoredRows
    from models.symmio.deployment import SymmioDeployment
    from models.symmio.markets import Market
    from models.symmio.routing import RoutedBlock

# A quote's id is given to another account only by a reorganisation; four are more forks than one quote will see.
_ROUTES_KEPT = 4
_read_body = body_reader(QUOTES, QuoteRoutesBody)


class NotConfigured(TidemarkError):
    """Blocks of a deployment came that the configuration does not name. Add its section and start the worker again."""


class Router:
    """Routes the records of one partition of ``chain-blocks``.

    What is delivered again is routed again, in order, with the state that stood when it was first routed: a route is
    looked up as of the record's own offset.

    Args:
        deployments: Those that are configured, by name.
        rows: The tables that the steps are written to.
    """

    def __init__(self, deployments: Mapping[str, SymmioDeployment], rows: StoredRows) -> None:
        self._deployments = deployments
        self._rows = rows
        self._states: dict[str, DeploymentState] = {}

    def decode(self, value: bytes) -> ChainRecord:
        """Decode a record of ``chain-blocks``.

        Raises:
            BadRecord: It cannot be read, and ``skip`` is to be called.
        """
        return decode_chain_record(value)

    def apply(self, name: str, record: ChainRecord, offset: int) -> Step:
        """Route a record of a deployment.

        Args:
            name: The deployment.
            record: The record.
            offset: Where in its partition it stands.

        Returns:
            One stage; it is to be written before the next record is routed.

        Raises:
            NotConfigured: The record is a block, and the deployment's contracts are not known.
        """
        routing = _Routing(name, offset, self._rows)
        state = self._routed(routing, self._state(name), record)
        return self._close(name, state, routing)

    def skip(self, name: str, offset: int, reason: str) -> Step:
        """Pass over a record that cannot be read: from there on the deployment's logs are not supported.

        Args:
            name: The deployment.
            offset: Where the record stands.
            reason: Why it cannot be read.
        """
        routing, before = _Routing(name, offset, self._rows), self._state(name)
        return self._close(name, _unsupported(routing, before, 0, before.head, reason), routing)

    def take_deployments(self) -> Step:
        """The rows of the deployments of which anything was routed since this was last called."""
        writes, rests_on = [], []
        for name, state in self._states.items():
            key = name.encode()
            if state.position > self._stored(name).position:
                writes.append(Write(DEPLOYMENTS, key, state.position[0] + 1, encode_body(encode_deployment(state))))
            else:
                rests_on.append(RowId(DEPLOYMENTS, key))
        self._states = {}
        return step_of((Stage(writes, rests_on),))

    def encode(self, record: AccountRecord) -> bytes:
        """Encode a record of ``account-events``."""
        return encode_account_record(record)

    def unsent(self, record: AccountRecord, cause: str) -> Unfoldable:
        """What an account is told in place of a transaction or checkpoint that is too large to be sent to it."""
        return Unfoldable(record.position, cause)

    def _state(self, name: str) -> DeploymentState:
        return self._states.get(name) or self._stored(name)

    def _stored(self, name: str) -> DeploymentState:
        row = stored(self._rows, DEPLOYMENTS, name.encode(), decode_deployment)
        return lost_deployment(row.version) if row.is_unreadable else row.value or DeploymentState()

    def _close(self, name: str, state: DeploymentState, routing: _Routing) -> Step:
        before, position = self._state(name), (routing.offset, -1)
        # What is delivered again is sent again, but says nothing new of the deployment.
        self._states[name] = state.at(position) if position > before.position else before
        return step_of((routing.stage(),))

    def _routed(self, routing: _Routing, state: DeploymentState, record: ChainRecord) -> DeploymentState:
        position = (routing.offset, -1)
        match record:
            case Block():
                return self._block(routing, state, record)
            case Watermark():
                routing.to_all(Final(position, record.head, record.head_time_s, record.final))
                return state.watermark(record.head, record.head_time_s, record.final)
            case Rollback():
                supported = state.gap_above(record.ancestor, position)
                routing.to_all(RolledBack(position, record.ancestor, supported))
                return state.rolled_back(record.ancestor, position)
            case Join():
                for view in record.symbols:
                    routing.market(market_of_view(view))
                routing.to_all(Supported(position, record.block, record.enumerated))
                return state.joined(position)
            case Joined():
                return state
            case Checkpoint():
                for quote in record.quotes:
                    routing.route(quote.quote_id, record.account, quote.symbol_id)
                routing.to_account(record.account, AccountCheckpoint(position, record))
                return state
            case _:
                assert_never(record)

    def _block(self, routing: _Routing, state: DeploymentState, block: Block) -> DeploymentState:
        if not state.supported_at((routing.offset, 0)):
            return state
        deployment = self._deployments.get(routing.name)
        if deployment is None:
            # Going on would lose the block; taking it for a fact of the chain would outlive the mistake.
            msg = (
                f"expected [deployments.{routing.name}], whose blocks are in chain-blocks, in the configuration; "
                "found none"
            )
            raise NotConfigured(msg)
        routed = route_block(
            block,
            offset=routing.offset,
            diamond=deployment.diamond,
            multi_accounts=deployment.multi_accounts,
            account_of=routing.account_of,
            begun=state.begun_before(routing.offset),
        )
        routing.block(routed)
        if routed.begun:
            state = state.begin(routing.offset, block.number)
        if routed.unsupported is not None:
            tx_index, reason = routed.unsupported.tx_index, routed.unsupported.reason
            return _unsupported(routing, state, tx_index, block.number, reason)
        return state


class _Routing:
    """What one record is routed to."""

    def __init__(self, name: str, offset: int, rows: StoredRows) -> None:
        self.name = name
        self.offset = offset
        self._rows = rows
        self._writes: dict[RowId, Write] = {}
        self._markets: dict[bytes, Market] = {}
        self._rests_on: list[RowId] = []
        self._outputs: list[Output] = []

    def stage(self) -> Stage:
        return Stage(tuple(self._writes.values()), self._rests_on, self._outputs)

    def block(self, routed: RoutedBlock) -> None:
        for quote_id, account, symbol_id in routed.quotes:
            self.route(quote_id, account, symbol_id)
        for market in routed.markets:
            self.market(market)
        for account, transaction in routed.transactions:
            self.to_account(account, transaction)

    def to_account(self, account: str, record: Transaction | AccountCheckpoint) -> None:
        self._outputs.append(Output(account_key(self.name, account), record, is_for_all=False))

    def to_all(self, record: AccountRecord) -> None:
        self._outputs.append(Output(self.name.encode(), record, is_for_all=True))

    def account_of(self, quote_id: int) -> str | None:
        """Whose a quote is by the records up to this one."""
        account = None
        for at, candidate, _ in self._routes(quote_key(self.name, quote_id)).value or ():
            if at <= self.offset:
                account = candidate
        return account

    def route(self, quote_id: int, account: str, symbol_id: int) -> None:
        key = quote_key(self.name, quote_id)
        row = self._routes(key)
        if row.version > self.offset:
            self._rests_on.append(RowId(QUOTES, key))
            return
        routes = [*(row.value or ()), (self.offset, account, symbol_id)][-_ROUTES_KEPT:]
        self._put(QUOTES, key, QuoteRoutesBody(routes))

    def market(self, market: Market) -> None:
        """Take in what the record says of a market, over what was said before; a block may speak of one twice."""
        key = market_key(self.name, market.symbol_id)
        before = self._markets.get(key)
        if before is None:
            row = stored(self._rows, MARKETS, key, partial(decode_market, market.symbol_id))
            if row.version > self.offset + 1:
                self._rests_on.append(RowId(MARKETS, key))
                return
            before = row.value
        merged = self._markets[key] = market if before is None else market.over(before)
        self._put(MARKETS, key, encode_market(merged))

    def _routes(self, key: bytes) -> Stored[list[tuple[int, str, int]]]:
        return stored(self._rows, QUOTES, key, _decode_routes)

    def _put(self, table: str, key: bytes, body: Struct) -> None:
        self._writes[RowId(table, key)] = Write(table, key, self.offset + 1, encode_body(body))


def _decode_routes(row: bytes) -> list[tuple[int, str, int]]:
    return _read_body(row).routes


def _unsupported(routing: _Routing, state: DeploymentState, tx_index: int, block: int, reason: str) -> DeploymentState:
    since = Unsupported((routing.offset, tx_index), block, reason)
    routing.to_all(since)
    return state.unsupported(since.position, since.block, since.reason)
