"""What a recorded Diamond's views answered: balances and quotes from states.json.gz, the rest from its raw logs.

Written apart from the code under test: it shares no ABI table and no fold with it.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from tests.support.chain import RECORDING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ZERO_ADDRESS = "0x" + "0" * 40
LOCKED = "(uint256,uint256,uint256,uint256)"
QUOTE = (
    f"(uint256,address[],uint256,uint8,uint8,uint256,uint256,uint256,uint256,uint256,uint256,{LOCKED},{LOCKED},uint256,"
    "address,address,uint8,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address)"
)
SYMBOL = "(uint256,string,bool,uint256,uint256,uint256,uint256,uint256,uint256)"
SEND_QUOTE = ["address", "uint256", "address[]", "uint256", "uint8", "uint8", *["uint256"] * 9]
CLOSE = ["address", "address", "uint256", "uint256", "uint256", "uint8", "uint256", "uint8", "uint256"]
OPEN, PENDING = (4, 5, 6), (0, 1, 2)


def topic(signature: str) -> str:
    return "0x" + keccak(signature.encode()).hex()


class RecordedViews:
    """Answers ``eth_call`` and ``eth_getStorageAt`` at any block of a recording for which a snapshot was taken."""

    def __init__(self, directory: Path = RECORDING) -> None:
        states = json_of(directory / "states.json.gz")
        self.snapshots = {snapshot["block"]: snapshot for snapshot in states["snaps"]}
        self._first = min(int(quote_id) for snapshot in states["snaps"] for quote_id in snapshot["Q"])
        self._logs = json_of(directory / "logs.json.gz")["logs"]

    def call(self, to: str, data: bytes, block: int) -> bytes:
        """The contract's answer to a call of one of its views after ``block``."""
        del to
        signature, results, view = VIEWS[data[:4]]
        types = signature[signature.index("(") + 1 : -1]
        return encode(results, view(self, block, *decode(types.split(",") if types else [], data[4:])))

    def storage(self, address: str, slot: int, block: int) -> int:
        """partyAReimbursement is a mapping at member 14 of AccountStorage."""
        del address
        base = int.from_bytes(keccak(b"diamond.standard.storage.account")) + 14
        for account in self.accounts(block):
            if int.from_bytes(keccak(encode(["address", "uint256"], [account, base]))) == slot:
                return self.liquidation(block, account)[1]
        return 0

    def quotes(self, block: int) -> dict[int, list[Any]]:
        """Quotes of the snapshot, and those sent lately, which the recorder had not noted yet: still pending then."""
        quotes = {int(quote_id): quote for quote_id, quote in self.snapshots[block]["Q"].items()}
        for log in self.logs_until(block, f"SendQuote({','.join(SEND_QUOTE)})"):
            party_a, quote_id, _, symbol, side, order, _, _, quantity, *locked = decode(
                SEND_QUOTE, bytes.fromhex(log["data"][2:])
            )[:13]
            if quote_id not in quotes and quote_id >= self._first:
                quotes[quote_id] = [
                    0, quantity, 0, 0, 0, locked, ZERO_ADDRESS, party_a, 0, 0, 0, order, symbol, side, locked,
                ]  # fmt: skip
        return quotes

    def accounts(self, block: int) -> dict[str, list[int]]:
        return {account.lower(): values for account, values in self.snapshots[block]["A"].items()}

    def logs_until(self, block: int, signature: str) -> list[dict[str, Any]]:
        wanted = topic(signature)
        return [log for log in self._logs if log["topics"][0] == wanted and int(log["blockNumber"], 16) <= block]

    def liquidation(self, block: int, account: str) -> tuple[bool, int]:
        """Whether the account is under liquidation, and what it is to be reimbursed."""
        is_liquidated, reimbursement = False, 0
        begin = topic("LiquidatePartyA(address,address,uint256,int256,int256,bytes)")
        deferred = topic("DeferredLiquidatePartyA(address,address,uint256,int256,int256,bytes,uint256,uint256,uint256)")
        end, change = topic("FullyLiquidatedPartyA(address,bytes)"), topic("BalanceChangePartyA(address,uint256,uint8)")
        for log in self._logs:
            if int(log["blockNumber"], 16) > block:
                break
            data = bytes.fromhex(log["data"][2:])
            match log["topics"][0]:
                case t if t in (begin, deferred) and decode(["address", "address"], data)[1] == account:
                    is_liquidated = True
                    if t == deferred:
                        words = decode(
                            ["address", "address", "uint256", "int256", "int256", "bytes", *["uint256"] * 3], data
                        )
                        reimbursement += words[8] - words[2] if words[8] > words[2] else words[2] - words[8]
                case t if t == end and decode(["address"], data[:32])[0] == account:
                    is_liquidated, reimbursement = False, 0
                case t if t == change and is_liquidated and "0x" + log["topics"][1][-40:] == account:
                    amount, kind = decode(["uint256", "uint8"], data)
                    reimbursement += amount if kind == 2 else 0
                case _:
                    pass
        return is_liquidated, reimbursement

    def quote(self, block: int, quote_id: int) -> tuple[Any, ...]:
        held = self.quotes(block).get(quote_id)
        if held is None:
            zeros = (0, 0, 0, 0)
            return (quote_id, [], *[0] * 9, zeros, zeros, 0, ZERO_ADDRESS, ZERO_ADDRESS, *[0] * 10, ZERO_ADDRESS)
        (status, quantity, closed, opened, initial_opened, locked, party_b, party_a, avg_closed, to_close,
         requested_close, order_type, symbol, position_type, initial_locked) = held  # fmt: skip
        sent = self._sent(block, quote_id)
        whitelist, requested_open, market, fee, deadline = ([], 0, 0, 0, 0) if sent is None else sent
        return (
            quote_id, whitelist, symbol, position_type, order_type, opened, initial_opened, requested_open, market,
            quantity, closed, tuple(initial_locked), tuple(locked), 0, party_a, party_b, status, avg_closed,
            requested_close, to_close, self._parent(block, quote_id), 0, 0, 0, deadline, fee, ZERO_ADDRESS,
        )  # fmt: skip

    def _sent(self, block: int, quote_id: int) -> tuple[list[str], int, int, int, int] | None:
        found = None
        for log in self.logs_until(block, f"SendQuote({','.join(SEND_QUOTE)})"):
            words = decode(SEND_QUOTE, bytes.fromhex(log["data"][2:]))
            if words[1] == quote_id:
                found = (list(words[2]), words[6], words[7], words[13], words[14])
        if found is not None:
            for log in self.logs_until(block, f"RequestToClosePosition({','.join(CLOSE)})"):
                words = decode(CLOSE, bytes.fromhex(log["data"][2:]))
                if words[2] == quote_id:
                    found = (*found[:4], words[6])
        return found

    def _parent(self, block: int, quote_id: int) -> int:
        opened = self.logs_until(block, "OpenPosition(uint256,address,address,uint256,uint256)")
        by_tx = {log["transactionHash"]: int(log["data"][2:66], 16) for log in opened}
        for log in self.logs_until(block, f"SendQuote({','.join(SEND_QUOTE)})"):
            if int(log["data"][66:130], 16) == quote_id:
                return by_tx.get(log["transactionHash"], 0)
        return 0


def json_of(path: Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(gzip.decompress(path.read_bytes()))


def _stats(views: RecordedViews, block: int, account: str) -> list[Any]:
    open_quotes = [quote for quote in views.quotes(block).values() if quote[7] == account and quote[0] in OPEN]
    return [views.liquidation(block, account)[0], *[0] * 9, len(open_quotes), 0, 0, 0]


def _balances(views: RecordedViews, block: int, account: str) -> list[int]:
    return views.accounts(block).get(account, [0] * 9)


def _party_b_balances(views: RecordedViews, block: int, party_b: str, account: str) -> list[int]:
    return list(views.snapshots[block]["B"].get(party_b + account, [0] * 9))


def _ids(views: RecordedViews, block: int, account: str, statuses: tuple[int, ...]) -> list[int]:
    quotes = views.quotes(block)
    return [
        quote_id for quote_id in sorted(quotes) if quotes[quote_id][7] == account and quotes[quote_id][0] in statuses
    ]


def _positions(views: RecordedViews, block: int, account: str, start: int, size: int) -> list[Any]:
    return [[views.quote(block, quote_id) for quote_id in _ids(views, block, account, OPEN)[start : start + size]]]


def _symbols(views: RecordedViews, block: int, start: int, size: int) -> list[Any]:
    signature = "AddSymbol(uint256,string,uint256,uint256,uint256,uint256,uint256,uint256)"
    added = [
        decode(["uint256", "string", *["uint256"] * 6], bytes.fromhex(log["data"][2:]))
        for log in views.logs_until(block, signature)
    ]
    return [[(words[0], words[1], True, *words[2:]) for words in added][start : start + size]]


def _view(signature: str, results: list[str], view: Callable[..., list[Any]]) -> tuple[bytes, Any]:
    return keccak(signature.encode())[:4], (signature, results, view)


VIEWS = dict(
    [
        _view("getNextQuoteId()", ["uint256"], lambda views, block: [max(views.quotes(block), default=0)]),
        _view("getQuote(uint256)", [QUOTE], lambda views, block, quote_id: [views.quote(block, quote_id)]),
        _view("getPartyAOpenPositions(address,uint256,uint256)", [f"{QUOTE}[]"], _positions),
        _view(
            "getPartyAPendingQuotes(address)",
            ["uint256[]"],
            lambda views, block, account: [_ids(views, block, account, PENDING)],
        ),
        _view("partyAStats(address)", ["bool", *["uint256"] * 13], _stats),
        _view("balanceInfoOfPartyA(address)", ["uint256"] * 9, _balances),
        _view("balanceInfoOfPartyB(address,address)", ["uint256"] * 9, _party_b_balances),
        _view("getSymbols(uint256,uint256)", [f"{SYMBOL}[]"], _symbols),
    ]
)
