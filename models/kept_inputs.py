"""What figures were made of that an api replica computes itself, on ``served``: once for each computation.

Rows of ``valuations`` name their own inputs. Answers to ``calc``, baskets of Flash and the funding of markets are no
rows: a record says at which instant they were made, and of which rows, marks and references. Whoever reads these
computes the same anew.
"""

from __future__ import annotations

import msgspec

from models.body_reader import NOT_DECODED
from models.codec import ORDER_BYTES, join_row
from models.errors import BadRow


class KeptMark(msgspec.Struct, frozen=True, array_like=True):
    """The mark of a market: ``source:symbol``, the offset of its tick, and whether it was stale."""

    key: str
    offset: int
    stale: bool


class KeptFunding(msgspec.Struct, frozen=True, array_like=True):
    """What the rates of a market were made of.

    Attributes:
        symbol_id: Its number at its deployment.
        tick_offset: The tick that said the venue's rate.
        rate_e18: That rate.
        epoch_s: The market's funding interval on chain, in s.
        interval_s: The venue's, in s; None where it is not known.
    """

    symbol_id: int
    tick_offset: int
    rate_e18: str
    epoch_s: int
    interval_s: int | None


class CalculationsMade(msgspec.Struct, tag="calculations-made", tag_field="kind", frozen=True):
    """Calculations that share their instant and their marks: those of a turn of a replica's loop, or somewhat longer.

    Attributes:
        at_ms: The instant, Unix ms.
        asked: Of each its account, term and version of the account's statement, and what was asked.
        marks: The marks that were chosen, by market; None where a market has none.
        references: The references that were asked for, by name: partition and offset; None where there is none.
    """

    at_ms: int
    asked: list[tuple[str, int, int, str]]
    marks: dict[str, KeptMark | None]
    references: dict[str, tuple[int, int] | None]


class FundingMade(msgspec.Struct, tag="funding-made", tag_field="kind", frozen=True):
    """The funding of a deployment's markets as of one second.

    Attributes:
        at_ms: The instant, Unix ms.
        share: Which share of a rate is charged, as the settings say.
        max_rate: The greatest rate, likewise.
        is_scaled: Whether rates are scaled to the market's own interval.
        markets: What the rates of each market were made of, by its name.
    """

    at_ms: int
    share: str
    max_rate: str
    is_scaled: bool
    markets: dict[str, KeptFunding]


KeptInput = CalculationsMade | FundingMade

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[KeptInput] = msgspec.json.Decoder(KeptInput)
_NO_TERM = 0


def kept_key(kind: str, deployment: str) -> bytes:
    """Key of what was made for a deployment.

    Args:
        kind: ``calc`` or ``funding``.
        deployment: The deployment.
    """
    return f":{kind}:{deployment}".encode()


def encode_kept(made: KeptInput) -> bytes:
    """Encode a record: before its JSON stand term 0, for no owner writes it, and the instant."""
    return join_row(_NO_TERM, made.at_ms, _encode(made))


def decode_kept(value: bytes) -> KeptInput:
    """Decode a record.

    Raises:
        BadRow: It is none.
    """
    try:
        return _decoder.decode(memoryview(value)[ORDER_BYTES:])
    except NOT_DECODED as error:
        msg = f"expected what figures were made of, found {value[:80]!r} ({error})"
        raise BadRow(msg) from error
