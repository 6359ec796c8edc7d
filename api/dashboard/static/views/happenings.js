// What happened to an account: alarms, notifications, and what funding will cost. A server that does not send a part
// of it refuses its channel, and that is said instead.

import { h, money, scrollTable, setChildren, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { clock, milliseconds, percent, rate } from "../words.js";
import { OUTCOMES, outcome } from "./funding.js";
import { tagElements } from "./reading.js";

const SHOWN = 12;
const CHARGES_MS = 30_000;

const KINDS = {
  liquidatable: ["bad", "liquidatable"],
  recovered: ["good", "recovered"],
  stale: ["warn", "price stale"],
  fresh: ["good", "prices fresh"],
  unpriced: ["warn", "price unknown"],
  priced: ["good", "prices known"],
  unknown: ["bad", "unknown"],
  known: ["good", "known again"],
  hedger_liquidatable: ["bad", "hedger liquidatable"],
  hedger_recovered: ["good", "hedger recovered"],
};

/** The sections; `setMarkets` says which markets' funding concerns the account. */
export function happenings(scope, key, deployment) {
  const element = h("div.grid.halves");
  const refused = h("p.note", { hidden: true });
  const refusals = new Set();
  const alerts = section("Alerts");
  const notifications = section("Notifications");
  const funding = section("Funding of the next epoch");
  const charged = section("Funding charged");
  element.append(alerts.element, notifications.element, funding.element, charged.element);

  async function readCharges() {
    try {
      const { items } = await live.rest(`/v1/funding/charges?${new URLSearchParams({ account: key, limit: SHOWN })}`);
      if (!scope.isOver && items.length) showCharges(items);
    } catch (error) {
      if (!scope.isOver) charged.say(error.message);
    }
  }

  function showCharges(items) {
    charged.show(
      ["Epoch", "Quote", "Outcome", "Account pays"],
      items.map((one) => [
        at(one.begins_ns),
        String(one.quote),
        outcome(OUTCOMES[one.outcome], one.reason),
        one.rate === undefined ? "–" : rate(one.rate),
      ]),
      "Nothing was charged.",
      JSON.stringify(items),
    );
  }

  scope.every(CHARGES_MS, readCharges);
  readCharges();

  follow("alerts", key, "alerts", (data) => {
    const transitions = data.transitions ?? [];
    const on = Object.entries(data.alarms ?? {});
    alerts.say(
      on.length
        ? on.map(([name, { since_ns: ns }]) => `${KINDS[name]?.[1] ?? name} since ${at(ns)}`).join(", ")
        : "no alarm is on",
    );
    alerts.show(
      ["When", "What", "uPnL", "To liquidation"],
      transitions
        .slice(0, SHOWN)
        .map((one) => [
          at(one.as_of_ns),
          h(
            "span",
            { title: one.hedger ?? "" },
            tagElements([KINDS[one.kind] ?? ["plain", one.kind]])[0],
            one.hedger ? ` ${one.hedger.slice(0, 6)}…${one.hedger.slice(-4)}` : "",
          ),
          money(one.upnl, { signed: true }),
          one.distance_bps === undefined ? h("span.unknown", "unknown") : percent(one.distance_bps),
        ]),
      "No alarm has ever been raised.",
      JSON.stringify(transitions.slice(0, SHOWN)),
    );
  });
  follow("position-states", key, "notifications", (data) => {
    const states = Object.values(data.states ?? {})
      .sort((a, b) => milliseconds(b.modified_ns) - milliseconds(a.modified_ns))
      .slice(0, SHOWN);
    // Only some venues notify.
    if (!states.length && notifications.element.hidden) return;
    notifications.show(
      ["When", "Quote", "What", "Outcome"],
      states.map((one) => [
        at(one.modified_ns),
        String(one.quote_id ?? one.temp_quote_id ?? "–"),
        one.last_seen_action ?? one.state_type,
        one.failure_type || one.error_code
          ? h("span.tag.bad", one.failure_message ?? one.failure_type ?? `error ${one.error_code}`)
          : (one.action_status ?? ""),
      ]),
      "Nothing has been notified.",
      JSON.stringify(states),
    );
  });

  const rates = new Map();
  const stops = new Map();
  scope.add(() => stops.forEach((stop) => stop()));

  function setMarkets(symbols) {
    for (const [symbol, stop] of stops) {
      if (symbols.has(symbol)) continue;
      stop();
      stops.delete(symbol);
      rates.delete(symbol);
    }
    for (const symbol of symbols) {
      if (stops.has(symbol) || refusals.has("funding")) continue;
      stops.set(
        symbol,
        live.client.subscribe(
          "funding",
          `${deployment}:${symbol}`,
          ({ data, error }) => {
            if (error) return refuse("funding");
            rates.set(symbol, data);
            showRates();
          },
          { intervalMs: 1000 },
        ),
      );
    }
  }

  function showRates() {
    const shown = [...rates].sort().filter(([, data]) => data.long_rate !== undefined);
    funding.show(
      ["Market", "Long", "Short", "At"],
      shown.map(([symbol, data]) => [
        symbol,
        rate(data.long_rate),
        rate(data.short_rate),
        at(data.next_ns),
      ]),
      "No rate is known.",
      JSON.stringify(shown),
    );
  }

  function follow(channel, of, name, take) {
    scope.add(
      live.client.subscribe(channel, of, ({ data, error }) => {
        if (scope.isOver) return;
        if (error) refuse(name);
        else take(data);
      }),
    );
  }

  function refuse(name) {
    refusals.add(name);
    setShown(refused, true);
    setText(refused, `Not sent by this server: ${[...refusals].sort().join(", ")}.`);
  }

  return { elements: [element, refused], setMarkets };
}

function at(ns) {
  return ns === undefined ? "an unknown time" : clock(milliseconds(ns));
}

/** A panel that appears with the first thing that it has to show. */
function section(title) {
  const note = h("span.note");
  const body = h("div");
  const element = h("section.panel", { hidden: true }, h("header", h("h2", title), note), body);
  return {
    element,
    say: (text) => setText(note, text),
    show: (columns, rows, nothing, key) => {
      setShown(element, true);
      const rowOf = (row) =>
        h(
          "tr",
          row.map((cell, at) => h(at > 1 ? "td.number" : "td", cell)),
        );
      const made = () => scrollTable(title, columns, (at) => at > 1, h("tbody", rows.map(rowOf)));
      setChildren(body, `${rows.length} ${key}`, () => [rows.length ? made() : h("p.empty", nothing)]);
    },
  };
}
