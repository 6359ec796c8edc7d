"""A join of a running deployment: it writes a checkpoint of every account, from view calls at one final block."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from models.chain_records import Checkpoint, Join, Joined, Rollback, Watermark
from models.errors import TidemarkError
from streams.ingest.symmio.enumeration import take_census
from streams.node.contract_views import ContractViews

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.chain_records import SymbolView
    from streams.ingest.symmio.chain_journal import Journal
    from streams.ingest.symmio.enumeration import Owner
    from streams.node.blocks import Header
    from streams.node.contract_views import OwnedQuote
    from streams.node.endpoints import Node
    from streams.settings import SymmioSettings

_log = logging.getLogger(__name__)

# Few enough that a kill loses only seconds of reading, many enough to fill batches.
_ACCOUNTS_AT_ONCE = 50
# A quote is some 1 kB of answer.
_POSITIONS_PAGE = 50
_SYMBOLS_PAGE = 100


class NotFinal(TidemarkError):
    """The block to join at may still be rolled back, or does not exist yet. Wait for it, or name an older one."""


async def join(node: Node, journal: Journal, settings: SymmioSettings, block: int, final: int) -> None:
    """Write a checkpoint of every account after ``block`` to the topic.

    Blocks above ``block`` that the topic already holds are rolled back first; they are written again later.

    Args:
        node: Where the chain is read.
        journal: Where the records go.
        settings: The deployment's.
        block: Number of the block to join at.
        final: Number of the newest final block.

    Raises:
        NotFinal: ``block`` is above ``final``.
        RpcError: No endpoint in order answers, or has the contracts' state at that block.
    """
    if block > final:
        msg = f"expected a final block to join {journal.deployment} at, found {block}; the newest final one is {final}"
        raise NotFinal(msg)
    header = await node.header_of_past(block)
    views = ContractViews(settings.diamond, block)
    symbols = await _symbols(node, views)
    census = await take_census(node, views, settings, block)
    if journal.tail.covered > block:
        await journal.write([Rollback(ancestor=block, hash=header.hash)])
    enumerated = settings.start_block is not None
    if not enumerated:
        _log.warning(
            "joining without start_block deployment=%s: an account that never quoted has no checkpoint, and is suspect "
            "from its first event until tidemark audit --repair",
            journal.deployment,
        )
    await journal.write(
        [Join(block=block, hash=header.hash, time_s=header.time_s, symbols=symbols, enumerated=enumerated)]
    )
    accounts = list(census.accounts)
    for start in range(0, len(accounts), _ACCOUNTS_AT_ONCE):
        some = {account: census.accounts[account] for account in accounts[start : start + _ACCOUNTS_AT_ONCE]}
        await journal.write(await read_checkpoints(node, views, header, some, census.party_bs))
        _log.info(
            "checkpoints written deployment=%s block=%d accounts=%d of=%d",
            journal.deployment,
            block,
            start + len(some),
            len(accounts),
        )
    await journal.write(
        [Joined(block=block, accounts=len(accounts)), Watermark(head=block, head_time_s=header.time_s, final=block)]
    )


async def read_checkpoints(
    node: Node,
    views: ContractViews,
    header: Header,
    owners: Mapping[str, Owner | None],
    party_bs: Sequence[str],
) -> list[Checkpoint]:
    """Read each account's state after the block of ``header``.

    Args:
        node: Where the chain is read.
        views: The contracts at that block.
        header: That block's header.
        owners: The accounts to read, each with its owner where one is known.
        party_bs: Addresses of the hedgers with which an account may have a balance.
    """
    accounts = list(owners)
    stats = dict(zip(accounts, await node.ask_many([views.stats(account) for account in accounts]), strict=True))
    balances = await node.ask_many([views.balances(account) for account in accounts])
    pairs = [(party_b, account) for account in accounts for party_b in party_bs]
    shared = await node.ask_many([views.party_b_balances(*pair) for pair in pairs])
    quotes = await _live_quotes(node, views, {account: stats[account].positions for account in accounts})
    liquidated = [account for account in accounts if stats[account].is_liquidated]
    reimbursements = dict(
        zip(liquidated, await node.ask_many([views.reimbursement(account) for account in liquidated]), strict=True)
    )
    return [
        Checkpoint(
            block=header.number,
            hash=header.hash,
            time_s=header.time_s,
            account=account,
            owner=owner.owner if owner else None,
            multi_account=owner.multi_account if owner else None,
            name=owner.name if owner else None,
            balances=balance,
            liquidated=stats[account].is_liquidated,
            reimbursement=reimbursements.get(account, "0"),
            party_bs=tuple(
                view
                for (_, of), view in zip(pairs, shared, strict=True)
                if of == account and any(value != "0" for value in view.balances)
            ),
            quotes=tuple(quote.view for quote in quotes if quote.account == account),
        )
        for (account, owner), balance in zip(owners.items(), balances, strict=True)
    ]


async def _symbols(node: Node, views: ContractViews) -> tuple[SymbolView, ...]:
    symbols: list[SymbolView] = []
    while True:
        page = (await node.ask_many([views.symbols(len(symbols), _SYMBOLS_PAGE)]))[0]
        symbols += page
        if len(page) < _SYMBOLS_PAGE:
            return tuple(symbols)


async def _live_quotes(node: Node, views: ContractViews, positions: Mapping[str, int]) -> list[OwnedQuote]:
    pages = await node.ask_many(
        [
            views.open_positions(account, start, _POSITIONS_PAGE)
            for account, count in positions.items()
            for start in range(0, count, _POSITIONS_PAGE)
        ]
    )
    pending = await node.ask_many([views.pending_quote_ids(account) for account in positions])
    quotes = [quote for page in pages for quote in page]
    quotes += await node.ask_many([views.quote(quote_id) for ids in pending for quote_id in ids])
    return sorted(quotes, key=lambda quote: quote.view.quote_id)
