// How often a client may ask, and how soon it may come back.

// Of the messages that the server allows: its clock and ours do not agree on when a second is over.
const SHARE_SENT = 0.8;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;

/** The messages that may be sent, as many as the server reads. */
export class Allowance {
  readonly #perMs: number;
  readonly #burst: number;
  #left: number;
  #atMs: number;

  constructor(perS: number, burst: number, nowMs: number) {
    this.#perMs = (perS * SHARE_SENT) / 1000;
    this.#burst = Math.max(1, burst * SHARE_SENT);
    this.#left = this.#burst;
    this.#atMs = nowMs;
  }

  /** Take one message, and return 0; or take none, and return after how many ms there will be one. */
  take(nowMs: number): number {
    this.#left = Math.min(this.#burst, this.#left + Math.max(0, nowMs - this.#atMs) * this.#perMs);
    this.#atMs = Math.max(nowMs, this.#atMs);
    if (this.#left >= 1 && nowMs >= this.#atMs) {
      this.#left -= 1;
      return 0;
    }
    return this.#atMs - nowMs + Math.max(0, 1 - this.#left) / this.#perMs;
  }

  /** Take none before then: the server said that it did not read one. */
  stopUntil(thenMs: number): void {
    this.#left = 0;
    this.#atMs = thenMs;
  }
}

/** The waits between attempts: twice as long each time, and spread, since all clients lose a replica at once. */
export class BackOff {
  readonly #spread: () => number;
  #losses = 0;

  constructor(spread: () => number) {
    this.#spread = spread;
  }

  /** The next wait; the longest one where the server said that there are too many of us. */
  nextMs(isCrowded: boolean): number {
    const waitMs = isCrowded ? LONGEST_WAIT_MS : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#losses);
    this.#losses = Math.min(this.#losses + 1, 10);
    return waitMs * (0.5 + this.#spread() / 2);
  }

  /** Begin with the shortest wait again: the server works. */
  reset(): void {
    this.#losses = 0;
  }
}
