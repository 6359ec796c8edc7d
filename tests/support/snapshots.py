"""What the contract itself answered at a block, held against what was folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.symmio.state import QuoteStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZEROS = [0] * 9
_STATUS, _AVG_CLOSED = 0, 8


def differences(expected: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """Name every field in which what was folded is not what the contract answered."""
    for part in ("A", "B"):
        for key, balances in expected[part].items():
            if found[part].get(key, _ZEROS) != balances:
                yield f"block {expected['block']} {part} {key}: {balances} {found[part].get(key)}"
    for quote_id, fields in expected["Q"].items():
        folded = found["Q"].get(quote_id)
        if folded is not None and folded[_AVG_CLOSED] is None:
            assert folded[_STATUS] == QuoteStatus.LIQUIDATED
            folded = [*folded[:_AVG_CLOSED], fields[_AVG_CLOSED], *folded[_AVG_CLOSED + 1 :]]
        if folded != fields:
            yield f"block {expected['block']} quote {quote_id}: {fields} {folded}"
