"""Records of the ``heartbeats`` topic: a process says that it keeps something fresh, and how far it is.

The key names what is kept fresh, as ``<kind>:<name>``. A process repeats its record every ``HEARTBEAT_EVERY_S``; one
that stops is noticed by what it no longer says. All instants are in Unix ms, by the clock of the process.
"""

from __future__ import annotations

from typing import Annotated, assert_never

import msgspec

from models.codec import NUMBER_MAX
from models.errors import BadRecord

# Two lost records go unnoticed under the bound of 6 s (``api.freshness.process_s``).
HEARTBEAT_EVERY_S = 1.0
# Names of deployments and sources are shorter. A longer key was not written by us.
_KEY_MAX_BYTES = 256


_Number = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
# A pod's name has at most 253 characters; it is shown, and kept for each part.
_Process = Annotated[str, msgspec.Meta(max_length=300)]


class WorkerBeat(msgspec.Struct, tag="worker", tag_field="kind", frozen=True):
    """The owner of a partition writes its rows.

    ``newest_mark_ms`` is when the newest mark that it knows was received, 0 where it knows none. ``behind_ms`` is for
    how long the row has been out of date that has been so for longest, and ``behind_max_ms`` how long one may be. It is
    ``overloaded`` while it has more to do than it can. ``folds`` are the deployments whose accounts it folds and
    values: those of its configuration whose venues are installed there; None where it does not say.
    """

    process: _Process
    at_ms: _Number
    newest_mark_ms: _Number
    behind_ms: _Number
    behind_max_ms: _Number
    overloaded: bool = False
    folds: tuple[str, ...] | None = None


class ChainBeat(msgspec.Struct, tag="chain", tag_field="kind", frozen=True):
    """A deployment's chain is followed.

    ``in_step_ms`` is when the topic last stood at the head that the node named, 0 where it never has since the start;
    ``head`` is that block's number and ``head_time_s`` its time in Unix s.
    """

    process: _Process
    at_ms: _Number
    in_step_ms: _Number
    head: _Number
    head_time_s: _Number


class PricesBeat(msgspec.Struct, tag="prices", tag_field="kind", frozen=True):
    """A source of prices is followed.

    ``heard_ms`` is when its newest price happened (``models.prices.happened_ms``), 0 where it sent none so far.
    """

    process: _Process
    at_ms: _Number
    heard_ms: _Number


class FunderBeat(msgspec.Struct, tag="funder", tag_field="kind", frozen=True):
    """A deployment's funding is charged by this executor."""

    process: _Process
    at_ms: _Number


class HistoryBeat(msgspec.Struct, tag="history", tag_field="kind", frozen=True):
    """How figures went and what happened to accounts is kept, by this process among any number that keep the same.

    ``in_step_ms`` is when it had last read all that was shown and booked, 0 where it never had since the start.
    """

    process: _Process
    at_ms: _Number
    in_step_ms: _Number


Beat = WorkerBeat | ChainBeat | PricesBeat | FunderBeat | HistoryBeat

HISTORY_KEY = "history:served"
"""What a process that keeps history beats under: each keeps all of it."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Beat] = msgspec.json.Decoder(Beat)


def worker_key(partition: int) -> str:
    """What the owner of a partition beats under."""
    return f"worker:{partition}"


def chain_key(deployment: str) -> str:
    """What the ingest of a deployment's chain beats under."""
    return f"chain:{deployment}"


def prices_key(source: str) -> str:
    """What the ingest of a source of prices beats under."""
    return f"prices:{source}"


def funder_key(deployment: str) -> str:
    """What the executor of a deployment's funding beats under."""
    return f"funder:{deployment}"


def encode_beat(beat: Beat) -> bytes:
    """Encode a heartbeat as JSON with its ``kind``."""
    return _encoder.encode(beat)


def decode_beat(key: bytes | None, value: bytes | None) -> tuple[str, Beat]:
    """Decode a record of ``heartbeats``: what it is of, and what it says.

    Raises:
        BadRecord: The key is no name of a part, the value is no heartbeat, or the two are of different kinds.
    """
    if not key or len(key) > _KEY_MAX_BYTES:
        msg = f"expected a key of 1 to {_KEY_MAX_BYTES} bytes, found {key[:80] if key else key!r}"
        raise BadRecord(msg)
    try:
        name, beat = key.decode(), _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"expected a heartbeat of {key!r}, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error
    if not name.startswith(f"{_kind(beat)}:"):
        msg = f"expected a heartbeat of {name}, found {value!r:.160}"
        raise BadRecord(msg)
    return name, beat


def _kind(beat: Beat) -> str:
    match beat:
        case WorkerBeat():
            return "worker"
        case ChainBeat():
            return "chain"
        case PricesBeat():
            return "prices"
        case FunderBeat():
            return "funder"
        case HistoryBeat():
            return "history"
        case _:
            assert_never(beat)
