// One account: figures, positions, and how its uPnL went.

import { TimeChart } from "../chart.js";
import { framed, h, scrollTable, setChildren, setMoney, setShown, setText } from "../dom.js";
import { History, live } from "../live.js";
import { clock, count, milliseconds, percent, plural, short } from "../words.js";
import { course } from "./course.js";
import { happenings } from "./happenings.js";
import { lists } from "./lists.js";
import { missingWay, reading, setWay, tagElements } from "./reading.js";
import { statement } from "./statement.js";
import { why } from "./why.js";

const CHART_PX = 210;

const FIGURES = [
  ["upnl_net", "uPnL after fees of closing"],
  ["equity", "Equity"],
  ["available_balance", "Available before liquidation"],
  ["available_for_quote", "Available for new quotes"],
  ["allocated", "Allocated"],
  ["notional_opened", "Notional at opening prices"],
];
// These are of some venues only: each is shown once the account has had it, and is unknown where it is missing then.
const OWN_FIGURES = new Set(["upnl_net", "available_for_quote", "allocated", "notional_opened"]);
const LOCKED = [
  ["cva", "Credit valuation (CVA)"],
  ["lf", "Liquidation fee"],
  ["party_a_mm", "Maintenance margin"],
];
const LOCKED_COLUMNS = ["For", "Open positions", "Pending quotes"];
const POSITION_COLUMNS = [
  "Market",
  "Side",
  "Quantity",
  "Opened at",
  "Mark",
  "uPnL",
  "Notional",
  "Liquidation price",
  "Distance",
];
export function account(main, scope, key) {
  const [deployment, address = ""] = key.split(":");
  const upnl = h("p.figure.money");
  const notional = h("p.second.money");
  const way = h("p.second");
  const positionsCount = h("p.second");
  const tags = h("span");
  const owner = h("span.note");
  const asOf = h("p.note");
  const chartHost = h("div");
  const readout = h("p.readout", h("span", "uPnL over the last minutes"), h("span"));
  const figures = new Map();
  const dl = h("dl.figures");
  const body = h("tbody");
  const none = h("p.empty", { hidden: true });
  const positionsTable = scrollTable("Positions", POSITION_COLUMNS, (at) => at > 1, body);
  const positionsNote = h("span.note");
  positionsTable.classList.add("stacks");
  const copy = h("button.quiet", { type: "button" }, "Copy");
  const lockedTable = h("tbody");
  const lockedHost = scrollTable("Locked margin", LOCKED_COLUMNS, (at) => at > 0, lockedTable);
  lockedHost.classList.add("wraps");
  const lockedPanel = h("section.panel", { hidden: true }, h("header", h("h2", "Locked margin")), lockedHost);
  const happened = happenings(scope, key, deployment);
  const stated = statement(scope, key);
  const symbols = new Map();
  const nameOf = (id) => (typeof id === "string" ? id : symbols.get(id));
  const explained = why(scope, key, nameOf);
  const went = course(scope, key, explained.choose);
  const listed = lists(scope, key, nameOf);

  for (const [name, title] of FIGURES) {
    const value = h("dd.money");
    figures.set(name, value);
    dl.append(h("div", { hidden: OWN_FIGURES.has(name) }, h("dt", title), value));
  }
  main.append(
    h("div.heading", h("a.back", { href: "#/accounts" }, "← Accounts")),
    h("div.heading", h("h1.address", address), copy, tags, owner),
    h(
      "section.panel.hero.spaced",
      { "aria-label": "Unrealised profit and loss" },
      h("div.main", h("div", h("p.label", "Unrealised PnL"), upnl, asOf), readout, chartHost),
      h(
        "div.side",
        h("div", h("p.label", "Notional at marks"), notional),
        h("div", h("p.label", "To liquidation"), way),
        h("div", h("p.label", "Open positions"), positionsCount),
      ),
    ),
    went.element,
    explained.element,
    h("section.panel.spaced", h("header", h("h2", "Positions"), positionsNote), positionsTable, none),
    h(
      "div.grid.halves",
      h("section.panel", h("header", h("h2", "Balance")), dl),
      lockedPanel,
    ),
    listed.element,
    ...stated.elements,
    ...happened.elements,
  );

  const history = new History(1);
  const chart = new TimeChart(chartHost, {
    label: "uPnL of this account",
    height: CHART_PX,
    isSigned: true,
    onPoint: showPoint,
  });
  const rows = new Map();
  let shown = null;
  let refusal = null;

  const render = framed(() => {
    if (scope.isOver) return;
    if (refusal && !shown) {
      main.replaceChildren(
        h("div.heading", h("a.back", { href: "#/accounts" }, "← Accounts")),
        h("section.panel.empty", h("h1", "This account cannot be shown"), h("p", refusal)),
      );
      return;
    }
    if (!shown) return;
    const said = reading(shown);
    const quiet = shown.status === "valued" ? ["good", "valued"] : null;
    setChildren(tags, JSON.stringify(said.tags), () => tagElements(said.tags, quiet));
    showOwner(shown);
    main.classList.toggle("old", said.isOld);
    setMoney(upnl, said.figures.upnl, { signed: true });
    setMoney(notional, said.figures.notional);
    setWay(way, shown.distance_bps, missingWay(shown));
    setText(positionsCount, shown.open_positions === undefined ? "unknown" : count(shown.open_positions));
    positionsCount.classList.toggle("unknown", shown.open_positions === undefined);
    const at = said.figures.as_of_ns && clock(milliseconds(said.figures.as_of_ns));
    setText(
      asOf,
      !at
        ? ""
        : said.figures === shown
          ? `prices as of ${at}${shown.block ? `, chain as of block ${count(shown.block)}` : ""}`
          : `last complete figures, as of ${at}; a price is missing since`,
    );
    for (const [name, cell] of figures) {
      setMoney(cell, said.figures[name], { signed: name === "upnl_net" });
      if (said.figures[name] !== undefined) setShown(cell.parentElement, true);
    }
    showLocked(said.figures);
    showPositions();
  });

  function showOwner({ name, owner: wallet }) {
    const isKnown = wallet && !/^0x0+$/.test(wallet);
    // The owner chose the name: in a bdi its characters cannot turn around, or hide among, what stands beside it.
    const named = () => (name ? ["“", h("bdi", name), "” of "] : []);
    setChildren(owner, JSON.stringify([name, wallet]), () => (isKnown ? [...named(), `owner ${wallet}`] : []));
  }

  function showLocked({ locked, pending }) {
    if (locked) setShown(lockedPanel, true);
    if (!lockedTable.rows.length) {
      lockedTable.append(
        ...LOCKED.map(([, title]) =>
          h("tr", h("td", title), h("td.number", h("span.money")), h("td.number", h("span.money"))),
        ),
      );
    }
    LOCKED.forEach(([name], at) => {
      const [, open, quotes] = lockedTable.rows[at].cells;
      setMoney(open.firstChild, locked?.[name]);
      setMoney(quotes.firstChild, pending?.[name]);
    });
  }

  function showPositions() {
    const positions = Object.values(shown.positions ?? {});
    const isKnown = shown.positions !== undefined;
    setShown(positionsTable, positions.length > 0);
    setShown(none, positions.length === 0);
    setText(none, isKnown ? "No open positions." : "Positions are unknown.");
    setText(positionsNote, positions.length ? plural(positions.length, "position") : "");
    const gone = new Set(rows.keys());
    // A market whose id is a text stands in no table of markets, and nobody knows its funding.
    const funded = positions.filter(({ symbol_id: id }) => typeof id !== "string");
    happened.setMarkets(new Set(funded.map(symbolOf).filter(Boolean)));
    for (const position of positions) {
      gone.delete(position.quote_id);
      let row = rows.get(position.quote_id);
      if (!row) {
        row = newRow();
        rows.set(position.quote_id, row);
        body.append(row);
      }
      showPosition(row, position);
    }
    for (const quote of gone) {
      rows.get(quote).remove();
      rows.delete(quote);
    }
  }

  function symbolOf({ symbol_id: id, market }) {
    return typeof id === "string" ? id : (symbols.get(id) ?? market?.split(":")[1]);
  }

  function newRow() {
    const cells = POSITION_COLUMNS.map((column, at) => h(at > 1 ? "td.number" : "td", { "data-label": column }));
    cells.slice(2, 8).forEach((cell) => cell.append(h("span.money")));
    cells[8].append(h("span"));
    return h("tr", cells);
  }

  function showPosition(row, position) {
    const [market, side, quantity, opened, mark, gain, notionalCell, liquidation, distance] = row.cells;
    const symbol = symbolOf(position) ?? `symbol ${position.symbol_id}`;
    setChildren(market, `${symbol} ${position.stale} ${position.mark === undefined}`, () =>
      [
        symbol,
        " ",
        position.mark === undefined
          ? h("span.tag.warn", "price unknown")
          : position.stale
            ? h("span.tag.warn", "stale")
            : null,
      ].filter(Boolean),
    );
    market.title = [`quote ${position.quote_id}`, position.party_b && `hedger ${position.party_b}`]
      .filter(Boolean)
      .join(", ");
    setChildren(side, position.side, () => [
      h("span.shape", { "aria-hidden": "true" }, position.side === "long" ? "▲" : "▼"),
      position.side,
    ]);
    row.classList.toggle("old", position.stale);
    setMoney(quantity.firstChild, position.quantity, { price: true });
    setMoney(opened.firstChild, position.opened_price, { price: true });
    setMoney(mark.firstChild, position.mark, { price: true });
    setMoney(gain.firstChild, position.upnl, { signed: true });
    setMoney(notionalCell.firstChild, position.notional);
    const isPriced = position.mark !== undefined && shown.available_balance !== undefined;
    setMoney(liquidation.firstChild, position.liquidation_price, {
      price: true,
      missing: isPriced ? "none" : "unknown",
    });
    setText(
      distance.firstChild,
      position.liquidation_distance_bps === undefined
        ? isPriced
          ? "–"
          : "unknown"
        : percent(position.liquidation_distance_bps),
    );
    distance.firstChild.classList.toggle("unknown", !isPriced);
  }

  function showPoint(index) {
    const value = index === null ? null : history.series[0][index];
    setText(
      readout.lastChild,
      value === null || value === undefined
        ? ""
        : `about ${value.toLocaleString("en-US", { maximumFractionDigits: 2 }).replace("-", "−")} at ${clock(history.times_s[index] * 1000)}`,
    );
  }

  // Browsers have a clipboard only over https and on the machine itself.
  setShown(copy, Boolean(navigator.clipboard));
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(address);
    setText(copy, "Copied");
    setTimeout(() => setText(copy, "Copy"), 1500);
  });

  scope.add(
    live.client.subscribe("account", key, ({ data, error }) => {
      refusal = error?.message ?? null;
      if (!shown && data && data.status !== "absent") {
        live.past(`/v1/accounts/${encodeURIComponent(key)}/history?`, history, ["upnl"], scope);
      }
      shown = data ?? shown;
      if (data) {
        stated.follow(data);
        went.follow(data);
        listed.follow(data);
      }
      render();
    }),
  );
  scope.on(live, "sample", () => {
    const isKnown = live.freshness.name === "live" && shown?.status === "valued";
    history.push(live.nowMs(), [isKnown ? Number(shown.upnl) : null]);
    chart.setData(history.times_s, history.series[0]);
  });
  live.rest(`/v1/markets?deployment=${encodeURIComponent(deployment)}&limit=1000`).then(
    ({ items }) => {
      for (const { symbol_id: id, symbol } of items) if (symbol) symbols.set(id, symbol);
      listed.renamed();
      render();
    },
    () => {},
  ); // the price's own symbol is shown instead

  scope.add(() => {
    chart.end();
    main.classList.remove("old");
  });
  return `${short(address)} on ${deployment}`;
}
