// All accounts, in the server's order; the rows in sight are live.

import { h, setMoney, setShown, setText } from "../dom.js";
import { live } from "../live.js";
import { VirtualRows } from "../rows.js";
import { clock, count, plural, short } from "../words.js";
import { accountLink, missingWay, reading, setWay, tagElements } from "./reading.js";

const ROW_PX = 44;
const PAGE = 500;
const SEARCH_PAGE = 1000;
const SEARCH_MOST = 2000;
const SEARCHED_MOST = 50_000;
const LOOK_UP_MS = 3000;
const NO_ACCOUNT = new Set(["absent", "nobody"]);
const ADDRESS = /^0x[0-9a-f]{40}$/;
const INTERVAL_MS = 500;
const SETTLED_MS = 160;
const TYPED_MS = 200;
const REORDER_MS = 10_000;
// Rows not loaded yet that are shown as bones, so that there is somewhere to scroll to.
const BONES = 24;

const COLUMNS = [
  { title: "Account", sort: "address", kind: "who" },
  { title: "uPnL", sort: "upnl", kind: "number" },
  { title: "Notional", sort: "notional", kind: "number" },
  { title: "Equity", kind: "number.optional" },
  { title: "Available", kind: "number.optional" },
  { title: "Positions", kind: "number.optional" },
  { title: "To liquidation", sort: "distance_bps", kind: "number" },
  { title: "State", kind: "optional" },
];
const FIRST_DIRECTIONS = { address: "asc", upnl: "desc", notional: "desc", distance_bps: "asc" };
const STATES = {
  "": ["All states", ""],
  liquidatable: ["Liquidatable", "liquidatable=true"],
  unpriced: ["Price unknown", "status=unpriced"],
  suspect: ["Suspect", "status=suspect"],
  unsupported: ["Unsupported", "status=unsupported"],
};

// Kept while one looks at an account and comes back.
const asked = { sort: "notional", direction: "desc", text: "", state: "", deployment: "" };

export function accounts(main, scope) {
  const find = h("input", {
    type: "search",
    placeholder: "Address, owner or name, or a part of it",
    "aria-label": "Find an account by address, owner or name",
    autocomplete: "off",
    spellcheck: "false",
  });
  const state = h(
    "select",
    { "aria-label": "State" },
    Object.entries(STATES).map(([name, [title]]) => h("option", { value: name }, title)),
  );
  const deployment = h(
    "select",
    { "aria-label": "Deployment", hidden: true },
    h("option", { value: "" }, "All deployments"),
  );
  const said = h("span.note", { role: "status" });
  const reorder = h("button.quiet", { type: "button" }, "Sort anew");
  const heads = COLUMNS.map(({ title, sort, kind }) =>
    h(`th.${kind}`, { scope: "col" }, sort ? h("button", { type: "button", "data-sort": sort }, title) : title),
  );
  const table = h("table", { "aria-label": "Accounts" }, h("thead", h("tr", heads)), h("tbody"));
  const scroller = h(
    "div.scroll.tall",
    { tabindex: "0", role: "region", "aria-label": "Accounts, arrow keys move between rows" },
    table,
  );
  const empty = h("div.empty", { hidden: true });
  main.append(
    h("div.heading", h("h1", "Accounts"), said),
    h("section.panel", h("div.tools", find, state, deployment, h("span.push", reorder)), scroller, empty),
  );
  find.value = asked.text;
  state.value = asked.state;

  let list = newList();
  const subscriptions = new Map();
  const rows = new VirtualRows(scroller, { rowHeight: ROW_PX, make, show, onRange });

  function newList() {
    return {
      items: [],
      places: new Map(),
      cursor: undefined,
      isWhole: false,
      isLoading: false,
      error: null,
      looked: 0,
      atMs: 0,
      abort: new AbortController(),
    };
  }

  function make() {
    const cells = COLUMNS.map(({ kind }) => h(`td.${kind}`));
    cells[0].append(h("a", h("span.mono")), h("small"));
    cells.slice(1, 5).forEach((cell) => cell.append(h("span.money")));
    cells[6].append(h("span"));
    return h("tr", cells);
  }

  function show(row, index) {
    const account = list.items[index];
    const [who, upnl, notional, equity, available, positions, way, states] = row.cells;
    row.classList.toggle("loading", !account);
    if (row.dataset.account !== (account?.account ?? "")) {
      // Another account's figures did not move here: they are no news.
      for (const cell of row.querySelectorAll(".money")) delete cell.dataset.exact;
      row.dataset.account = account?.account ?? "";
    }
    const link = who.firstChild;
    if (!account) {
      link.removeAttribute("href");
      link.firstChild.replaceChildren(h("span.bone"));
      who.lastChild.textContent = "";
      for (const cell of [upnl, notional, equity, available]) setMoney(cell.firstChild, undefined, { missing: "" });
      setText(positions, "");
      setWay(way.firstChild, undefined, "");
      states.replaceChildren();
      delete states.dataset.key;
      return;
    }
    const { figures, isOld, tags } = reading(account);
    row.classList.toggle("old", isOld);
    link.href = accountLink(account.account);
    link.title = account.account;
    setText(link.firstChild, short(account.address));
    setText(who.lastChild, live.deployments.length > 1 ? account.deployment : "");
    setMoney(upnl.firstChild, figures.upnl, { signed: true });
    setMoney(notional.firstChild, figures.notional);
    setMoney(equity.firstChild, figures.equity);
    setMoney(available.firstChild, figures.available_balance);
    setText(positions, account.open_positions === undefined ? "unknown" : count(account.open_positions));
    positions.classList.toggle("unknown", account.open_positions === undefined);
    setWay(way.firstChild, account.distance_bps, missingWay(account));
    const key = JSON.stringify(tags);
    if (states.dataset.key !== key) states.replaceChildren(...tagElements(tags));
    states.dataset.key = key;
  }

  let settling = null;
  function onRange(first, end) {
    if (end > list.items.length && !list.isWhole) load();
    clearTimeout(settling);
    settling = setTimeout(() => !scope.isOver && watch(first, end), SETTLED_MS);
  }

  /** Subscribe to what is in sight, and to nothing else. */
  function watch(first, end) {
    const wanted = new Set(list.items.slice(first, end).map(({ account }) => account));
    for (const [key, stop] of subscriptions) {
      if (wanted.has(key)) continue;
      stop();
      subscriptions.delete(key);
    }
    for (const key of wanted) {
      if (subscriptions.has(key)) continue;
      const moved = ({ data, error }) => {
        const at = list.places.get(key);
        if (error || at === undefined) return;
        list.items[at] = data;
        rows.refresh(at);
      };
      subscriptions.set(key, live.client.subscribe("valuations", key, moved, { intervalMs: INTERVAL_MS }));
    }
  }

  function query(extra) {
    const parameters = new URLSearchParams(STATES[asked.state][1]);
    if (asked.deployment) parameters.set("deployment", asked.deployment);
    for (const [name, value] of Object.entries(extra)) if (value) parameters.set(name, value);
    return `/v1/accounts?${parameters}`;
  }

  async function load() {
    const into = list;
    if (into.isLoading || into.isWhole || into.error) return;
    into.isLoading = true;
    try {
      if (asked.text) await search(into, asked.text.toLowerCase());
      else await page(into, PAGE, () => true);
    } catch (error) {
      if (into !== list || scope.isOver || error.name === "AbortError") return;
      into.error = error.message;
    } finally {
      into.isLoading = false;
    }
    if (into === list && !scope.isOver) showList();
  }

  async function page(into, limit, isWanted, more = {}) {
    const { sort, direction } = asked;
    const answer = await live.rest(query({ sort, direction, limit, cursor: into.cursor, ...more }), into.abort.signal);
    into.looked += answer.items.length;
    into.cursor = answer.next_cursor;
    into.isWhole = !answer.next_cursor;
    into.atMs ||= Date.now();
    for (const item of answer.items.filter(isWanted)) add(into, item);
  }

  /** A whole address is looked up; a part of one is looked for in what the server lists, page by page. */
  async function search(into, text) {
    if (ADDRESS.test(text)) {
      const found = await Promise.all(live.deployments.map((name) => lookUp(`${name}:${text}`)));
      for (const account of found) if (account) add(into, account);
      while (!into.isWhole && into === list) await page(into, PAGE, () => true, { owner: text });
      return;
    }
    const isWanted = ({ account, owner = "", name = "" }) =>
      [account, owner, name].some((said) => said.toLowerCase().includes(text));
    while (!into.isWhole && into.items.length < SEARCH_MOST && into.looked < SEARCHED_MOST && into === list) {
      await page(into, SEARCH_PAGE, isWanted);
      if (into === list) showList();
    }
    into.isCut = !into.isWhole;
    into.isWhole = true;
  }

  /** One account, null where there is none: the websocket says so without an error. */
  function lookUp(key) {
    return new Promise((done) => {
      const finish = (account) => {
        setTimeout(() => stop());
        clearTimeout(patience);
        done(account);
      };
      const patience = setTimeout(() => finish(null), LOOK_UP_MS);
      const stop = live.client.subscribe("valuations", key, ({ data, error }) =>
        finish(error || NO_ACCOUNT.has(data.status) ? null : data),
      );
    });
  }

  function add(into, item) {
    if (into.places.has(item.account)) return;
    into.places.set(item.account, into.items.length);
    into.items.push(item);
  }

  function showList() {
    const { items, isWhole, isCut, error, isLoading, looked } = list;
    rows.setCount(items.length + (isWhole || error || asked.text ? 0 : BONES));
    const isEmpty = !items.length && (isWhole || error);
    setShown(scroller, !isEmpty);
    setShown(empty, Boolean(isEmpty));
    if (isEmpty) empty.replaceChildren(...nothing(error));
    setText(
      said,
      error
        ? ""
        : asked.text
          ? `${plural(items.length, "account")} found${isLoading && !isWhole ? `, ${count(looked)} looked at so far` : isCut ? ` among the first ${count(looked)}` : ""}`
          : isWhole
            ? plural(items.length, "account")
            : items.length
              ? `${count(items.length)} loaded, more below`
              : "loading",
    );
    reorder.title = list.atMs ? `In the order of ${clock(list.atMs)}` : "";
  }

  function nothing(error) {
    if (error)
      return [
        h("h2", "Accounts cannot be shown now"),
        h("p", error),
        h("p", h("button.quiet", { type: "button", onclick: restart }, "Try again")),
      ];
    if (asked.text || asked.state)
      return [h("h2", "No account is like that"), h("p", "Other words or another state may find some.")];
    return [h("h2", "No accounts yet"), h("p", "They appear here as soon as the chain tells of one.")];
  }

  function restart() {
    list.abort.abort();
    list = newList();
    rows.toTop();
    showList();
    load();
  }

  /** Read the first page again, in the order of now, without taking away what is shown. */
  async function refreshOrder() {
    const next = newList();
    try {
      await page(next, PAGE, () => true);
    } catch {
      return; // what is shown stays; its age is in the button's title
    }
    if (scope.isOver || list.isLoading || asked.text) return;
    const known = list;
    next.items = next.items.map((item) => known.items[known.places.get(item.account)] ?? item);
    list = next;
    showList();
  }

  function showSort() {
    COLUMNS.forEach(({ sort }, at) => {
      if (sort === asked.sort)
        heads[at].setAttribute("aria-sort", asked.direction === "asc" ? "ascending" : "descending");
      else heads[at].removeAttribute("aria-sort");
    });
  }

  table.tHead.addEventListener("click", (event) => {
    const sort = event.target.closest("[data-sort]")?.dataset.sort;
    if (!sort) return;
    asked.direction = asked.sort === sort ? (asked.direction === "asc" ? "desc" : "asc") : FIRST_DIRECTIONS[sort];
    asked.sort = sort;
    showSort();
    restart();
  });
  let typing = null;
  find.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      asked.text = find.value.trim();
      restart();
    }, TYPED_MS);
  });
  state.addEventListener("change", () => {
    asked.state = state.value;
    restart();
  });
  deployment.addEventListener("change", () => {
    asked.deployment = deployment.value;
    restart();
  });
  reorder.addEventListener("click", restart);
  scope.on(document, "keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    find.focus();
  });
  live.watch(scope, () => {
    const names = live.deployments;
    setShown(deployment, names.length > 1);
    for (const name of names.slice(deployment.options.length - 1))
      deployment.append(h("option", { value: name }, name));
    deployment.value = asked.deployment;
    if (list.error && live.freshness.name === "live") restart();
  });
  scope.every(REORDER_MS, () => {
    const isRead = scroller.matches(":hover") || scroller.contains(document.activeElement);
    if (rows.isAtTop && !isRead && !document.hidden && !asked.text && live.freshness.name === "live") refreshOrder();
  });
  scope.add(() => {
    clearTimeout(settling);
    clearTimeout(typing);
    list.abort.abort();
    for (const stop of subscriptions.values()) stop();
  });
  showSort();
  showList();
  load();
  return "Accounts";
}
