// Lines over time, drawn by uPlot. Charts show about how it went; the exact figures stand beside them.

import { h } from "./dom.js";
import { about, clock, duration } from "./words.js";

const LIBRARY = "/assets/uplot/dist/uPlot.esm.js";
const MISSING = "No charts: this server does not have the library that draws them. Everything else works.";
const SHORTEST_S = 30;
// A time this near the edge would be cut off.
const EDGE_PX = 28;
// A click moves the pointer by less.
const SPAN_PX = 4;
const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

let loading = null;

function library() {
  loading ??= import(LIBRARY).then(
    (module) => module.default,
    () => null,
  );
  return loading;
}

const charts = new Set();

/** Draw all charts again, for the colours are others now. */
export function recolour() {
  for (const chart of charts) chart.recolour();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

export class TimeChart {
  #host;
  #options;
  #plot = null;
  #colours = {};
  #data = [[], []];
  #marks = [];
  #dots = [];
  #span = null;
  #resizing;

  /**
   * @param {HTMLElement} host Where to.
   * @param {object} options `label`, for those who do not see it; `height` in px; `isSigned`: two colours, parted at 0;
   *   `sync`: charts of the same name share their cursor; `onPoint(index | null)`; `format(number)` for the axis;
   *   `least`: where the axis begins at the lowest; `onSpan(from_s, to_s)`: a span may be chosen by dragging.
   */
  constructor(host, options) {
    this.#host = host;
    this.#options = options;
    host.classList.add("chart");
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", `${options.label}, no values yet`);
    host.style.height = `${options.height}px`;
    charts.add(this);
    library().then((uPlot) => {
      if (!charts.has(this)) return;
      if (!uPlot) {
        host.style.height = "";
        host.removeAttribute("role");
        host.removeAttribute("aria-label");
        host.replaceChildren(h("p.note", MISSING));
        return;
      }
      this.#draw(uPlot);
    });
  }

  setData(times_s, values) {
    this.#data = [times_s, values];
    this.#plot?.setData(this.#data);
    const known = values.filter((value) => value !== null);
    if (!this.#plot || !known.length) return;
    const span = duration((times_s.at(-1) - times_s[0]) * 1000);
    const { label, format = about } = this.#options;
    const said = `${label}, last ${span}: lowest ${format(Math.min(...known))}, highest ${format(Math.max(...known))}, newest ${format(known.at(-1))}`;
    this.#host.setAttribute("aria-label", said);
  }

  setLabel(label) {
    this.#options = { ...this.#options, label };
  }

  /** Say when something happened: a stroke at the bottom for each of these times. */
  setMarks(times_s) {
    this.#marks = times_s;
    this.#plot?.redraw();
  }

  /** Say when something happened that stands on the line: a dot for each of these times. */
  setDots(times_s) {
    this.#dots = times_s;
    this.#plot?.redraw();
  }

  recolour() {
    if (!this.#plot) return;
    this.#readColours();
    this.#plot.redraw();
  }

  end() {
    charts.delete(this);
    this.#resizing?.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
  }

  #draw(uPlot) {
    this.#readColours();
    const { height, isSigned, sync, onPoint, onSpan, least } = this.#options;
    const faint = () => this.#colours.faint;
    this.#plot = new uPlot(
      {
        width: this.#host.clientWidth || 300,
        height,
        padding: [10, 0, 0, 4],
        legend: { show: false },
        cursor: {
          y: false,
          drag: { x: Boolean(onSpan), y: false, setScale: false },
          points: { size: 8, stroke: () => this.#colours.panel, fill: () => this.#colours.ink, width: 2 },
          ...(sync && { sync: { key: sync, setSeries: false } }),
        },
        scales: {
          x: { time: true, range: () => this.#times() },
          y: { range: (_, min, max) => padded(min, max, least) },
        },
        axes: [
          {
            stroke: faint,
            font: FONT,
            size: 26,
            gap: 6,
            space: 110,
            grid: { show: false },
            ticks: { show: false },
            values: (plot, splits) => splits.map((s) => (plot.valToPos(s, "x") < EDGE_PX ? "" : clock(s * 1000))),
          },
          {
            side: 1,
            stroke: faint,
            font: FONT,
            size: 68,
            gap: 8,
            space: 46,
            grid: { stroke: () => this.#colours.line, width: 1 },
            ticks: { show: false },
            values: (_, splits, __, ___, step) => this.#labels(splits, step),
          },
        ],
        series: [
          {},
          {
            width: 1.75,
            stroke: (plot) =>
              isSigned ? this.#parted(plot, this.#colours.gain, this.#colours.loss) : this.#colours.accent,
            fill: (plot) => (isSigned ? this.#tide(plot) : alpha(this.#colours.accent, 0.1)),
            fillTo: (_, __, min) => (isSigned ? 0 : min),
            points: { show: false },
          },
        ],
        hooks: {
          drawAxes: [(plot) => isSigned && this.#waterline(plot), (plot) => this.#shade(plot)],
          draw: [(plot) => this.#newest(plot), (plot) => this.#strokes(plot), (plot) => this.#points(plot)],
          setSelect: [(plot) => this.#selected(plot)],
          setCursor: [(plot) => onPoint?.(plot.cursor.idx ?? null)],
        },
      },
      this.#data,
      this.#host,
    );
    this.#resizing = new ResizeObserver(() => this.#plot?.setSize({ width: this.#host.clientWidth, height }));
    this.#resizing.observe(this.#host);
    this.setData(...this.#data);
  }

  #readColours() {
    const probe = this.#host.appendChild(h("i", { hidden: true }));
    for (const name of ["gain", "loss", "accent", "faint", "line", "panel", "ink"]) {
      probe.style.color = `var(--${name})`;
      this.#colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
  }

  #times() {
    const [times_s] = this.#data;
    const until_s = times_s.at(-1) ?? Date.now() / 1000;
    return [Math.min(times_s[0] ?? until_s, until_s - SHORTEST_S), until_s];
  }

  #labels(splits, step) {
    if (!this.#data[1].some((value) => value !== null)) return splits.map(() => "");
    const { format } = this.#options;
    return splits.map((value) => (format ? format(value) : tick(value, splits, step)));
  }

  /** Where 0 lies between the top (0) and the bottom (1) of the plot. */
  #zero(plot) {
    const { top, height } = plot.bbox;
    const at = (plot.valToPos(0, "y", true) - top) / height;
    return Number.isFinite(at) ? Math.min(1, Math.max(0, at)) : 0;
  }

  #parted(plot, above, below) {
    const zero = this.#zero(plot);
    if (zero <= 0) return below;
    if (zero >= 1) return above;
    return gradient(plot, [
      [0, above],
      [zero, above],
      [zero, below],
      [1, below],
    ]);
  }

  #tide(plot) {
    const { gain, loss } = this.#colours;
    const zero = this.#zero(plot);
    const above = [
      [0, alpha(gain, 0.28)],
      [zero, alpha(gain, 0.05)],
    ];
    const below = [
      [zero, alpha(loss, 0.05)],
      [1, alpha(loss, 0.28)],
    ];
    return gradient(plot, zero <= 0 ? below : zero >= 1 ? above : [...above, ...below]);
  }

  /** A dot where the line is now; of a single value there is no line yet. */
  #newest(plot) {
    const [times_s, values] = this.#data;
    const value = values.at(-1);
    if (value === null || value === undefined) return;
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = this.#options.isSigned
      ? value < 0
        ? this.#colours.loss
        : this.#colours.gain
      : this.#colours.accent;
    ctx.beginPath();
    ctx.arc(
      plot.valToPos(times_s.at(-1), "x", true),
      plot.valToPos(value, "y", true),
      3.5 * devicePixelRatio,
      0,
      2 * Math.PI,
    );
    ctx.fill();
    ctx.restore();
  }

  #strokes(plot) {
    const [times_s] = this.#data;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = this.#colours.accent;
    ctx.lineWidth = 2 * devicePixelRatio;
    for (const s of this.#marks) {
      if (s < times_s[0] || s > times_s.at(-1)) continue;
      const x = Math.round(plot.valToPos(s, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x, bbox.top + bbox.height - 8 * devicePixelRatio);
      ctx.stroke();
    }
    ctx.restore();
  }

  #points(plot) {
    const [times_s, values] = this.#data;
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = this.#colours.ink;
    ctx.strokeStyle = this.#colours.panel;
    ctx.lineWidth = devicePixelRatio;
    for (const s of this.#dots) {
      if (s < times_s[0] || s > times_s.at(-1)) continue;
      const value = valueAt(times_s, values, s);
      if (value === null) continue;
      ctx.beginPath();
      ctx.arc(plot.valToPos(s, "x", true), plot.valToPos(value, "y", true), 3 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  #selected(plot) {
    const { left, width } = plot.select;
    if (width < SPAN_PX) return;
    this.#span = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    // It is drawn by its times, so that it stays where it was when the chart moves on.
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    plot.redraw();
    this.#options.onSpan?.(...this.#span);
  }

  #shade(plot) {
    if (!this.#span) return;
    const { ctx, bbox } = plot;
    const [from, to] = this.#span.map((s) => {
      const x = plot.valToPos(s, "x", true);
      return Math.min(bbox.left + bbox.width, Math.max(bbox.left, x));
    });
    ctx.save();
    ctx.fillStyle = alpha(this.#colours.accent, 0.14);
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
    ctx.restore();
  }

  #waterline(plot) {
    const zero = this.#zero(plot);
    if (zero <= 0 || zero >= 1) return;
    const { ctx, bbox } = plot;
    const y = Math.round(bbox.top + zero * bbox.height);
    ctx.save();
    ctx.strokeStyle = this.#colours.faint;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([2 * devicePixelRatio, 5 * devicePixelRatio]);
    ctx.lineCap = "round";
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }
}

/** Where the drawn line is at a time, null where there is none. */
function valueAt(times_s, values, s) {
  const after = times_s.findIndex((time) => time >= s);
  const [one, other] = [values[Math.max(0, after - 1)], values[after]];
  if (one === null || one === undefined || other === null || other === undefined) return null;
  const [from, to] = [times_s[Math.max(0, after - 1)], times_s[after]];
  return to === from ? other : one + ((other - one) * (s - from)) / (to - from);
}

function gradient(plot, stops) {
  const { top, height } = plot.bbox;
  const made = plot.ctx.createLinearGradient(0, top, 0, top + height);
  for (const [at, colour] of stops) made.addColorStop(at, colour);
  return made;
}

function alpha(colour, share) {
  return colour.replace(
    /^rgba?\(([^)]+)\)$/,
    (_, parts) => `rgba(${parts.split(",").slice(0, 3).join(",")}, ${share})`,
  );
}

function padded(min, max, least = -Infinity) {
  if (min === null || !Number.isFinite(min)) return [Math.max(least, -1), 1];
  const pad = max > min ? (max - min) * 0.12 : Math.abs(max) * 0.001 || 1;
  return [Math.max(least, min - pad), max + pad];
}

/** A tick's number, short, with as many digits as it takes to tell two ticks apart. */
function tick(value, splits, step) {
  const most = Math.max(...splits.map(Math.abs));
  const [unit, divisor] = most >= 1e9 ? ["B", 1e9] : most >= 1e6 ? ["M", 1e6] : most >= 1e4 ? ["K", 1e3] : ["", 1];
  let digits = 0;
  for (let rest = step / divisor; digits < 8 && Math.abs(rest - Math.round(rest)) > 1e-6; rest *= 10) digits += 1;
  if (value === 0) return "0";
  return `${value < 0 ? "−" : ""}${Math.abs(value / divisor).toFixed(digits)}${unit}`;
}
