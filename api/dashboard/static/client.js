/**
 * Reference client of `/v1/ws` (docs/websocket.md), for browsers and Node, without dependencies.
 *
 *     const client = new Client("wss://host/v1/ws");
 *     const stop = client.subscribe("account", "demo:0x…", ({ data }) => console.log(data.upnl));
 *     client.start();
 *
 * One rule keeps what it holds right: a delta is applied only if its `prev` is the `seq` held; else a snapshot is asked
 * for. After a lost connection it comes back by itself and resumes from what it holds.
 */

const SUBPROTOCOL = "tidemark.v1.json";
const INTERVAL_MS = 100;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;
const OPENING_MS = 10_000;
// A socket that a network silently dropped never closes by itself.
const HEARTBEATS_MISSED = 3;
// The server takes 64 KiB a message; a key is some 60 bytes, and what is resumed of it some 100 more.
const KEYS_PER_MESSAGE = 250;
const SENDING_EVERY_MS = 100;
// Of the messages that the server allows: its clock and ours do not agree on when a second is over.
const SHARE_SENT = 0.8;
// Coming back with the same token, message or origin would end the same.
const FINAL_CLOSE_CODES = new Set([4400, 4401, 4403]);
const CROWDED_CLOSE_CODES = new Set([4409, 4429]);

export class Client {
  #url;
  #WebSocket;
  #on;
  #socket = null;
  #isGreeted = false;
  #isWaiting = false;
  #nextId = 1;
  #requests = new Map();
  #subscriptions = new Map();
  #bySub = new Map();
  #toSubscribe = new Set();
  #toUnsubscribe = new Set();
  #sending = null;
  #queue = [];
  #draining = null;
  #allowed = { messages: 0, atMs: 0 };
  #losses = 0;
  #reconnectAtMs = 0;
  #timers = { silence: null, reconnect: null, leave: null };

  /**
   * @param {string} url ws:// or wss://, of the server's /v1/ws.
   * @param {object} options
   *   `WebSocket`: the class to use where there is no global one; `token`: sent if the server wants one;
   *   `onState({name, retryAtMs, reason})`: name is connecting, live, waiting or ended; `onHello`, `onHeartbeat`,
   *   `onFrame(messages, characters)`: what came.
   */
  constructor(url, { WebSocket = globalThis.WebSocket, token = null, ...on } = {}) {
    if (!WebSocket) throw new TypeError("expected a WebSocket class, found none: pass one as an option");
    this.#url = url;
    this.#WebSocket = WebSocket;
    this.#on = on;
    this.token = token;
    this.hello = null;
  }

  /** Connect, and stay connected until `stop`. */
  start() {
    this.#reconnectAtMs = 0;
    this.#connect();
  }

  /** Disconnect for good. */
  stop() {
    this.#leave(1000);
    this.#tell("ended", { reason: "stopped" });
  }

  /** Try at once what is being waited for, because the network is back or somebody asks. */
  retry() {
    if (this.#isWaiting) this.#connect();
  }

  /**
   * Call `onChange({data, seq, epoch, error})` with what stands and whenever it changes; `error` is the server's answer
   * where it refuses. Listeners of the same channel and key share one subscription.
   * @returns {() => void} Ends it.
   */
  subscribe(channel, key, onChange, { intervalMs = INTERVAL_MS } = {}) {
    const name = `${channel} ${key}`;
    let subscription = this.#subscriptions.get(name);
    if (!subscription) {
      subscription = {
        name,
        channel,
        key,
        intervalMs,
        sub: null,
        epoch: null,
        seq: null,
        data: null,
        error: null,
        asked: false,
        resyncing: false,
        listeners: new Set(),
      };
      this.#subscriptions.set(name, subscription);
      this.#want(subscription);
    } else if (this.#toUnsubscribe.delete(subscription) && !subscription.asked) {
      this.#want(subscription);
    }
    if (intervalMs < subscription.intervalMs) {
      subscription.intervalMs = intervalMs;
      this.#want(subscription);
    }
    const listener = (state) => onChange(state);
    subscription.listeners.add(listener);
    if (subscription.data || subscription.error) listener(subscription);
    return () => {
      if (!subscription.listeners.delete(listener) || subscription.listeners.size) return;
      this.#toSubscribe.delete(subscription);
      if (!subscription.asked) {
        this.#subscriptions.delete(name);
        return;
      }
      this.#toUnsubscribe.add(subscription);
      this.#sendSoon();
    };
  }

  #connect() {
    clearTimeout(this.#timers.reconnect);
    this.#isWaiting = false;
    this.#tell("connecting");
    const socket = (this.#socket = new this.#WebSocket(this.#url, SUBPROTOCOL));
    socket.onmessage = ({ data }) => {
      this.#expectWord();
      const messages = JSON.parse(data);
      this.#on.onFrame?.(messages, data.length);
      for (const message of messages) this.#take(message);
    };
    socket.onclose = ({ code, reason }) => this.#lose(code, reason);
    socket.onerror = () => {}; // a close follows
    this.#expectWord();
  }

  #expectWord() {
    clearTimeout(this.#timers.silence);
    const ms = this.#isGreeted ? this.hello.heartbeat_ms * HEARTBEATS_MISSED : OPENING_MS;
    if (ms) this.#timers.silence = setTimeout(() => this.#lose(1006, "no word from the server"), ms);
  }

  #leave(code) {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    clearTimeout(this.#sending);
    clearTimeout(this.#draining);
    this.#sending = this.#draining = null;
    this.#queue = [];
    const socket = this.#socket;
    this.#socket = null;
    this.#isGreeted = this.#isWaiting = false;
    this.#requests.clear();
    this.#bySub.clear();
    for (const subscription of this.#toUnsubscribe) this.#subscriptions.delete(subscription.name);
    this.#toUnsubscribe.clear();
    for (const subscription of this.#subscriptions.values()) {
      Object.assign(subscription, { sub: null, asked: false, resyncing: false });
      this.#toSubscribe.add(subscription);
    }
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    if (socket.readyState <= 1) socket.close(code);
  }

  #lose(code, reason) {
    this.#leave(1000);
    if (FINAL_CLOSE_CODES.has(code) || code >= 4500) {
      this.#tell("ended", { code, reason: reason || `the server closed with ${code}` });
      return;
    }
    // Spread over the whole of the wait: all clients of a replica lose it in the same moment.
    const longest = CROWDED_CLOSE_CODES.has(code)
      ? LONGEST_WAIT_MS
      : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#losses);
    const said = this.#reconnectAtMs - Date.now();
    const waitMs = said > 0 ? said : Math.round(longest * (0.5 + Math.random() / 2));
    this.#losses += 1;
    this.#reconnectAtMs = 0;
    this.#isWaiting = true;
    this.#tell("waiting", { retryAtMs: Date.now() + waitMs, code, reason });
    this.#timers.reconnect = setTimeout(() => this.#connect(), waitMs);
  }

  #take(message) {
    switch (message.type) {
      case "hello":
        return this.#greet(message);
      case "ack":
        return this.#acknowledged(message);
      case "error":
        return this.#refused(message);
      case "snapshot":
        return this.#snapshot(message);
      case "delta":
        return this.#delta(message);
      case "heartbeat":
        return this.#on.onHeartbeat?.(message);
      case "goodbye":
        return this.#bye(message);
    }
  }

  #greet(hello) {
    this.hello = hello;
    this.#isGreeted = true;
    this.#allowed = { messages: hello.limits.messages_burst * SHARE_SENT, atMs: Date.now() };
    this.#expectWord();
    this.#on.onHello?.(hello);
    if (hello.auth !== "required") return this.#live();
    if (this.token) return this.#request({ op: "auth", token: this.token });
    this.#leave(1000);
    this.#tell("ended", { code: 4401, reason: "the server wants a token" });
  }

  #live() {
    this.#losses = 0;
    this.#tell("live");
    this.#send();
  }

  #acknowledged({ id, op, subs = [] }) {
    this.#requests.delete(id);
    if (op === "auth") return this.#live();
    for (const { sub, channel, key } of subs) {
      const subscription = this.#subscriptions.get(`${channel} ${key}`);
      if (!subscription) continue;
      subscription.sub = sub;
      this.#bySub.set(sub, subscription);
      if (!subscription.listeners.size) this.#sendSoon();
    }
  }

  #refused(error) {
    if (error.id === undefined) return error.temporary && this.#askAgain(error.retry_after_ms);
    const request = this.#requests.get(error.id);
    this.#requests.delete(error.id);
    if (request?.op === "auth") return this.#lose(4401, error.message);
    if (request?.op !== "subscribe") return;
    for (const subscription of request.subscriptions) {
      if (error.temporary) {
        subscription.asked = false;
        if (subscription.listeners.size) this.#toSubscribe.add(subscription);
        continue;
      }
      subscription.error = error;
      for (const listener of subscription.listeners) listener(subscription);
    }
    if (error.temporary) this.#sendSoon(error.retry_after_ms ?? FIRST_WAIT_MS);
  }

  #snapshot({ sub, epoch, seq, data }) {
    const subscription = this.#bySub.get(sub);
    if (subscription) this.#hold(subscription, { epoch, seq, data, error: null, resyncing: false });
  }

  #delta({ sub, prev, seq, data }) {
    const subscription = this.#bySub.get(sub);
    if (!subscription || subscription.resyncing) return;
    if (!isSame(prev, subscription.seq)) {
      subscription.resyncing = true;
      this.#request({ op: "resync", sub });
      return;
    }
    this.#hold(subscription, { seq, data: merged(subscription.data, data) });
  }

  #hold(subscription, state) {
    Object.assign(subscription, state);
    for (const listener of subscription.listeners) listener(subscription);
  }

  #bye({ reconnect_in_ms: waitMs }) {
    this.#reconnectAtMs = Date.now() + waitMs;
    clearTimeout(this.#timers.leave);
    this.#timers.leave = setTimeout(() => {
      this.#leave(1000);
      this.#reconnectAtMs = 0;
      this.#connect();
    }, waitMs);
  }

  #want(subscription) {
    this.#toSubscribe.add(subscription);
    this.#sendSoon();
  }

  #sendSoon(inMs = SENDING_EVERY_MS) {
    this.#sending ??= setTimeout(() => this.#send(), inMs);
  }

  /** Say together what was asked for since the last time. */
  #send() {
    clearTimeout(this.#sending);
    this.#sending = null;
    if (!this.#isGreeted) return;
    const left = [...this.#toUnsubscribe].filter(({ asked, sub, error }) => !asked || sub !== null || error);
    for (const subscription of left) {
      this.#toUnsubscribe.delete(subscription);
      this.#subscriptions.delete(subscription.name);
      this.#bySub.delete(subscription.sub);
    }
    const subs = left.map(({ sub }) => sub).filter((sub) => sub !== null);
    if (subs.length) this.#request({ op: "unsubscribe", subs });
    const groups = new Map();
    for (const subscription of this.#toSubscribe) {
      const group = `${subscription.channel} ${subscription.intervalMs}`;
      groups.set(group, [...(groups.get(group) ?? []), subscription]);
    }
    this.#toSubscribe.clear();
    for (const group of groups.values()) {
      for (let at = 0; at < group.length; at += KEYS_PER_MESSAGE)
        this.#subscribe(group.slice(at, at + KEYS_PER_MESSAGE));
    }
  }

  #subscribe(subscriptions) {
    const [{ channel, intervalMs }] = subscriptions;
    for (const subscription of subscriptions) subscription.asked = true;
    const held = subscriptions.filter(({ sub, seq }) => sub === null && seq !== null);
    const resume = Object.fromEntries(held.map(({ key, epoch, seq }) => [key, { epoch, seq }]));
    this.#request(
      { op: "subscribe", channel, keys: subscriptions.map(({ key }) => key), interval_ms: intervalMs, resume },
      subscriptions,
    );
  }

  #request(message, subscriptions = []) {
    const id = this.#nextId++;
    const text = JSON.stringify({ ...message, id });
    this.#requests.set(id, { op: message.op, subscriptions, text });
    this.#queue.push(text);
    this.#drain();
  }

  /** A message too many was not read, and which it was is not said; asking twice changes nothing. */
  #askAgain(afterMs) {
    this.#queue = [...this.#requests.values()].map(({ text }) => text);
    this.#allowed = { messages: 0, atMs: Date.now() + afterMs };
    this.#drain();
  }

  /** Send what waits, no faster than the server takes it. */
  #drain() {
    const { messages_per_s: perSecond, messages_burst: burst } = this.hello.limits;
    const { messages, atMs } = this.#allowed;
    const now = Date.now();
    let left = Math.min(burst * SHARE_SENT, messages + (Math.max(0, now - atMs) / 1000) * perSecond * SHARE_SENT);
    for (; left >= 1 && this.#queue.length; left -= 1) this.#socket.send(this.#queue.shift());
    this.#allowed = { messages: left, atMs: Math.max(now, atMs) };
    if (!this.#queue.length) return;
    clearTimeout(this.#draining);
    this.#draining = setTimeout(() => this.#drain(), SENDING_EVERY_MS);
  }

  #tell(name, details = {}) {
    this.#on.onState?.({ name, ...details });
  }
}

/** `target` with a JSON merge patch (RFC 7396) applied; neither is changed. */
export function merged(target, patch) {
  if (!isObject(patch)) return patch;
  const result = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSame(a, b) {
  return a !== null && b !== null && a.length === b.length && a.every((part, at) => part === b[at]);
}
