"""The table of Flash: made of what the venue publishes, and refused where this version would read it wrongly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from models.errors import BadRecord
from models.flash import borsh
from models.flash.flash_accounts import DISCRIMINATORS
from models.flash.flash_table import built_in_table, read_table, table_text
from models.flash.solana_keys import key_of
from models.flash.table_making import make_table
from tidemark.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SCALARS = {1: "u8", 2: "u16", 4: "u32", 8: "u64", 16: "u128", 32: "pubkey"}


def _type(kind: borsh.Kind) -> Any:  # noqa: ANN401 - as IDLs say types
    """A type of an IDL that has the bytes of a kind, whatever it is called there."""
    match kind:
        case borsh.Integer(least=size):
            return _SCALARS[size]
        case borsh._Text():
            return "string"
        case borsh._Many(of=of):
            return {"vec": _type(of)}
        case borsh.Raw(least=32):
            return "pubkey"
        case _:
            return {"array": ["u8", kind.least]} if kind.fixed else {"vec": "u8"}


def _idl() -> dict[str, Any]:
    accounts, types = [], []
    for of, discriminator in DISCRIMINATORS.items():
        accounts.append({"name": of.__name__, "discriminator": list(discriminator)})
        fields = [{"name": name, "type": _type(kind)} for name, kind in borsh.layout(of).kinds]
        types.append({"name": of.__name__, "type": {"kind": "struct", "fields": fields}})
    return {"metadata": {"version": "1.2.3"}, "accounts": accounts, "types": types}


def _pools() -> dict[str, Any]:
    token = {
        "symbol": "SOL", "mintKey": "m", "decimals": 9, "usdPrecision": 2, "tokenPrecision": 4, "isStable": False,
        "isVirtual": False, "lazerId": 6, "pythTicker": "Crypto.SOL/USD", "pythPriceId": "", "isToken2022": False,
        "fullName": "passed over",
    }  # fmt: skip
    custody = {"custodyAccount": "c", "symbol": "SOL", "intOracleAddress": "o"}
    market = {"marketAccount": "k", "targetCustody": "c", "collateralCustody": "c", "side": "long"}
    pool = {
        "programId": "p", "cluster": "mainnet-beta", "poolName": "Crypto.1", "isDeprecated": False, "poolAddress": "a",
        "tokens": [token], "custodies": [custody], "markets": [market],
    }  # fmt: skip
    return {"pools": [pool, {**pool, "poolName": "Old", "isDeprecated": True}, {**pool, "cluster": "devnet"}]}


def _made(idl: dict[str, Any] | None = None, pools: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
    text = (
        json.dumps(_idl() if idl is None else idl).encode(),
        json.dumps(_pools() if pools is None else pools).encode(),
    )
    return make_table(*text, cluster="mainnet-beta", source="here at commit 1")


def test_a_table_lists_the_active_pools_of_its_cluster_and_names_its_source() -> None:
    table = _made()
    assert (table.source, table.programme, [pool.name for pool in table.pools]) == (
        "here at commit 1, IDL version 1.2.3", "p", ["Crypto.1"],
    )  # fmt: skip
    assert (table.symbol_of_custody("c"), table.oracles, table.market("k").side) == ("SOL", {"SOL": "o"}, "long")
    assert (table.token("SOL").usd_precision, table.token("BTC"), table.symbol_of_custody("x")) == (2, None, None)
    assert read_table(table_text(table).encode()) == table


def test_the_built_in_table_is_of_the_layouts_that_are_read_and_of_real_addresses() -> None:
    table = built_in_table()
    assert "github.com/flash-trade/flash-sdk-v2 at commit e137e8dc4884a902dc7a3f16c3a93077ccdad2b0" in table.source
    for of, discriminator in DISCRIMINATORS.items():
        said = table.layouts[of.__name__]
        layout = borsh.layout(of)
        assert said.discriminator == discriminator.hex()
        offsets = [layout.offset(name) for name, _ in layout.kinds]
        assert [one.offset for one in said.fields] == [None if at is None else at + 8 for at in offsets]
        assert [one.size for one in said.fields] == [kind.least if kind.fixed else None for _, kind in layout.kinds]
    assert {"SOL", "USDC", "BTC"} <= set(table.oracles)
    addresses = [market.address for pool in table.pools for market in pool.markets]
    addresses += [*table.oracles.values(), table.programme, table.delegation_programme]
    assert all(key_of(one) is not None for one in addresses)
    symbols = {custody.symbol for pool in table.pools for custody in pool.custodies}
    assert all(table.token(symbol) is not None for symbol in symbols)


def _moved_field(idl: dict[str, Any]) -> None:
    idl["types"][0]["type"]["fields"].insert(0, {"name": "version", "type": "u8"})


def _new_account(idl: dict[str, Any]) -> None:
    idl["accounts"][0]["discriminator"] = [0] * 8


def _more_fields(idl: dict[str, Any]) -> None:
    idl["types"][0]["type"]["fields"].append({"name": "more", "type": "u8"})


def _odd_type(idl: dict[str, Any]) -> None:
    idl["types"][0]["type"]["fields"][0]["type"] = {"defined": {"name": "Nothing"}}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_moved_field, "as this version reads it"),
        (_new_account, "begins with db4f6b87e7f3daf8"),
        (_more_fields, "expected 10 fields of Basket"),
        (_odd_type, "whose size is known"),
    ],
)
def test_an_idl_that_would_be_read_wrongly_is_refused(change: Callable[[dict[str, Any]], None], fault: str) -> None:
    idl = _idl()
    change(idl)
    with pytest.raises(BadRecord, match=fault):
        _made(idl)


def test_pools_of_no_cluster_or_of_two_programmes_are_refused() -> None:
    pools = _pools()
    pools["pools"][2].update(cluster="mainnet-beta", programId="q")
    others: list[dict[str, Any]] = [{"pools": []}, pools]
    for other in others:
        with pytest.raises(BadRecord, match="active pools of one programme on mainnet-beta"):
            _made(None, other)
    with pytest.raises(BadRecord, match="pool configuration"):
        _made(None, {})


def test_the_command_writes_the_table_and_nothing_where_it_is_refused(tmp_path: Path) -> None:
    idl, pools, out = tmp_path / "idl.json", tmp_path / "pools.json", tmp_path / "table.json"
    pools.write_text(json.dumps(_pools()))
    idl.write_text("{}")
    command = ["flash", "refresh", "--idl", str(idl), "--pools", str(pools), "--source", "here", "--out", str(out)]
    with pytest.raises(BadRecord, match="IDL of Anchor"):
        CliRunner().invoke(cli, command, catch_exceptions=False)
    assert not out.exists()
    idl.write_text(json.dumps(_idl()))
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    assert read_table(out.read_bytes()).programme == "p"
    printed = CliRunner().invoke(cli, command[:-2], catch_exceptions=False).output
    assert printed == out.read_text()
