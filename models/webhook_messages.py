"""What a webhook says of a transition: its idempotency key and its body, the same bytes however often they are sent."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from models.alert_views import alerts_view
from models.alerts import alarm_of, ordinal_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID_DIGITS = 32


class WebhookMessage(NamedTuple):
    """One transition of an account.

    Attributes:
        id: Its idempotency key, which names this transition and no other.
        ordinal: Its place among the transitions of its account, from 1 on.
        kind: What it is called, such as ``liquidatable``.
        alarm: Which alarm it turned on or off; of each a row keeps so many transitions.
        as_of_ms: When it was seen, Unix ms.
        body: JSON, as it is signed and sent.
    """

    id: str
    ordinal: int
    kind: str
    alarm: tuple[str, str]
    as_of_ms: int
    body: bytes


def messages_of(key: str, body: Mapping[str, Any], *, epoch: int, after: int) -> list[WebhookMessage]:
    """Make the messages of an account's transitions that come after one, oldest first.

    Args:
        key: ``<deployment>:<account>``.
        body: Body of its ``alerts`` row.
        epoch: That of the tables: another one counts transitions anew.
        after: The ordinal of the last transition that is passed over; 0 for none.

    Raises:
        BadRow: The body lacks what it must have.
    """
    view = alerts_view(key, {**body, "alarms": ()})
    subject = {"account": view["account"], "deployment": view["deployment"], "address": view["address"]}
    found = [_message(subject, one, epoch) for one in view["transitions"] if ordinal_of(one) > after]
    return sorted(found, key=lambda message: message.ordinal)


def _message(subject: Mapping[str, Any], transition: Mapping[str, Any], epoch: int) -> WebhookMessage:
    said = {
        "type": f"account.{transition['kind']}",
        "timestamp": transition["as_of"],
        "data": {**subject, **{name: value for name, value in transition.items() if name != "kind"}},
    }
    # An account may have dots in its id, and dots divide what is signed.
    name = sha256(f"{epoch}:{transition['id']}".encode()).hexdigest()[:_ID_DIGITS]
    as_of_ms = int(transition["as_of_ns"]) // 1_000_000
    body = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    return WebhookMessage(
        f"msg_{name}", ordinal_of(transition), transition["kind"], alarm_of(transition), as_of_ms, body
    )
