// Money as exact decimal texts, never floats: "-12.500000000000000001" stays what it is.

const DECIMALS = 18;

/** A decimal text as a BigInt scaled by 1e18; null where there is none. */
export function scaled(text) {
  if (text === null || text === undefined) return null;
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = (negative ? text.slice(1) : text).split(".");
  const magnitude = BigInt(whole + fraction.padEnd(DECIMALS, "0"));
  return negative ? -magnitude : magnitude;
}

/** A scaled BigInt as the shortest decimal text. */
export function unscaled(value) {
  const digits = (value < 0n ? -value : value).toString().padStart(DECIMALS + 1, "0");
  const fraction = digits.slice(-DECIMALS).replace(/0+$/, "");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -DECIMALS)}${fraction && `.${fraction}`}`;
}

/** -1, 0 or 1. */
export function signOf(text) {
  if (/^-?0*(\.0*)?$/.test(text)) return 0;
  return text.startsWith("-") ? -1 : 1;
}

/**
 * A decimal text cut for show: the grouped whole part, `digits` of the fraction, and the digits after these. Cut, not
 * rounded: what is shown together is always the beginning of the exact value.
 */
export function parts(text, digits) {
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  return {
    whole: whole.replace(/\B(?=(\d{3})+$)/g, ","),
    fraction: fraction.slice(0, digits).padEnd(digits, "0"),
    rest: fraction.slice(digits),
  };
}

/** How many digits after the point a price needs: five that say something, two at least. */
export function priceDigits(text) {
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  if (whole !== "0") return Math.max(2, 6 - whole.length);
  const zeros = fraction.length - fraction.replace(/^0+/, "").length;
  return Math.min(DECIMALS, zeros + 5);
}
