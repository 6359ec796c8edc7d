// A table of which only the rows in sight exist, so that ten thousand are as smooth as ten.

import { h } from "./dom.js";

const OVERSCAN = 6;

export class VirtualRows {
  #scroller;
  #body;
  #above = spacer();
  #below = spacer();
  #options;
  #shown = new Map();
  #spare = [];
  #count = 0;
  #active = 0;

  /**
   * @param {HTMLElement} scroller Scrolls, and holds one table with thead and tbody.
   * @param {object} options `rowHeight` in px; `make()` a tr with one link; `show(tr, index)` fills it;
   *   `onRange(first, end)`: which rows exist now.
   */
  constructor(scroller, options) {
    this.#scroller = scroller;
    this.#options = options;
    this.#body = scroller.querySelector("tbody");
    this.#body.append(this.#above, this.#below);
    scroller.addEventListener("scroll", () => this.#place(), { passive: true });
    scroller.addEventListener("keydown", (event) => this.#move(event));
    new ResizeObserver(() => this.#place()).observe(scroller);
  }

  /** There are so many rows now; what each of them shows may be another than before. */
  setCount(count) {
    this.#count = count;
    this.#active = Math.min(this.#active, Math.max(0, count - 1));
    this.#scroller.querySelector("table").setAttribute("aria-rowcount", String(count + 1));
    this.#place();
    for (const [index, row] of this.#shown) this.#fill(row, index);
  }

  /** Show row `index` anew, if it exists. */
  refresh(index) {
    const row = this.#shown.get(index);
    if (row) this.#options.show(row, index);
  }

  get isAtTop() {
    return this.#scroller.scrollTop < this.#options.rowHeight;
  }

  toTop() {
    this.#scroller.scrollTop = 0;
    this.#active = 0;
  }

  #place() {
    const { rowHeight, onRange } = this.#options;
    const height = this.#scroller.clientHeight;
    const first = Math.max(0, Math.min(this.#count, Math.floor(this.#scroller.scrollTop / rowHeight)) - OVERSCAN);
    const end = Math.min(this.#count, first + Math.ceil(height / rowHeight) + 2 * OVERSCAN);
    for (const [index, row] of this.#shown) {
      if (index >= first && index < end) continue;
      if (row.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
      row.remove();
      this.#shown.delete(index);
      this.#spare.push(row);
    }
    let before = this.#above;
    for (let index = first; index < end; index++) {
      let row = this.#shown.get(index);
      if (!row) {
        row = this.#spare.pop() ?? this.#options.make();
        this.#shown.set(index, row);
        before.after(row);
        this.#fill(row, index);
      }
      before = row;
    }
    setHeight(this.#above, first * rowHeight);
    setHeight(this.#below, (this.#count - end) * rowHeight);
    onRange(first, end);
  }

  #fill(row, index) {
    row.setAttribute("aria-rowindex", String(index + 2));
    this.#options.show(row, index);
    const link = row.querySelector("a");
    if (link) link.tabIndex = index === this.#active ? 0 : -1;
  }

  #move(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / this.#options.rowHeight) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.#count, End: this.#count };
    if (!(event.key in steps) || !this.#count) return;
    event.preventDefault();
    const isInside = event.target.closest("tbody") !== null;
    const wanted = isInside ? this.#active + steps[event.key] : this.#active;
    this.#focus(Math.max(0, Math.min(this.#count - 1, wanted)));
  }

  #focus(index) {
    const { rowHeight } = this.#options;
    const head = this.#scroller.querySelector("thead").offsetHeight;
    const top = index * rowHeight;
    const { scrollTop, clientHeight } = this.#scroller;
    if (top < scrollTop) this.#scroller.scrollTop = top;
    else if (top + rowHeight + head > scrollTop + clientHeight)
      this.#scroller.scrollTop = top + rowHeight + head - clientHeight;
    const former = this.#shown.get(this.#active)?.querySelector("a");
    if (former) former.tabIndex = -1;
    this.#active = index;
    this.#place();
    const link = this.#shown.get(index)?.querySelector("a");
    if (!link) return;
    link.tabIndex = 0;
    link.focus({ preventScroll: true });
  }
}

function spacer() {
  return h("tr.spacer", { "aria-hidden": "true" }, h("td"));
}

function setHeight(row, px) {
  row.hidden = px === 0;
  row.firstChild.style.height = `${px}px`;
}
