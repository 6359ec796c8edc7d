"""Makes the table of Flash out of what the venue publishes: an IDL of its programme, and its pool configuration.

An IDL whose accounts stand otherwise than ``flash_accounts`` reads them is refused, with the first field that differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from models.errors import BadRecord
from models.flash.borsh import layout
from models.flash.flash_accounts import DISCRIMINATORS
from models.flash.flash_table import (
    AccountPlaces,
    FieldPlace,
    FlashTable,
    TableCustody,
    TableMarket,
    TablePool,
    TableToken,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# The programme of MagicBlock that owns, on the base chain, every account that was delegated to a rollup.
_DELEGATION_PROGRAMME = "DELeGGvXpWV2fqJUhqcF5ZSYMS4JTLjteaAMARRSaeSh"
_DISCRIMINATOR_BYTES = 8
_COUNT_BYTES = 4
_SIZES = {"bool": 1, "u8": 1, "u16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "u128": 16, "pubkey": 32}


class _Named(msgspec.Struct):
    name: str


class _Type(msgspec.Struct):
    kind: str
    fields: list[dict[str, Any]] = []
    variants: list[dict[str, Any]] = []


class _Defined(msgspec.Struct):
    name: str
    type: _Type


class _Account(msgspec.Struct):
    name: str
    discriminator: list[int]


class _Metadata(msgspec.Struct):
    version: str


class _Idl(msgspec.Struct):
    metadata: _Metadata
    accounts: list[_Account]
    types: list[_Defined]


class _Token(msgspec.Struct, rename="camel"):
    symbol: str
    mint_key: str
    decimals: int
    usd_precision: int
    token_precision: int
    is_stable: bool
    is_virtual: bool
    lazer_id: int
    pyth_ticker: str
    pyth_price_id: str
    is_token2022: bool = msgspec.field(name="isToken2022")


class _Custody(msgspec.Struct, rename="camel"):
    custody_account: str
    symbol: str
    int_oracle_address: str


class _Market(msgspec.Struct, rename="camel"):
    market_account: str
    target_custody: str
    collateral_custody: str
    side: str


class _Pool(msgspec.Struct, rename="camel"):
    program_id: str
    cluster: str
    pool_name: str
    is_deprecated: bool
    pool_address: str
    tokens: list[_Token]
    custodies: list[_Custody]
    markets: list[_Market]


class _Pools(msgspec.Struct):
    pools: list[_Pool]


class _Size(NamedTuple):
    least: int
    fixed: bool


def make_table(idl: bytes, pools: bytes, *, cluster: str, source: str) -> FlashTable:
    """Make the table.

    Args:
        idl: The IDL of the programme, as JSON.
        pools: The venue's pool configuration, as JSON.
        cluster: The cluster of Solana whose pools are listed.
        source: Where both were published, with the commit.

    Raises:
        BadRecord: One of them is none, lists no active pool of the cluster, or says that accounts stand otherwise than
            this version reads them.
    """
    interface = _decoded(idl, _Idl, "an IDL of Anchor")
    active = [one for one in _decoded(pools, _Pools, "a pool configuration of Flash").pools if not one.is_deprecated]
    listed = [one for one in active if one.cluster == cluster]
    programmes = {one.program_id for one in listed}
    if len(programmes) != 1:
        found = sorted({one.cluster for one in active})
        msg = f"expected active pools of one programme on {cluster}, found programmes {sorted(programmes)} (of {found})"
        raise BadRecord(msg)
    tokens = {token.symbol: token for pool in listed for token in pool.tokens}
    return FlashTable(
        source=f"{source}, IDL version {interface.metadata.version}",
        cluster=cluster,
        programme=programmes.pop(),
        delegation_programme=_DELEGATION_PROGRAMME,
        pools=tuple(map(_pool, listed)),
        tokens=tuple(TableToken(*msgspec.structs.astuple(one)) for one in tokens.values()),
        layouts=_layouts(interface),
    )


def _decoded(text: bytes, kind: type[Any], what: str) -> Any:  # noqa: ANN401 - a ``kind``
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"expected {what} as JSON, found {text[:80]!r}: {error}"
        raise BadRecord(msg) from error


def _pool(pool: _Pool) -> TablePool:
    custodies = [TableCustody(one.custody_account, one.symbol, one.int_oracle_address) for one in pool.custodies]
    markets = [
        TableMarket(one.market_account, one.target_custody, one.collateral_custody, one.side) for one in pool.markets
    ]
    return TablePool(pool.pool_name, pool.pool_address, tuple(custodies), tuple(markets))


def _layouts(interface: _Idl) -> dict[str, AccountPlaces]:
    types = {one.name: one.type for one in interface.types}
    discriminators = {one.name: bytes(one.discriminator) for one in interface.accounts}
    found = {}
    for of, discriminator in DISCRIMINATORS.items():
        name = of.__name__
        said = discriminators.get(name)
        if said != discriminator or name not in types:
            msg = f"expected an IDL with an account {name} that begins with {discriminator.hex()}, found {said!r}"
            raise BadRecord(msg)
        places = tuple(_places(types[name].fields, types))
        _expect_as_read(name, of, places)
        found[name] = AccountPlaces(discriminator.hex(), places)
    return found


def _places(fields: Sequence[Mapping[str, Any]], types: Mapping[str, _Type]) -> Iterator[FieldPlace]:
    at: int | None = _DISCRIMINATOR_BYTES
    for field in fields:
        size = _size(field["type"], types)
        yield FieldPlace(field["name"].lstrip("_"), at, size.least if size.fixed else None)
        at = at + size.least if at is not None and size.fixed else None


def _expect_as_read(name: str, of: type[NamedTuple], said: Sequence[FieldPlace]) -> None:
    own = layout(of)
    read = [
        FieldPlace(
            field,
            None if (at := own.offset(field)) is None else at + _DISCRIMINATOR_BYTES,
            kind.least if kind.fixed else None,
        )
        for field, kind in own.kinds
    ]
    for one, other in zip(read, said, strict=False):
        if one != other:
            msg = f"expected {one} of {name}, as this version reads it, found {other}: take a version that reads it"
            raise BadRecord(msg)
    if len(read) != len(said):
        msg = f"expected {len(read)} fields of {name}, as this version reads it, found {len(said)}"
        raise BadRecord(msg)


def _size(kind: Any, types: Mapping[str, _Type]) -> _Size:  # noqa: ANN401 - a text or an object, as IDLs say types
    match kind:
        case str() if kind in _SIZES:
            return _Size(_SIZES[kind], fixed=True)
        case "string" | {"vec": _}:
            return _Size(_COUNT_BYTES, fixed=False)
        case {"array": [of, int(times)]}:
            each = _size(of, types)
            return _Size(each.least * times, each.fixed)
        case {"defined": {"name": str(name)}} if name in types:
            defined = types[name]
            if defined.kind == "enum" and not any("fields" in one for one in defined.variants):
                return _Size(1, fixed=True)
            if defined.kind == "struct":
                sizes = [_size(field["type"], types) for field in defined.fields]
                return _Size(sum(one.least for one in sizes), all(one.fixed for one in sizes))
    msg = f"expected a type whose size is known, found {kind!r:.200}"
    raise BadRecord(msg)
