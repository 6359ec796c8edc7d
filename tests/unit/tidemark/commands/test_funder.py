"""``tidemark funder``: what it prints, and what it wants to know."""

from __future__ import annotations

import pytest

from models.money import E18
from models.symmio.funding_plan import Charge, Eligibility
from streams.funder.funder_process import Planned
from streams.funder.funding_records import Epoch, Frozen, FrozenMarket
from streams.settings import BadSettings, FundingSettings, Settings, SymmioSettings
from tidemark.commands.funder import _only_one, _print

WITHOUT = SymmioSettings(chain_id=1, diamond="0x" + "d1" * 20)
WITH = WITHOUT.model_copy(update={"funding": FundingSettings(party_b="0x" + "0b" * 20)})


def test_the_plan_says_every_rate_and_why_a_quote_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    market = FrozenMarket(str(110 * E18), "venue:AAA", str(E18 // 5_000), str(-E18 // 5_000), str(E18 * 3 // 20_000))
    frozen = Frozen(
        Epoch(14_400, 420, 1_744_070_400),
        opens_s=1_744_070_400,
        closes_s=1_744_070_820,
        at_s=1_744_070_000,
        tables_s=1_744_070_000,
        markets={1: market},
        left_out={2: "its mark is stale"},
        accounts=1,
    )
    charges: list[tuple[int, Charge | Eligibility]] = [
        (1, Charge(1, E18 // 5_000, E18 // 5_000)),
        (2, Charge(2, -10, -20)),
        (3, Eligibility.PAID),
    ]
    _print(Planned(frozen, {"0xa": charges}))
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2025-04-08T00:00:00+00:00 of 14400 s, window 2025-04-08T00:00:00+00:00 to 2025-04-08T00:07:00+00:00",
        "  symbol 1: mark 110 (venue:AAA), long -0.0002, short 0.00015",
        "  symbol 2 left out: its mark is stale",
        "  0xa: 3 quotes",
        "    quote 1: rate 0.0002",
        "    quote 2: rate -0.00000000000000001, clipped from -0.00000000000000002",
        "    quote 3: not charged, paid",
    ]


def test_the_only_deployment_with_a_party_b_needs_no_name() -> None:
    assert "two" == _only_one(Settings(deployments={"one": WITHOUT, "two": WITH}))
    for names in ((), ("one", "two")):
        with pytest.raises(BadSettings, match="expected one deployment with a funding"):
            _only_one(Settings(deployments=dict.fromkeys(names, WITH)))
