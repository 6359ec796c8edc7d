import { parts, scaled } from "./decimal.js";

const POLL_MS = 1000;
const RETRY_MS = 2000;
const TIMEOUT_MS = 5000;
const SHOWN_ACCOUNTS = 500;
const SHOWN_DIGITS = 4;
const ALL_DIGITS = 18;
const OLD_MARK_MS = 5000;

const $ = (id) => document.getElementById(id);
const rowElements = new Map();
const view = { accounts: [], total: 0, find: "", digits: SHOWN_DIGITS, sort: "notional", descending: true };

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** What the page says of an account: the figures to show, and a word on how far they can be trusted. */
function reading(account) {
  switch (account.status) {
    case "valued": {
      const state = account.liquidating ? ["liquidating", "bad"]
        : account.liquidatable ? ["liquidatable", "bad"]
        : account.stale ? [`stale price: ${account.stale}`, "warn"] : ["", ""];
      return { figures: account, old: account.stale > 0, state };
    }
    case "unpriced":
      return account.last_complete
        ? { figures: account.last_complete, old: true, state: [`no price: ${account.unpriced}, last known`, "warn"] }
        : { figures: {}, old: false, state: [`no price: ${account.unpriced}`, "warn"] };
    default:
      return { figures: {}, old: false, state: [`unknown: ${account.status}`, "bad"] };
  }
}

function prepared(account) {
  const { figures, old, state } = reading(account);
  return {
    ...account,
    key: `${account.deployment}:${account.address}`,
    upnl: scaled(figures.upnl), notional: scaled(figures.notional), available_balance: scaled(figures.available_balance),
    texts: { upnl: figures.upnl, notional: figures.notional, available_balance: figures.available_balance },
    as_of_ms: figures.as_of_ms, old, state: state[0], severity: state[1],
  };
}

/** Show money in `cell`; the whole decimal text is its title, whatever is cut from the view. */
function showMoney(cell, value, { signed = false, title = "", kind = "number", digits = view.digits } = {}) {
  if (value === null) {
    cell.className = `${kind} unknown`;
    setText(cell, "unknown");
    cell.removeAttribute("title");
    delete cell.dataset.text;
    delete cell.dataset.value;
    return;
  }
  const { sign, whole, fraction } = parts(value, digits);
  const text = `${signed ? (value > 0n ? "▲ " : value < 0n ? "▼ " : "") + sign : sign === "−" ? sign : ""}${whole}`;
  if (cell.dataset.text === text + fraction) return;
  const moved = cell.dataset.value !== undefined && cell.dataset.value !== String(value);
  cell.dataset.text = text + fraction;
  cell.dataset.value = String(value);
  const rest = document.createElement("span");
  rest.className = "rest";
  rest.textContent = `.${fraction}`;
  cell.replaceChildren(text, rest);
  cell.title = title;
  cell.className = `${kind} ${signed ? (value > 0n ? "gain" : value < 0n ? "loss" : "") : ""}`;
  if (moved) flash(cell);
}

function flash(cell) {
  void cell.offsetWidth; // restarts the animation
  cell.classList.add("moved");
}

function newRow() {
  const row = document.createElement("tr");
  for (const name of ["account", "number", "number", "number", "number", "number", "state"]) {
    const cell = document.createElement("td");
    cell.className = name;
    row.append(cell);
  }
  row.cells[0].append("", document.createElement("small"));
  return row;
}

function showRow(row, account) {
  const [name, upnl, notional, available, positions, distance, state] = row.cells;
  row.classList.toggle("old", account.old);
  setText(name.lastChild, account.owner ? `owner ${short(account.owner)}` : "owner not known");
  if (name.firstChild.data !== short(account.address)) name.firstChild.data = short(account.address);
  name.title = `${account.key}\nowner ${account.owner ?? "not known"}`;
  showMoney(upnl, account.upnl, { signed: true, title: account.texts.upnl });
  showMoney(notional, account.notional, { title: account.texts.notional });
  showMoney(available, account.available_balance, { title: account.texts.available_balance });
  setText(positions, account.positions === undefined ? "unknown" : String(account.positions));
  setText(distance, distanceText(account));
  setText(state, "");
  if (account.state) {
    const tag = document.createElement("span");
    tag.className = `tag ${account.severity}`;
    tag.textContent = account.state;
    state.append(tag);
  }
  state.title = account.as_of_ms ? `as of ${new Date(account.as_of_ms).toLocaleString()}` : "";
}

function short(address) {
  return `${address.slice(0, 8)}…${address.slice(-6)}`;
}

function distanceText({ distance_bps: bps, positions, status }) {
  if (bps !== null && bps !== undefined) return `${(bps / 100).toFixed(2)} %`;
  return positions === 0 && status === "valued" ? "–" : "unknown";
}

function compare(a, b) {
  const [x, y] = [a[view.sort] ?? null, b[view.sort] ?? null];
  if (x === y) return a.key < b.key ? -1 : 1;
  if (x === null) return 1; // unknown is neither small nor large: it goes last
  if (y === null) return -1;
  return (x < y ? -1 : 1) * (view.descending ? -1 : 1);
}

function showAccounts() {
  const wanted = view.find.trim().toLowerCase();
  const matching = (account) => account.address.includes(wanted) || (account.owner ?? "").toLowerCase().includes(wanted);
  const shown = view.accounts.filter((account) => !wanted || matching(account)).sort(compare);
  const body = $("rows");
  const gone = new Set(rowElements.keys());
  shown.forEach((account, at) => {
    gone.delete(account.key);
    let row = rowElements.get(account.key);
    if (!row) rowElements.set(account.key, (row = newRow()));
    showRow(row, account);
    if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
  });
  for (const key of gone) {
    rowElements.get(key).remove();
    rowElements.delete(key);
  }
  $("empty").hidden = shown.length > 0;
  setText($("empty"), wanted ? "No account shown has that address or owner." : "Waiting for the first account.");
  showTotals(shown);
}

function showTotals(shown) {
  const known = shown.filter((account) => account.upnl !== null);
  const sum = (field) => known.reduce((total, account) => total + account[field], 0n);
  const tile = { kind: "figure", digits: SHOWN_DIGITS };
  showMoney($("total-upnl"), sum("upnl"), { ...tile, signed: true });
  showMoney($("total-notional"), sum("notional"), tile);
  const unknown = shown.length - known.length;
  setText($("total-note"), unknown ? `${unknown} of ${shown.length} unknown, not counted` : "all of them known");
  setText($("accounts"), String(view.total));
  setText($("accounts-note"), `${shown.length} shown${view.total > view.accounts.length ? ", the largest" : ""}`);
}

function showStatus(status) {
  const age = status.oldest_mark_age_ms;
  setText($("mark-age"), age === null ? "none" : duration(age));
  $("mark-age").classList.toggle("loss", age !== null && age > OLD_MARK_MS);
  const lag = Object.values(status.feeds).reduce((total, feed) => total + feed.lag_records, 0);
  setText($("lag"), lag ? `${lag} records behind` : "feeds caught up");
  const lines = [];
  const unsupported = [];
  for (const [name, deployment] of Object.entries(status.deployments)) {
    const line = document.createElement("span");
    const title = document.createElement("strong");
    title.textContent = name;
    const said = deployment === null ? " not read yet"
      : ` head ${deployment.head} · folded ${deployment.folded_head ?? "–"} · final ${deployment.final}`;
    line.append(title, said);
    if (deployment?.unsupported_since != null) {
      line.classList.add("bad");
      unsupported.push(`${name} is unsupported since block ${deployment.unsupported_since} (${deployment.unsupported_reason}): its figures are unknown.`);
    }
    lines.push(line);
  }
  $("deployments").replaceChildren(...lines);
  $("notice").hidden = unsupported.length === 0;
  setText($("notice"), unsupported.join(" "));
  show(status.is_ready ? "live" : "waiting", status.is_ready ? "live" : "reading tables");
}

function duration(ms) {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}

function show(state, text) {
  $("connection").dataset.state = state;
  setText($("connection"), text);
}

async function json(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function poll() {
  let again = POLL_MS;
  try {
    const [status, listed] = await Promise.all([json("/status"), json(`/accounts?limit=${SHOWN_ACCOUNTS}`)]);
    view.accounts = listed.accounts.map(prepared);
    view.total = listed.total;
    showAccounts();
    showStatus(status);
  } catch (error) {
    console.warn(error);
    show("lost", "connection lost, trying again");
    again = RETRY_MS;
  }
  setTimeout(poll, again);
}

$("find").addEventListener("input", (event) => {
  view.find = event.target.value;
  showAccounts();
});
$("all-digits").addEventListener("change", (event) => {
  view.digits = event.target.checked ? ALL_DIGITS : SHOWN_DIGITS;
  showAccounts();
});
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    view.descending = view.sort === button.dataset.sort ? !view.descending : true;
    view.sort = button.dataset.sort;
    for (const heading of document.querySelectorAll("th")) heading.removeAttribute("aria-sort");
    button.closest("th").setAttribute("aria-sort", view.descending ? "descending" : "ascending");
    showAccounts();
  });
}
poll();
