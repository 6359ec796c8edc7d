// The protocol `tidemark.v1.json` as a client speaks it (docs/websocket.md), without a socket and without a clock.
//
// Whoever holds the socket hands in what happened and when, and does what comes back: see `actions`. Whenever `wakeMs`
// is over it calls `tick`. Times are in ms of any clock that only rises.
import { Allowance, BackOff } from "./pace.js";
import { merged } from "./patch.js";
import { Subscriptions } from "./subscriptions.js";
export const SUBPROTOCOL = "tidemark.v1.json";
/** The shortest time between two messages of a key, where nothing else is said. */
export const INTERVAL_MS = 100;
// How long a socket may take to open, and the server to say hello.
const OPENING_MS = 10_000;
// A socket that a network silently dropped never closes by itself.
const HEARTBEATS_MISSED = 3;
// The server answers at once. What it takes longer for was lost, and a new connection finds out what stands.
const ANSWER_MS = 15_000;
// What is asked for in the same moment goes together.
const GATHER_MS = 100;
// The server takes 64 KiB a message; a key is some 60 bytes, and what is resumed of it some 100 more.
const KEYS_A_MESSAGE = 250;
// A token is replaced this long before it expires, or half of its time where that is less.
const RENEW_MS = 30_000;
const RENEW_AGAIN_MS = 5_000;
const NOT_AUTHENTICATED = 4401;
// These say what to change: coming back with the same messages or the same token would end the same.
const FINAL_CODES = new Set([1002, 1007, 1008, 1009, 4400, NOT_AUTHENTICATED, 4403]);
const CROWDED_CODES = new Set([4409, 4429]);
const NS_A_MS = 1000000n;
export class Core {
    /** The server's first message on this connection; null before it came. */
    hello = null;
    #token;
    #tokenSent = null;
    #subscriptions = new Subscriptions();
    #backOff;
    #due = new Map();
    #actions = [];
    #requests = new Map();
    #queue = [];
    #allowance = new Allowance(1, 1, 0);
    #lastId = 0;
    #isConnected = false;
    #isLive = false;
    #greetedMs = 0;
    #reconnectMs = 0;
    constructor({ token = () => null, spread = Math.random } = {}) {
        this.#token = token;
        this.#backOff = new BackOff(spread);
    }
    /** When `tick` is to be called at the latest; infinite where nothing is waited for. */
    get wakeMs() {
        const answers = [...this.#requests.values()].map(({ sentMs }) => sentMs + ANSWER_MS);
        return Math.min(...answers, ...this.#due.values());
    }
    /** Whether it is connected, and all that was asked for is answered. */
    get isSettled() {
        return this.#isLive && !this.#requests.size && !this.#due.has("gather") && !this.#due.has("drain");
    }
    /** What stands of a key that is subscribed to, in whatever spelling; null before it came. */
    held(channel, key) {
        return this.#subscriptions.get(channel, key)?.held ?? null;
    }
    /** Connect, and stay connected until `stop`; also after the connection ended for good. */
    start(nowMs) {
        if (!this.#isConnected)
            this.#connect(nowMs);
        return this.#taken();
    }
    /** Disconnect for good. */
    stop() {
        this.#leave();
        this.#tell("ended", "stopped");
        return this.#taken();
    }
    /** Try at once what is being waited for, because the network is back or somebody asks. */
    retry(nowMs) {
        if (this.#due.has("connect"))
            this.#connect(nowMs);
        return this.#taken();
    }
    /** Want keys of a channel from now on; the same key once more changes its interval. */
    subscribe(nowMs, channel, keys, intervalMs = INTERVAL_MS) {
        for (const key of keys)
            if (this.#subscriptions.want(channel, key, intervalMs))
                this.#gather(nowMs);
    }
    /** Want keys of a channel no longer. */
    unsubscribe(nowMs, channel, keys) {
        for (const key of keys)
            this.#subscriptions.unwant(channel, key);
        this.#gather(nowMs);
    }
    /** Take in a text frame; one that is not of the protocol ends the connection, and not the client. */
    receive(nowMs, text) {
        const messages = messagesOf(text);
        if (!messages)
            this.#lose(nowMs, `expected a frame that is an array of messages, found ${String(text).slice(0, 40)}`);
        for (const message of messages ?? []) {
            if (!this.#isConnected)
                break;
            this.#expectWord(nowMs);
            this.#take(nowMs, message);
        }
        return this.#taken();
    }
    /** Take in that the socket closed or could not be opened, and wait before the next attempt. */
    lost(nowMs, reason, code = null) {
        this.#isConnected = false;
        this.#lose(nowMs, reason, code);
        return this.#taken();
    }
    /** Do what is due by now. */
    tick(nowMs) {
        const dues = [...this.#due].filter(([, atMs]) => atMs <= nowMs);
        for (const [due] of dues)
            if (this.#due.delete(due))
                this.#doDue(nowMs, due);
        if ([...this.#requests.values()].some(({ sentMs }) => sentMs + ANSWER_MS <= nowMs))
            this.#lose(nowMs, `a request was not answered within ${ANSWER_MS / 1000} s`);
        return this.#taken();
    }
    #taken() {
        const actions = this.#actions;
        this.#actions = [];
        return actions;
    }
    #tell(name, reason = "", code = null, retryInMs = 0) {
        this.#actions.push({ do: "status", name, reason, code, retryInMs });
    }
    #doDue(nowMs, due) {
        switch (due) {
            case "connect":
            case "leave":
                return this.#connect(nowMs);
            case "silence":
                return this.#lose(nowMs, "no word from the server");
            case "gather":
                return this.#ask(nowMs);
            case "drain":
                return this.#drain(nowMs);
            case "renew":
                return this.#renew(nowMs);
        }
    }
    #connect(nowMs) {
        this.#leave();
        this.#reconnectMs = 0;
        this.#isConnected = true;
        this.#tell("connecting");
        this.#actions.push({ do: "connect" });
        this.#expectWord(nowMs);
    }
    #leave() {
        if (this.#isConnected)
            this.#actions.push({ do: "disconnect" });
        this.#isConnected = this.#isLive = false;
        this.#due.clear();
        this.#queue = [];
        this.#requests.clear();
        this.#subscriptions.disconnect();
        this.hello = null;
    }
    #lose(nowMs, reason, code = null, retryAfterMs = 0) {
        const reconnectInMs = this.#reconnectMs - nowMs;
        this.#leave();
        const isTokenNew = code === NOT_AUTHENTICATED && ![null, this.#tokenSent].includes(this.#token());
        if (code !== null && FINAL_CODES.has(code) && !isTokenNew)
            return this.#tell("ended", reason, code);
        const backOffMs = this.#backOff.nextMs(code !== null && CROWDED_CODES.has(code));
        const waitMs = reconnectInMs > 0 ? reconnectInMs : Math.max(backOffMs, retryAfterMs);
        this.#reconnectMs = 0;
        this.#due.set("connect", nowMs + waitMs);
        this.#tell("waiting", reason, code, waitMs);
    }
    #expectWord(nowMs) {
        const silenceMs = this.hello ? this.hello.heartbeat_ms * HEARTBEATS_MISSED : OPENING_MS;
        this.#due.set("silence", nowMs + silenceMs);
    }
    #take(nowMs, message) {
        this.#actions.push({ do: "heard", message });
        switch (message.type) {
            case "hello":
                return this.#greet(nowMs, message);
            case "ack":
                return this.#acknowledged(nowMs, message);
            case "error":
                return this.#failed(nowMs, message);
            case "snapshot":
            case "delta":
                return this.#state(nowMs, message);
            case "goodbye":
                this.#reconnectMs = nowMs + message.reconnect_in_ms;
                this.#due.set("leave", this.#reconnectMs);
        }
    }
    #greet(nowMs, hello) {
        this.hello = hello;
        this.#greetedMs = nowMs;
        this.#allowance = new Allowance(hello.limits.messages_per_s, hello.limits.messages_burst, nowMs);
        this.#expectWord(nowMs);
        if (hello.auth !== "required")
            this.#live(nowMs);
        else if (!this.#authenticate(nowMs))
            this.#lose(nowMs, "the server wants a token", NOT_AUTHENTICATED);
    }
    #authenticate(nowMs) {
        const token = this.#token();
        if (token === null)
            return false;
        this.#tokenSent = token;
        this.#request(nowMs, { op: "auth", token });
        return true;
    }
    #live(nowMs) {
        this.#isLive = true;
        this.#backOff.reset();
        this.#tell("live");
        this.#ask(nowMs);
    }
    /** Send another token before the one in use expires, as soon as there is another. */
    #renew(nowMs) {
        if (this.#token() === this.#tokenSent || !this.#authenticate(nowMs))
            this.#due.set("renew", nowMs + RENEW_AGAIN_MS);
    }
    #acknowledged(nowMs, ack) {
        const request = this.#requests.get(ack.id);
        if (request && ack.op === "resync") {
            request.isAnswered = true; // It is done when the snapshot comes.
            return;
        }
        this.#requests.delete(ack.id);
        if (ack.op === "auth")
            this.#authenticated(nowMs, ack.expires_ns);
        if (ack.op !== "subscribe")
            return;
        const asked = request?.subscriptions ?? [];
        this.#subscriptions.acknowledge(asked, ack.subs);
        if (asked.some(({ isWanted }) => !isWanted))
            this.#gather(nowMs);
    }
    #authenticated(nowMs, expiresNs) {
        if (expiresNs !== undefined && this.hello) {
            const fromHelloMs = Number((BigInt(expiresNs) - BigInt(this.hello.server_time_ns)) / NS_A_MS);
            const leftMs = fromHelloMs - (nowMs - this.#greetedMs);
            this.#due.set("renew", nowMs + Math.max(leftMs - RENEW_MS, leftMs / 2));
        }
        if (!this.#isLive)
            this.#live(nowMs);
    }
    #failed(nowMs, error) {
        const request = error.id === undefined ? this.#oldestUnanswered() : this.#requests.get(error.id);
        if (!request || (error.id === undefined && !error.temporary))
            return;
        if (request.op === "auth" && !this.#isLive)
            return this.#lose(nowMs, error.message, error.temporary ? null : NOT_AUTHENTICATED, error.retry_after_ms);
        this.#requests.delete(request.id);
        if (!error.temporary)
            return this.#refused(nowMs, request, error);
        this.#allowance.stopUntil(nowMs + (error.retry_after_ms ?? GATHER_MS));
        this.#queueUp(nowMs, request);
    }
    /** The request that an error without an id answers: the server answers in the order of asking. */
    #oldestUnanswered() {
        return [...this.#requests.values()].find(({ sentMs, isAnswered }) => sentMs < Infinity && !isAnswered);
    }
    #refused(nowMs, { op, subscriptions }, error) {
        if (op === "auth")
            this.#due.set("renew", nowMs + RENEW_AGAIN_MS);
        if (op === "resync")
            this.#lose(nowMs, `the server refused to send a state again: ${error.message}`);
        const [first] = subscriptions;
        if (op !== "subscribe" || !first)
            return;
        if (error.code === "bad_key" && subscriptions.length > 1) {
            // Nothing of a request is done where one key is bad: halves tell the bad one from the others.
            const half = subscriptions.length >> 1;
            this.#subscribe(nowMs, subscriptions.slice(0, half));
            this.#subscribe(nowMs, subscriptions.slice(half));
            return;
        }
        for (const subscription of subscriptions)
            subscription.isRefused = true;
        this.#actions.push({ do: "refused", channel: first.channel, keys: subscriptions.map(({ key }) => key), error });
    }
    #state(nowMs, message) {
        const subscription = this.#subscriptions.ofSub(message.sub);
        if (!subscription) {
            if (!this.#subscriptions.wasLeft(message.sub))
                this.#lose(nowMs, "a state came of a subscription that was not acknowledged");
        }
        else if (message.type === "snapshot") {
            if (subscription.resyncId !== null)
                this.#requests.delete(subscription.resyncId);
            subscription.resyncId = null;
            const { epoch, seq, data } = message;
            this.#hold(subscription, { epoch, seq, data: data }, null);
        }
        else if (subscription.resyncId === null)
            this.#patch(nowMs, subscription, message);
    }
    #patch(nowMs, subscription, { sub, prev, seq, data }) {
        const { held, channel, key } = subscription;
        if (held && held.epoch === this.hello?.epoch && isSame(held.seq, prev)) {
            this.#hold(subscription, { epoch: held.epoch, seq, data: merged(held.data, data) }, data);
            return;
        }
        subscription.resyncId = this.#request(nowMs, { op: "resync", sub });
        this.#actions.push({ do: "gap", channel, key });
    }
    #hold(subscription, held, patch) {
        subscription.held = held;
        const { channel, key, isWanted } = subscription;
        if (isWanted)
            this.#actions.push({ do: "changed", channel, key, held, patch });
    }
    #gather(nowMs) {
        if (this.#isLive && !this.#due.has("gather"))
            this.#due.set("gather", nowMs + GATHER_MS);
    }
    /** Say together what was asked for since the last time. */
    #ask(nowMs) {
        this.#due.delete("gather");
        const unwanted = this.#subscriptions.takeUnwanted();
        for (const { resyncId } of unwanted)
            if (resyncId !== null)
                this.#requests.delete(resyncId);
        const subs = unwanted.map(({ sub }) => sub).filter((sub) => sub !== null);
        if (subs.length)
            this.#request(nowMs, { op: "unsubscribe", subs });
        for (const group of this.#subscriptions.takeToAsk(KEYS_A_MESSAGE))
            this.#subscribe(nowMs, group);
    }
    #subscribe(nowMs, group) {
        const [first] = group;
        if (!first)
            return;
        for (const subscription of group)
            subscription.isAsked = true;
        const resume = {};
        for (const { key, sub, held } of group)
            if (sub === null && held)
                resume[key] = { epoch: held.epoch, seq: held.seq };
        const { channel, intervalMs } = first;
        const keys = group.map(({ key }) => key);
        this.#request(nowMs, { op: "subscribe", channel, keys, interval_ms: intervalMs, resume }, group);
    }
    #request(nowMs, message, subscriptions = []) {
        const id = ++this.#lastId;
        const text = JSON.stringify({ ...message, id });
        this.#queueUp(nowMs, { id, op: message.op, text, subscriptions, sentMs: Infinity, isAnswered: false });
        return id;
    }
    #queueUp(nowMs, request) {
        request.sentMs = Infinity;
        this.#requests.set(request.id, request);
        this.#queue.push(request);
        this.#drain(nowMs);
    }
    /** Send what waits, no faster than the server takes it. */
    #drain(nowMs) {
        this.#due.delete("drain");
        for (let request = this.#queue[0]; request; request = this.#queue[0]) {
            const waitMs = this.#allowance.take(nowMs);
            if (waitMs) {
                this.#due.set("drain", nowMs + waitMs);
                return;
            }
            this.#queue.shift();
            request.sentMs = nowMs;
            this.#actions.push({ do: "send", text: request.text });
        }
    }
}
function messagesOf(text) {
    try {
        const messages = JSON.parse(text);
        return Array.isArray(messages) ? messages : null;
    }
    catch {
        return null;
    }
}
function isSame(a, b) {
    return a.length === b.length && a.every((part, at) => part === b[at]);
}
