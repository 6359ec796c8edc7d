"""The audit: it compares the rows of accounts with the answers of the contract's own views at one final block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models.chain_records import encode_chain_record
from models.engine.missed_records import read_account
from models.engine.tables import ACCOUNTS, WATERMARKS
from models.errors import BadRow, TidemarkError
from models.ids import split_key
from models.symmio.account import back_to
from models.symmio.fold import BadFold
from models.symmio.state import state_of_checkpoint
from models.symmio.topics import CHAIN_BLOCKS
from models.symmio.venue import SYMMIO
from models.watermarks import decode_watermark
from streams.audit.comparison import Difference, differences
from streams.ingest.outlet import opened_outlet
from streams.ingest.symmio.checkpoint import read_checkpoints
from streams.ingest.symmio.enumeration import find_owners
from streams.kafka.feed import Feed
from streams.kafka.topics import topic_name
from streams.node.connect import connected, deployment_of
from streams.node.contract_views import ContractViews
from streams.node.rpc import CallReverted, RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.chain_records import Checkpoint
    from models.symmio.account import AccountRow
    from models.watermarks import DeploymentWatermark
    from streams.ingest.symmio.enumeration import Owner
    from streams.node.blocks import Header
    from streams.node.endpoints import Node
    from streams.process.clock import Clock
    from streams.settings import Settings, SymmioSettings

_ACCOUNTS_AT_ONCE = 50


class NothingToAudit(TidemarkError):
    """The tables or the node have not reached the block to audit. Let them catch up, or name another block."""


@dataclass(slots=True)
class Report:
    """What an audit found at ``block``.

    ``unsupported`` says from where and why the whole deployment is unknown, ``suspects`` why single accounts are.
    ``skipped`` says of each account that was not compared why: its row could not be read or brought back to the block,
    or the node did not answer for it. ``repaired`` are the accounts for which a checkpoint was written, ``unrepaired``
    says why one was not.
    """

    block: int
    accounts: int = 0
    unsupported: str | None = None
    suspects: dict[str, str] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)
    unrepaired: dict[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether everything is known, and all that was compared agrees."""
        return not self.differences and not self.suspects and self.unsupported is None

    @property
    def is_complete(self) -> bool:
        """Whether every account was compared."""
        return not self.skipped


async def audit(
    settings: Settings, name: str, clock: Clock, *, block: int | None = None, is_repairing: bool = False
) -> Report:
    """Compare every account of a deployment with the contract's views, and report what differs.

    Args:
        settings: Name Kafka and the deployment's endpoints.
        name: The deployment.
        clock: The clock of the feeds by which the tables are read.
        block: A block that is final in the tables; None for their newest final one.
        is_repairing: Whether to write a checkpoint for every account that differs or is suspect, unless it was touched
            after the block.

    Raises:
        NothingToAudit: The tables or the node have not reached the block.
        BadSettings: The deployment, its endpoints or Kafka are not configured.
        RpcError: The node gives neither the block's header nor the accounts' owners.
    """
    deployment = deployment_of(settings, name)
    # Watermarks are read first, so that the rows read later hold at least every block up to them.
    watermarks = await _watermarks(settings, name, clock)
    final = min((watermark.final for watermark in watermarks), default=-1)
    report = Report(block=final if block is None else block)
    if not 0 <= report.block <= final:
        msg = f"expected {name}'s tables to be final at block {report.block}, found them final up to {final}"
        raise NothingToAudit(msg)
    report.unsupported = next(
        (f"since block {w.unsupported_since}: {w.reason}" for w in watermarks if w.unsupported_since is not None), None
    )
    rows = await _accounts(settings, name, clock, report)
    async with connected(name, deployment) as node:
        header = await node.header(report.block)
        if header is None:
            msg = f"expected the node to have block {report.block}, found it behind"
            raise NothingToAudit(msg)
        checkpoints = await _compare(node, deployment, header, rows, report)
        if is_repairing:
            await _repair(settings, name, checkpoints, rows, report)
    return report


async def _compare(
    node: Node, deployment: SymmioSettings, header: Header, rows: Mapping[str, AccountRow], report: Report
) -> list[Checkpoint]:
    views = ContractViews(deployment.diamond, header.number)
    at_block: dict[str, AccountRow] = {}
    for account, row in rows.items():
        if row.suspect is not None:
            report.suspects[account] = row.suspect[0]
        try:
            at_block[account] = back_to(row, header.number)
        except BadFold as error:
            report.skipped[account] = str(error)
    owners = await find_owners(node, views, deployment, sorted(at_block))
    hedgers = set(deployment.hedgers).union(*(row.state.party_b for row in rows.values()))
    differing: list[Checkpoint] = []
    for some in _chunks(sorted(at_block)):
        asked = {account: owners.get(account) for account in some}
        for checkpoint in await _answered(node, views, header, owners=asked, party_bs=sorted(hedgers), report=report):
            account = checkpoint.account
            found = differences(account, at_block[account].state, state_of_checkpoint(checkpoint))
            report.accounts += 1
            report.differences += found
            if found or account in report.suspects:
                differing.append(checkpoint)
    return differing


async def _answered(
    node: Node,
    views: ContractViews,
    header: Header,
    *,
    owners: Mapping[str, Owner | None],
    party_bs: Sequence[str],
    report: Report,
) -> list[Checkpoint]:
    """Read the accounts for which the node answers; the report says why the others were not compared."""
    try:
        return await read_checkpoints(node, views, header, owners, party_bs)
    except CallReverted as error:
        if len(owners) > 1:
            # The contract refused one account, and the others have an answer.
            singly = [
                await _answered(node, views, header, owners={account: owner}, party_bs=party_bs, report=report)
                for account, owner in owners.items()
            ]
            return [checkpoint for answered in singly for checkpoint in answered]
        cause: RpcError = error
    except RpcError as error:
        cause = error
    report.skipped |= dict.fromkeys(owners, f"expected the node to answer, found: {cause}")
    return []


async def _repair(
    settings: Settings, name: str, checkpoints: Sequence[Checkpoint], rows: Mapping[str, AccountRow], report: Report
) -> None:
    async with opened_outlet(settings.bootstrap) as outlet:
        for checkpoint in checkpoints:
            touched = rows[checkpoint.account].block
            if touched > checkpoint.block:
                report.unrepaired[checkpoint.account] = f"touched in block {touched}; run again when that is final"
                continue
            await outlet.put(topic_name(settings, CHAIN_BLOCKS), name.encode(), encode_chain_record(checkpoint))
            report.repaired.append(checkpoint.account)
        await outlet.flush()


async def _watermarks(settings: Settings, name: str, clock: Clock) -> list[DeploymentWatermark]:
    rows = await _rows(settings, WATERMARKS, clock)
    return [decode_watermark(value) for key, value in rows.items() if key.decode().rpartition(":")[0] == name]


async def _accounts(settings: Settings, name: str, clock: Clock, report: Report) -> dict[str, AccountRow]:
    """Read the deployment's accounts; the report names those whose rows cannot be read."""
    accounts = {}
    for key, value in (await _rows(settings, ACCOUNTS, clock)).items():
        deployment, address = split_key(key)
        if deployment != name:
            continue
        try:
            accounts[address] = read_account(SYMMIO, value)
        except BadRow as error:
            report.skipped[address] = str(error)
    return accounts


async def _rows(settings: Settings, table: str, clock: Clock) -> dict[bytes, bytes]:
    feed = Feed.of(settings, table, clock)
    await feed.start()
    try:
        await feed.wait_ready()
        return dict(feed.rows)
    finally:
        await feed.stop()


def _chunks(accounts: Sequence[str]) -> list[Sequence[str]]:
    return [accounts[start : start + _ACCOUNTS_AT_ONCE] for start in range(0, len(accounts), _ACCOUNTS_AT_ONCE)]
