"""The reader of ranges of final blocks: it does not take an answer for whole because nobody said that it is not.

* Logs and the header of the range's last block are asked for in one batch: a backend that is behind has no such header.
* Every range is read twice. The second reading is another endpoint's for every range or for a share of them
  (``witness``); otherwise anybody's, since behind one URL there may be several backends. What lacks something is asked
  again; what stays different is decided by receipts; where these cannot, every log that was told of is kept, and that
  is said.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter

from models.errors import TidemarkError
from streams.ingest.symmio.receipts import Undecided, proven_logs
from streams.ingest.symmio.told_logs import disputed, lacking, union
from streams.node.blocks import FoundLog, Header, read_logs, read_optional_header
from streams.node.rpc import BadAnswer, RpcError, TooMuch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Literal

    from models.chain_records import RawLog
    from streams.ingest.symmio.doubts import Doubts
    from streams.ingest.symmio.told_logs import ToldLogs
    from streams.node.endpoints import Node
    from streams.node.rpc import Call

REMOVED_LOGS = Counter("tidemark_chain_removed_logs_total", "Logs a node said were removed.", ("deployment",))

# One range in so many is another endpoint's to read where witness is "share".
_SHARE = 8
# An index that lags has caught up within a few looks; what differs after these is another kind of fault.
_LOOKS = 4
_READINGS = 5
# One that refuses half of what it is asked answers each part of a range in so many tries.
_WITNESS_TRIES = 8
# With witness = "all", blocks become final without a second endpoint only after it has been away for so long.
_WITNESS_PATIENCE_S = 60.0


class NoWitness(TidemarkError):
    """No second endpoint answers at the moment; the range is to be read again later."""


class Wanted(NamedTuple):
    """Which logs are asked for: of which contracts and, unless empty, with which first topics."""

    addresses: tuple[str, ...]
    topics: tuple[str, ...] = ()

    def query(self) -> dict[str, object]:
        """Return the query's ``address`` and ``topics``."""
        return {"address": list(self.addresses)} | ({"topics": [list(self.topics)]} if self.topics else {})

    def has(self, log: RawLog) -> bool:
        """Tell whether a log is one of those."""
        is_of_topic = not self.topics or (bool(log.topics) and log.topics[0] in self.topics)
        return log.address in self.addresses and is_of_topic


class LogsOfRange(NamedTuple):
    """The logs of a range of blocks in chain order, and the header of its last block."""

    logs: list[FoundLog]
    edge: Header


class _Answer(NamedTuple):
    logs: ToldLogs
    edge: Header
    label: str


class RangeReader:
    """Reads the logs of ranges of blocks, as the setting ``witness`` asks for.

    Args:
        node: Where the chain is read.
        wanted: Which logs.
        witness: For which ranges the second reading is another endpoint's, where there is one; ``off`` for one reading.
        doubts: Is told what was not proven.
    """

    def __init__(self, node: Node, wanted: Wanted, witness: Literal["off", "share", "all"], doubts: Doubts) -> None:
        self._node = node
        self._wanted = wanted
        self._witness = witness
        self._doubts = doubts
        self._ranges = 0
        self._alone_since_s: float | None = None
        self._waited_for = -1

    async def read(self, first: int, last: int, written: ToldLogs = frozenset()) -> LogsOfRange:
        """Read the logs of a range.

        Args:
            first: Number of its first block.
            last: Number of its last block, not below ``first``; the node's head is at or above it.
            written: What the topic holds of these blocks already.

        Raises:
            TooMuch: The range is to be divided.
            NoWitness: No second endpoint answers at the moment, and the setting asks for one.
            RpcError: No endpoint in order answers.
        """
        self._ranges += 1
        answer, witness = await self._answers(first, last)
        answers = [answer] if witness is None else [answer, witness]
        told = await self._looked_again(answers, written)
        taken = union([*told, written])
        for number in disputed(told, written):
            try:
                proven = await proven_logs(self._node, number, self._wanted.has)
            except Undecided as error:
                self._doubts.undecided(number, str(error))
            else:
                self._doubts.decided(number)
                taken = frozenset(log for log in taken if log.number != number) | proven
        return LogsOfRange(sorted(taken, key=lambda log: (log.number, log.log.log_index)), answer.edge)

    async def _answers(self, first: int, last: int) -> tuple[_Answer, _Answer | None]:
        is_anothers = self._node.endpoints > 1 and (self._witness == "all" or self._ranges % _SHARE == 1)
        backoff = Backoff(0.5, 5.0)
        readings = 0
        while True:
            answer = await self._ask(first, last, than=())
            if self._witness == "off":
                return answer, None
            witness = await self._ask_witness(first, last, answer.label, is_anothers=is_anothers)
            if witness is None or witness.edge.hash == answer.edge.hash:
                return answer, witness
            reason = f"block {last} is {answer.edge.hash} at {answer.label}, {witness.edge.hash} at {witness.label}"
            self._doubts.apart(first, last, reason)
            readings += 1
            if readings == _READINGS:
                self._without_witness(first, last, reason)
                return answer, None
            await asyncio.sleep(backoff.next_s())

    async def _ask_witness(self, first: int, last: int, asked: str, *, is_anothers: bool) -> _Answer | None:
        if not is_anothers:
            return await self._read_again(first, last)
        try:
            witness = await self._divided(first, last, than=(asked,))
        except RpcError as error:
            self._without_witness(first, last, str(error))
            return await self._read_again(first, last)
        # What comes before the blocks that a witness is waited for is read again each time.
        if last >= self._waited_for:
            self._alone_since_s = None
        self._doubts.witnessed(first, last)
        return witness

    async def _read_again(self, first: int, last: int) -> _Answer | None:
        try:
            return await self._divided(first, last, than=())
        except RpcError as error:
            self._doubts.unwitnessed(first, last, str(error))
            return None

    def _without_witness(self, first: int, last: int, reason: str) -> None:
        if self._alone_since_s is None:
            self._alone_since_s, self._waited_for = asyncio.get_running_loop().time(), last
        if self._witness == "all" and not self._is_patience_over():
            msg = f"expected a second endpoint to tell the logs of blocks {first} to {last}, found none: {reason}"
            raise NoWitness(msg)
        self._doubts.unwitnessed(first, last, reason)

    def _is_patience_over(self) -> bool:
        since_s = self._alone_since_s
        return since_s is not None and asyncio.get_running_loop().time() - since_s >= _WITNESS_PATIENCE_S

    async def _looked_again(self, answers: Sequence[_Answer], written: ToldLogs) -> list[ToldLogs]:
        """Ask again whoever lacks a log that another one has; what was told once counts on."""
        told = [answer.logs for answer in answers]
        backoff = Backoff(0.25, 1.0)
        for _ in range(_LOOKS):
            if not (places := lacking(told, written)):
                break
            await asyncio.sleep(backoff.next_s())
            numbers = disputed(told, written)
            for place in places:
                own = answers[place].label
                others = [answer.label for answer in answers if answer.label != own]
                try:
                    again = await self._divided(numbers[0], numbers[-1], than=others)
                except RpcError:
                    continue
                told[place] |= again.logs
        return told

    async def _divided(self, first: int, last: int, than: Collection[str]) -> _Answer:
        try:
            return await self._insisted(first, last, than)
        except TooMuch:
            if first == last:
                raise
        middle = (first + last) // 2
        lower, upper = await self._divided(first, middle, than), await self._divided(middle + 1, last, than)
        return upper._replace(logs=lower.logs | upper.logs)

    async def _insisted(self, first: int, last: int, than: Collection[str]) -> _Answer:
        """Ask several times, but once where a witness has been away for long."""
        backoff = Backoff(0.25, 2.0)
        tries_left = 1 if self._is_patience_over() else _WITNESS_TRIES
        while True:
            tries_left -= 1
            try:
                return await self._ask(first, last, than)
            except TooMuch:
                raise
            except RpcError:
                if not tries_left:
                    raise
            await asyncio.sleep(backoff.next_s())

    async def _ask(self, first: int, last: int, than: Collection[str]) -> _Answer:
        query = {"fromBlock": hex(first), "toBlock": hex(last), **self._wanted.query()}
        calls: list[Call] = [("eth_getLogs", [query]), ("eth_getBlockByNumber", [hex(last), False])]
        (logs, edge), label = await self._node.ask_elsewhere(
            calls, lambda results: self._read(first, last, results), than=than, is_divisible=last > first
        )
        return _Answer(logs, edge, label)

    def _read(self, first: int, last: int, results: Sequence[object]) -> tuple[ToldLogs, Header]:
        edge = read_optional_header(results[1])
        if edge is None or edge.number != last:
            msg = f"expected block {last} where its logs are, found no such block: this backend is behind"
            raise BadAnswer(msg)
        found = read_logs(results[0])
        REMOVED_LOGS.labels(self._node.deployment).inc(found.removed)
        for log in found.logs:
            if not first <= log.number <= last or (log.number == last and log.block_hash != edge.hash):
                msg = f"expected logs of blocks {first} to {last}, found one of block {log.number} {log.block_hash}"
                raise BadAnswer(msg)
        return frozenset(log for log in found.logs if self._wanted.has(log.log)), edge
