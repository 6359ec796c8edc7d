"""What frames were made of is kept, and from it a frame that was sent is made again to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from api.dialects.flash.flash_board import FlashBoard
from api.tables.market_prices import MarketPrices
from models.codec import decode_order, decode_row, join_row
from models.flash.basket_snapshot import opened_of, position_figures
from models.flash.flash_listing import Listing
from models.flash.flash_references import decode_reference
from models.flash.position_terms import metrics_at_mark_of, metrics_of
from models.kept_inputs import CalculationsMade, decode_kept
from models.prices import decode_mark, used_mark
from models.references import UsedReference
from streams.settings import Settings
from streams.settings.flash.flash_settings import FlashSettings
from tests.support.eventually import eventually
from tests.support.flash import BTC_LONG, NOW_MS, NOW_S, OWNER, SOL_LONG, basket, position, text
from tests.support.flash_scene import DEPLOYMENT, FlashScene, hears_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.flash.flash_accounts import Basket
    from models.prices import UsedMark

_CALCULATIONS = {"venue": metrics_of, "mark": metrics_at_mark_of}


class Log:
    """What topics have of the rows that a scene says: every mark by its tick's offset, every reference by its own."""

    def __init__(self, scene: FlashScene) -> None:
        feeds = scene.tables.feeds
        self.marks = {
            (key.decode(), decode_mark(row).offset): decode_mark(row) for key, row in feeds.marks.rows.items()
        }
        self.references = {}
        for key, row in feeds.references.rows.items():
            body, name = decode_row(row).body, key.decode().partition(":")[2]
            self.references[name, body["partition"], body["offset"]] = body["text"]


class Remade:
    """The inputs that a record names, read out of the log."""

    def __init__(self, made: CalculationsMade, log: Log) -> None:
        self._made, self._log = made, log

    def mark(self, market: int | str, /) -> UsedMark | None:
        one = self._made.marks[str(market)]
        return None if one is None else used_mark(one.key, self._log.marks[one.key, one.offset], stale=one.stale)

    def reference(self, name: str, /) -> UsedReference | None:
        at = self._made.references[name]
        if at is None:
            return None
        value = self._log.references[name, *at].encode()
        return UsedReference(decode_reference(name, value), *at)


def filled(**section: object) -> FlashScene:
    scene = FlashScene(**section)  # type: ignore[arg-type]
    scene.list_markets()
    for symbol, price in (("SOL", "150"), ("USDC", "1"), ("BTC", "60000")):
        scene.mark(symbol, price)
    return scene


def records(scene: FlashScene) -> list[tuple[bytes, CalculationsMade]]:
    found = []
    for key, value in scene.records.kept:
        made = decode_kept(value)
        assert isinstance(made, CalculationsMade)
        found.append((key, made))
    return found


def again(made: CalculationsMade, shown: Basket, pnl: str, log: Log) -> Mapping[str, Any]:
    figures = position_figures(opened_of(shown), Listing(Remade(made, log)), _CALCULATIONS[pnl])
    remade: Mapping[str, Any] = orjson.loads(orjson.dumps(figures.shown))
    return remade


@pytest.mark.parametrize("pnl", ["venue", "mark"])
async def test_a_frame_is_made_again_from_what_is_kept_of_it(pnl: str) -> None:
    scene = filled(pnl=pnl)
    held = basket(position(SOL_LONG), position(BTC_LONG, "59000"))
    scene.show(held)
    # The time of one mark is later than that of the others and of the chain: fees of all positions accrue up to it.
    scene.mark("BTC", "60000", (NOW_S + 3_600) * 1_000)
    scene.now_ms = (NOW_S + 3_600) * 1_000
    row = scene.tables.feeds.statements.rows[f"{DEPLOYMENT}:{OWNER}".encode()]
    log = Log(scene)
    async with scene.serving() as client, client.ws_connect(f"/v2/owner/{OWNER}/ws?updateIntervalMs=100") as socket:
        sent = await hears_of(socket, "metrics")

        def kept() -> list[CalculationsMade]:
            named = (f"{DEPLOYMENT}:{OWNER}", *decode_order(row), f"metrics {pnl}")
            return [made for _, made in records(scene) if named in made.asked]

        await eventually(lambda: bool(kept()))
    assert {key for key, _ in records(scene)} == {f":calc:{DEPLOYMENT}".encode()}
    assert sent == again(kept()[0], held, pnl, log)


async def test_every_calculation_is_in_one_record_and_what_other_owners_are_shown_changes_no_figure() -> None:
    scene, mine = filled(), basket(position(SOL_LONG))
    others = [text(f"owner {number}") for number in range(20)]
    scene.show(mine)
    for owner in others:
        scene.show(basket(position(BTC_LONG, "59000"), owner=owner), owner)
    scene.mark("BTC", "60000", (NOW_S + 3_600) * 1_000)
    async with scene.serving() as client:
        alone = (await (await client.get(f"/v2/owner/{OWNER}")).json())["positionMetrics"]
        for owner in others:
            await client.get(f"/v2/owner/{owner}")
        assert alone == (await (await client.get(f"/v2/owner/{OWNER}")).json())["positionMetrics"]
        scene.mark("SOL", "151")

        def named() -> list[str]:
            return sorted(asked[0] for _, made in records(scene) for asked in made.asked)

        expected = sorted(f"{DEPLOYMENT}:{owner}" for owner in (OWNER, OWNER, *others))
        await eventually(lambda: named() == expected)
    assert all(made.at_ms == scene.now_ms for _, made in records(scene))


async def test_calculations_of_one_moment_are_one_record_until_a_mark_moves_or_there_are_too_many() -> None:
    scene, kept = filled(), list[CalculationsMade]()
    settings = Settings(deployments={DEPLOYMENT: FlashSettings()})
    feeds = scene.tables.feeds
    board = FlashBoard(
        DEPLOYMENT, MarketPrices(settings, feeds), feeds, lambda: NOW_MS, lambda _, made: kept.append(made)
    )
    row = join_row(3, 7, b"{}")

    def calculate(times: int) -> None:
        for at in range(times):
            board.now().market(SOL_LONG)
            board.calculated(f"{DEPLOYMENT}:{at}", row, "metrics venue")

    calculate(10)
    assert not kept
    scene.mark("SOL", "151")
    ((account, term, version, what), *others) = kept.pop().asked
    assert (f"{DEPLOYMENT}:0", 3, 7, "metrics venue", 9) == (account, term, version, what, len(others))
    calculate(5_001)
    assert 5_000 == len(kept.pop().asked)
    scene.mark("SOL", "152")
    assert 1 == len(kept.pop().asked)


async def test_whoever_looks_at_nothing_leaves_no_record() -> None:
    scene = filled()
    async with scene.serving() as client:
        assert 200 == (await client.get(f"/v2/owner/{OWNER}")).status
        assert 200 == (await client.get("/v2/prices")).status
        scene.mark("SOL", "151")
    assert not scene.records.kept
