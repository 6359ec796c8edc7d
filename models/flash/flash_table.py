"""What is known of Flash Trade beside its chain: its programmes, and how its pools, markets and tokens are called.

The table is data (``flash_table.json``), made by ``tidemark flash refresh`` from what the venue publishes. Ingest
writes the one that it goes by onto the topic ``flash-references``, so that figures name what they were made from.
"""

from __future__ import annotations

from functools import cache, cached_property
from pkgutil import get_data
from typing import TYPE_CHECKING

import msgspec

from models.errors import BadRecord
from models.flash.flash_texts import Token

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = "flash_table.json"


class TableToken(msgspec.Struct, frozen=True):
    """A token as the venue's pool configuration lists it, in the words of its ``TokenDto``."""

    symbol: str
    mint: str
    decimals: int
    usd_precision: int
    token_precision: int
    is_stable: bool
    is_virtual: bool
    lazer_id: int
    pyth_ticker: str
    pyth_price_id: str
    is_token2022: bool


class TableCustody(msgspec.Struct, frozen=True):
    """A custody: its address, its token, and the account of the oracle that says its price."""

    address: str
    symbol: str
    oracle: str


class TableMarket(msgspec.Struct, frozen=True):
    """A market: its address, its two custodies, and ``long`` or ``short``."""

    address: str
    target: str
    collateral: str
    side: str


class TablePool(msgspec.Struct, frozen=True):
    """A pool that is active."""

    name: str
    address: str
    custodies: tuple[TableCustody, ...]
    markets: tuple[TableMarket, ...]


class FieldPlace(msgspec.Struct, frozen=True):
    """Where a field of an account stands; ``offset`` is None behind a list, ``size`` is None of a list itself."""

    name: str
    offset: int | None
    size: int | None


class AccountPlaces(msgspec.Struct, frozen=True):
    """How an account begins, as hex, and where its fields stand."""

    discriminator: str
    fields: tuple[FieldPlace, ...]


class FlashTable(msgspec.Struct, tag="table", tag_field="kind", frozen=True, dict=True):
    """The table.

    Attributes:
        source: Where its parts were published, each with its commit.
        cluster: The cluster of Solana.
        programme: The venue's programme, the owner of all its accounts.
        delegation_programme: The owner, on the base chain, of accounts that live on the rollup.
        pools: The active pools.
        tokens: The tokens of all pools.
        layouts: The accounts that are read, by type.
    """

    source: str
    cluster: str
    programme: str
    delegation_programme: str
    pools: tuple[TablePool, ...]
    tokens: tuple[TableToken, ...]
    layouts: dict[str, AccountPlaces]

    @cached_property
    def _symbols(self) -> Mapping[str, str]:
        return {custody.address: custody.symbol for pool in self.pools for custody in pool.custodies}

    @cached_property
    def _tokens(self) -> Mapping[str, Token]:
        return {one.symbol: Token(one.symbol, one.usd_precision, one.token_precision) for one in self.tokens}

    @cached_property
    def _markets(self) -> Mapping[str, TableMarket]:
        return {market.address: market for pool in self.pools for market in pool.markets}

    def symbol_of_custody(self, address: str) -> str | None:
        """The symbol of a custody's token, None where no active pool has the custody."""
        return self._symbols.get(address)

    def token(self, symbol: str) -> Token | None:
        """How a token is shown, None where it is not known."""
        return self._tokens.get(symbol)

    def market(self, address: str) -> TableMarket | None:
        """A market of an active pool, None where no pool has it."""
        return self._markets.get(address)

    @cached_property
    def oracles(self) -> Mapping[str, str]:
        """The oracle's account of each symbol, of the first custody that has one."""
        found: dict[str, str] = {}
        for pool in self.pools:
            for custody in pool.custodies:
                found.setdefault(custody.symbol, custody.oracle)
        return found


_decoder = msgspec.json.Decoder(FlashTable)


def read_table(text: bytes) -> FlashTable:
    """Read a table.

    Raises:
        BadRecord: It is none.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"expected a table of Flash, as tidemark flash refresh makes it, found {text[:80]!r}: {error}"
        raise BadRecord(msg) from error


def write_table(table: FlashTable) -> bytes:
    """A table as JSON."""
    return msgspec.json.encode(table)


def table_text(table: FlashTable) -> str:
    """A table as a file has it: one field a line, so that a change of it can be read."""
    return msgspec.json.format(write_table(table), indent=1).decode() + "\n"


@cache
def built_in_table() -> FlashTable:
    """The table that this version was made with."""
    text = get_data(__package__, _FILE)
    if text is None:
        msg = f"expected {_FILE} beside {__name__}, found none: install the package again"
        raise BadRecord(msg)
    return read_table(text)
