"""The chain as the executor sees it: the Diamond's views, simulations, and transactions on their way.

One endpoint answers, unless something depends on it for good (``agreed_chain.py``).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from models.symmio.funding_plan import Search
from models.symmio.margin import available_for_liquidation
from streams.funder.agreed_chain import AgreedChain, Head, Latest
from streams.funder.agreement import ENOUGH, agreed, ample, highest_agreed, is_agreed
from streams.funder.chain_errors import (
    PATIENCE,
    ChainError,
    Contradicted,
    NodeDown,
    Reverted,
    answered_in_time,
    node_down,
)
from streams.funder.diamond_calls import call_data, read_balances, read_kind, read_numbers, read_quote, symbol_view
from streams.funder.node_questions import FEES, PENDING, read_next_s, receipts_of
from streams.node.answers import Receipt, read_bytes, read_code, read_number, read_quantity
from streams.node.contracts import is_contract
from streams.node.rpc import BadAnswer, CallReverted, Refused, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from models.symmio.funding_plan import ChainQuote
    from models.symmio.state import Balances
    from streams.funder.diamond_calls import PairSignature
    from streams.node.endpoints import Node
    from streams.node.rpc import Call
    from streams.process.clock import Clock

    _View = tuple[str, Sequence[str], Sequence[object]]

_GET_CODE = "eth_getCode"
# The same bytes twice are one transaction.
_SENDS = 2
# One that took a transaction tells the others of it: those that hang are not waited for.
_OTHERS_S = 0.5
_MUON_CONFIG: _View = ("getMuonConfig", (), ())
# Providers bound what one request may hold; a view of a quote answers 1 kB.
_CALLS_A_REQUEST = 100

T = TypeVar("T")


class Pair(NamedTuple):
    """A pair of parties and some of its quotes, in the state that the next transaction would find.

    ``valid_s`` is for how long the contract takes a signature of the pair's uPnLs, in s. ``quotes`` are those of which
    endpoints do not differ.
    """

    nonces: tuple[int, int]
    liquidating: bool
    balances_a: Balances
    balances_b: Balances
    valid_s: int
    quotes: Mapping[int, ChainQuote]

    def last_s(self, signature: PairSignature) -> int:
        """Until when the contract takes a signature of the pair, Unix s."""
        return signature.timestamp_s + self.valid_s

    def available(self, signature: PairSignature) -> tuple[int, int]:
        """What party A and party B have left before liquidation, at the signature's uPnLs."""
        return (
            available_for_liquidation(self.balances_a, signature.upnl_party_a),
            available_for_liquidation(self.balances_b, signature.upnl_party_b),
        )


class Moment(NamedTuple):
    """The chain's time, Unix s, and the markets that do not have the epochs any more at which they are charged.

    ``changed`` are those of which two endpoints say so, ``unsure`` those that endpoints differ about.
    """

    now_s: int
    changed: frozenset[int] = frozenset()
    unsure: frozenset[int] = frozenset()


class Chain(AgreedChain):
    """One deployment's contracts and chain, asked through its node.

    Args:
        node: Gives up on no endpoint; what takes it too long is ``NodeDown`` here.
        diamond: The Diamond's address.
        clock: Ours.
    """

    def __init__(self, node: Node, diamond: str, clock: Clock) -> None:
        super().__init__(node, clock)
        self._diamond = diamond

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
            raise node_down(_GET_CODE, error) from error

    async def is_deployed(self, address: str) -> bool | None:
        """Find out whether a contract is at an address now, by two endpoints, or by the only one that is configured.

        None where no two of them say the same.

        Args:
            address: The address. ``has_code`` asks for as long as it takes to be sure.

        Raises:
            NodeDown: No endpoint answers.
        """
        said = await self._of_each([(_GET_CODE, [address, "latest"])], lambda _, results: read_code(results[0]))
        if len(said) < min(ENOUGH, self._node.endpoints):
            return None
        return agreed(said)

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
            calls = list(map(_view_of, some))
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
        """Quotes as each endpoint has them that shows them all, since one may have an old state.

        Raises:
            NodeDown: No endpoint answers.
            Reverted: The contract does not show one of them, in the state of every endpoint.
        """

        def question(
            some: Sequence[int],
        ) -> tuple[list[Call], Callable[[Latest, list[Any]], list[tuple[int, ChainQuote]]]]:
            read = _decoded(lambda answers: list(zip(some, map(read_quote, answers), strict=True)))
            return self._calls_of([_view_of(one) for one in some]), lambda _, results: read(results)

        return [
            dict(pair for part in parts for pair in part) for parts in await self._parts_of_each(quote_ids, question)
        ]

    async def moment(self, kinds: Mapping[int, tuple[int, int]]) -> Moment:
        """Find the time that the next block would have, and whether markets have the epochs then that are charged.

        Args:
            kinds: Funding epoch and window, in s, by the market's id.

        Raises:
            NodeDown: No endpoint answers.
            Reverted: The contract does not show the markets.
        """
        symbols = sorted(kinds)
        read_kinds = _decoded(
            lambda answers: {one: read_kind(said, one) for one, said in zip(symbols, answers, strict=True)}
        )

        def read(latest: Latest, results: list[Any]) -> tuple[int, dict[int, tuple[int, int]]]:
            pending, *views = results
            return read_next_s(latest.time_s, pending), read_kinds(views)

        by_label = await self._by_label([PENDING, *self._calls_of(list(map(symbol_view, symbols)))], read)
        told = list(by_label.values())
        changed = {one for one in symbols if self.agree(found[one] != kinds[one] for _, found in told)}
        same = {one for one in symbols if is_agreed(found[one] == kinds[one] for _, found in told)}
        now_s = self._clocks.times({label: time_s for label, (time_s, _) in by_label.items()}, self.enough).agreed_s
        return Moment(now_s, frozenset(changed), frozenset({*symbols} - changed - same))

    async def pair(self, party_a: str, party_b: str, quote_ids: Sequence[int]) -> Pair:
        """Read a pair of parties, and some of its quotes, as the next transaction would find them.

        What is charged is made of it, so all of it is what two endpoints say, or all that answer.

        Args:
            party_a: Address of the account.
            party_b: Address of the hedger.
            quote_ids: Which quotes; those that endpoints differ about are left out.

        Raises:
            NodeDown: No endpoint answers.
            Contradicted: No two endpoints say the same of the parties.
            Reverted: The contract does not show them, or one of the quotes.
        """

        def read(answers: Sequence[bytes]) -> Pair:
            nonce_a, nonce_b, stats, balances_a, balances_b, muon = answers
            return Pair(
                nonces=(read_numbers(nonce_a, 1)[0], read_numbers(nonce_b, 1)[0]),
                liquidating=bool(read_numbers(stats, 1)[0]),
                balances_a=read_balances(balances_a),
                balances_b=read_balances(balances_b),
                valid_s=read_numbers(muon, 1)[0],
                quotes={},
            )

        views = [
            *_nonces_of(party_a, party_b),
            ("partyAStats", ("address",), (party_a,)),
            ("balanceInfoOfPartyA", ("address",), (party_a,)),
            ("balanceInfoOfPartyB", ("address", "address"), (party_b, party_a)),
            _MUON_CONFIG,
        ]
        read_pair = _decoded(read)
        pair = agreed(await self._of_each(self._calls_of(views), lambda _, results: read_pair(results)))
        if pair is None:
            msg = f"expected two endpoints to say the same of account {party_a}, found that they differ"
            raise Contradicted(msg)
        told = await self.quotes_by_each(quote_ids)
        quotes = {quote_id: agreed([one[quote_id] for one in told]) for quote_id in quote_ids}
        return pair._replace(quotes={quote_id: one for quote_id, one in quotes.items() if one is not None})

    async def nonces(self, party_a: str, party_b: str) -> tuple[int, int]:
        """The contract's own nonces of a pair, as two endpoints have them.

        Raises:
            NodeDown: No endpoint answers.
            Contradicted: No two say the same.
            Reverted: The contract refuses the view.
        """
        read = _decoded(_read_nonces)
        views = self._calls_of(_nonces_of(party_a, party_b))
        found = agreed(await self._of_each(views, lambda _, results: read(results)))
        if found is None:
            msg = f"expected two endpoints to say the same of the nonces of account {party_a}, found that they differ"
            raise Contradicted(msg)
        return found

    async def has_moved(self, party_a: str, party_b: str, nonces: tuple[int, int], since_block: int) -> bool:
        """Find out whether somebody acted for a pair, unless two endpoints say that nobody did.

        Args:
            party_a: Address of the account.
            party_b: Address of the hedger.
            nonces: The contract's own nonces of the pair before.
            since_block: Who has not come to this block has no say: it may be what it does not know yet that acted.

        Raises:
            NodeDown: No endpoint answers.
            Reverted: The contract refuses the view, in the state of every endpoint.
        """
        read = _decoded(_read_nonces)
        told = await self._of_each(
            self._calls_of(_nonces_of(party_a, party_b)), lambda latest, results: (latest.block, read(results))
        )
        return not self.agree(found == nonces for block, found in told if block >= since_block)

    async def refusal(self, sender: str, to: str, data: bytes) -> str | None:
        """Find out why a contract would refuse a call in the state that the next transaction would find.

        None where it would take it. Where two endpoints that answer differ, it is taken: one may have an old state.

        Args:
            sender: Address that calls.
            to: Address that it calls.
            data: The call.

        Raises:
            NodeDown: No endpoint answers.
        """
        try:
            await self._of_each([_call_as(sender, to, data)], lambda _, results: read_bytes(results[0]))
        except Reverted as error:
            return str(error)
        return None

    async def is_refused(self, sender: str, to: str, data: bytes) -> bool:
        """Find out whether a contract would refuse a call, by as many endpoints as can say what is for good.

        Args:
            sender: Address that calls.
            to: Address that it calls.
            data: The call.

        Raises:
            NodeDown: No endpoint answers.
        """
        try:
            said = await self._said_by_each([_call_as(sender, to, data)], lambda _, results: read_bytes(results[0]))
        except Reverted:
            return self.enough == 1
        return self.agree(isinstance(one, CallReverted) for one in said.values())

    async def gas_of(self, sender: str, to: str, data: bytes, most: int) -> int:
        """Find the gas that a transaction would take in the state that the next one would find.

        Args:
            sender: Address that signs it.
            to: Address that it calls.
            data: The call.
            most: What is above that counts of two endpoints only where both say so: no transaction has so much.

        Raises:
            NodeDown: No endpoint answers.
            Reverted: It would revert by what two endpoints say, or all that answer.
        """
        call: Call = ("eth_estimateGas", [{"from": sender, "to": to, "data": _hex(data)}, "pending"])
        told = await self._of_each([call], lambda _, results: read_quantity(results[0]))
        if len(told) == ENOUGH:
            told = [one for one in told if one <= most] or told
        return ample(told)

    async def number_of(self, address: str, view: _View) -> int | None:
        """The number that a view of any contract answers; None where it refuses to, and 0 where no contract is there.

        That is the higher of those that two endpoints name, or of two the higher one.

        Args:
            address: The contract's.
            view: Its name, the kinds of its arguments, and these.

        Raises:
            NodeDown: No endpoint answers.
        """
        call: Call = ("eth_call", [{"to": address, "data": _hex(call_data(*view))}, "latest"])
        # Whatever is called where no contract is answers nothing at all.
        read = _decoded(lambda answers: read_numbers(answers[0], 1)[0] if answers[0] else 0)
        try:
            return ample(await self._of_each([call], lambda _, results: read(results)))
        except Reverted:
            return None

    async def balance_wei(self, address: str) -> int:
        """What an address has of the chain's coin, in wei, by the newest block."""
        return await self._ask([("eth_getBalance", [address, "latest"])], lambda results: read_quantity(results[0]))

    async def fees(self) -> tuple[int, int]:
        """The base fee of the newest block, and the tip that is suggested beyond it, in wei of gas.

        The higher fees that two endpoints name count, and of two the lower ones: one that names too much by mistake or
        on purpose costs nothing, and what is too low for the chain is replaced.
        """
        told = await self._of_each(FEES[0], lambda _, results: FEES[1](results))
        return highest_agreed([base_wei for base_wei, _ in told]), highest_agreed([tip_wei for _, tip_wei in told])

    async def head(self, signer: str) -> Head:
        """The newest block, and the signer's nonce in it.

        A head well below one that is known is that of an endpoint or a backend that is behind: its nonce would make
        what is mined look as if it were not.
        """

        def read(results: list[Any]) -> Head:
            head = Head(read_number(results[0]), read_number(results[1]))
            if self.is_old(head.block):
                msg = f"expected a head near the newest one, found {head.block}"
                raise BadAnswer(msg)
            if self._node.endpoints == 1:
                self.note_head(head.block)
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
        with suppress(RpcError, TimeoutError):
            async with asyncio.timeout(PATIENCE.answer_s):
                while unclear := [one for one, receipt in found.items() if receipt.succeeded is None]:
                    told, label = await self._node.ask_elsewhere(*receipts_of(unclear), than=asked)
                    found |= {one: receipt for one, receipt in told.items() if receipt.succeeded is not None}
                    asked.append(label)
        return found

    async def is_known(self, hashes: Sequence[str]) -> bool:
        """Whether any endpoint that answers has one of some transactions, in its pool or in a block."""
        calls: list[Call] = [("eth_getTransactionByHash", [one]) for one in hashes]
        return any(await self._of_each(calls, lambda _, results: any(one is not None for one in results)))

    async def send(self, raw: str) -> str | None:
        """Hand a signed transaction to every endpoint; what it comes to is seen in receipts.

        Returns:
            What the last one to refuse said, None where one took it or has it already.
        """
        failures = await self._node.tell_each(("eth_sendRawTransaction", [raw]), _SENDS, others_s=_OTHERS_S)
        refusals = [one.said for one in failures if isinstance(one, Refused)]
        if None in failures or any("already" in said.lower() for said in refusals):
            return None
        return refusals[-1] if refusals else str(failures[-1])

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
        async with answered_in_time(calls[0][0]):
            answer, _ = await self._node.ask_elsewhere(calls, read, than=than)
            return answer


def _decoded(read: Callable[[Sequence[bytes]], T]) -> Callable[[list[Any]], T]:
    def decoded(results: list[Any]) -> T:
        answers = [read_bytes(result) for result in results]
        try:
            return read(answers)
        except ValueError as error:
            msg = f"expected the Diamond's answer, found another: {error}"
            raise BadAnswer(msg) from error

    return decoded


def _call_as(sender: str, to: str, data: bytes) -> Call:
    return "eth_call", [{"from": sender, "to": to, "data": _hex(data)}, "pending"]


def _view_of(quote_id: int) -> _View:
    return "getQuote", ("uint256",), (quote_id,)


def _nonces_of(party_a: str, party_b: str) -> list[_View]:
    return [
        ("nonceOfPartyA", ("address",), (party_a,)),
        ("nonceOfPartyB", ("address", "address"), (party_b, party_a)),
    ]


def _read_nonces(answers: Sequence[bytes]) -> tuple[int, int]:
    return read_numbers(answers[0], 1)[0], read_numbers(answers[1], 1)[0]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
