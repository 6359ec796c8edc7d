"""``tidemark keys``: what it writes is what the endpoint reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from api.dialects.bitfinex.api_keys import BadKeys, KeyFile, read_keys
from tidemark.commands.keys import NoSuchKeys, keys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config, file = tmp_path / "tidemark.toml", tmp_path / "keys.json"
    config.write_text(
        '[deployments.desk]\nkind = "ledger"\n'
        f'[dialects.bitfinex]\nkind = "bitfinex"\ndeployments = ["desk"]\nkeys = "{file}"\n'
    )
    monkeypatch.setenv("TIDEMARK_CONFIG", str(config))
    return file


def run(*words: str) -> str:
    result = CliRunner().invoke(keys, words, catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.output


def test_a_key_is_made_listed_without_its_secret_and_taken_back(file: Path) -> None:
    said = dict(line.split() for line in run("add", "--user", "alice", "--account", "desk:u1").splitlines())
    following = KeyFile(file)
    following.load()
    key = following.find(said["apiKey"])
    assert key is not None
    assert (said["apiSecret"], ("desk:u1",)) == (key.secret, key.accounts)
    assert 0o600 == file.stat().st_mode & 0o777
    run("add", "--user", "bob", "--account", "desk:owner=0x1", "--permission", "wallets")
    listed = run("list")
    assert said["apiKey"] in listed
    assert "bob  desk:owner=0x1  wallets" in listed
    assert said["apiSecret"] not in listed
    run("revoke", said["apiKey"])
    following.refresh()
    assert following.find(said["apiKey"]) is None
    assert 1 == len(read_keys(file))


def test_what_cannot_be_done_is_told_and_changes_nothing(file: Path) -> None:
    with pytest.raises(NoSuchKeys, match="tidemark keys list"):
        run("revoke", "nobody")
    with pytest.raises(NoSuchKeys, match="bitfinex"):
        run("list", "--dialect", "other")
    with pytest.raises(BadKeys, match="one deployment"):
        run("add", "--user", "alice", "--account", "desk:u1", "--account", "main:u2")
    assert not file.exists()
    file.write_text('{"keys": {"k": {"secret": "hidden text", "user": "", "accounts": []}}}')
    with pytest.raises(BadKeys) as refused:
        run("list")
    assert "hidden text" not in str(refused.value)
