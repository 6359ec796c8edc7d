// How an account went over hours, days and months, as far back as it is kept, with its fills and when funding was
// charged, and files of it.

import { TimeChart } from "../chart.js";
import { h, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { about, clock, milliseconds } from "../words.js";
import { segments } from "./segments.js";

const CHART_PX = 180;
const READ_MS = 60_000;
const CHARGES = 200;
const FILLS = 1000;
// What is read for each span: bars of a step, and so many of them.
const SPANS = { "6 hours": ["1m", 360], "30 days": ["1h", 720], "1 year": ["1d", 366] };
const SECONDS = { "1m": 60, "1h": 3600, "1d": 86_400 };
const FIGURES = { Equity: "equity", uPnL: "upnl", Notional: "notional" };

/**
 * The section; `follow(account)` is told each state of the account, and of one that is not there nothing is asked.
 * `onSpan(from_s, to_s)` is told the span that is dragged over.
 */
export function course(scope, key, onSpan) {
  const path = `/v1/accounts/${encodeURIComponent(key)}/history`;
  let span = "6 hours";
  let figure = "Equity";
  let read = 0;
  let bars = [];
  let isThere = false;
  const host = h("div");
  const note = h("span.note");
  const readout = h("span.note");
  const legend = h("p.note.inset", { hidden: true });
  const csv = h("button.quiet", { type: "button", onclick: () => save("csv") }, "Download CSV");
  const parquet = h("button.quiet", { type: "button", onclick: () => save("parquet") }, "Parquet");
  const spans = segments("Span", Object.keys(SPANS), (name) => {
    span = name;
    show([]);
    ask();
  });
  const figures = segments("Figure", Object.keys(FIGURES), (name) => {
    figure = name;
    show(bars);
  });
  const chart = new TimeChart(host, { label: "How the account went", height: CHART_PX, onPoint: showPoint, onSpan });
  scope.add(() => chart.end());

  function follow(account) {
    if (isThere || account.status === "absent") return;
    isThere = true;
    ask();
    readCharges();
  }

  async function ask() {
    if (!isThere) return;
    read += 1;
    const mine = read;
    const [step, limit] = SPANS[span];
    try {
      const answer = await live.rest(`${path}?step=${step}&limit=${limit}`);
      if (scope.isOver || mine !== read) return;
      show(answer.before ? [answer.before, ...answer.items] : answer.items);
      const from = answer.held_from_ns && clock(milliseconds(answer.held_from_ns));
      setText(note, answer.is_cut ? `kept from ${from} on` : bars.length ? "" : "nothing was shown yet");
      await readFills(mine);
    } catch (error) {
      if (!scope.isOver && mine === read) setText(note, error.message);
    }
  }

  function show(found) {
    bars = found;
    spans.press(span);
    figures.press(figure);
    chart.setLabel(`${figure}, ${span}`);
    const value = (bar) => bar[FIGURES[figure]]?.close;
    chart.setData(
      bars.map(({ at_ns: ns }) => milliseconds(ns) / 1000),
      bars.map((bar) => (value(bar) === undefined ? null : Number(value(bar)))),
    );
  }

  function showPoint(index) {
    const bar = index === null ? null : bars[index];
    const close = bar?.[FIGURES[figure]]?.close;
    setText(readout, close === undefined ? "" : `about ${about(Number(close))} at ${clock(milliseconds(bar.at_ns))}`);
  }

  async function readFills(mine) {
    const [step, limit] = SPANS[span];
    const from = new Date(live.nowMs() - SECONDS[step] * limit * 1000).toISOString();
    const wanted = new URLSearchParams({ kind: "open,close,liquidation", from, limit: FILLS });
    let fills = [];
    try {
      const { items } = await live.rest(`/v1/accounts/${encodeURIComponent(key)}/bookings?${wanted}`);
      fills = [...new Set(items.map(({ at_ns: ns }) => milliseconds(ns) / 1000))];
    } catch {
      // The list of what happened says why.
    }
    if (scope.isOver || mine !== read) return;
    chart.setDots(fills);
    setShown(legend, fills.length > 0);
    setText(legend, `● fills: ${fills.length}; strokes at the bottom: funding was charged`);
  }

  async function readCharges() {
    try {
      const { items } = await live.rest(`/v1/funding/charges?${new URLSearchParams({ account: key, limit: CHARGES })}`);
      if (!scope.isOver) chart.setMarks([...new Set(items.map(({ begins_ns: ns }) => milliseconds(ns) / 1000))]);
    } catch {
      // The table of what was charged says why.
    }
  }

  async function save(kind) {
    const [step, limit] = SPANS[span];
    const from = new Date(live.nowMs() - SECONDS[step] * limit * 1000).toISOString();
    try {
      await live.save(`${path}.${kind}?${new URLSearchParams({ step, from })}`, `${key.replace(":", "-")}-${step}.${kind}`);
    } catch (error) {
      setText(note, error.message);
    }
  }

  scope.every(READ_MS, ask);
  show([]);
  const element = h(
    "section.panel.spaced",
    { "aria-label": "How the account went" },
    h("header", h("h2", "History"), readout, note),
    h("div.heading.inset", spans.element, figures.element, csv, parquet),
    host,
    legend,
  );
  return { element, follow };
}
