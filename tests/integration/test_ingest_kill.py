from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models.chain_records import Watermark
from tests.support.chain import DIAMOND, Chain
from tests.support.eventually import eventually
from tests.support.node import FakeNode
from tests.support.records import chain_records, create_all, surviving_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

INGEST = (
    "import asyncio; from streams.ingest.symmio.chain_follow import run; from streams.settings import load_settings; "
    "asyncio.run(run(load_settings(), 'd'))"
)


async def test_an_ingest_killed_at_any_moment_leaves_a_topic_that_the_next_one_continues(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    own = settings()
    await create_all(own)
    chain = Chain()
    chain.mine(120)
    draw = random.Random(7)
    async with FakeNode(chain) as node:
        node.max_results = 3
        config = _write_config(own, node.url, tmp_path)
        for _ in range(5):
            process = _start(config)
            await eventually(partial(_has_asked, node, len(node.requests) + draw.randrange(8, 60)), timeout_s=30)
            process.kill()
            process.wait()
            chain.reorganise(draw.randrange(1, 5), draw.randrange(5, 15))
        node.max_results = 10_000
        process = _start(config)
        try:

            async def caught_up() -> bool:
                records = await chain_records(own, "d")
                blocks = surviving_blocks(records)
                marks = [record.head for record in records if isinstance(record, Watermark)]
                head = chain.head
                return head.number in blocks and blocks[head.number].hash == head.hash and marks[-1] == head.number

            await eventually(caught_up, timeout_s=30)
        finally:
            process.kill()
            process.wait()

    blocks = surviving_blocks(await chain_records(own, "d"))
    assert [(block.number, block.hash) for block in chain.blocks[1:]] == [(n, b.hash) for n, b in blocks.items()]


def _has_asked(node: FakeNode, requests: int) -> bool:
    return len(node.requests) >= requests


def _start(config: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "TIDEMARK_CONFIG": str(config), "PYTHONPATH": str(root)}
    with (config.parent / "ingest.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-c", INGEST], env=environment, cwd=root, stderr=log)


def _write_config(settings: Settings, url: str, directory: Path) -> Path:
    config = directory / "tidemark.toml"
    config.write_text(
        f"""
kafka = "{settings.kafka}"
[topics]
prefix = "{settings.topics.prefix}"
partitions = {settings.topics.partitions}
[deployments.d]
chain_id = 31337
diamond = "{DIAMOND}"
rpc = ["{url}"]
start_block = 1
finality_depth = 6
poll_interval_ms = 10
"""
    )
    return config
