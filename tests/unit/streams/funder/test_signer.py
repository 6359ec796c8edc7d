"""The signer: fees, replacements, and where its key comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from streams.funder.signer import Fees, fees_of, load_signer
from streams.settings import BadSettings, FundingSettings

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0x" + "42" * 32
ADDRESS = Account.from_key(KEY).address.lower()
TO = "0x" + "d1" * 20


def test_the_key_comes_from_the_settings_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    for settings in ({"key": KEY}, {"key_file": file}):
        assert ADDRESS == load_signer("main", FundingSettings.model_validate(settings), 1).address


def test_a_key_that_is_none_is_refused_without_showing_it(tmp_path: Path) -> None:
    for settings in ({"key": "0xsecret"}, {"key_file": tmp_path / "none"}, {}):
        with pytest.raises(BadSettings, match=r"deployments\.main\.funding") as caught:
            load_signer("main", FundingSettings.model_validate(settings), 1)
        assert "secret" not in str(caught.value)


def test_a_replacement_does_the_same_under_the_same_nonce_at_other_fees() -> None:
    signer = load_signer("main", FundingSettings.model_validate({"key": KEY}), 1)
    first = signer.sign(nonce=3, to=TO, data=b"\x01\x02", gas=90_000, fees=Fees(100, 10))
    again = signer.sign_again(first.raw, Fees(200, 20))
    assert signer.sign(nonce=3, to=TO, data=b"\x01\x02", gas=90_000, fees=Fees(200, 20)) == again
    assert ADDRESS == Account.recover_transaction(again.raw).lower()


def test_fees_stay_enough_while_the_base_fee_doubles() -> None:
    assert Fees(2_300, 300) == fees_of(1_000, 300)


@given(max_wei=st.integers(0, 10**15), tip_wei=st.integers(0, 10**15))
def test_raised_fees_are_what_a_node_takes_for_a_replacement(max_wei: int, tip_wei: int) -> None:
    raised = Fees(1, 1).raised_over(Fees(max_wei, tip_wei))
    assert raised.max_wei * 10 >= max_wei * 11
    assert raised.tip_wei * 10 >= tip_wei * 11
    assert Fees(10**16, 10**16) == Fees(10**16, 10**16).raised_over(Fees(max_wei, tip_wei))
