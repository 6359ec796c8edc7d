"""``tidemark keys add|list|revoke``: the API keys of a Bitfinex dialect, in the file that its section names."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from models.errors import TidemarkError
from streams.settings import load_settings
from streams.settings.known_keys import meant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from api.dialects.bitfinex.api_keys import ApiKey
    from api.dialects.bitfinex.bitfinex_settings import BitfinexSettings
    from streams.settings import DeploymentSettings, Settings

_KIND = "bitfinex"
_NAME_BYTES, _SECRET_BYTES = 24, 32

_dialect = click.option("--dialect", metavar="NAME", help="Which [dialects.NAME]; needed where there are several.")


class NoSuchKeys(TidemarkError):
    """The configuration names no file of keys, or the file has no such key."""


@click.group
def keys() -> None:
    """Give out API keys, list them, and take them back. Running replicas follow the file within a second."""


@keys.command
@click.option("--user", required=True, metavar="NAME", help="Whose key it is; limits count over all keys of a user.")
@click.option(
    "--account",
    "accounts",
    required=True,
    multiple=True,
    metavar="ACCOUNT",
    help="What it shows: DEPLOYMENT:ACCOUNT, or DEPLOYMENT:owner=OWNER for all of an owner's. May be given again.",
)
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    type=click.Choice(("wallets", "positions", "orders", "funding")),
    help="What it opens; all of them where none is named. May be given several times.",
)
@_dialect
def add(user: str, accounts: tuple[str, ...], permissions: tuple[str, ...], dialect: str | None) -> None:
    """Make a key, and print its name and its secret. The secret is not shown again."""
    from api.dialects.bitfinex.api_keys import ApiKey, keys_alone, write_keys

    settings = load_settings()
    section = _section(settings, dialect)
    name, secret = secrets.token_urlsafe(_NAME_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    key = ApiKey(secret, user, accounts, permissions)
    _expect_shown(key, section, settings.deployments)
    with keys_alone(section.keys) as standing:
        write_keys(section.keys, {**standing, name: key})
    click.echo(f"apiKey    {name}")
    click.echo(f"apiSecret {secret}")


@keys.command(name="list")
@_dialect
def list_(dialect: str | None) -> None:
    """List the keys: name, user, accounts and what they open; no secrets."""
    from api.dialects.bitfinex.api_keys import read_keys

    path = _file(dialect)
    for name, key in (read_keys(path) if path.exists() else {}).items():
        click.echo(f"{name}  {key.user}  {' '.join(key.accounts)}  {' '.join(key.permissions) or 'all'}")


@keys.command
@click.argument("name")
@_dialect
def revoke(name: str, dialect: str | None) -> None:
    """Take a key back; its sockets are closed within a second."""
    from api.dialects.bitfinex.api_keys import keys_alone, write_keys

    path = _file(dialect)
    with keys_alone(path) as standing:
        if name not in standing:
            msg = f"expected the name of a key in {path}, found {name!r}; tidemark keys list shows them"
            raise NoSuchKeys(msg)
        write_keys(path, {of: key for of, key in standing.items() if of != name})


def _file(dialect: str | None) -> Path:
    return _section(load_settings(), dialect).keys


def _section(settings: Settings, dialect: str | None) -> BitfinexSettings:
    from api.dialects.bitfinex.bitfinex_settings import BitfinexSettings

    named = {name: one for name, one in settings.dialects.items() if one.kind == _KIND}
    if dialect is None and len(named) == 1:
        dialect = next(iter(named))
    if dialect is None or dialect not in named:
        found = ", ".join(named) or "none"
        msg = f"expected a section [dialects.NAME] of kind {_KIND!r}, found {dialect or found!r}; name one of: {found}"
        raise NoSuchKeys(msg)
    return BitfinexSettings.model_validate(named[dialect].model_dump())


def _expect_shown(key: ApiKey, section: BitfinexSettings, deployments: Mapping[str, DeploymentSettings]) -> None:
    """Refuse a key with which every login would fail: its holder would only be told that it is invalid.

    Args:
        key: The key, of which ``write_keys`` checks all else.
        section: The dialect's section.
        deployments: Those of the configuration.

    Raises:
        BadKeys: The dialect does not show its deployment, an account can be none of it, or one key shows several
            accounts of a ledger.
    """
    from api.dialects.bitfinex.api_keys import OWNER, BadKeys
    from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings

    shown = deployments.get(key.deployment)
    if key.deployment not in section.deployments or shown is None:
        msg = f"expected --account of a deployment that the dialect shows, found {key.deployment!r}; "
        raise BadKeys(msg + meant(key.deployment, section.deployments))
    own = [text.removeprefix(f"{key.deployment}:") for text in key.accounts if text.startswith(f"{key.deployment}:")]
    for account in own:
        if shown.is_installed and not account.startswith(OWNER) and shown.account_id(account) is None:
            msg = f"expected --account of the kind {shown.kind}, found {account!r}, which can be no account of it"
            raise BadKeys(msg)
    if isinstance(shown, LedgerDeploymentSettings) and len(own) > 1:
        msg = f"expected one --account of a ledger, found {', '.join(own)}: make a key for each"
        raise BadKeys(msg)
