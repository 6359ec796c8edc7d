"""Holding the accounts rows against what the contracts' own views answer at one final block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from models.chain import encode_chain_record
from models.codec import decode_row
from models.errors import TidemarkError
from models.ids import account_key, split_key
from models.symmio.account import AccountRow, back_to, decode_account
from models.symmio.fold import BadFold
from models.symmio.state import OPEN_STATUSES, PENDING_STATUSES, Balances, state_of_checkpoint
from models.watermarks import decode_watermark
from streams.feed import Feed
from streams.ingest.accounts import find_owners
from streams.ingest.checkpoint import read_checkpoints
from streams.ingest.connect import bootstrap_of, deployment_of, endpoints_of
from streams.ingest.endpoints import Node
from streams.ingest.outlet import Outlet
from streams.ingest.views import ContractViews
from streams.topics import ACCOUNTS, CHAIN_BLOCKS, WATERMARKS, changelog_name, topic_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from models.chain import Checkpoint
    from models.symmio.state import AccountState, Quote
    from streams.ingest.blocks import Header
    from streams.settings import DeploymentSettings, Settings

_ACCOUNTS_AT_ONCE = 50
_LIVE = OPEN_STATUSES | PENDING_STATUSES
_QUOTE_CELLS = (
    "symbol_id", "position_type", "order_type", "status", "party_b", "requested_open_price", "market_price",
    "opened_price", "initial_opened_price", "quantity", "closed_amount", "requested_close_price", "quantity_to_close",
    "locked", "initial_locked", "trading_fee", "deadline_s",
)  # fmt: skip


class NothingToAudit(TidemarkError):
    """The tables hold nothing of the deployment at the block asked for. Let the worker catch up, or name another."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what the contract says. Amounts are 1e18-scaled integers, as texts."""

    account: str
    name: str
    ours: str
    node: str


@dataclass(slots=True)
class Report:
    """What an audit found at ``block``.

    ``skipped`` says of each account that could not be brought back to the block why; ``repaired`` are those for which a
    checkpoint was written, ``unrepaired`` says why one was not.
    """

    block: int
    accounts: int = 0
    unsupported: str | None = None
    differences: list[Difference] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)
    unrepaired: dict[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether everything that was compared agrees."""
        return not self.differences and self.unsupported is None


async def audit(settings: Settings, name: str, *, block: int | None = None, is_repairing: bool = False) -> Report:
    """Compare every account of the deployment ``name`` with the node's views, and name what differs.

    Args:
        settings: Name Kafka and the deployment's endpoints.
        name: The deployment.
        block: A block that is final in the tables; their newest final one where None.
        is_repairing: Write a checkpoint record for every account that differs or is suspect.

    Raises:
        NothingToAudit: The tables do not reach to that block.
        BadSettings: The deployment, its endpoints or Kafka are not configured.
        Refused: The node does not answer; its state of the block may be gone.
    """
    deployment = deployment_of(settings, name)
    bootstrap = bootstrap_of(settings)
    # Watermarks first: rows read later hold at least every block up to them.
    watermarks = [
        decode_watermark(decode_row(value).body)
        for key, value in (await _rows(bootstrap, changelog_name(settings, WATERMARKS))).items()
        if key.decode().rpartition(":")[0] == name
    ]
    final = min((watermark.final for watermark in watermarks), default=-1)
    report = Report(block=final if block is None else block)
    if not 0 <= report.block <= final:
        msg = f"expected {name}'s tables to be final at block {report.block}, found them final up to {final}"
        raise NothingToAudit(msg)
    for watermark in watermarks:
        if watermark.unsupported_since is not None and report.unsupported is None:
            report.unsupported = f"unsupported since block {watermark.unsupported_since}: {watermark.reason}"
    rows = {
        split_key(key)[1]: decode_account(row.body, row.version)
        for key, value in (await _rows(bootstrap, changelog_name(settings, ACCOUNTS))).items()
        if split_key(key)[0] == name
        for row in [decode_row(value)]
    }
    async with aiohttp.ClientSession() as session, Outlet(bootstrap) as outlet:
        endpoints = endpoints_of(session, deployment, lambda: None)
        try:
            auditor = _Auditor(
                Node(name, endpoints, deployment.chain_id), deployment, report, outlet if is_repairing else None
            )
            await auditor.run(rows, topic_name(settings, CHAIN_BLOCKS))
        finally:
            for endpoint in endpoints:
                await endpoint.close()
    return report
