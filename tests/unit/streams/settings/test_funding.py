"""The ``funding`` section of a deployment."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from models.symmio.funding_plan import ChargeOn, When
from streams.settings import BadSettings, FundingSettings, load_settings

DIAMOND = "0x" + "d1" * 20


def test_a_share_is_the_very_number_that_was_written() -> None:
    settings = FundingSettings.model_validate({"share": 0.75, "max_rate": "0.000000000000000001"})
    assert (Decimal("0.75"), Decimal("1e-18")) == (settings.share, settings.max_rate)
    assert (ChargeOn.MARK, When.AFTER) == (settings.charge_on, settings.when)


@pytest.mark.parametrize(
    "section",
    [{"share": "1.1"}, {"max_rate": 0}, {"batch": 0}, {"when": "never"}, {"key": "0x01", "key_file": "key"}],
)
def test_what_makes_no_sense_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FundingSettings.model_validate(section)


def test_a_misspelt_key_is_refused_without_showing_it() -> None:
    deployment = {"chain_id": 1, "diamond": DIAMOND, "funding": {"kye": "0xsecret"}}
    with pytest.raises(BadSettings, match=r"deployments\.main\.funding\.kye") as caught:
        load_settings(deployments={"main": deployment})
    assert "secret" not in str(caught.value)
