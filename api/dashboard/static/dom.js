// Elements made and changed; money in them is exact, whatever is cut from the view.

import { parts, priceDigits, signOf } from "./decimal.js";

const MONEY_DIGITS = 2;
const SHOWN_SIGNS = { 1: "+", 0: "", "-1": "−" };
const SHOWN_SHAPES = { 1: "▲", 0: "", "-1": "▼" };
const KINDS = { 1: "gain", 0: "", "-1": "loss" };
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

/** An element: `h("td.number", { title }, …children)`. */
export function h(selector, ...rest) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  const isAttributes =
    rest[0] !== null && typeof rest[0] === "object" && !(rest[0] instanceof Node) && !Array.isArray(rest[0]);
  for (const [name, value] of Object.entries(isAttributes ? rest.shift() : {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...rest.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
  return element;
}

export function setShown(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
  return element;
}

/** Replace `element`'s children only if `key` is another than the last time. */
export function setChildren(element, key, make) {
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...make());
}

/**
 * Show money in `element`. Its `data-exact` and title are the whole decimal text; unknown is said, never 0.
 * `signed` gives sign, shape and colour; `price` as many digits as a price needs.
 */
export function setMoney(element, text, { signed = false, price = false, missing = "unknown" } = {}) {
  const exact = text ?? "";
  if (element.dataset.exact === exact && element.dataset.missing === missing) return element;
  const isMove = Boolean(element.dataset.exact) && exact !== "";
  element.dataset.exact = exact;
  element.dataset.missing = missing;
  element.classList.remove("gain", "loss");
  element.classList.toggle("unknown", exact === "" && missing === "unknown");
  if (exact === "") {
    element.replaceChildren(missing);
    element.removeAttribute("title");
    return element;
  }
  const sign = signOf(exact);
  const digits = price ? priceDigits(exact) : MONEY_DIGITS;
  const { whole, fraction, rest } = parts(exact, digits);
  const shown = [`${signed ? SHOWN_SIGNS[sign] : sign < 0 ? "−" : ""}${whole}${fraction && `.${fraction}`}`];
  if (signed && sign) {
    shown.unshift(h("span.shape", { "aria-hidden": "true" }, SHOWN_SHAPES[sign]));
    element.classList.add(KINDS[sign]);
  }
  if (rest) shown.push(h("span.rest", rest));
  element.replaceChildren(...shown);
  element.title = exact;
  if (isMove && (signed || price) && element.tagName === "SPAN") flash(element);
  return element;
}

export function money(text, options) {
  return setMoney(h("span.money"), text, options);
}

/** In tables only, and only of what moves by itself: where everything flashes, nothing does. */
function flash(element) {
  if (isCalm.matches || document.hidden) return;
  element.animate([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], {
    duration: 900,
    easing: "ease-out",
  });
}

/** A function that runs `render` once in the next frame, however often it is called until then. */
export function framed(render) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    const run = () => {
      waits = false;
      render();
    };
    // A hidden page draws no frames, yet has to be right when it is looked at.
    if (document.hidden) setTimeout(run, 250);
    else requestAnimationFrame(run);
  };
}

/** What a view began and has to end. */
export class Scope {
  #ends = [];
  isOver = false;

  add(end) {
    this.#ends.push(end);
  }

  every(ms, act) {
    const timer = setInterval(act, ms);
    this.add(() => clearInterval(timer));
  }

  on(target, event, act, options) {
    target.addEventListener(event, act, options);
    this.add(() => target.removeEventListener(event, act, options));
  }

  end() {
    this.isOver = true;
    for (const end of this.#ends) end();
  }
}

/** A table in a region of its own, which scrolls sideways where it is too wide; `isNumber(column)` aligns it. */
export function scrollTable(title, columns, isNumber, body) {
  const heads = columns.map((column, at) => h(isNumber(at) ? "th.number" : "th", { scope: "col" }, column));
  const table = h("table", { "aria-label": title }, h("thead", h("tr", heads)), body);
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": title }, table);
}
