"""Undo of a block: the former values of the cells that it changed, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from models.symmio.state import AccountState, Balances, Quote

Cells = Mapping[str, object]
"""Former values by field name."""


class Undo(msgspec.Struct, frozen=True):
    """The difference from a later state back to an earlier one.

    ``account`` holds the former fields of the account, other than its mappings. ``party_b`` holds former buckets, None
    where there was none. ``quotes`` holds the former cells of quotes that changed, ``removed`` whole quotes that are
    gone since, ``added`` the ids of quotes that are new since.
    """

    account: Cells = {}
    party_b: Mapping[str, Balances | None] = {}
    quotes: Mapping[int, Cells] = {}
    removed: Mapping[int, Quote] = {}
    added: tuple[int, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether both states are the same."""
        return not (self.account or self.party_b or self.quotes or self.removed or self.added)


_MAPPINGS = frozenset({"party_b", "quotes"})
_ACCOUNT_CELLS = tuple(name for name in AccountState.__struct_fields__ if name not in _MAPPINGS)


def diff(before: AccountState, after: AccountState) -> Undo:
    """Find what leads from ``after`` back to ``before``.

    A part that a fold did not touch is the same object in both states, so this costs little where little changed.
    """
    return Undo(
        account=_changed(before, after, _ACCOUNT_CELLS),
        party_b={
            party_b: before.party_b.get(party_b)
            for party_b in sorted(before.party_b.keys() | after.party_b.keys())
            if before.party_b.get(party_b) != after.party_b.get(party_b)
        },
        quotes={
            quote_id: cells
            for quote_id, quote in after.quotes.items()
            if (former := before.quotes.get(quote_id)) is not None
            and former is not quote
            and (cells := _changed(former, quote, Quote.__struct_fields__))
        },
        removed={quote_id: quote for quote_id, quote in before.quotes.items() if quote_id not in after.quotes},
        added=tuple(sorted(after.quotes.keys() - before.quotes.keys())),
    )


def revert(after: AccountState, undo: Undo) -> AccountState:
    """Go back: ``revert(after, diff(before, after)) == before``."""
    party_b = dict(after.party_b)
    for key, bucket in undo.party_b.items():
        if bucket is None:
            del party_b[key]
        else:
            party_b[key] = bucket
    quotes = dict(after.quotes)
    for quote_id in undo.added:
        del quotes[quote_id]
    for quote_id, cells in undo.quotes.items():
        quotes[quote_id] = msgspec.structs.replace(quotes[quote_id], **cells)
    quotes.update(undo.removed)
    return msgspec.structs.replace(after, party_b=party_b, quotes=quotes, **undo.account)


def _changed(before: object, after: object, fields: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name in fields if (value := getattr(before, name)) != getattr(after, name)}
