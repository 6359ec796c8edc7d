"""Blocks that leave the chain again: the rows end as those of the surviving branch."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from models.chain_records import Block, Rollback, Watermark
from models.codec import encode_row
from models.engine.tables import ACCOUNTS
from models.symmio.account import decode_account
from models.symmio.replay import Replay
from streams.kafka.topics import DEAD_LETTERS, create_topics, registry, topic_name
from streams.settings import WorkerSettings
from tests.support.golden import DEPLOYMENT, golden_deployment
from tests.support.pipeline import all_committed, end_offset, feed_rows, worker, write_chain
from tests.support.recording import GOLDEN_LOGS, read_json, recorded_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from models.chain_records import ChainRecord
    from models.symmio.state import AccountState
    from streams.settings import Settings

DEPTH = 12


def forked(blocks: list[Block], chance: random.Random) -> Iterator[ChainRecord]:
    """The chain as a node with many reorganisations shows it: back by up to ``DEPTH`` blocks, then on again."""
    at = final = 0
    while at < len(blocks):
        yield blocks[at]
        at += 1
        if chance.random() < 0.15:
            back = chance.randint(1, DEPTH)
            at = max(final, at - back, 1)
            ancestor = blocks[at - 1]
            yield Rollback(ancestor.number, ancestor.hash)
        if chance.random() < 0.3:
            head = blocks[at - 1]
            final = max(final, at - DEPTH)
            yield Watermark(head.number, head.time_s, blocks[final - 1].number if final else 0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_forks_up_to_the_finality_depth_end_in_the_rows_of_the_surviving_branch(
    settings: Callable[..., Settings], seed: int
) -> None:
    recording = read_json(GOLDEN_LOGS)
    blocks = list(recorded_blocks(recording))
    mine = settings(deployments=golden_deployment(), worker=WorkerSettings(slice_records=50))
    await create_topics(mine.bootstrap, registry(mine))
    records = list(forked(blocks, random.Random(seed)))
    await write_chain(mine, DEPLOYMENT, records)
    async with worker(mine) as process:
        await process.ready()
        await all_committed(mine)

    replay = Replay(recording["diamond"])
    for block in blocks:
        replay.fold(block)
    surviving = {f"{DEPLOYMENT}:{account}".encode(): _shown(row.state) for account, row in replay.rows.items()}
    rows = await feed_rows(mine, ACCOUNTS)
    finished = replay.finished

    assert sum(isinstance(record, Rollback) for record in records) > 50
    assert surviving == {
        key: _shown(decode_account(encode_row(*row)).state, leaving=finished) for key, row in rows.items()
    }
    assert 0 == await end_offset(mine, topic_name(mine, DEAD_LETTERS))


def _shown(state: AccountState, leaving: Collection[int] = ()) -> AccountState:
    """A state without the quotes that are finished: when they leave depends on finality, which a fork delays."""
    left = {quote_id: quote for quote_id, quote in state.quotes.items() if quote_id not in leaving}
    return msgspec.structs.replace(state, quotes=left)
