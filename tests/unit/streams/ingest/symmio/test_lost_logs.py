"""Logs that a node leaves out without an error: found again, written anew, decided by receipts, or said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import pytest

from models.chain_records import Block, Rollback, Watermark
from streams.ingest.symmio import resume
from streams.ingest.symmio.branches import DeepReorganisation
from streams.ingest.symmio.chain_journal import Journal
from streams.ingest.symmio.head import Follower
from streams.ingest.symmio.range_reader import NoWitness, RangeReader, Wanted
from streams.node.endpoints import Node
from streams.node.rpc import HttpEndpoint
from streams.settings import Settings, SymmioSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.hostile_node import CHAIN_ID, HostileNode, HostileSession, Traits, View
from tests.support.hostile_runs import HeardDoubts, MemoryWriter
from tests.support.records import surviving_blocks
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from models.chain_records import ChainRecord
    from streams.ingest.symmio.tail import Tail
    from streams.node.rpc import Endpoint

DEPTH = 8
Witness = Literal["off", "share", "all"]


class EditedNode(HostileNode):
    """An honest node, but for what ``edit`` makes of its results."""

    def __init__(self, chain: Chain, edit: Callable[[str, Any, Any], Any]) -> None:
        super().__init__(lambda: View(chain.blocks, {}), Traits(), 1)
        self._edit = edit
        self.asked: list[tuple[str, Any]] = []

    def _result(self, view: View, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - JSON
        self.asked.append((method, params[0] if params else None))
        return self._edit(method, params, super()._result(view, method, params))


class Setup:
    """A chain, ingest that follows it through edited endpoints, and what it wrote."""

    def __init__(
        self,
        chain: Chain,
        *edits: Callable[[str, Any, Any], Any],
        witness: Witness = "all",
        depth: int = DEPTH,
        written: Sequence[ChainRecord] = (),
    ) -> None:
        self.chain = chain
        self.nodes = [EditedNode(chain, edit) for edit in edits]
        session: Any = HostileSession({f"#{at}": node for at, node in enumerate(self.nodes)})
        endpoints: list[Endpoint] = [HttpEndpoint(session, f"#{at}", f"#{at}") for at in range(len(edits))]
        self.node = Node("main", endpoints, CHAIN_ID)
        self.doubts = HeardDoubts()
        self.writer = MemoryWriter()
        self.writer.records += written
        tail = read_back(written)
        tail.begin_at(1)
        deployment = SymmioSettings(
            chain_id=CHAIN_ID, diamond=DIAMOND, start_block=1, finality_depth=depth, witness=witness
        )  # fmt: skip
        journal = Journal(Settings(), "main", self.writer, tail)
        self.follower = Follower(self.node, journal, deployment, self.doubts)

    @property
    def records(self) -> list[ChainRecord]:
        return self.writer.records

    def lost(self) -> list[int]:
        blocks = surviving_blocks(self.records)
        return [
            one.number
            for one in self.chain.blocks[1:]
            if len(one.logs) != (len(blocks[one.number].logs) if one.number in blocks else 0)
        ]

    def reader(self, witness: Any = "all") -> RangeReader:  # noqa: ANN401 - a parameter
        return RangeReader(self.node, Wanted((DIAMOND,)), witness, self.doubts)


def read_back(written: Sequence[ChainRecord]) -> Tail:
    """The topic's end as a start reads it, from as few records as may be enough."""
    window = 2
    while window < len(written) and not resume._is_enough(written[-window:]):
        window *= 2
    return resume._fold(written[-window:])


def mined(count: int) -> Chain:
    chain = Chain()
    chain.mine(count)
    return chain


def honest(_method: str, _params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
    return result


def without(*numbers: int, by: str = "any", times: int = 1_000_000) -> Callable[[str, Any, Any], Any]:
    """Leaves the logs of blocks out of so many answers, by range, by block hash or of any query."""
    left = {"times": times}

    def edit(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        if method != "eth_getLogs" or (by != "any" and (by == "hash") != ("blockHash" in params[0])):
            return result
        kept = [log for log in result if int(log["blockNumber"], 16) not in numbers]
        if len(kept) == len(result) or left["times"] == 0:
            return result
        left["times"] -= 1
        return kept

    return edit


def without_bloom(edit: Callable[[str, Any, Any], Any]) -> Callable[[str, Any, Any], Any]:
    def both(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        result = edit(method, params, result)
        return result | {"logsBloom": "0x"} if method == "eth_getBlockByNumber" and result else result

    return both


def played(setup: Setup, play: Callable[[Setup], Coroutine[Any, Any, None]]) -> Setup:
    run_in_no_time(play(setup), 1e-6)
    return setup


async def followed(setup: Setup, growth: int = DEPTH + 4) -> None:
    """Follow the chain while it grows block by block."""
    for _ in range(growth):
        await setup.follower.advance()
        setup.chain.mine(1)
        await asyncio.sleep(1.0)
    await setup.follower.advance()


def test_a_log_that_the_index_did_not_have_yet_is_asked_for_again_where_the_bloom_hints_at_it() -> None:
    setup = played(Setup(mined(20), without(25, by="hash", times=2)), followed)

    assert [] == setup.lost()
    assert [] == [record for record in setup.records if isinstance(record, Rollback)]


def test_a_block_that_lost_its_logs_is_written_anew_before_it_is_final() -> None:
    setup = played(Setup(mined(20), without_bloom(without(22, by="hash"))), followed)

    assert [] == setup.lost()
    assert 1 == setup.doubts.mended_blocks
    rollback = next(record for record in setup.records if isinstance(record, Rollback))
    assert Rollback(21, setup.chain.blocks[21].hash) == rollback
    before = setup.records[: setup.records.index(rollback)]
    assert all(record.final < 22 for record in before if isinstance(record, Watermark))


def test_a_chain_that_stands_still_is_looked_at_again() -> None:
    async def stood_still(setup: Setup) -> None:
        await followed(setup, 3)
        assert [22] == setup.lost()
        for _ in range(30):
            await asyncio.sleep(1.0)
            await setup.follower.advance()

    setup = played(Setup(mined(20), without_bloom(without(22, by="hash"))), stood_still)

    assert [] == setup.lost()
    assert isinstance(setup.records[-1], Watermark)


def test_a_chain_that_stands_still_costs_fewer_and_fewer_calls() -> None:
    async def stood_still(setup: Setup) -> None:
        await setup.follower.advance()
        setup.nodes[0].asked.clear()
        for _ in range(600):
            await asyncio.sleep(1.0)
            await setup.follower.advance()

    setup = played(Setup(mined(20), honest), stood_still)

    assert sum(method == "eth_getLogs" for method, _ in setup.nodes[0].asked) <= 20


def test_blocks_are_compared_in_groups_so_that_it_costs_few_calls() -> None:
    async def followed_long(setup: Setup) -> None:
        await setup.follower.advance()
        for node in setup.nodes:
            node.asked.clear()
        await followed(setup, 40)

    plain = played(Setup(mined(20), honest, witness="off", depth=16), followed_long)
    witnessed = played(Setup(mined(20), honest, honest, witness="all", depth=16), followed_long)

    calls = [sum(len(node.asked) for node in setup.nodes) for setup in (plain, witnessed)]
    assert calls[1] <= 1.3 * calls[0], calls


def test_a_backend_that_lacks_the_last_block_of_a_range_is_not_believed() -> None:
    def behind(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        if method == "eth_getBlockByNumber" and params[0] == hex(11) and behind_left:
            behind_left.pop()
            return None
        if method == "eth_getLogs" and behind_left:
            return [log for log in result if int(log["blockNumber"], 16) < 5]
        return result

    behind_left = [1, 1]
    setup = played(Setup(mined(20), behind, witness="off"), followed)

    assert [] == setup.lost()


@pytest.mark.parametrize("at", [0, 1])
def test_what_one_of_two_endpoints_leaves_out_of_history_is_found_at_the_other(at: int) -> None:
    edits: list[Callable[[str, Any, Any], Any]] = [honest, honest]
    edits[at] = without(4, 7)
    setup = played(Setup(mined(30), *edits), followed)

    assert [] == setup.lost()
    assert set() == setup.doubts.blocks


def test_what_both_endpoints_leave_out_at_times_is_found_by_asking_again() -> None:
    setup = played(Setup(mined(30), without(4, times=1), without(7, times=1)), followed)

    assert [] == setup.lost()


def test_a_log_that_one_endpoint_makes_up_is_refuted_by_the_receipts() -> None:
    def made_up(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        if method != "eth_getLogs" or not any(log["blockNumber"] == hex(4) for log in result):
            return result
        one = next(log for log in result if log["blockNumber"] == hex(4))
        return [*result, {**one, "logIndex": "0x9"}]

    setup = played(Setup(mined(30), honest, made_up), followed)

    assert [] == setup.lost()
    assert set() == setup.doubts.blocks


def test_receipts_are_read_one_by_one_where_the_node_does_not_tell_a_blocks() -> None:
    def old(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        return None if method == "eth_getBlockReceipts" else without(4)(method, params, result)

    def old_and_whole(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        return None if method == "eth_getBlockReceipts" else result

    setup = played(Setup(mined(30), old, old_and_whole), followed)

    assert [] == setup.lost()
    assert set() == setup.doubts.blocks


def test_where_receipts_do_not_decide_every_log_is_kept_and_it_is_said() -> None:
    def of_its_own_encoding(edit: Callable[[str, Any, Any], Any]) -> Callable[[str, Any, Any], Any]:
        def edited(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
            result = edit(method, params, result)
            is_block = method == "eth_getBlockByNumber" and result
            return result | {"receiptsRoot": "0x" + "00" * 32} if is_block else result

        return edited

    setup = played(Setup(mined(30), of_its_own_encoding(without(4)), of_its_own_encoding(honest)), followed)

    assert [] == setup.lost()
    assert {4} == setup.doubts.blocks


def test_without_a_second_endpoint_blocks_wait_for_a_while_and_then_become_final_with_a_word() -> None:
    def away(method: str, _params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        return result if method == "eth_chainId" else None

    async def read(setup: Setup) -> None:
        reader = setup.reader()
        for _ in range(3):
            with pytest.raises(NoWitness):
                await reader.read(1, 9)
        await asyncio.sleep(60.0)
        assert 9 == len((await reader.read(1, 9)).logs)

    setup = played(Setup(mined(30), honest, away), read)

    assert set(range(1, 10)) == setup.doubts.blocks


def test_a_share_of_ranges_is_read_from_a_second_endpoint() -> None:
    async def read(setup: Setup) -> None:
        reader = setup.reader("share")
        for _ in range(16):
            await reader.read(1, 9)

    setup = played(Setup(mined(30), honest, honest), read)

    assert [30, 2] == [sum(method == "eth_getLogs" for method, _ in node.asked) for node in setup.nodes]


def test_history_whose_logs_and_headers_disagree_is_read_anew_until_they_agree() -> None:
    left = {"times": 12}

    def of_another_branch(method: str, _params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        if method != "eth_getLogs" or left["times"] == 0:
            return result
        left["times"] -= 1
        return [{**log, "blockHash": "0x" + "ab" * 32} if log["blockNumber"] != hex(21) else log for log in result]

    setup = played(Setup(mined(30), of_another_branch, witness="off"), followed)

    assert [] == setup.lost()


def of_its_own_branch(number: int) -> Callable[[str, Any, Any], Any]:
    """From the block ``number`` on, an endpoint is on another branch."""

    def edit(method: str, _params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        if method == "eth_getBlockByNumber" and result and int(result["number"], 16) >= number:
            return result | {
                "hash": "0x" + "cd" * 31 + result["number"][2:].rjust(2, "0"),
                "parentHash": "0x" + "ce" * 32,
            }
        return result

    return edit


class Turning:
    """An edit that becomes another one in the middle of a run."""

    def __init__(self) -> None:
        self.edit: Callable[[str, Any, Any], Any] = honest

    def __call__(self, method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        return self.edit(method, params, result)


def test_an_endpoint_that_alone_left_a_final_block_is_put_aside() -> None:
    chain = mined(40)
    turning = Turning()

    async def turns(setup: Setup) -> None:
        await setup.follower.advance()
        turning.edit = of_its_own_branch(5)
        await followed(setup)

    setup = played(Setup(chain, turning, honest), turns)

    assert [] == setup.lost()
    assert surviving_blocks(setup.records)[chain.head.number].hash == chain.head.hash


def test_a_final_block_that_every_endpoint_left_ends_ingest() -> None:
    chain = mined(40)
    turning = Turning()

    async def turns(setup: Setup) -> None:
        await setup.follower.advance()
        turning.edit = of_its_own_branch(5)
        with pytest.raises(DeepReorganisation, match="finality_depth 8"):
            await followed(setup)
        assert asyncio.get_running_loop().time() < 60

    played(Setup(chain, turning, turning), turns)


def test_nothing_is_final_by_a_head_that_the_chain_does_not_have() -> None:
    leaps = iter([True])

    def leaping(method: str, params: Any, result: Any) -> Any:  # noqa: ANN401 - JSON
        if method == "eth_getBlockByNumber" and params[0] == "latest" and next(leaps, False):
            return result | {"number": hex(1_000), "hash": "0x" + "9" * 64}
        return result

    setup = played(Setup(mined(12), leaping), lambda setup: setup.follower.advance())

    assert [] == setup.lost()
    assert [11 - DEPTH] == sorted({one.final for one in setup.records if isinstance(one, Watermark)} - {0})


def test_wherever_ingest_was_killed_the_next_one_ends_in_the_same_blocks() -> None:
    async def stood_still(setup: Setup) -> None:
        await followed(setup, 6)
        for _ in range(20):
            await asyncio.sleep(1.0)
            await setup.follower.advance()

    lossy = without_bloom(without(22, 24, by="hash"))
    first = played(Setup(mined(20), lossy), stood_still)
    kinds = [type(record) for record in first.records]
    rollback = kinds.index(Rollback)
    assert [Rollback, Block, Block] == kinds[rollback : rollback + 3]
    assert [] == first.lost()

    async def looked_at(setup: Setup) -> None:
        for _ in range(20):
            await setup.follower.advance()
            await asyncio.sleep(1.0)

    for killed_after in range(len(first.records) + 1):
        again = played(Setup(first.chain, lossy, written=first.records[:killed_after]), looked_at)

        assert ([], set()) == (again.lost(), again.doubts.blocks)
        whole, blocks = surviving_blocks(first.records), surviving_blocks(again.records)
        assert {n: block for n, block in whole.items() if block.logs} == {
            n: block for n, block in blocks.items() if block.logs
        }
        finals = [record.final for record in again.records if isinstance(record, Watermark)]
        assert (sorted(finals), first.chain.head.number - DEPTH) == (finals, finals[-1])
