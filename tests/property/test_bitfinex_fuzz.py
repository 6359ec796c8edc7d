"""Whatever a client sends to ``/ws/2``: it is answered or closed with a code, nobody else notices, nothing leaks."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.dialects.bitfinex.api_keys import ApiKey
from models.money import E18
from streams.settings import ApiLimitSettings, ApiSettings
from tests.support.bitfinex import ACCOUNT, SECRET, SYMBOL_SETTINGS, Scene, Socket, signed
from tests.support.faults import nothing_fails
from tests.support.ledger import holdings, order, position, wallet

# With no limit on messages the drawn ones are all read; each login needs a nonce of its own.
PLENTY = ApiSettings(
    drain_s=0.05,
    limits=ApiLimitSettings(
        messages_per_s=1_000_000,
        messages_burst=1_000_000,
        connection_attempts_per_s=1_000_000,
        requests_per_s=1_000_000,
        requests_burst=1_000_000,
        failed_authentications_per_minute=1_000_000,
    ),
)
CODES = {WSCloseCode.POLICY_VIOLATION, WSCloseCode.UNSUPPORTED_DATA, WSCloseCode.MESSAGE_TOO_BIG, 1007}
HELD = holdings(wallet("100"), wallet("5", "BTC", "exchange"), position("0.2", "153.71"), order(9, "1", "10"))
EDGES = (
    "", "[", "{", "null", "7", "[]", "{}", '"x"', "NaN", "1e400", "[" * 3_000, '{"event":' * 2_000, '"\\ud800"',
    '{"event":"auth"}', '{"event":"conf"}', '{"event":"subscribe"}', '{"event":"unsubscribe","chanId":true}', "[0]",
    '[0,"calc"]', '[0,"calc",null,null]', '[0.0,"calc",null,[["balance"]]]', '[false,"calc",null,[["balance"]]]',
    '{"event":"ping","cid":1e400}', '{"event":"ping","cid":' + "9" * 400 + "}", '{"event":"conf","flags":true}',
    '{"event":"conf","flags":-1}', '{"event":"conf","flags":' + "9" * 30 + "}", '{"event":"auth","event":"ping"}',
)  # fmt: skip
NAMES = ("event", "apiKey", "authNonce", "authPayload", "authSig", "filter", "subId", "channel", "symbol", "key", "cid",
         "flags", "chanId", "pair", "calc", "dms")  # fmt: skip
WORDS = ("auth", "unauth", "conf", "ping", "subscribe", "unsubscribe", "ticker", "status", "deriv:tBTCUSD", "tBTCUSD",
         "tBTCF0:USTF0", "k1", "calc", "on", "balance", "margin_base", "wallet_margin_USD", "position_tBTCUSD",
         "margin_sym_tBTCUSD", "margin_sym_", "funding_sym_f", "position_:", "wallet_margin_", "trading", "notify",
         "wallet-margin-USD", "\u0000", "\U0001f600" * 70, "a" * 3_000)  # fmt: skip

a_leaf = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(0, 2**17), st.floats(), st.sampled_from(WORDS),
    st.text(max_size=8),
)  # fmt: skip
a_json = st.recursive(
    a_leaf,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
an_event = st.dictionaries(st.sampled_from(NAMES), a_json, max_size=5).flatmap(
    lambda fields: st.sampled_from(WORDS[:6]).map(lambda event: {**fields, "event": event})
)
an_input = st.tuples(st.just(0), st.sampled_from(("calc", "calc", "on")), a_json, st.lists(a_json, max_size=40))
# A good signature over what is said: only who has the secret comes so far, and he may say anything beside it.
a_login = st.fixed_dictionaries({}, optional={"filter": a_json, "subId": a_json, "dms": a_json, "calc": a_json})
a_frame = st.one_of(
    a_login.map(lambda more: ("login", more)),
    st.one_of(an_event, an_event, an_input, a_json).map(lambda said: ("says", json.dumps(said))),
    st.sampled_from(EDGES).map(lambda text: ("says", text)),
)


async def is_heard(socket: Socket) -> bool:
    """Whether the connection still answers; where it was closed, it was with a code that is documented."""
    await socket.ws.send_str('{"event":"ping","cid":"still there"}')
    while True:
        async with asyncio.timeout(60):
            message = await socket.ws.receive()
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED}:
            assert socket.ws.close_code in CODES, message
            return False
        frame = json.loads(message.data)
        assert SECRET not in message.data.split('"')
        if isinstance(frame, dict) and frame.get("cid") == "still there":
            return True


async def attack(frames: list[tuple[str, Any]], directory: Path) -> None:
    scene = Scene(directory)
    scene.api = PLENTY
    scene.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,)), k2=ApiKey("other", "bob", (ACCOUNT,)))
    scene.ledger.refer("symbol:tBTCUSD", SYMBOL_SETTINGS)
    scene.ledger.mark("tBTCUSD", 150 * E18)
    scene.ledger.show(HELD)
    async with scene.serving() as client, scene.socket(client) as calm:
        assert "OK" == (await calm.logs_in(1, key="k2", secret="other"))["status"]
        async with scene.socket(client) as socket:
            for nonce, (what, said) in enumerate(frames, 1):
                await socket.ws.send_str(json.dumps(signed(nonce, **said)) if what == "login" else said)
                if not await is_heard(socket):
                    break
        await calm.asks("balance")
        assert "bu" == (await calm.hears_of("bu"))[1]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example([("says", one) for one in EDGES])
@example([("login", {}), *(("says", one) for one in EDGES)])
@given(st.lists(a_frame, min_size=1, max_size=8))
def test_whatever_a_client_says_is_answered_or_closed_with_a_code_and_nobody_else_notices(
    frames: list[tuple[str, Any]],
) -> None:
    with nothing_fails(), tempfile.TemporaryDirectory() as directory:
        asyncio.run(attack(frames, Path(directory)))
