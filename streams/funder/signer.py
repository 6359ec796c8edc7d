"""The key that signs: transactions of a fixed nonce, their fees, and their replacements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from streams.settings import BadSettings

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from streams.settings import FundingSettings

# A node takes a replacement whose fees are both a tenth higher than those of what it replaces; rounding must not make
# it less. Six of them double the fees.
_RAISE_NUMERATOR, _RAISE_DENOMINATOR = 9, 8
# The base fee rises by an eighth a block at most: twice of it stays enough for six full blocks.
_BASE_FEE_FACTOR = 2
_TRANSFER_GAS = 21_000


class Fees(NamedTuple):
    """What a unit of gas may cost in all, and what of it the block's maker gets, in wei."""

    max_wei: int
    tip_wei: int

    def raised_over(self, former: Fees) -> Fees:
        """These fees, or the former ones raised as much as a node asks of a replacement, whichever is more."""
        return Fees(
            max(self.max_wei, _raised(former.max_wei)),
            max(self.tip_wei, _raised(former.tip_wei)),
        )


def fees_of(base_wei: int, tip_wei: int) -> Fees:
    """Fees at which a transaction stays acceptable while the base fee rises."""
    return Fees(_BASE_FEE_FACTOR * base_wei + tip_wei, tip_wei)


def _raised(fee_wei: int) -> int:
    return -(-fee_wei * _RAISE_NUMERATOR // _RAISE_DENOMINATOR) + 1


class Signed(NamedTuple):
    """A signed transaction as nodes take it, and its hash; ``0x`` hex both."""

    raw: str
    hash: str


class Signer:
    """Signs for one chain.

    Args:
        account: The key.
        chain_id: The chain's.
    """

    def __init__(self, account: LocalAccount, chain_id: int) -> None:
        self.address = account.address.lower()
        self._account = account
        self._chain_id = chain_id

    def sign(self, *, nonce: int, to: str, data: bytes, gas: int, fees: Fees) -> Signed:
        """Sign a call."""
        return self._sign(
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

    def sign_nothing(self, nonce: int, fees: Fees) -> Signed:
        """Sign a transfer of nothing to ourselves, which only takes the nonce."""
        return self.sign(nonce=nonce, to=self.address, data=b"", gas=_TRANSFER_GAS, fees=fees)

    def sign_again(self, raw: str, fees: Fees) -> Signed:
        """Sign what ``raw`` says at other fees."""
        fields: dict[str, Any] = dict(TypedTransaction.from_bytes(HexBytes(raw)).as_dict())
        for name in ("v", "r", "s"):
            del fields[name]
        return self._sign({**fields, "maxFeePerGas": fees.max_wei, "maxPriorityFeePerGas": fees.tip_wei})

    def _sign(self, fields: dict[str, Any]) -> Signed:
        signed = self._account.sign_transaction(fields)
        return Signed("0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex())


def load_signer(deployment: str, settings: FundingSettings, chain_id: int) -> Signer:
    """Read the key that the settings name.

    Raises:
        BadSettings: There is none, or it is no key; the message does not hold it.
    """
    where = f"deployments.{deployment}.funding"
    if settings.key is not None:
        text = settings.key.get_secret_value()
    elif settings.key_file is not None:
        try:
            text = settings.key_file.read_text()
        except OSError as error:
            msg = f"{where}.key_file: expected a file with a private key, found {error.strerror}: {settings.key_file}"
            raise BadSettings(msg) from error
    else:
        msg = f"{where}: expected key or key_file, found neither"
        raise BadSettings(msg)
    try:
        account: LocalAccount = Account.from_key(text.strip())
    except ValueError:
        msg = f"{where}: expected a private key of 0x and 64 hex digits, found {len(text.strip())} other characters"
        raise BadSettings(msg) from None
    return Signer(account, chain_id)
