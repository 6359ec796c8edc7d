"""Whatever a venue keeps between two valuations of an account changes no byte, and no name of what it was made from.

Histories are random: records come, marks move, become stale and go, references are said anew and taken away, and a
deployment is unsupported for a while. SYMMIO's own, whose holdings come of logs, are in ``test_kept_valuer.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tidemark_desk import PACKAGE as DESK
from tidemark_options import PACKAGE as INVERSE
from tidemark_paper import PACKAGE as PAPER

from models.codec import encode_body
from models.errors import BadRecord
from models.flash.flash_references import CLOCK, decode_reference
from models.flash.flash_venue import FLASH
from models.ledger.ledger_settings import Tier
from models.ledger.ledger_venue import LEDGER
from models.plain_venue import Own
from models.prices import OracleTerms, UsedMark
from models.references import UsedReference
from models.watermarks import DeploymentWatermark
from tests.support.flash import BTC_LONG, NOW_S, SOL_LONG, SOL_SHORT, basket, clock, position, references, said
from tests.support.ledger import inputs as ledger_inputs
from tests.support.ledger import position as ledger_position
from tests.support.ledger import record as ledger_record
from tests.support.ledger import wallet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.valuations import Body
    from models.venue import Valued, Venue

_seldom = st.sampled_from([False] * 9 + [True])
_bounded = settings(max_examples=60, deadline=None)


class Moving:
    """The inputs of a venue as they move, which notes the references that it is asked for."""

    def __init__(self, said_at_first: Mapping[str, Any]) -> None:
        self.marks: dict[int | str, UsedMark] = {}
        self.references = {name: UsedReference(value, 0, 0) for name, value in said_at_first.items()}
        self.asked: list[str] = []

    def mark(self, market: int | str, /) -> UsedMark | None:
        return self.marks.get(market)

    def reference(self, name: str, /) -> UsedReference | None:
        if name not in self.asked:
            self.asked.append(name)
        return self.references.get(name)

    def take_asked(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


class Step(NamedTuple):
    """What happens between two valuations: a record, marks, references; and whether the deployment is unsupported."""

    record: bytes | None
    marks: Mapping[str, UsedMark | None]
    references: Mapping[str, Any]
    unsupported: bool


def check(venue: Venue[Any, Any, Any], said_at_first: Mapping[str, Any], steps: Sequence[Step]) -> None:
    """Value an account at each step by a valuer that is kept as long as its row stands, and by a new one."""
    account, valuer, moving = None, None, Moving(said_at_first)
    given_: list[tuple[Body, bytes]] = []
    for at, step in enumerate(steps):
        for market, mark in step.marks.items():
            moving.marks.pop(market, None)
            if mark is not None:
                moving.marks[market] = mark
        for name, value in step.references.items():
            moving.references.pop(name, None)
            if value is not None:
                moving.references[name] = UsedReference(value, 0, at + 1)
        if step.record is not None:
            try:
                after = venue.fold(account, venue.decode(step.record, (at, -1)), DeploymentWatermark())
            except BadRecord:
                after = account
            if after is not account:
                account, valuer = after, venue.valuer(venue.held(after), 3)
        if account is None or valuer is None:
            continue
        valued, asked = _valued(lambda: valuer.value(moving, unsupported=step.unsupported), moving)  # noqa: B023
        held = venue.held(account)
        anew, asked_anew = _valued(lambda: venue.value(held, 3, moving, unsupported=step.unsupported), moving)  # noqa: B023
        assert (encode_body(anew.body), anew.shown) == (encode_body(valued.body), valued.shown)
        assert asked_anew == asked
        given_.append((valued.body, encode_body(valued.body)))
    assert [encoded for _, encoded in given_] == [encode_body(body) for body, _ in given_]


def _valued(value: Callable[[], Valued], moving: Moving) -> tuple[Valued, list[str]]:
    moving.take_asked()
    return value(), moving.take_asked()


def marks_of(source: str, *, seconds: int = 3) -> st.SearchStrategy[UsedMark | None]:
    """Marks of a few prices, so that some come again, of a few seconds; now and then none."""
    price = st.sampled_from([10**14, 10**18, 10**18 + 10**14, 150 * 10**18, 151 * 10**18, 60_000 * 10**18])

    def made(price_e18: int, after_s: int, offset: int, stale: bool, gone: bool) -> UsedMark | None:  # noqa: FBT001
        if gone:
            return None
        at_ms = (NOW_S + after_s) * 1_000
        return UsedMark(f"{source}:X", price_e18, at_ms, offset, stale, OracleTerms(-8, price_e18, 0, None))

    return st.builds(made, price, st.integers(0, seconds), st.integers(0, 5), st.booleans(), _seldom)


def steps_of(
    records: st.SearchStrategy[bytes],
    markets: Sequence[str],
    said_: st.SearchStrategy[Mapping[str, Any]] = st.just({}),  # noqa: B008
) -> st.SearchStrategy[list[Step]]:
    marks = st.dictionaries(st.sampled_from(markets), marks_of("v"), max_size=2)
    # An account is valued several times before the next record.
    record = st.sampled_from([False] * 3 + [True]).flatmap(lambda comes: records if comes else st.none())
    first = st.builds(
        Step, records, st.fixed_dictionaries({market: marks_of("v") for market in markets}), said_, st.just(value=False)
    )
    return st.tuples(first, st.lists(st.builds(Step, record, marks, said_, _seldom), max_size=10)).map(
        lambda parts: [parts[0], *parts[1]]
    )


# Flash.

_REFERENCES = {name: decode_reference(name, value) for name, value in references().items()}
_baskets = st.lists(
    st.tuples(st.sampled_from([SOL_LONG, SOL_SHORT, BTC_LONG]), st.sampled_from(["100", "148.52", "59000"])),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one[0],
)


@st.composite
def _flash_records(draw: st.DrawFn) -> bytes:
    held = [position(market, entry) for market, entry in draw(_baskets)]
    return said(basket(*held), slot=draw(st.integers(1, 9)))


@st.composite
def _flash_references(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from([*_REFERENCES, "", "", ""]))
    if not name:
        return {}
    if name == CLOCK:
        return {CLOCK: decode_reference(CLOCK, clock(NOW_S + draw(st.integers(0, 5)) * 3_600))}
    return {name: draw(st.sampled_from([None, _REFERENCES[name]]))}


@_bounded
@given(steps_of(_flash_records(), ["SOL", "USDC", "BTC"], _flash_references()))
def test_of_a_basket_of_flash(steps: list[Step]) -> None:
    check(FLASH, _REFERENCES, steps)


# A ledger.

_MARKETS = ["tBTCUSD", "tETHUSD", "tETHBTC", "tBTCF0:USTF0", "tUSTUSD"]
_SETTINGS = ledger_inputs(dict.fromkeys(_MARKETS, "1"), paths={"BTC": ["tBTCUSD"], "USTF0": ["tUSTUSD"]}).settings
_OTHERS = ledger_inputs(
    dict.fromkeys(_MARKETS, "1"),
    paths={"BTC": ["tETHUSD", "tETHBTC"], "USTF0": []},
    fee="0.01",
    tiers=(Tier(initial="0.02", maintenance="0.01", up_to="1000"), Tier(initial="0.2", maintenance="0.15")),
).settings


_amounts = st.sampled_from(["-2.5", "0.5", "3", "40"])
_entries = st.sampled_from(["1", "150", "59000"])


@st.composite
def _ledger_history(draw: st.DrawFn) -> list[Step]:
    name = st.sampled_from(list(_SETTINGS))
    said_ = st.dictionaries(name, st.sampled_from([0, 1, 1, 2, 2, 2]), max_size=4).map(
        lambda which: {one: (None, _SETTINGS[one], _OTHERS[one])[at] for one, at in which.items()}
    )
    steps = draw(steps_of(st.just(b""), _MARKETS, said_))
    seq, told = 1, []
    for step in steps:
        if step.record is None:
            told.append(step)
            continue
        wallets = [
            wallet(draw(_amounts), currency) for currency in draw(st.sets(st.sampled_from(["USD", "BTC", "USTF0"])))
        ]
        symbols = draw(st.sets(st.sampled_from(_MARKETS[:4]), min_size=1))
        held = [ledger_position(draw(_amounts), draw(_entries), symbol) for symbol in sorted(symbols)]
        told.append(step._replace(record=ledger_record("snapshot", seq, owner="Ann", wallets=wallets, positions=held)))
        # Now and then one comes that cannot be read, so that the account is suspect until the next.
        if draw(_seldom):
            told.append(step._replace(record=b"nonsense"))
        seq += 1
    return told


@_bounded
@given(_ledger_history())
def test_of_an_account_of_a_ledger(steps: list[Step]) -> None:
    check(LEDGER, _SETTINGS, steps)


# Packages: a plain venue, and one that implements ``Venue`` itself.


@st.composite
def _paper_records(draw: st.DrawFn) -> bytes:
    market = st.sampled_from(["BTC", "ETH"])
    sizes = st.sampled_from(["-0.5", "2", "1000"])
    kind = draw(st.sampled_from(["position", "closed", *["snapshot"] * 5, "broken"]))
    what: dict[str, Any] = {"kind": kind, "time_ms": draw(st.integers(1, 9))}
    match kind:
        case "position":
            what |= {"market": draw(market), "size": draw(sizes), "entry": "150"}
        case "closed":
            what |= {"market": draw(market), "cash": "1003.5"}
        case "snapshot":
            held = st.tuples(sizes, st.sampled_from(["1", "60000"])).map(list)
            what |= {"cash": "1000", "positions": draw(st.dictionaries(market, held, min_size=1))}
        case _:
            what = {}
    return json.dumps(what).encode()


@_bounded
@given(steps_of(_paper_records(), ["BTC", "ETH"]))
def test_of_an_account_of_a_plain_venue(steps: list[Step]) -> None:
    check(PAPER.venue, {}, steps)


@st.composite
def _desk_records(draw: st.DrawFn) -> bytes:
    at = {"time_ms": draw(st.integers(1, 9))}
    held = st.tuples(st.sampled_from(["-0.5", "2"]), st.sampled_from(["1", "60000"])).map(list)
    euros = draw(st.sampled_from(["0", "-3", "1000"]))
    positions = draw(st.dictionaries(st.sampled_from(["BTC", "ETH"]), held))
    whole = {"kind": "whole", "wallets": {"USD": "5", "EUR": euros}, "positions": positions, "orders": {}, **at}
    choices: list[dict[str, Any]] = [
        {"kind": "wallet", "currency": "EUR", "amount": euros, **at},
        *[whole] * 5,
        {"kind": "broken"},
    ]
    return json.dumps(draw(st.sampled_from(choices))).encode()


@_bounded
@given(steps_of(_desk_records(), ["BTC", "ETH", "EURUSD"]))
def test_of_an_account_of_a_plain_venue_that_overrides_its_values(steps: list[Step]) -> None:
    check(DESK.venue, {}, steps)


@st.composite
def _inverse_records(draw: st.DrawFn) -> bytes:
    at = {"time_ms": draw(st.integers(1, 9))}
    contract = {"id": draw(st.sampled_from(["1", "2"])), "market": draw(st.sampled_from(["BTC", "ETH"]))}
    one = st.fixed_dictionaries(
        {"market": st.sampled_from(["BTC", "ETH"]), "size": st.sampled_from(["-100", "300"]), "entry": st.just("150")}
    )
    held = draw(st.dictionaries(st.sampled_from(["1", "2", "3"]), one, min_size=1))
    choices: list[dict[str, Any]] = [
        {"kind": "position", "size": draw(st.sampled_from(["-100", "300"])), "entry": "150", **contract, **at},
        *[{"kind": "whole", "wallets": {"main": "2"}, "orders": {}, "positions": held, **at}] * 5,
        {"kind": "broken"},
    ]
    return json.dumps(draw(st.sampled_from(choices))).encode()


@_bounded
@given(steps_of(_inverse_records(), ["BTC", "ETH", "XBTUSD"]))
def test_of_an_account_of_a_package_that_implements_the_seam_itself(steps: list[Step]) -> None:
    check(INVERSE.venue, {}, steps)


def test_what_did_not_move_is_not_made_anew() -> None:
    """Or the tests above would say nothing of what is kept."""
    moving = Moving(_REFERENCES)
    for symbol in ("SOL", "USDC", "BTC"):
        moving.marks[symbol] = UsedMark(
            f"v:{symbol}", 10**20, NOW_S * 1_000, 1, stale=False, oracle=OracleTerms(-8, 10**20, 0, None)
        )
    account = FLASH.fold(
        None, Own((0, -1), said(basket(position(SOL_LONG), position(BTC_LONG)))), DeploymentWatermark()
    )
    valuer = FLASH.valuer(account, 3)
    before = valuer.value(moving, unsupported=False).body["positions"]
    moving.marks["BTC"] = msgspec.structs.replace(moving.marks["BTC"], mark_e18=2 * 10**20)
    after = valuer.value(moving, unsupported=False).body["positions"]
    assert [True, False] == [one is other for one, other in zip(before, after, strict=True)]
