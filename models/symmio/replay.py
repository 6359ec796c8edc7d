"""A chain folded in memory, as the router and the accounts fold it, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import BadRecord
from models.symmio.account import AccountRow, advance, settle
from models.symmio.routing import route_block

if TYPE_CHECKING:
    from models.chain_records import Block
    from models.symmio.state import Balances, Quote


class BadReplay(BadRecord):
    """The logs cannot be folded to their end; the message says at which log, and why."""


class Replay:
    """Every account of a Diamond whose logs are given from its first block on; every block is final at once."""

    def __init__(self, diamond: str, multi_accounts: frozenset[str] = frozenset()) -> None:
        self.rows: dict[str, AccountRow] = {}
        self.finished: dict[int, tuple[str, Quote]] = {}
        self._diamond = diamond
        self._multi_accounts = multi_accounts
        self._holders: dict[int, str] = {}
        self._begun = False
        self._offset = 0

    def fold(self, block: Block) -> None:
        """Fold the next block.

        Raises:
            BadReplay: A log is not supported, or does not fit what was folded before.
        """
        offset, self._offset = self._offset, self._offset + 2
        routed = route_block(
            block,
            offset=offset,
            diamond=self._diamond,
            multi_accounts=self._multi_accounts,
            account_of=self._holders.get,
            begun=self._begun,
        )
        if routed.unsupported is not None:
            raise BadReplay(routed.unsupported.reason)
        self._begun = routed.begun
        self._holders |= {quote_id: account for quote_id, account, _ in routed.quotes}
        touched = dict.fromkeys(account for account, _ in routed.transactions)
        for account, transaction in routed.transactions:
            row = self.rows[account] = advance(self.rows.get(account), transaction)
            if row.suspect is not None:
                msg = f"account {account}: {row.suspect[0]}"
                raise BadReplay(msg)
        for account in touched:
            self.rows[account], finished = settle(self.rows[account], block.number, (offset + 1, -1))
            self.finished |= {quote.quote_id: (account, quote) for quote in finished}

    def snapshot(self) -> dict[str, Any]:
        """What the contract's views would answer now.

        Returns:
            ``A``: account to ``balanceInfoOfPartyA``; ``B``: party B and account, joined, to ``balanceInfoOfPartyB``;
            ``Q``: quote id to the fields of ``getQuote`` that logs tell, the average closed price None where they do
            not. Amounts are ints.
        """
        quotes = self.finished | {
            quote.quote_id: (account, quote)
            for account, row in self.rows.items()
            for quote in row.state.quotes.values()
        }
        return {
            "A": {account: _balances(row.state.balances) for account, row in self.rows.items()},
            "B": {
                party_b + account: _balances(bucket)
                for account, row in self.rows.items()
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
