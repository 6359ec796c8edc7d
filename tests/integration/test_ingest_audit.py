from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
import pytest_asyncio
from click.testing import CliRunner

from models.chain_records import Checkpoint
from models.codec import encode_row
from models.engine.tables import ACCOUNTS, WATERMARKS
from models.ids import account_key
from models.symmio.account import BlockUndo, encode_account
from models.symmio.replay import Replay
from models.symmio.undo import Undo
from models.watermarks import DeploymentWatermark, encode_watermark
from streams.audit.account_audit import NothingToAudit, audit
from streams.ingest.outlet import opened_outlet
from streams.ingest.symmio.recording import read_recorded_blocks
from streams.kafka.topics import changelog_name
from streams.process.clock import SystemClock
from streams.settings import Settings, SymmioSettings
from tests.support.chain import RECORDING, recorded_chain, recorded_diamond
from tests.support.contract_views import RecordedViews
from tests.support.node import FakeNode, RpcFault
from tests.support.records import chain_records, create_all
from tidemark.commands.audit import audit as command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from models.symmio.account import AccountRow

BLOCK = 540
_replace = msgspec.structs.replace


class World:
    """Tables as of ``BLOCK``, the deployment final there, and a node that answers what the contract did."""

    def __init__(self, settings: Settings, node: FakeNode) -> None:
        self.settings = settings
        self.node = node
        replay = Replay(recorded_diamond())
        for block in read_recorded_blocks(RECORDING / "logs.json.gz"):
            if block.number <= BLOCK:
                replay.fold(block)
        snapshot = RecordedViews().accounts(BLOCK)
        self.rows = {account: row for account, row in replay.rows.items() if account in snapshot}
        self.account = next(account for account, row in sorted(self.rows.items()) if row.state.open_quotes)

    async def put_tables(self, rows: dict[str, AccountRow], *, final: int = BLOCK) -> None:
        assert self.settings.kafka is not None
        mark = DeploymentWatermark((1, -1), final, 0, final)
        async with opened_outlet(self.settings.bootstrap) as outlet:
            for account, row in rows.items():
                body = encode_row(1, row.version, encode_account(row))
                await outlet.put(changelog_name(self.settings, ACCOUNTS), account_key("d", account), body)
            await outlet.put(
                changelog_name(self.settings, WATERMARKS), b"d:0", encode_row(1, 1, encode_watermark(mark))
            )

    def corrupted(self) -> dict[str, AccountRow]:
        """The rows with one account's allocated balance one higher and its first position gone."""
        row = self.rows[self.account]
        state = _replace(
            row.state,
            balances=_replace(row.state.balances, allocated=row.state.balances.allocated + 1),
            quotes={i: q for i, q in row.state.quotes.items() if i != row.state.open_quotes[0].quote_id},
        )
        return {**self.rows, self.account: _replace(row, state=state)}

    async def checkpoints(self) -> list[Checkpoint]:
        return [record for record in await chain_records(self.settings, "d") if isinstance(record, Checkpoint)]


@pytest_asyncio.fixture
async def world(settings: Callable[..., Settings]) -> AsyncIterator[World]:
    views = RecordedViews()
    async with FakeNode(recorded_chain()) as node:
        node.eth_call, node.storage = views.call, views.storage
        deployment = SymmioSettings(chain_id=31337, diamond=recorded_diamond(), rpc=(node.url,))  # type: ignore[arg-type]
        world = World(settings(deployments={"d": deployment}), node)
        await create_all(world.settings)
        yield world


async def test_rows_that_agree_with_the_contract_are_clean(world: World) -> None:
    await world.put_tables(world.rows)

    report = await audit(world.settings, "d", SystemClock())

    assert (BLOCK, len(world.rows), [], {}, True) == (
        report.block,
        report.accounts,
        report.differences,
        report.skipped,
        report.is_clean,
    )


async def test_every_value_that_differs_is_named_with_ours_and_the_nodes(world: World) -> None:
    await world.put_tables(world.corrupted())

    report = await audit(world.settings, "d", SystemClock())

    allocated = world.rows[world.account].state.balances.allocated
    quote = world.rows[world.account].state.open_quotes[0]
    assert [
        (world.account, "allocated", str(allocated + 1), str(allocated)),
        (world.account, f"quote {quote.quote_id}", "not live", f"live, {quote.status.name}"),
    ] == report.differences
    assert not report.is_clean
    assert [] == await world.checkpoints()


async def test_repair_writes_the_contracts_state_as_a_checkpoint(world: World) -> None:
    await world.put_tables(world.corrupted())

    report = await audit(world.settings, "d", SystemClock(), is_repairing=True)

    (checkpoint,) = await world.checkpoints()
    assert [world.account] == report.repaired
    assert (world.account, BLOCK) == (checkpoint.account, checkpoint.block)
    assert str(world.rows[world.account].state.balances.allocated) == checkpoint.balances[0]


async def test_an_account_touched_after_the_block_is_compared_as_it_was_and_not_repaired(world: World) -> None:
    rows = world.corrupted()
    row = rows[world.account]
    undo = BlockUndo(BLOCK + 1, Undo(), row.block, row.time_s, None)
    rows[world.account] = _replace(row, block=BLOCK + 1, undo=(*row.undo, undo))
    await world.put_tables(rows)

    report = await audit(world.settings, "d", SystemClock(), is_repairing=True)

    assert 2 == len(report.differences)
    assert {world.account: f"touched in block {BLOCK + 1}; run again when that is final"} == report.unrepaired
    assert [] == await world.checkpoints()


async def test_an_account_whose_undo_is_gone_is_not_compared(world: World) -> None:
    await world.put_tables({**world.rows, world.account: _replace(world.rows[world.account], block=BLOCK + 1, undo=())})

    report = await audit(world.settings, "d", SystemClock())

    assert [world.account] == list(report.skipped)
    assert report.is_clean
    assert not report.is_complete


async def test_an_account_whose_row_cannot_be_read_is_named_and_the_others_are_compared(world: World) -> None:
    await world.put_tables(world.rows)
    async with opened_outlet(world.settings.bootstrap) as outlet:
        row = encode_row(1, 10**6, {"state": 7})
        await outlet.put(changelog_name(world.settings, ACCOUNTS), account_key("d", world.account), row)

    report = await audit(world.settings, "d", SystemClock())

    assert ({world.account}, False) == ({*report.skipped}, report.is_complete)
    assert (len(world.rows) - 1, []) == (report.accounts, report.differences)


async def test_an_account_that_the_contract_refuses_is_named_with_the_reason_and_the_others_are_compared(
    world: World,
) -> None:
    await world.put_tables(world.rows)
    answered = world.node.eth_call
    assert answered is not None

    def refusing(to: str, data: bytes, block: int) -> bytes:
        # A view takes the account as its first argument, behind the selector and twelve bytes of padding.
        if data[16:36].hex() == world.account.removeprefix("0x"):
            raise RpcFault(3, "execution reverted")
        return answered(to, data, block)

    world.node.eth_call = refusing

    report = await audit(world.settings, "d", SystemClock())

    assert [world.account] == list(report.skipped)
    assert "execution reverted" in report.skipped[world.account]
    assert (len(world.rows) - 1, [], True, False) == (
        report.accounts,
        report.differences,
        report.is_clean,
        report.is_complete,
    )


async def test_a_suspect_account_is_not_clean_and_is_repaired(world: World) -> None:
    suspect = _replace(world.rows[world.account], suspect=("block 5: odd", (1, 1)))
    await world.put_tables({**world.rows, world.account: suspect})

    report = await audit(world.settings, "d", SystemClock(), is_repairing=True)

    assert {world.account: "block 5: odd"} == report.suspects
    assert [world.account] == report.repaired
    assert not report.is_clean


async def test_a_block_above_the_final_one_is_refused(world: World) -> None:
    await world.put_tables(world.rows)

    with pytest.raises(NothingToAudit, match="final up to 540"):
        await audit(world.settings, "d", SystemClock(), block=BLOCK + 1)


def test_the_command_without_a_deployment_says_so() -> None:
    result = CliRunner().invoke(command, [])

    assert "expected a deployment" in str(result.exception)
