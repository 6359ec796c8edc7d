"""Hedgers and their keys: where they come from, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from eth_account import Account
from pydantic import ValidationError

from streams.funder.hedgers import Hedger, hedgers_of
from streams.settings import BadSettings, SymmioSettings

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER_KEY = "0x" + "42" * 32, "0x" + "43" * 32
ADDRESS, OTHER = (Account.from_key(key).address.lower() for key in (KEY, OTHER_KEY))
PARTY_B, OTHER_B = "0x" + "0b" * 20, "0x" + "0c" * 20


def deployment(**funding: object) -> SymmioSettings:
    cells = {"chain_id": 1, "diamond": "0x" + "d1" * 20, "funding": {"party_b": PARTY_B, **funding}}
    return SymmioSettings.model_validate(cells)


async def hedgers(**funding: object) -> list[Hedger]:
    async with aiohttp.ClientSession() as session:
        return await hedgers_of("main", deployment(**funding), session)


def file_of(tmp_path: Path, mode: int) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(mode)
    return file


async def test_the_key_comes_from_the_settings_or_a_file(tmp_path: Path) -> None:
    for settings in ({"key": KEY}, {"key_file": file_of(tmp_path, 0o600)}):
        assert [(PARTY_B, ADDRESS)] == [(one.party_b, one.signer.address) for one in await hedgers(**settings)]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o606, 0o660])
async def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BadSettings, match=f"only its owner reads, found mode {mode:04o}") as caught:
        await hedgers(key_file=file_of(tmp_path, mode))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("settings", [{"key": "0xsecret"}, {"key_file": "/nowhere/secret-less"}, {}])
async def test_a_key_that_is_none_is_refused_without_showing_it(settings: dict[str, Any]) -> None:
    with pytest.raises(BadSettings, match=r"deployments\.main\.funding") as caught:
        await hedgers(**settings)
    assert "0xsecret" not in str(caught.value)


async def test_each_hedger_has_a_key_of_its_own() -> None:
    second = {"party_b": OTHER_B, "key": OTHER_KEY}
    found = await hedgers(key=KEY, hedgers={"second": second})
    assert [(PARTY_B, ADDRESS), (OTHER_B, OTHER)] == [(one.party_b, one.signer.address) for one in found]
    with pytest.raises(BadSettings, match="expected a key for each hedger"):
        await hedgers(key=KEY, hedgers={"second": {**second, "key": KEY}})
    with pytest.raises(ValidationError, match="found one twice"):
        deployment(key=KEY, hedgers={"second": {**second, "party_b": PARTY_B}})


def test_a_key_is_in_one_place() -> None:
    with pytest.raises(ValidationError, match="found key and kms_key"):
        deployment(key=KEY, kms_key="alias/funding")
    with pytest.raises(ValidationError, match="found one without the other"):
        deployment(remote_signer="http://127.0.0.1:9000")
