from __future__ import annotations

import csv
from collections import Counter

import pytest

from models.chain_records import RawLog
from models.codec import encode_row
from models.symmio.abi import CATALOGUE, DUPLICATE_OF, BadLog, UnknownTopic, decode_log
from models.symmio.catalogue import ENTRIES, Treatment
from models.symmio.events import (
    AddAccount,
    BalanceChange,
    BalanceChangePartyB,
    MarketSettings,
    OtherEvent,
    SendQuote,
    SettleUpnl,
)
from models.symmio.markets import decode_market, encode_market
from tests.support.recording import DATA, GOLDEN_LOGS, read_json, recorded_blocks
from tests.support.symmio import ALICE, DIAMOND, E18, HEDGER, LIQUIDATOR, MULTI_ACCOUNT, log, send_quote


def _listed() -> list[tuple[str, str, str]]:
    with (DATA / "symmio" / "events.tsv").open() as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if not row[0].startswith("#")]
    return [(contract, topic0, declaration) for contract, topic0, declaration in rows]


def test_catalogue_holds_every_event_of_the_public_abis_and_no_other() -> None:
    expected = {(contract, topic0) for contract, topic0, _ in _listed()}

    assert expected == {(event.entry.contract.value, event.topic0) for event in CATALOGUE.values()}
    assert len(ENTRIES) == len(CATALOGUE)


def test_catalogue_names_parameters_as_the_abis_do() -> None:
    expected = {topic0: declaration for _, topic0, declaration in _listed()}

    for event in CATALOGUE.values():
        assert expected[event.topic0].replace(" indexed", "") == event.entry.declaration.replace(" indexed", "")


def test_every_event_says_why_it_is_treated_as_it_is() -> None:
    assert all(entry.reason for entry in ENTRIES)
    assert {Treatment.FOLDED, Treatment.SETTING, Treatment.IGNORED, Treatment.UNSUPPORTED} == {
        entry.treatment for entry in ENTRIES
    }


def test_every_legacy_form_names_modern_forms_of_its_name() -> None:
    for legacy, modern in DUPLICATE_OF.items():
        names = {CATALOGUE[topic0].name for topic0 in modern}
        assert names == set(CATALOGUE[legacy].entry.modern)


def test_every_recorded_log_decodes() -> None:
    logs = [one for block in recorded_blocks(read_json(GOLDEN_LOGS)) for one in block.logs]

    decoded = Counter(type(decode_log(one)).__name__ for one in logs)

    assert 1299 == decoded.total()
    assert 118 == decoded["SendQuote"]


def test_indexed_parameters_are_read_from_topics() -> None:
    event = decode_log(log("BalanceChangePartyB", HEDGER, ALICE, 7, 5))

    assert BalanceChangePartyB(HEDGER, ALICE, 7, BalanceChange.REALIZED_PNL_OUT) == event


def test_addresses_are_read_in_lower_case() -> None:
    spelled = "0x" + "Ab" * 20

    assert AddAccount(spelled.lower(), ALICE, "main", MULTI_ACCOUNT) == decode_log(
        log("AddAccount", spelled, ALICE, "main", address=MULTI_ACCOUNT)
    )


def test_a_name_that_is_not_utf8_is_read_with_replacements() -> None:
    encoded = log("AddAccount", ALICE, ALICE, "main", address=MULTI_ACCOUNT)
    broken = RawLog(
        MULTI_ACCOUNT, encoded.topics, encoded.data.replace(b"main".hex(), b"ma\xff\xfe".hex()), encoded.tx, 0, 0
    )

    event = decode_log(broken)

    assert isinstance(event, AddAccount)
    assert "ma\ufffd\ufffd" == event.name


def test_settlement_data_without_prices_settles_nothing() -> None:
    event = decode_log(log("SettleUpnl", [(5, E18, 0), (6, E18, 0)], [], LIQUIDATOR, 0, [0]))

    assert SettleUpnl(LIQUIDATOR, ()) == event


def test_a_setting_keeps_its_name_and_parameters() -> None:
    assert OtherEvent("SetCollateral", {"collateral": ALICE}) == decode_log(log("SetCollateral", ALICE))


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(UnknownTopic, match="expected an event of SYMMIO"):
        decode_log(RawLog(DIAMOND, ("0x" + "12" * 32,), "0x", "0x", 0, 0))


def test_an_anonymous_log_is_refused() -> None:
    with pytest.raises(UnknownTopic):
        decode_log(RawLog(DIAMOND, (), "0x", "0x", 0, 0))


@pytest.mark.parametrize(
    "data",
    [
        "0x",
        "0x" + "00" * 31,
        "0x" + "00" * 32 * 13,
        "0x" + "ff" * 32 * 15,
        "0x" + "zz" * 32 * 15,
        "0x0",
        send_quote().data + "00",
    ],
)
def test_data_that_is_not_what_the_event_declares_is_refused(data: str) -> None:
    with pytest.raises(BadLog, match="SendQuote"):
        decode_log(RawLog(DIAMOND, send_quote().topics, data, "0x", 0, 0))


def test_a_missing_topic_is_refused() -> None:
    whole = log("BalanceChangePartyA", ALICE, 1, 0)

    with pytest.raises(BadLog, match="expected 2 topics of BalanceChangePartyA, found 1"):
        decode_log(RawLog(DIAMOND, whole.topics[:1], whole.data, "0x", 0, 0))


def test_data_beyond_the_declared_words_is_refused() -> None:
    whole = log("LockQuote", HEDGER, 1)

    with pytest.raises(BadLog, match="expected 64 bytes, found 96"):
        decode_log(RawLog(DIAMOND, whole.topics, whole.data + "00" * 32, "0x", 0, 0))


@pytest.mark.parametrize(
    "out_of_range",
    [
        log("BalanceChangePartyA", ALICE, 1, 12),
        log("RequestToCancelQuote", ALICE, HEDGER, 11, 1),
        send_quote(side=2),
        send_quote(order_type=2),
        log("ExpireQuote", 3, 1),
        log("ChargeFundingRate", HEDGER, ALICE, [1, 2], [5]),
    ],
)
def test_a_value_that_this_version_does_not_know_is_refused(out_of_range: RawLog) -> None:
    with pytest.raises(BadLog, match="in their ranges"):
        decode_log(out_of_range)


@pytest.mark.parametrize(
    "beyond",
    [
        send_quote(2**63),
        send_quote(symbol_id=2**64),
        log("LockQuote", HEDGER, 2**255),
        log("AcceptCancelRequest", 2**63, 3),
        log("ChargeFundingRate", HEDGER, ALICE, [1, 2**63], [5, 5]),
        log("AddSymbol", 2**63, "BTCUSDT", 1, 1, 1, 1, 1, 1),
        log("AddSymbol", 1, "BTCUSDT", 1, 1, 1, 1, 2**63, 1),
        log("SetSymbolFundingState", 1, 1, 2**64),
        log("SetSymbolTradingFee", 2**63, 1, 1),
    ],
)
def test_a_number_beyond_what_a_row_holds_is_refused(beyond: RawLog) -> None:
    with pytest.raises(BadLog, match=r"in their ranges: expected .* of at most 63 bits"):
        decode_log(beyond)


def test_amounts_may_be_as_large_as_the_chain_can_say() -> None:
    largest = 2**256 - 1

    market = decode_log(log("AddSymbol", 2**63 - 1, "BTCUSDT", largest, largest, largest, largest, 1, 2**63 - 1))
    sent = decode_log(send_quote(2**63 - 1, price=largest, market_price=largest, quantity=largest))

    assert isinstance(market, MarketSettings)
    assert market.market == decode_market(2**63 - 1, encode_row(1, 1, encode_market(market.market)))
    assert isinstance(sent, SendQuote)
    assert largest == sent.price
