// What an account shows beside its figures, where its venue says it: wallets and orders, and why figures are unknown.

import { h, money, scrollTable, setChildren, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { plural } from "../words.js";

const LOOK_EVERY_MS = 1000;
// Of others there is no row, or none that may be shown.
const KNOWN = new Set(["valued", "unpriced", "suspect"]);
const WALLET_COLUMNS = ["Wallet", "Currency", "Balance", "Unsettled interest"];
const ORDER_COLUMNS = ["Market", "Side", "Type", "Left", "Of", "Price"];

/** The sections; `follow(account)` is told each state of the account, after which its statement may be another. */
export function statement(scope, key) {
  const wallets = section("Wallets", WALLET_COLUMNS, 2, "No wallets.");
  const orders = section("Orders", ORDER_COLUMNS, 3, "No open orders.");
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

  function show({ wallets: held, orders: open, seq: read, suspect }) {
    setShown(refused, false);
    setText(doubt, `Figures are unknown: ${suspect}`);
    setShown(doubt, typeof suspect === "string");
    // A venue that has neither has no statement that changes.
    if (!Array.isArray(held) && !Array.isArray(open) && seq === undefined) isOver = true;
    // Both rows are written by one record, and come one after the other.
    if (seq !== undefined && read !== undefined && BigInt(read) < BigInt(seq)) isDue = true;
    if (Array.isArray(held)) wallets.show(held, walletCells);
    if (Array.isArray(open)) orders.show(open, orderCells);
  }

  scope.every(LOOK_EVERY_MS, read);
  return { elements: [doubt, h("div.grid.halves", wallets.element, orders.element), refused], follow };
}

function walletCells({ type, currency, balance, unsettled_interest: interest }) {
  return [type, currency, money(balance, { price: true }), money(interest, { price: true, signed: true })];
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

/** A panel that appears with the first list that there is. */
function section(title, columns, firstNumber, nothing) {
  const note = h("span.note");
  const body = h("div");
  const element = h("section.panel", { hidden: true }, h("header", h("h2", title), note), body);
  const isNumber = (at) => at >= firstNumber;
  const rowOf = (cells) => h("tr", cells.map((cell, at) => h(isNumber(at) ? "td.number" : "td", cell)));
  return {
    element,
    show: (list, cellsOf) => {
      setShown(element, true);
      setText(note, list.length ? plural(list.length, title.toLowerCase().slice(0, -1)) : "");
      const rows = () => h("tbody", list.map((one) => rowOf(cellsOf(one))));
      setChildren(body, JSON.stringify(list), () => [
        list.length ? scrollTable(title, columns, isNumber, rows()) : h("p.empty", nothing),
      ]);
    },
  };
}
