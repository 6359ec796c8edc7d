"""Who a token is accepted from, and what it opens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any, Literal

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from api.access.tokens import (
    ANYONE,
    LEEWAY_S,
    TOKEN_MAX_CHARACTERS,
    Authenticator,
    BadScope,
    NotAuthenticated,
    Principal,
    authenticator_of,
    parse_scope,
    read_key,
)
from streams.settings import AuthSettings, BadSettings, TokenKeySettings

if TYPE_CHECKING:
    from pathlib import Path

NOW_S = 1_745_970_800
SECRET, NEXT_SECRET = "a secret of more than 32 bytes, as it should be", "the secret that takes over from the first one"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC_PEM = (
    PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
PRIVATE_PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT, OTHER = "main:0x" + "ab" * 20, "main:0x" + "cd" * 20
REFUSED = "the token is not signed with a key that is accepted here"


def a_key(algorithm: Literal["HS256", "EdDSA"], text: str) -> TokenKeySettings:
    return TokenKeySettings(algorithm=algorithm, key=SecretStr(text))


def authenticator(audience: str | None = None, **keys: TokenKeySettings) -> Authenticator:
    given = keys or {"main": a_key("HS256", SECRET)}
    made = authenticator_of(AuthSettings(mode="tokens", keys=given, audience=audience), lambda: NOW_S)
    assert made is not None
    return made


def claims(**others: object) -> dict[str, Any]:
    return {"sub": "desk-1", "exp": NOW_S + 60, "accounts": [ACCOUNT]} | others


def token(
    said: dict[str, Any] | None = None,
    key: str | Ed25519PrivateKey = SECRET,
    algorithm: str = "HS256",
    **header: object,
) -> str:
    return jwt.encode(claims() if said is None else said, key, algorithm, header or None)


def forged(header: object, payload: object, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def refusal(text: str, by: Authenticator | None = None) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        (by or authenticator()).authenticate(text)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_token_tells_who_reads_what_and_until_when() -> None:
    expected = Principal("desk-1", frozenset({ACCOUNT}), NOW_S + 60)
    assert expected == authenticator().authenticate(token())
    assert expected == authenticator(ed=a_key("EdDSA", PUBLIC_PEM)).authenticate(token(key=PRIVATE, algorithm="EdDSA"))


def test_scopes_are_accounts_deployments_or_everything() -> None:
    one = Principal("a", frozenset({ACCOUNT}), None)
    assert (True, True, False) == tuple(map(one.may_read, (ACCOUNT, ACCOUNT.upper(), OTHER)))
    assert not one.may_read_all_of("main")
    deployment = Principal("a", frozenset({"main:*"}), None)
    assert (True, True, False) == tuple(map(deployment.may_read, (ACCOUNT, OTHER, ACCOUNT.replace("main", "main-2"))))
    assert (True, False) == (deployment.may_read_all_of("main"), deployment.may_read_all_of("main-2"))
    assert ANYONE.may_read(ACCOUNT)
    assert ANYONE.may_read_all_of("main")


@pytest.mark.parametrize("key", ["", "*", "main", "main:", "main:*", ":"])
def test_a_key_that_is_no_account_is_not_in_the_scope_of_one(key: str) -> None:
    assert not Principal("a", frozenset({ACCOUNT}), None).may_read(key)


def test_scopes_are_compared_in_lower_case() -> None:
    principal = authenticator().authenticate(token(claims(accounts=[ACCOUNT.upper().replace("0X", "0x"), "Main:*"])))
    assert frozenset({ACCOUNT, "main:*"}) == principal.scopes


@pytest.mark.parametrize("scope", ["", "main", "main:", "main:0x12", "main:**", "*:*", f"{ACCOUNT}\n", f" {ACCOUNT}"])
def test_what_is_no_scope_is_refused(scope: str) -> None:
    with pytest.raises(BadScope):
        parse_scope(scope)
    assert "accounts" in refusal(token(claims(accounts=[scope])))


@pytest.mark.parametrize("accounts", [None, [], "*", {"*": 1}, [1], [None]])
def test_accounts_that_are_no_list_of_scopes_are_refused(accounts: object) -> None:
    assert "expected accounts to be a list of scopes" in refusal(token(claims(accounts=accounts)))


def test_a_token_holds_until_it_expires_and_a_little_longer_for_clocks_that_differ() -> None:
    by = authenticator()
    assert by.authenticate(token(claims(exp=NOW_S - LEEWAY_S + 1))).subject
    assert "the token expired 5 s ago" == refusal(token(claims(exp=NOW_S - LEEWAY_S)))
    assert by.authenticate(token(claims(nbf=NOW_S + LEEWAY_S))).subject
    assert "the token is valid in 6 s" == refusal(token(claims(nbf=NOW_S + LEEWAY_S + 1)))
    assert by.authenticate(token(claims(exp=NOW_S + 0.5))).subject


def test_a_token_without_an_end_is_refused() -> None:
    said = claims()
    del said["exp"]
    assert "expected the claim exp, found none" == refusal(token(said))


@pytest.mark.parametrize("exp", [True, "9999999999", -1, 1e300, float("nan"), float("inf"), [NOW_S + 60]])
def test_an_end_that_is_no_time_is_refused(exp: object) -> None:
    assert "expected exp to be a time in Unix s" == refusal(token(claims(exp=exp)))


@pytest.mark.parametrize("sub", [None, "", 7, "x" * 129, "a\nb", ["a"]])
def test_a_subject_that_is_no_name_is_refused(sub: object) -> None:
    header, payload = {"alg": "HS256"}, claims(sub=sub)
    unsigned = forged(header, payload)[:-1]
    signature = hmac.digest(SECRET.encode(), unsigned.encode(), hashlib.sha256)
    assert "expected sub" in refusal(forged(header, payload, signature))


def test_a_token_that_is_not_signed_is_refused() -> None:
    for name in ("none", "None", "NONE", ""):
        assert REFUSED == refusal(forged({"alg": name, "typ": "JWT"}, claims()))
    assert REFUSED == refusal(forged({"typ": "JWT"}, claims()))


def test_a_changed_or_foreign_token_is_refused() -> None:
    assert REFUSED == refusal(token(key=NEXT_SECRET))
    header, _, signature = token().split(".")
    payload = forged({}, claims(accounts=["*"])).split(".")[1]
    assert REFUSED == refusal(f"{header}.{payload}.{signature}")


def test_a_public_key_is_not_taken_for_a_secret() -> None:
    header, payload = {"alg": "HS256", "typ": "JWT"}, claims()
    unsigned = forged(header, payload)[:-1]
    signature = hmac.digest(PUBLIC_PEM.strip().encode(), unsigned.encode(), hashlib.sha256)
    confused = forged(header, payload, signature)

    assert REFUSED == refusal(confused, authenticator(ed=a_key("EdDSA", PUBLIC_PEM)))


def test_a_token_of_the_right_key_by_another_algorithm_is_refused() -> None:
    assert REFUSED == refusal(token(algorithm="HS512"))
    assert REFUSED == refusal(token(key=PRIVATE, algorithm="EdDSA"))


def test_keys_stand_side_by_side_while_one_takes_over() -> None:
    by = authenticator(old=a_key("HS256", SECRET), new=a_key("HS256", NEXT_SECRET), ed=a_key("EdDSA", PUBLIC_PEM))
    assert by.authenticate(token(kid="old")).subject
    assert by.authenticate(token(key=NEXT_SECRET, kid="new")).subject
    assert by.authenticate(token(key=PRIVATE, algorithm="EdDSA", kid="ed")).subject
    assert REFUSED == refusal(token(kid="new"), by)
    for unknown in (token(kid="older"), token(), token(kid="")):
        assert f"{REFUSED}: kid" == refusal(unknown, by)


def test_a_kid_that_is_not_configured_is_refused_also_where_there_is_one_key() -> None:
    assert authenticator().authenticate(token()).subject
    assert f"{REFUSED}: kid" == refusal(token(kid="other"))


def test_a_token_for_another_service_is_refused() -> None:
    ours = authenticator(audience="tidemark")
    assert ours.authenticate(token(claims(aud="tidemark"))).subject
    assert ours.authenticate(token(claims(aud=["other", "tidemark"]))).subject
    assert "the token is not meant for this service: aud" == refusal(token(claims(aud="other")), ours)
    assert "expected the claim aud, found none" == refusal(token(), ours)
    assert "the token is not meant for this service: aud" == refusal(token(claims(aud="other")))


def test_a_token_that_is_too_long_is_refused_before_it_is_looked_at() -> None:
    longest = token(claims(accounts=[ACCOUNT] * 90))
    assert 4_000 < len(longest) < TOKEN_MAX_CHARACTERS
    assert authenticator().authenticate(longest).subject
    assert "expected a token of at most 8192 ASCII characters" in refusal(token(claims(accounts=[ACCOUNT] * 200)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        "\ud800",
        "e30.e30.",
        "bnVsbA.e30.",
        "W10.e30.",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6N30.e30.",
        base64.urlsafe_b64encode(b'{"alg":' + b"[" * 6_000).decode() + ".e30.",
        base64.urlsafe_b64encode(b'{"alg":' + b"9" * 5_000).decode() + ".e30.",
        forged({"alg": "HS256", "b64": False}, {}),
        forged({"alg": ["HS256"]}, {}),
        forged({"alg": {"a": 1}}, {}),
    ],
)
def test_what_is_no_token_is_refused_whatever_it_is(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize("payload", [[], "a", 7, None, {"exp": None}])
def test_a_signed_payload_that_says_nothing_is_refused(payload: object) -> None:
    header = {"alg": "HS256"}
    signature = hmac.digest(SECRET.encode(), forged(header, payload)[:-1].encode(), hashlib.sha256)
    assert refusal(forged(header, payload, signature))


def test_a_header_with_an_extension_that_must_be_understood_is_refused() -> None:
    assert "expected no crit in the header: no extension is understood" == refusal(token(crit=["x"], x=1))


def test_nothing_is_checked_where_reading_is_open() -> None:
    assert authenticator_of(AuthSettings(), lambda: NOW_S) is None


def test_a_key_comes_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    by = authenticator(main=TokenKeySettings(algorithm="HS256", file=file))
    assert by.authenticate(token()).subject


@pytest.mark.parametrize(
    ("algorithm", "text", "said"),
    [
        ("HS256", "short", "expected a secret of 32 bytes or more, found 5"),
        ("HS256", PUBLIC_PEM, "found a PEM key; set algorithm to EdDSA"),
        ("EdDSA", SECRET, "expected an Ed25519 public key in PEM, found none"),
        ("EdDSA", PRIVATE_PEM, "found a private key, which only the issuer needs"),
        (
            "EdDSA",
            Ed448PrivateKey.generate()
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode(),
            "found Ed448PublicKey",
        ),
    ],
)
def test_a_key_of_another_kind_is_refused_and_not_shown(
    algorithm: Literal["HS256", "EdDSA"], text: str, said: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        read_key("main", a_key(algorithm, text))
    assert said in str(caught.value)
    assert str(caught.value).startswith("auth.keys.main: ")
    assert text not in str(caught.value)


def test_a_missing_key_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"auth\.keys\.main\.file: expected a file that can be read"):
        read_key("main", TokenKeySettings(algorithm="HS256", file=tmp_path / "none"))
