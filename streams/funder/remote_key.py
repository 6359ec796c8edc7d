"""A key that a remote signer holds, asked by ``eth_signTransaction`` over HTTP as Web3Signer answers it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_hash.auto import keccak
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from hexbytes import HexBytes
from rlp.exceptions import RLPException

from streams.funder.signer import HALF_ORDER, NotSigned, Signed
from streams.process.http_bodies import WITHOUT_END, read_at_most

if TYPE_CHECKING:
    from streams.funder.signer import Key

# A batch of 30 quotes is some 4 kB.
_MOST_BYTES = 1 << 20
_ANSWER_S = 10.0
_SHOWN_CHARACTERS = 200
# The type as well: one of another type may have the same fields, and hand the account over to a contract beside.
_SAME = ("type", "chainId", "nonce", "to", "value", "data", "gas", "maxFeePerGas", "maxPriorityFeePerGas")


class RemoteKey:
    """Asks the signer to sign as ``address``, and believes only what is what was asked, signed by it.

    Args:
        session: HTTP client; its owner closes it.
        url: Where the signer is; it may hold a token, and is never logged.
        address: The account that signs, in lower case.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, address: str) -> None:
        self.address = address
        self._session = session
        self._url = url

    async def sign(self, fields: dict[str, Any]) -> Signed:
        """Have a transaction signed.

        Raises:
            NotSigned: The signer does not answer, refuses, or signs something else.
        """
        # The chain's id is set at the signer; what comes back shows whether it is the right one.
        told: dict[str, str] = {"from": self.address}
        for name in ("to", "data"):
            told[name] = "0x" + bytes(fields[name]).hex()
        for name in ("gas", "maxFeePerGas", "maxPriorityFeePerGas", "nonce", "value", "chainId"):
            told[name] = hex(fields[name])
        raw = await self._ask({"jsonrpc": "2.0", "id": 1, "method": "eth_signTransaction", "params": [told]})
        expect_signed(raw, fields, self)
        return Signed("0x" + raw.hex(), "0x" + keccak(raw).hex())

    async def _ask(self, request: dict[str, Any]) -> bytes:
        try:
            async with (
                asyncio.timeout(_ANSWER_S),
                self._session.post(self._url, json=request, timeout=WITHOUT_END) as response,
            ):
                body = await read_at_most(_MOST_BYTES, response, NotSigned)
        except TimeoutError as error:
            msg = f"expected the remote signer to answer in {_ANSWER_S} s, found no answer"
            raise NotSigned(msg) from error
        except (aiohttp.ClientError, OSError) as error:
            # The error's text may hold the URL.
            msg = f"expected the remote signer to answer, found {type(error).__name__}"
            raise NotSigned(msg) from None
        try:
            answer = orjson.loads(body)
            if answer.get("error") is not None:
                msg = f"expected the remote signer to sign, found {str(answer['error'])[:_SHOWN_CHARACTERS]}"
                raise NotSigned(msg)
            return bytes.fromhex(answer["result"].removeprefix("0x"))
        except (orjson.JSONDecodeError, AttributeError, KeyError, ValueError) as error:
            msg = f"expected the remote signer to answer a signed transaction, found {body[:_SHOWN_CHARACTERS]!r}"
            raise NotSigned(msg) from error


def expect_signed(raw: bytes, fields: dict[str, Any], key: Key) -> None:
    """Let a transaction pass that is what was to be signed, and is signed by the key.

    Args:
        raw: The signed transaction.
        fields: What was to be signed.
        key: Whose signature it is to have.

    Raises:
        NotSigned: It is another transaction, of another chain, or signed by another key.
    """
    try:
        read = TypedTransaction.from_bytes(HexBytes(raw))
        found, signer = read.as_dict(), Account.recover_transaction(raw).lower()
        # Nodes refuse what is spelled otherwise, and we would wait for another hash than theirs.
        is_as_nodes_spell_it = read.encode() == raw and found["s"] <= HALF_ORDER and found["v"] in (0, 1)
    except (RLPException, BadSignature, ValidationError, ValueError, TypeError, KeyError, IndexError) as error:
        msg = f"expected a signed transaction of type 2, found 0x{raw.hex()[:_SHOWN_CHARACTERS]}"
        raise NotSigned(msg) from error
    if not is_as_nodes_spell_it:
        msg = f"expected a transaction as nodes spell it, found 0x{raw.hex()[:_SHOWN_CHARACTERS]}"
        raise NotSigned(msg)
    if signer != key.address:
        msg = f"expected the signature of {key.address}, found that of {signer}"
        raise NotSigned(msg)
    for name in _SAME:
        if _plain(found.get(name)) != _plain(fields[name]):
            msg = f"expected {name} to be signed as {_plain(fields[name])!r}, found {_plain(found.get(name))!r}"
            raise NotSigned(msg)
    if found["accessList"]:
        # It has bytes that chains with a fee for data charge for, and takes gas that the call needs.
        msg = f"expected no access list to be signed, found {len(found['accessList'])} entries"
        raise NotSigned(msg)


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, bytes | bytearray) else value
