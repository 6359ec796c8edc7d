// All accounts of a deployment together: what they gain, how much is open, with whom, and who is near the end.

import { TimeChart } from "../chart.js";
import { scaled, unscaled } from "../decimal.js";
import { framed, h, scrollTable, setChildren, setMoney, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { about, clock, count, milliseconds, plural, short } from "../words.js";
import { accountLink, missingWay, reading, setWay, tagElements } from "./reading.js";

const CHART_PX = 250;
const SMALL_CHART_PX = 92;
const NEAREST = 8;
const MOST_ROWS = 10;
const POLL_MS = 3000;

let chosen = null;

export function overview(main, scope) {
  const segments = h("div.segments", { role: "group", "aria-label": "Deployment", hidden: true });
  const upnl = h("p.figure.money");
  const asOf = h("p.note");
  const notional = h("p.second.money");
  const positions = h("p.second");
  const missing = h("p.note");
  const accountsCount = h("p.second");
  const accountsLabel = h("p.label", "Accounts");
  const upnlHost = h("div");
  const notionalHost = h("div");
  const upnlReadout = h("p.readout", h("span", "uPnL over the last minutes"), h("span"));
  const notionalReadout = h("p.readout", h("span", "Notional"), h("span"));
  const nearest = table(
    "Nearest to liquidation",
    ["Account", "uPnL", "Notional", "To liquidation"],
    [false, true, true, true],
  );
  const symbolsTable = table(
    "Exposure by market",
    ["Market", "Short · long", "Net notional", "Gross notional"],
    [false, false, true, true],
  );
  const hedgersTable = table("By hedger", ["Hedger", "uPnL", "Notional", "Positions"], [false, true, true, true]);
  main.append(
    h("h1.for-ears", "Overview"),
    h("div.heading", { hidden: true }, segments),
    h(
      "section.panel.hero.spaced",
      { "aria-label": "All accounts" },
      h(
        "div.main",
        h("div", h("p.label", "Unrealised PnL of all accounts"), upnl, asOf),
        upnlReadout,
        upnlHost,
        notionalReadout,
        notionalHost,
      ),
      h(
        "div.side",
        h("div", h("p.label", "Notional at marks"), notional),
        h("div", h("p.label", "Open positions"), positions, missing),
        h("div", accountsLabel, accountsCount),
      ),
    ),
    h("div.grid.halves", nearest.element, symbolsTable.element),
    hedgersTable.element,
  );

  const charts = [
    new TimeChart(upnlHost, {
      label: "uPnL of all accounts",
      height: CHART_PX,
      isSigned: true,
      sync: "totals",
      onPoint: (at) => showPoint(upnlReadout, 0, at),
    }),
    new TimeChart(notionalHost, {
      label: "Notional of all accounts",
      height: SMALL_CHART_PX,
      sync: "totals",
      onPoint: (at) => showPoint(notionalReadout, 1, at),
    }),
  ];
  const names = new Map();

  const current = () => (live.deployments.includes(chosen) ? chosen : live.deployments[0]);

  const render = framed(() => {
    if (scope.isOver) return;
    const totals = live.totals.get(current());
    const isKnown = totals?.positions !== undefined;
    setMoney(upnl, totals?.upnl, { signed: true });
    setMoney(notional, totals?.notional);
    setText(positions, isKnown ? count(totals.positions) : "unknown");
    positions.classList.toggle("unknown", !isKnown);
    setText(missing, missingOf(totals));
    const at = totals?.as_of_ns && clock(milliseconds(totals.as_of_ns));
    setText(
      asOf,
      totals?.refusal ??
        (at
          ? `at prices of ${at} and newer`
          : totals
            ? totals.stale_because?.includes("venue")
              ? "nobody folds its records: its venue is not installed"
              : "no position has been counted yet"
            : "waiting for the first sums"),
    );
    showSymbols(totals?.symbols ?? {});
    showHedgers(totals?.hedgers ?? {});
    // Only some venues have hedgers.
    setShown(hedgersTable.element, Object.keys(totals?.hedgers ?? {}).length > 0 || !totals?.positions);
  });

  function showSymbols(symbols) {
    const rows = Object.entries(symbols)
      .map(([id, sums]) => {
        const [long, short] = [scaled(sums.long_notional), scaled(sums.short_notional)];
        return { id, sums, long, short, gross: long === null || short === null ? null : long + short };
      })
      .sort((a, b) =>
        a.gross === null || b.gross === null
          ? Number(a.gross === null) - Number(b.gross === null)
          : a.gross < b.gross
            ? 1
            : a.gross > b.gross
              ? -1
              : 0,
      );
    const most = rows.reduce(
      (max, { long, short }) => [max, long ?? 0n, short ?? 0n].reduce((a, b) => (a > b ? a : b)),
      1n,
    );
    const share = (value) => `${Number(((value ?? 0n) * 1000n) / most) / 10}%`;
    symbolsTable.show(rows.slice(0, MOST_ROWS), rows.length, {
      key: ({ id }) => id,
      make: () => [
        h("span"),
        h("span.sides", { "aria-hidden": "true" }, h("i.short"), h("i.long")),
        h("span.money"),
        h("span.money"),
      ],
      fill: ([name, sides, net, gross], row) => {
        // A market whose id is a text is called by it.
        setText(name, names.get(`${current()}:${row.id}`) ?? (/^\d+$/.test(row.id) ? `symbol ${row.id}` : row.id));
        sides.firstChild.style.setProperty("--left", share(row.short));
        sides.lastChild.style.setProperty("--left", share(row.long));
        setMoney(net, row.gross === null ? undefined : unscaled(row.long - row.short), { signed: true });
        setMoney(gross, row.gross === null ? undefined : unscaled(row.gross));
      },
      empty: "No open position.",
    });
  }

  function showHedgers(hedgers) {
    const rows = Object.entries(hedgers)
      .map(([address, sums]) => ({ address, sums, size: scaled(sums.notional) ?? 0n }))
      .sort((a, b) => (a.size < b.size ? 1 : a.size > b.size ? -1 : 0));
    hedgersTable.show(rows.slice(0, MOST_ROWS), rows.length, {
      key: ({ address }) => address,
      make: () => [h("span.mono"), h("span.money"), h("span.money"), h("span")],
      fill: ([name, gain, size, number], { address, sums }) => {
        setText(name, short(address));
        name.title = address;
        setMoney(gain, sums.upnl, { signed: true });
        setMoney(size, sums.notional);
        setText(number, count(sums.positions));
      },
      empty: "No open position.",
    });
  }

  async function showNearest() {
    const deployment = current();
    if (!deployment || live.connection.name !== "live") return;
    try {
      const [{ items }, status] = await Promise.all([
        live.rest(
          `/v1/accounts?${new URLSearchParams({ deployment, sort: "distance_bps", direction: "asc", limit: NEAREST })}`,
        ),
        live.rest("/v1/status"),
      ]);
      if (scope.isOver) return;
      setText(accountsCount, count(status.feeds.valuations.rows));
      nearest.show(
        items.filter(({ distance_bps: bps }) => bps !== undefined),
        null,
        {
          key: ({ account }) => account,
          make: () => [h("span", h("a.mono"), " ", h("span")), h("span.money"), h("span.money"), h("span")],
          fill: ([who, gain, size, way], account) => {
            const { figures, tags } = reading(account);
            who.firstChild.href = accountLink(account.account);
            setText(who.firstChild, short(account.address));
            setChildren(who.lastChild, JSON.stringify(tags), () => tagElements(tags));
            setMoney(gain, figures.upnl, { signed: true });
            setMoney(size, figures.notional);
            setWay(way, account.distance_bps, missingWay(account));
          },
          empty: "No account has an open position.",
        },
      );
    } catch (error) {
      if (!scope.isOver) nearest.fail(error.message);
    }
  }

  async function readNames() {
    try {
      const { items } = await live.rest("/v1/markets?limit=1000");
      for (const { deployment, symbol_id: id, symbol } of items) if (symbol) names.set(`${deployment}:${id}`, symbol);
      render();
    } catch {
      // Numbers stand where names are not known.
    }
  }

  function showCharts() {
    const history = live.totalsHistory.get(current());
    if (!history) return;
    charts.forEach((chart, at) => chart.setData(history.times_s, history.series[at]));
  }

  function showPoint(readout, at, index) {
    const history = live.totalsHistory.get(current());
    const value = index === null ? null : history?.series[at][index];
    setText(
      readout.lastChild,
      value === null || value === undefined ? "" : `about ${about(value)} at ${clock(history.times_s[index] * 1000)}`,
    );
  }

  function choose(name) {
    chosen = name;
    showSegments();
    render();
    showCharts();
    showNearest();
  }

  function showSegments() {
    const all = live.deployments;
    setShown(segments.parentElement, all.length > 1);
    setShown(segments, all.length > 1);
    setText(accountsLabel, all.length > 1 ? "Accounts of all deployments" : "Accounts");
    setChildren(segments, all.join(), () =>
      all.map((name) => h("button", { type: "button", onclick: () => choose(name) }, name)),
    );
    for (const button of segments.children)
      button.setAttribute("aria-pressed", String(button.textContent === current()));
  }

  let hadDeployment = false;
  live.watch(scope, () => {
    showSegments();
    if (!hadDeployment && current() && live.connection.name === "live") {
      hadDeployment = true;
      showNearest();
      showCharts();
    }
  });
  scope.on(live, "totals", render);
  scope.on(live, "sample", showCharts);
  scope.every(POLL_MS, showNearest);
  scope.add(() => charts.forEach((chart) => chart.end()));
  setText(accountsCount, "–");
  render();
  readNames();
  return "Overview";
}

/** A small table whose rows are kept by key. */
function table(title, columns, areNumbers) {
  const body = h("tbody");
  const note = h("span.note");
  const empty = h("p.empty", "Loading");
  const kind = (at) => (areNumbers[at] ? ".number" : "");
  const scroll = setShown(
    scrollTable(title, columns, (at) => areNumbers[at], body),
    false,
  );
  const rows = new Map();
  return {
    element: h("section.panel", h("header", h("h2", title), note), scroll, empty),
    fail: (reason) => {
      if (!rows.size) setText(empty, reason);
    },
    show: (items, all, { key, make, fill, empty: nothing }) => {
      const gone = new Set(rows.keys());
      items.forEach((item, at) => {
        const name = key(item);
        gone.delete(name);
        let row = rows.get(name);
        if (!row) {
          row = h(
            "tr",
            make().map((cell, column) => h(`td${kind(column)}`, cell)),
          );
          rows.set(name, row);
        }
        fill(
          [...row.cells].map((cell) => cell.firstChild),
          item,
        );
        if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
      });
      for (const name of gone) {
        rows.get(name).remove();
        rows.delete(name);
      }
      setShown(scroll, items.length > 0);
      setShown(empty, items.length === 0);
      setText(empty, nothing);
      setText(note, all !== null && all > items.length ? `the largest ${items.length} of ${plural(all, "row")}` : "");
    },
  };
}

/** What of a deployment's sums is missing, so that they are unknown; nothing where they are known. */
function missingOf(totals) {
  const found = [];
  if (totals?.unpriced) found.push(`${count(totals.unpriced)} without a price`);
  if (totals?.unknown_accounts === 1) found.push("1 account unknown");
  if (totals?.unknown_accounts > 1) found.push(`${count(totals.unknown_accounts)} accounts unknown`);
  return found.length ? `${found.join(", ")}: sums are unknown` : "";
}
