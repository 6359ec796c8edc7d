"""A market's terms for an epoch, of ticks and tables that the test holds."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

import pytest
from aiokafka.errors import KafkaConnectionError

from models.account_events import Transaction
from models.codec import encode_row, join_row
from models.engine.missed_records import UnreadAccount
from models.ids import account_key, mark_key, market_key
from models.instruments import FundingTerms, FundingTermsFact, Instrument, encode_fact, encode_instrument
from models.money import E18
from models.prices import MarkTick, encode_tick
from models.symmio.account import advance
from models.symmio.epoch_prices import Unpriced
from models.symmio.funding_plan import LATE_S, When, Window
from models.symmio.funding_records import FrozenMarket, TickRef
from models.symmio.markets import Market, encode_market
from models.symmio.venue import SYMMIO
from models.watermarks import DeploymentWatermark, encode_watermark
from streams.funder import epoch_ticks
from streams.funder.funding_inputs import Tables
from streams.funder.topic_span import NotRead, TopicSpan
from streams.kafka.feed import Feed
from streams.kafka.partitions import partition_of
from streams.kafka.topics import INSTRUMENT_FACTS, PRICE_TICKS
from streams.settings import Settings
from tests.support.clocks import WallClock
from tests.support.symmio import ALICE, HEDGER, allocate, fee_out, log, send_quote

EPOCH_S, WINDOW_S, PAYS_S = 14_400, 420, 1_744_070_400
WINDOW = Window(EPOCH_S, PAYS_S, PAYS_S, PAYS_S + WINDOW_S)
KEY = mark_key("venue", "AAA")
HOUR_S = 3_600


class HeldTopics:
    """What stands in the topics, by name."""

    def __init__(self) -> None:
        self.records: dict[str, list[tuple[bytes, bytes]]] = {PRICE_TICKS: [], INSTRUMENT_FACTS: []}
        self.asked: list[str] = []

    def tick(self, event_s: float, *, mark: str = "110", rate: str = "0.0002", interval_ends_s: int = PAYS_S) -> None:
        at_ms = round((PAYS_S + event_s) * 1_000)
        tick = MarkTick("venue", "AAA", at_ms, at_ms + 20, mark, None, rate, interval_ends_s * 1_000)
        self.records[PRICE_TICKS].append((KEY, encode_tick(tick)))

    def terms(self, received_s: float, hours: int) -> None:
        fact = FundingTermsFact("venue", "AAA", round((PAYS_S + received_s) * 1_000), hours, None, None)
        self.records[INSTRUMENT_FACTS].append((KEY, encode_fact(fact)))


class HeldRecord(NamedTuple):
    offset: int
    timestamp: int
    key: bytes
    value: bytes


class HeldSpan(TopicSpan):
    """Reads what the test holds instead of the broker."""

    _taken = 0

    async def read_on(self) -> None:
        held = HELD[-1]
        held.asked.append(self._topic)
        records = held.records[self._topic]
        new = [HeldRecord(at, 0, *records[at]) for at in range(self._taken, len(records))]
        self._taken = len(records)
        if new:
            self._take_in(new)


HELD: list[HeldTopics] = []


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> HeldTopics:
    monkeypatch.setattr(epoch_ticks, "TopicSpan", HeldSpan)
    HELD.append(HeldTopics())
    return HELD[-1]


def fatal(error: BaseException) -> NoReturn:
    raise AssertionError from error


def tables(*, window_s: int = WINDOW_S, terms_received_s: float = -600, hours: int = 8, **funding: object) -> Tables:
    """The tables with one market, whose interval was said to be ``hours`` at an instant, in s after the epoch's."""
    settings = Settings.model_validate(
        {
            "kafka": "127.0.0.1:1",
            "deployments": {
                "main": {
                    "kind": "symmio",
                    "chain_id": 1,
                    "diamond": "0x" + "d1" * 20,
                    "default_sources": ["venue"],
                    "funding": funding,
                }
            },
        }
    )
    made = Tables(settings, "main", WallClock(lambda: PAYS_S * 1_000), fatal)
    market = Market(1, name="AAA", is_valid=True, funding_rate_epoch_duration_s=EPOCH_S, funding_rate_window_s=window_s)
    made._markets._rows[market_key("main", 1)] = encode_row(1, 1, encode_market(market))
    terms = FundingTerms(hours * HOUR_S, None, None, round((PAYS_S + terms_received_s) * 1_000))
    made._instruments._rows[KEY] = encode_row(1, 1, encode_instrument(Instrument(funding=terms)))
    return made


async def frozen(made: Tables, window: Window = WINDOW) -> FrozenMarket | str:
    return made.freeze(await made.read_prices(window), 1, window)


async def test_terms_name_the_ticks_that_mark_and_rate_were_said_in(topics: HeldTopics) -> None:
    topics.tick(-2, mark="109", rate="0.0001")
    topics.tick(0, mark="110", rate="0.0004", interval_ends_s=PAYS_S + 8 * HOUR_S)
    topics.tick(3, mark="500", rate="0.5", interval_ends_s=PAYS_S + 8 * HOUR_S)
    partition = partition_of(KEY, Settings().topics.partitions)
    assert FrozenMarket(
        mark=str(110 * E18),
        mark_key="venue:AAA",
        venue_rate=str(E18 // 10_000),
        long=str(-E18 // 20_000),
        short=str(E18 * 3 // 80_000),
        mark_tick=TickRef("venue:AAA", partition, 1, PAYS_S * 1_000),
        rate_tick=TickRef("venue:AAA", partition, 0, (PAYS_S - 2) * 1_000),
        interval_s=8 * HOUR_S,
    ) == await frozen(tables())
    assert [PRICE_TICKS] == topics.asked


async def test_a_feed_that_was_silent_about_the_instant_is_priced_when_it_is_back(topics: HeldTopics) -> None:
    made = tables()
    topics.tick(-7)
    assert Unpriced.NOT_PASSED == await frozen(made)
    topics.tick(6, mark="500")
    found = await frozen(made)
    assert isinstance(found, FrozenMarket)
    assert found.mark == str(110 * E18)
    assert found == await frozen(tables())


async def test_an_interval_that_changed_with_the_instant_is_not_taken_for_the_one_that_ended(
    topics: HeldTopics,
) -> None:
    topics.tick(-1)
    topics.tick(3)
    topics.terms(-900, hours=8)
    topics.terms(-300, hours=4)
    topics.terms(5, hours=1)
    found = await frozen(tables(terms_received_s=5, hours=1))
    assert isinstance(found, FrozenMarket)
    assert (4 * HOUR_S, str(-E18 // 5_000)) == (found.interval_s, found.long)
    assert [PRICE_TICKS, INSTRUMENT_FACTS] == topics.asked


async def test_an_interval_of_which_nothing_was_said_before_is_the_first_that_is_known(topics: HeldTopics) -> None:
    topics.tick(-1)
    topics.tick(3)
    found = await frozen(tables(terms_received_s=5, hours=1))
    assert isinstance(found, FrozenMarket)
    assert HOUR_S == found.interval_s


async def test_without_scaling_no_interval_is_needed(topics: HeldTopics) -> None:
    topics.tick(-1)
    topics.tick(3)
    made = tables(scale=False)
    made._instruments._rows.clear()
    found = await frozen(made)
    assert isinstance(found, FrozenMarket)
    assert (None, str(-E18 // 5_000)) == (found.interval_s, found.long)


async def test_who_reads_a_window_keeps_it_while_another_hedgers_executor_reads_the_next(topics: HeldTopics) -> None:
    topics.tick(-1)
    topics.tick(3)
    made = tables()
    ticks = await made.read_prices(WINDOW)
    later_s = PAYS_S + EPOCH_S
    await made.read_prices(Window(EPOCH_S, later_s, later_s, later_s + WINDOW_S))
    assert isinstance(made.freeze(ticks, 1, WINDOW), FrozenMarket)


async def test_a_market_that_becomes_known_after_its_window_was_first_read_is_priced_too(topics: HeldTopics) -> None:
    topics.tick(-1)
    topics.tick(3)
    made = tables()
    market = made._markets._rows.pop(market_key("main", 1))
    assert Unpriced.NOT_KNOWN == await frozen(made)
    made._markets._rows[market_key("main", 1)] = market
    assert isinstance(await frozen(made), FrozenMarket)


async def test_a_market_of_an_unknown_interval_has_no_terms(topics: HeldTopics) -> None:
    topics.tick(-1)
    topics.tick(3)
    made = tables()
    made._instruments._rows.clear()
    assert Unpriced.NO_INTERVAL == await frozen(made)


async def test_what_is_no_tick_of_the_key_is_passed_over(topics: HeldTopics) -> None:
    topics.tick(-1)
    stray = MarkTick("venue", "BBB", PAYS_S * 1_000, PAYS_S * 1_000, "5", None, "0", None)
    topics.records[PRICE_TICKS] += [(KEY, encode_tick(stray)), (KEY, b"nonsense"), (b"venue:BBB", encode_tick(stray))]
    topics.tick(3)
    found = await frozen(tables())
    assert isinstance(found, FrozenMarket)
    assert str(110 * E18) == found.mark


async def test_a_market_whose_window_is_nearly_half_of_its_epoch_is_refused(topics: HeldTopics) -> None:
    topics.tick(-1)
    topics.tick(3)
    half_s = (EPOCH_S - LATE_S) // 2
    refused = await frozen(tables(window_s=half_s), WINDOW._replace(closes_s=PAYS_S + half_s))
    assert "half of the epoch of 14400 s, found 7050 s" in str(refused)
    charged = await frozen(tables(window_s=half_s - 1), WINDOW._replace(closes_s=PAYS_S + half_s - 1))
    assert isinstance(charged, FrozenMarket)


async def test_before_the_epoch_the_instant_is_when_the_window_opens(topics: HeldTopics) -> None:
    window = Window(EPOCH_S, PAYS_S, PAYS_S - WINDOW_S, PAYS_S - 1)
    topics.tick(-WINDOW_S - 1, mark="109")
    topics.tick(-WINDOW_S + 1, mark="110")
    topics.tick(-WINDOW_S + 3, mark="111")
    made = tables(when=When.BEFORE)
    found = await frozen(made, window)
    assert isinstance(found, FrozenMarket)
    assert str(109 * E18) == found.mark


def test_markets_whose_window_never_opens_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    made = tables(window_s=EPOCH_S, when=When.BEFORE)
    assert [{}, {}] == [made.open_windows(PAYS_S - 60), made.open_windows(PAYS_S + 60)]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "never charged symbols=[1]: expected a window in which" in said
    assert {} == tables(when=When.BEFORE).open_windows(PAYS_S + 60)
    assert 1 == len(caplog.records)


async def test_accounts_are_read_as_far_as_what_vouches_for_them_before_positions_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = tables()
    row = encode_row(1, 1, encode_watermark(DeploymentWatermark(head_time_s=PAYS_S)))
    made._watermarks._rows |= {f"main:{number}".encode(): row for number in range(Settings().topics.partitions)}
    read: list[str] = []

    async def until_now(feed: Feed) -> None:
        read.append(feed.topic)

    monkeypatch.setattr(Feed, "read_until_now", until_now)
    assert PAYS_S == await made.known_until_s()
    assert [made._markets.topic, made._accounts.topic] == read


async def test_a_broker_that_does_not_hand_out_the_accounts_ends_the_pass_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(feed: Feed) -> None:
        del feed
        raise KafkaConnectionError

    monkeypatch.setattr(Feed, "read_until_now", fails)
    with pytest.raises(NotRead, match="the accounts that were folded by 0, found"):
        await tables().known_until_s()


def test_positions_of_an_account_that_missed_records_are_those_of_its_last_good_row() -> None:
    made = tables()
    opened = [
        log("LockQuote", HEDGER, 1),
        log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 100 * E18),
    ]
    account = None
    for offset, logs in enumerate(((allocate(1_000 * E18),), (fee_out(0), send_quote(1)), opened)):
        account = advance(account, Transaction((offset, 0), offset, 1_000 + offset, f"0x{offset:02x}", tuple(logs)))
    assert account is not None
    missed = UnreadAccount(account.version, SYMMIO.write(account), None).missing((7, 0), "a later version's")
    made._accounts._rows[account_key("main", ALICE)] = join_row(1, missed.version, missed.encode())

    assert [1] == [one.quote_id for one in made.positions(HEDGER)[ALICE]]


def test_nothing_is_charged_by_a_row_that_cannot_be_read() -> None:
    made = tables()
    made._accounts._rows[account_key("main", "0x01")] = encode_row(1, 1, {"block": 1})
    assert {} == made.positions("0xb")
    made._instruments._rows[KEY] = encode_row(1, 2, {})
    assert made._funding_terms(KEY) is None
    made._markets._rows[market_key("main", 1)] = encode_row(1, 2, {})
    assert {} == made.open_windows(PAYS_S + 60)

    assert made.refusal is None
    made._watermarks._rows[b"main:1"] = encode_row(1, 1, {})
    assert made.refusal == "whether the deployment is supported cannot be read out of its watermark main:1"
    assert 0 == made.time_s
