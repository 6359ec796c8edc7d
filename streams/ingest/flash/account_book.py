"""What of the venue's accounts is on the topics already, and whether what a node says now is newer. Pure.

Nodes say states, in any order and again and again. A state is news where its slot is higher than that of the one known,
on the same chain; or where the same slot has other bytes, which is written and looked at again, as two nodes may have
seen different parts of the slot.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from models.flash.chain_accounts import LAYER_OF, Layer, Order, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.ingest.flash.solana_answers import SeenAccount


class News(Enum):
    """What a state is that was seen: ``NEWER`` and ``DISPUTED`` ones are written."""

    NEWER = "newer"
    DISPUTED = "disputed"
    """It is of the slot that is known, and another one: what holds, a later slot says."""

    DOUBTED = "doubted"
    """It says that the account is no more, and is to be said once more."""

    OLD = "old"
    FOREIGN = "foreign"


class Known(NamedTuple):
    """A state that is on a topic.

    Attributes:
        account: Its type.
        order: Which of two states is newer.
        digest: Of its bytes, None where it was closed.
        owner: Of what belongs to one owner, the owner as base58; else None.
    """

    account: str
    order: Order
    digest: bytes | None
    owner: str | None


class Witness(NamedTuple):
    """Who answered a question: the endpoint, and whether there is no other one that could be asked."""

    endpoint: str
    is_only: bool


class AccountBook:
    """The accounts of one chain.

    Args:
        layer: Which chain.
        programme: The venue's programme, as base58.
    """

    def __init__(self, layer: Layer, programme: str) -> None:
        self._layer = layer
        self._programme = programme
        self._known: dict[str, Known] = {}
        # As of when an endpoint first said that an account is no more, and which one, since it was seen last.
        self._gone: dict[str, tuple[Order, str]] = {}

    def known(self, pubkey: str) -> Known | None:
        """What is known of an account."""
        return self._known.get(pubkey)

    def restore(self, pubkey: str, known: Known) -> None:
        """Take in a state that is on a topic; of two of one account the newer holds."""
        before = self._known.get(pubkey)
        if before is None or known.order >= before.order:
            self._known[pubkey] = known

    def written(self, pubkey: str, known: Known) -> None:
        """Note that a state was written."""
        self._known[pubkey] = known
        self._gone.pop(pubkey, None)

    def standing(self, account: str) -> Iterator[str]:
        """The addresses of all accounts of a type that were not closed, as far as is known."""
        return (
            pubkey for pubkey, known in self._known.items() if known.account == account and known.digest is not None
        )

    def judge(self, seen: SeenAccount, witness: Witness | None = None) -> News:
        """Say what is to be done with a state that a node said.

        A state of another chain, programme or type than those that are read here is foreign: a copy of an account that
        was delegated belongs to another programme here.

        Args:
            seen: The state.
            witness: Who answered so, None of what was heard. That an account is no more two different endpoints have to
                answer, of two slots: one may lack it, or be mistaken. Where there is one endpoint it has to say it
                twice.
        """
        known = self._known.get(seen.pubkey)
        order = Order(seen.slot, seen.write_version)
        if seen.data is None or seen.programme != self._programme:
            return News.FOREIGN if known is None else self._judge_gone(seen.pubkey, known, order, witness)
        account = type_of(seen.data)
        if account is None or LAYER_OF[account] != self._layer:
            return News.FOREIGN
        if known is None:
            return News.NEWER
        if order < known.order:
            return News.OLD
        self._gone.pop(seen.pubkey, None)
        if digest_of(seen.data) == known.digest:
            # It stood so still: what comes late of a slot between is older than that.
            self._known[seen.pubkey] = known._replace(order=order)
            return News.OLD
        return News.NEWER if order > known.order else News.DISPUTED

    def _judge_gone(self, pubkey: str, known: Known, order: Order, witness: Witness | None) -> News:
        if known.digest is None or order <= known.order:
            return News.OLD
        if witness is None:
            return News.DOUBTED
        first, endpoint = self._gone.setdefault(pubkey, (order, witness.endpoint))
        is_confirmed = order > first and (witness.is_only or witness.endpoint != endpoint)
        return News.NEWER if is_confirmed else News.DOUBTED


def digest_of(data: bytes) -> bytes:
    """A digest of an account's bytes, which tells whether they are the same."""
    return hashlib.blake2b(data, digest_size=16).digest()
