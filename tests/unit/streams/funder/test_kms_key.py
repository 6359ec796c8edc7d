"""A key at AWS KMS, over an emulator of it: its signatures are Ethereum's, and what is no such key is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from moto import mock_aws
from moto.kms.utils import ECDSAPrivateKey

from streams.funder.fees import Fees
from streams.funder.kms_key import kms_key
from streams.funder.signer import NotSigned, Signer
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

TO = "0x" + "d1" * 20
# Half of the order of secp256k1: nodes refuse an s above it.
HALF = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "nothing"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ):
        monkeypatch.setenv(name, value)
    # The emulator hashes what it is told is a hash already; KMS does not.
    monkeypatch.setattr(ECDSAPrivateKey, "sign", signed_as_it_is)
    with mock_aws():
        yield boto3.client("kms")


def signed_as_it_is(self: ECDSAPrivateKey, message: bytes, signing_algorithm: str) -> bytes:
    assert "ECDSA_SHA_256" == signing_algorithm
    signature: bytes = self.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256())))
    return signature


def new_key(kms: Any, spec: str) -> str:  # noqa: ANN401 - boto3 has no types of its own
    key: str = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    return key


async def test_it_signs_calls_and_their_replacements_as_its_address(kms: Any) -> None:  # noqa: ANN401
    key = await kms_key(new_key(kms, "ECC_SECG_P256K1"), "kms_key")
    kinds = set()
    events = key._client.meta.events
    events.register("before-parameter-build.kms.Sign", lambda params, **_: kinds.add(params["MessageType"]))
    signer = Signer(key, 1)
    # KMS answers either s, and either bit belongs to it: with 16 signatures all of them come up.
    first = await signer.sign_nothing(0, Fees(100, 10))
    for nonce in range(16):
        signed = await signer.sign(nonce=nonce, to=TO, data=b"\x01\x02", gas=90_000, fees=Fees(100, 10))
        assert key.address == Account.recover_transaction(signed.raw).lower()
        # RLP leaves leading zeros out, so s is not always the last 32 bytes.
        assert TypedTransaction.from_bytes(HexBytes(signed.raw)).as_dict()["s"] <= HALF
    assert {"DIGEST"} == kinds
    again = await signer.sign_again(first.raw, Fees(200, 20))
    assert key.address == Account.recover_transaction(again.raw).lower()


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_2048"])
async def test_a_key_of_another_kind_is_refused(kms: Any, spec: str) -> None:  # noqa: ANN401
    with pytest.raises(BadSettings, match="where: expected a key of ECC_SECG_P256K1"):
        await kms_key(new_key(kms, spec), "where")


async def test_a_key_that_is_not_there_is_refused(kms: Any) -> None:  # noqa: ANN401
    del kms
    with pytest.raises(BadSettings, match="where: expected the public key of 11111111-2222-3333-4444-555555555555"):
        await kms_key("11111111-2222-3333-4444-555555555555", "where")


async def test_kms_that_does_not_answer_does_not_sign(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    key = await kms_key(new_key(kms, "ECC_SECG_P256K1"), "kms_key")

    def away(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(key, "_client", type("Away", (), {"sign": staticmethod(away)}))
    with pytest.raises(NotSigned, match="expected KMS to answer"):
        await Signer(key, 1).sign_nothing(1, Fees(1, 1))


@pytest.mark.parametrize("said", [b"", b"no signature", bytes.fromhex("3006020100020100")])
async def test_what_is_no_signature_of_the_key_is_told_of(
    kms: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    said: bytes,
) -> None:
    key = await kms_key(new_key(kms, "ECC_SECG_P256K1"), "kms_key")
    monkeypatch.setattr(ECDSAPrivateKey, "sign", lambda *_: said)
    with pytest.raises(NotSigned, match="expected KMS to"):
        await Signer(key, 1).sign_nothing(0, Fees(100, 10))
