from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streams.settings import Settings, SolverSettings, symmio_deployments
from tests.support.solver import deployment, solver_settings
from tidemark.config_text import effective_toml


def test_a_symbol_is_offered_as_all_are_but_for_what_is_said_of_it() -> None:
    solver = SolverSettings.model_validate(
        {"defaults": {"cap": 5, "rfq_allowed": False}, "symbols": {"X": {"price_band": "0.1", "rfq_allowed": True}}}
    )

    assert (Decimal(5), Decimal("0.1"), True) == (
        solver.of("X").cap, solver.of("X").price_band, solver.of("X").rfq_allowed,
    )  # fmt: skip
    assert solver.defaults == solver.of("Y")


def test_the_defaults_lock_at_nine_times_what_the_live_service_locks() -> None:
    (row,) = (row for row in SolverSettings().defaults.locked if row.leverage == 9)

    assert [Decimal(6), Decimal(3), Decimal(0)] == [row.cva, row.lf, row.party_b_mm]
    assert all(row.cva == 2 * row.lf and row.cva + row.lf == row.leverage for row in SolverSettings().defaults.locked)


def test_the_effective_configuration_says_the_same_to_child_processes() -> None:
    """Amounts are written as texts: a float would not keep their digits."""
    solver = {
        "open_interest_cap": "2438560.667955634347925220",
        "symbols": {"1000PEPEUSDT": {"locked": [{"leverage": 5, "cva": "1.25", "lf": 2}], "hedger_fee_open": 0.0007}},
        "defaults": {"cap": 7},
        "error_codes": {"4000": "no"},
        "upstream": "http://engine:8000/",
    }
    settings = solver_settings(main={"hosts": ["Hedger.Example."], "solver": solver})
    again = Settings.model_validate(tomllib.loads(effective_toml(settings)))

    assert settings.deployments == again.deployments
    assert ("hedger.example",) == symmio_deployments(again)["main"].hosts
    assert "http://engine:8000" == symmio_deployments(again)["main"].solver.upstream
    assert Decimal(7) == symmio_deployments(again)["main"].solver.of("1000PEPEUSDT").cap


def test_the_example_of_the_guide_is_a_configuration() -> None:
    page = (Path(__file__).parents[4] / "docs" / "symmio.md").read_text()
    lines = page[page.index("[sources.binance-futures]") :].partition("\n\n2. ")[0].splitlines()
    toml = "\n".join(line.strip() for line in lines).replace("0x…", "0x" + "a" * 40)
    settings = Settings.model_validate(tomllib.loads(toml))

    assert ("base-hedger.example",) == symmio_deployments(settings)["base"].hosts
    assert Decimal(50) == symmio_deployments(settings)["base"].solver.of("BTCUSDT").max_leverage
    assert Decimal(400_000) == symmio_deployments(settings)["base"].solver.of("ETHUSDT").cap


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hosts": ["https://hedger.example"]}, "expected the name of a host"),
        ({"hosts": ["hedger.example:8080"]}, "expected the name of a host"),
        ({"solver": {"upstream": "engine:8000"}}, "expected a URL"),
        ({"solver": {"defaults": {"locked": []}}}, "locked"),
        ({"solver": {"defaults": {"locked": [{"leverage": 5, "cva": 60, "lf": 41}]}}}, "to be 100 at most, found 101"),
        ({"solver": {"defaults": {"locked": [{"leverage": "0.5", "cva": 1, "lf": 1}]}}}, "leverage"),
        ({"solver": {"defaults": {"price_band": 1}}}, "price_band"),
        ({"solver": {"defaults": {"cap": -1}}}, "cap"),
        ({"solver": {"symbols": {"X": {"capp": 1}}}}, "capp"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        deployment(**changes)
