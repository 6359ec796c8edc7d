"""Tokens: who their bearer is, and which accounts the bearer may read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from models.errors import TidemarkError
from models.ids import canonical_id
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from streams.settings import AuthSettings, TokenKeySettings

# A token with 100 accounts has 7,000 characters. Proxies let headers of up to 8 KiB through.
TOKEN_MAX_CHARACTERS = 8_192
# The clocks of hosts differ by less than this, and where they do not, that should be noticed.
LEEWAY_S = 5
# The subject goes into limits and logs.
_SUBJECT_MAX_CHARACTERS = 128
# RFC 7518, section 3.2: a key must be at least as long as the hash.
_SECRET_MIN_BYTES = 32
# A number beyond the year 9999 is not a time.
_TIME_MAX_S = 253_402_300_800
_ALL = "*"
# A path stays in logs and histories, so what stands in one is worth little by the time somebody reads those.
TICKET_MAX_S = 3_600
TOKEN, TICKET = "token", "path"
"""What a token may be issued for: to be sent in a header, or to stand in a path."""
# What looks like an address has to be one: half an address would be a scope of nobody.
_SCOPE = re.compile(r"\*|[a-z0-9][a-z0-9-]*:(\*|0x[0-9a-f]{40}|(?!0[xX])[A-Za-z0-9._-]{1,64})", re.ASCII)


class NotAuthenticated(TidemarkError):
    """A token is refused. The message is for its bearer and says nothing of keys; get another token."""


class BadScope(TidemarkError):
    """A text is not a scope. Write DEPLOYMENT:ACCOUNT, DEPLOYMENT:* or *."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may read the accounts of ``scopes`` until ``expires_s``, in Unix s, or for ever where it is None."""

    subject: str
    scopes: frozenset[str]
    expires_s: int | None

    def may_read(self, key: str) -> bool:
        """Whether an account, given by its key, is in scope; the case of an address does not matter."""
        account = _canonical(key)
        return account in self.scopes or self.may_read_all_of(account.partition(":")[0])

    def may_read_all_of(self, deployment: str) -> bool:
        """Whether all accounts of a deployment are in scope, and with them the sums over all of them."""
        return _ALL in self.scopes or whole(deployment.lower()) in self.scopes

    def limited_to(self, scopes: Iterable[str]) -> Principal:
        """Return the same principal with other scopes, which must be within its own."""
        return Principal(self.subject, frozenset(scopes), self.expires_s)


ANYONE = Principal("", frozenset({_ALL}), None)
"""The principal of every client where reading is open."""


def _canonical(key: str) -> str:
    deployment, colon, account = key.partition(":")
    return f"{deployment.lower()}{colon}{canonical_id(account)}"


def whole(deployment: str) -> str:
    """Return the scope of all accounts of a deployment."""
    return f"{deployment}:{_ALL}"


def parse_scope(text: str) -> str:
    """Return a scope in its one spelling.

    Raises:
        BadScope: The text is not a scope.
    """
    scope = _canonical(text)
    if not _SCOPE.fullmatch(scope):
        msg = f"expected DEPLOYMENT:ACCOUNT, DEPLOYMENT:* or *, found {text[:80]!r}"
        raise BadScope(msg)
    return scope


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key that signatures are checked with, and the only algorithm that it may be used with."""

    algorithm: str
    key: bytes | Ed25519PublicKey


def read_key(kid: str, settings: TokenKeySettings) -> TokenKey:
    """Read a configured key, from its file where it is in one; white space around it is ignored.

    Raises:
        BadSettings: The file cannot be read, or holds no such key. The message does not show what it holds.
    """
    where = f"auth.keys.{kid}"
    if settings.file is None:
        text = settings.key.get_secret_value().encode() if settings.key else b""
    else:
        try:
            text = settings.file.read_bytes()
        except OSError as error:
            msg = f"{where}.file: expected a file that can be read, found {settings.file}: {error.strerror}"
            raise BadSettings(msg) from error
    text = text.strip()
    match settings.algorithm:
        case "HS256":
            return TokenKey("HS256", _secret(where, text))
        case "EdDSA":
            return TokenKey("EdDSA", _public_key(where, text))


def _secret(where: str, text: bytes) -> bytes:
    if text.startswith(b"-----BEGIN"):
        # A public key used as a secret would let everybody who knows it sign.
        msg = f"{where}: expected a secret for HS256, found a PEM key; set algorithm to EdDSA, or make a secret"
        raise BadSettings(msg)
    if len(text) < _SECRET_MIN_BYTES:
        msg = (
            f"{where}: expected a secret of {_SECRET_MIN_BYTES} bytes or more, found {len(text)}; "
            "openssl rand -base64 48 makes one"
        )
        raise BadSettings(msg)
    return text


def _public_key(where: str, text: bytes) -> Ed25519PublicKey:
    expected = f"{where}: expected an Ed25519 public key in PEM"
    make = "openssl pkey -in PRIVATE.pem -pubout makes one"
    if b"PRIVATE KEY" in text:
        msg = f"{expected}, found a private key, which only the issuer needs; {make}"
        raise BadSettings(msg)
    try:
        key = load_pem_public_key(text)
    except ValueError as error:
        msg = f"{expected}, found none; {make}"
        raise BadSettings(msg) from error
    if not isinstance(key, Ed25519PublicKey):
        msg = f"{expected}, found {type(key).__name__}; {make}"
        raise BadSettings(msg)
    return key


class Authenticator:
    """Checks tokens. It needs the keys and the time, and asks no other service.

    Args:
        keys: Keys by ``kid``, at least one. A token without a ``kid`` is checked with the only key, where there is one.
        audience: The ``aud`` that a token must have; where it is None, a token with an ``aud`` is refused.
        clock_s: Our own time, in Unix s.
    """

    def __init__(self, keys: Mapping[str, TokenKey], audience: str | None, clock_s: Callable[[], float]) -> None:
        self._keys = keys
        self._audience = audience
        self._clock_s = clock_s

    def authenticate(self, token: str, use: str = TOKEN) -> Principal:
        """Return whose token it is.

        Args:
            token: The token.
            use: What it must have been issued for, ``TOKEN`` or ``TICKET``.

        Raises:
            NotAuthenticated: It is not a token, is not signed by us, is not valid now, lacks a claim, or was issued
                for another use.
        """
        claims = self._verified(token)
        now_s = self._clock_s()
        _expect_use(claims, use, now_s)
        expires_s = _time(claims, "exp")
        if expires_s is None:
            msg = "expected the claim exp, found none"
            raise NotAuthenticated(msg)
        if now_s >= expires_s + LEEWAY_S:
            msg = f"the token expired {now_s - expires_s:.0f} s ago"
            raise NotAuthenticated(msg)
        not_before_s = _time(claims, "nbf")
        if not_before_s is not None and now_s < not_before_s - LEEWAY_S:
            msg = f"the token is valid in {not_before_s - now_s:.0f} s"
            raise NotAuthenticated(msg)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_MAX_CHARACTERS or not subject.isprintable():
            msg = f"expected sub to be a text of 1 to {_SUBJECT_MAX_CHARACTERS} printable characters"
            raise NotAuthenticated(msg)
        return Principal(subject, _scopes(claims), expires_s)

    def _verified(self, token: str) -> dict[str, Any]:
        if not token.isascii() or len(token) > TOKEN_MAX_CHARACTERS:
            msg = f"expected a token of at most {TOKEN_MAX_CHARACTERS} ASCII characters, found {len(token)} characters"
            raise NotAuthenticated(msg)
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, RecursionError) as error:
            msg = "expected a JSON Web Token (JWS, three parts), found something else"
            raise NotAuthenticated(msg) from error
        if "crit" in header:
            msg = "expected no crit in the header: no extension is understood"
            raise NotAuthenticated(msg)
        key = self._key_of(header.get("kid"))
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                # The header's algorithm is never used: with it a public key could be taken for a secret.
                algorithms=[key.algorithm],
                audience=self._audience,
                # Times are checked below, against the clock that was handed in.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_sub": False},
            )
        except jwt.InvalidAudienceError as error:
            msg = "the token is not meant for this service: aud"
            raise NotAuthenticated(msg) from error
        except jwt.MissingRequiredClaimError as error:
            msg = f"expected the claim {error.claim}, found none"
            raise NotAuthenticated(msg) from error
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, RecursionError) as error:
            # Whatever is wrong with algorithm or signature, the message is the same: a forger learns nothing from it.
            msg = "the token is not signed with a key that is accepted here"
            raise NotAuthenticated(msg) from error
        return claims

    def _key_of(self, kid: str | None) -> TokenKey:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = None if kid is None else self._keys.get(kid)
        if key is None:
            msg = "the token is not signed with a key that is accepted here: kid"
            raise NotAuthenticated(msg)
        return key


def authenticator_of(settings: AuthSettings, clock_s: Callable[[], float]) -> Authenticator | None:
    """Make what checks tokens; None where reading is open.

    Raises:
        BadSettings: A key cannot be read.
    """
    if settings.mode == "open":
        return None
    keys = {kid: read_key(kid, key) for kid, key in settings.keys.items()}
    return Authenticator(keys, settings.audience, clock_s)


def _expect_use(claims: Mapping[str, Any], use: str, now_s: float) -> None:
    """Refuse a token in a path, a ticket in a header, and a ticket that holds for longer than tickets may."""
    is_ticket = claims.get("use") == TICKET
    if is_ticket != (use == TICKET):
        msg = "the token is a ticket, which stands in a path alone" if is_ticket else "the token is no ticket"
        raise NotAuthenticated(msg)
    if not is_ticket:
        return
    issued_s, expires_s = _time(claims, "iat"), _time(claims, "exp")
    if issued_s is None or expires_s is None or issued_s - LEEWAY_S > now_s or expires_s - issued_s > TICKET_MAX_S:
        msg = f"expected iat to be past and exp at most {TICKET_MAX_S} s after it, as tickets have"
        raise NotAuthenticated(msg)


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TIME_MAX_S:
        msg = f"expected {name} to be a time in Unix s"
        raise NotAuthenticated(msg)
    return int(value)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    accounts = claims.get("accounts")
    if not isinstance(accounts, list) or not accounts or not all(isinstance(text, str) for text in accounts):
        msg = "expected accounts to be a list of scopes: DEPLOYMENT:ACCOUNT, DEPLOYMENT:* or *"
        raise NotAuthenticated(msg)
    try:
        return frozenset(map(parse_scope, accounts))
    except BadScope as error:
        msg = f"accounts: {error}"
        raise NotAuthenticated(msg) from error
