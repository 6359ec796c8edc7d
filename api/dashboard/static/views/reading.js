// What is to be said of an account or a position: which figures, how far they can be trusted, and how near the end is.

import { h } from "../dom.js";
import { percent } from "../words.js";

const NEAR_BPS = 500;
const FAR_BPS = 10_000;

const STATUS_WORDS = {
  suspect: "cannot be read, unknown",
  unsupported: "contract unsupported, unknown",
  unreadable: "row cannot be read",
  absent: "no such account known",
  nobody: "no such account known",
};

// Why an account is older than it looks, beside prices, of which its positions tell.
const OLD_WORDS = {
  broker: "broker silent",
  chain: "chain not followed",
  row: "not valued for long",
  venue: "venue not installed",
  worker: "worker silent",
};

/** `{figures, isOld, tags}`; figures are the last complete ones where a price is missing. */
export function reading(account) {
  const tags = [];
  if (account.liquidating) tags.push(["bad", "liquidating"]);
  else if (account.liquidatable) tags.push(["bad", "liquidatable"]);
  const because = (account.stale_because ?? []).filter((cause) => cause in OLD_WORDS);
  for (const cause of because) tags.push(["warn", OLD_WORDS[cause]]);
  switch (account.status) {
    case "valued":
      if (account.stale && !because.length)
        tags.push(["warn", account.stale === 1 ? "1 price stale" : `${account.stale} prices stale`]);
      return { figures: account, isOld: account.stale > 0 || because.length > 0, tags };
    case "unpriced":
      tags.push(["warn", account.unpriced === 1 ? "1 price unknown" : `${account.unpriced} prices unknown`]);
      return { figures: account.last_complete ?? {}, isOld: true, tags };
    default:
      tags.push(["bad", STATUS_WORDS[account.status] ?? `unknown: ${account.status}`]);
      return { figures: {}, isOld: true, tags };
  }
}

export function tagElements(tags, quiet = null) {
  const shown = tags.map(([kind, text]) => h(`span.tag.${kind}`, text));
  return shown.length || !quiet ? shown : [h(`span.tag.${quiet[0]}`, quiet[1])];
}

/** Show how far it is to liquidation in `element`: a bar of what is left, and the percentage. */
export function setWay(element, bps, missing) {
  const key = String(bps ?? missing);
  if (element.dataset.key === key) return element;
  element.dataset.key = key;
  element.classList.toggle("unknown", bps === undefined && missing === "unknown");
  if (bps === undefined) {
    element.replaceChildren(missing);
    return element;
  }
  const bar = h("i", { "aria-hidden": "true" });
  bar.style.setProperty("--left", `${Math.max(0, Math.min(100, Math.sqrt(Math.max(0, bps) / FAR_BPS) * 100))}%`);
  element.replaceChildren(h(`span.way${bps < NEAR_BPS ? ".near" : ""}`, bar, h("b", percent(bps))));
  return element;
}

export function missingWay(account) {
  return account.status === "valued" && !account.open_positions ? "no positions" : "unknown";
}

export function accountLink(key) {
  return `#/accounts/${encodeURIComponent(key)}`;
}
