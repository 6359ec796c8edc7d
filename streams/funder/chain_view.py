"""The chain as the executor sees it: its own time, the Diamond's views, simulations, and transactions on their way.

* ``ChainError``: the root; carries no URL, since that may hold a provider's key.
    * ``NodeDown``: no endpoint gave an answer that can be used.
    * ``Reverted``: a contract refused a call; its text is the contract's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from models.errors import TidemarkError
from models.symmio.margin import available_for_liquidation
from streams.funder.diamond_calls import call_data, read_balances, read_numbers, read_quote, revert_reason
from streams.node.endpoints import Patience
from streams.node.rpc import CallReverted, Refused, TooMuch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.symmio.funding_plan import ChainQuote
    from models.symmio.state import Balances
    from streams.funder.diamond_calls import PairSignature
    from streams.node.endpoints import Node
    from streams.node.rpc import Call

__all__ = ["PATIENCE", "Chain", "ChainError", "Head", "NodeDown", "Pair", "Receipt", "Reverted"]

# A failing endpoint is asked again after up to 0.2 s, 0.4 s … 2 s.
_WAITS_S = (0.2, 2.0)
PATIENCE = Patience(answer_s=5.0, down_s=_WAITS_S)
"""How long the executor waits for an endpoint: a window is minutes long, and a batch asks some ten times."""
# Time for two answers that do not come, and for a third that does: a node that fails for less is not noticed.
_ANSWERED_WITHIN_S = 3 * PATIENCE.answer_s
# A node that has just lost its newest block, and says so, has another within a second or two.
_REFUSALS = 5
# The same bytes twice are one transaction.
_SENDS = 2
# Providers bound what one request may hold; a view of a quote answers 1 kB.
_CALLS_A_REQUEST = 100

T = TypeVar("T")


class ChainError(TidemarkError):
    """The chain did not do what was asked."""


class NodeDown(ChainError):
    """No endpoint answers, or none of them what was asked. Check ``rpc`` of the deployment."""


class Reverted(ChainError):
    """A contract refused a call."""


class Head(NamedTuple):
    """The newest block, and how many transactions the signer has in the chain up to it."""

    block: int
    nonce: int


class Receipt(NamedTuple):
    """Where a transaction is, and whether it did what it was for."""

    hash: str
    block: int
    block_hash: str
    succeeded: bool
    gas_used: int


class Pair(NamedTuple):
    """A pair of parties and some of its quotes, in the state that the next transaction would find."""

    nonces: tuple[int, int]
    liquidating: bool
    balances_a: Balances
    balances_b: Balances
    quotes: Mapping[int, ChainQuote]

    def available(self, signature: PairSignature) -> tuple[int, int]:
        """What party A and party B have left before liquidation, at the signature's uPnLs."""
        return (
            available_for_liquidation(self.balances_a, signature.upnl_party_a),
            available_for_liquidation(self.balances_b, signature.upnl_party_b),
        )


class Chain:
    """One deployment's contracts and chain, asked through its node.

    Args:
        node: Gives up on no endpoint; what takes it too long is ``NodeDown`` here.
        diamond: The Diamond's address.
    """

    def __init__(self, node: Node, diamond: str) -> None:
        self._node = node
        self._diamond = diamond

    async def has_code(self, address: str) -> bool:
        """Whether a contract is at the address."""
        return len(await self._ask("eth_getCode", [address, "latest"])) > len("0x")

    async def pending_time_s(self) -> int:
        """The time that the next block would have, Unix s."""
        block = await self._ask("eth_getBlockByNumber", ["pending", False])
        if block is None:
            block = await self._ask("eth_getBlockByNumber", ["latest", False])
        return int(block["timestamp"], 16)

    async def signature_valid_s(self) -> int:
        """How long the contract takes a signature for, in s."""
        try:
            (answer,) = await self._views([("getMuonConfig", (), ())])
        except Reverted as error:
            msg = f"expected the Diamond at {self._diamond} to know getMuonConfig, found: {error}"
            raise ChainError(msg) from error
        return _read(lambda: read_numbers(answer, 1)[0])

    async def quotes(self, quote_ids: Sequence[int]) -> dict[int, ChainQuote]:
        """Quotes as the next transaction would find them."""
        answers = await self._views([("getQuote", ("uint256",), (quote_id,)) for quote_id in quote_ids])
        return _read(
            lambda: {quote_id: read_quote(answer) for quote_id, answer in zip(quote_ids, answers, strict=True)}
        )

    async def pair(self, party_a: str, party_b: str, quote_ids: Sequence[int]) -> Pair:
        """Read a pair of parties, and some of its quotes, as the next transaction would find them.

        Args:
            party_a: Address of the account.
            party_b: Address of the hedger.
            quote_ids: Which quotes.
        """
        answers = await self._views(
            [
                ("nonceOfPartyA", ("address",), (party_a,)),
                ("nonceOfPartyB", ("address", "address"), (party_b, party_a)),
                ("partyAStats", ("address",), (party_a,)),
                ("balanceInfoOfPartyA", ("address",), (party_a,)),
                ("balanceInfoOfPartyB", ("address", "address"), (party_b, party_a)),
                *(("getQuote", ("uint256",), (quote_id,)) for quote_id in quote_ids),
            ]
        )
        nonce_a, nonce_b, stats, balances_a, balances_b, *quotes = answers
        return _read(
            lambda: Pair(
                nonces=(read_numbers(nonce_a, 1)[0], read_numbers(nonce_b, 1)[0]),
                liquidating=bool(read_numbers(stats, 1)[0]),
                balances_a=read_balances(balances_a),
                balances_b=read_balances(balances_b),
                quotes={quote_id: read_quote(quote) for quote_id, quote in zip(quote_ids, quotes, strict=True)},
            )
        )

    async def nonces(self, party_a: str, party_b: str) -> tuple[int, int]:
        """The contract's own nonces of a pair."""
        answers = await self._views(
            [
                ("nonceOfPartyA", ("address",), (party_a,)),
                ("nonceOfPartyB", ("address", "address"), (party_b, party_a)),
            ]
        )
        return _read(lambda: (read_numbers(answers[0], 1)[0], read_numbers(answers[1], 1)[0]))

    async def simulate(self, sender: str, data: bytes) -> None:
        """Call the Diamond as ``sender`` would, in the state that the next transaction would find.

        Raises:
            Reverted: It would revert.
        """
        await self._ask("eth_call", [{"from": sender, "to": self._diamond, "data": _hex(data)}, "pending"])

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        """Estimate the gas that a transaction would take in the state that the next one would find.

        Args:
            sender: Address that signs it.
            to: Address that it calls.
            data: The call.

        Raises:
            Reverted: It would revert.
        """
        return int(await self._ask("eth_estimateGas", [{"from": sender, "to": to, "data": _hex(data)}, "pending"]), 16)

    async def fees(self) -> tuple[int, int]:
        """The base fee of the newest block, and the tip that the node suggests beyond it, wei of gas."""
        block, price = await self._ask_all([("eth_getBlockByNumber", ["latest", False]), ("eth_gasPrice", [])])
        base_wei = int(block.get("baseFeePerGas") or "0x0", 16)
        return base_wei, max(0, int(price, 16) - base_wei)

    async def head(self, signer: str) -> Head:
        """The newest block, and the signer's nonce in it."""
        block, nonce = await self._ask_all([("eth_blockNumber", []), ("eth_getTransactionCount", [signer, "latest"])])
        return Head(int(block, 16), int(nonce, 16))

    async def receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        """Receipts of those of the transactions that are in the chain."""
        answers = await self._ask_all([("eth_getTransactionReceipt", [one]) for one in hashes])
        return {
            one: Receipt(
                one,
                int(answer["blockNumber"], 16),
                answer["blockHash"],
                answer["status"] == "0x1",
                int(answer["gasUsed"], 16),
            )
            for one, answer in zip(hashes, answers, strict=True)
            if answer is not None
        }

    async def send(self, raw: str) -> str | None:
        """Hand a signed transaction to every endpoint; what it comes to is seen in receipts.

        Returns:
            What the last one to refuse said, None where one took it.
        """
        failures = await self._node.tell_each(("eth_sendRawTransaction", [raw]), _SENDS)
        if None in failures:
            return None
        last = failures[-1]
        return last.said if isinstance(last, Refused) else str(last)

    async def _views(self, calls: Sequence[tuple[str, Sequence[str], Sequence[object]]]) -> list[bytes]:
        answers = await self._ask_all(
            [
                ("eth_call", [{"to": self._diamond, "data": _hex(call_data(name, kinds, values))}, "pending"])
                for name, kinds, values in calls
            ]
        )
        return [bytes.fromhex(answer.removeprefix("0x")) for answer in answers]

    async def _ask(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - what the method answers
        (answer,) = await self._ask_all([(method, params)])
        return answer

    async def _ask_all(self, calls: Sequence[Call]) -> list[Any]:
        """Ask until one endpoint answers all of a request.

        Raises:
            NodeDown: None does for too long.
            Reverted: A contract refuses one of the calls; the first one's reason is told.
        """
        answers: list[Any] = []
        for start in range(0, len(calls), _CALLS_A_REQUEST):
            answers += await self._ask_some(calls[start : start + _CALLS_A_REQUEST])
        return answers

    async def _ask_some(self, calls: Sequence[Call]) -> list[Any]:
        backoff = Backoff(*_WAITS_S)
        said = ""
        for _ in range(_REFUSALS):
            try:
                async with asyncio.timeout(_ANSWERED_WITHIN_S):
                    return await self._node.ask(calls, list)
            except CallReverted as error:
                raise Reverted(_reason(error)) from None
            except Refused as error:
                said = error.said
            except TooMuch as error:
                said = str(error)
            except TimeoutError:
                said = f"no answer in {_ANSWERED_WITHIN_S} s"
                break
            await asyncio.sleep(backoff.next_s())
        msg = f"expected an endpoint to answer {calls[0][0]}, found {said}"
        raise NodeDown(msg)


def _read(read: Callable[[], T]) -> T:
    """Read answers of views.

    Raises:
        NodeDown: They are none, as of a node without the state, or of an address without the contract.
    """
    try:
        return read()
    except ValueError as error:
        msg = f"expected the Diamond's answer, found another: {error}"
        raise NodeDown(msg) from error


def _reason(error: CallReverted) -> str:
    return revert_reason(error.data) if error.data else error.said.removeprefix("execution reverted: ")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
