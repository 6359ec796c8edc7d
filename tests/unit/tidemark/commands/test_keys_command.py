"""``tidemark keys``: what it writes is what the endpoint reads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.dialects.bitfinex.api_keys import ApiKey, BadKeys, KeyFile, keys_alone, read_keys, write_keys
from tidemark.commands.keys import NoSuchKeys, keys


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config, file = tmp_path / "tidemark.toml", tmp_path / "keys.json"
    config.write_text(
        '[deployments.desk]\nkind = "ledger"\n[deployments.other]\nkind = "ledger"\n'
        f'[deployments.main]\nkind = "symmio"\nchain_id = 1\ndiamond = "0x{"d" * 40}"\n'
        f'[dialects.bitfinex]\nkind = "bitfinex"\ndeployments = ["desk", "main"]\nkeys = "{file}"\n'
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


@pytest.mark.parametrize(
    "words",
    [
        ("--user", "alice smith", "--account", "desk:u1"),
        ("--user", "", "--account", "desk:u1"),
        ("--user", "alice\n", "--account", "desk:u1"),
        ("--user", "alice", "--account", "desk"),
        ("--user", "alice", "--account", "Desk:u1"),
        ("--user", "alice", "--account", "desk:u 1"),
    ],
)
def test_a_key_that_replicas_could_not_read_is_refused_and_the_file_stays(file: Path, words: tuple[str, ...]) -> None:
    run("add", "--user", "bob", "--account", "desk:u1")
    before = file.read_bytes()
    with pytest.raises(BadKeys):
        run("add", *words)
    assert before == file.read_bytes()
    assert [file.name, "tidemark.toml"] == sorted(one.name for one in file.parent.iterdir())


@pytest.mark.parametrize(
    ("accounts", "told"),
    [
        (("deks:u1",), "a deployment that the dialect shows, found 'deks'; did you mean desk"),
        (("other:u1",), "a deployment that the dialect shows, found 'other'"),
        (("main:u1",), "of the kind symmio, found 'u1'"),
        (("desk:u1", "desk:u2"), "one --account of a ledger, found u1, u2"),
    ],
)
def test_a_key_whose_every_login_would_be_refused_is_not_made(file: Path, accounts: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadKeys, match=told):
        run("add", "--user", "alice", *(word for account in accounts for word in ("--account", account)))
    assert not file.exists()
    run("add", "--user", "alice", "--account", f"main:0x{'A' * 40}", "--account", f"main:owner=0x{'b' * 40}")


def followed(file: Path) -> KeyFile:
    write_keys(file, {"k1": ApiKey("s1", "alice", ("desk:u1",))})
    keys = KeyFile(file)
    keys.load()
    return keys


def unreadable(_path: Path) -> bytes:
    raise PermissionError(13, "Permission denied")


def test_a_file_that_may_be_read_again_is_read_though_nothing_in_it_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = followed(tmp_path / "keys.json")
    write_keys(tmp_path / "keys.json", {})
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", unreadable)
        keys.refresh()
    assert keys.find("k1") is not None
    (tmp_path / "keys.json").chmod(0o640)
    keys.refresh()
    assert keys.find("k1") is None


def test_a_key_that_is_taken_back_in_place_is_taken_back_whatever_time_the_file_claims(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys, found, text = followed(file), file.stat(), file.read_text()
    file.write_text(text.replace("k1", "k2"))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    keys.refresh()
    assert keys.find("k1") is None


def test_a_file_that_is_gone_is_told_once_and_not_at_each_login(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = followed(tmp_path / "keys.json")
    (tmp_path / "keys.json").unlink()
    for _ in range(9):
        keys.refresh()
    assert 1 == len([one for one in caplog.records if one.levelname == "ERROR"])
    assert keys.find("k1") is not None
    write_keys(tmp_path / "keys.json", {})
    keys.refresh()
    assert keys.find("k1") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_root_changes_stays_its_owners(file: Path) -> None:
    run("add", "--user", "alice", "--account", "desk:u1")
    os.chown(file, 12_345, 12_346)
    run("add", "--user", "bob", "--account", "desk:u1")
    assert (12_345, 12_346, 0o600) == (file.stat().st_uid, file.stat().st_gid, file.stat().st_mode & 0o777)


def test_a_key_that_is_taken_back_while_another_is_made_is_not_there_again(file: Path) -> None:
    run("add", "--user", "alice", "--account", "desk:u1")
    (taken,) = read_keys(file)
    with ThreadPoolExecutor(1) as other, keys_alone(file) as standing:
        adding = other.submit(run, "add", "--user", "bob", "--account", "desk:u1")
        assert not wait([adding], timeout=0.2).done
        write_keys(file, {name: key for name, key in standing.items() if name != taken})
    adding.result()
    assert ["bob"] == [key.user for key in read_keys(file).values()]


def test_a_directory_that_is_not_there_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_CONFIG", str(file.parent / "other.toml"))
    text = (file.parent / "tidemark.toml").read_text()
    (file.parent / "other.toml").write_text(text.replace(str(file), str(file.parent / "none" / "keys.json")))
    with pytest.raises(BadKeys, match="make it first"):
        run("add", "--user", "bob", "--account", "desk:u1")
