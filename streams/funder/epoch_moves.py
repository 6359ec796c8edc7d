"""The positions of an epoch's instant: those of now without what was opened since, and with what has ended since."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from models.account_events import decode_account_record
from models.ids import split_key
from models.symmio.holding import OpenPosition
from models.symmio.position_moves import Moves
from models.symmio.venue import SYMMIO
from streams.funder.chain_errors import Reverted
from streams.funder.topic_span import TopicSpan
from streams.kafka.topics import routed_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from models.symmio.funding_plan import ChainQuote
    from streams.funder.chain_view import Chain
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# A record is stamped when it is written, by the clock of the worker's host, which may be wrong by some minutes.
_MARGIN_MS = 600_000


async def moves_since(settings: Settings, since_s: int, *, chain_s: int, now_ms: int, keys: Collection[bytes]) -> Moves:
    """Read what has moved since an instant, in all that is written until now.

    Args:
        settings: Name the topic and the broker.
        since_s: The instant, in the chain's time, Unix s.
        chain_s: The chain's time now, Unix s.
        now_ms: Our time now, Unix ms.
        keys: The keys of the accounts, and the deployment's.

    Raises:
        NotRead: The broker does not answer.
    """
    since_ms = written_since_ms(since_s, chain_s=chain_s, now_ms=now_ms)
    moves = Moves(since_s, is_whole=now_ms - since_ms < SYMMIO.routed.kept_ms)

    def take(key: bytes, value: bytes, offset: int) -> None:
        del offset
        moves.add(split_key(key)[1], decode_account_record(value))

    await TopicSpan(settings, routed_name(settings, SYMMIO.routed), keys, since_ms=since_ms, take=take).read_on()
    return moves


def written_since_ms(since_s: int, *, chain_s: int, now_ms: int) -> int:
    """Find since when records are stamped that were written after an instant of the chain, Unix ms.

    A chain's time may be ahead of ours: then the instant was as long ago as the chain says that it is. It may also
    stand still, and the instant be longer ago than that: then it was when our clock said so.

    Args:
        since_s: The instant, in the chain's time, Unix s.
        chain_s: The chain's time now, Unix s.
        now_ms: Our time now, Unix ms.
    """
    ago_s = max(0, chain_s - since_s)
    return min(since_s * 1_000, now_ms - ago_s * 1_000) - _MARGIN_MS


async def held_before(
    moves: Moves, positions: Mapping[str, Sequence[OpenPosition]], *, party_b: str, chain: Chain
) -> dict[str, list[OpenPosition]]:
    """Find the positions of before the moves.

    Args:
        moves: What was opened and what has ended since.
        positions: Every account's positions with a hedger, as of any time since, by its address.
        party_b: Address of the hedger.
        chain: Tells what was of the positions that have ended.

    Raises:
        NodeDown: The node does not answer.
    """
    opened, ended = moves.opened, moves.ended
    held: dict[str, dict[int, OpenPosition]] = {}
    for party_a, some in positions.items():
        held[party_a] = {one.quote_id: one for one in some if one.quote_id not in opened}
    known = {quote_id for some in held.values() for quote_id in some}
    for quote_id, quote in (await _shown(sorted(ended.keys() - known), chain)).items():
        # A fork may have given its id to another account's quote.
        if (quote.party_a, quote.party_b) == (ended[quote_id].account, party_b):
            held.setdefault(quote.party_a, {})[quote_id] = OpenPosition(
                quote_id, quote.symbol_id, quote.position_type, party_b, quote.opened_price, quote.open_amount
            )
    return {party_a: [some[quote_id] for quote_id in sorted(some)] for party_a, some in held.items() if some}


async def _shown(quote_ids: Sequence[int], chain: Chain) -> dict[int, ChainQuote]:
    try:
        return await chain.quotes(quote_ids)
    except Reverted:
        refused = await chain.unreadable(quote_ids)
        _log.warning("ended quotes are in no plan, since the contract does not show them: %s", refused)
        return await chain.quotes([quote_id for quote_id in quote_ids if quote_id not in refused])
