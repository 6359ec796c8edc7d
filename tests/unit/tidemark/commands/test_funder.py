"""``tidemark funder``: what it prints, and what it wants to know."""

from __future__ import annotations

import msgspec
import pytest
from click.testing import CliRunner

from models.money import E18
from models.symmio.funding_plan import Charge, Eligibility, Window
from models.symmio.funding_records import Epoch, Frozen, FrozenMarket, TickRef
from streams.funder.dry_run import ExpectedFees, Planned
from streams.funder.epoch_replay import Replayed
from streams.settings import BadSettings, FundingSettings, Settings, SymmioSettings
from tidemark.commands.funder import Instant, _fees, _only_one, _print, _print_replayed, funder

WITHOUT = SymmioSettings(chain_id=1, diamond="0x" + "d1" * 20)
WITH = WITHOUT.model_copy(update={"funding": FundingSettings(party_b="0x" + "0b" * 20)})


def test_the_plan_says_every_rate_and_why_a_quote_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    market = FrozenMarket(str(110 * E18), "venue:AAA", str(E18 // 5_000), str(-E18 // 5_000), str(E18 * 3 // 20_000))
    frozen = Frozen(
        Epoch(14_400, 420, 1_744_070_400),
        opens_s=1_744_070_400,
        closes_s=1_744_070_820,
        at_s=1_744_070_000,
        tables_s=1_744_070_000,
        markets={1: market},
        left_out={2: "its mark is stale"},
        accounts=1,
    )
    charges: list[tuple[int, Charge | str]] = [
        (1, Charge(1, E18 // 5_000, E18 // 5_000)),
        (2, Charge(2, -10, -20)),
        (3, Eligibility.PAID.value),
    ]
    fees = ExpectedFees(transactions=1, moved_e18=10 * E18, cost_wei=E18 // 1_000, share=3_000)
    _print(Planned(frozen, {"0xa": charges}, fees))
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2025-04-08T00:00:00+00:00 of 14400 s, window 2025-04-08T00:00:00+00:00 to 2025-04-08T00:07:00+00:00",
        "  symbol 1: mark 110 (venue:AAA), long -0.0002, short 0.00015",
        "  symbol 2 left out: its mark is stale",
        "  1 transaction to charge 10 in all; fees of about 0.001 of the chain's coin, 3000 bps of that",
        "  0xa: 3 quotes",
        "    quote 1: rate 0.0002",
        "    quote 2: rate -0.00000000000000001, clipped from -0.00000000000000002",
        "    quote 3: not charged, paid",
    ]


def test_fees_that_are_not_known_are_said_not_to_be() -> None:
    fees = ExpectedFees(transactions=2, moved_e18=10 * E18, cost_wei=None, share=None)
    assert "2 transactions to charge 10 in all; their fees are known once a first one is on record" == _fees(fees)
    said = _fees(fees._replace(cost_wei=E18 // 1_000))
    assert said.endswith("fees of about 0.001 of the chain's coin, set coin_price to see them as a share")


EPOCH = Epoch(14_400, 420, 1_744_070_400)
TOPIC = "price-ticks"
WINDOW = Window(14_400, 1_744_070_400, 1_744_070_400, 1_744_070_820)
REPLAYED = FrozenMarket(
    str(110 * E18),
    "venue:AAA",
    str(E18 // 5_000),
    str(-E18 // 10_000),
    str(E18 * 3 // 40_000),
    mark_tick=TickRef("venue:AAA", 3, 70, 1_744_070_399_500),
    rate_tick=TickRef("venue:AAA", 3, 69, 1_744_070_398_500),
    interval_s=28_800,
)


def frozen_with(market: FrozenMarket) -> Frozen:
    return Frozen(
        EPOCH, WINDOW.opens_s, WINDOW.closes_s, 0, 0, {1: market}, {2: "its feed was silent"}, 1, ticks_topic=TOPIC
    )


def test_a_past_epoch_is_printed_with_its_ticks_and_compared_with_the_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    market = REPLAYED
    _print_replayed(Replayed(EPOCH, WINDOW, {1: market, 2: "no tick"}, [frozen_with(market)], TOPIC))
    terms = (
        "mark 110 of 2025-04-07T23:59:59.500+00:00 (venue:AAA at 3:70), rate 0.0002 of 28800 s of "
        "2025-04-07T23:59:58.500+00:00 (venue:AAA at 3:69), long -0.0001, short 0.000075"
    )
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2025-04-08T00:00:00+00:00 of 14400 s, window 2025-04-08T00:00:00+00:00 to 2025-04-08T00:07:00+00:00",
        f"  symbol 1: {terms}",
        "    on record: the same",
        "  symbol 2: left out: no tick",
        "    on record: left out, its feed was silent",
    ]


def test_a_past_epoch_that_was_charged_otherwise_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    other = msgspec.structs.replace(REPLAYED, mark=str(111 * E18))
    moved = msgspec.structs.replace(REPLAYED, mark_tick=TickRef("venue:AAA", 3, 71, 1_744_070_399_500))
    for charged, is_other in ((other, True), (moved, True), (REPLAYED, False)):
        found = Replayed(EPOCH, WINDOW, {1: REPLAYED}, [frozen_with(charged)], TOPIC)
        assert is_other == found.differs(1)
        _print_replayed(found)
        assert is_other == ("on record, and not the same: mark 11" in capsys.readouterr().out)
    _print_replayed(Replayed(EPOCH, WINDOW, {1: REPLAYED}, [], TOPIC))
    assert "nothing is on record of it" in capsys.readouterr().out


def test_a_past_epoch_whose_ticks_were_copied_to_other_offsets_is_the_same_if_it_is_by_the_same_events() -> None:
    copied = "wide-price-ticks"
    for tick, is_other in (
        (TickRef("venue:AAA", 0, 7, 1_744_070_399_500), False),
        (TickRef("venue:AAA", 3, 70, 1_744_070_399_400), True),
        (TickRef("venue:BBB", 3, 70, 1_744_070_399_500), True),
    ):
        charged = msgspec.structs.replace(REPLAYED, mark_tick=tick)
        assert is_other == Replayed(EPOCH, WINDOW, {1: REPLAYED}, [frozen_with(charged)], copied).differs(1)
    other = msgspec.structs.replace(REPLAYED, mark=str(111 * E18))
    assert Replayed(EPOCH, WINDOW, {1: REPLAYED}, [frozen_with(other)], copied).differs(1)


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("1744070400", 1_744_070_400),
        ("2025-04-08T00:00:00Z", 1_744_070_400),
        ("2025-04-08", 1_744_070_400),
        ("2025-04-08T02:00:00+02:00", 1_744_070_400),
    ],
)
def test_an_instant_is_unix_seconds_or_a_date_and_time(text: str, at_s: int) -> None:
    assert at_s == Instant().convert(text, None, None)


def test_an_instant_without_a_dry_run_is_refused() -> None:
    found = CliRunner().invoke(funder, ["main", "--at", "1744070400"])
    assert (2, True) == (found.exit_code, "expected --dry-run with it" in found.output)
    found = CliRunner().invoke(funder, ["main", "--dry-run", "--at", "noon"])
    assert (2, True) == (found.exit_code, "expected Unix seconds or a time such as" in found.output)


def test_the_only_deployment_with_a_party_b_needs_no_name() -> None:
    assert "two" == _only_one(Settings(deployments={"one": WITHOUT, "two": WITH}))
    for names in ((), ("one", "two")):
        with pytest.raises(BadSettings, match="expected one deployment with a funding"):
            _only_one(Settings(deployments=dict.fromkeys(names, WITH)))
