"""What is sent between the answer to a login and its snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from api.dialects.bitfinex import socket_session
from api.dialects.bitfinex.api_keys import ApiKey
from tests.support.bitfinex import ACCOUNT, SECRET, Scene
from tests.support.ledger import holdings, wallet

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_the_answer_to_a_login_comes_before_the_snapshots_which_a_key_that_is_taken_back_never_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_session, "_SNAPSHOTS_AFTER_S", 60.0)
    scene = Scene(tmp_path)
    scene.ledger.show(holdings(wallet("100")))
    scene.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,)))
    async with scene.connected() as socket:
        assert "OK" == (await socket.logs_in(1))["status"]
        scene.hold()
        assert aiohttp.WSMsgType.CLOSE == (await socket.ws.receive()).type
