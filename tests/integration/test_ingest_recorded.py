from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from models.chain_records import Block, Watermark
from models.prices import BookTick, decode_tick
from streams.ingest.symmio.recording import BadRecording, read_recorded_blocks, run
from streams.kafka.topics import PRICE_TICKS
from streams.process.clock import SystemClock
from tests.support.records import chain_records, create_all, read_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

DATA = Path(__file__).parents[1] / "data"


async def test_a_recording_is_played_whole(settings: Callable[..., Settings]) -> None:
    own = settings()
    await create_all(own)

    await run(own, DATA, "d", SystemClock(), is_paced=False)

    records = await chain_records(own, "d")
    recording = orjson.loads(gzip.decompress((DATA / "symmio" / "logs.json.gz").read_bytes()))
    blocks = [record for record in records if isinstance(record, Block)]
    assert sorted(map(int, recording["blocks"])) == [block.number for block in blocks]
    assert len(recording["logs"]) == sum(len(block.logs) for block in blocks)
    assert Watermark(681, blocks[-1].time_s, 681) == records[-1]
    lines = gzip.decompress((DATA / "prices" / "binance_futures_20210722.jsonl.gz").read_bytes()).splitlines()
    books = [frame for line in lines if (frame := orjson.loads(line)["frame"]["data"])["e"] == "bookTicker"]
    ticks = [decode_tick(value) for _, value in await read_topic(own, PRICE_TICKS)]
    assert sorted((book["s"], book["E"], book["b"], book["a"]) for book in books) == sorted(
        (tick.symbol, tick.event_ms, tick.bid, tick.ask) for tick in ticks if isinstance(tick, BookTick)
    )
    assert {tick.source for tick in ticks} <= {"recorded", "recorded-book"}


async def test_playing_again_repeats_no_block(settings: Callable[..., Settings], tmp_path: Path) -> None:
    own = settings()
    await create_all(own)
    shutil.copytree(DATA / "symmio", tmp_path / "symmio")
    await run(own, tmp_path, "d", SystemClock())
    before = await chain_records(own, "d")

    await run(own, tmp_path, "d", SystemClock())

    assert before == await chain_records(own, "d")


async def test_an_empty_directory_is_an_error(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="found neither"):
        await run(settings(), tmp_path, "d", SystemClock())


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b'{"blocks":{"x":1},"logs":[]}'])
def test_a_damaged_recording_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "logs.json.gz"
    path.write_bytes(gzip.compress(content))

    with pytest.raises(BadRecording):
        read_recorded_blocks(path)


def test_a_recording_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "logs.json.gz"
    path.write_bytes((DATA / "symmio" / "logs.json.gz").read_bytes()[:1_000])

    with pytest.raises(BadRecording):
        read_recorded_blocks(path)
