"""Keys of topics and tables: raw UTF-8 bytes, ``:`` between parts."""

from __future__ import annotations

import re

_EVM_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")
_ACCOUNT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def account_key(deployment: str, account: str) -> bytes:
    """Key of an account: ``<deployment>:<account>``, an address in lower case."""
    return f"{deployment}:{canonical_id(account)}".encode()


def canonical_id(account: str) -> str:
    """The one spelling of an account's id: EVM addresses are written in lower case, of all others case counts."""
    return account.lower() if _EVM_ADDRESS.fullmatch(account) else account


def is_account_id(text: str) -> bool:
    """Whether a venue may call an account so: letters and digits of ASCII and ``._-``, at most 64 of them.

    Ids are parts of keys, paths and messages, so no other character needs escaping anywhere.
    """
    return _ACCOUNT_ID.fullmatch(text) is not None


def quote_key(deployment: str, quote_id: int) -> bytes:
    """Key of a quote's route: ``<deployment>:<quote id>``."""
    return f"{deployment}:{quote_id}".encode()


def finished_quote_key(account: bytes, quote_id: int) -> bytes:
    """Key of a finished quote in quote-history: ``<account key>:<quote id>``; partitioned as its account is."""
    return b"%b:%d" % (account, quote_id)


def market_key(deployment: str, symbol_id: int) -> bytes:
    """Key of a deployment's market: ``<deployment>:<symbol id>``."""
    return f"{deployment}:{symbol_id}".encode()


def market_of_key(key: bytes) -> tuple[str, int | str]:
    """Split the key of a market's row into (deployment, the market's id there); an id of digits is a number."""
    deployment, text = split_key(key)
    return deployment, int(text) if text.isdecimal() else text


def mark_key(source: str, symbol: str) -> bytes:
    """Key of a mark price: ``<source>:<SYMBOL as the source spells it>``."""
    return f"{source}:{symbol}".encode()


def split_key(key: bytes) -> tuple[str, str]:
    """Split a key at its first ``:`` into (deployment or source, rest)."""
    head, _, rest = key.decode().partition(":")
    return head, rest
