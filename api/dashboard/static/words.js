// How numbers that are no money, times and names are written.

export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

export function milliseconds(ns) {
  return Number(BigInt(ns) / 1_000_000n);
}

export function clock(ms) {
  const date = new Date(ms);
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

const isNarrow = matchMedia("(max-width: 46rem)");

export function short(address) {
  const [head, tail] = isNarrow.matches ? [6, -4] : [8, -6];
  return address.length > 18 ? `${address.slice(0, head)}…${address.slice(tail)}` : address;
}

export function percent(bps) {
  return `${(bps / 100).toFixed(2)} %`.replace("-", "−");
}

/** A part of one in percent with four digits, from a decimal text such as a funding rate. */
export function rate(text) {
  const percents = Number(text) * 100;
  return `${percents > 0 ? "+" : percents < 0 ? "−" : ""}${Math.abs(percents).toFixed(4)} %`;
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

export function count(number) {
  return whole.format(number);
}

/** For axes and summaries of charts only: not exact. */
export function about(number) {
  return compact.format(number).replace("-", "−");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

const PARTS = { chain: "ingest of chain", prices: "ingest of prices" };

/** Parts as people call them: what has several, such as partitions, is said once, with how many. */
export function partNames(names) {
  const kinds = new Map();
  for (const name of names) {
    const [kind, its] = name.split(":");
    kinds.set(kind, [...(kinds.get(kind) ?? []), its]);
  }
  return [...kinds]
    .map(([kind, its]) => {
      if (kind === "worker") return its.length === 1 ? `worker of partition ${its[0]}` : `worker of ${its.length} partitions`;
      return [PARTS[kind] ?? kind, its.filter(Boolean).join(", ")].filter(Boolean).join(" ");
    })
    .join(", ");
}
