"""Endpoints of a chain in this process: they answer JSON-RPC, and lie by a draw or all the time where a test wants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from streams.funder.data_fees import ORACLE
from streams.funder.diamond_calls import call_data
from streams.node.rpc import CallReverted, EndpointDown, EndpointSlow, Refused
from tests.support.funding_chain import CHAIN_ID, DIAMOND, E18, VALID_S, Refusal, gas_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from streams.node.rpc import Call, Outcome
    from tests.support.funding_chain import Block, FundingChain, OnChain, State

_VIEWS: dict[bytes, tuple[str, tuple[str, ...]]] = {
    call_data(name, kinds, values)[:4]: (name, kinds)
    for name, kinds, values in (
        ("getQuote", ("uint256",), (0,)),
        ("nonceOfPartyA", ("address",), (DIAMOND,)),
        ("nonceOfPartyB", ("address", "address"), (DIAMOND, DIAMOND)),
        ("getMuonConfig", (), ()),
        ("getSymbols", ("uint256", "uint256"), (0, 1)),
        ("partyAStats", ("address",), (DIAMOND,)),
        ("balanceInfoOfPartyA", ("address",), (DIAMOND,)),
        ("balanceInfoOfPartyB", ("address", "address"), (DIAMOND, DIAMOND)),
    )
}
FAILURES = ("down", "slow", "half")
"""An endpoint answers 500, does not answer in time, or does what it is asked and hangs up."""
LIES = (*FAILURES, "old", "old", "null", "no receipt", "other receipt", "unclear")
"""It may also answer of an old state, null, and for receipts nothing, another one, or one without its status."""


class FundingEndpoint:
    """An endpoint of the chain.

    Args:
        chain: The chain.
        label: Its name.
        draw: Decides what it does when it lies.
        lies: What it does then, of ``LIES``.
    """

    def __init__(self, chain: FundingChain, label: str, draw: random.Random, lies: Sequence[str]) -> None:
        self.label = label
        self.lies = lies
        # How often it lies, at an answer.
        self.odds = 0.0
        # What it says wrong all the time: how far its head and its clock are ahead, and whether it stands still.
        self.blocks_ahead = self.clock_ahead_s = 0
        self.is_frozen = False
        # Whether it takes whatever the contract refuses, and the gas that it says where it is not what is so.
        self.takes_all = False
        self.gas: int | None = None
        # What it says wrongly of accounts, one of ``VIEWS_TWISTED``, and whether it refuses every charge.
        self.twists = ""
        self.refuses_all = False
        # What its receipts say, whatever is so.
        self.receipt_says: dict[str, str] = {}
        self._frozen: list[Block] = []
        self._chain = chain
        self._draw = draw

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Outcome]:
        """Answer, or not."""
        blocks = self._chain.blocks
        if self.is_frozen:
            self._frozen = self._frozen or list(blocks)
            blocks = self._frozen
        lie = self._lie()
        match lie:
            case "down":
                msg = f"{self.label}: 500"
                raise EndpointDown(msg)
            case "slow":
                await asyncio.sleep(timeout_s)
                msg = f"{self.label}: no answer"
                raise EndpointSlow(msg)
            case "old":
                blocks = blocks[: max(1, len(blocks) - self._draw.randint(1, 12))]
            case _:
                await asyncio.sleep(self._draw.uniform(0.01, 0.4))
        answers = [self._answer(method, params, blocks) for method, params in calls]
        if lie == "half":
            # It does what it is asked, and the answer is lost on its way.
            msg = f"{self.label}: hung up"
            raise EndpointDown(msg, was_reached=True)
        return [self._twisted(lie, call[0], answer) for call, answer in zip(calls, answers, strict=True)]

    async def close(self) -> None:
        """Do nothing."""

    def _lie(self) -> str:
        if self._draw.random() >= self.odds:
            return ""
        return self._draw.choice(self.lies)

    def _twisted(self, lie: str, method: str, answer: Outcome) -> Outcome:
        is_receipt = method == "eth_getTransactionReceipt" and isinstance(answer, dict)
        match lie:
            case "null":
                return None
            case "no receipt" if is_receipt:
                return None
            case "other receipt" if is_receipt:
                return answer | {"transactionHash": "0x" + "77" * 32}
            case "unclear" if is_receipt:
                return {name: told for name, told in answer.items() if name != "status"}
            case _:
                return answer

    def _answer(self, method: str, params: list[Any], blocks: list[Block]) -> Outcome:
        head = blocks[-1]
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_getCode":
                return "0x"
            case "eth_blockNumber":
                return hex(head.number + self.blocks_ahead)
            case "eth_getBlockByNumber":
                return self._block(params[0], blocks)
            case "eth_gasPrice":
                return hex(head.base_wei + self._chain.suggested_wei)
            case "eth_getBalance":
                return hex(10**20)
            case "eth_getTransactionCount":
                return hex(head.state.senders.get(params[0], 0))
            case "eth_getTransactionReceipt":
                receipt = self._chain.receipt(params[0], blocks)
                return None if receipt is None else receipt | self.receipt_says
            case "eth_getTransactionByHash":
                is_known = self._chain.is_pooled(params[0]) or self._chain.receipt(params[0], blocks) is not None
                return {"hash": params[0]} if is_known else None
            case "eth_sendRawTransaction":
                return self._sent(params[0])
            case "eth_call" | "eth_estimateGas":
                return self._called(method, params[0], head)
            case _:
                msg = f"expected a method of the executor's, found {method}"
                raise AssertionError(msg)

    def _block(self, tag: str, blocks: list[Block]) -> Outcome:
        head = blocks[-1]
        number = head.number if tag in ("latest", "pending") else int(tag, 16) - self.blocks_ahead
        if not 0 <= number < len(blocks):
            return None
        block = blocks[number]
        # The pending block of an old state has an old time.
        pending_s = self._chain.now_s if head is self._chain.head else head.time_s + 1
        time_s = pending_s if tag == "pending" else block.time_s
        return {
            "number": hex(number + self.blocks_ahead),
            "hash": block.hash,
            "timestamp": hex(time_s + self.clock_ahead_s),
            "baseFeePerGas": hex(block.base_wei),
        }

    def _sent(self, raw: str) -> Outcome:
        try:
            return self._chain.send(raw)
        except Refusal as error:
            return Refused(f"{self.label}: {error}", str(error))

    def _called(self, method: str, call: dict[str, Any], head: Block) -> Outcome:
        if call["to"] == ORACLE:
            # There is no contract, as ``eth_getCode`` says too.
            return "0x"
        data = bytes.fromhex(call["data"][2:])
        if data[:4] in _VIEWS:
            name, kinds = _VIEWS[data[:4]]
            seen = _viewed(head.state, name, kinds, data)
            return "0x" + twisted_view(self.twists, data, seen).hex()
        time_s = self._chain.now_s if head is self._chain.head else head.time_s + 1
        try:
            self._chain.charge(head.state.copy(), call["from"], data, time_s)
        except Refusal as error:
            if not self.takes_all:
                return self._reverted("nothing is taken" if self.refuses_all else str(error))
        if self.refuses_all:
            return self._reverted("nothing is taken")
        return hex(self.gas or gas_of(data)) if method == "eth_estimateGas" else "0x"

    def _reverted(self, reason: str) -> CallReverted:
        said = f"execution reverted: {reason}"
        data = keccak(b"Error(string)")[:4] + encode(["string"], [reason])
        return CallReverted(f"{self.label}: {said}", said, data, self.label)


VIEWS_TWISTED: dict[str, tuple[str, int, Callable[[int], int]]] = {
    "price": ("getQuote", 6, lambda said: 2 * said),
    "side": ("getQuote", 4, lambda said: 1 - said),
    "amount": ("getQuote", 10, lambda said: 2 * said),
    "maximum": ("getQuote", 20, lambda _: 0),
    "market": ("getQuote", 3, lambda said: said + 1),
    "nonce": ("nonceOfPartyA", 0, lambda said: said + 1),
    "hedger's nonce": ("nonceOfPartyB", 0, lambda said: said + 1),
    "validity": ("getMuonConfig", 0, lambda said: said + 10**9),
    "liquidation": ("partyAStats", 0, lambda _: 1),
    "balance": ("balanceInfoOfPartyA", 0, lambda _: 0),
    "hedger's balance": ("balanceInfoOfPartyB", 0, lambda _: 0),
}
"""What an endpoint may say wrongly of an account or a quote: the view, which of its words, and what it says there.

How long signatures hold is its ``validity``.
"""


def twisted_view(lie: str, asked: bytes, seen: bytes) -> bytes:
    """What an endpoint that tells one of ``VIEWS_TWISTED`` answers where others answer ``seen`` to a call of a view."""
    name, _ = _VIEWS.get(asked[:4], ("", ()))
    if lie not in VIEWS_TWISTED or VIEWS_TWISTED[lie][0] != name:
        return seen
    _, word, other = VIEWS_TWISTED[lie]
    at = 32 * word
    return seen[:at] + other(int.from_bytes(seen[at : at + 32])).to_bytes(32) + seen[at + 32 :]


def _viewed(state: State, name: str, kinds: tuple[str, ...], data: bytes) -> bytes:
    arguments = decode(kinds, data[4:])
    match name:
        case "getQuote":
            return _words(32, *_quote_words(state.quotes.get(arguments[0])))
        case "nonceOfPartyA":
            return _words(state.nonces.get(arguments[0].lower(), 0))
        case "nonceOfPartyB":
            return _words(state.nonces.get(" ".join(one.lower() for one in arguments), 0))
        case "getSymbols":
            return _words(32, 1, 32, arguments[0] + 1, 288, 1, 0, 0, 0, 0, *state.kind, 0)
        case "getMuonConfig":
            return _words(VALID_S, VALID_S)
        case "partyAStats":
            return _words(*[0] * 14)
        case _:
            return _words(10**12 * E18, *[0] * 8)


def _quote_words(quote: OnChain | None) -> list[int]:
    words = [0] * 32
    if quote is not None:
        words[0], words[2], words[3], words[5] = quote.quote_id, quote.symbol_id, not quote.is_long, quote.price
        words[9], words[19], words[22], words[29] = E18, quote.max_rate, quote.status, quote.paid_s
        words[20], words[21] = int(quote.party_a, 16), int(quote.party_b, 16)
    return words


def _words(*values: int) -> bytes:
    return b"".join(int(value).to_bytes(32) for value in values)
