"""The enumeration of a deployment's accounts and their owners at a block, by its quotes, MultiAccounts and logs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from models.symmio.state import ZERO_ADDRESS
from streams.ingest.symmio.doubts import Doubts
from streams.ingest.symmio.range_reader import NoWitness, RangeReader, Wanted
from streams.ingest.symmio.ranges import LogRange
from streams.node.rpc import BadAnswer, TooMuch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import RawLog
    from streams.node.contract_views import ContractViews, NamedAccount
    from streams.node.endpoints import Node
    from streams.settings import SymmioSettings

_log = logging.getLogger(__name__)

_QUOTES_AT_ONCE = 1_000
_ACCOUNTS_PAGE = 100

_ADD_ACCOUNT = "0x" + keccak(b"AddAccount(address,address,string)").hex()
_BALANCE_CHANGE = "0x" + keccak(b"BalanceChangePartyA(address,uint256,uint8)").hex()
_ALLOCATE = "0x" + keccak(b"AllocatePartyA(address,uint256)").hex()
_REGISTER_PARTY_B = "0x" + keccak(b"RegisterPartyB(address)").hex()


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a sub-account: the wallet, the MultiAccount that made it, and the name that the wallet gave it."""

    owner: str
    multi_account: str
    name: str


@dataclass(frozen=True, slots=True)
class Census:
    """Every account found at a block, with its owner where a MultiAccount names one, and every hedger (party B)."""

    accounts: dict[str, Owner | None]
    party_bs: tuple[str, ...]


async def take_census(node: Node, views: ContractViews, settings: SymmioSettings, block: int) -> Census:
    """Find every account that holds anything after a block.

    These are the accounts that ever sent a quote, their owners' other sub-accounts, and, where ``start_block`` tells
    from where logs can be searched, all accounts that were ever created or allocated to. Without ``start_block`` an
    account that never quoted, and whose owner never did, is not found: it is suspect from its first event until an
    audit repairs it.

    Args:
        node: Where the chain is read.
        views: The contracts at that block.
        settings: The deployment's.
        block: Number of the block.
    """
    accounts, party_bs = await _quoting(node, views)
    if settings.start_block is not None:
        named, registered = await _in_logs(node, settings, settings.start_block, block)
        accounts |= named
        party_bs |= registered
    owners = await find_owners(node, views, settings, sorted(accounts))
    return Census(
        accounts={account: owners.get(account) for account in sorted(accounts | owners.keys())},
        party_bs=tuple(sorted(party_bs | set(settings.hedgers))),
    )


async def find_owners(
    node: Node, views: ContractViews, settings: SymmioSettings, accounts: Sequence[str]
) -> dict[str, Owner]:
    """Ask the MultiAccounts who owns each account, and which other sub-accounts these owners have.

    Args:
        node: Where the chain is read.
        views: The contracts at one block.
        settings: The deployment's; they name the MultiAccounts.
        accounts: Addresses of accounts.

    Returns:
        The owner of each account that a MultiAccount made, by the account's address.
    """
    found: dict[str, Owner] = {}
    for multi_account in settings.multi_accounts:
        owners = await node.ask_many([views.owner_of(multi_account, account) for account in accounts])
        distinct = sorted({owner for owner in owners if owner is not None})
        lengths = await node.ask_many([views.accounts_length(multi_account, owner) for owner in distinct])
        pages = [
            (owner, range(start, min(length, start + _ACCOUNTS_PAGE)))
            for owner, length in zip(distinct, lengths, strict=True)
            for start in range(0, length, _ACCOUNTS_PAGE)
        ]
        found |= {
            account: Owner(owner, multi_account, "")
            for account, owner in zip(accounts, owners, strict=True)
            if owner is not None
        }
        for owner, named in await _named(node, views, multi_account, pages):
            found[named.account] = Owner(owner, multi_account, named.name)
    return found


async def _named(
    node: Node, views: ContractViews, multi_account: str, pages: Sequence[tuple[str, range]]
) -> list[tuple[str, NamedAccount]]:
    """Read pages of owners' sub-accounts; of a page that cannot be read anywhere, the accounts one by one.

    What still cannot be read is left out: the node has said so, and counted it.
    """
    answers = await node.ask_each(
        [views.accounts(multi_account, owner, places.start, len(places)) for owner, places in pages]
    )
    found: list[tuple[str, NamedAccount]] = []
    for (owner, places), answer in zip(pages, answers, strict=True):
        if not isinstance(answer, BadAnswer):
            found += [(owner, named) for named in answer]
        elif len(places) > 1:
            alone = [(owner, range(place, place + 1)) for place in places]
            found += await _named(node, views, multi_account, alone)
    return found


async def _quoting(node: Node, views: ContractViews) -> tuple[set[str], set[str]]:
    last = (await node.ask_many([views.last_quote_id()]))[0]
    accounts: set[str] = set()
    party_bs: set[str] = set()
    for first in range(1, last + 1, _QUOTES_AT_ONCE):
        ids = range(first, min(last + 1, first + _QUOTES_AT_ONCE))
        quotes = await node.ask_many([views.quote(quote_id) for quote_id in ids])
        accounts |= {quote.account for quote in quotes}
        party_bs |= {quote.view.party_b for quote in quotes}
        _log.info("quotes read deployment=%s quotes=%d of=%d", node.deployment, ids[-1], last)
    return accounts - {ZERO_ADDRESS}, party_bs - {ZERO_ADDRESS}


async def _in_logs(node: Node, settings: SymmioSettings, first: int, last: int) -> tuple[set[str], set[str]]:
    wanted = Wanted(
        addresses=(settings.diamond, *settings.multi_accounts),
        topics=(_ADD_ACCOUNT, _BALANCE_CHANGE, _ALLOCATE, _REGISTER_PARTY_B),
    )
    reader = RangeReader(node, wanted, settings.witness, Doubts(node.deployment))
    backoff = Backoff(0.5, 5.0)
    accounts: set[str] = set()
    party_bs: set[str] = set()
    width = LogRange(node.deployment)
    while first <= last:
        end = width.end(first, last)
        try:
            found = (await reader.read(first, end)).logs
        except TooMuch as error:
            width.narrow(first, end, error)
            continue
        except NoWitness as error:
            _log.warning("census waits deployment=%s first=%d reason=%s", node.deployment, first, error)
            await asyncio.sleep(backoff.next_s())
            continue
        for log in found:
            (party_bs if log.log.topics[0] == _REGISTER_PARTY_B else accounts).add(_account_in(log.log))
        width.widen(len(found))
        first = end + 1
    return accounts, party_bs


def _account_in(log: RawLog) -> str:
    topic, *indexed = log.topics
    # The account is the second word of AddAccount(owner, account, name), and the first of the others.
    word = 1 if topic == _ADD_ACCOUNT else 0
    text = indexed[0] if topic == _BALANCE_CHANGE and indexed else log.data[2 + 64 * word :][:64]
    return "0x" + text[-40:]
