"""A key of AWS KMS, which never leaves it: an asymmetric one for signing, of the curve secp256k1 (``tidemark[kms]``).

KMS signs the hash of a transaction, and answers a signature as ASN.1 without the bit that Ethereum has beside it. Both
values of that bit are tried, and the one that gives back the key's address is taken.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_hash.auto import keccak
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from streams.funder.signer import ORDER, NotSigned, Signed
from streams.settings import BadSettings


class KmsKey:
    """Has KMS sign.

    Args:
        client: A client of KMS; each of its calls blocks.
        key_id: The key's id, alias or ARN.
        address: The account of the key, in lower case.
    """

    def __init__(self, client: Any, key_id: str, address: str) -> None:  # noqa: ANN401 - boto3 has no types of its own
        self.address = address
        self._client = client
        self._key_id = key_id

    async def sign(self, fields: dict[str, Any]) -> Signed:
        """Have a transaction signed.

        Raises:
            NotSigned: KMS does not answer, refuses, or answers what is no signature of the key.
        """
        transaction = TypedTransaction.from_dict(fields)
        answer = await _called(
            self._client.sign,
            KeyId=self._key_id,
            Message=bytes(transaction.hash()),
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        try:
            r, s = decode_dss_signature(answer["Signature"])
            s = min(s, ORDER - s)
            for v in (0, 1):
                signed = TypedTransaction.from_dict({**fields, "v": v, "r": r, "s": s}).encode()
                if Account.recover_transaction(signed).lower() == self.address:
                    return Signed("0x" + signed.hex(), "0x" + keccak(signed).hex())
        except (ValueError, TypeError, ValidationError, BadSignature) as error:
            msg = f"expected KMS to answer a signature, found {error}"
            raise NotSigned(msg) from error
        msg = f"expected KMS to sign as {self.address}, found the signature of another key"
        raise NotSigned(msg)


async def kms_key(key_id: str, where: str) -> KmsKey:
    """Find a key at KMS; region and credentials are those of the environment.

    Args:
        key_id: The key's id, alias or ARN.
        where: Names the setting, for messages.

    Raises:
        BadSettings: boto3 is not installed, KMS has no such key, or it is of another kind.
    """
    try:
        boto3 = importlib.import_module("boto3")
    except ModuleNotFoundError:
        msg = f"{where}: expected boto3, which asks KMS, found it not installed; install tidemark[kms]"
        raise BadSettings(msg) from None
    try:
        client = await _called(boto3.client, service_name="kms")
        answer = await _called(client.get_public_key, KeyId=key_id)
        public = load_der_public_key(answer["PublicKey"])
    except (NotSigned, ValueError, UnsupportedAlgorithm) as error:
        msg = f"{where}: expected the public key of {key_id}, found {error}"
        raise BadSettings(msg) from error
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256K1):
        msg = f"{where}: expected a key of ECC_SECG_P256K1 for signing, found another kind at {key_id}"
        raise BadSettings(msg)
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return KmsKey(client, key_id, "0x" + keccak(point[1:])[-20:].hex())


async def _called(call: Any, **arguments: object) -> Any:  # noqa: ANN401 - boto3 has no types of its own
    # Its modules are there: the client was made by them.
    errors = importlib.import_module("botocore.exceptions")
    try:
        return await asyncio.to_thread(call, **arguments)
    except (errors.BotoCoreError, errors.ClientError) as error:
        msg = f"expected KMS to answer, found {error}"
        raise NotSigned(msg) from error
