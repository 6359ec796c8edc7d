"""Two chains in one process: no path, host or prefix ever gives the data of the one that was not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest

from api.app import create_app
from streams.process.clock import SystemClock
from streams.settings import BadSettings
from tests.support.api import ADDRESS, FakeInterest, serving, symmio_that_hears
from tests.support.feed import FakeTables, e18
from tests.support.solver import (
    MULTI_ACCOUNT,
    NOW_MS,
    OTHER_MULTI_ACCOUNT,
    put_account,
    put_instrument,
    put_mark,
    put_market,
    solver_settings,
)

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from streams.settings import Settings

OWNER = "0x" + "0e" * 20
CHAINS = {"first": ("a.example", MULTI_ACCOUNT), "second": ("b.example", OTHER_MULTI_ACCOUNT)}
RELATIVE = ("contract-symbols", "open-interest", "get_market_info", "error_codes", "get_funding_info", "notional_cap/1")


def two() -> tuple[FakeTables, Settings]:
    """The same owner and sub-account on both chains, each with its own market, cap and balance."""
    tables = FakeTables("first", "second")
    for name, symbol, allocated in (("first", "BTCUSDT", "1"), ("second", "ETHUSDT", "2")):
        put_market(tables, 1, symbol, of=name)
        put_mark(tables, symbol, "100", rate="0.0001")
        put_instrument(tables, symbol)
        changes: dict[str, Any] = {"owner": OWNER, "multi_account": CHAINS[name][1], "upnl": e18(allocated)}
        put_account(tables, ADDRESS, of=name, allocated=e18(allocated), **changes)
    caps = {"first": 1, "second": 2}
    settings = solver_settings(
        **{
            name: {
                "hosts": [host],
                "multi_accounts": [multi_account],
                "solver": {
                    "open_interest_cap": caps[name],
                    "error_codes": {"4000": name},
                    "defaults": {"cap": caps[name]},
                    "symbols": {"BTCUSDT": {"locked": [{"leverage": 90, "cva": 1, "lf": 1}]}},
                },
            }
            for name, (host, multi_account) in CHAINS.items()
        }
    )
    return tables, settings


def paths(multi_account: str) -> list[str]:
    return [
        *(f"/{path}" for path in RELATIVE),
        f"/get_balance_info/{OWNER}/{multi_account}",
        f"/get_balance_info/{ADDRESS}/{multi_account}",
        f"/get_market_info/{multi_account}",
        f"/upnl-a?address={ADDRESS}",
        f"/partyA_upnl/{ADDRESS}",
        "/price-range/BTCUSDT",
        "/get_locked_params/BTCUSDT?leverage=9",
    ]


async def ask(client: TestClient[web.Request, web.Application], path: str, host: str | None = None) -> tuple[int, str]:
    headers = {"App-Name": "x"} | ({} if host is None else {"Host": host})
    async with client.get(path, headers=headers, allow_redirects=False) as response:
        return response.status, await response.text()


async def test_each_host_answers_what_its_deployment_answers_alone() -> None:
    tables, settings = two()
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client:
        for name, (host, multi_account) in CHAINS.items():
            alone = settings.model_copy(update={"deployments": {name: settings.deployments[name]}})
            async with serving(tables, alone, clock_ms=lambda: NOW_MS) as only:
                for path in paths(multi_account):
                    expected = await ask(only, f"/{name}{path}")
                    assert expected == await ask(client, path, host), path
                    assert expected == await ask(client, f"/api{path}", f"{host.upper()}:443"), path
                    assert expected == await ask(client, f"/{name}/api{path}"), path
        assert await ask(client, "/open-interest", "a.example") != await ask(client, "/open-interest", "b.example")


@pytest.mark.parametrize(("host", "multi_account"), [("a.example", OTHER_MULTI_ACCOUNT), ("b.example", MULTI_ACCOUNT)])
async def test_a_host_knows_nothing_of_the_other_chains_multi_account(host: str, multi_account: str) -> None:
    tables, settings = two()
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client:
        for path in (f"/get_balance_info/{OWNER}/{multi_account}", f"/get_market_info/{multi_account}"):
            assert (200, "{}") == await ask(client, path, host)


async def test_a_host_does_not_serve_the_other_deployments_prefix() -> None:
    tables, settings = two()
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client:
        for path in ("/contract-symbols", f"/upnl-a?address={ADDRESS}", "/upnl-ws"):
            status, text = await ask(client, f"/second{path}", "a.example")
            assert 404 == status
            assert "error_code" in text


async def test_a_frontend_with_a_prefix_in_its_base_gets_its_own_chain_or_nothing() -> None:
    """``new URL`` drops the prefix where a path begins with a slash: which chain is meant is not known any more."""
    tables, settings = two()
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client:
        base = str(client.make_url("/second/"))
        seen = {}
        for path in (*RELATIVE, *paths(OTHER_MULTI_ACCOUNT)):
            url = urljoin(base, path)
            async with client.session.get(url) as response:
                seen[path] = response.status, await response.text()
        expected = {path: await ask(client, path if path[0] == "/" else f"/{path}", "b.example") for path in seen}

    for path, (status, _) in seen.items():
        assert status == 404 or seen[path] == expected[path], path
    assert [200] * len(RELATIVE) == [seen[path][0] for path in RELATIVE]
    assert (200, True) == (
        seen[f"/get_balance_info/{OWNER}/{OTHER_MULTI_ACCOUNT}"][0],
        ADDRESS.lower() in seen[f"/get_balance_info/{OWNER}/{OTHER_MULTI_ACCOUNT}"][1].lower(),
    )
    assert 404 == seen["/get_locked_params/BTCUSDT?leverage=9"][0]


@pytest.mark.parametrize("name", ["contract-symbols", "login", "get_balance_info", "error_codes"])
async def test_a_deployment_cannot_have_the_name_of_an_endpoint(name: str) -> None:
    settings = solver_settings(main={}).deployments["main"]
    served: dict[str, Any] = {"deployments": {name: settings}}
    with pytest.raises(BadSettings, match=name):
        create_app(
            solver_settings(main={}).model_copy(update=served),
            FakeTables().feeds,
            FakeInterest(),
            clock=SystemClock(),
            find_dialect=symmio_that_hears(),
        )
