"""Records of a ledger, folded: in order, twice, late, with gaps, and after what cannot be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codec import encode_body, join_row
from models.errors import BadRecord, BadRow
from models.ledger.ledger_objects import Notice, Offer
from models.ledger.ledger_state import read_statement
from models.ledger.ledger_venue import LEDGER
from models.watermarks import DeploymentWatermark
from tests.support.ledger import NOW_MS, order, position, record, said, wallet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.ledger.ledger_account import LedgerAccount

NOWHERE = DeploymentWatermark()


class Folded:
    """An account into which records are folded, and what its readers were told."""

    def __init__(self) -> None:
        self.account: LedgerAccount | None = None
        self.events: list[dict[str, Any]] = []
        self.offset = 0

    def say(self, *records: bytes) -> Folded:
        for value in records:
            own = LEDGER.decode(value, (self.offset, -1))
            after = LEDGER.fold(self.account, own, NOWHERE)
            self.events += LEDGER.events(self.account, own, after)
            self.account = after
            self.offset += 1
        return self

    @property
    def known(self) -> LedgerAccount:
        assert self.account is not None
        return self.account

    @property
    def kinds(self) -> list[str]:
        return [one["kind"] for one in self.events]

    @property
    def state(self) -> dict[str, Any]:
        """What readers and valuations see, wherever the records stood."""
        return dict(LEDGER.statement(self.known))


def five() -> list[bytes]:
    return [
        record("account_opened", 1, owner="ann"),
        record("wallet_set", 2, wallet=wallet("100")),
        record("position_set", 3, position=position("1", "100")),
        record("position_set", 4, position=position("2", "105")),
        record("position_closed", 5, position=position("0", "105")),
    ]


def test_records_in_order_are_folded_and_told_one_by_one() -> None:
    folded = Folded().say(*five())
    assert folded.kinds == [
        "account_opened", "wallet_changed", "position_opened", "position_changed", "position_closed"
    ]  # fmt: skip
    assert [one["seq"] for one in folded.events] == [1, 2, 3, 4, 5]
    assert (folded.state["owner"], folded.state["seq"], folded.state["time_ms"]) == ("ann", 5, NOW_MS + 5)
    assert folded.state["positions"] == ()
    assert folded.events[-1]["position"]["amount"] == "0"
    assert folded.events[-1]["cause"] == "test 5"


def test_a_duplicate_and_a_late_record_change_nothing() -> None:
    folded = Folded().say(*five())
    before, told = folded.known, list(folded.events)
    folded.say(five()[4], five()[1], record("wallet_set", 2, wallet=wallet("999")))
    assert folded.known is before
    assert folded.events == told


def test_a_record_that_is_delivered_again_changes_nothing() -> None:
    folded = Folded().say(*five())
    again = LEDGER.decode(record("wallet_set", 6, wallet=wallet("1")), (4, -1))
    assert LEDGER.fold(folded.known, again, NOWHERE) is folded.known


def test_a_gap_makes_the_account_suspect_and_shows_the_last_good_state() -> None:
    one, two, _, four, five_ = five()
    folded = Folded().say(one, two, four)
    assert folded.kinds[-1] == "account_doubted"
    assert folded.known.suspicion is not None
    assert folded.known.suspicion.startswith("expected record 3, found later ones up to 4")
    assert folded.state["positions"] == ()
    folded.say(five_)
    assert folded.state["suspect"].startswith("expected record 3, found later ones up to 5")
    # Only the record that made it suspect is said to have done so.
    assert folded.known.suspicion is None


def test_the_missing_record_repairs_the_account_and_loses_no_event() -> None:
    one, two, three, four, five_ = five()
    folded = Folded().say(one, two, five_, four, four, three)
    assert folded.state == Folded().say(*five()).state
    assert folded.kinds == [
        "account_opened", "wallet_changed", "account_doubted", "position_opened", "position_changed",
        "position_closed", "account_restored",
    ]  # fmt: skip
    assert folded.known.waiting == ()


def test_a_snapshot_in_the_middle_repairs_the_account_and_later_records_follow_it() -> None:
    one, two, _, _, five_ = five()
    folded = Folded().say(one, two, five_)
    folded.say(record("snapshot", 4, owner="ann", wallets=[wallet("90")], positions=[position("2", "105")]))
    assert folded.kinds[-5:] == [
        "account_doubted", "wallet_changed", "position_opened", "position_closed", "account_restored"
    ]  # fmt: skip
    assert (folded.state["seq"], folded.state["suspect"]) == (5, None)
    folded.say(record("wallet_set", 6, wallet=wallet("91")))
    assert folded.state["wallets"][0]["balance"] == "91"


def test_a_snapshot_from_before_changes_nothing() -> None:
    folded = Folded().say(*five())
    before = folded.known
    folded.say(record("snapshot", 3, wallets=[wallet("1")]))
    assert folded.known is before


def test_a_snapshot_tells_what_it_changed_and_closes_what_it_left_out() -> None:
    folded = Folded().say(
        record(
            "snapshot", 1, owner="ann",
            wallets=[wallet("5"), wallet("7", "BTC")],
            positions=[position("1", "100"), position("-1", "10", "tETHUSD")],
            orders=[order(1, "1", "90"), order(2, "1", "80")],
        )
    )  # fmt: skip
    told = len(folded.events)
    folded.say(
        record(
            "snapshot", 2, owner="ann",
            wallets=[wallet("5")],
            positions=[position("1", "100"), position("3", "30", "tXYZUSD")],
            orders=[order(2, "0.5", "80"), order(3, "1", "70")],
        )
    )  # fmt: skip
    news = folded.events[told:]
    assert [(one["kind"], *list(one.values())[4:]) for one in news] == [
        ("wallet_changed", msgspec.to_builtins(wallet("0", "BTC"))),
        ("position_closed", msgspec.to_builtins(position("0", "10", "tETHUSD", updated_ms=NOW_MS + 2))),
        ("position_opened", msgspec.to_builtins(position("3", "30", "tXYZUSD"))),
        ("order_closed", msgspec.to_builtins(order(1, "1", "90"))),
        ("order_changed", msgspec.to_builtins(order(2, "0.5", "80"))),
        ("order_opened", msgspec.to_builtins(order(3, "1", "70"))),
    ]


def test_a_notification_is_told_and_not_kept() -> None:
    folded = Folded().say(*five()).say(record("notification", 6, notice=Notice(type="info", text="hello")))
    assert folded.events[-1]["notice"]["text"] == "hello"
    assert "notice" not in folded.state


def test_offers_are_kept_by_id() -> None:
    offer = Offer(
        id=9, symbol="fUSD", type="LIMIT", status="ACTIVE", amount="50", amount_orig="50", rate="0.001", period_days=2
    )
    folded = Folded().say(record("offer_set", 1, offer=offer))
    assert folded.state["offers"] == (msgspec.to_builtins(offer),)
    folded.say(record("offer_closed", 2, offer=msgspec.structs.replace(offer, status="CANCELED", amount="0")))
    assert folded.state["offers"] == ()
    assert folded.kinds == ["offer_opened", "offer_closed"]


def test_a_record_that_cannot_be_read_is_missing_until_a_better_one_of_its_number_comes() -> None:
    one, two, three, four, five_ = five()
    bad = json.dumps(said("position_set", 3, position={"symbol": "tBTCUSD"})).encode()
    folded = Folded().say(one, two, bad)
    assert "amount" in str(folded.known.suspicion) or "missing required field" in str(folded.known.suspicion)
    assert folded.state["suspect"] is not None
    folded.say(four, three, five_)
    assert folded.state == Folded().say(*five()).state


def test_a_record_without_a_number_is_made_good_by_a_snapshot_alone() -> None:
    folded = Folded().say(*five()[:2], b"\xff\x00 no record")
    assert folded.known.suspicion is not None
    folded.say(*five()[2:])
    assert folded.state["suspect"] is not None
    folded.say(record("snapshot", 6, wallets=[wallet("1")]))
    assert folded.state["suspect"] is None
    assert folded.kinds[-1] == "account_restored"


def test_a_bad_repeat_of_what_was_folded_is_refused_and_leaves_the_account_sound() -> None:
    folded = Folded().say(*five())
    bad = LEDGER.decode(json.dumps({**said("wallet_set", 2), "wallet": 7}).encode(), (9, -1))
    with pytest.raises(BadRecord, match="wallet"):
        LEDGER.fold(folded.known, bad, NOWHERE)


@pytest.mark.parametrize(
    "field",
    [
        *("pl", "pl_perc", "price_liq", "leverage", "collateral_min", "balance_available", "user_pl", "user_swaps"),
        *("margin_balance", "margin_net", "margin_required", "tradable_balance", "gross_balance", "aum", "aum_net"),
    ],
)
def test_what_is_calculated_here_is_refused_by_name(field: str) -> None:
    what = {**msgspec.to_builtins(position("1", "100")), field: "1"}
    folded = Folded().say(record("position_set", 1, position=what))
    assert str(folded.known.suspicion).startswith(f"expected no {field}, which is calculated here from marks")


@pytest.mark.parametrize(
    ("kind", "what", "fault"),
    [
        ("position_set", {"position": position("0", "100")}, "amount other than 0"),
        ("position_set", {"position": position("1", "0")}, "base_price above 0"),
        ("position_closed", {"position": position("1", "100")}, "amount of 0"),
        ("snapshot", {"wallets": [wallet("1"), wallet("2")]}, "each wallet once"),
        ("snapshot", {"orders": [order(1, "1", "1"), order(1, "1", "1")]}, "each order once"),
        ("wallet_set", {"wallet": {**msgspec.to_builtins(wallet("1")), "balance": 1.5}}, "Expected `str`"),
        ("wallet_set", {"wallet": {**msgspec.to_builtins(wallet("1")), "balance": "1e5"}}, "regex"),
        ("wallet_set", {"wallet": {**msgspec.to_builtins(wallet("1")), "balance": "1\n"}}, "regex"),
        ("wallet_set", {"wallet": wallet("1"), "v": 2}, "Invalid enum value 2"),
        ("wallet_set", {"wallet": {**msgspec.to_builtins(wallet("1")), "meta": {"x": "y" * 5_000}}}, "at most 4096"),
        ("wallet_gone", {"wallet": wallet("1")}, "wallet_gone"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_with_its_fault(kind: str, what: object, fault: str) -> None:
    folded = Folded().say(json.dumps({**said(kind, 1), **msgspec.to_builtins(what)}).encode())
    assert fault in str(folded.known.suspicion)
    assert folded.state["suspect"] is not None


def test_only_so_many_records_wait_and_the_rest_has_to_come_again() -> None:
    rest = [record("wallet_set", seq, wallet=wallet(str(seq))) for seq in range(2, 60)]
    folded = Folded().say(*rest)
    assert len(folded.known.waiting) == 32
    folded.say(record("account_opened", 1))
    assert (folded.state["seq"], folded.state["suspect"] is None) == (33, False)
    folded.say(*rest)
    assert (folded.state["seq"], folded.state["suspect"]) == (59, None)


def test_a_sooner_record_takes_the_room_of_the_latest_one_that_waits() -> None:
    folded = Folded().say(*(record("wallet_set", seq, wallet=wallet("1")) for seq in (*range(3, 35), 2)))
    assert [one.seq for one in folded.known.waiting] == list(range(2, 34))
    folded.say(record("account_opened", 1))
    assert folded.state["seq"] == 33
    assert folded.state["suspect"] == "expected record 34, found later ones up to 34: send it again, or a snapshot"


@pytest.mark.parametrize("what", [{"wallet": wallet("1")}, {"wallet": 7}])
def test_a_number_from_nowhere_is_made_good_by_any_snapshot(what: dict[str, Any]) -> None:
    folded = Folded().say(*five(), json.dumps({**said("wallet_set", 2**53 - 1), **msgspec.to_builtins(what)}).encode())
    assert folded.state["suspect"] is not None
    folded.say(record("wallet_set", 6, wallet=wallet("2")))
    assert (folded.state["seq"], folded.state["suspect"] is None) == (6, False)
    folded.say(record("snapshot", 7, wallets=[wallet("3")]), record("wallet_set", 8, wallet=wallet("4")))
    assert (folded.state["seq"], folded.state["suspect"]) == (8, None)


def test_a_snapshot_may_number_as_it_likes_and_records_go_on_from_there() -> None:
    folded = Folded().say(*five(), record("snapshot", NOW_MS), record("wallet_set", NOW_MS + 1, wallet=wallet("4")))
    assert (folded.state["seq"], folded.state["suspect"]) == (NOW_MS + 1, None)


def test_an_account_that_grows_too_large_refuses_what_is_too_much() -> None:
    many = [order(number, "1", "1", type_="L" * 150) for number in range(400)]
    folded = Folded().say(record("snapshot", 1, orders=many))
    assert folded.state["suspect"] is None
    more = [order(number, "1", "1", type_="L" * 150) for number in range(900)]
    folded.say(record("snapshot", 2, orders=more))
    assert "bytes" in str(folded.known.suspicion)
    assert len(folded.state["orders"]) == 400


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(range(12)), max_size=30).flatmap(lambda more: st.permutations([*range(12), *more])),
    st.integers(0, 11),
)
def test_in_whatever_order_and_however_often_records_come_the_account_is_the_same(
    turns: Sequence[int], snapshot_at: int
) -> None:
    records = [
        record("wallet_set", seq, wallet=wallet(str(seq))) if seq % 3
        else record("position_set", seq, position=position(str(seq), "100"))
        for seq in range(1, 13)
    ]  # fmt: skip
    so_far = Folded().say(*records[:snapshot_at])
    if snapshot_at:
        kept = {name: so_far.state[name] for name in ("wallets", "positions")}
        records[snapshot_at - 1] = record("snapshot", snapshot_at, **kept)
    straight, turned = Folded().say(*records), Folded().say(*(records[turn] for turn in turns))
    assert turned.state == straight.state
    assert turned.known.waiting == ()


def test_a_row_is_read_as_it_was_written() -> None:
    one, two, three, *rest = five()
    for records in ([one, two, three], [one, *rest], [b"?"], [one, two, b"?", *rest]):
        account = Folded().say(*records).known
        read = LEDGER.read(join_row(4, account.version, LEDGER.write(account)))
        assert read == account
        assert LEDGER.read_held(join_row(4, account.version, LEDGER.write(account))) == LEDGER.held(account)


@pytest.mark.parametrize("body", [{"venue": "paper"}, {}])
def test_a_row_of_another_venue_is_refused(body: dict[str, str]) -> None:
    with pytest.raises(BadRow, match="ledger"):
        LEDGER.read(join_row(1, 1, encode_body(body)))
    account = Folded().say(five()[0]).known
    other = LEDGER.write(account).replace(b'"ledger"', b'"symmio"')
    with pytest.raises(BadRow, match="found 1 of symmio"):
        LEDGER.read(join_row(1, 1, other))


def test_a_statement_is_read_as_it_was_written() -> None:
    folded = Folded().say(*five()[:4], record("order_set", 5, order=order(3, "1", "90")))
    assert read_statement(json.loads(json.dumps(folded.state))) == folded.known.holdings


def test_core_can_doubt_an_account_and_a_snapshot_settles_it() -> None:
    folded = Folded().say(*five()[:2])
    doubted = LEDGER.doubt(folded.known, (7, -1), "a cause")
    assert (doubted.holdings.suspect, doubted.suspicion) == ("a cause", "a cause")
    assert LEDGER.doubt(doubted, (7, -1), "another") is doubted
    folded.account, folded.offset = doubted, 8
    folded.say(record("wallet_set", 3, wallet=wallet("1")))
    assert folded.state["suspect"] == "a cause"
    folded.say(record("snapshot", 4))
    assert folded.state["suspect"] is None
    assert LEDGER.doubt(None, (7, -1), "new").holdings.suspect == "new"
