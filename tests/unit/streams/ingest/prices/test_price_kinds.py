"""A price source is read and followed by its kind, built in or of a package."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from models.prices import MarkTick, decode_tick
from streams.ingest.prices.price_follow import follower_kind, run
from streams.ingest.prices.price_site import PriceSite
from streams.process.clock import SystemClock
from streams.settings import BadSettings, BinanceSource, BitfinexSource, Settings, load_settings
from streams.settings.prices.price_source import SourceSettings, UnavailableSource
from tests.support.clocks import LoopClock
from tests.support.installing import announced

if TYPE_CHECKING:
    import aiohttp

    from streams.ingest.outlet import Outlet

FILE = ("tidemark.prices", "price-file", "tidemark_plaintext.price_file:PRICES")
AT_MS = 1_745_970_800_000


class Kept:
    """Takes records as an outlet does."""

    def __init__(self) -> None:
        self.ticks: asyncio.Queue[MarkTick] = asyncio.Queue()

    async def put(self, _topic: str, _key: bytes, value: bytes) -> None:
        tick = decode_tick(value)
        assert isinstance(tick, MarkTick)
        self.ticks.put_nowait(tick)


def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, SourceSettings]:
    file = tmp_path / "tidemark.toml"
    file.write_text(text)
    monkeypatch.setenv("TIDEMARK_CONFIG", str(file))
    return load_settings().sources


def test_a_section_is_read_by_its_kind_and_one_without_a_kind_is_binances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[sources.a]\nbook_symbols = ['X']\n[sources.b]\nkind = 'bitfinex'\nderivatives = ['tBTCF0:USTF0']\n"
    assert {
        "a": BinanceSource(book_symbols=("X",)),
        "b": BitfinexSource(derivatives=("tBTCF0:USTF0",)),
    } == read(tmp_path, monkeypatch, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = 'bitfinex'\nticker = ['tBTCUSD']", r"sources\.a\.ticker: .*did you mean tickers\?"),
        ("kind = 'bitfinex'", "sources.a: expected some of tickers or derivatives, found neither"),
        ("kind = 'bitfinex'\ntickers = ['BTCUSD']", r"sources\.a\.tickers\.0"),
        ("book_symbol = ['X']", r"sources\.a\.book_symbol: .*did you mean book_symbols\?"),
        ("kind = 'price-file'\nfill = 'x'", r"sources\.a\.fill: .*did you mean file\?"),
    ],
)
def test_a_wrong_section_is_refused_with_the_keys_of_its_kind(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path / "site", monkeypatch, FILE), pytest.raises(BadSettings, match=said):
        read(tmp_path, monkeypatch, f"[sources.a]\n{text}\n")


async def test_a_kind_that_is_not_installed_stops_nobody_but_who_would_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = read(tmp_path, monkeypatch, "[sources.a]\nkind = 'kraken'\npairs = ['X']\n[sources.b]\n")
    assert {"a": UnavailableSource(kind="kraken"), "b": BinanceSource()} == sources

    said = r"sources\.a: expected a kind that is installed, found 'kraken'; install the package that brings it by an "
    with pytest.raises(BadSettings, match=said + r"entry point of the group tidemark\.prices; there are"):
        await run(Settings(kafka="nowhere:1", sources=sources), "a", SystemClock())


async def test_the_source_of_a_package_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with announced(tmp_path / "site", monkeypatch, FILE):
        file = tmp_path / "prices.json"
        file.write_text('{"BTCUSDT": "58123.4"}')
        text = f"[sources.a]\nkind = 'price-file'\nevery_s = 0.01\nmax_late_ms = 700\nfile = '{file}'\n"
        sources = read(tmp_path, monkeypatch, text)
        kept, settings = Kept(), Settings(kafka="nowhere:1", data_dir=Path("unused"), sources=sources)
        none = cast("aiohttp.ClientSession", None)
        site = PriceSite(settings, "a", sources["a"], none, cast("Outlet", kept), LoopClock(AT_MS))
        follower: Any = follower_kind(settings, "a")(site)
        following = asyncio.create_task(follower.run())
        async with asyncio.timeout(10):
            ticks = [await kept.ticks.get(), await kept.ticks.get()]
            written = tmp_path / "written.json"
            written.write_text('{"BTCUSDT": "58124"}')
            written.rename(file)
            moved = ticks[-1]
            while moved.mark != "58124":
                moved = await kept.ticks.get()
        following.cancel()

    assert [("a", "BTCUSDT", "58123.4", 700)] * 2 == [(t.source, t.symbol, t.mark, t.max_late_ms) for t in ticks]
    assert follower.heard_ms == moved.received_ms
