// Why an account moved in a span that is chosen on its chart or written: the terms of the server's explanation.

import { h, money, scrollTable, setText } from "../dom.js";
import { live } from "../live.js";
import { clock, count, milliseconds } from "../words.js";

const ASK_AGAIN_MS = 700;
const SPAN_MS = 30 * 60_000;
const SHOWN = 25;
const CAUSES = ["What", "Market", "Change"];
const TERMS = ["When", "What", "Market", "Size", "Mark before", "Mark after", "Change"];

/** The section; `choose(from_s, to_s)` explains a span, `nameOf(symbol id)` is the market's name. */
export function why(scope, key, nameOf) {
  const path = `/v1/accounts/${encodeURIComponent(key)}/explanation`;
  let asked = 0;
  const since = h("input", { type: "datetime-local", step: "1", "aria-label": "From" });
  const until = h("input", { type: "datetime-local", step: "1", "aria-label": "To" });
  const note = h("span.note", { role: "status" });
  const result = h("div");
  const element = h(
    "section.panel.spaced",
    { "aria-label": "Why did it move?" },
    h("header", h("h2", "Why did it move?"), note),
    h(
      "form.tools",
      { onsubmit: submit },
      h("label", "From ", since),
      h("label", "To ", until),
      h("button.quiet", { type: "submit" }, "Explain"),
      h("span.note", "or drag over the chart"),
    ),
    result,
  );
  write(live.nowMs() - SPAN_MS, live.nowMs());

  function write(from_ms, to_ms) {
    [since.value, until.value] = [localText(from_ms), localText(to_ms)];
  }

  function choose(from_s, to_s) {
    write(from_s * 1000, to_s * 1000);
    explain(from_s * 1000, to_s * 1000);
  }

  function submit(event) {
    event.preventDefault();
    explain(new Date(since.value).getTime(), new Date(until.value).getTime());
  }

  async function explain(from_ms, to_ms) {
    asked += 1;
    const mine = asked;
    result.replaceChildren();
    if (!(from_ms < to_ms)) {
      setText(note, "expected a span that begins before it ends");
      return;
    }
    const [from, to] = [from_ms, Math.min(to_ms, live.nowMs())].map((ms) => new Date(ms).toISOString());
    const isOver = () => scope.isOver || mine !== asked;
    setText(note, "reading the log");
    try {
      for (;;) {
        const answer = await live.rest(`${path}?${new URLSearchParams({ from, to })}`);
        if (isOver()) return;
        if (answer.status === "explained") {
          show(answer);
          return;
        }
        setText(note, `reading the log: ${count(answer.read)} of ${count(answer.of)} records`);
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
        if (isOver()) return;
      }
    } catch (error) {
      if (!isOver()) setText(note, error.message);
    }
  }

  function show(found) {
    setText(note, `${clock(milliseconds(found.from_ns))} to ${clock(milliseconds(found.to_ns))}`);
    const market = (one) => (one.symbol_id === undefined ? "–" : (nameOf(one.symbol_id) ?? `symbol ${one.symbol_id}`));
    const change = (text) => money(text, { signed: true });
    const causes = [
      ...found.upnl.map((one) => [one.kind, market(one), change(one.amount)]),
      ...found.balance.map((one) => [one.kind, "balance", change(one.amount)]),
    ];
    const terms = found.largest
      .slice(0, SHOWN)
      .map((one) => [
        clock(milliseconds(one.at_ns)),
        one.kind,
        one.balance === undefined ? market(one) : "balance",
        money((one.after ?? one.before)?.size, { price: true, missing: "–" }),
        money(one.before?.mark, { price: true, missing: "–" }),
        money(one.after?.mark, { price: true, missing: "–" }),
        change(one.upnl ?? one.balance),
      ]);
    result.replaceChildren(
      h(
        "dl.figures",
        figure("Change of uPnL", found.upnl_change),
        figure("Change of balance", found.balance_change),
        h("div", h("dt", "Terms"), h("dd", count(found.terms))),
      ),
      ...(causes.length ? [rows("By cause", CAUSES, (at) => at > 1, causes)] : []),
      ...(terms.length ? [rows("Largest terms", TERMS, (at) => at > 2, terms)] : []),
      ...found.doubts.map((doubt) => h("p.note.inset", `not certain: ${doubt}`)),
    );
  }

  return { element, choose };
}

function figure(title, text) {
  return h("div", h("dt", title), h("dd", money(text, { signed: true })));
}

function rows(title, columns, isNumber, cells) {
  const body = cells.map((row) =>
    h(
      "tr",
      row.map((cell, at) => h(isNumber(at) ? "td.number" : "td", { "data-label": columns[at] }, cell)),
    ),
  );
  const region = scrollTable(title, columns, isNumber, h("tbody", body));
  region.classList.add("stacks");
  return h("div", h("h3.inset", title), region);
}

/** An instant as a field for local times writes it. */
function localText(ms) {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
