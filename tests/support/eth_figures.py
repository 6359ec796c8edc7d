"""What a solver's figures should be, worked out from what a Diamond's views answer.

Written apart from the code under test: it takes quotes and balances as ``eth_call`` gives them, knows nothing of rows,
and shares no arithmetic and no formatting with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

WAD = 10**18
OPEN, PENDING = {4, 5, 6}, {0, 1, 2}
ZERO = "0x" + "0" * 40


@dataclass(frozen=True)
class EthQuote:
    """``getQuote``, as far as figures depend on it."""

    quote_id: int
    status: int
    symbol: int
    side: int
    party_a: str
    party_b: str
    whitelist: tuple[str, ...]
    quantity: int
    closed: int
    opened: int
    requested: int

    @property
    def left(self) -> int:
        return self.quantity - self.closed


@dataclass(frozen=True)
class EthWorld:
    """A deployment at one block: quotes, ``balanceInfoOfPartyA`` and ``B``, the mark of each symbol that has one."""

    quotes: list[EthQuote]
    party_a: dict[str, list[int]]
    party_b: dict[tuple[str, str], list[int]]
    marks: dict[int, int]
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)

    def positions(self, account: str, hedgers: set[str] | None = None) -> list[EthQuote]:
        return [
            quote
            for quote in self.quotes
            if quote.party_a == account and quote.status in OPEN and (hedgers is None or quote.party_b in hedgers)
        ]

    def upnl(self, quotes: list[EthQuote]) -> int | None:
        """Party A's gain, each quote cut to whole wei before they are added; None where a price is missing."""
        total = 0
        for quote in quotes:
            if quote.symbol not in self.marks:
                return None
            rise = self.marks[quote.symbol] - quote.opened
            gain = Fraction((rise if quote.side == 0 else -rise) * quote.left, WAD)
            total += int(gain)
        return total

    def notional(self, quotes: list[EthQuote]) -> int | None:
        if any(quote.symbol not in self.marks for quote in quotes):
            return None
        return sum(int(Fraction(quote.left * self.marks[quote.symbol], WAD)) for quote in quotes)

    def money_of_a(self, account: str) -> dict[str, str | None]:
        balances = self.party_a.get(account, [0] * 9)
        positions = self.positions(account)
        upnl = self.upnl(positions)
        return _money(balances, upnl, self.notional(positions))

    def money_of_b(self, account: str, hedgers: set[str]) -> dict[str, str | None]:
        """The hedgers' buckets with an account, added up; the gain is theirs."""
        buckets = [
            values for (party_b, party_a), values in self.party_b.items() if party_a == account and party_b in hedgers
        ]
        balances = [sum(column) for column in zip(*buckets, strict=True)] or [0] * 9
        positions = self.positions(account, hedgers)
        upnl = self.upnl(positions)
        return _money(balances, None if upnl is None else -upnl, self.notional(positions))

    def used(self, hedgers: set[str], *, symbol: int | None = None, count_pending: bool = False) -> str:
        """What is used of caps: what is left of open quotes at the mark, at what they opened at where there is none."""
        total = Fraction(0)
        for quote in self.quotes:
            if symbol not in (None, quote.symbol):
                continue
            if quote.status in OPEN and quote.party_b in hedgers:
                total += Fraction(quote.left * self.marks.get(quote.symbol, quote.opened), WAD)
            elif count_pending and quote.status in PENDING and _may_take(quote, hedgers):
                total += Fraction(quote.quantity * self.marks.get(quote.symbol, quote.requested), WAD)
        return wei_text(int(total))

    def total_of_b(self, hedger: str) -> tuple[str | None, str | None]:
        """A hedger's gain and notional over all accounts."""
        quotes = [quote for quote in self.quotes if quote.status in OPEN and quote.party_b == hedger]
        upnl, notional = self.upnl(quotes), self.notional(quotes)
        return None if upnl is None else wei_text(-upnl), None if notional is None else wei_text(notional)


def _may_take(quote: EthQuote, hedgers: set[str]) -> bool:
    if quote.party_b != ZERO:
        return quote.party_b in hedgers
    return not quote.whitelist or any(named.lower() in hedgers for named in quote.whitelist)


def _money(balances: list[int], upnl: int | None, notional: int | None) -> dict[str, str | None]:
    allocated, cva, lf, amm, bmm, pending_cva, pending_lf, pending_amm, pending_bmm = balances
    available = None if upnl is None else allocated + upnl - (cva + lf)
    figures = {
        "upnl": upnl, "notional": notional, "available_balance": available, "allocated_balance": allocated,
        "cva": cva, "lf": lf, "party_a_mm": amm, "party_b_mm": bmm, "pending_cva": pending_cva,
        "pending_lf": pending_lf, "pending_party_a_mm": pending_amm, "pending_party_b_mm": pending_bmm,
    }  # fmt: skip
    return {name: None if value is None else wei_text(value) for name, value in figures.items()}


def wei_text(value: int) -> str:
    """A number of wei in whole units, without zeros that say nothing."""
    digits = str(abs(value)).rjust(19, "0")
    text = (digits[:-18] + "." + digits[-18:]).rstrip("0").rstrip(".")
    return "-" + text if value < 0 else text
