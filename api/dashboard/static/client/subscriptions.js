// What is subscribed to, and what is held of it, which outlives connections.
// In keys of these channels the case of a deployment and of an EVM address does not matter; of other accounts it does.
const OF_ACCOUNTS = new Set(["account", "valuations", "positions", "position-states", "alerts"]);
const ADDRESS = /^0[xX][0-9a-fA-F]{40}$/;
/** One key of one channel. */
export class Subscription {
    /** What tells it from others. */
    name;
    channel;
    /** As it was asked for, and once it was acknowledged as the server spells it. */
    key;
    intervalMs;
    held = null;
    /** Its number on this connection; null where it was not acknowledged. */
    sub = null;
    isAsked = false;
    isWanted = true;
    isRefused = false;
    /** The request that asked for all of it again, until it comes. */
    resyncId = null;
    constructor(channel, key, intervalMs) {
        this.name = nameOf(channel, key);
        this.channel = channel;
        this.key = key;
        this.intervalMs = intervalMs;
    }
    /** Whether the server has not answered yet. */
    get isBeingAsked() {
        return this.isAsked && this.sub === null && !this.isRefused;
    }
}
/** What tells subscriptions apart, in whatever spelling. */
export function nameOf(channel, key) {
    if (!OF_ACCOUNTS.has(channel))
        return `${channel} ${key}`;
    const end = key.indexOf(":") + 1;
    const account = key.slice(end);
    return `${channel} ${key.slice(0, end).toLowerCase()}${ADDRESS.test(account) ? account.toLowerCase() : account}`;
}
/** All of them, those to be asked for, and the numbers that they have on this connection. */
export class Subscriptions {
    #all = new Map();
    #toAsk = new Set();
    #ofSub = new Map();
    #left = new Set();
    get(channel, key) {
        return this.#all.get(nameOf(channel, key));
    }
    ofSub(sub) {
        return this.#ofSub.get(sub);
    }
    /** Whether the number was unsubscribed on this connection: what still comes of it is nobody's. */
    wasLeft(sub) {
        return this.#left.has(sub);
    }
    /** Want a key; whether that has to be said to the server. */
    want(channel, key, intervalMs) {
        const name = nameOf(channel, key);
        const known = this.#all.get(name) ?? new Subscription(channel, key, intervalMs);
        this.#all.set(name, known);
        const isSaid = known.isAsked && !known.isRefused && known.intervalMs === intervalMs;
        Object.assign(known, { intervalMs, isWanted: true, isRefused: false });
        if (!isSaid)
            this.#toAsk.add(known);
        return !isSaid;
    }
    /** Give a key up. */
    unwant(channel, key) {
        const known = this.get(channel, key);
        if (!known)
            return;
        known.isWanted = false;
        this.#toAsk.delete(known);
    }
    /** Those that are to be asked for, as groups of one channel and interval, of `most` keys at the most. */
    takeToAsk(most) {
        const groups = new Map();
        for (const one of this.#toAsk) {
            const name = `${one.channel} ${one.intervalMs}`;
            const group = groups.get(name);
            if (group)
                group.push(one);
            else
                groups.set(name, [one]);
        }
        this.#toAsk.clear();
        return [...groups.values()].flatMap((group) => {
            const starts = Array.from({ length: Math.ceil(group.length / most) }, (_, at) => at * most);
            return starts.map((start) => group.slice(start, start + most));
        });
    }
    /** Forget those that were given up and are not being asked for, and return them. */
    takeUnwanted() {
        const ends = [...this.#all.values()].filter((one) => !one.isWanted && !one.isBeingAsked);
        for (const one of ends) {
            this.#all.delete(one.name);
            if (one.sub === null)
                continue;
            this.#ofSub.delete(one.sub);
            this.#left.add(one.sub);
        }
        return ends;
    }
    /**
     * Take in the numbers that subscriptions have on this connection, and the usual spelling of their keys. The server
     * says them in the order of the request, each once.
     */
    acknowledge(asked, said) {
        for (const [place, { channel, key, sub }] of said.entries()) {
            let subscription = this.get(channel, key);
            if (subscription)
                subscription.key = key;
            // Its venue spells it by a rule of its own, which only the server knows.
            else if (asked.length === said.length)
                subscription = asked[place];
            if (!subscription) {
                this.#left.add(sub);
                continue;
            }
            subscription.sub = sub;
            this.#ofSub.set(sub, subscription);
        }
    }
    /** Forget what ends with a connection; what is held and wanted is asked for on the next one. */
    disconnect() {
        this.#toAsk.clear();
        this.#ofSub.clear();
        this.#left.clear();
        for (const [name, one] of this.#all) {
            if (!one.isWanted)
                this.#all.delete(name);
            else {
                Object.assign(one, { sub: null, resyncId: null, isAsked: false, isRefused: false });
                this.#toAsk.add(one);
            }
        }
    }
}
