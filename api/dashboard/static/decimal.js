// Exact decimal texts, never floats: "-12.500000000000000001" stays what it is.

const DECIMALS = 18;

/** A decimal text as a BigInt scaled by 1e18; null stays null. */
export function scaled(text) {
  if (text === null || text === undefined) return null;
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = (negative ? text.slice(1) : text).split(".");
  const magnitude = BigInt(whole + fraction.padEnd(DECIMALS, "0"));
  return negative ? -magnitude : magnitude;
}

/** Split a scaled value for show: sign, grouped whole part, and the fraction cut (not rounded) at `shown` digits. */
export function parts(value, shown) {
  const digits = (value < 0n ? -value : value).toString().padStart(DECIMALS + 1, "0");
  const whole = digits.slice(0, -DECIMALS).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const fraction = digits.slice(-DECIMALS).slice(0, shown);
  return { sign: value < 0n ? "−" : value > 0n ? "+" : "", whole, fraction };
}
