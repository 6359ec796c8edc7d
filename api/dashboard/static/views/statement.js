// What an account shows beside its figures, where its venue says it: wallets and orders, and why figures are unknown.

import { h, money, scrollTable, setChildren, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { plural } from "../words.js";

const LOOK_EVERY_MS = 1000;
// Of others there is no row, or none that may be shown.
const KNOWN = new Set(["valued", "unpriced", "suspect"]);
const DECIMAL = /^-?\d+(\.\d+)?$/;
const isText = (value) => typeof value === "string";
const isDecimal = (value) => isText(value) && DECIMAL.test(value);

// How rows are shown that say what those of a ledger do; all others are shown by their own columns.
const WALLETS = {
  columns: ["Wallet", "Currency", "Balance", "Unsettled interest"],
  isNumber: (at) => at >= 2,
  fits: ({ type, currency, balance, unsettled_interest: interest }) =>
    [type, currency].every(isText) && [balance, interest].every(isDecimal),
  cellsOf: ({ type, currency, balance, unsettled_interest: interest }) => [
    type,
    currency,
    money(balance, { price: true }),
    money(interest, { price: true, signed: true }),
  ],
};
const ORDERS = {
  columns: ["Market", "Side", "Type", "Left", "Of", "Price"],
  isNumber: (at) => at >= 3,
  fits: ({ symbol, type, amount, amount_orig: orig, price }) =>
    [symbol, type].every(isText) && [amount, orig, price].every(isDecimal),
  cellsOf: orderCells,
};

/** The sections; `follow(account)` is told each state of the account, after which its statement may be another. */
export function statement(scope, key) {
  const wallets = section("Wallets", WALLETS, "No wallets.");
  const orders = section("Orders", ORDERS, "No open orders.");
  const refused = h("p.note", { hidden: true });
  const doubt = h("p.note", { hidden: true });
  let hasBegun = false;
  let isDue = false;
  let isReading = false;
  let isOver = false;
  let after = null;
  let seq;

  function follow(account) {
    if (!KNOWN.has(account.status)) return;
    seq = account.seq;
    isDue = true;
    if (hasBegun) return;
    hasBegun = true;
    read();
  }

  async function read() {
    if (!isDue || isReading || isOver) return;
    isReading = true;
    isDue = false;
    try {
      const query = after === null ? "" : `?after=${after}`;
      const read = await live.rest(`/v1/accounts/${encodeURIComponent(key)}/statement${query}`);
      after = read.last_event;
      if (!scope.isOver) show(read.statement);
    } catch (error) {
      isDue = true;
      setText(refused, `Wallets and orders: ${error.message}`);
      setShown(refused, true);
    }
    isReading = false;
  }

  function show({ wallets: saidWallets, orders: saidOrders, seq: read, suspect }) {
    const [held, open] = [saidWallets, saidOrders].map(listed);
    setShown(refused, false);
    setText(doubt, `Figures are unknown: ${suspect}`);
    setShown(doubt, typeof suspect === "string");
    // A venue that has neither has no statement that changes.
    if (!held && !open && seq === undefined) isOver = true;
    // Both rows are written by one record, and come one after the other.
    if ([seq, read].every((one) => /^\d+$/.test(one)) && BigInt(read) < BigInt(seq)) isDue = true;
    if (held) wallets.show(held);
    if (open) orders.show(open);
  }

  scope.every(LOOK_EVERY_MS, read);
  return { elements: [doubt, h("div.grid.halves", wallets.element, orders.element), refused], follow };
}

/** The rows of what a venue says, which may also be an object of them by their ids; null where it says none. */
function listed(said) {
  if (said === null || typeof said !== "object") return null;
  const rows = Array.isArray(said) ? said : Object.entries(said).map(([id, row]) => ({ id, ...columnsOf(row) }));
  return rows.map(columnsOf);
}

function columnsOf(row) {
  return row !== null && typeof row === "object" && !Array.isArray(row) ? row : { value: row };
}

/** How rows of any columns are shown: each by its name, and as a number where all that stands in it are. */
function shapeOf(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const isGiven = (value) => value !== undefined && value !== null;
  const areNumbers = names.map((name) => rows.every((row) => !isGiven(row[name]) || DECIMAL.test(row[name])));
  // A whole number may be an id, or an instant.
  const areMoney = names.map((name, at) => areNumbers[at] && rows.some((row) => String(row[name]).includes(".")));
  const cell = (value, at) => {
    if (!isGiven(value)) return "–";
    if (areMoney[at]) return money(String(value), { price: true });
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  };
  return {
    columns: names.map((name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ")),
    isNumber: (at) => areNumbers[at],
    cellsOf: (row) => names.map((name, at) => cell(row[name], at)),
  };
}

function orderCells({ symbol, type, amount, amount_orig: orig, price }) {
  const isBuy = !amount.startsWith("-");
  const left = amount.replace("-", "");
  return [
    symbol,
    [h("span.shape", { "aria-hidden": "true" }, isBuy ? "▲" : "▼"), isBuy ? "buy" : "sell"],
    type,
    money(left, { price: true }),
    money(orig.replace("-", ""), { price: true }),
    // An order at the market's price has 0.
    /^0(\.0*)?$/.test(price) ? "market" : money(price, { price: true }),
  ];
}

/** A panel that appears with the first list that there is; its rows are of the shape `usual`, or of one of their own. */
function section(title, usual, nothing) {
  const note = h("span.note");
  const body = h("div");
  const element = h("section.panel", { hidden: true }, h("header", h("h2", title), note), body);
  const tableOf = (rows) => {
    const { columns, isNumber, cellsOf } = rows.every(usual.fits) ? usual : shapeOf(rows);
    const rowOf = (cells) => h("tr", cells.map((cell, at) => h(isNumber(at) ? "td.number" : "td", cell)));
    return scrollTable(title, columns, isNumber, h("tbody", rows.map((one) => rowOf(cellsOf(one)))));
  };
  return {
    element,
    show: (rows) => {
      setShown(element, true);
      setText(note, rows.length ? plural(rows.length, title.toLowerCase().slice(0, -1)) : "");
      setChildren(body, JSON.stringify(rows), () => [rows.length ? tableOf(rows) : h("p.empty", nothing)]);
    },
  };
}
