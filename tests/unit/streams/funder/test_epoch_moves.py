"""The positions of an epoch's instant, of those of now and what has moved since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.account_events import Transaction
from models.symmio.funding_plan import ChainQuote
from models.symmio.holding import OpenPosition
from models.symmio.position_moves import Moves
from models.symmio.state import PositionType, QuoteStatus
from streams.funder.chain_errors import Reverted
from streams.funder.chain_view import Chain
from streams.funder.epoch_moves import held_before, written_since_ms
from streams.node.endpoints import Node
from streams.process.clock import SystemClock
from tests.support.symmio import ALICE, BOB, HEDGER, SECOND_HEDGER, log

if TYPE_CHECKING:
    from collections.abc import Sequence

SINCE_S = 5_000


class HeldQuotes(Chain):
    def __init__(self, *quotes: ChainQuote) -> None:
        super().__init__(Node("main", (), 1), HEDGER, SystemClock())
        self.known = {one.quote_id: one for one in quotes}
        self.illegible: set[int] = set()

    async def quotes(self, quote_ids: Sequence[int]) -> dict[int, ChainQuote]:
        if self.illegible & {*quote_ids}:
            msg = "no such view"
            raise Reverted(msg, "#1")
        return {quote_id: self.known[quote_id] for quote_id in quote_ids}


def quote(quote_id: int, party_a: str = ALICE, party_b: str = HEDGER) -> ChainQuote:
    return ChainQuote(quote_id, 2, PositionType.SHORT, party_a, party_b, QuoteStatus.CLOSED, 90, 0, 1, 0)


def position(quote_id: int) -> OpenPosition:
    return OpenPosition(quote_id, 1, PositionType.LONG, HEDGER, 100, 1)


def ended(*quote_ids: int, account: str = ALICE) -> Moves:
    moves = Moves(SINCE_S)
    for quote_id in quote_ids:
        end = log("FillCloseRequest", quote_id, account, HEDGER, 1, 100, QuoteStatus.CLOSED, 1)
        moves.add(account, Transaction((9, 0), 9, SINCE_S + 1, "0x01", (end,)))
    return moves


async def ids(moves: Moves, positions: dict[str, list[OpenPosition]], chain: Chain) -> dict[str, list[int]]:
    held = await held_before(moves, positions, party_b=HEDGER, chain=chain)
    return {party_a: [one.quote_id for one in some] for party_a, some in held.items()}


async def test_what_has_ended_was_held_and_the_contract_says_what_it_was() -> None:
    held = await held_before(ended(3), {ALICE: [position(5)]}, party_b=HEDGER, chain=HeldQuotes(quote(3)))
    assert {ALICE: [OpenPosition(3, 2, PositionType.SHORT, HEDGER, 90, 0), position(5)]} == held


async def test_what_the_tables_have_not_yet_as_ended_is_held_once() -> None:
    assert {ALICE: [3]} == await ids(ended(3), {ALICE: [position(3)]}, HeldQuotes())


async def test_what_was_opened_since_was_not_held_and_who_held_nothing_else_has_no_plan() -> None:
    moves = Moves(SINCE_S)
    opening = log("OpenPosition", 5, ALICE, HEDGER, 1, 100)
    moves.add(ALICE, Transaction((9, 0), 9, SINCE_S + 1, "0x01", (opening,)))
    assert {BOB: [6]} == await ids(moves, {ALICE: [position(5)], BOB: [position(6)]}, HeldQuotes())


async def test_quotes_of_another_hedger_and_ids_that_a_fork_gave_to_another_account_are_left_out() -> None:
    chain = HeldQuotes(quote(3, party_b=SECOND_HEDGER), quote(4, party_a=BOB), quote(5))
    assert {ALICE: [5]} == await ids(ended(3, 4, 5), {}, chain)


async def test_a_quote_that_the_contract_does_not_show_keeps_no_other_from_its_plan() -> None:
    chain = HeldQuotes(quote(3), quote(4))
    chain.illegible = {3}
    assert {ALICE: [4]} == await ids(ended(3, 4), {}, chain)


@pytest.mark.parametrize(
    ("chain_s", "now_ms"),
    [
        # The chain's time is ours.
        (5_300, 5_300_000),
        # It is an hour ahead: what moved 290 s ago is stamped long before the instant.
        (5_300, 1_700_000),
        # It stands still for an hour after the instant.
        (5_010, 8_600_000),
        # It has come to the instant only now, by one endpoint or another.
        (4_999, 5_000_000),
    ],
)
def test_all_that_was_written_since_the_instant_is_read_whichever_clock_is_ahead(chain_s: int, now_ms: int) -> None:
    was_instant_ms = min(SINCE_S * 1_000, now_ms - (chain_s - SINCE_S) * 1_000)
    # A worker's host may be five minutes behind.
    assert written_since_ms(SINCE_S, chain_s=chain_s, now_ms=now_ms) <= was_instant_ms - 300_000
