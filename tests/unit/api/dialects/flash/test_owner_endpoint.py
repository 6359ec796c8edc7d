"""Baskets over HTTP and over sockets, out of tables that the test fills."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSServerHandshakeError
from aiohttp.web import HTTPBadRequest
from pydantic import SecretStr

from api.dialects.flash.owner_endpoint import interval_ms_of
from models.flash.flash_accounts import encode_account
from models.flash.flash_venue import FLASH
from models.flash.solana_keys import key_text
from models.statements import Statement, encode_statement
from models.watermarks import DeploymentWatermark
from streams.settings import AuthSettings, TokenKeySettings
from tests.support.eventually import eventually
from tests.support.flash import (
    BTC_LONG,
    OWNER,
    SOL_LONG,
    SOL_SHORT,
    basket,
    basket_of,
    closed,
    key,
    position,
    said,
    said_bytes,
    text,
)
from tests.support.flash_scene import DEPLOYMENT, FlashScene, hears, hears_of, with_orders
from tests.support.walk import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientWebSocketResponse, web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

# The owner of the venue's own documentation; its base58 has 33 bytes.
DOCUMENTED = "bRXn4PPnUCLKP3kdHbX6FFQFpw2AhFzBVMgo4ZaWvtfb"
NOTHING: dict[str, Any] = {
    "owner": OWNER,
    "basketPubkey": None,
    "basketData": None,
    "positionMetrics": {},
    "orderMetrics": {},
}


def filled(**section: Any) -> FlashScene:  # noqa: ANN401 - as the scene takes
    scene = FlashScene(**section)
    scene.list_markets()
    for symbol, price in (("SOL", "150"), ("USDC", "1"), ("BTC", "60000")):
        scene.mark(symbol, price)
    return scene


@asynccontextmanager
async def listening(
    client: Client, owner: str = OWNER, *, query: str = "", path: str = "/v2/owner"
) -> AsyncIterator[ClientWebSocketResponse]:
    async with client.ws_connect(f"{path}/{owner}/ws{query}") as socket:
        yield socket


async def asked(client: Client, path: str, **headers: str) -> tuple[int, Any]:
    async with client.get(path, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("path", ["/v2/owner", "/owner"])
async def test_a_basket_is_its_bytes_and_the_figures_of_its_positions_and_orders(path: str) -> None:
    scene = filled()
    shown = with_orders(basket(position(SOL_LONG)), SOL_LONG)
    scene.show(shown)
    async with scene.serving() as client:
        status, body = await asked(client, f"{path}/{OWNER}")

    assert 200 == status
    assert (OWNER, basket_of()) == (body["owner"], body["basketPubkey"])
    assert encode_account(shown) == base64.b64decode(body["basketData"])
    market = key_text(SOL_LONG)
    assert [market] == list(body["positionMetrics"]) == list(body["orderMetrics"])
    # The worked case of docs/flash.md.
    metrics = body["positionMetrics"][market]
    assert ("4.66", "4.77", "120.39") == (
        metrics["pnlWithFeeUsdUi"],
        metrics["leverageUi"],
        metrics["liquidationPriceUi"],
    )
    orders = body["orderMetrics"][market]
    # The free place before it leaves the order its number.
    assert [1] == [one["orderId"] for one in orders["limitOrders"]]
    assert ["TP"] == [one["type"] for one in orders["takeProfitOrders"]]
    assert [] == orders["stopLossOrders"]


async def test_positions_of_no_size_orders_of_no_place_and_markets_of_no_active_pool_are_left_out() -> None:
    scene = filled()
    elsewhere = position(SOL_LONG)._replace(market=key("another venue's market"))
    shown = with_orders(basket(position(SOL_SHORT, size_amount=0), position(BTC_LONG), elsewhere), SOL_LONG)
    (slot,) = shown.orders
    empty = slot.order._replace(limit_orders=slot.order.limit_orders[:1], take_profit_orders=())
    scene.show(shown._replace(orders=(slot._replace(order=empty),)))
    async with scene.serving() as client:
        status, body = await asked(client, f"/v2/owner/{OWNER}")

    assert (200, [key_text(BTC_LONG)], {}) == (status, list(body["positionMetrics"]), body["orderMetrics"])


async def test_gains_can_be_shown_at_the_mark_instead_of_through_the_spread() -> None:
    scene = filled(pnl="mark")
    scene.show(basket(position(SOL_LONG, locked_amount=0)))
    async with scene.serving() as client:
        _, body = await asked(client, f"/v2/owner/{OWNER}")
    metrics = body["positionMetrics"][key_text(SOL_LONG)]
    # (150 - 148.52) / 148.52 x 500 = 4.98, though nothing is locked for it; 500 / 100 = 5.
    assert ("4.98", "4.66", "5.00") == tuple(
        metrics[name] for name in ("pnlWithoutFeeUsdUi", "pnlWithFeeUsdUi", "leverageUi")
    )


async def test_an_owner_who_is_not_on_board_or_has_closed_his_basket_has_nulls_and_empty_maps() -> None:
    scene = filled()
    async with scene.serving() as client:
        assert (200, NOTHING) == await asked(client, f"/v2/owner/{OWNER}")
        async with listening(client) as socket:
            assert {"type": "basket", "data": NOTHING} == await hears(socket)
            scene.show(basket(position(SOL_LONG)))
            assert [key_text(SOL_LONG)] == list((await hears_of(socket, "basket"))["positionMetrics"])
            scene.show(None)
            assert NOTHING == await hears_of(socket, "basket")


@pytest.mark.parametrize("owner", [DOCUMENTED, "0x" + "ab" * 20, "1", "O0Il" * 11])
async def test_an_owner_that_is_no_key_of_32_bytes_is_refused(owner: str) -> None:
    async with filled().serving() as client:
        for path in (f"/v2/owner/{owner}", f"/v2/owner/{owner}/ws"):
            status, body = await asked(client, path)
            assert 400 == status
            assert body["error"].startswith("invalid pubkey: expected base58 of 32 bytes, found ")


async def test_a_missing_price_is_503_over_http_and_leaves_the_market_out_of_frames_and_is_counted() -> None:
    scene = FlashScene()
    scene.list_markets()
    scene.mark("USDC", "1")
    scene.mark("BTC", "60000")
    scene.show(basket(position(SOL_LONG), position(BTC_LONG)))
    async with scene.serving() as client:
        status, body = await asked(client, f"/v2/owner/{OWNER}")
        assert 503 == status
        assert "SOL" in body["error"]
        async with listening(client, query="?updateIntervalMs=100") as socket:
            assert [key_text(BTC_LONG)] == list((await hears_of(socket, "basket"))["positionMetrics"])
            assert [key_text(BTC_LONG)] == list(await hears_of(socket, "metrics"))
            scene.mark("SOL", "150")
            both = {key_text(SOL_LONG), key_text(BTC_LONG)}
            assert both == set((await hears_of(socket, "basket"))["positionMetrics"])
            assert both == set(await hears_of(socket, "metrics"))


async def test_what_cannot_be_calculated_is_said_in_a_body_of_200() -> None:
    scene = filled()
    scene.show(basket(position(SOL_LONG, entry_price=position(SOL_LONG).entry_price._replace(exponent=-7))))
    async with scene.serving() as client:
        status, body = await asked(client, f"/v2/owner/{OWNER}")
    assert (200, ["err"]) == (status, list(body))


async def test_a_socket_hears_its_basket_first_then_figures_of_new_marks_and_each_change() -> None:
    scene = filled()
    scene.show(basket(position(SOL_LONG)))
    async with scene.serving() as client, listening(client, query="?updateIntervalMs=100") as socket:
        market = key_text(SOL_LONG)
        assert "basket" == (await hears(socket))["type"]
        assert "4.66" == (await hears_of(socket, "metrics"))[market]["pnlWithFeeUsdUi"]
        scene.mark("SOL", "140", scene.now_ms + 1)

        async def is_new() -> bool:
            found: bool = (await hears_of(socket, "metrics"))[market]["pnlWithoutFeeUsdUi"] == "-28.68"
            return found

        await eventually(is_new)
        scene.show(basket(position(SOL_LONG), position(BTC_LONG)))
        assert 2 == len((await hears_of(socket, "basket"))["positionMetrics"])
        assert 2 == len(await hears_of(socket, "metrics"))
        assert {f"{DEPLOYMENT}:{OWNER}".encode()} == scene.interest.watched


async def test_before_the_tables_are_read_nothing_is_said_of_anybody() -> None:
    scene = FlashScene(ready=False)
    async with scene.serving() as client:
        status, body = await asked(client, f"/v2/owner/{OWNER}")
        assert (503, "still being read" in body["error"]) == (status, True)
        async with listening(client) as socket:
            hearing = asyncio.ensure_future(hears(socket))
            scene.list_markets()
            for symbol in ("SOL", "USDC"):
                scene.mark(symbol, "150")
            scene.show(basket(position(SOL_LONG)))
            assert not hearing.done()
            scene.tables.become_ready()
            assert [key_text(SOL_LONG)] == list((await hearing)["data"]["positionMetrics"])


async def test_a_basket_that_cannot_be_read_is_not_shown_as_one_of_nothing() -> None:
    scene = filled()
    scene.show(None, suspect="expected a whole Basket account")
    async with scene.serving() as client:
        assert 503 == (await asked(client, f"/v2/owner/{OWNER}"))[0]
        async with listening(client, query="?updateIntervalMs=100") as socket:
            scene.show(basket(position(SOL_LONG)))
            assert [key_text(SOL_LONG)] == list((await hears(socket))["data"]["positionMetrics"])
            # What is doubted again is not told again.
            scene.show(None, suspect="expected a whole Basket account")
            scene.show(basket(position(BTC_LONG)))
            assert [key_text(BTC_LONG)] == list((await hears_of(socket, "basket"))["positionMetrics"])


@pytest.mark.parametrize(
    ("text", "interval_ms"),
    [
        ("1000", 1_000), ("0", 100), ("-5", 100), ("-9999999", 100), ("+250", 250), ("99999", 10_000),
        ("0" * 30 + "250", 250), ("9" * 5_000, 10_000), ("-" + "9" * 5_000, 100),
    ],
)  # fmt: skip
def test_every_whole_number_is_an_interval_within_bounds(text: str, interval_ms: int) -> None:
    assert interval_ms == interval_ms_of(text)


@pytest.mark.parametrize(
    "text", ["1" * 20 + "x", "1_000", " 100", "100\n", "\u0661\u0660\u0660", "+", "--5", "0x64", "\x00"]
)
def test_what_is_no_whole_number_of_plain_digits_is_refused(text: str) -> None:
    with pytest.raises(HTTPBadRequest) as refused:
        interval_ms_of(text)
    assert "expected updateIntervalMs as a whole number" in (refused.value.text or "")


@pytest.mark.parametrize("interval", ["soon", "", "1e3", "100.5"])
async def test_an_interval_that_is_no_whole_number_is_refused(interval: str) -> None:
    async with filled().serving() as client:
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect(f"/v2/owner/{OWNER}/ws?updateIntervalMs={interval}")
    assert 400 == refused.value.status


async def test_a_request_that_is_no_handshake_takes_no_place() -> None:
    async with filled(sockets_per_owner=1).serving() as client:
        for _ in range(3):
            assert 400 == (await asked(client, f"/v2/owner/{OWNER}/ws"))[0]
        async with listening(client) as socket:
            assert "basket" == (await hears(socket))["type"]


async def test_who_may_not_read_an_owner_is_told_what_is_told_of_one_who_is_not_on_board() -> None:
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr(SECRET))})
    scene = filled(auth=auth, pnl="venue")
    scene.now_ms = 1_745_970_800_000
    for symbol in ("SOL", "USDC"):
        scene.mark(symbol, "150", scene.now_ms)
    scene.show(basket(position(SOL_LONG)))
    mine, others = (token(f"{DEPLOYMENT}:{owner}") for owner in (OWNER, text("another")))
    async with scene.serving() as client:
        assert 401 == (await asked(client, f"/v2/owner/{OWNER}"))[0]
        assert (200, NOTHING) == await asked(client, f"/v2/owner/{OWNER}", Authorization=f"Bearer {others}")
        assert 200 == (await asked(client, f"/v2/owner/{OWNER}", Authorization=f"Bearer {mine}"))[0]
        status, _ = await asked(client, f"/v2/raw/baskets/{basket_of()}", Authorization=f"Bearer {others}")
        assert 404 == status
        status, _ = await asked(client, f"/v2/raw/baskets/{basket_of()}", Authorization=f"Bearer {mine}")
        assert 200 == status
        headers = {"Authorization": f"Bearer {others}"}
        async with client.ws_connect(f"/v2/owner/{OWNER}/ws?updateIntervalMs=100", headers=headers) as socket:
            assert {"type": "basket", "data": NOTHING} == await hears(socket)
            assert not scene.interest.watched
        headers = {"Authorization": f"Bearer {mine}"}
        async with client.ws_connect(f"/v2/owner/{OWNER}/ws", headers=headers) as socket:
            assert 1 == len((await hears(socket))["data"]["positionMetrics"])


async def test_who_may_not_read_an_owner_takes_none_of_the_owners_places_and_learns_nothing_of_them() -> None:
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr(SECRET))})
    scene = filled(auth=auth, sockets_per_owner=2)
    scene.now_ms = 1_745_970_800_000
    scene.show(basket(position(SOL_LONG)))
    mine, others = ({"Authorization": f"Bearer {token(f'{DEPLOYMENT}:{owner}')}"} for owner in (OWNER, text("another")))
    path = f"/v2/owner/{OWNER}/ws"
    async with (
        scene.serving() as client,
        client.ws_connect(path, headers=others) as first,
        client.ws_connect(path, headers=others) as second,
    ):
        for stranger in (first, second):
            assert {"type": "basket", "data": NOTHING} == await hears(stranger)
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect(path, headers=others)
        assert 429 == refused.value.status
        async with client.ws_connect(path, headers=mine) as one, client.ws_connect(path, headers=mine) as two:
            for owner in (one, two):
                assert OWNER == (await hears(owner))["data"]["owner"]
            with pytest.raises(WSServerHandshakeError):
                await client.ws_connect(path, headers=mine)
            await first.close()

            async def is_free() -> bool:
                try:
                    await (await client.ws_connect(path, headers=others)).close()
                except WSServerHandshakeError:
                    return False
                return True

            await eventually(is_free)


async def test_without_a_token_no_path_of_the_dialect_answers() -> None:
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr(SECRET))})
    scene = filled(auth=auth)
    scene.show(basket(position(SOL_LONG)))
    asked_for = {"owner": OWNER, "pubkey": basket_of(), "symbol": "SOL", "pool": "pool", "kind": "markets"}
    async with scene.serving() as client:
        paths = {route.resource.canonical for route in client.app.router.routes() if route.resource}
        of_dialect = sorted(path for path in paths if path.startswith(("/v2/", "/owner/")))
        assert len(of_dialect) == 13
        for path in of_dialect:
            assert 401 == (await asked(client, path.format(**asked_for)))[0], path


async def test_a_mark_that_cannot_be_read_makes_figures_unknown_and_they_come_back_with_the_next() -> None:
    scene = filled()
    scene.show(basket(position(SOL_LONG)))
    async with scene.serving() as client, listening(client, query="?updateIntervalMs=100") as socket:
        assert "basket" == (await hears(socket))["type"]
        scene.tables.marks.put("flash-oracle:SOL", 10**6, {"mark": "x"})
        assert 503 == (await asked(client, f"/v2/owner/{OWNER}"))[0]
        scene.mark("SOL", "140", scene.now_ms + 1)

        async def is_new() -> bool:
            shown = (await hears_of(socket, "metrics")).get(key_text(SOL_LONG), {})
            found: bool = shown.get("pnlWithoutFeeUsdUi") == "-28.68"
            return found

        await eventually(is_new)


async def test_what_the_venue_folds_is_what_the_dialect_reads() -> None:
    scene, version = filled(), 0
    account = None
    async with scene.serving() as client:
        for record, shown in (
            (said(basket(position(SOL_LONG)), slot=1), 200),
            (said_bytes(b"no basket", slot=2), 503),
            (said(basket(position(BTC_LONG)), slot=3), 200),
            (closed(slot=4), 200),
        ):
            version += 1
            known = DeploymentWatermark(applied=(version, -1), head=0)
            account = FLASH.fold(account, FLASH.decode(record, (version, -1)), known)
            body = FLASH.statement(account)
            assert body is not None
            row = encode_statement(Statement((version, -1), body, ()))
            scene.tables.statements.put(f"{DEPLOYMENT}:{OWNER}", version, row)
            assert shown == (await asked(client, f"/v2/owner/{OWNER}"))[0]
        assert NOTHING == (await asked(client, f"/v2/owner/{OWNER}"))[1]
