"""Keys of the simulated accounts: clients of the Bitfinex websocket can watch them, and anybody's own, at once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from api.dialects.bitfinex.api_keys import OWNER, ApiKey, keys_alone, write_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_USER = "demo"
_SECRET_BYTES = 32
_OWN_EYES = 0o600


class DemoKey(NamedTuple):
    """A key, its secret, and the account that it shows."""

    name: str
    secret: str
    account: str


def demo_keys(path: Path, ledger_account: str, owner: str) -> list[DemoKey]:
    """Return the keys of the simulated accounts; those that the file lacks are made, with secrets of chance.

    Other keys of the file stay, so ``tidemark keys`` may add some.

    Args:
        path: The file of keys.
        ledger_account: What the first one shows, as ``DEPLOYMENT:ACCOUNT``.
        owner: Whose sub-accounts the second one shows, as ``DEPLOYMENT:ADDRESS``.

    Raises:
        BadKeys: The file cannot be read or written, or holds no keys.
    """
    deployment, _, address = owner.partition(":")
    wanted = {"demo": ledger_account, "demo-chain": f"{deployment}:{OWNER}{address}"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with keys_alone(path) as standing:
        missing = {
            name: ApiKey(secrets.token_urlsafe(_SECRET_BYTES), _USER, (account,))
            for name, account in wanted.items()
            if name not in standing
        }
        if missing:
            write_keys(path, {**standing, **missing})
    keys = {**standing, **missing}
    return [DemoKey(name, keys[name].secret, keys[name].accounts[0]) for name in wanted]


def demo_ingest_key(path: Path) -> str:
    """Return the key with which accounts of one's own are written to the simulated exchange; it is made once.

    Args:
        path: The file that holds it.

    Raises:
        OSError: The file cannot be read or written.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.touch(mode=_OWN_EYES)
        new.write_text(secrets.token_urlsafe(_SECRET_BYTES))
        new.replace(path)
    return path.read_text()


def invitation(keys: Sequence[DemoKey], url: str) -> str:
    """Return what is printed of the keys: each with its secret, and a program that logs in with the first.

    Args:
        keys: The keys.
        url: Where the websocket is served.
    """
    first = keys[0]
    lines = [f"api key {key.name} of {key.account}, secret {key.secret}" for key in keys]
    return f"""\
{url} serves clients of the Bitfinex websocket, such as this one, as soon as all is up:

from bfxapi import Client  # pip install bitfinex-api-py==4.0.0
bfx = Client("{first.name}", "{first.secret}", wss_host="{url}")
bfx.wss.on("base_margin_info", print)
bfx.wss.on("authenticated", lambda _: bfx.wss.inputs.calc("margin_base"))
bfx.wss.run()

""" + "\n".join([*lines, ""])


def producer_invitation(ingest_key: str, api: str, config: Path) -> str:
    """Return what is printed of the way to an account of one's own: it is written, and a key is made that shows it.

    Args:
        ingest_key: What ``demo_ingest_key`` returned.
        api: The address of the api, such as ``http://127.0.0.1:8080``.
        config: The configuration file of what runs.
    """
    return f"""\
an account of your own, desk:ann, and a key that shows it (docs/ledger.md):
  python3 examples/ledger_producer.py {api} {ingest_key}
  .venv/bin/tidemark --config {config} keys add --user ann --account desk:ann
"""
