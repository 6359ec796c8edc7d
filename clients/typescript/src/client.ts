// A client for browsers and Node: the core, a socket and a timer.

import type { Action, Held, Status } from "./actions.js";
import { Core, INTERVAL_MS, SUBPROTOCOL } from "./core.js";
import type {
  Account,
  AccountPositions,
  Alerts,
  Channel,
  Error as ServerError,
  Figures,
  Funding,
  Heartbeat,
  Hello,
  Mark,
  NoFunding,
  NoMark,
  NoneOfAccount,
  PositionStates,
  ServerMessage,
  Totals,
} from "./messages.js";
import { nameOf } from "./subscriptions.js";

/** What stands of a key, by channel. */
export type StateOf = {
  readonly account: Account;
  readonly valuations: Figures;
  readonly positions: AccountPositions;
  readonly marks: Mark | NoMark;
  readonly totals: Totals;
  readonly alerts: Alerts | NoneOfAccount;
  readonly "position-states": PositionStates | NoneOfAccount;
  readonly funding: Funding | NoFunding;
};

/** What a listener is told: the state that stands, or the server's answer where it refuses. */
export type Change<Of extends Channel> =
  | { readonly data: StateOf[Of]; readonly epoch: number; readonly seq: readonly number[]; readonly error: null }
  | { readonly data: null; readonly epoch: null; readonly seq: null; readonly error: ServerError };

/** What is used of a WebSocket; the global one of browsers and of Node 22, and that of the package ws, are such. */
export type SocketLike = {
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  readonly readyState: number;
  send(text: string): void;
  close(code?: number): void;
};

export type ClientOptions = {
  /** The class to use where there is no global one. */
  readonly WebSocket?: new (url: string, subprotocol: string) => SocketLike;
  /** A reader's token, or a function that gives the newest one. */
  readonly token?: string | null | (() => string | null);
  /** Told what becomes of the connection; `retryAtMs` is by `Date.now()`. */
  readonly onState?: (state: Status & { readonly retryAtMs: number }) => void;
  readonly onHello?: (hello: Hello) => void;
  readonly onHeartbeat?: (heartbeat: Heartbeat) => void;
  /** Told every frame as it came, before anything is made of it. */
  readonly onFrame?: (text: string) => void;
  /** Told every message of the server as it came, before listeners are. */
  readonly onMessage?: (message: ServerMessage) => void;
  /** Told that something was lost, and was asked for again. */
  readonly onGap?: (channel: Channel, key: string) => void;
};

type Listener = { readonly intervalMs: number; readonly tell: (change: Change<Channel>) => void };

/**
 * Follows keys over restarts and lost connections, until it is stopped.
 *
 *     const client = new Client("wss://host/v1/ws");
 *     const stop = client.subscribe("account", "demo:0x…", ({ data }) => console.log(data?.upnl));
 *     client.start();
 */
export class Client {
  /** A reader's token; another one is used from the next connection on, and before the one in use expires. */
  token: string | null | (() => string | null);
  readonly #url: string;
  readonly #WebSocket: new (url: string, subprotocol: string) => SocketLike;
  readonly #on: ClientOptions;
  readonly #core: Core;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #refusals = new Map<string, ServerError>();
  /** What is still to be done: what follows from a callback comes after what led to it. */
  #toDo: Action[] = [];
  #isDoing = false;
  #socket: SocketLike | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, { token = null, ...on }: ClientOptions = {}) {
    const found = on.WebSocket ?? (globalThis.WebSocket as ClientOptions["WebSocket"]);
    if (!found) throw new TypeError("expected a WebSocket class, found none: pass one as an option");
    this.#url = url;
    this.#WebSocket = found;
    this.#on = on;
    this.token = token;
    this.#core = new Core({ token: () => this.#newestToken() });
  }

  /** The server's first message on this connection; null before it came. */
  get hello(): Hello | null {
    return this.#core.hello;
  }

  /** Connect, and stay connected until `stop`. */
  start(): void {
    this.#do(this.#core.start(performance.now()));
  }

  /** Disconnect for good. Nothing is told after it but that it ended, also where a callback calls it. */
  stop(): void {
    this.#toDo = [];
    this.#close();
    this.#do(this.#core.stop());
  }

  /** Try at once what is being waited for, because the network is back or somebody asks. */
  retry(): void {
    this.#do(this.#core.retry(performance.now()));
  }

  /** What stands of a key that is subscribed to; null before it came. */
  held(channel: Channel, key: string): Held | null {
    return this.#core.held(channel, key);
  }

  /**
   * Call `onChange` with what stands and whenever it changes. Listeners of the same channel and key share one
   * subscription, at the shortest of their intervals.
   * @returns Ends it.
   */
  subscribe<Of extends Channel>(
    channel: Of,
    key: string,
    onChange: (change: Change<Of>) => void,
    { intervalMs = INTERVAL_MS }: { readonly intervalMs?: number } = {},
  ): () => void {
    const name = nameOf(channel, key);
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    const listener: Listener = { intervalMs, tell: onChange as Listener["tell"] };
    listeners.add(listener);
    const refusal = this.#refusals.get(name);
    const held = this.#core.held(channel, key);
    if (!refusal) this.#core.subscribe(performance.now(), channel, [key], shortest(listeners));
    this.#wait();
    if (refusal) guarded(() => listener.tell(refused(refusal)));
    else if (held) guarded(() => listener.tell(standing(held)));
    return () => {
      if (!listeners.delete(listener)) return;
      if (!listeners.size) {
        this.#listeners.delete(name);
        this.#refusals.delete(name);
        this.#core.unsubscribe(performance.now(), channel, [key]);
      } else if (!this.#refusals.has(name))
        // Those who stay are not to be told at the pace of who left.
        this.#core.subscribe(performance.now(), channel, [key], shortest(listeners));
      this.#wait();
    };
  }

  #newestToken(): string | null {
    const { token } = this;
    if (typeof token !== "function") return token;
    try {
      return token();
    } catch (error) {
      report(error);
      return null;
    }
  }

  #do(actions: readonly Action[]): void {
    this.#toDo.push(...actions);
    if (this.#isDoing) return;
    this.#isDoing = true;
    for (let action = this.#toDo.shift(); action; action = this.#toDo.shift()) this.#doOne(action);
    this.#isDoing = false;
    this.#wait();
  }

  #doOne(action: Action): void {
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
        for (const key of action.keys) this.#refused(nameOf(action.channel, key), action.error);
    }
  }

  #heard(message: ServerMessage): void {
    guarded(() => this.#on.onMessage?.(message));
    if (message.type === "hello") guarded(() => this.#on.onHello?.(message));
    if (message.type === "heartbeat") guarded(() => this.#on.onHeartbeat?.(message));
  }

  #changed(name: string, held: Held): void {
    this.#refusals.delete(name);
    this.#tell(name, standing(held));
  }

  #refused(name: string, error: ServerError): void {
    this.#refusals.set(name, error);
    this.#tell(name, refused(error));
  }

  /** Tell the listeners of now: one that comes meanwhile is told by `subscribe`, and one that left is told no more. */
  #tell(name: string, change: Change<Channel>): void {
    const listeners = this.#listeners.get(name);
    for (const listener of [...(listeners ?? [])])
      if (listeners?.has(listener)) guarded(() => listener.tell(change));
  }

  #open(): void {
    let socket: SocketLike;
    try {
      this.#socket = socket = new this.#WebSocket(this.#url, SUBPROTOCOL);
    } catch (error) {
      report(error);
      return this.#do(this.#core.lost(performance.now(), "no socket could be made"));
    }
    socket.onmessage = ({ data }: { data: string }) => {
      guarded(() => this.#on.onFrame?.(data));
      // It may have been left meanwhile.
      if (this.#socket === socket) this.#do(this.#core.receive(performance.now(), data));
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      this.#socket = null;
      this.#do(this.#core.lost(performance.now(), reason || `closed with ${code}`, code));
    };
    socket.onerror = () => {}; // a close follows
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    if (socket.readyState <= 1) guarded(() => socket.close(1000));
  }

  /** Wake the core when something is due. */
  #wait(): void {
    clearTimeout(this.#timer);
    const inMs = this.#core.wakeMs - performance.now();
    if (inMs === Infinity) return;
    this.#timer = setTimeout(() => this.#do(this.#core.tick(performance.now())), Math.max(0, Math.ceil(inMs)));
  }
}

/** Call what others brought; whatever it throws, everything else has its turn. */
function guarded(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    report(error);
  }
}

/** Throw where nobody waits for it: browsers and Node report it as what an event's handler throws. */
function report(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

function shortest(listeners: ReadonlySet<Listener>): number {
  return Math.min(...[...listeners].map(({ intervalMs }) => intervalMs));
}

function standing({ data, epoch, seq }: Held): Change<Channel> {
  return { data: data as unknown as Account, epoch, seq, error: null };
}

function refused(error: ServerError): Change<Channel> {
  return { data: null, epoch: null, seq: null, error };
}
