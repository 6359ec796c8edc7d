"""The chain as the executor sees it: its own time, the Diamond's views, simulations, and transactions on their way.

* ``ChainError``: the root; carries no URL, since that may hold a provider's key.
    * ``NodeDown``: no endpoint gave an answer that can be used.
    * ``Reverted``: a contract refused a call; its text is the contract's.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from models.errors import TidemarkError
from models.symmio.funding_plan import Search
from models.symmio.margin import available_for_liquidation
from streams.funder.diamond_calls import call_data, read_balances, read_numbers, read_quote, revert_reason
from streams.funder.node_questions import FEES, TIME, receipts_of
from streams.node.answers import (
    Receipt,
    each,
    read_bytes,
    read_code,
    read_number,
    read_quantity,
    read_time_s,
)
from streams.node.contracts import is_contract
from streams.node.endpoints import Patience
from streams.node.rpc import BadAnswer, CallReverted, Refused, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from models.symmio.funding_plan import ChainQuote
    from models.symmio.state import Balances
    from streams.funder.diamond_calls import PairSignature
    from streams.node.endpoints import Node
    from streams.node.rpc import Call

    _View = tuple[str, Sequence[str], Sequence[object]]

__all__ = ["PATIENCE", "Chain", "ChainError", "Head", "NodeDown", "Pair", "Reverted"]

# A failing endpoint is asked again after up to 0.2 s, 0.4 s … 2 s.
_WAITS_S = (0.2, 2.0)
PATIENCE = Patience(answer_s=5.0, down_s=_WAITS_S)
"""How long the executor waits for an endpoint: a window is minutes long, and a batch asks some ten times."""
# Time for two answers that do not come, and for a third that does: a node that fails for less is not noticed.
_ANSWERED_WITHIN_S = 3 * PATIENCE.answer_s
_GET_CODE = "eth_getCode"
# Backends of one endpoint differ by a block or two all the time. A chain that turned to a shorter branch is believed
# when nothing higher was seen for so long.
_OLDER_HEAD_BLOCKS = 5
_OLDER_HEAD_S = 30.0
# The same bytes twice are one transaction.
_SENDS = 2
_MUON_CONFIG: _View = ("getMuonConfig", (), ())
# Providers bound what one request may hold; a view of a quote answers 1 kB.
_CALLS_A_REQUEST = 100

T = TypeVar("T")


class ChainError(TidemarkError):
    """The chain did not do what was asked."""


class NodeDown(ChainError):
    """No endpoint answers, or none of them what was asked. Check ``rpc`` of the deployment."""


class Reverted(ChainError):
    """A contract refused a call.

    Args:
        msg: The contract's reason.
        label: Names the endpoint, whose state may be an old one.
    """

    def __init__(self, msg: str, label: str) -> None:
        super().__init__(msg)
        self.label = label


class Head(NamedTuple):
    """The newest block, and how many transactions the signer has in the chain up to it."""

    block: int
    nonce: int


class Pair(NamedTuple):
    """A pair of parties and some of its quotes, in the state that the next transaction would find.

    ``valid_s`` is for how long the contract takes a signature of the pair's uPnLs, in s.
    """

    nonces: tuple[int, int]
    liquidating: bool
    balances_a: Balances
    balances_b: Balances
    valid_s: int
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
        self._highest = -1
        self._advanced_s = 0.0

    async def has_code(self, address: str) -> bool:
        """Whether a contract is at the address; that none is, is not believed of one endpoint.

        Raises:
            NodeDown: No endpoint answers.
        """
        if await self._ask([(_GET_CODE, [address, "latest"])], lambda results: read_code(results[0])):
            return True
        try:
            return await is_contract(self._node, address)
        except RpcError as error:
            raise _down(_GET_CODE, _said(error)) from error

    async def pending_time_s(self) -> int:
        """The time that the next block would have, Unix s."""
        (block,) = await self._ask([("eth_getBlockByNumber", ["pending", False])], list)
        if block is not None:
            with suppress(BadAnswer):
                return read_time_s(block)
        return await self._ask([("eth_getBlockByNumber", ["latest", False])], lambda results: read_time_s(results[0]))

    async def times_s(self) -> list[int]:
        """The time that the next block would have by each endpoint whose head is not well below the others', Unix s.

        The clock of one may be wrong: what is for good once a time has passed is to have passed for all of them.

        Raises:
            NodeDown: No endpoint answers.
        """
        async with self._bounded("eth_getBlockByNumber"):
            found, label = await self._node.ask_elsewhere(*TIME, than=())
        told = {label: found}
        with suppress(RpcError, TimeoutError):
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                while True:
                    found, label = await self._node.ask_elsewhere(*TIME, than=tuple(told))
                    told[label] = found
        highest = max(block for block, _ in told.values())
        return [time_s for block, time_s in told.values() if block + _OLDER_HEAD_BLOCKS >= highest]

    async def slowest_time_s(self) -> int:
        """The time that the next block has by all endpoints at least, Unix s.

        Raises:
            NodeDown: No endpoint answers.
        """
        return min(await self.times_s())

    async def signature_valid_s(self) -> int:
        """How long the contract takes a signature for, in s."""
        try:
            return await self._views([_MUON_CONFIG], lambda answers: read_numbers(answers[0], 1)[0])
        except Reverted as error:
            msg = f"expected the Diamond at {self._diamond} to know getMuonConfig, found: {error}"
            raise ChainError(msg) from error

    async def quotes(self, quote_ids: Sequence[int]) -> dict[int, ChainQuote]:
        """Quotes as the next transaction would find them."""
        found: dict[int, ChainQuote] = {}
        for start in range(0, len(quote_ids), _CALLS_A_REQUEST):
            some = quote_ids[start : start + _CALLS_A_REQUEST]
            calls: list[_View] = [("getQuote", ("uint256",), (quote_id,)) for quote_id in some]
            found |= zip(some, await self._views(calls, lambda answers: list(map(read_quote, answers))), strict=True)
        return found

    async def unreadable(self, quote_ids: Sequence[int]) -> dict[int, str]:
        """Find the quotes whose view the Diamond refuses, each with its reason."""
        search = Search(quote_ids)
        while (group := search.group) is not None:
            try:
                await self.quotes(group)
            except Reverted as error:
                search.failed(str(error))
            else:
                search.passed()
        return dict(search.culprits)

    async def quotes_by_each(self, quote_ids: Sequence[int]) -> list[dict[int, ChainQuote]]:
        """Quotes as each endpoint in order has them, since one may have an old state."""
        calls: list[_View] = [("getQuote", ("uint256",), (quote_id,)) for quote_id in quote_ids]
        told: dict[str, dict[int, ChainQuote]] = {}
        while True:
            try:
                quotes, label = await self._node.ask_elsewhere(
                    self._calls_of(calls),
                    _decoded(lambda answers: dict(zip(quote_ids, map(read_quote, answers), strict=True))),
                    than=tuple(told),
                )
            except RpcError:
                return list(told.values())
            told[label] = quotes

    async def pair(self, party_a: str, party_b: str, quote_ids: Sequence[int]) -> Pair:
        """Read a pair of parties, and some of its quotes, as the next transaction would find them.

        Args:
            party_a: Address of the account.
            party_b: Address of the hedger.
            quote_ids: Which quotes.
        """

        def read(answers: Sequence[bytes]) -> Pair:
            nonce_a, nonce_b, stats, balances_a, balances_b, muon, *quotes = answers
            return Pair(
                nonces=(read_numbers(nonce_a, 1)[0], read_numbers(nonce_b, 1)[0]),
                liquidating=bool(read_numbers(stats, 1)[0]),
                balances_a=read_balances(balances_a),
                balances_b=read_balances(balances_b),
                valid_s=read_numbers(muon, 1)[0],
                quotes={quote_id: read_quote(quote) for quote_id, quote in zip(quote_ids, quotes, strict=True)},
            )

        return await self._views(
            [
                *_nonces_of(party_a, party_b),
                ("partyAStats", ("address",), (party_a,)),
                ("balanceInfoOfPartyA", ("address",), (party_a,)),
                ("balanceInfoOfPartyB", ("address", "address"), (party_b, party_a)),
                _MUON_CONFIG,
                *(("getQuote", ("uint256",), (quote_id,)) for quote_id in quote_ids),
            ],
            read,
        )

    async def nonces(self, party_a: str, party_b: str) -> tuple[int, int]:
        """The contract's own nonces of a pair."""
        return await self._views(
            _nonces_of(party_a, party_b),
            lambda answers: (read_numbers(answers[0], 1)[0], read_numbers(answers[1], 1)[0]),
        )

    async def simulate(self, sender: str, data: bytes) -> None:
        """Call the Diamond as ``sender`` would, in the state that the next transaction would find.

        Raises:
            Reverted: It would revert.
        """
        await self._ask([self._call_as(sender, data)], each(read_bytes))

    async def is_refused_by_all(self, sender: str, data: bytes) -> bool:
        """Find out whether the Diamond would refuse a call in every endpoint's state, since one may have an old one.

        Args:
            sender: Address that calls.
            data: The call.

        Returns:
            False where an endpoint in order would take it, or none answers.
        """
        refusing: list[str] = []
        while True:
            try:
                await self._node.ask_elsewhere([self._call_as(sender, data)], each(read_bytes), than=refusing)
            except CallReverted as error:
                refusing.append(error.label)
            except RpcError:
                return bool(refusing)
            else:
                return False

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        """Estimate the gas that a transaction would take in the state that the next one would find.

        Args:
            sender: Address that signs it.
            to: Address that it calls.
            data: The call.

        Raises:
            Reverted: It would revert.
        """
        call: Call = ("eth_estimateGas", [{"from": sender, "to": to, "data": _hex(data)}, "pending"])
        return await self._ask([call], lambda results: read_quantity(results[0]))

    async def number_of(self, address: str, view: _View) -> int | None:
        """The number that a view of any contract answers; None where it refuses to.

        Args:
            address: The contract's.
            view: Its name, the kinds of its arguments, and these.

        Raises:
            NodeDown: No endpoint answers.
        """
        call: Call = ("eth_call", [{"to": address, "data": _hex(call_data(*view))}, "latest"])
        try:
            return await self._ask([call], _decoded(lambda answers: read_numbers(answers[0], 1)[0]))
        except Reverted:
            return None

    async def balance_wei(self, address: str) -> int:
        """What an address has of the chain's coin, in wei, by the newest block."""
        return await self._ask([("eth_getBalance", [address, "latest"])], lambda results: read_quantity(results[0]))

    async def fees(self) -> tuple[int, int]:
        """The base fee of the newest block, and the tip that is suggested beyond it, in wei of gas.

        Two endpoints are asked where there are two, and the lower fees count: one that names too much by mistake or on
        purpose costs nothing, and what is too low for the chain is replaced.
        """
        async with self._bounded("eth_gasPrice"):
            fees, label = await self._node.ask_elsewhere(*FEES, than=())
        try:
            async with asyncio.timeout(PATIENCE.answer_s):
                others, _ = await self._node.ask_elsewhere(*FEES, than=(label,))
        except (RpcError, TimeoutError):
            return fees
        return min(fees[0], others[0]), min(fees[1], others[1])

    async def final_time_s(self, depth: int) -> int:
        """The time of the newest block that is ``depth`` blocks deep, Unix s; 0 where the chain is shorter.

        Args:
            depth: After how many blocks a block is taken as final.
        """
        newest = await self._ask([("eth_blockNumber", [])], lambda results: read_number(results[0]))
        if newest < depth:
            return 0
        block: Call = ("eth_getBlockByNumber", [hex(newest - depth), False])
        return await self._ask([block], lambda results: read_time_s(results[0]))

    async def head(self, signer: str) -> Head:
        """The newest block, and the signer's nonce in it.

        A head well below one that was seen within the last half minute is that of an endpoint or a backend that is
        behind: its nonce would make what is mined look as if it were not.
        """

        def read(results: list[Any]) -> Head:
            head = Head(read_number(results[0]), read_number(results[1]))
            now_s = asyncio.get_running_loop().time()
            if head.block > self._highest:
                self._highest, self._advanced_s = head.block, now_s
            elif head.block + _OLDER_HEAD_BLOCKS < self._highest and now_s - self._advanced_s < _OLDER_HEAD_S:
                msg = f"expected a head near {self._highest}, found {head.block}"
                raise BadAnswer(msg)
            return head

        return await self._ask([("eth_blockNumber", []), ("eth_getTransactionCount", [signer, "latest"])], read)

    async def receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        """Receipts of those of the transactions that are in the chain.

        Where an endpoint does not say whether a transaction succeeded, the others are asked.
        """
        found: dict[str, Receipt] = {}
        for start in range(0, len(hashes), _CALLS_A_REQUEST):
            some = hashes[start : start + _CALLS_A_REQUEST]
            found |= await self._ask(*receipts_of(some))
        asked: list[str] = []
        while unclear := [one for one, receipt in found.items() if receipt.succeeded is None]:
            try:
                told, label = await self._node.ask_elsewhere(*receipts_of(unclear), than=asked)
            except RpcError:
                break
            found |= {one: receipt for one, receipt in told.items() if receipt.succeeded is not None}
            asked.append(label)
        return found

    async def receipts_anywhere(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        """Receipts of those of the transactions of which any endpoint in order has one: it may be missing at others."""
        found: dict[str, Receipt] = {}
        asked: list[str] = []
        with suppress(RpcError, TimeoutError):
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                while True:
                    told, label = await self._node.ask_elsewhere(*receipts_of(hashes), than=asked)
                    found |= {one: told[one] for one in told if one not in found or found[one].succeeded is None}
                    asked.append(label)
        return found

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

    def _call_as(self, sender: str, data: bytes) -> Call:
        return "eth_call", [{"from": sender, "to": self._diamond, "data": _hex(data)}, "pending"]

    async def _views(self, views: Sequence[_View], read: Callable[[Sequence[bytes]], T]) -> T:
        """Ask views of the Diamond, all of one endpoint.

        An endpoint's old state may be of before the contract knew a view: where one refuses, the next one is asked.

        Raises:
            NodeDown: No endpoint answers as the Diamond does: none has the state, or another contract is there.
            Reverted: The contract refuses one of the calls in the state of every endpoint in order.
        """
        refusals: dict[str, Reverted] = {}
        while True:
            try:
                return await self._ask(self._calls_of(views), _decoded(read), than=tuple(refusals))
            except Reverted as error:
                refusals[error.label] = error
            except NodeDown:
                for refusal in refusals.values():
                    raise refusal from None
                raise

    def _calls_of(self, views: Sequence[_View]) -> list[Call]:
        return [
            ("eth_call", [{"to": self._diamond, "data": _hex(call_data(name, kinds, values))}, "pending"])
            for name, kinds, values in views
        ]

    async def _ask(self, calls: Sequence[Call], read: Callable[[list[Any]], T], than: Collection[str] = ()) -> T:
        """Ask until one endpoint, but none of those in ``than``, answers all of a request.

        Raises:
            NodeDown: None does for too long.
            Reverted: A contract refuses one of the calls; the first one's reason is told.
        """
        async with self._bounded(calls[0][0]):
            answer, _ = await self._node.ask_elsewhere(calls, read, than=than)
            return answer

    @asynccontextmanager
    async def _bounded(self, method: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                yield
        except CallReverted as error:
            raise Reverted(_reason(error), error.label) from None
        except RpcError as error:
            raise _down(method, _said(error)) from error
        except TimeoutError as error:
            raise _down(method, f"no answer in {_ANSWERED_WITHIN_S} s") from error


def _decoded(read: Callable[[Sequence[bytes]], T]) -> Callable[[list[Any]], T]:
    def decoded(results: list[Any]) -> T:
        answers = [read_bytes(result) for result in results]
        try:
            return read(answers)
        except ValueError as error:
            msg = f"expected the Diamond's answer, found another: {error}"
            raise BadAnswer(msg) from error

    return decoded


def _nonces_of(party_a: str, party_b: str) -> list[_View]:
    return [
        ("nonceOfPartyA", ("address",), (party_a,)),
        ("nonceOfPartyB", ("address", "address"), (party_b, party_a)),
    ]


def _down(method: str, said: str) -> NodeDown:
    return NodeDown(f"expected an endpoint to answer {method}, found {said}")


def _said(error: RpcError) -> str:
    return error.said if isinstance(error, Refused) else str(error)


def _reason(error: CallReverted) -> str:
    return revert_reason(error.data) if error.data else error.said.removeprefix("execution reverted: ")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
