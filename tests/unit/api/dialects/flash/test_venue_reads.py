"""What is read of the venue once, and that everything has the fields that the venue's clients read."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from models.flash.solana_keys import key_text
from streams.settings import BadSettings, Settings
from streams.settings.dialects import DialectSettings
from streams.settings.flash.flash_settings import FlashSettings
from tests.support.api import serving
from tests.support.feed import FakeTables
from tests.support.flash import (
    MARKETS,
    NOW_MS,
    OWNER,
    POOL,
    SOL_LONG,
    SOL_SHORT,
    basket,
    basket_of,
    position,
    references,
    text,
)
from tests.support.flash_dto import expect_dto
from tests.support.flash_scene import FlashScene, hears, with_orders

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]


def filled() -> FlashScene:
    scene = FlashScene()
    scene.list_markets()
    scene.mark("SOL", "148.52", session="regular")
    scene.mark("USDC", "1")
    return scene


async def asked(client: Client, path: str) -> tuple[int, Any]:
    async with client.get(f"/v2{path}") as response:
        return response.status, await response.json()


async def test_prices_are_the_oracles_own_numbers_and_what_is_not_known_has_none() -> None:
    async with filled().serving() as client:
        status, prices = await asked(client, "/prices")
        assert (200, {"SOL", "USDC"}) == (status, set(prices))
        assert {
            "price": 14_852_000_000,
            "exponent": -8,
            "confidence": 0,
            "priceUi": 148.52,
            "timestampUs": NOW_MS * 1_000,
            "marketSession": "regular",
        } == prices["SOL"]
        assert prices["USDC"]["marketSession"] is None
        for price in prices.values():
            expect_dto("quote", price)
        assert (200, prices["SOL"]) == await asked(client, "/prices/sol")
        assert (404, {"error": "price for symbol 'BTC' not found"}) == await asked(client, "/prices/BTC")


async def test_tokens_are_those_of_the_table() -> None:
    async with filled().serving() as client:
        status, tokens = await asked(client, "/tokens")
    assert (200, ["SOL", "USDC", "BTC"]) == (status, [one["symbol"] for one in tokens])
    for token in tokens:
        expect_dto("token", token)


async def test_accounts_are_shown_as_they_are_and_one_that_is_not_known_is_404() -> None:
    async with filled().serving() as client:
        _, markets = await asked(client, "/raw/markets")
        assert {key_text(market) for market in MARKETS} == {one["pubkey"] for one in markets}
        long = next(one["account"] for one in markets if one["pubkey"] == key_text(SOL_LONG))
        assert ("long", text("SOL custody"), key_text(POOL)) == (long["side"], long["targetCustody"], long["pool"])
        assert (200, {"pubkey": key_text(SOL_LONG), "account": long}) == await asked(
            client, f"/raw/markets/{key_text(SOL_LONG)}"
        )
        _, custody = await asked(client, f"/raw/custodies/{text('SOL custody')}")
        assert 1_000_000 == custody["account"]["borrowRateState"]["cumulativeLockFee"]
        assert ["Crypto.1"] == [one["account"]["name"] for one in (await asked(client, "/raw/pools"))[1]]
        for words, one in (("markets", "market"), ("pools", "pool"), ("custodies", "custody")):
            status, body = await asked(client, f"/raw/{words}/{OWNER}")
            assert (404, f"{one} account {OWNER} not found") == (status, body["error"])
        assert 404 == (await asked(client, "/raw/oracles"))[0]


async def test_a_basket_is_found_by_its_address_as_long_as_it_is_open() -> None:
    scene = filled()
    async with scene.serving() as client:
        absent = (404, {"error": f"basket account {basket_of()} not found"})
        assert absent == await asked(client, f"/raw/baskets/{basket_of()}")
        scene.show(basket(position(SOL_LONG)))
        status, body = await asked(client, f"/raw/baskets/{basket_of()}")
        assert (200, basket_of(), OWNER) == (status, body["pubkey"], body["account"]["owner"])
        (slot,) = body["account"]["positions"]
        assert (key_text(SOL_LONG), 3_366_549_960) == (slot["market"], slot["position"]["sizeAmount"])
        scene.show(None)
        assert absent == await asked(client, f"/raw/baskets/{basket_of()}")


async def test_pools_are_shown_with_their_custodies() -> None:
    async with filled().serving() as client:
        status, body = await asked(client, "/pool-data")
        (pool,) = body["pools"]
        assert (200, "Crypto.1", key_text(POOL)) == (status, pool["poolName"], pool["poolAddress"])
        assert ["USDC", "SOL", "BTC"] == [one["symbol"] for one in pool["custodyStats"]]
        assert "0.000510000" == pool["custodyStats"][1]["closeFee"]
        assert (200, pool) == await asked(client, f"/pool-data/{key_text(POOL)}")
        assert (404, {"error": f"pool {OWNER} not found"}) == await asked(client, f"/pool-data/{OWNER}")


async def test_health_counts_what_is_known() -> None:
    scene = filled()
    scene.show(basket(position(SOL_LONG)))
    scene.show(basket(), text("another"))
    async with scene.serving() as client:
        scene.show(None, text("another"))
        scene.show(None, text("closed from the beginning"))
        status, body = await asked(client, "/health")
    assert 200 == status
    assert ("ok", "magicblock") == (body["status"], body["program"])
    assert {"pools": 1, "custodies": 3, "markets": 3, "baskets": 1, "deposit_ledgers": 0} == body["accounts"]
    assert {"source": "bundled", "env": "dev", "pools": 1, "markets": 3, "tokens": 3} == body["config"]


async def test_before_the_table_is_known_what_needs_it_is_503_and_health_says_none() -> None:
    async with FlashScene().serving() as client:
        for path in ("/tokens", "/prices", "/pool-data"):
            assert 503 == (await asked(client, path))[0]
        assert 0 == (await asked(client, "/health"))[1]["config"]["tokens"]
        status, body = await asked(client, "/nothing")
        assert (404, ["error"]) == (status, list(body))


async def test_everything_of_random_baskets_has_the_fields_that_the_venues_clients_read() -> None:
    rng, scene = Random(19), filled()
    scene.mark("BTC", "60000")
    market_keys = list(MARKETS)
    async with (
        scene.serving() as client,
        client.ws_connect(f"/v2/owner/{OWNER}/ws?updateIntervalMs=100") as socket,
    ):
        expect_dto("frame", await hears(socket))
        for _ in range(25):
            held = [
                position(
                    market,
                    entry=f"{rng.choice((0.01, 1, 148.52, 99_999)):.2f}",
                    amount=f"{rng.choice((0.00001, 1, 12_345.678)):.5f}",
                    collateral=f"{rng.choice((0, 0.01, 100, 10**6)):.2f}",
                )
                for market in rng.sample(market_keys, rng.randint(0, 3))
            ]
            shown = basket(*held)
            scene.show(with_orders(shown, rng.choice([SOL_LONG, SOL_SHORT])) if rng.random() < 0.5 else shown)
            scene.mark("SOL", f"{rng.uniform(0.01, 400):.4f}", NOW_MS + rng.randint(1, 10**6))
            status, body = await asked(client, f"/owner/{OWNER}")
            assert 200 == status
            if "err" not in body:
                expect_dto("basket", body)
            expect_dto("frame", await hears(socket))


async def test_a_custody_that_was_taken_away_leaves_its_markets_out() -> None:
    scene = filled()
    scene.show(basket(position(SOL_LONG)))
    async with scene.serving() as client:
        scene.refer(f"custody.{text('SOL custody')}", None)
        status, body = await asked(client, f"/owner/{OWNER}")
        assert (200, ["err"]) == (status, list(body))
        scene.refer(f"custody.{text('SOL custody')}", references()[f"custody.{text('SOL custody')}"].decode())
        assert 1 == len((await asked(client, f"/owner/{OWNER}"))[1]["positionMetrics"])


@pytest.mark.parametrize("deployments", [("one", "two"), ("chain",)])
async def test_a_section_serves_one_deployment_of_flash(deployments: tuple[str, ...]) -> None:
    settings = Settings(deployments={"one": FlashSettings(), "two": FlashSettings()})
    chain = Settings.model_validate({"deployments": {"chain": {"chain_id": 1, "diamond": "0x" + "d" * 40}}})
    settings = settings.model_copy(
        update={
            "deployments": {**settings.deployments, **chain.deployments},
            "dialects": {"flash": DialectSettings(kind="flash", deployments=deployments)},
        }
    )
    with pytest.raises(BadSettings, match=r"dialects\.flash\.deployments: expected one deployment of kind flash"):
        async with serving(FakeTables(*settings.deployments), settings):
            pass
