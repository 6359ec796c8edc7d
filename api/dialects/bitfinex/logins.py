"""Logins: a signature that is right and a nonce that was never used, whoever else has heard the frame."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from api.dialects.bitfinex.auth_request import LoginRefused, read_auth_request
from api.dialects.bitfinex.event_objects import AUTH_FAILED, AUTH_NONCE, NOT_READY
from models.nonces import nonce_key
from streams.replicas.lease_holder import Undecided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.dialects.bitfinex.api_keys import ApiKey, KeyFile
    from api.dialects.bitfinex.login_limit import LoginLimit

# Names the nonces' records beside the key. It is the same for every section of the dialect: else a captured frame would
# be good again once its section is renamed, and at another section that has the same file of keys.
_REALM = "bitfinex"
# What an unknown key's signature is compared with, so that it takes as long as that of a known one.
_NO_SECRET = uuid.uuid4().hex
_TOO_MANY = "rate: limit"
_READ_ONLY, _CLOSED = {"read": 1, "write": 0}, {"read": 0, "write": 0}
_CAPS = ("orders", "account", "funding", "history", "wallets", "withdraw", "positions", "ui_withdraw")


class Nonces(Protocol):
    """Uses up numbers; ``streams.replicas.nonce_log.NonceLog`` does."""

    async def spend(self, key: bytes, nonce: int) -> bool:
        """Use a number; False where it or a higher one was used before.

        Raises:
            Undecided: That is not known in time.
        """


class Login(NamedTuple):
    """A login that is proven.

    Attributes:
        api_key: The name of its key.
        key: The key.
        filters: What the client wants to hear of.
        sub_id: What the answer has to repeat.
    """

    api_key: str
    key: ApiKey
    filters: tuple[str, ...]
    sub_id: str | int | None


class Logins:
    """Checks logins.

    Args:
        keys: The keys.
        nonces: Use up numbers over all replicas.
        of_keys: How often a key may log in.
        failures: How often an address may fail to.
    """

    def __init__(self, keys: KeyFile, nonces: Nonces, *, of_keys: LoginLimit, failures: LoginLimit) -> None:
        self._keys = keys
        self._nonces = nonces
        self._of_keys = of_keys
        self._failures = failures

    async def check(self, message: Mapping[str, Any], client: str) -> Login:
        """Check an ``auth`` frame.

        Args:
            message: The frame; nothing of it may be logged.
            client: The key of the client's address in limits.

        Raises:
            LoginRefused: It is refused.
        """
        try:
            return await self._check(message)
        except LoginRefused as refused:
            # A good login is accepted however many bad ones came from its address.
            if refused.code != NOT_READY and not await self._failures.take(client):
                raise LoginRefused(AUTH_FAILED, _TOO_MANY) from refused
            raise

    async def _check(self, message: Mapping[str, Any]) -> Login:
        request = read_auth_request(message)
        self._keys.refresh()
        key = self._keys.find(request.api_key)
        is_signed = request.is_signed_with(_NO_SECRET if key is None else key.secret)
        if key is None:
            raise LoginRefused(AUTH_FAILED, "apikey: invalid")
        if not is_signed:
            raise LoginRefused(AUTH_FAILED, "apikey: digest invalid")
        # Only who has the secret may use a number up.
        try:
            is_first = await self._nonces.spend(nonce_key(_REALM, request.api_key), request.nonce)
        except Undecided as error:
            raise LoginRefused(NOT_READY, "auth: not ready, try again") from error
        if not is_first:
            raise LoginRefused(AUTH_NONCE, "nonce: small")
        # Frames that were captured come no further, so that nobody else can use up the logins of a key.
        if not await self._of_keys.take(request.api_key):
            raise LoginRefused(AUTH_FAILED, _TOO_MANY)
        return Login(request.api_key, key, request.filters, request.sub_id)


def caps_of(key: ApiKey) -> dict[str, dict[str, int]]:
    """What the answer to a login says that its key may do: to read some, to write nothing."""
    opened = {
        name: _READ_ONLY if key.opens(name) else _CLOSED for name in ("orders", "funding", "wallets", "positions")
    }
    return {name: opened.get(name, _READ_ONLY if name == "account" else _CLOSED) for name in _CAPS}
