// What happened to an account, as lists that go on: fills, closed positions, funding, liquidations, fees.

import { h, money, scrollTable, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { clock, count, milliseconds, rate } from "../words.js";
import { segments } from "./segments.js";

const PAGE = 25;
const READ_MS = 30_000;

const when = (one) => clock(milliseconds(one.at_ns ?? one.closed_ns));
const signed = (text) => money(text, { signed: true, missing: "–" });
const price = (text) => money(text, { price: true, missing: "–" });
const what = (one) => [one.kind === "open" ? "opened" : one.kind === "close" ? "closed" : one.kind, one.side && ` ${one.side}`];

// Of each list: its path, its columns, and what makes a row's cells of an item and its market's name.
const LISTS = {
  Fills: {
    path: "bookings?kind=open,close,liquidation&",
    wanted: (one) => one.quantity !== undefined,
    columns: ["When", "What", "Market", "Quantity", "Price", "Realised"],
    cells: (one, market) => [when(one), what(one), market, price(one.quantity), price(one.price), signed(one.realised)],
  },
  "Closed positions": {
    path: "closed-positions?",
    columns: ["Closed", "Side", "Market", "Quantity", "Opened at", "Closed at", "Realised", "Of that funding"],
    cells: (one, market) => [
      when(one),
      [one.side ?? "", one.ended === "liquidation" ? " liquidated" : ""],
      market,
      price(one.quantity),
      price(one.opened_price),
      price(one.closed_price),
      signed(one.realised),
      signed(one.funding),
    ],
  },
  Funding: {
    path: "bookings?kind=funding&",
    columns: ["When", "Side", "Market", "Rate", "Price before", "Price after", "Received"],
    cells: (one, market) => [
      when(one),
      one.side ?? "",
      market,
      one.rate === undefined ? "–" : rate(one.rate),
      price(one.opened_price),
      price(one.opened_price_after),
      signed(one.funding ?? one.balance),
    ],
  },
  Liquidations: {
    path: "bookings?kind=liquidation&",
    columns: ["When", "What", "Market", "Quantity", "Price", "Realised", "Balance"],
    cells: (one, market) => [
      when(one),
      [one.cause, one.side && ` ${one.side}`],
      market,
      price(one.quantity),
      price(one.price),
      signed(one.realised),
      signed(one.balance),
    ],
  },
  Balance: {
    path: "bookings?kind=fee,realised,transfer,balance,checkpoint,gap&",
    columns: ["When", "What", "For", "Change"],
    cells: (one) => [when(one), one.kind, one.cause, [signed(one.balance), one.currency && ` ${one.currency}`]],
  },
};

/** The section; `follow(account)` is told each state of the account. `nameOf(symbol id)` is the market's name. */
export function lists(scope, key, nameOf) {
  const path = `/v1/accounts/${encodeURIComponent(key)}`;
  let name = "Fills";
  let read = 0;
  let isThere = false;
  let items = [];
  let cursor;
  const note = h("span.note");
  const table = h("div");
  const more = h("button.quiet", { type: "button", hidden: true, onclick: () => ask(cursor) }, "Show older");
  const choice = segments("What happened", Object.keys(LISTS), (chosen) => {
    name = chosen;
    [items, cursor] = [[], undefined];
    show();
    ask();
  });
  const element = h(
    "section.panel.spaced",
    { "aria-label": "What happened", hidden: true },
    h("header", h("h2", "What happened"), note),
    h("div.heading.inset", choice.element),
    table,
    h("div.more", more),
  );

  function follow(account) {
    if (isThere || account.status === "absent") return;
    isThere = true;
    ask();
  }

  async function ask(after) {
    if (!isThere) return;
    read += 1;
    const mine = read;
    try {
      const page = new URLSearchParams({ limit: PAGE, ...(after && { cursor: after }) });
      const answer = await live.rest(`${path}/${LISTS[name].path}${page}`);
      if (scope.isOver || mine !== read) return;
      items = after ? [...items, ...answer.items] : answer.items;
      cursor = answer.next_cursor;
      setShown(element, answer.told.length > 0);
      const from = answer.held_from_ns && clock(milliseconds(answer.held_from_ns));
      setText(note, from ? `the newest ${count(answer.kept)}, from ${from} on` : "");
      show(true);
    } catch (error) {
      if (scope.isOver || mine !== read) return;
      setShown(element, true);
      setText(note, error.message);
    }
  }

  function show(isRead = false) {
    const { columns, cells, wanted = () => true } = LISTS[name];
    choice.press(name);
    setShown(more, cursor !== undefined);
    const isNumber = (at) => at > 2;
    const rows = items.filter(wanted).map((one) => {
      const market = one.symbol_id === undefined ? "–" : (nameOf(one.symbol_id) ?? `symbol ${one.symbol_id}`);
      return h(
        "tr",
        cells(one, market).map((cell, at) => h(isNumber(at) ? "td.number" : "td", { "data-label": columns[at] }, cell)),
      );
    });
    const region = scrollTable(name, columns, isNumber, h("tbody", rows));
    region.classList.add("stacks");
    table.replaceChildren(rows.length ? region : h("p.empty", isRead ? "There is nothing." : "…"));
  }

  // Who looks at older pages keeps them.
  scope.every(READ_MS, () => items.length <= PAGE && ask());
  show();
  return { element, follow, renamed: () => show(items.length > 0) };
}
