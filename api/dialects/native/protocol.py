"""The messages of ``tidemark.v1.json``: what a client may send is decoded here, and answers are encoded. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBPROTOCOL = "tidemark.v1.json"

INTERVAL_DEFAULT_MS = 100
INTERVAL_MAX_MS = 60_000
# An account of 150 positions takes 80 kB: this many are 80 MB at the very most. A page shows fewer than 100 at a time.
SUBSCRIPTIONS_MAX = 1_024
MESSAGE_MAX_BYTES = 65_536

Seq = tuple[int, ...]
"""What tells two states of a subject apart, such as term and version of a row. Clients compare it for equality only."""


class Channel(StrEnum):
    """Names of the channels, which ``channels`` describes."""

    ACCOUNT = "account"
    VALUATIONS = "valuations"
    POSITIONS = "positions"
    MARKS = "marks"
    TOTALS = "totals"
    ALERTS = "alerts"
    POSITION_STATES = "position-states"
    FUNDING = "funding"


class Code(StrEnum):
    """The kinds of error that a request is answered with."""

    BAD_MESSAGE = "bad_message"
    BAD_CHANNEL = "bad_channel"
    BAD_KEY = "bad_key"
    BAD_SUBSCRIPTION = "bad_subscription"
    NOT_AUTHENTICATED = "not_authenticated"
    FORBIDDEN = "forbidden"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    TOO_MANY_MESSAGES = "too_many_messages"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TRY_AGAIN = "try_again"


class Close:
    """Close codes of our own: 44xx say what to change before coming back."""

    BAD_MESSAGES = 4400
    NOT_AUTHENTICATED = 4401
    SLOW = 4408
    TOO_MANY_CONNECTIONS = 4409
    IDLE = 4410
    TOO_MANY_MESSAGES = 4429


_Id = msgspec.Meta(ge=0, le=2**53 - 1)


class HeldState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state that a client holds of a key."""

    epoch: int
    seq: Seq


class Auth(msgspec.Struct, frozen=True, tag="auth", tag_field="op"):
    """A client says who it is, for the first time or again."""

    id: int
    token: str


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", tag_field="op"):
    """A client asks for keys of a channel; ``resume`` says what it holds of some."""

    id: int
    channel: str
    keys: tuple[str, ...]
    interval_ms: int = INTERVAL_DEFAULT_MS
    resume: dict[str, HeldState] = {}


class Unsubscribe(msgspec.Struct, frozen=True, tag="unsubscribe", tag_field="op"):
    """A client gives subscriptions up."""

    id: int
    subs: tuple[int, ...]


class Resync(msgspec.Struct, frozen=True, tag="resync", tag_field="op"):
    """A client asks for a snapshot again."""

    id: int
    sub: int


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="op"):
    """A client asks for an ack."""

    id: int


Request = Auth | Subscribe | Unsubscribe | Resync | Ping

_decoder = msgspec.json.Decoder(Request)
_ID_MAX = 2**53 - 1


class BadMessage(TidemarkError):
    """A client's message is not one of the protocol; ``id`` is the request's, None where it has none."""

    def __init__(self, message: str, request_id: int | None) -> None:
        super().__init__(message)
        self.id = request_id


def decode_request(text: str) -> Request:
    """Read a client's message.

    Raises:
        BadMessage: It is not a request, or a number in it is out of range.
    """
    try:
        request: Request = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        msg = f'expected a request such as {{"op":"ping","id":1}}, found a fault: {error!s:.200}'
        raise BadMessage(msg, _id_of(text)) from error
    if not 0 <= request.id <= _ID_MAX:
        msg = "expected id from 0 to 2^53 - 1, found one out of range"
        raise BadMessage(msg, None)
    if isinstance(request, Subscribe) and not 0 <= request.interval_ms <= INTERVAL_MAX_MS:
        msg = f"expected interval_ms from 0 to {INTERVAL_MAX_MS}, found {request.interval_ms!s:.30}"
        raise BadMessage(msg, request.id)
    return request


def _id_of(text: str) -> int | None:
    try:
        found = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    request_id = found.get("id") if isinstance(found, dict) else None
    is_id = isinstance(request_id, int) and not isinstance(request_id, bool) and 0 <= request_id <= _ID_MAX
    return request_id if is_id else None


def hello(
    *, connection: str, epoch: int, server_time_ns: str, heartbeat_ms: int, auth: str, limits: dict[str, int]
) -> bytes:
    """Encode the first message of a connection.

    Args:
        connection: A name that no other connection has.
        epoch: Number of the rebuild that is served.
        server_time_ns: The server's clock, in Unix ns as decimal text.
        heartbeat_ms: Time between two heartbeats, in ms.
        auth: ``open`` where no token is needed, ``required`` where one must follow, ``done`` where one came already.
        limits: What the client may do, by name; docs/websocket.md lists them.
    """
    return _encode(
        {
            "type": "hello",
            "protocol": SUBPROTOCOL,
            "connection": connection,
            "epoch": epoch,
            "server_time_ns": server_time_ns,
            "heartbeat_ms": heartbeat_ms,
            "auth": auth,
            "limits": limits,
        }
    )


def ack(request_id: int, op: str, **said: object) -> bytes:
    """Encode the answer that a request was done.

    Args:
        request_id: The request's id.
        op: What was asked for.
        **said: What else there is to say of it.
    """
    return _encode({"type": "ack", "id": request_id, "op": op, **said})


def error(
    request_id: int | None, code: Code, message: str, *, temporary: bool = False, retry_after_ms: int | None = None
) -> bytes:
    """Encode the answer that nothing of a request was done.

    Args:
        request_id: The request's id; None where it has none.
        code: The kind of error, which programs read.
        message: What was expected and what was found, which people read.
        temporary: Whether the same request may be done later.
        retry_after_ms: How long to wait before that, in ms; None where it is not known.
    """
    said: dict[str, Any] = {"type": "error", "code": code, "message": message, "temporary": temporary}
    if request_id is not None:
        said["id"] = request_id
    if retry_after_ms is not None:
        said["retry_after_ms"] = retry_after_ms
    return _encode(said)


def goodbye(reason: str, reconnect_in_ms: int) -> bytes:
    """Encode the last message before a close that was planned."""
    return _encode({"type": "goodbye", "reason": reason, "reconnect_in_ms": reconnect_in_ms})


def heartbeat(said: dict[str, Any]) -> bytes:
    """Encode a heartbeat: the server lives, and its figures are this late."""
    return _encode({"type": "heartbeat", **said})


def snapshot_head(sub: int) -> bytes:
    """Encode the beginning of a snapshot, which names the subscription; ``snapshot_tail`` is the rest."""
    return b'{"type":"snapshot","sub":%d,' % sub


def snapshot_tail(epoch: int, seq: Seq, data: bytes) -> bytes:
    """Encode the part of a snapshot that is the same for all subscriptions.

    Args:
        epoch: Number of the rebuild that the state belongs to.
        seq: The state's.
        data: The view as JSON.
    """
    return b'"epoch":%d,"seq":%b,"data":%b}' % (epoch, encode_seq(seq), data)


def delta_head(sub: int) -> bytes:
    """Encode the beginning of a delta, which names the subscription; ``delta_tail`` is the rest."""
    return b'{"type":"delta","sub":%d,' % sub


def delta_tail(prev: Seq, seq: Seq, patch: bytes) -> bytes:
    """Encode the part of a delta that is the same for all who hold the same state.

    Args:
        prev: The seq of the state that the client holds.
        seq: The seq of the state that it then has.
        patch: A JSON merge patch from the one view to the other.
    """
    return b'"prev":%b,"seq":%b,"data":%b}' % (encode_seq(prev), encode_seq(seq), patch)


def encode_seq(seq: Sequence[int]) -> bytes:
    """Encode a seq as it stands in a message."""
    return orjson.dumps(seq)


def _encode(message: dict[str, Any]) -> bytes:
    return orjson.dumps(message)
