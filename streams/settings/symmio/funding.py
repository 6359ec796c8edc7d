"""Settings of a deployment's funding, which is charged on chain."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator

from models.symmio.funding_plan import ChargeOn, When
from streams.settings.values import Address, Amount, Name, Section

# Nine decimal places are whole wei.
Gwei = Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=9)]


class KeySettings(Section):
    """Where a signer's key is: in ``key``, in ``key_file``, or nowhere here.

    ``remote_signer`` is the URL of a signer that signs as ``remote_address`` by ``eth_signTransaction``; ``kms_key``
    names a key of AWS KMS.
    """

    key: SecretStr | None = None
    key_file: Path | None = None
    remote_signer: SecretStr | None = None
    remote_address: Address | None = None
    kms_key: str | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        found = [name for name in ("key", "key_file", "remote_signer", "kms_key") if getattr(self, name) is not None]
        if len(found) > 1:
            msg = f"expected one of key, key_file, remote_signer and kms_key, found {' and '.join(found)}"
            raise ValueError(msg)
        if (self.remote_signer is None) != (self.remote_address is None):
            msg = "expected remote_signer and remote_address, found one without the other"
            raise ValueError(msg)
        return self


class HedgerSettings(KeySettings):
    """Another hedger of the deployment: ``party_b`` with a signer's key of its own."""

    party_b: Address


class FundingSettings(KeySettings):
    """How much is charged for funding, and by whom; ``tidemark funder`` needs ``party_b``, ``muon`` and a key.

    The side that gets funding gets ``share`` of what the other one pays. No rate is above ``max_rate``, a fraction an
    epoch. With ``scale``, the exchange's rate is multiplied by the epoch and divided by the exchange's interval.
    ``party_b`` is the party whose quotes are charged: the signer's own address, or a contract that forwards the
    signer's calls. ``muon`` is the URL of a gateway. At most ``batch`` quotes go into a transaction, and up to
    ``concurrency`` accounts are charged at the same time. A transaction that is not mined ``replace_after_s`` after it
    was signed is replaced by one with higher fees.

    ``hedgers`` are further hedgers of the deployment, by names of your own, for whom all of this holds as well.

    Nothing is sent beyond the ceilings, which hold for each signer: a unit of gas costs at most ``max_fee_gwei``, of
    which the tip is at most ``max_tip_gwei``; a transaction takes at most ``max_gas``; the transactions of a window,
    and those of 24 hours, cost at most ``max_window_spend`` and ``max_day_spend`` of the chain's own coin. Their values
    suit a chain on which a transaction costs cents. ``coin_price`` is about what that coin is worth in the collateral,
    so that fees can be shown as a share of what is charged.
    """

    party_b: Address | None = None
    hedgers: dict[Name, HedgerSettings] = Field(default_factory=dict)
    muon: SecretStr | None = None
    batch: PositiveInt = 30
    charge_on: ChargeOn = ChargeOn.MARK
    share: Annotated[Decimal, Field(ge=0, le=1, decimal_places=18)] = Decimal("0.75")
    max_rate: Annotated[Decimal, Field(gt=0, le=1, decimal_places=18)] = Decimal("0.01")
    scale: bool = True
    when: When = When.AFTER
    concurrency: PositiveInt = 8
    replace_after_s: PositiveFloat = 15.0
    max_fee_gwei: Gwei = Decimal(50)
    max_tip_gwei: Gwei = Decimal(3)
    max_gas: PositiveInt = 15_000_000
    max_window_spend: Amount = Decimal("0.1")
    max_day_spend: Amount = Decimal("0.5")
    coin_price: Amount | None = None

    @model_validator(mode="after")
    def _different_hedgers(self) -> Self:
        found = [one.party_b for one in self.hedgers.values()]
        if self.party_b is None and found:
            msg = "expected party_b of the first hedger beside the others, found none"
            raise ValueError(msg)
        if len({self.party_b, *found}) <= len(found):
            msg = f"expected hedgers with a party_b each, found one twice among {', '.join(sorted(found))}"
            raise ValueError(msg)
        return self
