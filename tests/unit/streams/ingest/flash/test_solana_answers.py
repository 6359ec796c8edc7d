"""What a node answers or tells in another shape is refused."""

from __future__ import annotations

from typing import Any

import pytest

from streams.ingest.flash.solana_answers import clock_unix_s, read_accounts, read_notification, read_programme_accounts
from streams.node.rpc import BadAnswer
from tests.support.flash import OWNER, PROGRAMME


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        {"value": []},
        {"context": {"slot": -1}, "value": []},
        {"context": {"slot": 2**63}, "value": []},
        {"context": {"slot": True}, "value": []},
        {"context": {"slot": 1}, "value": None},
        {"context": {"slot": 1}, "value": [{"pubkey": "0", "account": {}}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": None}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": {"lamports": 1, "owner": "x", "data": []}}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": {
            "lamports": 1, "owner": PROGRAMME, "data": ["!", "base64"]}}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": {
            "lamports": 1, "owner": "x", "data": ["", "base64"]}}]},
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_is_refused(result: Any) -> None:  # noqa: ANN401
    with pytest.raises(BadAnswer):
        read_programme_accounts(result)


def test_an_answer_with_other_than_so_many_accounts_is_refused() -> None:
    with pytest.raises(BadAnswer, match="expected 2 accounts or nulls, found 1"):
        read_accounts([OWNER, PROGRAMME], {"context": {"slot": 1}, "value": [None]})
    seen = read_accounts([OWNER], {"context": {"slot": 1}, "value": [None]}).accounts[OWNER]
    assert (seen.data, seen.slot) == (None, 1)
    with pytest.raises(BadAnswer, match="the clock"):
        clock_unix_s(seen)


@pytest.mark.parametrize("message", [{}, {"method": "rootNotification"}, {"method": "slotNotification", "params": {}}])
def test_a_notification_of_another_shape_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="expected a notification"):
        read_notification(message, {})
