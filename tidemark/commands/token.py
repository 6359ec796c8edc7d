"""``tidemark token issue|show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.errors import TidemarkError
from streams.settings import load_settings
from streams.settings.known_keys import meant
from streams.settings.values import lower_address

if TYPE_CHECKING:
    from collections.abc import Collection

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from api.access.tokens import TokenKey
    from streams.settings import AuthSettings

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# There is no list of revoked tokens: one that holds for years could be ended only by changing its key.
_EXPIRES_MAX_S = 366 * 86_400
_DIGITS_MAX = 12
_ALL = "*"


class CannotIssue(TidemarkError):
    """A token cannot be signed with the configured keys. The message says which option or section is missing."""


class _Duration(click.ParamType):
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        number, unit = text[:-1], _UNITS_S.get(text[-1:])
        if unit is None or not (number.isascii() and number.isdigit()) or not number.strip("0"):
            self.fail(f"expected a duration such as 90s, 30m, 24h or 7d, found {text!r}", param, ctx)
        seconds = int(number[:_DIGITS_MAX]) * unit
        if len(number) > _DIGITS_MAX or seconds > _EXPIRES_MAX_S:
            most = _EXPIRES_MAX_S // _UNITS_S["d"]
            hint = "a token cannot be taken back, so issue one that ends and another one later"
            self.fail(f"expected {most}d at most, found {text[:40]!r}; {hint}", param, ctx)
        return seconds


@click.group
def token() -> None:
    """Issue tokens for readers, and look into them."""


@token.command
@click.option("--subject", required=True, metavar="NAME", help="Who reads; limits on users go by it.")
@click.option(
    "--account",
    "accounts",
    required=True,
    multiple=True,
    metavar="SCOPE",
    help="What may be read: DEPLOYMENT:0x…, DEPLOYMENT:* or *. May be given several times.",
)
@click.option("--expires", "expires_s", required=True, type=_Duration(), metavar="24h", help="For how long it holds.")
@click.option("--key", "kid", metavar="KID", help="Which of [auth.keys] signs; needed where there are several.")
@click.option(
    "--private-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The private key in PEM, for an EdDSA key, of which the configuration has only the public one.",
)
@click.option("--ticket", "is_ticket", is_flag=True, help="Make a ticket for a path; it holds for an hour at most.")
def issue(
    subject: str,
    accounts: tuple[str, ...],
    expires_s: int,
    kid: str | None,
    private_key: Path | None,
    *,
    is_ticket: bool,
) -> None:
    """Print a token, signed with a key of the configuration.

    \b
        tidemark token issue --subject desk-1 --account 'main:*' --expires 24h
        tidemark token issue --subject page-1 --account main:0x… --expires 30m --ticket
    """  # noqa: D301 - click wants its \b as it is
    import jwt

    from api.access.tokens import TICKET, TOKEN, Authenticator, parse_scope, read_key
    from streams.process.clock import SystemClock

    settings = load_settings()
    auth = settings.auth
    kid = _kid(auth, kid)
    key = read_key(kid, auth.keys[kid])
    now_s = SystemClock().now_ms() // 1_000
    scopes = sorted({_scope_of(parse_scope(text), text, settings.deployments) for text in accounts})
    claims = {"sub": subject, "accounts": scopes, "iat": now_s, "exp": now_s + expires_s}
    if auth.audience is not None:
        claims["aud"] = auth.audience
    if is_ticket:
        claims["use"] = TICKET
    signed = jwt.encode(claims, _signing_key(kid, key, private_key), key.algorithm, {"kid": kid})
    # A token that the api would refuse is not printed.
    Authenticator({kid: key}, auth.audience, lambda: now_s).authenticate(signed, TICKET if is_ticket else TOKEN)
    click.echo(signed)


@token.command
@click.argument("text", required=False, metavar="[TOKEN]")
def show(text: str | None) -> None:
    """Print what a token says, and whether the configured keys accept it. Without TOKEN it is read from stdin.

    An argument stays in the shell's history; stdin does not.
    """
    import jwt

    from api.access.tokens import TICKET, TOKEN, Authenticator, NotAuthenticated, read_key
    from streams.process.clock import SystemClock

    encoded = (text or click.get_text_stream("stdin").read()).strip()
    auth = load_settings().auth
    try:
        decoded = jwt.decode_complete(encoded, options={"verify_signature": False})
    except (jwt.InvalidTokenError, RecursionError) as error:
        msg = f"expected a JSON Web Token, found something else: {error}"
        raise NotAuthenticated(msg) from error
    click.echo(json.dumps({"header": decoded["header"], "claims": decoded["payload"]}, indent=2))
    keys = {kid: read_key(kid, key) for kid, key in auth.keys.items()}
    use = TICKET if decoded["payload"].get("use") == TICKET else TOKEN
    try:
        Authenticator(keys, auth.audience, lambda: SystemClock().now_ms() / 1_000).authenticate(encoded, use)
    except NotAuthenticated as error:
        click.echo(f"refused: {error}")
    else:
        click.echo("accepted")


def _scope_of(scope: str, text: str, deployments: Collection[str]) -> str:
    """Return a scope that opens something.

    Args:
        scope: The scope, in lower case.
        text: The scope as it was written.
        deployments: Those of the configuration; where it has none, as where keys alone are kept, any may be meant.

    Raises:
        CannotIssue: It is of an unknown deployment, or a digit of its address is wrong.
    """
    deployment, _, _ = scope.partition(":")
    if deployments and deployment not in (_ALL, *deployments):
        msg = f"expected a deployment of the configuration in --account {text}, found {deployment!r}; "
        raise CannotIssue(msg + meant(deployment, deployments))
    address = text.partition(":")[2]
    try:
        if address not in ("", _ALL):
            lower_address("0x" + address[2:])
    except ValueError as error:
        msg = f"--account {text}: {error}"
        raise CannotIssue(msg) from error
    return scope


def _kid(auth: AuthSettings, kid: str | None) -> str:
    known = ", ".join(auth.keys) or "none"
    if kid is None and len(auth.keys) != 1:
        msg = f"expected one key in [auth.keys], or --key KID, found {known}"
        raise CannotIssue(msg)
    kid = kid or next(iter(auth.keys))
    if kid not in auth.keys:
        msg = f"expected --key to be one of [auth.keys], {known}, found {kid!r}"
        raise CannotIssue(msg)
    return kid


def _signing_key(kid: str, key: TokenKey, private_key: Path | None) -> bytes | Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if isinstance(key.key, bytes):
        if private_key is not None:
            msg = f"expected no --private-key for {kid}, which signs with its secret"
            raise CannotIssue(msg)
        return key.key
    if private_key is None:
        msg = f"expected --private-key FILE for {kid}, of which only the public key is configured"
        raise CannotIssue(msg)
    try:
        loaded = load_pem_private_key(private_key.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        msg = f"expected a private key in PEM, without a password, in {private_key}, found none"
        raise CannotIssue(msg) from error
    if not isinstance(loaded, Ed25519PrivateKey) or loaded.public_key() != key.key:
        msg = f"expected the private key of auth.keys.{kid} in {private_key}, found another"
        raise CannotIssue(msg)
    return loaded
