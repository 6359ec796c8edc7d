// A client for browsers and Node: the core, a socket and a timer.
import { Core, INTERVAL_MS, SUBPROTOCOL } from "./core.js";
import { nameOf } from "./subscriptions.js";
/**
 * Follows keys over restarts and lost connections, until it is stopped.
 *
 *     const client = new Client("wss://host/v1/ws");
 *     const stop = client.subscribe("account", "demo:0x…", ({ data }) => console.log(data?.upnl));
 *     client.start();
 */
export class Client {
    /** A reader's token; another one is used from the next connection on, and before the one in use expires. */
    token;
    #url;
    #WebSocket;
    #on;
    #core;
    #listeners = new Map();
    #refusals = new Map();
    #socket = null;
    #timer;
    constructor(url, { token = null, ...on } = {}) {
        const found = on.WebSocket ?? globalThis.WebSocket;
        if (!found)
            throw new TypeError("expected a WebSocket class, found none: pass one as an option");
        this.#url = url;
        this.#WebSocket = found;
        this.#on = on;
        this.token = token;
        this.#core = new Core({ token: () => (typeof this.token === "function" ? this.token() : this.token) });
    }
    /** The server's first message on this connection; null before it came. */
    get hello() {
        return this.#core.hello;
    }
    /** Connect, and stay connected until `stop`. */
    start() {
        this.#do(this.#core.start(performance.now()));
    }
    /** Disconnect for good. */
    stop() {
        this.#do(this.#core.stop());
    }
    /** Try at once what is being waited for, because the network is back or somebody asks. */
    retry() {
        this.#do(this.#core.retry(performance.now()));
    }
    /** What stands of a key that is subscribed to; null before it came. */
    held(channel, key) {
        return this.#core.held(channel, key);
    }
    /**
     * Call `onChange` with what stands and whenever it changes. Listeners of the same channel and key share one
     * subscription, at the shortest of their intervals.
     * @returns Ends it.
     */
    subscribe(channel, key, onChange, { intervalMs = INTERVAL_MS } = {}) {
        const name = nameOf(channel, key);
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners);
        const listener = { intervalMs, tell: onChange };
        listeners.add(listener);
        const shortest = Math.min(...[...listeners].map((one) => one.intervalMs));
        const refusal = this.#refusals.get(name);
        const held = this.#core.held(channel, key);
        if (refusal)
            listener.tell(refused(refusal));
        else {
            this.#core.subscribe(performance.now(), channel, [key], shortest);
            if (held)
                listener.tell(standing(held));
        }
        this.#wait();
        return () => {
            if (!listeners.delete(listener) || listeners.size)
                return;
            this.#listeners.delete(name);
            this.#refusals.delete(name);
            this.#core.unsubscribe(performance.now(), channel, [key]);
            this.#wait();
        };
    }
    #do(actions) {
        for (const action of actions)
            this.#doOne(action);
        this.#wait();
    }
    #doOne(action) {
        switch (action.do) {
            case "connect":
                return this.#open();
            case "send":
                return this.#socket?.send(action.text);
            case "disconnect":
                return this.#close();
            case "status":
                return this.#on.onState?.({ ...action, retryAtMs: Date.now() + action.retryInMs });
            case "heard":
                return this.#heard(action.message);
            case "changed":
                return this.#changed(nameOf(action.channel, action.key), action.held);
            case "gap":
                return this.#on.onGap?.(action.channel, action.key);
            case "refused":
                for (const key of action.keys)
                    this.#refused(nameOf(action.channel, key), action.error);
        }
    }
    #heard(message) {
        this.#on.onMessage?.(message);
        if (message.type === "hello")
            this.#on.onHello?.(message);
        if (message.type === "heartbeat")
            this.#on.onHeartbeat?.(message);
    }
    #changed(name, held) {
        this.#refusals.delete(name);
        for (const { tell } of this.#listeners.get(name) ?? [])
            tell(standing(held));
    }
    #refused(name, error) {
        this.#refusals.set(name, error);
        for (const { tell } of this.#listeners.get(name) ?? [])
            tell(refused(error));
    }
    #open() {
        const socket = (this.#socket = new this.#WebSocket(this.#url, SUBPROTOCOL));
        socket.onmessage = ({ data }) => {
            this.#on.onFrame?.(data);
            this.#do(this.#core.receive(performance.now(), data));
        };
        socket.onclose = ({ code, reason }) => {
            this.#socket = null;
            this.#do(this.#core.lost(performance.now(), reason || `closed with ${code}`, code));
        };
        socket.onerror = () => { }; // a close follows
    }
    #close() {
        const socket = this.#socket;
        this.#socket = null;
        if (!socket)
            return;
        socket.onmessage = socket.onclose = null;
        if (socket.readyState <= 1)
            socket.close(1000);
    }
    /** Wake the core when something is due. */
    #wait() {
        clearTimeout(this.#timer);
        const inMs = this.#core.wakeMs - performance.now();
        if (inMs === Infinity)
            return;
        this.#timer = setTimeout(() => this.#do(this.#core.tick(performance.now())), Math.max(0, Math.ceil(inMs)));
    }
}
function standing({ data, epoch, seq }) {
    return { data: data, epoch, seq, error: null };
}
function refused(error) {
    return { data: null, epoch: null, seq: null, error };
}
