"""The event objects that clients are sent beside array frames; they have no sequence numbers.

Clients read ``code``; the texts are those that the venue is known to say, since clients look into some of them. An
``info`` without ``version`` or ``code`` would end one of the official clients with an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

# Codes of the venue's glossary.
UNKNOWN_EVENT = 10_000
GENERIC = 10_001
CONCURRENCY = 10_008
PARAMS = 10_020
CONF_FAILED = 10_050
AUTH_FAILED = 10_100
AUTH_PAYLOAD = 10_111
AUTH_NONCE = 10_114
UNAUTH_FAILED = 10_200
SUBSCRIBE_FAILED = 10_300
SUBSCRIBE_DUPLICATE = 10_301
SUBSCRIBE_UNKNOWN = 10_302
SUBSCRIBE_LIMIT = 10_305
UNSUBSCRIBE_NOT = 10_401
NOT_READY = 11_000
STOP = 20_051
RESYNC_START = 20_060
RESYNC_STOP = 20_061


def info(server_id: str, *, is_operative: bool) -> bytes:
    """The first frame of a connection."""
    status = 1 if is_operative else 0
    return _event("info", version=2, serverId=server_id, platform={"status": status})


def notice(code: int, text: str) -> bytes:
    """An ``info`` that tells of a restart or of maintenance."""
    return _event("info", code=code, msg=text)


def goodbye(_reason: str, _wait_ms: int) -> bytes:
    """The last frame before the server goes away; clients wait a random time of their own before they come back."""
    return notice(STOP, "Stopping. Please try to reconnect")


def pong(cid: object, now_ms: int) -> bytes:
    """The answer to ``ping``; ``cid`` is the client's, None where it sent none."""
    return _event("pong", ts=now_ms, **({} if cid is None else {"cid": cid}))


def conf_accepted(flags: int) -> bytes:
    """The answer to ``conf``. A client waits for the very number that it sent."""
    return _event("conf", status="OK", flags=flags)


def conf_failed() -> bytes:
    """The answer to a ``conf`` whose flags are none."""
    return _event("conf", status="FAILED", code=CONF_FAILED, msg="conf: flags invalid")


def auth_accepted(user_id: int, auth_id: str, caps: Mapping[str, Any], sub_id: object) -> bytes:
    """The answer to a login.

    Args:
        user_id: The user's number.
        auth_id: Names this login.
        caps: What the key may read.
        sub_id: The client's ``subId``, None where it sent none.
    """
    echoed = {} if sub_id is None else {"subId": sub_id}
    return _event("auth", status="OK", chanId=0, userId=user_id, auth_id=auth_id, caps=caps, **echoed)


def auth_failed(code: int, text: str) -> bytes:
    """The answer to a login that is refused; the connection stays open."""
    return _event("auth", status="FAILED", chanId=0, code=code, msg=text)


def unauth_accepted() -> bytes:
    """The answer to ``unauth``."""
    return _event("unauth", status="OK", chanId=0)


def subscribed(channel: int, echoed: Mapping[str, Any]) -> bytes:
    """The answer to ``subscribe``, with the fields of the request."""
    return _event("subscribed", **{**echoed, "chanId": channel})


def unsubscribed(channel: int) -> bytes:
    """The answer to ``unsubscribe``."""
    return _event("unsubscribed", status="OK", chanId=channel)


def error(code: int, text: str, echoed: Mapping[str, Any] | None = None) -> bytes:
    """An error; ``echoed`` are fields of the request that it is about."""
    return _event("error", **(echoed or {}), msg=text, code=code)


def _event(name: str, **fields: object) -> bytes:
    return orjson.dumps({"event": name, **fields})
