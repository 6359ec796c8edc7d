"""A client of the Muon network's gateway, which signs the uPnL of a pair of parties, over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from models.errors import TidemarkError
from streams.funder.diamond_calls import SIGNATURE, PairSignature
from streams.process.http_bodies import WITHOUT_END, read_at_most

if TYPE_CHECKING:
    from streams.settings import SymmioSettings

# The network asks several of its nodes. A signature that takes longer would soon be out of date.
_ANSWER_WITHIN_S = 15.0
# A signature is some 3 kB.
_MAX_ANSWER_BYTES = 1024 * 1024


class NoSignature(TidemarkError):
    """The gateway gave no signature. It is asked again while the window is open; check ``muon``."""


class _Values(msgspec.Struct):
    uPnlA: str  # noqa: N815 - as the gateway spells it
    uPnlB: str  # noqa: N815


class _Init(msgspec.Struct):
    nonceAddress: str  # noqa: N815


class _Data(msgspec.Struct):
    timestamp: int
    result: _Values
    init: _Init


class _Signature(msgspec.Struct):
    signature: str
    owner: str


class _Result(msgspec.Struct):
    reqId: str  # noqa: N815
    data: _Data
    nodeSignature: str  # noqa: N815
    signatures: list[_Signature]


class _Answer(msgspec.Struct):
    success: bool
    result: _Result | None = None


_decoder = msgspec.json.Decoder(_Answer)


class Muon:
    """Asks one gateway.

    Args:
        session: HTTP client.
        url: The gateway's URL.
        deployment: Names the chain and the Diamond, which are part of what is signed.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, deployment: SymmioSettings) -> None:
        self._session = session
        self._url = url
        self._chain_id = deployment.chain_id
        self._diamond = deployment.diamond

    async def sign(self, party_a: str, party_b: str) -> PairSignature:
        """Have both parties' uPnL of now signed.

        Raises:
            NoSignature: The gateway does not answer, or not with a signature.
        """
        parameters = {
            "app": "symmio",
            "method": "uPnl",
            "params[partyA]": party_a,
            "params[partyB]": party_b,
            "params[chainId]": str(self._chain_id),
            "params[symmio]": self._diamond,
        }
        try:
            async with (
                asyncio.timeout(_ANSWER_WITHIN_S),
                self._session.get(self._url, params=parameters, timeout=WITHOUT_END) as response,
            ):
                answer = _decoder.decode(await read_at_most(_MAX_ANSWER_BYTES, response, NoSignature))
            return _signature(answer)
        except (aiohttp.ClientError, OSError) as error:
            # The error's text may hold the URL, and the URL may hold a key.
            msg = f"expected a signature of {party_a}'s uPnL, found {type(error).__name__}"
            raise NoSignature(msg) from None
        except (msgspec.DecodeError, ValueError, IndexError, RecursionError, EncodingError) as error:
            msg = f"expected a signature of {party_a}'s uPnL, found another answer: {error}"
            raise NoSignature(msg) from error


def _signature(answer: _Answer) -> PairSignature:
    if not answer.success or answer.result is None:
        msg = "expected success, found that the network did not sign"
        raise ValueError(msg)
    result = answer.result
    signature = PairSignature(
        req_id=_bytes(result.reqId),
        timestamp_s=result.data.timestamp,
        upnl_party_a=int(result.data.result.uPnlA),
        upnl_party_b=int(result.data.result.uPnlB),
        gateway_signature=_bytes(result.nodeSignature),
        signature=int(result.signatures[0].signature, 16),
        owner=result.signatures[0].owner,
        nonce=result.data.init.nonceAddress,
    )
    # What does not fit the contract's types would end the executor where it is sent.
    encode([SIGNATURE], [signature.cells])
    return signature


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
