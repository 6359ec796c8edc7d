"""The ``auth`` frame: what clients send differs, and the payload that they signed is the one thing that counts.

One official client sends its secret in clear beside the signature. So no such frame may stand in a log or an error, and
fields that are not listed here are not even kept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from api.dialects.bitfinex.event_objects import AUTH_FAILED, AUTH_NONCE, AUTH_PAYLOAD
from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Beyond 53 bits JavaScript clients would send another number than they signed.
NONCE_MAX = 2**53 - 1
_TEXT_MAX = 256
_FILTERS_MAX = 64
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-fA-F]{96}", re.ASCII)
_SUB_ID_MAX = 64


class LoginRefused(TidemarkError):
    """A login is refused. The message is for the client and holds nothing of what it sent."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class AuthRequest(NamedTuple):
    """A login as it was asked for, of which nothing is proven yet.

    Attributes:
        api_key: The public name of the key.
        nonce: In 0 to ``NONCE_MAX``.
        payload: What was signed: ``AUTH`` and the nonce, once or twice.
        signature: 96 hex digits.
        filters: What the client wants to hear of; empty for everything.
        sub_id: What the answer has to repeat, None for nothing.
    """

    api_key: str
    nonce: int
    payload: str
    signature: str
    filters: tuple[str, ...]
    sub_id: str | int | None

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is that of the payload under a secret; how long it takes tells nothing of either."""
        expected = hmac.digest(secret.encode(), self.payload.encode(), hashlib.sha384)
        return hmac.compare_digest(expected, bytes.fromhex(self.signature))


def read_auth_request(message: Mapping[str, Any]) -> AuthRequest:
    """Read an ``auth`` frame; fields that are not known are passed over.

    Raises:
        LoginRefused: A field is missing or is not what it should be.
    """
    api_key, payload = message.get("apiKey"), message.get("authPayload")
    if not isinstance(api_key, str) or not 0 < len(api_key) <= _TEXT_MAX or not api_key.isascii():
        raise LoginRefused(AUTH_FAILED, "apikey: invalid")
    nonce = _nonce(message.get("authNonce"))
    if not isinstance(payload, str) or not _is_payload_of(payload, nonce):
        raise LoginRefused(AUTH_PAYLOAD, "auth: payload invalid")
    signature = message.get("authSig")
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise LoginRefused(AUTH_FAILED, "apikey: digest invalid")
    return AuthRequest(api_key, nonce, payload, signature, _filters(message.get("filter")), _sub_id(message))


def _nonce(said: object) -> int:
    if isinstance(said, str) and _DIGITS.fullmatch(said):
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int) or not 0 <= said <= NONCE_MAX:
        raise LoginRefused(AUTH_NONCE, "nonce: invalid")
    return said


def _is_payload_of(payload: str, nonce: int) -> bool:
    """Whether a payload is of this nonce, and of no other.

    The nonce beside it is not signed. If a payload could be read as two nonces, a captured frame could be sent again
    with the higher one. One client writes the nonce twice; that is read so only where it can be no single nonce.
    """
    said = payload.removeprefix("AUTH")
    if said == payload:
        return False
    if _DIGITS.fullmatch(said) and int(said) <= NONCE_MAX:
        return said == str(nonce)
    return said == str(nonce) * 2


def _filters(said: object) -> tuple[str, ...]:
    if said is None:
        return ()
    if not isinstance(said, list) or len(said) > _FILTERS_MAX:
        raise LoginRefused(AUTH_PAYLOAD, "auth: filter invalid")
    if not all(isinstance(one, str) and len(one) <= _TEXT_MAX for one in said):
        raise LoginRefused(AUTH_PAYLOAD, "auth: filter invalid")
    return tuple(said)


def _sub_id(message: Mapping[str, Any]) -> str | int | None:
    said = message.get("subId")
    if isinstance(said, bool) or not isinstance(said, str | int) or len(str(said)) > _SUB_ID_MAX:
        return None
    return said
