// The shell: routes, connection, theme, and what every view has around it.

import { recolour } from "./chart.js";
import { h, Scope, setShown, setText } from "./dom.js";
import { live } from "./live.js";
import { account } from "./views/account.js";
import { accounts } from "./views/accounts.js";
import { funding } from "./views/funding.js";
import { markets } from "./views/markets.js";
import { overview } from "./views/overview.js";
import { system } from "./views/system.js";

const THEME = "tidemark.theme";
const EXACT = "tidemark.exact";
const THEMES = ["auto", "light", "dark"];

// Why figures are not to be trusted; without the seconds, which are in the pill: this is read aloud when it changes.
const OLD = {
  lost: "The connection to the server is lost and is tried again. What is shown may be old.",
  late: "The server is behind. What is shown is old.",
  reading: "The server is still reading its tables. What is shown is incomplete.",
};

// The instant is in the pill.
const REPLAY = "This is a replay of the past. Nothing that is shown is of now.";

const $ = (id) => document.getElementById(id);
let scope = null;

/** A view is `(main, scope, ...parameters) => title`. */
function route() {
  const [name = "", ...parameters] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  switch (name) {
    case "":
      return ["overview", overview, []];
    case "accounts":
      return parameters.length ? ["accounts", account, parameters] : ["accounts", accounts, []];
    case "markets":
      return ["markets", markets, []];
    case "funding":
      return ["funding", funding, []];
    case "system":
      return ["system", system, []];
    default:
      return [null, missing, [location.hash]];
  }
}

function missing(main, _, hash) {
  main.append(
    h(
      "section.empty",
      h("h1", "Nothing here"),
      h("p", `There is no view ${hash}.`),
      h("p", h("a", { href: "#/" }, "Back to the overview")),
    ),
  );
  return "Nothing here";
}

function show({ isFirst = false } = {}) {
  if (location.hash === "#main") return;
  const [name, view, parameters] = route();
  scope?.end();
  scope = new Scope();
  const main = $("main");
  main.replaceChildren();
  const title = view(main, scope, ...parameters);
  document.title = `${title} · Tidemark`;
  for (const link of $("nav").children) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (isFirst) return;
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  setText($("announced"), title);
}

function showConnection() {
  const { name, text } = live.freshness;
  const pill = $("connection");
  pill.dataset.state = name === "live" && live.replayOf ? "replay" : name;
  setText(pill, text);
  document.documentElement.dataset.freshness = name;
  const unsupported = Object.entries(live.heartbeat?.deployments ?? {})
    .filter(([, { status }]) => status === "unsupported")
    .map(([deployment]) => deployment);
  const notice = $("notice");
  const said =
    name in OLD
      ? OLD[name]
      : live.replayOf
        ? REPLAY
        : unsupported.length
          ? `${unsupported.join(", ")}: its contract did something this version does not support. Its figures are unknown.`
          : "";
  setShown(notice, Boolean(said));
  setText(notice, said);
  setShown($("main"), name !== "ended");
  showEnd(name === "ended" ? text : null);
}

function showEnd(reason) {
  const standing = $("end");
  if (reason === null) return standing?.remove();
  if (standing) return;
  const token = h("input", { type: "password", name: "token", autocomplete: "off", required: true });
  const submit = (event) => {
    event.preventDefault();
    live.setToken(token.value.trim());
  };
  $("main").after(
    h(
      "form.panel.end",
      { onsubmit: submit, id: "end" },
      h("h1", "Not connected"),
      h("p", `${reason[0].toUpperCase()}${reason.slice(1)}.`),
      h("label", "Token", token),
      h("p", h("button.primary", "Connect")),
      h("p.note", "The token is kept in this tab only and is never put in an address."),
    ),
  );
}

function showTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText($("theme"), `Theme: ${theme}`);
  recolour();
}

function showExact(isExact) {
  document.documentElement.toggleAttribute("data-exact", isExact);
  $("exact").setAttribute("aria-pressed", String(isExact));
}

$("theme").addEventListener("click", () => {
  const theme = THEMES[(THEMES.indexOf(localStorage.getItem(THEME) ?? "auto") + 1) % THEMES.length];
  localStorage.setItem(THEME, theme);
  showTheme(theme);
});
$("exact").addEventListener("click", () => {
  const isExact = !document.documentElement.hasAttribute("data-exact");
  localStorage.setItem(EXACT, isExact ? "yes" : "no");
  showExact(isExact);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("main").focus();
});
addEventListener("hashchange", () => show());

showTheme(localStorage.getItem(THEME) ?? "auto");
showExact(localStorage.getItem(EXACT) === "yes");
live.addEventListener("change", showConnection);
live.start();
show({ isFirst: true });
