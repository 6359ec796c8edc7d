"""Provenance: what figures were made from, in the row that shows them but apart from what the row says.

Rows are compared without it: else each look at an account would write its row anew, with nothing to show for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.codec import ORDER_BYTES, encode_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.references import UsedReference

MADE_FROM = "made_from"
"""The last column of a row that names its provenance; rows of before have none."""

NOT_OF_INPUTS = (MADE_FROM, "last_complete")
"""The columns that are not made of what a row names: the last complete figures name their inputs themselves."""

_COLUMN = f',"{MADE_FROM}":'.encode()


def provenance(
    at_ms: int, venue: str, settings: str, references: Mapping[str, UsedReference] | None = None
) -> dict[str, Any]:
    """What figures were made from beside the account and the marks, which their row names anyway.

    Args:
        at_ms: The instant, Unix ms.
        venue: The venue's kind and the version of its figures, as ``symmio/1``.
        settings: Under which name the settings that chose stand on the topic ``figure-settings``.
        references: The references that were asked for, by name.
    """
    made = {"at_ms": at_ms, "venue": venue, "settings": settings}
    if references:
        return {**made, "references": {name: [used.partition, used.offset] for name, used in references.items()}}
    return made


def with_inputs(made: Mapping[str, Any], valuation: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance for where the valuation's own columns are not at hand: with the account's row and each mark's offset.

    ``marks`` are all that the valuation was made of, also those by which amounts became money; ``stale`` are the keys
    of those that were stale, and absent where none was.

    Args:
        made: What ``provenance`` says of the valuation.
        valuation: Its body.
    """
    marks = named_marks(valuation)
    named = {
        **made,
        "account_order": valuation["account_order"],
        "position": valuation["position"],
        "marks": {one["mark_key"]: one["mark_offset"] for one in marks},
    }
    stale = sorted({one["mark_key"] for one in marks if one.get("stale")})
    return {**named, "stale": stale} if stale else named


def named_marks(valuation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Everything in a valuation that names a mark by ``mark_key`` and ``mark_offset``, at whatever depth.

    Args:
        valuation: Its body.
    """
    found: list[Mapping[str, Any]] = []
    left: list[Any] = [value for name, value in valuation.items() if name not in NOT_OF_INPUTS]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if one.get("mark_key") is not None:
                found.append(one)
            left += one.values()
        elif isinstance(one, list):
            left += one
    # What says whether its mark was stale comes last, and holds where two name the same one.
    return sorted(found, key=lambda one: "stale" in one)


def join_provenance(encoded_body: bytes, made: Mapping[str, Any]) -> bytes:
    """Put provenance behind the columns of an encoded body that has at least one."""
    return _joined(encoded_body, encode_body(made))


class Provenances:
    """The provenance of one deployment's valuations: those of an instant share one, unless they had references.

    Args:
        venue: As for ``provenance``.
        settings: Likewise.
    """

    def __init__(self, venue: str, settings: str) -> None:
        self._venue = venue
        self._settings = settings
        self._at_ms: int | None = None
        self._shared: Mapping[str, Any] = {}
        self._encoded = b""

    def made(self, at_ms: int, references: Mapping[str, UsedReference]) -> Mapping[str, Any]:
        """What a valuation was made from; nobody may change it.

        Args:
            at_ms: The instant, Unix ms.
            references: The references that were asked for, by name.
        """
        if references:
            return provenance(at_ms, self._venue, self._settings, references)
        if at_ms != self._at_ms:
            self._at_ms, self._shared = at_ms, provenance(at_ms, self._venue, self._settings)
            self._encoded = encode_body(self._shared)
        return self._shared

    def join(self, encoded_body: bytes, made: Mapping[str, Any]) -> bytes:
        """As ``join_provenance``; one that is shared is encoded once.

        Args:
            encoded_body: Columns without provenance.
            made: What ``made`` returned.
        """
        return _joined(encoded_body, self._encoded if made is self._shared else encode_body(made))


def _joined(encoded_body: bytes, encoded_made: bytes) -> bytes:
    return b"%b%b%b}" % (encoded_body[:-1], _COLUMN, encoded_made)


def says_the_same(row: bytes, encoded_body: bytes) -> bool:
    """Whether a row has just these columns, whatever they were made from.

    Args:
        row: A row with provenance; one of before is another in any case.
        encoded_body: Columns without provenance.
    """
    columns = encoded_body[:-1]
    return row.startswith(columns, ORDER_BYTES) and row.startswith(_COLUMN, ORDER_BYTES + len(columns))
