"""Exact money: amounts and prices are Python ints scaled by 1e18 (``_e18``); those that can be negative are signed."""

from __future__ import annotations

import re

from models.errors import BadNumber

_DECIMALS = 18
E18 = 10**18
_TENS = [10**power for power in range(_DECIMALS + 1)]
_DECIMAL = re.compile(r"(-?)([0-9]{1,60})(?:\.([0-9]{1,60}))?")


def parse_e18(text: str) -> int:
    """Read a plain decimal text exactly.

    Args:
        text: Such as ``"-12.5"``; no exponent, sign ``+`` or space. Decimals beyond the 18th must be zeros.

    Returns:
        The value scaled by 1e18, signed.

    Raises:
        BadNumber: The text is not such a number (``"NaN"``, ``"1e5"``, ``""``) or needs more than 18 decimals.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        msg = f"expected a plain decimal number, found {text[:80]!r}"
        raise BadNumber(msg)
    sign: str
    whole: str
    fraction: str
    sign, whole, fraction = match.groups("")
    missing = _DECIMALS - len(fraction)
    if missing < 0:
        if fraction[_DECIMALS:].strip("0"):
            msg = f"expected at most 18 decimals, found {text[:80]!r}"
            raise BadNumber(msg)
        fraction, missing = fraction[:_DECIMALS], 0
    # Digits are read at once: a tick has three numbers, and reading them is most of what it takes.
    value: int = int(whole + fraction) * _TENS[missing]
    return -value if sign else value


def format_e18(value_e18: int) -> str:
    """Write a 1e18-scaled value as the shortest exact decimal text, such as ``"-12.5"`` or ``"0"``."""
    whole, fraction = divmod(abs(value_e18), E18)
    text = f"{whole}.{fraction:018d}".rstrip("0").rstrip(".") if fraction else str(whole)
    return f"-{text}" if value_e18 < 0 else text


def show_e18(text: str) -> str:
    """Write what a row holds, the text of a 1e18-scaled integer, as ``format_e18`` writes that integer.

    The point is put into the digits: a frame of four positions shows 40 amounts, and as integers they take three times
    as long.

    Args:
        text: Such as ``"-12500000000000000000"``.

    Raises:
        ValueError: The text is no integer.
    """
    if text == "0":
        return text
    digits = text[1:] if text[:1] == "-" else text
    if digits[:1] in {"", "0"} or not (digits.isdecimal() and digits.isascii()):
        return format_e18(int(text))
    if len(digits) > _DECIMALS:
        whole, fraction = digits[:-_DECIMALS], digits[-_DECIMALS:].rstrip("0")
    else:
        whole, fraction = "0", digits.rjust(_DECIMALS, "0").rstrip("0")
    shown = f"{whole}.{fraction}" if fraction else whole
    return shown if digits is text else f"-{shown}"


def divide_toward_zero(numerator: int, denominator: int) -> int:
    """Divide as the contracts do: the magnitude is floored, the sign is kept. ``denominator`` is positive."""
    quotient = abs(numerator) // denominator
    return -quotient if numerator < 0 else quotient
