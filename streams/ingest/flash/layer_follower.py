"""Keeps the topics in step with one chain: all accounts are read, and then what changes is heard and read again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, assert_never

from models.flash.chain_accounts import LAYER_OF, discriminator_text
from models.flash.flash_accounts import CustomOracle
from streams.ingest.flash.account_book import News
from streams.ingest.flash.layer_socket import Subscription
from streams.ingest.flash.solana_answers import ListedAccounts, SeenAccounts

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from streams.ingest.flash.account_book import Witness
    from streams.ingest.flash.account_journal import AccountJournal
    from streams.ingest.flash.layer_node import LayerNode
    from streams.ingest.flash.solana_answers import SeenAccount
    from streams.process.clock import Clock

_log = logging.getLogger(__name__)

# What is doubtful is asked for again after so long: time for another slot, of another endpoint.
_LOOK_AGAIN_S = 0.5


class LayerFollower:
    """Follows the accounts of one chain.

    Args:
        node: The chain's nodes.
        journal: Takes what they say.
        clock: Tells when the chain was last heard of.
        reread_every_s: All accounts are read again after so long, in s.
    """

    def __init__(self, node: LayerNode, journal: AccountJournal, clock: Clock, *, reread_every_s: float) -> None:
        self._node = node
        self._journal = journal
        self._programme = journal.programme
        self._clock = clock
        self._reread_every_s = reread_every_s
        self._gap = asyncio.Event()
        self._doubtful: set[str] = set()
        self._has_doubts = asyncio.Event()
        self.is_read = asyncio.Event()
        self.heard_ms = 0
        self._newest_slot = -1
        self._is_whole = False
        # Oracles are the prices' business, which a process of its own follows.
        self._types = [
            account for account, layer in LAYER_OF.items() if layer == node.layer and account != CustomOracle.__name__
        ]

    @property
    def subscriptions(self) -> list[Subscription]:
        """What a websocket of the chain is to subscribe to: every account of each type that is read here."""
        return [
            Subscription("programSubscribe", [self._programme, self._node.chosen_by(account)])
            for account in self._types
        ]

    @property
    def beginnings(self) -> list[str]:
        """How the accounts begin that are read here, as base58."""
        return [discriminator_text(account) for account in self._types]

    def note_gap(self) -> None:
        """Something may have happened that nobody told: read all accounts again, and vouch for nothing until then."""
        self._is_whole = False
        self._gap.set()

    def hear_slot(self, slot: int) -> None:
        """Note that the chain has come to a slot; a node that says the same one again says nothing of now.

        Raises:
            SlotAhead: It cannot have come so far.
        """
        self._node.note_slot(slot)
        if slot > self._newest_slot:
            self._newest_slot = slot
            if self._is_whole:
                self.heard_ms = self._clock.now_ms()

    async def hear(self, seen: SeenAccount, witness: Witness | None = None) -> None:
        """Take a state of an account; one that is doubtful is asked for again.

        Args:
            seen: The state.
            witness: Who answered so, None of what was heard.
        """
        if await self._journal.take(self._node.layer, seen, witness) in (News.DISPUTED, News.DOUBTED):
            self._doubt(seen.pubkey)

    async def run(self) -> None:
        """Read all accounts, and again after each gap and interval, until cancelled."""
        while True:
            self._gap.clear()
            began_ms, slot = self._clock.now_ms(), self._newest_slot
            for account in self._types:
                await self._reread(account)
            if self._newest_slot > slot:
                self.heard_ms = max(self.heard_ms, began_ms)
            self._is_whole = not self._gap.is_set()
            self.is_read.set()
            try:
                async with asyncio.timeout(self._reread_every_s):
                    await self._gap.wait()
            except TimeoutError:
                continue

    async def settle(self) -> None:
        """Ask again for every account that is doubtful, until cancelled."""
        first = 0
        while True:
            await self._has_doubts.wait()
            await asyncio.sleep(_LOOK_AGAIN_S)
            doubtful, self._doubtful = sorted(self._doubtful), set()
            self._has_doubts.clear()
            # Each time another endpoint is asked first, of all that is doubtful.
            first += 1
            await self._read_each(doubtful, first)

    async def _reread(self, account: str) -> None:
        answer = await self._node.programme_accounts(self._programme, account)
        match answer:
            case SeenAccounts(_, accounts):
                standing: Container[str] = accounts
                await self._take_all(answer)
            case ListedAccounts(_, pubkeys):
                standing = set(pubkeys)
                await self._read_each(pubkeys)
            case _:
                assert_never(answer)
        # What an answer leaves out may be closed, or the answer may be a part: the accounts themselves are asked for.
        book = self._journal.books[self._node.layer]
        for pubkey in book.standing(account):
            known = book.known(pubkey)
            if pubkey not in standing and known is not None and known.order.slot < answer.slot:
                self._doubt(pubkey)

    async def _read_each(self, pubkeys: Sequence[str], first: int | None = None) -> None:
        async for answer in self._node.accounts(pubkeys, first):
            await self._take_all(answer)

    async def _take_all(self, answer: SeenAccounts) -> None:
        self.hear_slot(answer.slot)
        for seen in answer.accounts.values():
            await self.hear(seen, answer.witness)

    def _doubt(self, pubkey: str) -> None:
        self._doubtful.add(pubkey)
        self._has_doubts.set()
