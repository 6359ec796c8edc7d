"""The signer: it signs transactions under given nonces with the deployment's key, and their replacements."""

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
# it less. Six replacements double the fees.
_RAISE_NUMERATOR, _RAISE_DENOMINATOR = 9, 8
# The base fee rises by at most an eighth a block, so twice the base fee stays enough for some six full blocks.
_BASE_FEE_FACTOR = 2
_TRANSFER_GAS = 21_000


class Fees(NamedTuple):
    """The most that a unit of gas may cost in all, and the part of it that the block's maker gets, in wei."""

    max_wei: int
    tip_wei: int

    def raised_over(self, former: Fees) -> Fees:
        """Choose the higher of these fees and the former ones raised as much as a node requires of a replacement."""
        return Fees(
            max(self.max_wei, _raised(former.max_wei)),
            max(self.tip_wei, _raised(former.tip_wei)),
        )


def fees_of(base_wei: int, tip_wei: int) -> Fees:
    """Compute fees at which a transaction stays acceptable while the base fee rises."""
    return Fees(_BASE_FEE_FACTOR * base_wei + tip_wei, tip_wei)


def _raised(fee_wei: int) -> int:
    return -(-fee_wei * _RAISE_NUMERATOR // _RAISE_DENOMINATOR) + 1


class Signed(NamedTuple):
    """A signed transaction as nodes take it, and its hash; both are ``0x`` hex."""

    raw: str
    hash: str


class Signer:
    """Signs for one chain.

    Args:
        account: Holds the key.
        chain_id: Id of the chain that the transactions are for.
    """

    def __init__(self, account: LocalAccount, chain_id: int) -> None:
        self.address = account.address.lower()
        self._account = account
        self._chain_id = chain_id

    def sign(self, *, nonce: int, to: str, data: bytes, gas: int, fees: Fees) -> Signed:
        """Sign a call.

        Args:
            nonce: The transaction's nonce, 0 or more.
            to: Address of the contract that is called.
            data: The encoded call.
            gas: The gas limit.
            fees: What a unit of gas may cost.
        """
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
        """Sign a transfer of nothing to ourselves, whose only effect is to use the nonce."""
        return self.sign(nonce=nonce, to=self.address, data=b"", gas=_TRANSFER_GAS, fees=fees)

    def sign_again(self, raw: str, fees: Fees) -> Signed:
        """Sign the transaction ``raw`` again, at other fees."""
        fields: dict[str, Any] = dict(TypedTransaction.from_bytes(HexBytes(raw)).as_dict())
        for name in ("v", "r", "s"):
            del fields[name]
        return self._sign({**fields, "maxFeePerGas": fees.max_wei, "maxPriorityFeePerGas": fees.tip_wei})

    def _sign(self, fields: dict[str, Any]) -> Signed:
        signed = self._account.sign_transaction(fields)
        return Signed("0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex())


def load_signer(deployment: str, settings: FundingSettings, chain_id: int) -> Signer:
    """Read the key that the settings name.

    Args:
        deployment: The deployment's name, for messages.
        settings: Hold the key, or name its file.
        chain_id: The chain for which the key signs.

    Raises:
        BadSettings: There is no key, or the text is not a key; the message does not hold it.
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
