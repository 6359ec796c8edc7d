"""The signer: what it signs, and its replacements."""

from __future__ import annotations

from eth_account import Account

from streams.funder.fees import Fees
from streams.funder.local_key import LocalKey
from streams.funder.signer import Signer

ACCOUNT = Account.from_key("0x" + "42" * 32)
TO = "0x" + "d1" * 20


async def test_a_replacement_does_the_same_under_the_same_nonce_at_other_fees() -> None:
    signer = Signer(LocalKey(ACCOUNT), 1)
    first = await signer.sign(nonce=3, to=TO, data=b"\x01\x02", gas=90_000, fees=Fees(100, 10))
    again = await signer.sign_again(first.raw, Fees(200, 20))
    assert await signer.sign(nonce=3, to=TO, data=b"\x01\x02", gas=90_000, fees=Fees(200, 20)) == again
    assert ACCOUNT.address == Account.recover_transaction(again.raw)
