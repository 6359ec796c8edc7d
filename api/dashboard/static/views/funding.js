// Funding as it was charged on chain: the epochs of the last days, their terms, and what became of each quote.

import { framed, h, money, scrollTable, setChildren, setText } from "../dom.js";
import { live } from "../live.js";
import { clock, count, duration, milliseconds, plural, rate, short } from "../words.js";
import { tagElements } from "./reading.js";

const POLL_MS = 15_000;
const EPOCHS = 18;
const QUOTES = 200;

export const OUTCOMES = {
  paid: ["good", "paid"],
  free: ["plain", "nothing to pay"],
  closed: ["plain", "closed"],
  refused: ["bad", "refused"],
  missed: ["bad", "missed"],
  open: ["warn", "open"],
};

const asked = { outcome: "" };

export function funding(main, scope) {
  const note = h("span.note", { role: "status" });
  const choose = h(
    "select",
    { "aria-label": "Outcome" },
    h("option", { value: "" }, "every outcome"),
    Object.entries(OUTCOMES).map(([name, [, text]]) => h("option", { value: name }, text)),
  );
  choose.value = asked.outcome;
  const epochs = panel("Epochs");
  const terms = panel("Terms of the newest epoch");
  const quotes = panel("Quotes of the newest epoch", choose);
  main.append(
    h("div.heading", h("h1", "Funding"), note),
    epochs.element,
    terms.element,
    quotes.element,
  );
  let told = null;
  let charges = null;
  let failure = null;

  async function read() {
    try {
      const { items } = await live.rest(`/v1/funding/epochs?limit=${EPOCHS}`);
      const newest = items.find((one) => one.missed === undefined);
      const query = new URLSearchParams({
        limit: QUOTES,
        ...(newest && { epoch: newest.epoch, deployment: newest.deployment }),
        ...(asked.outcome && { outcome: asked.outcome }),
      });
      const page = newest ? await live.rest(`/v1/funding/charges?${query}`) : { items: [] };
      [told, charges, failure] = [items, page, null];
    } catch (error) {
      failure = error.message;
    }
    render();
  }

  const render = framed(() => {
    if (scope.isOver) return;
    setText(note, failure ?? (told ? `${plural(told.length, "epoch")} of the last three days` : ""));
    if (!told) return;
    epochs.show(
      ["Begins", "Deployment", "State", "Length", "Markets", "Fees"],
      3,
      told.map((one) => [
        clock(milliseconds(one.begins_ns)),
        one.deployment,
        outcome(stateOf(one), one.missed),
        duration(one.epoch_s * 1000),
        count(one.markets.length),
        fees(one.fees),
      ]),
      "No epoch of the last three days is on record.",
    );
    const newest = told.find((one) => one.missed === undefined);
    terms.show(
      ["Market", "Mark", "Long", "Short", "Event of the mark"],
      1,
      [
        ...(newest?.markets ?? []).map((one) => [
          String(one.market),
          money(one.mark, { price: true }),
          rate(one.long_rate),
          rate(one.short_rate),
          one.mark_tick ? clock(milliseconds(one.mark_tick.event_ns)) : "–",
        ]),
        ...(newest?.left_out ?? []).map((one) => [
          String(one.market),
          "–",
          "–",
          "–",
          outcome(["bad", "left out"], one.reason),
        ]),
      ],
      "None yet.",
    );
    quotes.show(
      ["Account", "Quote", "Outcome", "Account pays", "Cost"],
      3,
      charges.items.map((one) => [
        h("a.mono", { href: `#/accounts/${one.account}`, title: one.account }, short(one.account.split(":")[1])),
        String(one.quote),
        outcome(OUTCOMES[one.outcome], one.reason),
        one.rate === undefined ? "–" : rate(one.rate),
        one.cost ?? "–",
      ]),
      asked.outcome ? "No quote of this outcome." : "No quote yet.",
    );
  });

  choose.addEventListener("change", () => {
    asked.outcome = choose.value;
    read();
  });
  scope.every(POLL_MS, read);
  read();
  return "Funding";
}

/** What an epoch cost in the chain's coin, and as a share of what was charged. */
function fees(one) {
  if (!one) return "–";
  return one.share_bps === undefined ? one.cost : `${one.cost} (${one.share_bps / 100} %)`;
}

function stateOf(one) {
  if (one.missed !== undefined) return ["bad", "missed"];
  if (live.nowMs() <= Date.parse(one.closes)) return ["warn", "being charged"];
  if (!one.left_out.length) return ["good", "charged"];
  return ["warn", `charged but for ${plural(one.left_out.length, "market")}`];
}

/** A tag, and why it is so where that is told. */
export function outcome(tag, reason) {
  return h("span", tagElements([tag]), reason ? ` ${reason}` : "");
}

function panel(title, tools) {
  const body = h("div", h("p.empty", "Loading"));
  return {
    element: h("section.panel.spaced", h("header", h("h2", title), tools ?? null), body),
    show: (columns, firstNumber, rows, nothing) => {
      const rowOf = (row) =>
        h(
          "tr",
          row.map((cell, at) => h(at >= firstNumber ? "td.number" : "td", cell)),
        );
      const key = JSON.stringify(rows.map((row) => row.map((cell) => cell.outerHTML ?? cell)));
      setChildren(body, `${columns.length} ${key}`, () => [
        rows.length
          ? scrollTable(title, columns, (at) => at >= firstNumber, h("tbody", rows.map(rowOf)))
          : h("p.empty", nothing),
      ]);
    },
  };
}
