"""The published clients' protocol, in both languages, fed with frames and with times."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.published_cores import LANGUAGES, published_cores
from tests.unit.tidemark_client.messages import HELLO, KEY, ack, delta, error, frame, snapshot
from tidemark_client import Core

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.published_cores import PublishedCore

Begin = Callable[..., "Talk"]
NS_A_S = 1_000_000_000


class Talk:
    """A core, what the test says to it, and what it did, at a time that the test sets."""

    def __init__(self, core: PublishedCore, token: str | None) -> None:
        self.core = core
        self.now_s = 100.0
        self.actions: list[dict[str, Any]] = []
        if token is not None:
            core.use_token(token)
        self.did(self.core.start(self.now_s))

    def did(self, actions: Iterable[dict[str, Any]]) -> None:
        self.actions += actions

    def hear(self, *messages: dict[str, Any]) -> None:
        self.did(self.core.receive(self.now_s, frame(*messages)))

    def lose(self, code: int | None = None) -> None:
        self.did(self.core.lost(self.now_s, "gone", code))

    def after(self, seconds: float) -> None:
        self.now_s += seconds
        self.did(self.core.tick(self.now_s))

    def until_wake(self) -> float:
        """Let what is due next happen, and return how long that took, in s."""
        before_s, self.now_s = self.now_s, self.core.wake_s
        self.did(self.core.tick(self.now_s))
        return self.now_s - before_s

    def subscribe(self, *keys: str, channel: str = "account", interval_ms: int = 100) -> None:
        self.core.subscribe(self.now_s, channel, [*keys], interval_ms)

    def follow(self, *messages: dict[str, Any]) -> Talk:
        """Follow ``KEY``, of which these messages come."""
        self.subscribe(KEY)
        self.hear(HELLO)
        self.hear(ack(self.last["id"]), *messages)
        return self

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(action["text"]) for action in self.all("send")]

    @property
    def last(self) -> dict[str, Any]:
        return self.sent[-1]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [action for action in self.actions if action["do"] == kind]

    @property
    def status(self) -> dict[str, Any]:
        return self.all("status")[-1]

    @property
    def held(self) -> object:
        return self.core.held("account", KEY)


@pytest.fixture(scope="module", params=LANGUAGES)
def begin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    with published_cores(request.param, tmp_path_factory.mktemp("client")) as make:
        yield lambda token=None: Talk(make(), token)


def test_deltas_that_follow_what_is_held_are_applied(begin: Begin) -> None:
    talk = begin().follow(
        snapshot(1, upnl="1", owner="x"), delta(1, 4, upnl="2"), delta(4, 5, owner=None, status="valued")
    )

    assert (1, [1, 5], {"upnl": "2", "status": "valued"}) == talk.held
    patches = [action["patch"] for action in talk.all("changed")]
    assert [None, {"upnl": "2"}, {"owner": None, "status": "valued"}] == patches
    assert [] == talk.all("gap")


def test_a_gap_is_told_and_asked_for_once_and_ends_with_the_snapshot(begin: Begin) -> None:
    talk = begin().follow(snapshot(1, upnl="1"), delta(2, 3, upnl="3"), delta(3, 4, upnl="4"))
    assert (1, [1, 1], {"upnl": "1"}) == talk.held
    resync = talk.last
    talk.hear({"type": "ack", "op": "resync", "id": resync["id"]}, delta(4, 6, upnl="6"))
    talk.hear(snapshot(6, upnl="6"), delta(6, 7, upnl="7"))

    assert ["subscribe", "resync"] == [request["op"] for request in talk.sent]
    assert 7 == resync["sub"]
    assert (1, [1, 7], {"upnl": "7"}) == talk.held
    assert [{"do": "gap", "channel": "account", "key": KEY}] == talk.all("gap")


def test_a_delta_after_the_epoch_changed_is_a_gap(begin: Begin) -> None:
    talk = begin().follow(snapshot(1, upnl="1"))
    talk.lose()
    talk.until_wake()
    talk.hear({**HELLO, "epoch": 2})
    talk.hear(ack(talk.last["id"], resumed=True), delta(1, 2, upnl="2"))

    assert [{"do": "gap", "channel": "account", "key": KEY}] == talk.all("gap")


def test_what_is_held_is_offered_when_it_comes_back(begin: Begin) -> None:
    talk = begin().follow(snapshot(3, upnl="1"))
    talk.subscribe("main:0x0")
    talk.subscribe(KEY, channel="valuations")
    talk.lose(1006)
    talk.until_wake()
    talk.hear(HELLO)

    of_account, of_valuations = talk.sent[-2:]
    assert {KEY: {"epoch": 1, "seq": [1, 3]}} == of_account["resume"]
    assert {} == of_valuations["resume"]


def test_a_key_is_one_subscription_in_whatever_spelling(begin: Begin) -> None:
    talk = begin()
    talk.subscribe(KEY.replace("ab", "aB"), KEY.replace("ab", "AB"))
    talk.hear(HELLO)
    talk.hear(ack(talk.last["id"]), snapshot(1, upnl="1"))

    assert [[KEY.replace("ab", "aB")]] == [request["keys"] for request in talk.sent]
    assert (1, [1, 1], {"upnl": "1"}) == talk.held == talk.core.held("account", KEY.upper())
    assert [KEY] == [action["key"] for action in talk.all("changed")]


def test_accounts_that_differ_in_case_alone_are_two_unless_they_are_addresses(begin: Begin) -> None:
    talk = begin()
    talk.subscribe("paper:Alice", "paper:alice", "Paper:alice")
    talk.hear(HELLO)
    subs = [
        {"sub": 1, "channel": "account", "key": "paper:Alice"},
        {"sub": 2, "channel": "account", "key": "paper:alice"},
    ]
    talk.hear({**ack(talk.last["id"]), "subs": subs}, snapshot(1, sub=1, upnl="1"), snapshot(2, sub=2, upnl="2"))

    assert ["paper:Alice", "paper:alice"] == talk.last["keys"]
    assert (1, [1, 1], {"upnl": "1"}) == talk.core.held("account", "paper:Alice")
    assert (1, [1, 2], {"upnl": "2"}) == talk.core.held("account", "paper:alice")


def test_a_key_that_its_venue_spells_by_a_rule_of_its_own_is_known_by_its_place(begin: Begin) -> None:
    talk = begin()
    talk.subscribe("paper:alice", "paper:bob")
    talk.hear(HELLO)
    subs = [
        {"sub": 1, "channel": "account", "key": "paper:ALICE"},
        {"sub": 2, "channel": "account", "key": "paper:BOB"},
    ]
    talk.hear({**ack(talk.last["id"]), "subs": subs}, snapshot(2, sub=2, upnl="2"))
    talk.core.unsubscribe(talk.now_s, "account", ["paper:bob"])
    talk.after(0.1)

    assert ["paper:bob"] == [action["key"] for action in talk.all("changed")]
    assert ("unsubscribe", [2]) == (talk.last["op"], talk.last["subs"])
    assert "live" == talk.status["name"]


def test_a_number_that_belongs_to_no_key_that_was_asked_for_is_nobodys(begin: Begin) -> None:
    talk = begin()
    talk.subscribe("paper:alice", "paper:bob")
    talk.hear(HELLO)
    subs = [{"sub": 1, "channel": "account", "key": "paper:BOTH"}]
    talk.hear({**ack(talk.last["id"]), "subs": subs}, snapshot(1, sub=1, upnl="1"))

    assert [] == talk.all("changed")
    assert "live" == talk.status["name"]


def test_what_is_not_known_is_passed_over(begin: Begin) -> None:
    talk = begin().follow({"type": "news", "sub": 99}, {"type": "heartbeat"}, {"type": "ack", "op": "ping", "id": 3})

    assert talk.held is None
    assert "live" == talk.status["name"]


def test_what_is_wanted_at_the_same_time_is_asked_for_together(begin: Begin) -> None:
    talk = begin().follow()
    for number in range(300):
        talk.subscribe(f"main:0x{number}")
    talk.subscribe(KEY, interval_ms=0)
    assert 1 == len(talk.sent)
    talk.after(0.1)

    assert [(250, 100), (50, 100), (1, 0)] == [(len(sent["keys"]), sent["interval_ms"]) for sent in talk.sent[1:]]


def test_it_asks_no_faster_than_the_server_reads(begin: Begin) -> None:
    talk = begin().follow()
    for number in range(50):
        talk.subscribe(f"main:0x{number}", interval_ms=number)
    began_s = talk.now_s
    while len(talk.sent) < 51:
        assert len(talk.sent) <= 0.8 * (20 + 10 * (talk.now_s - began_s)) + 1
        talk.until_wake()
        talk.hear(*(ack(request["id"], key=request["keys"][0]) for request in talk.sent))

    assert 4 < talk.now_s - began_s < 5


def test_what_the_server_did_not_read_is_asked_again_when_it_said(begin: Begin) -> None:
    talk = begin().follow()
    for key in ("main:0x1", "main:0x2"):
        talk.subscribe(key, interval_ms=int(key[-1]))
    talk.after(0.1)
    too_many = error("too_many_messages", temporary=True, retry_after_ms=700)
    talk.hear(too_many, ack(talk.last["id"], sub=8, key="main:0x2"))
    talk.after(0.69)
    assert 3 == len(talk.sent)
    talk.after(0.2)

    assert talk.sent[1] == talk.sent[3]
    assert 4 == len(talk.sent)


def test_a_bad_key_costs_no_other_key_its_place(begin: Begin) -> None:
    talk = begin()
    keys = [f"main:0x{number:040x}" for number in range(5)]
    talk.subscribe(*keys)
    talk.hear(HELLO)
    answered, sub = 0, 0
    while answered < len(talk.sent):
        request = talk.sent[answered]
        answered += 1
        if keys[3] in request["keys"]:
            talk.hear(error("bad_key", id=request["id"]))
            continue
        sub += 1
        subs = [{"sub": sub, "channel": "account", "key": key, "interval_ms": 100} for key in request["keys"]]
        talk.hear({"type": "ack", "op": "subscribe", "id": request["id"], "subs": subs})

    assert [[keys[3]]] == [action["keys"] for action in talk.all("refused")]
    assert talk.core.is_settled


def test_what_is_no_longer_wanted_is_given_up_and_what_still_comes_of_it_is_nobodys(begin: Begin) -> None:
    talk = begin().follow(snapshot(1, upnl="1"))
    talk.core.unsubscribe(talk.now_s, "account", [KEY])
    talk.after(0.1)
    unsubscribe = talk.last
    talk.hear(delta(1, 2, upnl="2"), {"type": "ack", "op": "unsubscribe", "id": unsubscribe["id"]})

    assert ("unsubscribe", [7]) == (unsubscribe["op"], unsubscribe["subs"])
    assert talk.held is None
    assert "live" == talk.status["name"]
    assert talk.core.is_settled


def test_what_is_given_up_before_it_was_acknowledged_is_given_up_then(begin: Begin) -> None:
    talk = begin()
    talk.subscribe(KEY)
    talk.hear(HELLO)
    talk.core.unsubscribe(talk.now_s, "account", [KEY])
    talk.after(0.1)
    assert ["subscribe"] == [request["op"] for request in talk.sent]
    talk.hear(ack(talk.last["id"]), snapshot(1))
    talk.after(0.1)

    assert ["subscribe", "unsubscribe"] == [request["op"] for request in talk.sent]
    assert [] == talk.all("changed")


def test_a_state_that_belongs_to_nothing_ends_the_connection_and_not_the_client(begin: Begin) -> None:
    talk = begin().follow(snapshot(1, upnl="1"), snapshot(1, sub=99))

    assert ("waiting", 1) == (talk.status["name"], len(talk.all("disconnect")))


@pytest.mark.parametrize("text", ["<html>", '{"type":"hello"}', "[1", ""])
def test_a_frame_that_is_not_of_the_protocol_ends_the_connection_and_not_the_client(begin: Begin, text: str) -> None:
    talk = begin().follow(snapshot(1, upnl="1"))
    talk.did(talk.core.receive(talk.now_s, text))

    assert "waiting" == talk.status["name"]
    assert talk.status["reason"].startswith("expected a frame that is an array of messages, found")
    assert 1 == len(talk.all("disconnect"))
    assert (1, [1, 1], {"upnl": "1"}) == talk.held


def test_a_request_that_is_not_answered_ends_the_connection(begin: Begin) -> None:
    talk = begin()
    talk.subscribe(KEY)
    talk.hear(HELLO)
    for _ in range(3):
        talk.after(4.9)
        talk.hear({"type": "heartbeat"})
    assert "live" == talk.status["name"]
    talk.after(0.4)

    assert "a request was not answered within 15 s" == talk.status["reason"]


@pytest.mark.parametrize(("heard", "silence_s"), [([], 10), ([HELLO], 15), ([{**HELLO, "heartbeat_ms": 1_000}], 3)])
def test_a_server_that_falls_silent_is_left(begin: Begin, heard: list[dict[str, Any]], silence_s: float) -> None:
    talk = begin()
    if heard:
        talk.hear(*heard)

    assert silence_s == talk.until_wake()
    assert 1 == len(talk.all("disconnect"))
    assert ("waiting", "no word from the server") == (talk.status["name"], talk.status["reason"])


def test_a_server_that_is_not_there_is_tried_less_and_less_often(begin: Begin) -> None:
    talk, waited_s = begin(), list[float]()
    for _ in range(12):
        talk.lose()
        waited_s.append(talk.until_wake())

    assert waited_s[0] == pytest.approx(0.25)
    assert all(later == pytest.approx(min(15, 2 * sooner)) for sooner, later in pairwise(waited_s))
    assert 13 == len(talk.all("connect"))


def test_waits_are_spread_over_half_of_their_length() -> None:
    def wait_s(spread: float) -> float:
        core = Core(spread=lambda: spread)
        core.start(0.0)
        core.lost(0.0, "gone")
        return core.wake_s

    assert (0.125, 0.25) == (wait_s(0), wait_s(1))


def test_the_wait_is_short_again_only_after_a_hello_that_let_it_in(begin: Begin) -> None:
    talk = begin("t")
    for _ in range(3):
        talk.lose()
        talk.until_wake()
        talk.hear({**HELLO, "auth": "required"})
    talk.lose()
    assert 2 == pytest.approx(talk.until_wake())
    talk.hear(HELLO)
    talk.lose()

    assert 0.25 == pytest.approx(talk.until_wake())


def test_it_comes_back_after_a_goodbye_when_it_was_told_to(begin: Begin) -> None:
    talk = begin().follow()
    talk.hear({"type": "goodbye", "reason": "restart", "reconnect_in_ms": 3_000})
    talk.after(1)
    talk.lose(1012)

    assert 2 == pytest.approx(talk.until_wake())
    assert 2 == len(talk.all("connect"))


def test_a_goodbye_that_is_not_followed_by_a_close_is_followed_all_the_same(begin: Begin) -> None:
    talk = begin().follow()
    talk.hear({"type": "goodbye", "reason": "rebalance", "reconnect_in_ms": 3_000})

    assert 3 == pytest.approx(talk.until_wake())
    assert ["disconnect", "status", "connect"] == [action["do"] for action in talk.actions[-3:]]


@pytest.mark.parametrize("code", [4409, 4429])
def test_a_crowded_server_is_given_the_longest_time(begin: Begin, code: int) -> None:
    talk = begin().follow()
    talk.lose(code)

    assert 15 == pytest.approx(talk.until_wake())


def test_it_waits_at_least_as_long_as_a_refused_handshake_said() -> None:
    core = Core(spread=lambda: 1.0)
    core.start(0.0)
    core.lost(0.0, "the server answered 503", retry_after_s=7)

    assert 7 == pytest.approx(core.wake_s)


@pytest.mark.parametrize("code", [1002, 1007, 1008, 1009, 4400, 4401, 4403])
def test_it_does_not_come_back_where_that_would_end_the_same(begin: Begin, code: int) -> None:
    talk = begin().follow()
    talk.lose(code)

    assert ("ended", code) == (talk.status["name"], talk.status["code"])
    assert math.inf == talk.core.wake_s
    talk.did(talk.core.start(talk.now_s))
    assert 2 == len(talk.all("connect"))


def test_a_token_is_sent_first_where_one_is_required_and_nowhere_else(begin: Begin) -> None:
    required, is_open = begin("t"), begin("t")
    for talk, auth in ((required, "required"), (is_open, "open")):
        talk.subscribe(KEY)
        talk.hear({**HELLO, "auth": auth})

    assert [("auth", "t")] == [(request["op"], request["token"]) for request in required.sent]
    assert ["subscribe"] == [request["op"] for request in is_open.sent]
    required.hear({"type": "ack", "op": "auth", "id": required.last["id"]})
    assert "subscribe" == required.last["op"]


def test_without_a_token_it_ends_where_one_is_required(begin: Begin) -> None:
    talk = begin()
    talk.hear({**HELLO, "auth": "required"})

    assert ("the server wants a token", 4401) == (talk.status["reason"], talk.status["code"])
    assert "ended" == talk.status["name"]
    assert 1 == len(talk.all("disconnect"))


def test_a_token_that_is_refused_ends_it_and_another_one_does_not(begin: Begin) -> None:
    talk = begin("bad")
    talk.hear({**HELLO, "auth": "required"})
    talk.hear(error("not_authenticated", id=talk.last["id"]))
    assert ("ended", 4401) == (talk.status["name"], talk.status["code"])

    talk.did(talk.core.start(talk.now_s))
    talk.hear({**HELLO, "auth": "required"})
    talk.core.use_token("better")
    talk.hear(error("not_authenticated", id=talk.last["id"]))
    assert "waiting" == talk.status["name"]
    talk.until_wake()
    talk.hear({**HELLO, "auth": "required"})
    assert "better" == talk.last["token"]


def test_it_comes_back_later_where_it_may_not_authenticate_yet(begin: Begin) -> None:
    talk = begin("t")
    talk.hear({**HELLO, "auth": "required"})
    talk.hear(error("not_authenticated", id=talk.last["id"], temporary=True, retry_after_ms=20_000))

    assert "waiting" == talk.status["name"]
    assert 20 == pytest.approx(talk.until_wake())


def test_another_token_is_sent_before_the_one_in_use_expires_as_soon_as_there_is_one(
    begin: Begin,
) -> None:
    talk = begin("first")
    talk.hear({**HELLO, "auth": "required"})
    talk.hear({"type": "ack", "op": "auth", "id": talk.last["id"], "expires_ns": str((1 + 120) * NS_A_S)})
    for _ in range(18):
        talk.after(5)
        talk.hear({"type": "heartbeat"})
    assert 1 == len(talk.sent)
    talk.core.use_token("second")
    talk.after(5)

    assert ["first", "second"] == [request["token"] for request in talk.sent]


def test_after_its_token_expired_it_comes_back_with_another_one(begin: Begin) -> None:
    talk = begin("first")
    talk.hear({**HELLO, "auth": "required"})
    talk.hear({"type": "ack", "op": "auth", "id": talk.last["id"]})
    talk.core.use_token("second")
    talk.lose(4401)

    assert "waiting" == talk.status["name"]


def test_stopping_disconnects_for_good(begin: Begin) -> None:
    talk = begin().follow(snapshot(1))
    talk.did(talk.core.stop())

    assert ["disconnect", "status"] == [action["do"] for action in talk.actions[-2:]]
    assert ("ended", "stopped") == (talk.status["name"], talk.status["reason"])
    assert math.inf == talk.core.wake_s


def test_what_is_waited_for_can_be_tried_at_once(begin: Begin) -> None:
    talk = begin()
    talk.did(talk.core.retry(talk.now_s))
    assert 1 == len(talk.all("connect"))
    talk.lose()
    talk.did(talk.core.retry(talk.now_s))

    assert 2 == len(talk.all("connect"))
