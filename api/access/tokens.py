"""Who a token says its bearer is, and which accounts that one may read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from models.errors import TidemarkError
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.settings import AuthSettings, TokenKeySettings

# A token with 100 accounts has 7,000 characters; what a proxy lets through in a header is 8 KiB as well.
TOKEN_MAX_CHARACTERS = 8_192
# Hosts' clocks differ by less than this, or the difference deserves to be seen.
LEEWAY_S = 5
# A name that goes into limits and logs.
_SUBJECT_MAX_CHARACTERS = 128
# RFC 7518, 3.2: a key of the hash's size or more.
_SECRET_MIN_BYTES = 32
# Past the year 9999 a number is no time.
_TIME_MAX_S = 253_402_300_800
_ALL = "*"
_SCOPE = re.compile(r"\*|[a-z0-9][a-z0-9-]*:(\*|0x[0-9a-f]{40})")


class NotAuthenticated(TidemarkError):
    """A token is refused. The message is for its bearer and tells nothing of keys; get another token."""


class BadScope(TidemarkError):
    """A scope is none. Write DEPLOYMENT:0x…, DEPLOYMENT:* or *."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may read the accounts of ``scopes`` until ``expires_s``, in Unix s; None: for ever."""

    subject: str
    scopes: frozenset[str]
    expires_s: int | None

    def may_read(self, key: str) -> bool:
        """Whether an account, ``deployment:0x…``, is in scope; case does not matter."""
        account = key.lower()
        return account in self.scopes or self.may_read_all_of(account.partition(":")[0])

    def may_read_all_of(self, deployment: str) -> bool:
        """Whether all accounts of a deployment are in scope, and so sums over them."""
        return _ALL in self.scopes or f"{deployment.lower()}:{_ALL}" in self.scopes


ANYONE = Principal("", frozenset({_ALL}), None)
"""Whoever reads where reading is open."""


def parse_scope(text: str) -> str:
    """A scope in lower case.

    Raises:
        BadScope: It is none.
    """
    scope = text.lower()
    if not _SCOPE.fullmatch(scope):
        msg = f"expected DEPLOYMENT:0x and 40 hex digits, DEPLOYMENT:* or *, found {text[:80]!r}"
        raise BadScope(msg)
    return scope


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What a signature is checked with, and the only algorithm it is checked by."""

    algorithm: str
    key: bytes | Ed25519PublicKey


def read_key(kid: str, settings: TokenKeySettings) -> TokenKey:
    """Read a configured key, from its file where it is in one; white space around it does not count.

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
        # Who knows a public key could sign with it.
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
    """Tells who a token is of. It asks nobody: what it needs are keys and the time.

    Args:
        keys: By ``kid``, at least one. A token that names none is checked with the only one there is.
        audience: What a token must be meant for, None: a token that says for whom it is meant is refused.
        clock_s: Our own time, in Unix s.
    """

    def __init__(self, keys: Mapping[str, TokenKey], audience: str | None, clock_s: Callable[[], float]) -> None:
        self._keys = keys
        self._audience = audience
        self._clock_s = clock_s

    def authenticate(self, token: str) -> Principal:
        """Tell who the token is of.

        Raises:
            NotAuthenticated: It is no token, none of ours, not valid yet or no longer, or says too little.
        """
        claims = self._verified(token)
        now_s = self._clock_s()
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
                # Never the header's: a public key would be taken for a secret.
                algorithms=[key.algorithm],
                audience=self._audience,
                # Times are held against the clock that was handed in.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_sub": False},
            )
        except jwt.InvalidAudienceError as error:
            msg = "the token is not meant for this service: aud"
            raise NotAuthenticated(msg) from error
        except jwt.MissingRequiredClaimError as error:
            msg = f"expected the claim {error.claim}, found none"
            raise NotAuthenticated(msg) from error
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, RecursionError) as error:
            # One message for whatever is wrong with algorithm and signature: a forger learns nothing from it.
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
    """What checks tokens; None where reading is open.

    Raises:
        BadSettings: A key cannot be read.
    """
    if settings.mode == "open":
        return None
    keys = {kid: read_key(kid, key) for kid, key in settings.keys.items()}
    return Authenticator(keys, settings.audience, clock_s)


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
        msg = "expected accounts to be a list of scopes: DEPLOYMENT:0x…, DEPLOYMENT:* or *"
        raise NotAuthenticated(msg)
    try:
        return frozenset(map(parse_scope, accounts))
    except BadScope as error:
        msg = f"accounts: {error}"
        raise NotAuthenticated(msg) from error
