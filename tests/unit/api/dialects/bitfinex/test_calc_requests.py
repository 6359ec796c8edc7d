"""What clients write into ``calc``, in every form seen in the wild."""

from __future__ import annotations

import pytest

from api.dialects.bitfinex.calc_requests import Asked, Calculation, TooMany, read_calc
from models.errors import BadRecord

BASE, BALANCE = Calculation("margin_base"), Calculation("balance")
PERP = Calculation("position", "tBTCF0:USTF0")


@pytest.mark.parametrize(
    ("payload", "asked"),
    [
        ([["margin_base"]], (BASE,)),
        (["margin_base", "balance"], (BASE, BALANCE)),
        ([["margin_base", "balance"]], (BASE, BALANCE)),
        ("balance", (BALANCE,)),
        ([["position_tBTCF0:USTF0"], ["position_tBTCF0:USTF0"]], (PERP,)),
        ([["margin_sym_tBTCUSD"]], (Calculation("margin_sym", "tBTCUSD"),)),
        ([["funding_sym_fUSD"]], (Calculation("funding_sym", "fUSD"),)),
        ([["wallet_margin_BTC"]], (Calculation("wallet", "margin_BTC"),)),
        ([["wallet_exchange_A_B"]], (Calculation("wallet", "exchange_A_B"),)),
        ([{"key": "balance"}], ()),
        ({"calc": ["balance"]}, ()),
        ([[["balance"]]], ()),
        (None, ()),
        (7, ()),
    ],
)
def test_keys_are_read_in_all_forms_and_each_once(payload: object, asked: tuple[Calculation, ...]) -> None:
    assert Asked(asked, ()) == read_calc(payload)


def test_texts_that_name_nothing_are_told_apart() -> None:
    texts = ["position_", "wallet_savings_BTC", "wallet_margin_", "margin", "x" * 65, "balance"]
    assert Asked((BALANCE,), tuple(texts[:-1])) == read_calc(texts)


def test_30_keys_are_read_and_31_are_too_many() -> None:
    keys = [[f"position_tS{number}"] for number in range(31)]
    assert TooMany(31) == read_calc(keys)
    asked = read_calc(keys[:30])
    assert isinstance(asked, Asked)
    assert 30 == len(asked.calculations)


def test_a_wallets_subject_is_its_type_and_currency() -> None:
    assert ("margin", "USTF0") == Calculation("wallet", "margin_USTF0").wallet


@pytest.mark.parametrize("asked", [Calculation("balance"), PERP, Calculation("wallet", "exchange_A_B")])
def test_what_was_written_of_a_calculation_is_read_again(asked: Calculation) -> None:
    assert asked == Calculation.of_text(str(asked))


@pytest.mark.parametrize("text", ["", "balances", "liquidation tBTCUSD"])
def test_a_calculation_that_this_version_does_not_make_is_named_and_answered_with_no_other(text: str) -> None:
    with pytest.raises(BadRecord, match="another version calculated it"):
        Calculation.of_text(text)
