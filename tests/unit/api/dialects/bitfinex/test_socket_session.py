"""One connection: what a client sends, and every frame that comes of it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from pydantic import SecretStr

from api.dialects.bitfinex.api_keys import ApiKey
from models.money import E18
from models.prices import Mark, encode_mark
from streams.settings import AuthSettings, TokenKeySettings
from tests.support.bitfinex import ACCOUNT, KEY, NOW_MS, SECRET, Scene, signed, types
from tests.support.bitfinex_holdings import HELD, fill
from tests.support.feed import valuation_body
from tests.support.ledger import holdings, order, position, wallet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    fill(made)
    return made


def changed(kind: str, **what: Any) -> dict[str, Any]:  # noqa: ANN401 - what a happening holds
    return {"kind": kind, "seq": 1, "time_ms": 5, "cause": "x", **msgspec.to_builtins(what)}


async def test_a_connection_begins_with_an_info_of_version_2_and_answers_pings_and_conf_before_a_login(
    scene: Scene,
) -> None:
    async with scene.connected() as socket:
        info = await socket.hears()
        assert (2, {"status": 1}) == (info["version"], info["platform"])
        await socket.say({"event": "ping", "cid": 1234})
        assert 1234 == (await socket.hears())["cid"]
        await socket.say({"event": "ping"})
        assert {"event", "ts"} == (await socket.hears()).keys()
        await socket.say({"event": "conf", "flags": 65_536})
        assert {"event": "conf", "status": "OK", "flags": 65_536} == await socket.hears()
        await socket.say({"event": "conf", "flags": 7})
        assert 10_050 == (await socket.hears())["code"]


async def test_a_login_is_followed_by_the_snapshots_with_calculated_fields_null(scene: Scene) -> None:
    async with scene.connected() as socket:
        answer = await socket.logs_in(5, subId="mine")
        assert ("OK", 0, "mine") == (answer["status"], answer["chanId"], answer["subId"])
        assert {"read": 1, "write": 0} == answer["caps"]["positions"]
        frames = [await socket.hears() for _ in range(6)]
    assert ["ps", "ws", "os", "fos", "fcs", "fls"] == types(frames)
    (shown,) = frames[0][2]
    assert ["tBTCUSD", "ACTIVE", 0.2, 153.71, 0, 0, None, None, None, None] == shown[:10]
    assert 20 == len(shown)
    assert [["margin", "USD", 100, 0, None, None, None], ["exchange", "BTC", 5, 0, None, None, None]] == frames[1][2]
    assert (9, "tBTCUSD", "EXCHANGE LIMIT", 32) == (*[frames[2][2][0][at] for at in (0, 3, 8)], len(frames[2][2][0]))


async def test_each_of_the_six_calculations_is_answered_with_its_ordinary_frame(scene: Scene) -> None:
    async with scene.logged_in() as socket:
        await socket.asks(
            "position_tBTCUSD", "margin_base", "margin_sym_tBTCUSD", "funding_sym_fUSD", "wallet_margin_USD", "balance"
        )
        frames = [await socket.hears() for _ in range(6)]
    assert ["pu", "miu", "miu", "fiu", "wu", "bu"] == types(frames)
    # The venue's own published sample, to the last digit.
    assert [-0.07944800000000068, -0.05855181835925015] == frames[0][2][6:8]
    assert "base" == frames[1][2][0]
    balance, net = frames[1][2][1][2:4]
    assert (100, pytest.approx(100 - 0.079448)) == (balance, net)
    assert ("sym", "tBTCUSD", 8) == (*frames[2][2][:2], len(frames[2][2][2]))
    assert ["sym", "fUSD", [0, 0, 0, 0]] == frames[3][2]
    assert 7 == len(frames[4][2])
    assert frames[4][2][4] is not None
    assert 2 == len(frames[5][2])


async def test_what_happens_comes_in_order_and_numbered_for_the_auditor(scene: Scene) -> None:
    async with scene.connected() as socket:
        await socket.say({"event": "conf", "flags": 65_536})
        await socket.logs_in(1)
        snapshots = [await socket.hears() for _ in range(6)]
        assert [[at, 0] for at in range(1, 7)] == [frame[3:] for frame in snapshots]
        scene.ledger.show(HELD, changed("wallet_changed", wallet=wallet("7")))
        bought = position("0.3", "150", symbol="tETHUSD")
        scene.ledger.show(
            HELD,
            changed("position_opened", position=bought),
            changed("notified", notice={"type": "deposit", "text": "came"}),
            changed("account_doubted", suspect="gap"),
            changed("position_closed", position=position("0", "150", symbol="tETHUSD")),
        )
        frames = [await socket.hears() for _ in range(4)]
    assert ["wu", "pn", "n", "pc"] == types(frames)
    assert [[7, 1], [8, 2], [9, 2], [10, 3]] == [frame[3:] for frame in frames]
    assert ("CLOSED", 0) == (frames[3][2][1], frames[3][2][2])
    assert 8 == len(frames[2][2])


async def test_after_missed_events_there_are_new_snapshots(scene: Scene) -> None:
    async with scene.logged_in() as socket:
        scene.ledger.show(HELD, *[changed("wallet_changed", wallet=wallet(str(n))) for n in range(9)], kept=3)
        frames = [await socket.hears() for _ in range(6)]
        assert ["ps", "ws", "os", "fos", "fcs", "fls"] == types(frames)
        scene.ledger.show(HELD, changed("wallet_changed", wallet=wallet("7")), kept=3)
        assert "wu" == (await socket.hears())[1]


async def test_filters_and_permissions_leave_out_what_is_not_named(scene: Scene) -> None:
    scene.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,), ("wallets", "positions")))
    async with scene.connected() as socket:
        await socket.logs_in(1, filter=["wallet-margin-USD", "trading", "notify"])
        ps, ws = await socket.hears(), await socket.hears()
        assert (["ps", "ws"], 1) == (types([ps, ws]), len(ws[2]))
        scene.ledger.show(
            HELD,
            changed("wallet_changed", wallet=wallet("5", "BTC", "exchange")),
            changed("order_opened", order=order(3, "1", "2")),
            changed("wallet_changed", wallet=wallet("7")),
        )
        assert ["wu", "margin"] == [(frame := await socket.hears())[1], frame[2][0]]
        # It was asked for, so filters do not matter; the key's permissions do.
        await socket.asks("wallet_exchange_BTC", "funding_sym_fUSD", "margin_base")
        assert ["wu", "miu"] == types([await socket.hears(), await socket.hears()])


async def test_a_key_that_opens_only_wallets_is_not_told_in_words_what_its_positions_do(scene: Scene) -> None:
    scene.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,), ("wallets",)), k2=ApiKey(SECRET, "bob", (ACCOUNT,)))
    async with scene.serving() as client, scene.socket(client) as narrow, scene.socket(client) as whole:
        await narrow.logs_in(1)
        await narrow.hears_of("ws")
        await whole.logs_in(1, key="k2")
        await whole.hears_of("fls")
        told = changed("notified", notice={"type": "info", "text": "your position tBTCUSD is liquidated"})
        scene.ledger.show(HELD, told, changed("wallet_changed", wallet=wallet("7")))
        assert ["wu"] == types([await narrow.hears()])
        assert ["n", "wu"] == types([await whole.hears(), await whole.hears()])


@pytest.mark.parametrize(
    ("frame", "code", "text"),
    [
        (signed(9, key="k9"), 10_100, "apikey: invalid"),
        (signed(9, secret="other"), 10_100, "apikey: digest invalid"),
        (signed(3), 10_114, "nonce: small"),
        (signed(4), 10_114, "nonce: small"),
        ({"event": "auth"}, 10_100, "apikey: invalid"),
    ],
)
async def test_a_refused_login_has_the_venues_code_and_leaves_the_connection_open(
    scene: Scene, frame: dict[str, Any], code: int, text: str
) -> None:
    async with scene.serving() as client:
        async with scene.socket(client) as socket:
            assert "OK" == (await socket.logs_in(4))["status"]
        async with scene.socket(client) as socket:
            await socket.say(frame)
            answer = await socket.hears_of("auth")
            assert ("FAILED", code, text) == (answer["status"], answer["code"], answer["msg"])
            assert "OK" == (await socket.logs_in(10))["status"]


async def test_a_frame_that_was_captured_is_worthless_on_another_replica_and_after_a_restart(tmp_path: Path) -> None:
    first = Scene(tmp_path)
    async with first.logged_in(7):
        other = Scene(tmp_path, first.nonces)
        async with other.connected() as socket:
            assert 10_114 == (await socket.logs_in(7))["code"]
    restarted = Scene(tmp_path, first.nonces)
    async with restarted.connected() as socket:
        assert 10_114 == (await socket.logs_in(7))["code"]
        assert "OK" == (await socket.logs_in(8))["status"]


async def test_a_frame_that_was_captured_stays_worthless_after_its_section_is_renamed_and_at_one_with_the_same_keys(
    tmp_path: Path,
) -> None:
    first = Scene(tmp_path)
    async with first.logged_in(7):
        pass
    async with Scene(tmp_path, first.nonces, named="renamed").connected() as socket:
        assert 10_114 == (await socket.logs_in(7))["code"]


async def test_a_second_login_is_told_so_and_unauth_makes_room_for_another(scene: Scene) -> None:
    async with scene.logged_in(1) as socket:
        await socket.say(signed(2))
        assert {"event": "error", "msg": "auth: dup", "code": 10_100} == await socket.hears()
        await socket.say({"event": "unauth"})
        assert {"event": "unauth", "status": "OK", "chanId": 0} == await socket.hears()
        await socket.asks("balance")
        assert {"event": "error", "msg": "auth: invalid", "code": 10_100} == await socket.hears()
        await socket.say({"event": "unauth"})
        assert 10_200 == (await socket.hears())["code"]
        assert "OK" == (await socket.logs_in(3))["status"]


async def test_31_keys_are_one_error_and_unknown_ones_are_silence_or_an_error_as_the_settings_say(
    tmp_path: Path,
) -> None:
    for unknown in ("silence", "error"):
        made = Scene(tmp_path, unknown=unknown)
        fill(made)
        async with made.logged_in() as socket:
            await socket.asks(*[f"position_tS{number}" for number in range(31)])
            assert {"event": "error", "msg": "calc: limit", "code": 10_020} == await socket.hears()
            await socket.asks("position_tNONE", "nonsense", "wallet_margin_XYZ", "balance")
            frames = [await socket.hears() for _ in range(1 if unknown == "silence" else 4)]
            assert "bu" == frames[-1][1]
            assert {10_001} >= {frame["code"] for frame in frames[:-1]}


async def test_the_third_overflow_in_ten_seconds_closes_the_socket_and_others_go_on(scene: Scene) -> None:
    scene.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,)), k2=ApiKey(SECRET, "bob", (ACCOUNT,)))
    async with scene.serving() as client, scene.socket(client) as flood, scene.socket(client) as calm:
        await flood.logs_in(1)
        await calm.logs_in(1, key="k2")
        for burst in range(5):
            await flood.asks(*[f"position_tS{burst}x{number}" for number in range(30)])
        codes = [(await flood.hears_of("error"))["code"] for _ in range(3)]
        assert [10_008] * 3 == codes
        assert aiohttp.WSMsgType.CLOSE == (await flood.ws.receive()).type
        assert 1_008 == flood.ws.close_code
        await calm.asks("balance")
        assert "bu" == (await calm.hears_of("bu"))[1]


async def test_a_key_that_is_taken_back_closes_its_sockets_and_a_broken_file_changes_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.logged_in() as socket:
        scene.keys.write_text('{"keys": {"k1": {"secret": "very secret", "usr": 1}}}')
        await socket.say({"event": "ping"})
        assert "pong" == (await socket.hears())["event"]
        scene.hold()
        assert aiohttp.WSMsgType.CLOSE == (await socket.ws.receive()).type
    assert "very secret" not in caplog.text


async def test_secrets_and_signatures_stand_in_no_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scene.connected() as socket:
        frame = signed(1, apiSecret=SECRET + "-in-clear")
        for sent in (frame, {**frame, "authNonce": {}}, "{" + SECRET + "-in-clear"):
            await socket.say(sent)
        await socket.hears_of("error")
    assert SECRET + "-in-clear" not in caplog.text
    assert frame["authSig"] not in caplog.text


@pytest.mark.parametrize(
    "sent", ["", "[", "7", "[]", '{"event":7}', '{"event":"x"}', "null", "[0]", '[1,"calc",null,[]]']
)
async def test_whatever_else_is_sent_is_answered_with_an_error(scene: Scene, sent: str) -> None:
    async with scene.logged_in() as socket:
        await socket.say(sent)
        assert 10_000 == (await socket.hears())["code"]
        await socket.say([0, "on", None, {"symbol": "tBTCUSD"}])
        assert 10_001 == (await socket.hears())["code"]


async def test_a_ticker_and_a_status_show_marks_and_unknown_channels_are_refused_with_their_request(
    scene: Scene,
) -> None:
    async with scene.connected() as socket:
        await socket.hears()
        await socket.say({"event": "subscribe", "channel": "ticker", "symbol": "tBTCUSD"})
        told = await socket.hears()
        assert ("subscribed", "BTCUSD", 1) == (told["event"], told["pair"], told["chanId"])
        assert [1, [None] * 6 + [153.62] + [None] * 3] == await socket.hears()
        scene.ledger.mark("tBTCUSD", 160 * E18)
        assert 160 == (await socket.hears())[1][6]
        await socket.say({"event": "subscribe", "channel": "status", "key": "deriv:tBTCUSD"})
        assert "deriv:tBTCUSD" == (await socket.hears())["key"]
        status = await socket.hears()
        assert (23, 160, 160) == (len(status[1]), status[1][2], status[1][14])
        for request, code in (
            ({"channel": "ticker", "symbol": "tBTCUSD"}, 10_301),
            ({"channel": "ticker", "symbol": "tNONE"}, 10_300),
            ({"channel": "book", "symbol": "tBTCUSD"}, 10_302),
        ):
            await socket.say({"event": "subscribe", **request})
            refused = await socket.hears_of("error")
            assert (code, request["channel"]) == (refused["code"], refused["channel"])
        await socket.say({"event": "unsubscribe", "chanId": 1})
        assert {"event": "unsubscribed", "status": "OK", "chanId": 1} == await socket.hears_of("unsubscribed")
        await socket.say({"event": "unsubscribe", "chanId": 1})
        assert 10_401 == (await socket.hears_of("error"))["code"]


async def test_a_mark_that_cannot_be_read_is_unknown_to_a_channel_and_the_next_one_is_shown(scene: Scene) -> None:
    async with scene.connected() as socket:
        await socket.say({"event": "subscribe", "channel": "ticker", "symbol": "tBTCUSD"})
        await socket.hears_of("subscribed")
        assert 153.62 == (await socket.hears())[1][6]
        scene.tables.marks.put("bitfinex:tBTCUSD", 1_000, {"nonsense": 1})
        assert [1, [None] * 10] == await socket.hears()
        scene.tables.marks.put("bitfinex:tBTCUSD", 1_001, encode_mark(Mark(E18, None, None, None, NOW_MS, NOW_MS, 1)))
        assert 1 == (await socket.hears())[1][6]


async def test_a_restart_is_told_and_closes_with_1012(scene: Scene) -> None:
    async with scene.serving() as client, scene.socket(client) as socket:
        await socket.logs_in(1)
        await socket.hears_of("fls")
        closing = asyncio.create_task(client.server.close())
        assert 20_051 == (await socket.hears())["code"]
        assert aiohttp.WSMsgType.CLOSE == (await socket.ws.receive()).type
        assert 1_012 == socket.ws.close_code
        await closing


async def test_two_logins_of_different_keys_see_their_own_accounts_alone(scene: Scene) -> None:
    scene.hold(**{KEY: ApiKey(SECRET, "alice", (ACCOUNT,)), "k2": ApiKey(SECRET, "bob", ("desk:u2",))})
    scene.ledger.show(holdings(wallet("3")), account="desk:u2")
    async with scene.serving() as client, scene.socket(client) as one, scene.socket(client) as two:
        await one.logs_in(1)
        await two.logs_in(1, key="k2")
        assert 100 == (await one.hears_of("ws"))[2][0][2]
        assert 3 == (await two.hears_of("ws"))[2][0][2]
        scene.ledger.show(HELD, changed("wallet_changed", wallet=wallet("42")))
        scene.ledger.show(HELD, changed("wallet_changed", wallet=wallet("43")), account="desk:u2")
        assert 42 == (await one.hears_of("wu"))[2][2]
        assert 43 == (await two.hears_of("wu"))[2][2]


async def test_after_too_many_refused_logins_an_address_is_told_so_and_a_good_one_is_accepted_all_the_same(
    scene: Scene,
) -> None:
    async with scene.connected() as socket:
        answers = [await socket.logs_in(number, secret="other") for number in range(1, 13)]
        assert "apikey: digest invalid" == answers[0]["msg"]
        assert "rate: limit" == answers[-1]["msg"]
        assert "OK" == (await socket.logs_in(50))["status"]


async def test_a_key_logs_in_so_often_a_minute_and_a_captured_frame_uses_none_of_it_up(tmp_path: Path) -> None:
    made = Scene(tmp_path, logins_per_minute=2)
    made.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,)), k2=ApiKey(SECRET, "alice", (ACCOUNT,)))
    async with made.serving() as client:
        for nonce, told in ((1, "OK"), (1, "nonce: small"), (1, "nonce: small"), (2, "OK"), (3, "rate: limit")):
            async with made.socket(client) as socket:
                answer = await socket.logs_in(nonce)
                assert told == answer.get("msg", answer["status"])
        async with made.socket(client) as socket:
            assert "OK" == (await socket.logs_in(1, key="k2"))["status"]


async def test_after_a_happening_that_cannot_be_read_new_snapshots_show_what_came_of_it(scene: Scene) -> None:
    async with scene.logged_in() as socket:
        scene.ledger.show(holdings(wallet("7")), {"kind": "wallet_changed"})
        assert 7 == (await socket.hears_of("ws"))[2][0][2]
        await socket.hears_of("fls")
        scene.ledger.show(HELD, changed("wallet_changed", wallet=wallet("8")))
        frame = await socket.hears()
        assert ("wu", 8) == (frame[1], frame[2][2])


async def test_where_reading_is_not_open_prices_that_a_login_subscribed_to_end_with_it(tmp_path: Path) -> None:
    tokens = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr("x" * 32))})
    made = Scene(tmp_path, auth=tokens)
    fill(made)
    ticker = {"event": "subscribe", "channel": "ticker", "symbol": "tBTCUSD"}
    async with made.connected() as socket:
        await socket.say(ticker)
        assert 10_300 == (await socket.hears_of("error"))["code"]
        await socket.logs_in(1)
        await socket.hears_of("fls")
        await socket.say(ticker)
        number = (await socket.hears_of("subscribed"))["chanId"]
        assert number == (await socket.hears())[0]
        await socket.say({"event": "unauth"})
        await socket.hears_of("unauth")
        made.ledger.mark("tBTCUSD", 170 * E18)
        await socket.say({"event": "unsubscribe", "chanId": number})
        assert 10_401 == (await socket.hears())["code"]


async def test_a_ledgers_account_that_changed_hands_is_shown_to_its_former_owner_no_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.dialects.bitfinex.socket_endpoint._OWNERS_EVERY", 1)
    scene.hold(k1=ApiKey(SECRET, "alice", ("desk:owner=alice",)), k2=ApiKey(SECRET, "bob", (ACCOUNT,)))
    scene.tables.valuations.put(ACCOUNT, 1, valuation_body(owner="alice"))
    async with scene.serving() as client, scene.socket(client) as former, scene.socket(client) as direct:
        assert "OK" == (await former.logs_in(1))["status"]
        assert "OK" == (await direct.logs_in(1, key="k2"))["status"]
        await former.hears_of("fls")
        await direct.hears_of("fls")
        scene.tables.valuations.put(ACCOUNT, 2, valuation_body(owner="bob"))
        assert aiohttp.WSMsgType.CLOSE == (await former.ws.receive()).type
        assert 1_008 == former.ws.close_code
        await direct.asks("balance")
        assert "bu" == (await direct.hears())[1]
