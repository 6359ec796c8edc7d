// What is subscribed to, and what is held of it, which outlives connections.

import type { Held } from "./actions.js";
import type { Channel, Subscription as Acknowledged } from "./messages.js";

// In keys of these channels the case of a deployment and of an EVM address does not matter; of other accounts it does.
const OF_ACCOUNTS: ReadonlySet<Channel> = new Set(["account", "valuations", "positions", "position-states", "alerts"]);
const ADDRESS = /^0[xX][0-9a-fA-F]{40}$/;

/** One key of one channel. */
export class Subscription {
  /** What tells it from others. */
  readonly name: string;
  readonly channel: Channel;
  /** As it was asked for, and once it was acknowledged as the server spells it. */
  key: string;
  intervalMs: number;
  held: Held | null = null;
  /** Its number on this connection; null where it was not acknowledged. */
  sub: number | null = null;
  isAsked = false;
  isWanted = true;
  isRefused = false;
  /** The request that asked for all of it again, until it comes. */
  resyncId: number | null = null;

  constructor(channel: Channel, key: string, intervalMs: number) {
    this.name = nameOf(channel, key);
    this.channel = channel;
    this.key = key;
    this.intervalMs = intervalMs;
  }

  /** Whether the server has not answered yet. */
  get isBeingAsked(): boolean {
    return this.isAsked && this.sub === null && !this.isRefused;
  }
}

/** What tells subscriptions apart, in whatever spelling. */
export function nameOf(channel: Channel, key: string): string {
  if (!OF_ACCOUNTS.has(channel)) return `${channel} ${key}`;
  const end = key.indexOf(":") + 1;
  const account = key.slice(end);
  return `${channel} ${key.slice(0, end).toLowerCase()}${ADDRESS.test(account) ? account.toLowerCase() : account}`;
}

/** All of them, those to be asked for, and the numbers that they have on this connection. */
export class Subscriptions {
  readonly #all = new Map<string, Subscription>();
  readonly #toAsk = new Set<Subscription>();
  readonly #ofSub = new Map<number, Subscription>();
  readonly #left = new Set<number>();

  get(channel: Channel, key: string): Subscription | undefined {
    return this.#all.get(nameOf(channel, key));
  }

  ofSub(sub: number): Subscription | undefined {
    return this.#ofSub.get(sub);
  }

  /** Whether the number was unsubscribed on this connection: what still comes of it is nobody's. */
  wasLeft(sub: number): boolean {
    return this.#left.has(sub);
  }

  /** Want a key; whether that has to be said to the server. */
  want(channel: Channel, key: string, intervalMs: number): boolean {
    const name = nameOf(channel, key);
    const known = this.#all.get(name) ?? new Subscription(channel, key, intervalMs);
    this.#all.set(name, known);
    const isSaid = known.isAsked && !known.isRefused && known.intervalMs === intervalMs;
    Object.assign(known, { intervalMs, isWanted: true, isRefused: false });
    if (!isSaid) this.#toAsk.add(known);
    return !isSaid;
  }

  /** Give a key up. */
  unwant(channel: Channel, key: string): void {
    const known = this.get(channel, key);
    if (!known) return;
    known.isWanted = false;
    this.#toAsk.delete(known);
  }

  /** Those that are to be asked for, as groups of one channel and interval, of `most` keys at the most. */
  takeToAsk(most: number): Subscription[][] {
    const groups = new Map<string, Subscription[]>();
    for (const one of this.#toAsk) {
      const name = `${one.channel} ${one.intervalMs}`;
      const group = groups.get(name);
      if (group) group.push(one);
      else groups.set(name, [one]);
    }
    this.#toAsk.clear();
    return [...groups.values()].flatMap((group) => {
      const starts = Array.from({ length: Math.ceil(group.length / most) }, (_, at) => at * most);
      return starts.map((start) => group.slice(start, start + most));
    });
  }

  /** Forget those that were given up and are not being asked for, and return them. */
  takeUnwanted(): Subscription[] {
    const ends = [...this.#all.values()].filter((one) => !one.isWanted && !one.isBeingAsked);
    for (const one of ends) {
      this.#all.delete(one.name);
      if (one.sub === null) continue;
      this.#ofSub.delete(one.sub);
      this.#left.add(one.sub);
    }
    return ends;
  }

  /**
   * Take in the numbers that subscriptions have on this connection, and the usual spelling of their keys. The server
   * says them in the order of the request, each once.
   */
  acknowledge(asked: readonly Subscription[], said: readonly Acknowledged[]): void {
    for (const [place, { channel, key, sub }] of said.entries()) {
      let subscription = this.get(channel, key);
      if (subscription) subscription.key = key;
      // Its venue spells it by a rule of its own, which only the server knows.
      else if (asked.length === said.length) subscription = asked[place];
      if (!subscription) {
        this.#left.add(sub);
        continue;
      }
      subscription.sub = sub;
      this.#ofSub.set(sub, subscription);
    }
  }

  /** Forget what ends with a connection; what is held and wanted is asked for on the next one. */
  disconnect(): void {
    this.#toAsk.clear();
    this.#ofSub.clear();
    this.#left.clear();
    for (const [name, one] of this.#all) {
      if (!one.isWanted) this.#all.delete(name);
      else {
        Object.assign(one, { sub: null, resyncId: null, isAsked: false, isRefused: false });
        this.#toAsk.add(one);
      }
    }
  }
}
