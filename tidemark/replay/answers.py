"""What a log answers, as objects: exact figures, tables, and a form for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from models.instants import rfc3339
from streams.replay.exported_rows import MONEY_E18, TEXT, TIME_NS, WHOLE, Row, Schema
from tidemark.replay.tables import Table, decimal_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from models.explaining import PositionAt, Term
    from streams.replay.account_at import AccountAt
    from streams.replay.explained import Explained
    from streams.replay.row_check import RowReport
    from streams.replay.served_at import ServedRow
    from streams.replay.unreadable_records import UnreadableRecord
    from streams.replay.what_if_at import WhatIf
    from tidemark.account_then import CalculatedFrame

_NS_IN_MS = 1_000_000


def _unread(_: object) -> Sequence[Row]:
    """Rows of these tables are made of no record."""
    return ()


TERMS = Schema(
    "terms",
    1,
    {
        "time": TIME_NS, "name": TEXT, "quote": TEXT, "symbol": TEXT, "upnl": MONEY_E18, "balance": MONEY_E18,
        "size_before": MONEY_E18, "size_after": MONEY_E18, "mark_before": MONEY_E18, "mark_after": MONEY_E18,
        "event": TEXT, "at": TEXT,
    },
    _unread,
)  # fmt: skip
_FIGURES = ("upnl", "equity", "notional", "available_balance")
ACCOUNTS = Schema(
    "scenario",
    1,
    {
        "account": TEXT, "is_liquidatable": WHOLE, "was_liquidatable": WHOLE,
        **{f"{name}_{when}": MONEY_E18 for name in _FIGURES for when in ("before", "after")},
    },
    _unread,
)  # fmt: skip
DIFFERENCES = Schema("differences", 1, {"row": TEXT, "field": TEXT, "ours": TEXT, "again": TEXT}, _unread)


def _money(text: str | None) -> Decimal | None:
    return None if text is None else decimal_of(int(text))


@dataclass(frozen=True, slots=True, repr=False)
class AccountAnswer:
    """An account as of an instant: ``recomputed`` from the log, and what was ``shown`` then, where that was asked for.

    Either is None where there was none. ``differs`` names the columns in which the two differ. ``calculated`` is what a
    replica of the api had calculated of it last by then, with the frames that come of the same inputs again; None where
    no dialect of the deployment calculates, or what was shown was not asked for. ``unreadable`` are records of what was
    shown and calculated that cannot be read; they may have been newer.
    """

    key: str
    recomputed: AccountAt | None
    shown: ServedRow | None
    differs: tuple[str, ...]
    calculated: tuple[CalculatedFrame, ...] | None
    unreadable: tuple[UnreadableRecord, ...] = ()

    @property
    def row(self) -> Mapping[str, Any]:
        """The row as it is recomputed, with its provenance; money is decimal text of 1e18-scaled ints.

        Raises:
            LookupError: There was no such account then.
        """
        if self.recomputed is None:
            msg = f"expected {self.key} to have been there then, found no such account"
            raise LookupError(msg)
        return self.recomputed.body

    @property
    def upnl(self) -> Decimal | None:
        """Its uPnL; None where it is unknown."""
        return _money(self.row["upnl"])

    @property
    def notional(self) -> Decimal | None:
        """Its notional; None where it is unknown."""
        return _money(self.row["notional"])

    @property
    def equity(self) -> Decimal | None:
        """Its equity; None where it is unknown."""
        return _money(self.row["equity"])

    @property
    def doubts(self) -> tuple[str, ...]:
        """What the log cannot tell any more."""
        return () if self.recomputed is None else self.recomputed.doubts

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {one}" for name, one in self._said().items())
        return f"{self._head()}: {figures or 'no such account then'}"

    def _head(self) -> str:
        return self.key if self.recomputed is None else f"{self.key}, {rfc3339(self.recomputed.at_ms)}"

    def _said(self) -> Mapping[str, object]:
        if self.recomputed is None:
            return {}
        said = {"status": self.row["status"], "upnl": self.upnl, "notional": self.notional, "equity": self.equity}
        if self.shown is not None:
            said["shown upnl"] = _money(self.shown.body["upnl"])
            said["differs"] = ", ".join(self.differs) or "nothing"
        if self.unreadable:
            said["unreadable"] = len(self.unreadable)
        return said

    def _repr_html_(self) -> str:
        if self.recomputed is None:
            return f"<p>{escape(repr(self))}</p>"
        lines = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(one))}</td></tr>" for name, one in self._said().items()
        )
        return f"<table><caption>{escape(self._head())}</caption>{lines}</table>"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an account's uPnL and balance are others than before: ``terms`` add up to the change, with no rest."""

    explained: Explained
    terms: Table

    @property
    def change(self) -> Decimal:
        """By how much the uPnL changed; what is unknown counts as 0."""
        return decimal_of(self.explained.end.counted_upnl_e18 - self.explained.begin.counted_upnl_e18)

    @property
    def by_name(self) -> Mapping[str, Decimal]:
        """What each kind of event did to the uPnL, the greatest first."""
        sums: dict[str, Decimal] = {}
        for term in self.terms:
            sums[term["name"]] = sums.get(term["name"], decimal_of(0)) + term["upnl"]
        return dict(sorted(sums.items(), key=lambda item: -abs(item[1])))

    @property
    def doubts(self) -> tuple[str, ...]:
        """What the log cannot tell any more."""
        return self.explained.doubts

    def _repr_html_(self) -> str:
        lines = "".join(f"<tr><th>{escape(name)}</th><td>{one:f}</td></tr>" for name, one in self.by_name.items())
        return f"<table><caption>uPnL changed by {self.change:f} in {len(self.terms)} terms</caption>{lines}</table>"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What would become of all accounts: ``accounts`` are those that are others, with figures before and after."""

    worked_out: WhatIf
    accounts: Table

    @property
    def liquidated(self) -> Sequence[str]:
        """The accounts that could be liquidated then and not before, first those that lack most."""
        return [one["account"] for one in self.accounts if one["is_liquidatable"] and not one["was_liquidatable"]]

    @property
    def marks(self) -> Mapping[str, tuple[Decimal, Decimal]]:
        """The marks that became others: before and after."""
        return {key: (decimal_of(old), decimal_of(new)) for key, (old, new) in self.worked_out.moved.items()}

    def _repr_html_(self) -> str:
        said = f"{len(self.worked_out.before)} accounts, {len(self.accounts)} others, {len(self.liquidated)} liquidated"
        return f"<p>{escape(said)}</p>{self.accounts._repr_html_()}"


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the rows that are served follow from the log; ``differences`` name those that do not, field by field."""

    report: RowReport
    differences: Table

    @property
    def is_clean(self) -> bool:
        """Whether rows were compared, and none differs."""
        return bool(self.report.compared) and not len(self.differences)

    def _repr_html_(self) -> str:
        report = self.report
        said = f"{report.rows} rows: {report.same} the same, {report.twice} valued twice"
        return f"<p>{said}, {report.not_comparable.total()} not comparable</p>{self.differences._repr_html_()}"


def term_row(term: Term) -> Row:
    """A term as a row of ``TERMS``."""
    market = term.after or term.before
    (size_before, mark_before), (size_after, mark_after) = _position(term.before), _position(term.after)
    return (
        term.event.time_ms * _NS_IN_MS, term.event.name, None if term.quote is None else str(term.quote),
        None if market is None else str(market.market), term.upnl_e18, term.balance_e18, size_before, size_after,
        mark_before, mark_after, term.event.place or None, term.event.at or None,
    )  # fmt: skip


def _position(position: PositionAt | None) -> tuple[int | None, int | None]:
    return (None, None) if position is None else (position.size_e18, position.mark_e18)


def scenario_rows(worked_out: WhatIf) -> list[Row]:
    """The accounts that are others, as rows of ``ACCOUNTS``."""
    from models.what_if import is_liquidatable  # noqa: PLC0415

    return [
        (
            one.key.decode(),
            int(is_liquidatable(one.after)),
            int(is_liquidatable(one.before)),
            *(cell for pair in zip(one.before, one.after, strict=True) for cell in pair),
        )
        for one in worked_out.changed
    ]
