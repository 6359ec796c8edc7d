"""One account's charges, over a pair of parties that the test holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.money import E18
from models.symmio.funding_records import ChargeCells, Transaction
from models.symmio.state import QuoteStatus
from streams.funder.account_charges import AccountFault, Progress
from streams.funder.flights import State
from tests.support.charging_bench import EPOCH, PARTY_A, PARTY_B, VALID_S, Bench, quote

if TYPE_CHECKING:
    from models.symmio.funding_plan import ChainQuote


async def test_each_batch_has_a_signature_of_its_own() -> None:
    bench = Bench(*map(quote, range(1, 8)))
    progress = await bench.run(batch=3)
    assert [(1, 2, 3), (4, 5, 6), (7,)] == bench.sender.sent
    assert 3 == bench.muon.signed
    assert set(range(1, 8)) == progress.paid


async def test_what_is_paid_or_closed_is_not_sent() -> None:
    bench = Bench(quote(1, paid_s=14_400), quote(2, status=QuoteStatus.CLOSED), quote(3))
    progress = await bench.run()
    assert [(3,)] == bench.sender.sent
    assert ({1, 3}, {2: "it is not open"}, {}) == (progress.paid, progress.closed, progress.culprits)


async def test_what_is_paid_for_a_later_epoch_is_paid_for_this_one_only_where_a_transaction_of_ours_did_it() -> None:
    bench = Bench(quote(1, paid_s=28_800), quote(2, paid_s=28_800))
    bench.sender.charged = {2}
    bench.chain.now_s = 28_900
    progress = await bench.run()
    assert ({2}, {1}, []) == (progress.paid, progress.late, bench.sender.sent)


async def test_what_was_closed_after_it_was_paid_is_paid() -> None:
    bench = Bench(quote(1, paid_s=14_400, status=QuoteStatus.CLOSED))
    progress = await bench.run()
    assert ({1}, {}) == (progress.paid, progress.closed)


async def test_what_is_closed_while_it_is_charged_is_no_culprit() -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.cursed = {2: "the quote is not open"}
    bench.chain.closes = {2}
    progress = await bench.run()
    assert ({1}, {2: "it is not open"}, {}) == (progress.paid, progress.closed, progress.culprits)


async def test_a_quote_whose_view_reverts_is_tried_until_its_window_closes_and_the_others_are_charged() -> None:
    bench = Bench(quote(1), quote(2), quote(3))
    bench.chain.illegible = {2}
    with pytest.raises(AccountFault, match="all quotes that are due, found: quote 2: execution reverted"):
        await bench.run()
    assert [(1, 3)] == bench.sender.sent
    bench.chain.now_s = 14_821
    progress = await bench.run()
    assert ({1, 3}, {2: "its view: execution reverted"}) == (progress.paid, progress.culprits)


async def test_a_quote_that_endpoints_differ_about_is_tried_again_and_the_others_are_charged() -> None:
    bench = Bench(quote(1), quote(2), quote(3))
    bench.chain.unsure = {2}
    with pytest.raises(AccountFault, match="that are due, found: quote 2: endpoints differ about it"):
        await bench.run()
    assert [(1, 3)] == bench.sender.sent
    bench.chain.unsure = set()
    assert {1, 2, 3} == (await bench.run()).paid


async def test_a_quote_whose_market_was_changed_on_chain_is_not_charged_before_the_tables_know_it() -> None:
    bench = Bench(quote(1), quote(2)._replace(symbol_id=2))
    bench.chain.changed = frozenset({2})
    with pytest.raises(AccountFault, match="found: quote 2: its market has other funding epochs since this one began"):
        await bench.run()
    assert [(1,)] == bench.sender.sent
    bench.chain.now_s = 14_821
    assert ({1}, {2}) == ((await bench.run()).paid, bench.progress.late)


@pytest.mark.parametrize(
    "instead",
    [
        quote(2)._replace(party_a="0x" + "00" * 20, party_b="0x" + "00" * 20, status=QuoteStatus.PENDING),
        quote(2)._replace(party_a="0x" + "0c" * 20),
        quote(2)._replace(symbol_id=2),
        quote(2)._replace(party_b="0x" + "00" * 20, status=QuoteStatus.PENDING),
    ],
    ids=["no quote", "another account's", "another market's", "pending again"],
)
async def test_a_quote_whose_opening_left_the_chain_is_looked_for_until_the_window_closes_and_closed_then(
    instead: ChainQuote,
) -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.known[2] = instead
    said = "the block that opened it has left the chain"
    with pytest.raises(AccountFault, match=f"that are due, found: quote 2: {said}"):
        await bench.run()
    assert ([(1,)], {}, {}) == (bench.sender.sent, bench.progress.closed, bench.progress.culprits)
    bench.chain.now_s = 14_821
    assert {2: said} == (await bench.run()).closed


async def test_a_quote_that_later_blocks_bring_back_is_charged() -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.known[2] = quote(2)._replace(party_a="0x" + "0c" * 20)
    with pytest.raises(AccountFault):
        await bench.run()
    bench.chain.known[2] = quote(2)
    assert {1, 2} == (await bench.run()).paid
    assert [(1,), (2,)] == bench.sender.sent


async def test_another_hedgers_quote_is_no_business_of_ours() -> None:
    bench = Bench(quote(1), quote(2)._replace(party_b="0x" + "0c" * 20))
    assert {2: "it is another hedger's"} == (await bench.run()).culprits


async def test_nothing_is_late_where_a_fork_took_the_chain_back_to_before_the_window() -> None:
    bench = Bench(quote(1))
    bench.chain.now_s = 14_399
    with pytest.raises(AccountFault, match="its window is not open yet: the block that opened it has left the chain"):
        await bench.run()
    assert not bench.progress.late
    bench.chain.now_s = 14_400
    assert {1} == (await bench.run()).paid


async def test_a_batch_that_takes_too_much_gas_is_divided() -> None:
    bench = Bench(*map(quote, range(1, 8)))
    bench.sender.most_charges = 2
    progress = await bench.run()
    assert [(1,), (2, 3), (4, 5), (6, 7)] == bench.sender.sent
    assert set(range(1, 8)) == progress.paid


async def test_nothing_is_sent_once_the_window_is_closed() -> None:
    bench = Bench(quote(1), quote(2, paid_s=14_400))
    bench.chain.now_s = 14_821
    progress = await bench.run()
    assert ([], {1}, {2}) == (bench.sender.sent, progress.late, progress.paid)


async def test_nothing_is_late_where_only_one_endpoints_clock_has_passed_the_window() -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.now_s, bench.chain.behind_s = 14_900, 300
    assert {1, 2} == (await bench.run()).paid
    assert [(1, 2)] == bench.sender.sent


async def test_an_account_whose_transaction_no_node_takes_is_let_go_and_told_of_when_its_window_has_closed() -> None:
    bench = Bench(quote(1), quote(2))
    bench.sender.ends = [State.SENT]
    with pytest.raises(AccountFault, match="none does: see `transaction not taken`"):
        await bench.run()
    bench.sender.is_settled = False
    with pytest.raises(AccountFault, match="none does: see `transaction not taken`"):
        await bench.run()
    assert [(1, 2)] == bench.sender.sent
    bench.chain.now_s = 14_821
    assert {1, 2} == (await bench.run()).late


async def test_culprits_are_left_out_with_the_contracts_reason_and_the_others_are_charged() -> None:
    bench = Bench(*map(quote, range(1, 9)))
    bench.chain.cursed = {2: "cursed", 7: "frozen"}
    progress = await bench.run()
    assert {2: "cursed", 7: "frozen"} == progress.culprits
    assert [(1, 3, 4, 5, 6, 8)] == bench.sender.sent


async def test_a_quote_that_only_one_endpoints_old_state_refuses_is_charged() -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.cursed = {2: "cursed"}
    bench.chain.is_contradicted = True
    progress = await bench.run()
    assert ({}, {1, 2}) == (progress.culprits, progress.paid)


async def test_a_quote_that_only_one_endpoints_old_state_has_closed_is_tried_again_and_the_others_are_charged() -> None:
    bench = Bench(quote(1), quote(2, status=QuoteStatus.CLOSED))
    bench.chain.elsewhere = {1: quote(1), 2: quote(2)}
    with pytest.raises(AccountFault, match="quote 2: endpoints differ on whether it is to be charged"):
        await bench.run()
    assert ({}, {1}, set()) == (bench.progress.culprits, bench.progress.paid, bench.progress.late)
    bench.chain.known[2] = quote(2)
    assert {1, 2} == (await bench.run()).paid


@pytest.mark.parametrize("reverting", [set(), {2}, {2, 3}])
async def test_a_quote_that_one_endpoint_has_as_closed_is_held_up_whatever_becomes_of_the_others(
    reverting: set[int],
) -> None:
    bench = Bench(quote(1, status=QuoteStatus.CLOSED), quote(2), quote(3))
    bench.chain.elsewhere = {one: quote(one) for one in (1, 2, 3)}
    bench.sender.reverting = reverting
    with pytest.raises(AccountFault, match="quote 1: endpoints differ on whether it is to be charged"):
        await bench.run()
    assert not bench.progress.settled(1)
    assert ({2, 3} - reverting, reverting) == (bench.progress.paid, {*bench.progress.culprits})


async def test_a_quote_that_endpoints_differ_about_keeps_no_other_batch_from_being_charged_or_told() -> None:
    bench = Bench(quote(1, status=QuoteStatus.CLOSED), quote(2), quote(3))
    bench.chain.elsewhere = {one: quote(one) for one in (1, 2, 3)}
    with pytest.raises(AccountFault, match="quote 1: endpoints differ"):
        await bench.run(batch=1)
    assert {2, 3} == bench.progress.paid
    bench.chain.now_s = 14_821
    bench.progress = Progress()
    with pytest.raises(AccountFault, match="quote 1: endpoints differ"):
        await bench.run(batch=1)
    assert {2, 3} == bench.progress.late


async def test_a_quote_that_only_one_endpoint_has_as_paid_is_tried_again_unless_a_transaction_of_ours_paid_it() -> None:
    bench = Bench(quote(1), quote(2, paid_s=14_400))
    bench.chain.elsewhere = {1: quote(1), 2: quote(2)}
    with pytest.raises(AccountFault, match="quote 2: endpoints differ on whether it is to be charged"):
        await bench.run()
    assert {1} == bench.progress.paid
    bench.sender.charged = {2}
    assert {1, 2} == (await bench.run()).paid


async def test_that_a_quote_is_closed_is_not_believed_while_too_few_endpoints_answer() -> None:
    bench = Bench(quote(1, status=QuoteStatus.CLOSED))
    bench.chain.enough_now = 3
    with pytest.raises(AccountFault, match="quote 1: endpoints differ on whether it is to be charged"):
        await bench.run()
    bench.chain.enough_now = 2
    assert {1: "it is not open"} == (await bench.run()).closed


async def test_a_signature_that_was_overtaken_is_fetched_again_and_no_quote_is_blamed() -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.cursed = {-1: "cursed"}
    bench.chain.moves = 1
    bench.sender.ends = [State.CANCELLED, State.LOST]
    progress = await bench.run()
    assert ({}, {1, 2}) == (progress.culprits, progress.paid)
    assert (4, 3) == (bench.muon.signed, len(bench.sender.sent))


async def test_a_charge_that_reverted_since_somebody_acted_for_the_pair_is_sent_again_with_a_new_signature() -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.moves_elsewhere = True
    bench.sender.ends = [State.REVERTED]
    progress = await bench.run()
    assert ({}, {1, 2}) == (progress.culprits, progress.paid)
    assert ([(1, 2), (1, 2)], 2) == (bench.sender.sent, bench.muon.signed)


async def test_a_charge_that_reverted_when_its_signature_had_expired_is_sent_again_as_a_whole() -> None:
    bench = Bench(quote(1), quote(2))
    bench.sender.ends = [State.REVERTED]
    bench.sender.on_send = lambda: setattr(bench.chain, "now_s", bench.chain.now_s + VALID_S + 1)
    assert {1, 2} == (await bench.run()).paid
    assert [(1, 2), (1, 2)] == bench.sender.sent


async def test_a_batch_that_reverted_for_no_reason_is_not_sent_again_but_in_halves_until_the_quote_is_found() -> None:
    bench = Bench(*map(quote, range(1, 9)))
    bench.sender.reverting = {6}
    progress = await bench.run()
    assert [(1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4), (5, 6, 7, 8), (5, 6), (5,), (6,), (7, 8)] == bench.sender.sent
    assert {1, 2, 3, 4, 5, 7, 8} == progress.paid
    said = "its charge reverted alone in block 106, and no two endpoints say why"
    assert {6: said} == progress.culprits


async def test_whether_somebody_acted_is_asked_of_who_has_come_to_the_block_of_the_revert() -> None:
    bench = Bench(quote(1), quote(2))
    bench.sender.reverting = {2}
    await bench.run()
    # Transaction 1 was of both, 2 of the first one alone, and 3 of the other.
    assert [101, 103] == bench.chain.asked_since


async def test_a_quote_is_blamed_for_the_revert_that_had_it_alone() -> None:
    bench = Bench(quote(1))
    others = Transaction(PARTY_B, 99, PARTY_A, (ChargeCells(2, EPOCH, "1", "1"),), State.REVERTED, 0, "", (), block=999)
    bench.sender.reverting = {1}
    bench.sender.on_send = lambda: bench.sender.reverted.append(others)
    reverts = bench.sender.reverts
    bench.sender.reverts = lambda *about: sorted(reverts(*about), key=lambda one: one.nonce)  # type: ignore[method-assign]
    assert {1: "its charge reverted alone in block 101, and no two endpoints say why"} == (await bench.run()).culprits


async def test_a_charge_whose_revert_has_left_the_chain_is_waited_for_and_nobody_is_blamed() -> None:
    bench = Bench(quote(1), quote(2))
    bench.sender.ends = [State.REVERTED]
    refusal = bench.chain.refusal

    async def refusal_after_a_fork(sender: str, to: str, data: bytes) -> str | None:
        bench.sender.reverted.clear()
        return await refusal(sender, to, data)

    bench.chain.refusal = refusal_after_a_fork  # type: ignore[method-assign]
    with pytest.raises(AccountFault, match="the block has left the chain in which its charge reverted"):
        await bench.run()
    assert ([(1, 2)], {}) == (bench.sender.sent, bench.progress.culprits)
    assert {1, 2} == (await bench.run()).paid


async def test_an_account_whose_charges_revert_again_and_again_is_not_paid_for_any_more() -> None:
    bench = Bench(*map(quote, range(1, 31)))
    bench.sender.reverting = {*range(1, 31)}
    for _ in range(3):
        with pytest.raises(AccountFault, match=r"fewer than 12 .* revert or be taken back in an epoch, found 12"):
            await bench.run()
    assert 12 == len(bench.sender.sent)
    # Whoever comes next knows it by the records.
    assert bench.progress.paid == set()


async def test_an_account_whose_charges_are_taken_back_again_and_again_is_not_paid_for_any_more() -> None:
    bench = Bench(quote(1))
    bench.sender.ends = [State.CANCELLED] * 100
    for said in ("overtaken", "overtaken", "taken back in an epoch, found 12", "taken back in an epoch, found 12"):
        with pytest.raises(AccountFault, match=said):
            await bench.run()
    assert 12 == len(bench.sender.sent)


@pytest.mark.parametrize("reason", ["cursed", "LibMuon: expired", "Pausable: paused"])
async def test_where_every_quote_would_revert_for_one_reason_none_is_blamed(reason: str) -> None:
    bench = Bench(quote(1), quote(2))
    bench.chain.cursed = {-1: reason}
    with pytest.raises(AccountFault, match=reason):
        await bench.run()
    assert ({}, []) == (bench.progress.culprits, bench.sender.sent)


async def test_a_single_quote_is_blamed_only_for_a_reason_that_is_its_own() -> None:
    bench = Bench(quote(1))
    bench.chain.cursed = {-1: "PartyA is insolvent"}
    with pytest.raises(AccountFault, match="insolvent"):
        await bench.run()
    bench.chain.cursed = {1: "cursed"}
    assert {1: "cursed"} == (await bench.run()).culprits


@pytest.mark.parametrize(
    ("upnl", "reason"),
    [((-10 * E18, 0), "party A would be insolvent"), ((0, -11 * E18), "party B would be insolvent")],
)
async def test_who_would_be_insolvent_is_not_charged(upnl: tuple[int, int], reason: str) -> None:
    bench = Bench(quote(1))
    bench.muon.upnl = upnl
    with pytest.raises(AccountFault, match=reason):
        await bench.run()
    assert [] == bench.sender.sent


async def test_nobody_is_charged_under_liquidation_or_on_an_old_signature() -> None:
    bench = Bench(quote(1))
    bench.chain.liquidating = True
    with pytest.raises(AccountFault, match="under liquidation"):
        await bench.run()
    bench.chain.liquidating = False
    bench.muon.age_s = 61
    with pytest.raises(AccountFault, match="signature of the last 60 s"):
        await bench.run()
    assert [] == bench.sender.sent


async def test_an_account_whose_batches_are_always_overtaken_is_left_for_later() -> None:
    bench = Bench(quote(1))
    bench.sender.ends = [State.REVERTED] * 6
    bench.chain.moves_elsewhere = True
    with pytest.raises(AccountFault, match="overtaken"):
        await bench.run()
    assert {} == bench.progress.culprits


async def test_a_party_b_that_refuses_the_signer_is_the_fault_of_no_quote() -> None:
    bench = Bench(quote(1))
    bench.sender.untrusted = "not trusted"
    with pytest.raises(AccountFault, match="take the signer's call, which the Diamond would, found: not trusted"):
        await bench.run()
    assert ({}, 1) == (bench.progress.culprits, bench.muon.signed)


@pytest.mark.parametrize(("last_s", "is_charged"), [(28_379, True), (28_380, False)])
async def test_a_signature_that_lasts_until_the_next_epoch_can_be_paid_is_not_used(
    last_s: int,
    is_charged: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    bench = Bench(quote(1))
    # The next epoch begins at 28,800, and is paid from 420 s before that on. A gateway may sign for a time to come.
    bench.muon.age_s = bench.chain.now_s + VALID_S - last_s
    assert last_s == bench.muon.last_s
    if is_charged:
        assert {1} == (await bench.run()).paid
    else:
        with pytest.raises(AccountFault, match="takes until 28379 at most, found one until 28380"):
            await bench.run()
        assert [] == bench.sender.sent


async def test_for_how_long_a_signature_is_taken_is_what_the_contract_says_when_it_is_charged() -> None:
    bench = Bench(*map(quote, range(1, 3)))
    bench.chain.valid_s = 28_380 - bench.chain.now_s
    with pytest.raises(AccountFault, match="takes until 28379 at most, found one until 28380"):
        await bench.run()
    bench.chain.valid_s -= 1
    assert {1, 2} == (await bench.run()).paid
