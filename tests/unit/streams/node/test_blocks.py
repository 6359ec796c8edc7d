from __future__ import annotations

from typing import Any

import pytest

from streams.node.blocks import Header, make_blocks, read_header, read_logs, read_optional_header
from streams.node.rpc import BadAnswer
from tests.support.chain import Chain, recorded_chain


def mined(count: int, logs: int = 2) -> Chain:
    chain = Chain()
    chain.mine(count, logs)
    return chain


def test_blocks_hold_their_logs_in_order() -> None:
    chain = mined(3)
    headers = [read_header(block.header()) for block in chain.blocks]
    logs = [log for block in reversed(chain.blocks) for log in reversed(block.logs)]

    blocks = make_blocks(headers, read_logs(logs).logs)

    assert [0, 1, 2] == [block.number for block in blocks]
    assert [[0, 1]] * 3 == [[log.log_index for log in block.logs] for block in blocks]
    assert [chain.blocks[0].hash, chain.blocks[1].hash] == [block.parent for block in blocks[1:]]


def test_removed_logs_are_left_out_and_counted_and_repeated_ones_dropped() -> None:
    kept, removed = mined(1).blocks[0].logs

    found = read_logs([kept, {**removed, "removed": True}, kept])

    assert (1, [0]) == (found.removed, [log.log.log_index for log in found.logs])


def test_hex_is_kept_in_lower_case() -> None:
    log = mined(1).blocks[0].logs[0]

    found = read_logs([{**log, "address": log["address"].upper().replace("0X", "0x")}])

    assert log["address"] == found.logs[0].log.address


@pytest.mark.parametrize(
    ("field", "value"),
    [("logIndex", None), ("data", "0x1"), ("data", "12"), ("topics", ["0x12"]), ("address", "0x"), ("blockHash", "")],
)
def test_a_log_that_is_none_is_a_bad_answer(field: str, value: object) -> None:
    log: dict[str, Any] = {**mined(1).blocks[0].logs[0], field: value}

    with pytest.raises(BadAnswer):
        read_logs([log])


def test_logs_of_another_branch_are_not_put_into_a_block() -> None:
    chain = mined(1)
    header = read_header(chain.blocks[0].header())

    with pytest.raises(BadAnswer, match="expected logs of the blocks asked for"):
        make_blocks([header._replace(hash="0x" + "ab" * 32)], read_logs(list(chain.blocks[0].logs)).logs)


def test_a_block_the_node_does_not_have_is_none() -> None:
    assert read_optional_header(None) is None


@pytest.mark.parametrize("answer", [{}, [], "0x", {"number": None, "hash": "0x", "parentHash": "0x", "timestamp": ""}])
def test_an_answer_that_is_no_block_is_refused(answer: object) -> None:
    with pytest.raises(BadAnswer):
        read_header(answer)


def test_the_recorded_chain_is_continuous() -> None:
    headers = [read_header(block.header()) for block in recorded_chain().blocks]

    assert [Header(*header).hash for header in headers[:-1]] == [header.parent for header in headers[1:]]


def test_logs_that_are_counted_anew_in_every_transaction_are_a_bad_answer_also_where_no_two_claim_one_place() -> None:
    first, second = mined(1).blocks[0].logs
    other = {"transactionIndex": "0x1", "transactionHash": "0x" + "0e" * 32}

    assert 2 == len(read_logs([first, {**second, **other}]).logs)
    with pytest.raises(BadAnswer, match="in the order of its transactions"):
        read_logs([{**first, **other}, second])
    with pytest.raises(BadAnswer, match="in the order of its transactions"):
        read_logs([first, {**second, **other, "transactionIndex": first["transactionIndex"]}])
