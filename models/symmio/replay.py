"""A chain folded from its first block on, and what the contract's views would answer then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.chain_records import Watermark
from models.deployments import decode_deployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS, DEPLOYMENTS, QUOTE_HISTORY
from models.errors import BadRecord
from models.ids import split_key
from models.symmio.account import decode_account, decode_finished
from models.symmio.deployment import SymmioDeployment
from models.symmio.venue import engine_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from models.chain_records import Block
    from models.symmio.account import AccountRow
    from models.symmio.state import Balances, Quote

_NAME = "replay"


class BadReplay(BadRecord):
    """The logs cannot be folded to their end; the message says at which log, and why."""


class Replay:
    """Every account of a Diamond whose logs are given from its first block on; every block is final at once.

    Args:
        diamond: Address of the Diamond, in any case.
        multi_accounts: Addresses of its MultiAccounts, in any case.
    """

    def __init__(self, diamond: str, multi_accounts: frozenset[str] = frozenset()) -> None:
        self._engine = Engine({_NAME: engine_deployment(SymmioDeployment(diamond, multi_accounts))})
        self._offset = 0

    def fold(self, block: Block) -> None:
        """Fold the next block.

        Raises:
            BadReplay: A log is not supported, or does not fit what was folded before.
        """
        for record in (block, Watermark(block.number, block.time_s, block.number)):
            self._engine.raw(_NAME, record, self._offset)
            self._offset += 1
        row = self._engine.tables.read(DEPLOYMENTS, _NAME.encode())
        gap = None if row is None else decode_deployment(row).open_gap
        if gap is not None:
            raise BadReplay(gap.reason)
        if self._engine.refused:
            raise BadReplay("; ".join(self._engine.refused))

    @property
    def rows(self) -> dict[str, AccountRow]:
        """Every account's row by its address."""
        return {split_key(key)[1]: decode_account(row) for key, row in self._engine.tables.items(ACCOUNTS)}

    @property
    def finished(self) -> dict[int, tuple[str, Quote]]:
        """Every finished quote by its id, with the address of its account."""
        return {quote.quote_id: (account, quote) for account, quote in self._finished()}

    def snapshot(self) -> dict[str, Any]:
        """What the contract's views would answer now, as ``views_of`` says it."""
        return views_of(self.rows, self.finished)

    def _finished(self) -> Iterator[tuple[str, Quote]]:
        for key, row in self._engine.tables.items(QUOTE_HISTORY):
            account, _, _ = split_key(key)[1].partition(":")
            yield account, decode_finished(row)


def views_of(rows: Mapping[str, AccountRow], finished: Mapping[int, tuple[str, Quote]]) -> dict[str, Any]:
    """What the contract's views would answer of accounts.

    Args:
        rows: Their rows, by address.
        finished: The quotes that left their rows, by id, each with its account's address.

    Returns:
        ``A``: account to ``balanceInfoOfPartyA``; ``B``: party B and account, joined, to ``balanceInfoOfPartyB``;
        ``Q``: quote id to the fields of ``getQuote`` that logs tell, the average closed price None where they do not.
        Amounts are ints.
    """
    quotes = {**finished} | {
        quote.quote_id: (account, quote) for account, row in rows.items() for quote in row.state.quotes.values()
    }
    return {
        "A": {account: _balances(row.state.balances) for account, row in rows.items()},
        "B": {
            party_b + account: _balances(bucket)
            for account, row in rows.items()
            for party_b, bucket in row.state.party_b.items()
        },
        "Q": {str(quote_id): _quote(*quotes[quote_id]) for quote_id in sorted(quotes)},
    }


def _balances(balances: Balances) -> list[int]:
    return [balances.allocated, *balances.locked, *balances.pending]


def _quote(account: str, quote: Quote) -> list[Any]:
    return [
        int(quote.status),
        quote.quantity,
        quote.closed_amount,
        quote.opened_price,
        quote.initial_opened_price,
        list(quote.locked),
        quote.party_b,
        account,
        quote.avg_closed_price if quote.avg_closed_known else None,
        quote.quantity_to_close,
        quote.requested_close_price,
        int(quote.order_type),
        quote.symbol_id,
        int(quote.position_type),
        list(quote.initial_locked),
    ]
