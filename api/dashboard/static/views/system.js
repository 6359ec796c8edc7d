// How late this replica is, how far the chains are, and which sources of prices speak.

import { TimeChart } from "../chart.js";
import { framed, h, scrollTable, setChildren, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { clock, count, duration, milliseconds, partNames } from "../words.js";
import { tagElements } from "./reading.js";

const POLL_MS = 2000;
const CHART_PX = 150;

const DEPLOYMENT_STATES = { followed: "good", stale: "warn", unsupported: "bad", unknown: "plain" };
const PART_STATES = { fresh: "good", overloaded: "warn", stale: "bad", unknown: "plain" };
const OVERLOADED = "It has more to do than it can: what it writes is older than it could be.";
const SOURCE_STATES = { live: "good", stale: "warn", silent: "bad" };

export function system(main, scope) {
  const lag = h("p.figure");
  const lagNote = h("p.note");
  const chartHost = h("div");
  const readout = h("p.readout", h("span", "Lag over the last minutes"), h("span"));
  const state = h("p.second");
  const reasons = h("p.note");
  const rates = h("p.second");
  const bytes = h("p.note");
  const heard = h("p.second");
  const replica = h("dl.figures");
  const deployments = table("Deployments", ["Deployment", "State", "Head", "Folded", "Final", "Age of head"], 2);
  const sources = table("Sources of prices", ["Source", "State", "Newest price"], 2);
  const parts = table("What keeps figures fresh", ["Part", "State", "Last sign of life", "At most"], 2);
  const feeds = table("Tables followed", ["Table", "State", "Rows", "Waiting", "Behind"], 2);
  main.append(
    h("div.heading", h("h1", "System")),
    h(
      "section.panel.hero.spaced",
      { "aria-label": "Lag" },
      h("div.main", h("div", h("p.label", "Lag of what is shown"), lag, lagNote), readout, chartHost),
      h(
        "div.side",
        h("div", h("p.label", "Replica"), state, reasons),
        h("div", h("p.label", "Received here"), rates, bytes),
        h("div", h("p.label", "Last heartbeat"), heard),
      ),
    ),
    h("div.grid.halves", parts.element, deployments.element),
    h("div.grid.halves", sources.element),
    h("div.grid.halves", feeds.element, h("section.panel", h("header", h("h2", "This connection")), replica)),
  );
  const chart = new TimeChart(chartHost, {
    label: "Lag in milliseconds",
    height: CHART_PX,
    least: 0,
    format: (ms) => `${Number(ms.toFixed(1))} ms`,
    onPoint: (at) =>
      setText(
        readout.lastChild,
        at === null || live.lagHistory.series[0][at] === null || live.lagHistory.series[0][at] === undefined
          ? ""
          : `${live.lagHistory.series[0][at]} ms at ${clock(live.lagHistory.times_s[at] * 1000)}`,
      ),
  });
  let status = null;
  let failure = null;
  let before = { ...live.received };
  let perSecond = null;

  const render = framed(() => {
    if (scope.isOver) return;
    const beat = live.heartbeat;
    setText(lag, beat?.is_ready ? `${count(beat.lag_ms)} ms` : "unknown");
    lag.classList.toggle("unknown", !beat?.is_ready);
    setText(
      lagNote,
      live.freshness.name === "live" ? "between the newest record and the figures here" : live.freshness.text,
    );
    setText(state, failure ? "unknown" : !status ? "–" : status.is_ready ? "ready" : "not ready");
    state.classList.toggle("unknown", Boolean(failure));
    setText(reasons, failure ?? (status?.reasons ?? []).join("; "));
    setText(rates, perSecond ? `${count(perSecond.messages)} messages/s` : "–");
    setText(bytes, perSecond ? `${(perSecond.characters / 1024).toFixed(1)} KiB/s` : "");
    setText(heard, live.heardAgoMs === null ? "none yet" : `${duration(live.heardAgoMs)} ago`);
    const told = status?.deployments ?? beat?.deployments ?? {};
    deployments.show(
      Object.entries(told).map(([name, said]) => [
        name,
        [
          DEPLOYMENT_STATES[said.status] ?? "plain",
          said.unsupported_since === undefined
            ? said.status
            : `unsupported since block ${count(said.unsupported_since)}`,
          said.unsupported_reason ?? said.reason,
        ],
        number(said.head),
        number(said.folded_head),
        number(said.final),
        said.head_time_ns ? duration(Math.max(0, live.nowMs() - milliseconds(said.head_time_ns))) : "unknown",
      ]),
    );
    parts.show(
      partRows(status).map(([name, { state: word, age_ms: age, bound_ms: bound, reason }]) => [
        name,
        [PART_STATES[word] ?? "plain", word, reason],
        age === undefined ? "unknown" : `${duration(age)} ago`,
        bound === undefined ? "unknown" : duration(bound),
      ]),
    );
    const speaking =
      status?.sources ??
      Object.fromEntries(Object.entries(beat?.sources ?? {}).map(([name, word]) => [name, { state: word }]));
    sources.show(
      Object.entries(speaking).map(([name, { state: word, age_ms: age, late_ms: late = 0 }]) => [
        name,
        [SOURCE_STATES[word] ?? "plain", word],
        age === undefined ? "unknown" : `${duration(age)} ago${late < 1_000 ? "" : `, ${duration(late)} late`}`,
      ]),
    );
    feeds.show(
      Object.entries(status?.feeds ?? {}).map(([name, feed]) => [
        name,
        feed.is_ready ? ["good", "read"] : ["warn", "being read"],
        count(feed.rows),
        `${count(feed.lag_records)} records`,
        duration(feed.behind_ms),
      ]),
    );
    showReplica();
  });

  function showReplica() {
    const hello = live.client.hello;
    const facts = [
      ["Server", status && `Tidemark ${status.version}`],
      ["Replica", status?.replica],
      ["Load", status && (status.overloaded.includes("replica") ? "overloaded: frames are sent less often" : "keeps up")],
      ["Epoch", status && String(status.epoch)],
      ["Connection", hello?.connection],
      ["Access", hello?.auth && { open: "open to everybody", required: "by token", done: "by token" }[hello.auth]],
      [
        "Clock here",
        Math.abs(live.offsetMs) < 1000
          ? "agrees with the server's"
          : `${duration(Math.abs(live.offsetMs))} ${live.offsetMs > 0 ? "behind" : "ahead of"} the server's`,
      ],
    ];
    setChildren(replica, JSON.stringify(facts), () =>
      facts.map(([name, value]) =>
        h("div", h("dt", name), h(/Replica|Connection/.test(name) ? "dd.mono" : "dd", value ?? "unknown")),
      ),
    );
  }

  async function read() {
    try {
      status = await live.rest("/v1/status");
      failure = null;
    } catch (error) {
      failure = error.message;
    }
    render();
  }

  function sample() {
    chart.setData(live.lagHistory.times_s, live.lagHistory.series[0]);
    perSecond = {
      messages: live.received.messages - before.messages,
      characters: live.received.characters - before.characters,
    };
    before = { ...live.received };
    render();
  }

  live.watch(scope, render);
  scope.on(live, "sample", sample);
  scope.every(POLL_MS, read);
  scope.add(() => chart.end());
  chart.setData(live.lagHistory.times_s, live.lagHistory.series[0]);
  read();
  return "System";
}

/** One row of each part; partitions in the same state, which one worker or several own, share the oldest's. */
function partRows(status) {
  const groups = new Map();
  for (const [name, said] of Object.entries(status?.parts ?? {})) {
    const isOverloaded = said.state === "fresh" && status.overloaded.includes(name);
    const part = isOverloaded ? { ...said, state: "overloaded", reason: OVERLOADED } : said;
    const key = name.startsWith("worker:") ? `worker ${part.state}` : name;
    groups.set(key, [...(groups.get(key) ?? []), [name, part]]);
  }
  return [...groups.values()].map((group) => {
    const [, oldest] = group.reduce((one, other) => ((other[1].age_ms ?? 0) > (one[1].age_ms ?? 0) ? other : one));
    return [partNames(group.map(([name]) => name)), oldest];
  });
}

function number(value) {
  return value === undefined ? "unknown" : count(value);
}

/** A small table made anew when what it says changes; a cell is a text, or a tag `[kind, text, title]`. */
function table(title, columns, firstNumber) {
  const kind = (at) => (at >= firstNumber ? ".number" : "");
  const body = h("tbody");
  const empty = h("p.empty", "None known yet.");
  const scroll = setShown(
    scrollTable(title, columns, (at) => at >= firstNumber, body),
    false,
  );
  return {
    element: h("section.panel", h("header", h("h2", title)), scroll, empty),
    show: (rows) => {
      setShown(scroll, rows.length > 0);
      setShown(empty, rows.length === 0);
      setChildren(body, JSON.stringify(rows), () =>
        rows.map((row) =>
          h(
            "tr",
            row.map((cell, at) =>
              Array.isArray(cell)
                ? h("td", { title: cell[2] }, tagElements([cell]))
                : h(`td${kind(at)}${cell === "unknown" ? ".unknown" : ""}`, cell),
            ),
          ),
        ),
      );
    },
  };
}
