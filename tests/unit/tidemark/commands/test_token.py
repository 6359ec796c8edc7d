"""``tidemark token``: tokens that the api accepts, and what a token says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.access.tokens import TICKET, NotAuthenticated, authenticator_of
from models.errors import TidemarkError
from streams.process.clock import SystemClock
from streams.settings import load_settings
from tidemark.cli import cli
from tidemark.commands.token import CannotIssue

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a secret of more than 32 bytes, as it should be"
ACCOUNT = "main:0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)


def pem_of(private: Ed25519PrivateKey) -> str:
    plain = serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the files of the two keys that are configured, ``main`` and ``ed``."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "public.pem").write_bytes(PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, spki))
    (tmp_path / "private.pem").write_text(pem_of(PRIVATE))
    config = tmp_path / "tidemark.toml"
    config.write_text(
        f"[auth]\nmode = 'tokens'\naudience = 'tidemark'\n"
        f"[auth.keys.main]\nalgorithm = 'HS256'\nkey = '{SECRET}'\n"
        f"[auth.keys.ed]\nalgorithm = 'EdDSA'\nfile = '{tmp_path / 'public.pem'}'\n"
    )
    monkeypatch.setenv("TIDEMARK_CONFIG", str(config))
    return tmp_path


def run(*arguments: str, said: str | None = None) -> str:
    result = CliRunner().invoke(cli, ["token", *arguments], input=said, catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.output


def issue(*arguments: str) -> str:
    return run("issue", "--subject", "desk-1", "--account", ACCOUNT, "--expires", "24h", *arguments).strip()


@pytest.mark.parametrize("kid", ["main", "ed"])
def test_a_token_that_is_issued_is_accepted_by_the_api(keys: Path, kid: str) -> None:
    private = ("--private-key", str(keys / "private.pem")) if kid == "ed" else ()
    text = issue("--account", "Other:*", "--key", kid, *private)

    authenticator = authenticator_of(load_settings().auth, lambda: SystemClock().now_ms() / 1_000)
    assert authenticator is not None
    principal = authenticator.authenticate(text)
    assert ("desk-1", frozenset({ACCOUNT.lower(), "other:*"})) == (principal.subject, principal.scopes)
    assert principal.expires_s is not None
    assert 86_390 < principal.expires_s - SystemClock().now_ms() / 1_000 <= 86_400
    assert kid == jwt.get_unverified_header(text)["kid"]


@pytest.mark.usefixtures("keys")
def test_a_ticket_is_issued_for_an_hour_at_most_and_is_no_token() -> None:
    text = issue("--key", "main", "--expires", "1h", "--ticket")

    authenticator = authenticator_of(load_settings().auth, lambda: SystemClock().now_ms() / 1_000)
    assert authenticator is not None
    assert "desk-1" == authenticator.authenticate(text, TICKET).subject
    with pytest.raises(NotAuthenticated, match="the token is a ticket"):
        authenticator.authenticate(text)
    with pytest.raises(NotAuthenticated, match="at most 3600 s"):
        issue("--key", "main", "--expires", "61m", "--ticket")
    assert run("show", text).endswith("accepted\n")


@pytest.mark.usefixtures("keys")
def test_a_token_is_shown_and_whether_it_is_accepted() -> None:
    text = issue("--key", "main")
    for output in (run("show", text), run("show", said=f"{text}\n")):
        said, verdict = output.rsplit("}\n", 1)
        assert "desk-1" == json.loads(f"{said}}}")["claims"]["sub"]
        assert "accepted\n" == verdict
    assert "refused: the token is not signed with a key that is accepted here\n" in run("show", text[:-8] + "AAAAAAAA")


def test_what_is_no_token_is_not_shown() -> None:
    with pytest.raises(NotAuthenticated, match="expected a JSON Web Token"):
        run("show", "no token")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "expected one key in"),
        (("--key", "other"), "found 'other'"),
        (("--key", "ed"), "expected --private-key FILE for ed"),
        (("--key", "main", "--private-key", "private.pem"), "expected no --private-key for main"),
        (("--key", "ed", "--private-key", "public.pem"), "expected a private key in PEM"),
        (("--key", "ed", "--private-key", "foreign.pem"), "found another"),
    ],
)
def test_a_token_that_nobody_would_accept_is_not_issued(keys: Path, options: tuple[str, ...], said: str) -> None:
    (keys / "foreign.pem").write_text(pem_of(Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)))
    paths = [str(keys / option) if option.endswith(".pem") else option for option in options]
    with pytest.raises(CannotIssue) as caught:
        issue(*paths)
    assert said in str(caught.value)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("account", ["main", "main:0x12", ""])
def test_a_scope_that_is_none_is_refused(account: str) -> None:
    with pytest.raises(TidemarkError, match="DEPLOYMENT"):
        issue("--key", "main", "--account", account)


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ("mian:*", "expected a deployment of the configuration in --account mian:*, found 'mian'; did you mean main?"),
        ("xyz:*", "found 'xyz'; there are main"),
        (ACCOUNT.replace("0xAB", "0xAC"), "whose capitals are those of EIP-55"),
    ],
)
def test_a_scope_that_opens_nothing_is_refused_with_what_was_probably_meant(
    keys: Path, account: str, said: str
) -> None:
    with (keys / "tidemark.toml").open("a") as config:
        config.write(f"[deployments.main]\nchain_id = 1\ndiamond = '0x{'1' * 40}'\n")
    with pytest.raises(CannotIssue) as caught:
        issue("--key", "main", "--account", account)
    assert said in str(caught.value)
    assert issue("--key", "main", "--account", "*", "--account", ACCOUNT.upper().replace("MAIN:0X", "MAIN:0x"))


@pytest.mark.usefixtures("keys")
def test_a_token_that_holds_for_more_than_a_year_is_refused() -> None:
    for expires in ("367d", "8785h", "9" * 12 + "d", "9" * 5_000 + "s"):
        result = CliRunner().invoke(cli, ["token", "issue", "--subject", "a", "--account", "*", "--expires", expires])
        assert 2 == result.exit_code
        assert "expected 366d at most" in result.output
        assert "cannot be taken back" in result.output
    assert issue("--key", "main", "--expires", "366d")


@pytest.mark.parametrize("expires", ["", "24", "h", "0h", "-1h", "1.5h", "1w", "²h"])
def test_a_duration_that_is_none_is_refused(expires: str) -> None:
    arguments = ["token", "issue", "--subject", "a", "--account", "*", "--expires", expires]
    result = CliRunner().invoke(cli, arguments)
    assert 2 == result.exit_code
    assert "expected a duration such as 90s, 30m, 24h or 7d" in result.output
