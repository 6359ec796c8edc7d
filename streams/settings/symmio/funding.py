"""Settings of a deployment's funding, which is charged on chain."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator

from models.symmio.funding_plan import ChargeOn, When
from streams.settings.values import Address, Section


class FundingSettings(Section):
    """How much is charged for funding, and by whom; ``tidemark funder`` needs ``party_b``, ``muon`` and a key.

    The side that gets funding gets ``share`` of what the other one pays. No rate is above ``max_rate``, a fraction an
    epoch. With ``scale``, the exchange's rate is multiplied by the epoch and divided by the exchange's interval.
    ``party_b`` is the party whose quotes are charged: the signer's own address, or a contract that forwards the
    signer's calls. ``muon`` is the URL of a gateway. At most ``batch`` quotes go into a transaction, and up to
    ``concurrency`` accounts are charged at the same time. A transaction that is not mined ``replace_after_s`` after it
    was signed is replaced by one with higher fees.
    """

    party_b: Address | None = None
    key: SecretStr | None = None
    key_file: Path | None = None
    muon: SecretStr | None = None
    batch: PositiveInt = 30
    charge_on: ChargeOn = ChargeOn.MARK
    share: Annotated[Decimal, Field(ge=0, le=1, decimal_places=18)] = Decimal("0.75")
    max_rate: Annotated[Decimal, Field(gt=0, le=1, decimal_places=18)] = Decimal("0.01")
    scale: bool = True
    when: When = When.AFTER
    concurrency: PositiveInt = 8
    replace_after_s: PositiveFloat = 15.0

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.key is not None and self.key_file is not None:
            msg = "expected key or key_file, found both"
            raise ValueError(msg)
        return self
