from __future__ import annotations

from models.chain_records import SymbolView
from models.codec import encode_row
from models.symmio.markets import Market, decode_market, encode_market, market_of_view


def test_a_later_word_stands_over_an_earlier_one_and_leaves_the_rest() -> None:
    older = Market(3, name="BTCUSDT", is_valid=True, trading_fee=5, max_leverage=60)

    merged = Market(3, is_valid=False).over(older)

    assert Market(3, name="BTCUSDT", is_valid=False, trading_fee=5, max_leverage=60) == merged


def test_a_market_comes_back_from_its_body() -> None:
    whole = market_of_view(SymbolView(3, "BTCUSDT", True, "120", "3", "600", "60", 14_400, 420))  # noqa: FBT003
    part = Market(3, trading_fee=2**200)

    assert whole == decode_market(3, encode_row(1, 1, encode_market(whole)))
    assert part == decode_market(3, encode_row(1, 1, encode_market(part)))
    assert ("BTCUSDT", "600", 14_400) == tuple(
        getattr(encode_market(whole), name) for name in ("name", "trading_fee", "funding_rate_epoch_duration_s")
    )
    assert not encode_market(part).name
