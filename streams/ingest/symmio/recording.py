"""Playback of a recording into the raw topics: a node's logs and headers, and a venue's frames, from a directory.

``symmio/logs.json.gz`` is one JSON object: ``blocks`` (number → hash, parentHash, timestamp) and ``logs``, rows of
``eth_getLogs``. Each line of ``prices/*.jsonl.gz`` is ``{"received": Unix seconds, "frame": as sent}``.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from models.chain_records import Watermark
from models.errors import TidemarkError
from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.outlet import opened_outlet
from streams.ingest.prices.binance.binance_sink import BinanceSink
from streams.ingest.symmio.chain_journal import Journal, opened_writer
from streams.ingest.symmio.resume import read_tail
from streams.kafka.topics import PRICE_TICKS, require_topic
from streams.node.blocks import Header, make_blocks, read_header, read_logs
from streams.node.rpc import BadAnswer
from streams.settings import RECORDED_SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from models.chain_records import Block
    from streams.ingest.outlet import Outlet
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# A recording of a few thousand blocks gets some twenty watermarks: enough to see accounts settle on the way.
_BLOCKS_PER_WATERMARK = 100


class BadRecording(TidemarkError):
    """A file of the recording is missing, damaged, or not of the format this module describes."""


class _Line(msgspec.Struct):
    received: str | float
    frame: msgspec.Raw


_line = msgspec.json.Decoder(_Line)


async def run(settings: Settings, directory: Path, deployment: str, clock: Clock, *, is_paced: bool = True) -> None:
    """Play a recording once: its logs as those of a deployment, its frames as those of the source ``recorded``.

    Args:
        settings: Name Kafka.
        directory: Holds ``symmio/`` or ``prices/`` or both.
        deployment: The deployment's name. Blocks that its topic already covers are not written again.
        clock: Tells when a frame was played.
        is_paced: Whether to play frames as far apart as they were received, or else as fast as the broker takes them.

    Raises:
        BadRecording: There is nothing to play, or a file is not of its format.
        BadSettings: Kafka is not configured.
        BadTopic: A topic is missing: run ``tidemark topics create``.
    """
    bootstrap = settings.bootstrap
    logs, prices = _files(directory)
    async with opened_outlet(bootstrap) as outlet:
        await require_topic(settings, CHAIN_BLOCKS, PRICE_TICKS)
        for path in logs:
            async with opened_writer(settings, deployment) as writer:
                tail = await read_tail(settings, bootstrap, deployment)
                await _play_chain(path, Journal(settings, deployment, writer, tail))
        player = _PricePlayer(settings, outlet, clock)
        for path in prices:
            await player.play(path, is_paced=is_paced)
        await outlet.flush()


def _files(directory: Path) -> tuple[list[Path], list[Path]]:
    logs, prices = list(directory.glob("symmio/logs.json.gz")), sorted(directory.glob("prices/*.jsonl.gz"))
    if not logs and not prices:
        msg = f"expected symmio/logs.json.gz or prices/*.jsonl.gz in {directory}, found neither"
        raise BadRecording(msg)
    return logs, prices


def read_recorded_blocks(path: Path) -> list[Block]:
    """Read the Block records of a recorded ``logs.json.gz``, in order.

    Raises:
        BadRecording: The file is not of that format.
    """
    try:
        recording = orjson.loads(gzip.decompress(path.read_bytes()))
        headers = [_header(number, header) for number, header in recording["blocks"].items()]
        return make_blocks(headers, read_logs(recording["logs"]).logs)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, BadAnswer) as error:
        msg = f"expected recorded logs with their blocks in {path}, found {type(error).__name__}: {error}"
        raise BadRecording(msg) from error


def _header(number: str, header: dict[str, Any]) -> Header:
    return read_header(
        {
            "number": hex(int(number)),
            "hash": "0x" + header["hash"].removeprefix("0x"),
            "parentHash": "0x" + header["parentHash"].removeprefix("0x"),
            "timestamp": hex(header["timestamp"]),
        }
    )


async def _play_chain(path: Path, journal: Journal) -> None:
    blocks = [block for block in read_recorded_blocks(path) if block.number > journal.tail.covered]
    for start in range(0, len(blocks), _BLOCKS_PER_WATERMARK):
        some = blocks[start : start + _BLOCKS_PER_WATERMARK]
        last = some[-1]
        # The recording is of blocks long past, which will not be rolled back.
        await journal.write([*some, Watermark(head=last.number, head_time_s=last.time_s, final=last.number)])
        _log.info("played deployment=%s block=%d", journal.deployment, last.number)


class _PricePlayer:
    """Plays frames as if they came now; a mark is as late as it was when the recording was made.

    Args:
        settings: Name the topics.
        outlet: The way to Kafka.
        clock: Tells when a frame was played.
    """

    def __init__(self, settings: Settings, outlet: Outlet, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ms = 0
        # The recording's clock is behind ours by as much time as has passed since.
        self._sink = BinanceSink(
            settings, RECORDED_SOURCE, outlet, clock, ahead_ms=lambda: self._ahead_ms, is_conflated=False
        )

    async def play(self, path: Path, *, is_paced: bool) -> None:
        """Play a file to its end."""
        loop = asyncio.get_running_loop()
        began_s, first_s = loop.time(), None
        for received_s, frame in _frames(path):
            if first_s is None:
                first_s = received_s
            if is_paced and (wait_s := began_s + received_s - first_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            self._ahead_ms = round(received_s * 1_000) - self._clock.now_ms()
            await self._sink.take_frame(frame)


def _frames(path: Path) -> Iterator[tuple[float, bytes]]:
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007 - named in the error
                record = _line.decode(line)
                yield float(record.received), bytes(record.frame)
    except (OSError, EOFError, msgspec.DecodeError, ValueError) as error:
        msg = f"expected a received time and a frame in line {number} of {path}, found {type(error).__name__}: {error}"
        raise BadRecording(msg) from error
