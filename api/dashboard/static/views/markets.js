// Markets with the price in use, and how old that is.

import { framed, h, setChildren, setMoney, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { count, duration, milliseconds, plural, rate } from "../words.js";
import { tagElements } from "./reading.js";

const INTERVAL_MS = 500;
const AGE_MS = 1000;
const POLL_MS = 5000;
const PAGE = 1000;
const MOST_SUBSCRIBED = 400;

// A list of markets comes of chains alone.
const NO_MARKETS =
  "No deployment has told of its markets. Those of ledgers, Flash and packages are seen in their accounts' positions.";

const COLUMNS = [
  { title: "Market", by: (row) => row.symbol, kind: "" },
  { title: "Price", by: null, kind: "number" },
  { title: "Age", by: (row) => row.ageMs() ?? Infinity, kind: "number" },
  { title: "State", by: (row) => row.rank(), kind: "" },
  { title: "Source", by: (row) => row.source(), kind: "optional" },
  { title: "Venue's funding", by: null, kind: "number.optional" },
  { title: "Trading", by: (row) => String(row.market.is_valid), kind: "optional" },
];

const asked = { column: 3, isDescending: true, text: "" };

export function markets(main, scope) {
  const find = h("input", {
    type: "search",
    placeholder: "Market",
    "aria-label": "Find a market",
    autocomplete: "off",
    spellcheck: "false",
  });
  const note = h("span.note", { role: "status" });
  const heads = COLUMNS.map(({ title, by, kind }, at) =>
    h(
      kind ? `th.${kind}` : "th",
      { scope: "col" },
      by ? h("button", { type: "button", "data-column": at }, title) : title,
    ),
  );
  const body = h("tbody");
  const scroll = h(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": "Markets" },
    h("table", { "aria-label": "Markets" }, h("thead", h("tr", heads)), body),
  );
  const empty = h("div.empty", "Loading");
  main.append(h("div.heading", h("h1", "Markets"), note), h("section.panel", h("div.tools", find), scroll, empty));
  find.value = asked.text;

  const rows = new Map();
  const subscriptions = new Map();
  let failure = null;
  let isRead = false;

  class Row {
    constructor() {
      const cells = COLUMNS.map(({ kind }) => h(kind ? `td.${kind}` : "td"));
      cells[0].append(h("span"), h("span.note"));
      cells[1].append(h("span.money"));
      this.element = h("tr", cells);
      this.mark = null;
    }

    get symbol() {
      return this.market.symbol || `symbol ${this.market.symbol_id}`;
    }

    source() {
      return this.mark?.source ?? "";
    }

    ageMs() {
      return this.mark?.received_ns ? Math.max(0, live.nowMs() - milliseconds(this.mark.received_ns)) : null;
    }

    /** What is wrong most comes first: no price, stale, fresh. */
    rank() {
      return this.mark ? (this.isStale() ? 2 : 0) + Math.min(1, (this.ageMs() ?? 0) / 1e9) : 3;
    }

    /** By the server's word on this price; a newer one has come since then otherwise. */
    isStale() {
      const { mark: judged } = this.market;
      return judged?.stale === true && judged.received_ns === this.mark.received_ns;
    }

    show() {
      const [name, price, age, state, source, funding, trading] = this.element.cells;
      setText(name.firstChild, this.symbol);
      setText(name.lastChild, live.deployments.length > 1 ? ` ${this.market.deployment}` : "");
      setMoney(price.firstChild, this.mark?.mark, { price: true });
      const ageMs = this.ageMs();
      setText(age, ageMs === null ? "unknown" : duration(ageMs));
      age.classList.toggle("unknown", ageMs === null);
      const [kind, text] = !this.mark ? ["bad", "no price"] : this.isStale() ? ["warn", "stale"] : ["good", "fresh"];
      setChildren(state, text, () => tagElements([[kind, text]]));
      this.element.classList.toggle("old", kind !== "good");
      setText(source, this.source() || "–");
      setText(funding, this.mark?.funding_rate === undefined ? "unknown" : rate(this.mark.funding_rate));
      funding.classList.toggle("unknown", this.mark?.funding_rate === undefined);
      setText(trading, this.market.is_valid === undefined ? "unknown" : this.market.is_valid ? "open" : "closed");
    }
  }

  async function read() {
    try {
      const items = [];
      let cursor;
      do {
        const answer = await live.rest(
          `/v1/markets?${new URLSearchParams({ limit: PAGE, ...(cursor && { cursor }) })}`,
        );
        items.push(...answer.items);
        cursor = answer.next_cursor;
      } while (cursor && !scope.isOver);
      if (scope.isOver) return;
      failure = null;
      isRead = true;
      take(items);
    } catch (error) {
      failure = error.message;
    }
    if (!scope.isOver) render();
  }

  function take(items) {
    const gone = new Set(rows.keys());
    for (const market of items) {
      const key = `${market.deployment}:${market.symbol_id}`;
      gone.delete(key);
      if (!rows.has(key)) rows.set(key, new Row());
      const row = rows.get(key);
      row.market = market;
      row.mark = newer(row.mark, market.mark ?? null);
      if (market.mark) subscribe(market.mark.market);
    }
    for (const key of gone) {
      rows.get(key).element.remove();
      rows.delete(key);
    }
  }

  function subscribe(key) {
    if (subscriptions.has(key) || subscriptions.size >= MOST_SUBSCRIBED) return;
    const moved = ({ data }) => {
      if (!data?.mark) return;
      for (const row of rows.values()) if (row.market.mark?.market === key) row.mark = newer(row.mark, data);
      render();
    };
    subscriptions.set(key, live.client.subscribe("marks", key, moved, { intervalMs: INTERVAL_MS }));
  }

  const render = framed(() => {
    if (scope.isOver) return;
    const text = asked.text.toLowerCase();
    const { by } = COLUMNS[asked.column];
    const shown = [...rows.values()].filter((row) => row.symbol.toLowerCase().includes(text));
    const keys = new Map(shown.map((row) => [row, by(row)]));
    const byName = (a, b) =>
      a.symbol < b.symbol ? -1 : a.symbol > b.symbol ? 1 : a.market.deployment < b.market.deployment ? -1 : 1;
    shown.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      return x === y ? byName(a, b) : (x < y ? -1 : 1) * (asked.isDescending ? -1 : 1);
    });
    shown.forEach((row, at) => {
      row.show();
      if (body.children[at] !== row.element) body.insertBefore(row.element, body.children[at] ?? null);
    });
    while (body.children.length > shown.length) body.lastChild.remove();
    setShown(scroll, shown.length > 0);
    setShown(empty, shown.length === 0);
    setText(
      empty,
      failure ??
        (!isRead ? "Loading" : rows.size ? "No market has such a name." : NO_MARKETS),
    );
    const wrong = [...rows.values()].filter((row) => !row.mark || row.isStale()).length;
    setText(
      note,
      !rows.size
        ? ""
        : wrong
          ? `${plural(rows.size, "market")}, ${count(wrong)} without a fresh price`
          : `${plural(rows.size, "market")}, all prices fresh`,
    );
  });

  function showSort() {
    heads.forEach((head, at) => {
      if (at === asked.column) head.setAttribute("aria-sort", asked.isDescending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  scroll.addEventListener("click", (event) => {
    const column = event.target.closest("[data-column]")?.dataset.column;
    if (column === undefined) return;
    asked.isDescending = asked.column === Number(column) && !asked.isDescending;
    asked.column = Number(column);
    showSort();
    render();
  });
  find.addEventListener("input", () => {
    asked.text = find.value.trim();
    render();
  });
  scope.every(AGE_MS, render);
  scope.every(POLL_MS, read);
  scope.add(() => subscriptions.forEach((stop) => stop()));
  showSort();
  read();
  return "Markets";
}

function newer(a, b) {
  if (!a || !b) return b ?? a;
  return a.market === b.market && BigInt(a.received_ns) > BigInt(b.received_ns) ? a : b;
}
