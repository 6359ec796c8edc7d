// What all views share: the one connection, the server's clock, and what was seen in the last minutes.

import { Client } from "./client/index.js";
import { duration, milliseconds, partNames } from "./words.js";

const TOKEN = "tidemark.token";
const TIMEOUT_MS = 10_000;
const ASK_AGAIN_MS = 2000;
const SAMPLE_MS = 1000;
const SAMPLES_KEPT = 900; // a quarter of an hour
const TOTALS_INTERVAL_MS = 500;
// A heartbeat that is this much later than promised says that the connection hangs.
const HEARTBEATS_LATE = 1.8;
const LATE_MS = 5000;

// A replica that has just started hears no answers yet.
const PAST_ASKED_TIMES = 5;

/** Values sampled once a second; null where nothing was known, so that a line has a gap there. */
export class History {
  times_s = [];
  series;

  constructor(width) {
    this.series = Array.from({ length: width }, () => []);
  }

  push(timeMs, values) {
    this.times_s.push(timeMs / 1000);
    values.forEach((value, at) => this.series[at].push(value));
    if (this.times_s.length > SAMPLES_KEPT) [this.times_s, ...this.series].forEach((list) => list.shift());
  }

  /**
   * Put what was before in front: bars of a second, each of which holds until the next one.
   *
   * @param {object} answer Of REST: `items`, and `before` them.
   * @param {string[]} figures Which of a bar's are the series.
   * @param {number} nowMs Server's time.
   */
  putBefore({ items, before }, figures, nowMs) {
    const bars = new Map(items.map((bar) => [milliseconds(bar.at_ns) / 1000, bar]));
    const untilS = this.times_s[0] ?? nowMs / 1000;
    const closes = (bar) => figures.map((figure) => (bar[figure]?.close === undefined ? null : Number(bar[figure].close)));
    let values = before ? closes(before) : figures.map(() => null);
    const times = [];
    const series = figures.map(() => []);
    for (let s = Math.floor(nowMs / 1000) - SAMPLES_KEPT; s < untilS; s += 1) {
      const bar = bars.get(s);
      if (bar) values = closes(bar);
      times.push(s);
      values.forEach((value, at) => series[at].push(value));
    }
    this.times_s.unshift(...times);
    this.series.forEach((list, at) => list.unshift(...series[at]));
    [this.times_s, ...this.series].forEach((list) => list.splice(0, list.length - SAMPLES_KEPT));
  }
}

class Live extends EventTarget {
  connection = { name: "connecting" };
  heartbeat = null;
  totals = new Map();
  totalsHistory = new Map();
  lagHistory = new History(1);
  received = { messages: 0, characters: 0 };
  offsetMs = 0;
  #heardAtMs = 0;

  constructor() {
    super();
    this.client = new Client(`${location.origin.replace(/^http/, "ws")}/v1/ws`, {
      token: sessionStorage.getItem(TOKEN),
      onState: (state) => {
        this.connection = state;
        this.#changed();
      },
      onHello: ({ server_time_ns: ns }) => this.#hear(ns),
      onHeartbeat: (heartbeat) => this.#beat(heartbeat),
      onFrame: (text) => (this.received.characters += text.length),
      onMessage: () => (this.received.messages += 1),
    });
  }

  start() {
    this.client.start();
    this.#ask();
    setInterval(() => this.#sample(), SAMPLE_MS);
    addEventListener("online", () => this.client.retry());
    document.addEventListener("visibilitychange", () => !document.hidden && this.client.retry());
  }

  /** Server's time, in ms. */
  nowMs() {
    return Date.now() + this.offsetMs;
  }

  /** Call `act` now and whenever connection or heartbeat change, until `scope` ends. */
  watch(scope, act) {
    scope.on(this, "change", act);
    act();
  }

  get deployments() {
    return this.heartbeat ? Object.keys(this.heartbeat.deployments) : [];
  }

  get heardAgoMs() {
    return this.#heardAtMs ? Date.now() - this.#heardAtMs : null;
  }

  /** How far what is shown can be trusted: `{name, text}`; all but "live" is to be said plainly. */
  get freshness() {
    const { name, retryAtMs, reason } = this.connection;
    if (name === "ended") return { name: "ended", text: reason };
    if (name === "waiting") {
      const seconds = Math.max(0, Math.ceil((retryAtMs - Date.now()) / 1000));
      return { name: "lost", text: `connection lost, again in ${seconds} s` };
    }
    if (name === "connecting" || !this.heartbeat)
      return { name: this.#heardAtMs ? "lost" : "connecting", text: "connecting" };
    if (this.heardAgoMs > this.client.hello.heartbeat_ms * HEARTBEATS_LATE && this.heardAgoMs > LATE_MS) {
      return { name: "late", text: `no word for ${duration(this.heardAgoMs)}` };
    }
    if (!this.heartbeat.is_ready) return { name: "reading", text: "server is reading its tables" };
    const stale = Object.entries(this.heartbeat.stale);
    if (stale.length) {
      const age_ms = Math.max(...stale.map(([, ms]) => ms)) + this.heardAgoMs;
      return { name: "late", text: `${partNames(stale.map(([name]) => name))}: silent for ${duration(age_ms)}` };
    }
    if (this.heartbeat.lag_ms > LATE_MS)
      return { name: "late", text: `figures ${duration(this.heartbeat.lag_ms)} late` };
    return { name: "live", text: this.replayOf ? `replay of ${this.replayOf}` : "live" };
  }

  /** The instant of the past that everything is a replay of; null where nothing is replayed. */
  get replayOf() {
    return this.heartbeat?.replay_of ?? null;
  }

  setToken(token) {
    sessionStorage.setItem(TOKEN, token);
    this.client.token = token;
    this.client.start();
  }

  /** Have the browser save what a path answers; a link could not say who asks. */
  async save(path, name) {
    const response = await this.#fetched(path);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  async rest(path, signal) {
    const response = await this.#fetched(path, signal);
    return response.json();
  }

  async #fetched(path, signal) {
    const headers = this.client.token ? { Authorization: `Bearer ${this.client.token}` } : {};
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(path, { headers, signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw new Error(problem.detail ?? problem.title ?? `${path.split("?")[0]} answered ${response.status}`);
    }
    return response;
  }

  /** Have a chart begin with what was before the page was opened; without an answer, or in a replay, it begins now. */
  async past(path, history, figures, scope) {
    for (let asked = 0; asked < PAST_ASKED_TIMES && !scope?.isOver && !this.replayOf; asked += 1) {
      try {
        const answer = await this.rest(`${path}step=1s&limit=${SAMPLES_KEPT}`);
        if (!scope?.isOver) history.putBefore(answer, figures, this.nowMs());
        this.dispatchEvent(new Event("sample"));
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      }
    }
  }

  /** The first heartbeat comes after some seconds; until then its words are taken from the status. */
  async #ask() {
    if (this.heartbeat) return;
    try {
      const { server_time_ns, feeds, deployments, sources, lag_ms, stale, replay_of } = await this.rest("/v1/status");
      const is_ready = Object.values(feeds).every((feed) => feed.is_ready);
      const states = Object.fromEntries(Object.entries(sources).map(([name, { state }]) => [name, state]));
      const said = { server_time_ns, is_ready, lag_ms, stale, deployments, sources: states, replay_of };
      if (!this.heartbeat) this.#beat(said);
    } catch {
      setTimeout(() => this.#ask(), ASK_AGAIN_MS); // the connection's own state says what is wrong
    }
  }

  #beat(heartbeat) {
    this.heartbeat = heartbeat;
    this.#hear(heartbeat.server_time_ns);
    for (const name of Object.keys(heartbeat.deployments)) this.#follow(name);
    this.#changed();
  }

  #hear(ns) {
    this.#heardAtMs = Date.now();
    this.offsetMs = milliseconds(ns) - Date.now();
  }

  #follow(deployment) {
    if (this.totalsHistory.has(deployment)) return;
    const history = new History(2);
    this.totalsHistory.set(deployment, history);
    this.client.subscribe(
      "totals",
      deployment,
      ({ data, error }) => {
        const isFirst = !this.totals.has(deployment);
        this.totals.set(deployment, error ? { refusal: error.message } : data);
        if (isFirst && !error) {
          this.past(`/v1/totals/history?deployment=${encodeURIComponent(deployment)}&`, history, ["upnl", "notional"]);
        }
        if (isFirst) this.#sample();
        this.dispatchEvent(new Event("totals"));
      },
      { intervalMs: TOTALS_INTERVAL_MS },
    );
  }

  #sample() {
    const isLive = this.freshness.name === "live";
    const known = (text) => (isLive && text !== undefined ? Number(text) : null);
    for (const [name, history] of this.totalsHistory) {
      const totals = this.totals.get(name);
      history.push(this.nowMs(), [known(totals?.upnl), known(totals?.notional)]);
    }
    this.lagHistory.push(this.nowMs(), [isLive ? this.heartbeat.lag_ms : null]);
    this.dispatchEvent(new Event("sample"));
    if (!isLive) this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const live = new Live();
