"""The published client as the page loads it, against a socket that the test plays the server of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.browser.scene import Scene
from tests.browser.site import browser, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

# ``sockets`` are those the client opened; ``until`` waits for what is about to be true.
SERVER = """
const { Client, merged } = await import("/dashboard/client/index.js");
const sockets = [];
class Socket {
  constructor(url, protocol) {
    Object.assign(this, { url, protocol, readyState: 1, sent: [] });
    sockets.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.readyState = 3; }
  say(...messages) { this.onmessage({ data: JSON.stringify(messages) }); }
  die(code) { this.readyState = 3; this.onclose({ code, reason: "" }); }
  hello(more = {}) {
    const limits = { messages_per_s: 10, messages_burst: 20, ...more.limits };
    this.say({ type: "hello", heartbeat_ms: 5000, epoch: 1, server_time_ns: "1", auth: "open", ...more, limits });
  }
  ack(request, first = 1, resumed = false) {
    const subs = request.keys.map((key, at) => ({ sub: first + at, channel: request.channel, key, resumed }));
    this.say({ type: "ack", op: "subscribe", id: request.id, subs });
  }
}
const until = async (isTrue) => {
  for (const began = performance.now(); !isTrue(); ) {
    if (performance.now() - began > 5000) throw new Error(`not true: ${isTrue}`);
    await new Promise((done) => setTimeout(done, 5));
  }
};
const states = [];
const started = (more) => {
  const client = new Client("ws://x/v1/ws", { WebSocket: Socket, onState: (s) => states.push(s.name), ...more });
  client.start();
  return client;
};
const asked = (socket, op) => socket.sent.filter((message) => message.op === op);
"""
# ``pass`` lets so many ms pass on the client's clock, which stands still otherwise, until ``goOn``.
STOPPED_CLOCK = """
const now = performance.now, { setTimeout, clearTimeout } = globalThis;
const timers = new Map();
let nowMs = 0, timersMade = 0;
performance.now = () => nowMs;
globalThis.setTimeout = (call, inMs = 0) => timers.set(++timersMade, { atMs: nowMs + inMs, call }) && timersMade;
globalThis.clearTimeout = (timer) => timers.delete(timer);
const goOn = () => {
  performance.now = now;
  Object.assign(globalThis, { setTimeout, clearTimeout });
};
const pass = async (ms) => {
  const untilMs = nowMs + ms;
  for (;;) {
    // What waits for no time is done before any passes.
    await new Promise((done) => setTimeout(done));
    const [next] = [...timers].sort(([, one], [, other]) => one.atMs - other.atMs);
    if (next === undefined || next[1].atMs > untilMs) break;
    timers.delete(next[0]);
    // What waits for a moment that a rounding error parts from now would wait for ever on a clock that stands still.
    nowMs = Math.max(nowMs + 0.001, next[1].atMs);
    next[1].call();
  }
  nowMs = Math.max(nowMs, untilMs);
};
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    async with browser() as chromium, site_of(Scene()) as site:
        opened = await chromium.new_page()
        await opened.goto(f"{site.url}/healthz")
        yield opened


async def run(page: Page, script: str) -> Any:  # noqa: ANN401 - what the script returns
    return await page.evaluate(f"async () => {{ {SERVER} {script} }}")


async def run_on_a_stopped_clock(page: Page, script: str) -> Any:  # noqa: ANN401 - what the script returns
    return await run(page, f"{STOPPED_CLOCK} try {{ {script} }} finally {{ goOn(); }}")


async def test_a_delta_is_applied_only_to_what_it_was_made_from_else_a_snapshot_is_asked_for_once(page: Page) -> None:
    seen = await run(
        page,
        """
        const client = started(), [socket] = sockets, seen = [];
        client.subscribe("account", "main:0xa", ({ data, seq }) => seen.push([seq, data]));
        socket.hello();
        await until(() => socket.sent.length);
        socket.ack(socket.sent[0]);
        const data = { upnl: "1", positions: { 1: {}, 2: {} } };
        socket.say({ type: "snapshot", sub: 1, epoch: 1, seq: [9, 1], data });
        socket.say(
          { type: "delta", sub: 1, prev: [9, 1], seq: [9, 4], data: { upnl: "2", positions: { 2: null } } },
          { type: "delta", sub: 1, prev: [9, 5], seq: [9, 6], data: { upnl: "wrong" } },
          { type: "delta", sub: 1, prev: [9, 6], seq: [9, 7], data: { upnl: "wrong" } },
        );
        const resyncs = asked(socket, "resync");
        socket.say({ type: "snapshot", sub: 1, epoch: 1, seq: [9, 7], data: { upnl: "7" } });
        socket.say({ type: "delta", sub: 1, prev: [9, 7], seq: [9, 8], data: { upnl: "8" } });
        client.stop();
        return [resyncs.map(({ sub }) => sub), ...seen];
        """,
    )

    assert [
        [1],
        [[9, 1], {"upnl": "1", "positions": {"1": {}, "2": {}}}],
        [[9, 4], {"upnl": "2", "positions": {"1": {}}}],
        [[9, 7], {"upnl": "7"}],
        [[9, 8], {"upnl": "8"}],
    ] == seen


async def test_a_lost_connection_comes_back_and_resumes_from_what_is_held(page: Page) -> None:
    resume, seen, states = await run(
        page,
        """
        const client = started(), seen = [];
        client.subscribe("account", "main:0xa", ({ data }) => seen.push(data.upnl));
        sockets[0].hello();
        await until(() => sockets[0].sent.length);
        sockets[0].ack(sockets[0].sent[0], 5);
        sockets[0].say({ type: "snapshot", sub: 5, epoch: 1, seq: [9, 1], data: { upnl: "1" } });
        sockets[0].die(1006);
        await until(() => sockets.length === 2);
        sockets[1].hello();
        await until(() => sockets[1].sent.length);
        sockets[1].ack(sockets[1].sent[0], 1, true);
        sockets[1].say({ type: "delta", sub: 1, prev: [9, 1], seq: [9, 2], data: { upnl: "2" } });
        client.stop();
        return [sockets[1].sent[0].resume, seen, states];
        """,
    )

    assert {"main:0xa": {"epoch": 1, "seq": [9, 1]}} == resume
    assert ["1", "2"] == seen
    assert ["connecting", "live", "waiting", "connecting", "live", "ended"] == states


async def test_it_comes_back_when_the_goodbye_said(page: Page) -> None:
    opened = await run_on_a_stopped_clock(
        page,
        """
        const client = started();
        sockets[0].hello();
        sockets[0].say({ type: "goodbye", reason: "restart", reconnect_in_ms: 700 });
        sockets[0].die(1012);
        const opened = [];
        for (const ms of [0, 699, 1]) {
          await pass(ms);
          opened.push(sockets.length);
        }
        client.stop();
        return opened;
        """,
    )

    assert [1, 1, 2] == opened


async def test_it_does_not_come_back_where_that_would_end_the_same(page: Page) -> None:
    states, sockets = await run(
        page,
        """
        const client = started();
        sockets[0].hello({ auth: "required" });
        const others = started({ token: "x" });
        sockets[1].hello({ auth: "required" });
        const { id } = sockets[1].sent[0];
        sockets[1].say({ type: "error", id, code: "not_authenticated", message: "no", temporary: false });
        await new Promise((done) => setTimeout(done, 600));
        return [states, sockets.length];
        """,
    )

    assert (["connecting", "ended", "connecting", "ended"], 2) == (states, sockets)


async def test_subscriptions_go_together_and_never_faster_than_the_server_takes_them(page: Page) -> None:
    together, sent = await run_on_a_stopped_clock(
        page,
        """
        const client = started(), [socket] = sockets;
        socket.hello({ limits: { messages_per_s: 10, messages_burst: 5 } });
        for (let at = 0; at < 40; at++) client.subscribe("valuations", `main:${at}`, () => {});
        await pass(100);
        const together = socket.sent[0].keys.length;
        for (let at = 0; at < 9; at++) client.subscribe("marks", `x:${at}`, () => {}, { intervalMs: at });
        const sent = [];
        for (let tenths = 2; tenths <= 11; tenths++) {
          await pass(100);
          sent.push(socket.sent.length);
        }
        client.stop();
        return [together, sent];
        """,
    )

    assert 40 == together
    # Of what the server takes it uses four fifths.
    assert all(count <= 0.8 * (5 + 10 * tenths / 10) for tenths, count in enumerate(sent, 2)), sent
    assert 10 == sent[-1]


async def test_what_the_server_did_not_read_is_asked_again(page: Page) -> None:
    asked = await run(
        page,
        """
        const client = started(), [socket] = sockets;
        client.subscribe("marks", "x:1", () => {});
        socket.hello();
        await until(() => socket.sent.length);
        socket.say({ type: "error", code: "too_many_messages", message: "", temporary: true, retry_after_ms: 50 });
        await until(() => socket.sent.length === 2);
        client.stop();
        return socket.sent;
        """,
    )

    assert asked[0] == asked[1]


async def test_listeners_share_a_subscription_that_ends_with_the_last_of_them(page: Page) -> None:
    sent = await run(
        page,
        """
        const client = started(), [socket] = sockets;
        socket.hello();
        const stops = [0, 1].map(() => client.subscribe("marks", "x:1", () => {}));
        await until(() => asked(socket, "subscribe").length);
        stops.forEach((stop) => stop());
        await new Promise((done) => setTimeout(done, 250));
        const early = asked(socket, "unsubscribe").length;
        socket.ack(socket.sent[0], 3);
        await until(() => asked(socket, "unsubscribe").length);
        const stop = client.subscribe("marks", "never:sent", () => {});
        stop();
        client.subscribe("marks", "x:1", () => {});
        await until(() => asked(socket, "subscribe").length === 2);
        client.stop();
        return [early, ...socket.sent.map(({ op, keys, subs }) => [op, keys ?? subs])];
        """,
    )

    assert [0, ["subscribe", ["x:1"]], ["unsubscribe", [3]], ["subscribe", ["x:1"]]] == sent


async def test_a_refusal_reaches_the_listener(page: Page) -> None:
    codes = await run(
        page,
        """
        const client = started(), [socket] = sockets, codes = [];
        client.subscribe("tides", "x", ({ error }) => codes.push(error.code));
        socket.hello();
        await until(() => socket.sent.length);
        socket.say({ type: "error", id: socket.sent[0].id, code: "bad_channel", message: "", temporary: false });
        client.stop();
        return codes;
        """,
    )

    assert ["bad_channel"] == codes


@pytest.mark.parametrize(
    ("text", "digits", "parts"),
    [
        ("-1234567.890000000000000001", 2, ("1,234,567", "89", "0000000000000001")),
        ("0.999", 2, ("0", "99", "9")),
        ("12", 2, ("12", "00", "")),
        ("1000.5", 4, ("1,000", "5000", "")),
    ],
)
async def test_money_is_cut_and_never_rounded(page: Page, text: str, digits: int, parts: tuple[str, str, str]) -> None:
    said = await page.evaluate(
        '(given) => import("/dashboard/decimal.js").then(({ parts }) => parts(...given))', [text, digits]
    )

    assert parts == (said["whole"], said["fraction"], said["rest"])


@pytest.mark.parametrize("text", ["0", "-0.000000000000000001", "123456789012345678901234567890.5", "-7"])
async def test_a_decimal_text_survives_its_way_through_integers(page: Page, text: str) -> None:
    script = '(text) => import("/dashboard/decimal.js").then(({ scaled, unscaled }) => unscaled(scaled(text)))'
    assert text == await page.evaluate(script, text)
