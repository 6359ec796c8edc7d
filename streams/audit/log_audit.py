"""The audit of recorded logs: what ``chain-blocks`` holds of a range of blocks is compared with a node's answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, assert_never

from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark
from streams.audit.account_audit import NothingToAudit
from streams.ingest.symmio.doubts import Doubts
from streams.ingest.symmio.range_reader import NoWitness, RangeReader, Wanted
from streams.ingest.symmio.ranges import LogRange
from streams.ingest.symmio.tail import Tail
from streams.ingest.symmio.topic_records import opened_records
from streams.node.blocks import FoundLog
from streams.node.connect import connected, deployment_of
from streams.node.rpc import RpcError, TooMuch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import ChainRecord
    from streams.ingest.symmio.told_logs import ToldLogs
    from streams.settings import Settings, SymmioSettings


class LogDifference(NamedTuple):
    """A log that only one side has: ``where`` is ``recorded`` or ``node``."""

    block: int
    block_hash: str
    tx: str
    log_index: int
    where: str


@dataclass(slots=True)
class LogReport:
    """What was found in the blocks from ``first`` to ``last``.

    ``logs`` counts those that both sides have. ``skipped`` says of each range of blocks that was not compared, or is
    not proven, why.
    """

    first: int
    last: int
    logs: int = 0
    differences: list[LogDifference] = field(default_factory=list)
    skipped: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether all that was compared agrees."""
        return not self.differences

    @property
    def is_complete(self) -> bool:
        """Whether every block was compared and is proven."""
        return not self.skipped


class _Recorded:
    """Folds a deployment's records into the logs of the blocks of a range that stand, and what was never recorded."""

    def __init__(self, first: int, last: int, start: int) -> None:
        self._first, self._last = first, last
        self._blocks: dict[int, Block] = {}
        self._tail = Tail()
        self._tail.begin_at(start)
        self.gaps: list[tuple[int, int]] = [(0, start - 1)] if start > 0 else []

    @property
    def final(self) -> int:
        return self._tail.final

    def take(self, record: ChainRecord) -> None:
        match record:
            case Block():
                if self._first <= record.number <= self._last:
                    self._blocks[record.number] = record
            case Rollback():
                self._blocks = {number: one for number, one in self._blocks.items() if number <= record.ancestor}
            case Join():
                # Checkpoints stand for the blocks that were not read.
                self.gaps.append((self._tail.covered + 1, record.block))
            case Watermark() | Joined() | Checkpoint():
                pass
            case _:
                assert_never(record)
        self._tail.apply(record)

    def logs(self, first: int, last: int) -> ToldLogs:
        return frozenset(
            FoundLog(block.number, block.hash, log)
            for block in self._blocks.values()
            if first <= block.number <= last
            for log in block.logs
        )

    def unrecorded(self) -> list[tuple[int, int]]:
        return [
            (max(first, self._first), min(last, self._last))
            for first, last in self.gaps
            if first <= last and first <= self._last and last >= self._first
        ]


class _ReportedDoubts(Doubts):
    """Puts what is not proven into the report as well."""

    def __init__(self, deployment: str, report: LogReport) -> None:
        super().__init__(deployment)
        self._report = report

    def undecided(self, number: int, reason: str) -> None:
        super().undecided(number, reason)
        self._report.skipped[number, number] = f"answers differ: {reason}"

    def unwitnessed(self, first: int, last: int, reason: str) -> None:
        super().unwitnessed(first, last, reason)
        self._report.skipped[first, last] = f"no second endpoint answered: {reason}"


async def audit_logs(settings: Settings, name: str, first: int, last: int) -> LogReport:
    """Compare the logs that were recorded of a range of blocks with a node's.

    Args:
        settings: Name Kafka and the deployment's endpoints.
        name: The deployment.
        first: Number of the first block, 0 or more.
        last: Number of the last block, not below ``first``; blocks above the final one are left out and said.

    Returns:
        What differs, log by log.

    Raises:
        NothingToAudit: None of the blocks is final in the topic.
        BadSettings: The deployment, its endpoints or Kafka are not configured.
        TopicMissing: There is no ``chain-blocks``.
    """
    deployment = deployment_of(settings, name)
    recorded = _Recorded(first, last, deployment.start_block or 0)
    async with opened_records(settings, settings.bootstrap, name) as topic:
        async for record in topic.since(topic.begin):
            recorded.take(record)
    if first > recorded.final:
        msg = f"expected {name}'s blocks from {first} on to be final in chain-blocks, found {recorded.final} final"
        raise NothingToAudit(msg)
    report = LogReport(first, min(last, recorded.final))
    if report.last < last:
        report.skipped[report.last + 1, last] = f"not final yet; the newest final block is {recorded.final}"
    for gap in recorded.unrecorded():
        report.skipped[gap] = "never recorded: history begins later, or a join stands for it"
    await _compare(name, deployment, recorded, report)
    return report


async def _compare(name: str, deployment: SymmioSettings, recorded: _Recorded, report: LogReport) -> None:
    wanted = Wanted((deployment.diamond, *deployment.multi_accounts))
    unrecorded = recorded.unrecorded()
    async with connected(name, deployment) as node:
        reader = RangeReader(node, wanted, deployment.witness, _ReportedDoubts(name, report))
        width = LogRange(name)
        first = report.first
        while first <= report.last:
            end = width.end(first, report.last)
            ours = recorded.logs(first, end)
            try:
                told = await _read(reader, first, end, ours)
            except RpcError as error:
                if isinstance(error, TooMuch) and first < end:
                    width.narrow(first, end, error)
                    continue
                report.skipped[first, end] = f"expected the node to answer, found: {error}"
            else:
                theirs = frozenset(log for log in told if not _is_in(log.number, unrecorded))
                report.logs += len(ours & theirs)
                report.differences += _differences(ours, theirs)
                width.widen(len(theirs))
            first = end + 1


async def _read(reader: RangeReader, first: int, end: int, ours: ToldLogs) -> Sequence[FoundLog]:
    backoff = Backoff(0.5, 5.0)
    while True:
        try:
            return (await reader.read(first, end, ours)).logs
        except NoWitness:
            await asyncio.sleep(backoff.next_s())


def _is_in(number: int, ranges: list[tuple[int, int]]) -> bool:
    return any(first <= number <= last for first, last in ranges)


def _differences(ours: ToldLogs, theirs: ToldLogs) -> list[LogDifference]:
    sides = (("recorded", ours - theirs), ("node", theirs - ours))
    return sorted(
        LogDifference(log.number, log.block_hash, log.log.tx, log.log.log_index, where)
        for where, logs in sides
        for log in logs
    )
