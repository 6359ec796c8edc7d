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
    /** What is still to be done: what follows from a callback comes after what led to it. */
    #toDo = [];
    #isDoing = false;
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
        this.#core = new Core({ token: () => this.#newestToken() });
    }
    /** The server's first message on this connection; null before it came. */
    get hello() {
        return this.#core.hello;
    }
    /** Connect, and stay connected until `stop`. */
    start() {
        this.#do(this.#core.start(performance.now()));
    }
    /** Disconnect for good. Nothing is told after it but that it ended, also where a callback calls it. */
    stop() {
        this.#toDo = [];
        this.#close();
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
        const refusal = this.#refusals.get(name);
        const held = this.#core.held(channel, key);
        if (!refusal)
            this.#core.subscribe(performance.now(), channel, [key], shortest(listeners));
        this.#wait();
        if (refusal)
            guarded(() => listener.tell(refused(refusal)));
        else if (held)
            guarded(() => listener.tell(standing(held)));
        return () => {
            if (!listeners.delete(listener))
                return;
            if (!listeners.size) {
                this.#listeners.delete(name);
                this.#refusals.delete(name);
                this.#core.unsubscribe(performance.now(), channel, [key]);
            }
            else if (!this.#refusals.has(name))
                // Those who stay are not to be told at the pace of who left.
                this.#core.subscribe(performance.now(), channel, [key], shortest(listeners));
            this.#wait();
        };
    }
    #newestToken() {
        const { token } = this;
        if (typeof token !== "function")
            return token;
        try {
            return token();
        }
        catch (error) {
            report(error);
            return null;
        }
    }
    #do(actions) {
        this.#toDo.push(...actions);
        if (this.#isDoing)
            return;
        this.#isDoing = true;
        for (let action = this.#toDo.shift(); action; action = this.#toDo.shift())
            this.#doOne(action);
        this.#isDoing = false;
        this.#wait();
    }
    #doOne(action) {
        switch (action.do) {
            case "connect":
                return this.#open();
            case "send":
                return guarded(() => this.#socket?.send(action.text));
            case "disconnect":
                return this.#close();
            case "status":
                return guarded(() => this.#on.onState?.({ ...action, retryAtMs: Date.now() + action.retryInMs }));
            case "heard":
                return this.#heard(action.message);
            case "changed":
                return this.#changed(nameOf(action.channel, action.key), action.held);
            case "gap":
                return guarded(() => this.#on.onGap?.(action.channel, action.key));
            case "refused":
                for (const key of action.keys)
                    this.#refused(nameOf(action.channel, key), action.error);
        }
    }
    #heard(message) {
        guarded(() => this.#on.onMessage?.(message));
        if (message.type === "hello")
            guarded(() => this.#on.onHello?.(message));
        if (message.type === "heartbeat")
            guarded(() => this.#on.onHeartbeat?.(message));
    }
    #changed(name, held) {
        this.#refusals.delete(name);
        this.#tell(name, standing(held));
    }
    #refused(name, error) {
        this.#refusals.set(name, error);
        this.#tell(name, refused(error));
    }
    /** Tell the listeners of now: one that comes meanwhile is told by `subscribe`, and one that left is told no more. */
    #tell(name, change) {
        const listeners = this.#listeners.get(name);
        for (const listener of [...(listeners ?? [])])
            if (listeners?.has(listener))
                guarded(() => listener.tell(change));
    }
    #open() {
        let socket;
        try {
            this.#socket = socket = new this.#WebSocket(this.#url, SUBPROTOCOL);
        }
        catch (error) {
            report(error);
            return this.#do(this.#core.lost(performance.now(), "no socket could be made"));
        }
        socket.onmessage = ({ data }) => {
            guarded(() => this.#on.onFrame?.(data));
            // It may have been left meanwhile.
            if (this.#socket === socket)
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
            guarded(() => socket.close(1000));
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
/** Call what others brought; whatever it throws, everything else has its turn. */
function guarded(call) {
    try {
        call();
    }
    catch (error) {
        report(error);
    }
}
/** Throw where nobody waits for it: browsers and Node report it as what an event's handler throws. */
function report(error) {
    queueMicrotask(() => {
        throw error;
    });
}
function shortest(listeners) {
    return Math.min(...[...listeners].map(({ intervalMs }) => intervalMs));
}
function standing({ data, epoch, seq }) {
    return { data: data, epoch, seq, error: null };
}
function refused(error) {
    return { data: null, epoch: null, seq: null, error };
}
