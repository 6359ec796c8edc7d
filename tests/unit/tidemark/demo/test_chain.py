"""The simulated chain: its logs, its views and its reorganisations agree with one another."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from tidemark.demo import views
from tidemark.demo.chain import FINALITY_DEPTH, Chain
from tidemark.demo.ledger import Past
from tidemark.demo.market import INSTRUMENTS, Market
from tidemark.demo.multi_account import selector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.demo.chain import Block
    from tidemark.demo.events import Log

_GENESIS_S = 1_795_000_000
_LONG = 2_500
_NINE = ["uint256"] * 9


def _chain(blocks: int, *, seed: int = 1, forks: bool = False) -> Chain:
    chain = Chain(seed, _GENESIS_S, Market(seed))
    chain.grow_to(blocks, forks=forks)
    return chain


@pytest.fixture(scope="module")
def grown() -> Chain:
    return _chain(_LONG)


def _view(past: Past, to: str, signature: str, results: list[str], *values: object) -> tuple[Any, ...]:
    kinds = [kind for kind in signature.partition("(")[2].removesuffix(")").split(",") if kind]
    return decode(results, views.call(past, (), to, selector(signature) + encode(kinds, values)))


def _blocks(chain: Chain) -> Iterator[Block]:
    for number in range(chain.head.number + 1):
        block = chain.block(number)
        assert block is not None
        yield block


def _logs(chain: Chain, *, until: int) -> Iterator[Log]:
    for block in _blocks(chain):
        if block.number <= until:
            for transaction in block.transactions:
                yield from transaction


def _everyone(chain: Chain) -> list[str]:
    return list(chain.ledger.party_as)


@pytest.mark.parametrize("until", [40, 800, 1_703, _LONG])
def test_balance_changes_add_up_to_what_is_allocated(grown: Chain, until: int) -> None:
    party_a: Counter[str] = Counter()
    party_b: Counter[tuple[str, str]] = Counter()
    flagged: dict[str, int] = {}
    for log in _logs(grown, until=until):
        topics = [f"0x{topic[-40:]}" for topic in log.topics()[1:]]
        match log.event.name:
            case "LiquidatePartyA":
                account = decode(["address", "address"], bytes.fromhex(log.data()[2:]))[1]
                flagged.setdefault(account, 0)
            case "FullyLiquidatedPartyA":
                account = decode(["address"], bytes.fromhex(log.data()[2:]))[0]
                party_a[account] += flagged.pop(account, 0)
            case "BalanceChangePartyA":
                amount, kind = decode(["uint256", "uint8"], bytes.fromhex(log.data()[2:]))
                if topics[0] in flagged and kind == 2:
                    flagged[topics[0]] += amount
                else:
                    party_a[topics[0]] += amount if kind % 2 == 0 else -amount
            case "BalanceChangePartyB":
                amount, kind = decode(["uint256", "uint8"], bytes.fromhex(log.data()[2:]))
                party_b[topics[0], topics[1]] += amount if kind % 2 == 0 else -amount
            case _:
                pass
    past, diamond = Past(grown.ledger, until), grown.contract.address

    assert {account: party_a[account] for account in _everyone(grown)} == {
        account: _view(past, diamond, "balanceInfoOfPartyA(address)", _NINE, account)[0] for account in _everyone(grown)
    }
    assert {pair: party_b[pair] for pair in grown.ledger.pairs} == {
        pair: _view(past, diamond, "balanceInfoOfPartyB(address,address)", _NINE, *pair)[0]
        for pair in grown.ledger.pairs
    }


@pytest.mark.parametrize("until", [300, 1_501, _LONG])
def test_locked_and_pending_sums_are_those_of_the_quotes(grown: Chain, until: int) -> None:
    past, diamond = Past(grown.ledger, until), grown.contract.address
    call = partial(_view, past, diamond)
    for account in _everyone(grown):
        ids = call("quoteIdsOf(address,uint256,uint256)", ["uint256[]"], account, 0, 10_000)[0]
        quotes = [call("getQuote(uint256)", [views.QUOTE], quote_id)[0] for quote_id in ids]
        by_status = {quote[0]: (quote[16], quote[12]) for quote in quotes}
        pending = [locked for status, locked in by_status.values() if status in (0, 1, 2)]
        opened = [locked for status, locked in by_status.values() if status in (4, 5, 6)]
        sums = call("balanceInfoOfPartyA(address)", _NINE, account)
        if not call("isPartyALiquidated(address)", ["bool"], account)[0]:
            assert tuple(map(sum, zip(*opened, strict=True))) or (0,) * 4 == sums[1:5]
            assert tuple(map(sum, zip(*pending, strict=True))) or (0,) * 4 == sums[5:9]
        stats = call("partyAStats(address)", ["bool", *["uint256"] * 13], account)
        assert (*sums, len(opened), len(pending), len(ids)) == (*stats[1:12], stats[13])
        assert {quote_id for quote_id, (status, _) in by_status.items() if status in (0, 1, 2)} == set(
            call("getPartyAPendingQuotes(address)", ["uint256[]"], account)[0]
        )
        positions = call("getPartyAOpenPositions(address,uint256,uint256)", [f"{views.QUOTE}[]"], account, 0, 100)[0]
        assert {quote_id for quote_id, (status, _) in by_status.items() if status in (4, 5, 6)} == {
            quote[0] for quote in positions
        }


def test_nothing_is_ever_below_zero(grown: Chain) -> None:
    parties = [grown.ledger.party_as[account] for account in grown.ledger.party_as]
    pairs = [grown.ledger.pairs[pair] for pair in grown.ledger.pairs]

    assert 0 <= min(min(party.allocated, *party.locked, *party.pending) for party in parties)
    assert 0 <= min(min(pair.allocated, *pair.locked, *pair.pending) for pair in pairs)


def test_the_market_shows_every_kind_of_life(grown: Chain) -> None:
    shapes = Counter(
        tuple(log.event.name for log in transaction) for block in _blocks(grown) for transaction in block.transactions
    )
    names = {name for shape in shapes for name in shape}

    assert {
        "UnlockQuote",
        "ExpireQuoteOpen",
        "ExpireQuoteClose",
        "RequestToCancelCloseRequest",
        "AcceptCancelCloseRequest",
        "ChargeFundingRate",
        "DeallocatePartyA",
        "Withdraw",
        "LiquidatePendingPositionsPartyA",
        "FullyLiquidatedPartyA",
    } <= names
    assert shapes["OpenPosition", "SendQuote"] > 0
    assert shapes["BalanceChangePartyA", "OpenPosition", "AcceptCancelRequest"] > 0
    assert shapes["LockQuote", "OpenPosition"] > 0
    assert shapes["BalanceChangePartyA", "BalanceChangePartyB", "FillCloseRequest", "FillCloseRequest"] > 0


def test_sixty_owners_hold_two_hundred_accounts_in_two_multi_accounts(grown: Chain) -> None:
    pairs = list(grown.ledger.sub_accounts)

    assert 60 == len({user for _, user in pairs})
    assert 2 == len({multi_account for multi_account, _ in pairs})
    assert 200 == sum(len(grown.ledger.sub_accounts[pair]) for pair in pairs)
    multi_account, user = pairs[0]
    past = grown.past(grown.head)
    data = selector("getAccounts(address,uint256,uint256)") + encode(["address", "uint256", "uint256"], [user, 0, 50])
    accounts = decode(["(address,string)[]"], views.call(past, {multi_account}, multi_account, data))[0]
    assert list(accounts) == [tuple(entry) for entry in grown.ledger.sub_accounts[multi_account, user]]


def test_a_chain_made_anew_is_the_same_to_the_last_log() -> None:
    one, other = _chain(200), _chain(0)
    for number in range(1, 201):
        other.grow_to(number, forks=True)
    other.grow_to(201, forks=False)
    one.grow_to(201, forks=False)

    assert list(_blocks(one)) == list(_blocks(other))
    assert one.head != _chain(201, seed=2).head


def test_a_replaced_block_leaves_no_trace_in_the_views() -> None:
    chain, plain = _chain(29), _chain(31)
    (lost,) = chain.grow_to(30, forks=True)
    assert lost == chain.head

    heard = chain.grow_to(31, forks=True)

    assert [30, 31] == [block.number for block in heard]
    assert lost.parent == heard[0].parent
    assert lost.hash != heard[0].hash == heard[1].parent
    assert (False, True) == (chain.stands(lost), chain.stands(heard[0]))
    assert lost == chain.block_by_hash(lost.hash)
    for account in _everyone(plain):
        assert plain.ledger.party_as[account] == chain.ledger.party_as[account]
    assert plain.ledger.waiting == chain.ledger.waiting
    assert list(_blocks(plain)) == list(_blocks(chain))


def test_views_of_a_block_stay_what_they_were_when_it_was_the_head() -> None:
    chain = _chain(60)
    seen: dict[int, list[tuple[Any, ...]]] = {}

    def look(block: int) -> list[tuple[Any, ...]]:
        past = Past(chain.ledger, block)
        count = past.counters["quote"]
        infos = [_view(past, chain.contract.address, "balanceInfoOfPartyA(address)", _NINE, a) for a in accounts]
        quote = _view(past, chain.contract.address, "getQuote(uint256)", [views.QUOTE], max(1, count // 2))
        return [*infos, quote]

    accounts = _everyone(chain)[:20]
    for number in range(60, 160, 7):
        chain.grow_to(number, forks=True)
        if number % 60 != 30:
            seen[number] = look(number)
    assert seen == {number: look(number) for number in seen}


def test_parent_hashes_join_and_times_are_a_second_apart(grown: Chain) -> None:
    blocks = list(_blocks(grown))

    assert [block.hash for block in blocks[:-1]] == [block.parent for block in blocks[1:]]
    assert [_GENESIS_S + number for number in range(_LONG + 1)] == [block.time_s for block in blocks]
    assert _LONG - FINALITY_DEPTH == grown.final


def test_prices_walk_the_same_way_whoever_asks() -> None:
    one, other = Market(4), Market(4)
    far = one.marks_e8(500)
    near = [other.marks_e8(second) for second in range(501)]

    assert far == near[-1]
    assert len(INSTRUMENTS) == len(far) == sum(price > 0 for price in far)
    with pytest.raises(IndexError, match="expected a second"):
        one.marks_e8(3)


def test_a_call_of_no_view_reverts(grown: Chain) -> None:
    with pytest.raises(views.CallReverted, match="0xdeadbeef"):
        views.call(grown.past(grown.head), (), grown.contract.address, bytes.fromhex("deadbeef"))
    with pytest.raises(views.CallReverted, match="expected arguments"):
        views.call(grown.past(grown.head), (), grown.contract.address, selector("getQuote(uint256)") + b"\x01")


def test_a_reimbursement_is_read_from_storage_as_no_view_tells_it(grown: Chain) -> None:
    slot = int.from_bytes(keccak(b"diamond.standard.storage.account")) + 14
    blocks = range(grown.head.number + 1)
    account, block, amount = next(
        (account, block, party.reimbursement)
        for account in _everyone(grown)
        for block in blocks
        if (party := Past(grown.ledger, block).party_as[account]).reimbursement
    )
    slot_of_account = int.from_bytes(keccak(encode(["address", "uint256"], [account, slot])))

    assert amount == views.stored_at(Past(grown.ledger, block), grown.ledger, slot_of_account) > 0
    assert 0 == views.stored_at(grown.past(grown.head), grown.ledger, slot)


def test_an_unknown_quote_reads_as_zeros(grown: Chain) -> None:
    quote = _view(grown.past(grown.head), grown.contract.address, "getQuote(uint256)", [views.QUOTE], 10**9)[0]

    assert (0, (), 0) == quote[:3]
    assert 27 == len(quote)
