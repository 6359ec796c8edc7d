"""What costs money is believed of no single endpoint: that a call is taken, the gas that it takes, and other fees."""

from __future__ import annotations

import pytest

from streams.funder.agreement import ample
from streams.funder.chain_errors import Contradicted, Reverted
from streams.funder.data_fees import DataFees
from tests.support.told_endpoint import DIAMOND, Told, chain_over
from tests.support.virtual_loop import run_in_no_time

MOST = 1_000_000


def refusing(*refuses: bool) -> list[Told]:
    endpoints = [Told(f"#{number}") for number in range(len(refuses))]
    for one, does in zip(endpoints, refuses, strict=True):
        one.refuses = does
    return endpoints


def taking(*gas: int) -> list[Told]:
    endpoints = [Told(f"#{number}") for number in range(len(gas))]
    for one, told in zip(endpoints, gas, strict=True):
        one.gas = told
    return endpoints


def word(number: int) -> str:
    return f"0x{number:064x}"


@pytest.mark.parametrize(
    ("refuses", "refusal"),
    [
        ((False, True, True), "no"),
        ((True, False, False), None),
        ((True, True), "no"),
        ((False, True), None),
        ((True, False), None),
        ((True,), "no"),
        ((False,), None),
    ],
)
def test_a_call_is_refused_before_it_is_sent_where_two_endpoints_refuse_it_or_all_that_answer(
    refuses: tuple[bool, ...], refusal: str | None
) -> None:
    assert refusal == run_in_no_time(chain_over(*refusing(*refuses)).refusal(DIAMOND, DIAMOND, b""))


def test_a_call_that_the_only_one_refuses_which_answers_is_not_sent_and_nobody_is_blamed_for_it() -> None:
    async def told() -> tuple[str | None, bool]:
        endpoints = Told("#1"), Told("#2")
        endpoints[0].refuses = True
        chain = chain_over(*endpoints)
        await chain.agreed_time_s()
        endpoints[1].hangs = True
        return await chain.refusal(DIAMOND, DIAMOND, b""), await chain.is_refused(DIAMOND, DIAMOND, b"")

    assert ("no", False) == run_in_no_time(told())


@pytest.mark.parametrize(
    ("gas", "found"),
    [
        # One of three names too little, or too much.
        ((21_000, 100_000, 101_000), 100_000),
        ((999_999, 100_000, 101_000), 101_000),
        ((10**9, 100_000, 101_000), 101_000),
        # A call that takes too much by two of three does, whatever the third one says.
        ((21_000, 2_000_000, 2_000_000), 2_000_000),
        ((2_000_000, 100_000, 2_100_000), 2_000_000),
        # Of two the higher one counts, unless no transaction may take so much.
        ((21_000, 100_000), 100_000),
        ((100_000, 10**9), 100_000),
        ((10**9, 10**8), 10**9),
        ((100_000,), 100_000),
    ],
)
def test_the_gas_of_a_transaction_is_what_is_enough_by_more_than_one_endpoint(gas: tuple[int, ...], found: int) -> None:
    assert found == run_in_no_time(chain_over(*taking(*gas)).gas_of(DIAMOND, DIAMOND, b"", MOST))


@pytest.mark.parametrize(("refuses", "is_taken"), [((True, False, False), True), ((True, True, False), False)])
def test_what_two_endpoints_refuse_takes_no_gas(
    refuses: tuple[bool, ...],
    is_taken: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    asked = chain_over(*refusing(*refuses)).gas_of(DIAMOND, DIAMOND, b"", MOST)
    if is_taken:
        assert 100_000 == run_in_no_time(asked)
    else:
        with pytest.raises(Reverted, match="no"):
            run_in_no_time(asked)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("said", [0, 10**30])
def test_of_three_endpoints_none_that_is_wrong_says_what_the_data_of_a_transaction_costs(said: int, place: int) -> None:
    endpoints = [Told(f"#{number}") for number in range(3)]
    for one in endpoints:
        one.code, one.called = "0x60", word(500)
    endpoints[place].called = word(said)
    # Twice what it costs now, for the data and for the operator.
    assert 2 * (500 + 500) == run_in_no_time(DataFees(chain_over(*endpoints)).bound_wei(b"", 1))


def test_the_higher_of_two_fees_for_data_counts_so_that_no_ceiling_is_passed() -> None:
    endpoints = Told("#1"), Told("#2")
    for one, wei in zip(endpoints, (0, 500), strict=True):
        one.code, one.called = "0x60", word(wei)
    assert 2 * (500 + 500) == run_in_no_time(DataFees(chain_over(*endpoints)).bound_wei(b"", 1))


@pytest.mark.parametrize(("codes", "is_there"), [(("0x60", "0x", "0x"), False), (("0x", "0x60", "0x60"), True)])
def test_that_a_chain_has_an_oracle_is_not_believed_of_one_of_three(
    codes: tuple[str, ...],
    is_there: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    endpoints = [Told(f"#{number}") for number in range(3)]
    for one, code in zip(endpoints, codes, strict=True):
        one.code = code
    assert is_there == run_in_no_time(chain_over(*endpoints).is_deployed(DIAMOND))


def test_whether_a_chain_has_an_oracle_is_not_known_where_two_endpoints_differ_or_one_of_two_answers() -> None:
    endpoints = Told("#1"), Told("#2")
    endpoints[0].code = "0x60"
    assert None is run_in_no_time(chain_over(*endpoints).is_deployed(DIAMOND))
    endpoints[1].is_down = True
    assert None is run_in_no_time(chain_over(*endpoints).is_deployed(DIAMOND))
    assert run_in_no_time(chain_over(endpoints[0]).is_deployed(DIAMOND))


@pytest.mark.parametrize("place", [0, 1])
def test_one_endpoint_of_two_that_says_there_is_an_oracle_where_none_is_stops_nothing(place: int) -> None:
    endpoints = Told("#1"), Told("#2")
    endpoints[place].code = "0x60"
    for one in endpoints:
        one.called = "0x"

    async def bounds() -> list[int]:
        fees = DataFees(chain_over(*endpoints))
        first_wei = await fees.bound_wei(b"", 1)
        endpoints[place].code = "0x"
        return [first_wei, await fees.bound_wei(b"", 1)]

    assert [0, 0] == run_in_no_time(bounds())


def test_an_oracle_that_one_endpoint_of_two_does_not_see_counts_all_the_same() -> None:
    endpoints = Told("#1"), Told("#2")
    endpoints[0].code, endpoints[0].called, endpoints[1].called = "0x60", word(500), "0x"

    async def bounds() -> list[int]:
        fees = DataFees(chain_over(*endpoints))
        first_wei = await fees.bound_wei(b"", 1)
        endpoints[1].code, endpoints[1].called = "0x60", word(700)
        return [first_wei, await fees.bound_wei(b"", 1)]

    assert [2 * (500 + 500), 2 * (700 + 700)] == run_in_no_time(bounds())


def seeing(*first_words: int) -> list[Told]:
    """Endpoints whose views all answer that word, and then nothing but zeros."""
    endpoints = [Told(f"#{number}") for number in range(len(first_words))]
    for one, first in zip(endpoints, first_words, strict=True):
        one.called = word(first) + "00" * 32 * 40
    return endpoints


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_a_charge_is_made_of_is_what_two_of_three_endpoints_say(place: int) -> None:
    told = [0, 0]
    told.insert(place, 1)
    pair = run_in_no_time(chain_over(*seeing(*told)).pair(DIAMOND, DIAMOND, [7]))
    assert ((0, 0), False, 0, [7]) == (pair.nonces, pair.liquidating, pair.valid_s, [*pair.quotes])


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("others_say", "moved"), [(5, False), (6, True)])
def test_of_three_endpoints_none_that_is_wrong_about_nonces_says_that_somebody_acted_or_did_not(
    place: int,
    others_say: int,
    moved: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    told = [others_say, others_say]
    told.insert(place, 11 - others_say)
    endpoints = seeing(*told)
    assert moved == run_in_no_time(chain_over(*endpoints).has_moved(DIAMOND, DIAMOND, (5, 5), 100))


@pytest.mark.parametrize(("nonces", "moved"), [((5, 5), False), ((5, 6), True), ((6, 6), True)])
def test_somebody_acted_for_a_pair_unless_both_of_two_endpoints_say_not(
    nonces: tuple[int, int],
    moved: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    assert moved == run_in_no_time(chain_over(*seeing(*nonces)).has_moved(DIAMOND, DIAMOND, (5, 5), 100))


def test_endpoints_that_have_not_come_to_the_block_of_a_revert_do_not_say_that_nobody_acted() -> None:
    endpoints = seeing(5, 5, 6)
    endpoints[2].blocks = 2
    assert run_in_no_time(chain_over(*endpoints).has_moved(DIAMOND, DIAMOND, (5, 5), 102))
    assert not run_in_no_time(chain_over(*endpoints).has_moved(DIAMOND, DIAMOND, (5, 5), 100))


def test_nothing_is_charged_by_either_of_two_endpoints_that_differ_about_an_account() -> None:
    chain = chain_over(*seeing(0, 1))
    with pytest.raises(Contradicted, match="two endpoints to say the same of account 0xd1"):
        run_in_no_time(chain.pair(DIAMOND, DIAMOND, []))


def test_the_reason_of_a_refusal_is_that_of_two_endpoints() -> None:
    endpoints = refusing(*[True] * 3)
    endpoints[0].reason = "made up"
    assert "no" == run_in_no_time(chain_over(*endpoints).refusal(DIAMOND, DIAMOND, b""))


@pytest.mark.parametrize(("told", "enough"), [([7], 7), ([7, 9], 9), ([7, 9, 8], 8), ([1, 9, 9, 50], 9)])
def test_ample_is_the_highest_that_two_say_and_of_two_the_higher(told: list[int], enough: int) -> None:
    assert enough == ample(told)
