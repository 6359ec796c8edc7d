"""The signer: it signs transactions under given nonces, and their replacements, with a key that may lie elsewhere.

* ``NotSigned``: the key's holder does not sign now. It is asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from models.errors import TidemarkError

if TYPE_CHECKING:
    from streams.funder.fees import Fees

TRANSFER_GAS = 21_000
"""The gas of a transfer of nothing."""

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""The order of secp256k1."""

HALF_ORDER = ORDER // 2
"""Ethereum takes the lower one of the two values of s that sign the same, which is not above this."""


class NotSigned(TidemarkError):
    """Who holds the key does not answer, refuses, or signs something else. It carries no URL and no key."""


class Signed(NamedTuple):
    """A signed transaction as nodes take it, and its hash; both are ``0x`` hex."""

    raw: str
    hash: str


class Key(Protocol):
    """A key, wherever it lies. ``address`` is its account's, in lower case."""

    address: str

    async def sign(self, fields: dict[str, Any]) -> Signed:
        """Sign a transaction of type 2, whose fields have the names that eth-account gives them.

        Raises:
            NotSigned: It is not signed, and may be later.
        """


def call_of(raw: str) -> tuple[str, bytes]:
    """Find which address a signed transaction calls, and with what."""
    fields = _fields_of(raw)
    return "0x" + bytes(fields["to"]).hex(), bytes(fields["data"])


class Signer:
    """Signs for one chain.

    Args:
        key: Signs what it is given.
        chain_id: Id of the chain that the transactions are for.
    """

    def __init__(self, key: Key, chain_id: int) -> None:
        self.address = key.address
        self._key = key
        self._chain_id = chain_id

    async def sign(self, *, nonce: int, to: str, data: bytes, gas: int, fees: Fees) -> Signed:
        """Sign a call.

        Args:
            nonce: The transaction's nonce, 0 or more.
            to: Address of the contract that is called.
            data: The encoded call.
            gas: The gas limit.
            fees: What a unit of gas may cost.

        Raises:
            NotSigned: It is not signed, and may be later.
        """
        return await self._key.sign(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": nonce,
                "to": bytes.fromhex(to.removeprefix("0x")),
                "value": 0,
                "data": data,
                "gas": gas,
                "maxFeePerGas": fees.max_wei,
                "maxPriorityFeePerGas": fees.tip_wei,
            }
        )

    async def sign_nothing(self, nonce: int, fees: Fees) -> Signed:
        """Sign a transfer of nothing to ourselves, whose only effect is to use the nonce.

        Raises:
            NotSigned: It is not signed, and may be later.
        """
        return await self.sign(nonce=nonce, to=self.address, data=b"", gas=TRANSFER_GAS, fees=fees)

    async def sign_again(self, raw: str, fees: Fees) -> Signed:
        """Sign the transaction ``raw`` again, at other fees.

        Raises:
            NotSigned: It is not signed, and may be later.
        """
        fields = _fields_of(raw)
        for name in ("v", "r", "s"):
            del fields[name]
        return await self._key.sign({**fields, "maxFeePerGas": fees.max_wei, "maxPriorityFeePerGas": fees.tip_wei})


def _fields_of(raw: str) -> dict[str, Any]:
    return dict(TypedTransaction.from_bytes(HexBytes(raw)).as_dict())
