// Scenes of the published client whose callbacks throw, stop it and leave, over sockets that the scene speaks through.
import assert from "node:assert/strict";

const [, , module, wanted] = process.argv;
const { Client } = await import(module);

const reported = [];
process.on("uncaughtException", (error) => reported.push(error.message));

const KEYS = ["demo:0x" + "a".repeat(40), "demo:0x" + "b".repeat(40)];
const HELLO = {
  type: "hello",
  protocol: "tidemark.v1.json",
  connection: "test",
  server_time_ns: "0",
  heartbeat_ms: 60_000,
  epoch: 1,
  auth: "open",
  limits: { subscriptions: 100, message_bytes: 65_536, messages_per_s: 1_000, messages_burst: 1_000 },
};

class Socket {
  static made = [];
  static #waiting = [];
  readyState = 1;
  asked = [];
  #asking = [];
  onmessage = this.onclose = this.onerror = null;

  constructor(url) {
    if (url.startsWith("bad:")) throw new SyntaxError("bad address");
    Socket.made.push(this);
    for (const tell of Socket.#waiting.splice(0)) tell();
  }

  static async nth(count) {
    while (Socket.made.length < count) await new Promise((tell) => Socket.#waiting.push(tell));
    return Socket.made[count - 1];
  }

  send(text) {
    this.asked.push(JSON.parse(text));
    for (const tell of this.#asking.splice(0)) tell();
  }

  async request(count) {
    while (this.asked.length < count) await new Promise((tell) => this.#asking.push(tell));
    return this.asked[count - 1];
  }

  close() {
    this.readyState = 3;
  }

  say(...messages) {
    this.onmessage?.({ data: JSON.stringify(messages) });
  }

  drop(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }

  /** Answer the request for keys of accounts with numbers of subscriptions, and a state of each. */
  grant({ id, keys, channel }, upnl) {
    const subs = keys.map((key, at) => ({ channel, key, sub: at + 1 }));
    const states = subs.map(({ sub }) => ({ type: "snapshot", sub, epoch: 1, seq: [1, 1], data: { upnl } }));
    this.say({ type: "ack", op: "subscribe", id, subs }, ...states);
  }
}

function throwing(what) {
  return () => {
    throw new Error(what);
  };
}

const scenes = {
  async "a callback that throws keeps no other action from being done"() {
    const names = ["onState", "onHello", "onHeartbeat", "onFrame", "onMessage"];
    const on = Object.fromEntries(names.map((name) => [name, throwing(name)]));
    const client = new Client("ws://test", { WebSocket: Socket, ...on });
    const told = [];
    client.subscribe("account", KEYS[0], throwing("first listener"));
    client.subscribe("account", KEYS[0], ({ data }) => told.push(data.upnl));
    client.subscribe("account", KEYS[1], ({ data }) => told.push(data.upnl));
    client.start();
    const socket = await Socket.nth(1);
    socket.say(HELLO);
    socket.grant(await socket.request(1), "1");
    assert.deepEqual(told, ["1", "1"]);
    socket.drop();
    const next = await Socket.nth(2);
    next.say(HELLO);
    next.grant(await next.request(1), "2");
    assert.deepEqual(told, ["1", "1", "2", "2"]);
    client.stop();
    await Promise.resolve();
    assert.deepEqual(new Set(reported), new Set(["onState", "onHello", "onFrame", "onMessage", "first listener"]));
  },

  async "a listener that throws at what stands already is subscribed, and can leave"() {
    const client = new Client("ws://test", { WebSocket: Socket });
    client.subscribe("account", KEYS[0], () => {});
    client.start();
    const socket = await Socket.nth(1);
    socket.say(HELLO);
    socket.grant(await socket.request(1), "1");
    const stop = client.subscribe("account", KEYS[0], throwing("late"));
    stop();
    await Promise.resolve();
    assert.deepEqual(reported, ["late"]);
    client.stop();
  },

  async "a token that cannot be had keeps nobody from coming back"() {
    let asked = 0;
    const token = () => {
      asked += 1;
      throw new Error("no token");
    };
    const client = new Client("ws://test", { WebSocket: Socket, token });
    client.start();
    const socket = await Socket.nth(1);
    socket.say(HELLO);
    socket.drop();
    const next = await Socket.nth(2);
    next.say({ ...HELLO, auth: "required" });
    assert.ok(asked > 0);
    client.stop();
  },

  async "a socket that cannot be made is tried again"() {
    const states = [];
    const client = new Client("bad:address", { WebSocket: Socket, onState: ({ name }) => states.push(name) });
    client.start();
    client.retry();
    client.stop();
    await Promise.resolve();
    assert.deepEqual(states, ["connecting", "waiting", "connecting", "waiting", "ended"]);
    assert.deepEqual(reported, ["bad address", "bad address"]);
  },

  async "stop called as it connects opens no socket"() {
    const states = [];
    const client = new Client("ws://test", {
      WebSocket: Socket,
      onState: ({ name }) => {
        states.push(name);
        if (name === "connecting") client.stop();
      },
    });
    client.start();
    assert.deepEqual(states, ["connecting", "ended"]);
    assert.equal(Socket.made.length, 0);
  },

  async "stop called by any callback ends it, and nothing more is told"() {
    for (const place of ["onState", "onHello", "onFrame", "onMessage", "listener"]) {
      const told = [];
      let client = null;
      const stop = (name) => () => {
        told.push(name);
        if (name === place) client.stop();
      };
      const on = Object.fromEntries(["onHello", "onFrame", "onMessage"].map((name) => [name, stop(name)]));
      const onState = ({ name }) => {
        told.push(name);
        if (place === "onState" && name === "live") client.stop();
      };
      client = new Client("ws://test", { WebSocket: Socket, ...on, onState });
      client.subscribe("account", KEYS[0], stop("listener"));
      client.subscribe("account", KEYS[1], () => told.push("another"));
      const before = Socket.made.length;
      client.start();
      const socket = await Socket.nth(before + 1);
      socket.say(HELLO);
      if (place === "listener") socket.grant(await socket.request(1), "1");
      assert.equal(told.at(-1), "ended", place);
      assert.equal(socket.readyState, 3, place);
      assert.equal(socket.onmessage, null, place);
      const last = told.length;
      socket.say(HELLO, HELLO);
      socket.drop();
      assert.equal(told.length, last, place);
      assert.ok(!told.includes("another") || place !== "listener", place);
      assert.equal(Socket.made.length, before + 1, place);
    }
  },

  async "retry called as it waits connects at once"() {
    const client = new Client("ws://test", {
      WebSocket: Socket,
      onState: ({ name }) => name === "waiting" && client.retry(),
    });
    client.start();
    Socket.made[0].drop();
    assert.equal(Socket.made.length, 2);
    client.stop();
  },

  async "start called by what is told of the end connects anew"() {
    let ends = 0;
    const client = new Client("ws://test", {
      WebSocket: Socket,
      onState: ({ name }) => name === "ended" && (ends += 1) === 1 && client.start(),
    });
    client.start();
    Socket.made[0].drop(4403);
    assert.equal(Socket.made.length, 2);
    client.stop();
    assert.equal(Socket.made[1].readyState, 3);
  },

  async "the pace is that of the fastest listener who is there"() {
    const client = new Client("ws://test", { WebSocket: Socket });
    client.subscribe("account", KEYS[0], () => {}, { intervalMs: 5_000 });
    const leave = client.subscribe("account", KEYS[0], () => {}, { intervalMs: 50 });
    client.start();
    const socket = await Socket.nth(1);
    socket.say(HELLO);
    const first = await socket.request(1);
    assert.equal(first.interval_ms, 50);
    socket.grant(first, "1");
    leave();
    leave();
    const second = await socket.request(2);
    assert.deepEqual([second.op, second.keys, second.interval_ms], ["subscribe", [KEYS[0]], 5_000]);
    client.stop();
  },

  async "a listener who leaves asks for no key again that the server refused"() {
    const client = new Client("ws://test", { WebSocket: Socket });
    const errors = [];
    client.subscribe("account", KEYS[0], ({ error }) => errors.push(error.code), { intervalMs: 5_000 });
    const leave = client.subscribe("account", KEYS[0], () => {}, { intervalMs: 50 });
    client.start();
    const socket = await Socket.nth(1);
    socket.say(HELLO);
    const { id } = await socket.request(1);
    socket.say({ type: "error", id, code: "bad_key", message: "no such key", temporary: false });
    leave();
    client.subscribe("account", KEYS[1], () => {});
    assert.deepEqual((await socket.request(2)).keys, [KEYS[1]]);
    assert.deepEqual(errors, ["bad_key"]);
    client.stop();
  },

  async "a listener who comes or leaves within a callback is told once, or no more"() {
    const client = new Client("ws://test", { WebSocket: Socket });
    const told = [];
    let leave = () => {};
    client.subscribe("account", KEYS[0], () => {
      leave();
      if (!told.length) client.subscribe("account", KEYS[0], () => told.push("came"));
    });
    leave = client.subscribe("account", KEYS[0], () => told.push("left"));
    client.start();
    const socket = await Socket.nth(1);
    socket.say(HELLO);
    socket.grant(await socket.request(1), "1");
    assert.deepEqual(told, ["came"]);
    client.stop();
  },
};

try {
  await scenes[wanted]();
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
}
process.exit(0);
