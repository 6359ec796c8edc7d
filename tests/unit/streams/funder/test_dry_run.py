"""What a dry run says of quotes and fees, over a chain that the test holds."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from models.money import E18
from models.symmio.funding_plan import ChainQuote, Charge
from models.symmio.funding_records import Epoch, Frozen, FrozenMarket, Plan
from models.symmio.state import PositionType, QuoteStatus
from streams.funder.chain_errors import Reverted
from streams.funder.chain_view import Chain
from streams.funder.data_fees import ORACLE
from streams.funder.dry_run import ExpectedFees, _charges, _fees
from streams.node.endpoints import Node
from streams.process.clock import SystemClock
from streams.settings import FundingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTY_A, PARTY_B = "0x" + "0a" * 20, "0x" + "0b" * 20
GWEI = 10**9
MARKET = FrozenMarket(str(100 * E18), "venue:AAA", "0", str(-E18 // 1_000), str(E18 // 2_000))
FROZEN = Frozen(Epoch(14_400, 420, 14_400), 14_400, 14_820, 14_400, 14_400, {1: MARKET}, {2: "no tick"}, 1)
FUNDING = FundingSettings(party_b=PARTY_B, batch=2, coin_price=Decimal(2_000))


class HeldQuotes(Chain):
    """Quotes of 1 at 100 each; the contract refuses to show number 3."""

    def __init__(self, *, data_wei: int | None = None) -> None:
        super().__init__(Node("main", (), 1), PARTY_B, SystemClock())
        self._data_wei = data_wei

    async def quotes(self, quote_ids: Sequence[int]) -> dict[int, ChainQuote]:
        if 3 in quote_ids:
            msg = "execution reverted"
            raise Reverted(msg, "#1")
        found = (PositionType.LONG, PARTY_A, PARTY_B, QuoteStatus.OPENED, 100 * E18, E18, E18, 0)
        return {one: ChainQuote(one, 1, *found) for one in quote_ids}

    async def fees(self) -> tuple[int, int]:
        return GWEI, GWEI

    async def is_deployed(self, address: str) -> bool | None:
        assert ORACLE == address
        return self._data_wei is not None

    async def number_of(self, address: str, view: tuple[str, Sequence[str], Sequence[object]]) -> int | None:
        assert ORACLE == address
        return self._data_wei if view[0] == "getL1Fee" else None


PLAN = Plan(FROZEN.epoch, PARTY_A, ((1, 1), (2, 1), (3, 1), (4, 1), (5, 2)), PARTY_B)


async def test_a_quote_that_the_contract_does_not_show_keeps_no_other_out_of_the_plan() -> None:
    found = await _charges(HeldQuotes(), FUNDING, FROZEN, [PLAN])
    rate = E18 // 1_000
    assert {
        PARTY_A: [
            (1, Charge(1, rate, rate)),
            (2, Charge(2, rate, rate)),
            (3, "its view: execution reverted"),
            (4, Charge(4, rate, rate)),
        ]
    } == found.charges
    # Three times a thousandth of 100.
    assert 3 * E18 // 10 == found.moved_e18


async def test_fees_are_those_of_the_gas_of_former_charges_at_the_price_of_now_and_of_the_data() -> None:
    chain = HeldQuotes(data_wei=10**12)
    found = await _charges(chain, FUNDING, FROZEN, [PLAN])
    # Three charges of 50,000 gas at 2 gwei, in two transactions, are 0.000302 coins of 2,000 for 0.3.
    cost_wei = 3 * 50_000 * 2 * GWEI + 2 * 10**12
    expected = ExpectedFees(transactions=2, moved_e18=3 * E18 // 10, cost_wei=cost_wei, share=20_133)
    assert expected == await _fees(chain, FUNDING, found, gas=50_000)
    unknown = await _fees(chain, FUNDING, found, gas=None)
    assert (2, None, None) == (unknown.transactions, unknown.cost_wei, unknown.share)
