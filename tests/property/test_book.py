"""Whatever is put, published, watched and repriced, in whatever order: the book tells what a plain sum tells.

Amounts, marks and the deadband are binary fractions, so sums are exact in floats and every edge is hit exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import book as book_module
from models import places as places_module
from models.book import ExposureBook
from models.book_figures import Market, Shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEADBAND = 1 / 16
_MARKETS: list[Market] = [("d", number) for number in range(11)]
_KEYS = [b"%d" % number for number in range(5)]
_NEVER = float("-inf")


@dataclass
class _Account:
    signed: Mapping[Market, float]
    cost: float
    margin: float
    moved_s: float = _NEVER
    moved: bool = True
    told: bool = False
    always: bool = True
    shown: Shown | None = None


@dataclass
class _Model:
    """The book's rules, one account and one sum at a time."""

    accounts: dict[bytes, _Account] = field(default_factory=dict)
    watched: set[bytes] = field(default_factory=set)
    marks: dict[Market, float] = field(default_factory=dict)

    def available(self, account: _Account) -> float:
        value = sum(amount * self.marks.get(market, 0.0) for market, amount in account.signed.items())
        return account.margin + value - account.cost

    def shown(self, key: bytes) -> Shown | None:
        account = self.accounts[key]
        marks = {market: self.marks.get(market, 0.0) for market in account.signed}
        if not all(marks.values()):
            return None
        notional = sum(abs(amount) * marks[market] for market, amount in account.signed.items())
        return Shown(self.available(account), notional)

    def is_due(self, key: bytes) -> bool:
        account = self.accounts[key]
        if not account.moved or account.told:
            return False
        if key in self.watched or account.always:
            return True
        if account.shown is None:
            return False
        now, then = self.available(account), account.shown.available
        crosses = now >= 0 if then < 0 else now <= 0
        return crosses or abs(now - then) > _DEADBAND * account.shown.notional

    def holders(self, markets: Iterable[Market]) -> set[bytes]:
        return {key for key, account in self.accounts.items() if not account.signed.keys().isdisjoint(markets)}

    def tell(self, keys: Iterable[bytes]) -> set[bytes]:
        due = {key for key in keys if self.is_due(key)}
        for key in due:
            self.accounts[key].told = True
        return due

    def put(self, key: bytes, signed: Mapping[Market, float], cost: float, margin: float) -> None:
        self.accounts[key] = _Account(signed, cost, margin)

    def publish(self, key: bytes) -> None:
        account = self.accounts[key]
        account.shown = self.shown(key)
        account.moved = account.told = account.always = False

    def move(self, keys: Iterable[bytes], at_s: float) -> None:
        for account in (self.accounts[key] for key in keys):
            if not account.moved:
                account.moved, account.moved_s = True, at_s

    def reprice(self, marks: Mapping[Market, float], at_s: float, *, sweeps: bool) -> set[bytes]:
        moved = {market for market, mark in marks.items() if mark != self.marks.get(market, 0.0)}
        flipped = {market for market in moved if not marks[market] or not self.marks.get(market, 0.0)}
        self.marks.update(marks)
        for key in self.holders(flipped):
            self.accounts[key].always = True
        holders = self.holders(moved)
        self.move(holders, at_s)
        return self.tell(self.accounts if sweeps and holders else holders)

    def touch(self, market: Market, at_s: float) -> set[bytes]:
        self.move(self.holders([market]), at_s)
        return self.tell(self.holders([market]))

    def oldest_s(self) -> float | None:
        return min((it.moved_s for it in self.accounts.values() if it.moved and it.moved_s > _NEVER), default=None)

    def overdue(self, before_s: float) -> set[bytes]:
        late = {
            key
            for key, account in self.accounts.items()
            if account.moved and not account.told and account.moved_s < before_s
        }
        for key in late:
            self.accounts[key].told = True
        return late


_key = st.sampled_from(_KEYS)
_market = st.sampled_from(_MARKETS)
_amount = st.integers(-32, 32).map(lambda eighths: eighths / 8)
_mark = st.sampled_from((0.0, 1.0, 1.125, 1.25, 2.0, 2.125, 4.0, 4.25, 8.0))
_money = st.integers(-400, 400).map(lambda quarters: quarters / 4)
_way = st.sampled_from(("nudges", "shifts", "sweeps"))
_step = st.one_of(
    # More than a row has slots for, and more than two rows have.
    st.tuples(st.just("put"), _key, st.dictionaries(_market, _amount, min_size=5), _money, _money),
    st.tuples(st.just("put"), _key, st.fixed_dictionaries(dict.fromkeys(_MARKETS, _amount)), _money, _money),
    st.tuples(st.just("put"), _key, st.dictionaries(_market, _amount, max_size=3), _money, _money),
    st.tuples(st.just("publish"), _key),
    st.tuples(st.just("publish all")),
    st.tuples(st.just("watch"), _key),
    st.tuples(st.just("unwatch"), _key),
    st.tuples(st.just("reprice"), st.dictionaries(_market, _mark, max_size=2), _way),
    st.tuples(st.just("reprice"), st.fixed_dictionaries(dict.fromkeys(_MARKETS, _mark)), _way),
    st.tuples(st.just("touch"), _market),
    st.tuples(st.just("overdue"), st.integers(0, 40)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_step, min_size=15, max_size=50))
def test_the_book_tells_what_plain_sums_tell(steps: list[tuple[object, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # So small that a handful of accounts grows the columns, takes several pages, and is swept in several blocks.
        patch.setattr(book_module, "_PAGE_ROWS", 2)
        patch.setattr(places_module, "_PAGE_PLACES", 2)
        patch.setattr(book_module, "_BLOCK_ROWS", 4)
        book, model = ExposureBook(_DEADBAND), _Model()
        for at_s, step in enumerate(steps):
            _take(step, at_s, book, model, patch)
            assert model.accounts.keys() == book.keys()
            assert model.oldest_s() == book.oldest_s()
        assert model.overdue(1e9) == _once(book.overdue(1e9))
        for market in _MARKETS:
            _publish(list(model.accounts), book, model)
            for key in model.accounts:
                assert not book.watch(key)
            assert model.holders([market]) == _once(book.touch(market, 1e9))


def _take(step: tuple[object, ...], at_s: int, book: ExposureBook, model: _Model, patch: pytest.MonkeyPatch) -> None:
    match step:
        case ("put", bytes(key), dict(signed), float(cost), float(margin)):
            model.put(key, signed, cost, margin)
            book.put(key, signed, cost, margin)
        case ("publish", bytes(key)) if key in model.accounts:
            _publish([key], book, model)
        case ("publish all",):
            _publish(list(model.accounts), book, model)
        case ("watch", bytes(key)):
            model.watched.add(key)
            assert (key in model.accounts and model.accounts[key].moved) == book.watch(key)
        case ("unwatch", bytes(key)):
            model.watched.discard(key)
            book.unwatch(key)
        case ("reprice", dict(marks), str(way)):
            patch.setattr(book_module, "_NUDGE_HOLDERS", 10**9 if way == "nudges" else -1)
            patch.setattr(book_module, "_SHIFT_OVERHEAD_ROWS", 10**9 if way == "sweeps" else -(10**9))
            assert model.reprice(marks, at_s, sweeps=way == "sweeps") == _once(book.reprice(marks, at_s))
        case ("touch", tuple((str(deployment), int(symbol)))):
            assert model.touch((deployment, symbol), at_s) == _once(book.touch((deployment, symbol), at_s))
        case ("overdue", int(before_s)):
            assert model.overdue(before_s) == _once(book.overdue(before_s))
        case ("publish", _):
            pass  # there is no such account
        case _:
            pytest.fail(f"no such step: {step}")


def _publish(keys: list[bytes], book: ExposureBook, model: _Model) -> None:
    for key in keys:
        book.published(key, model.shown(key))
        model.publish(key)


def _once(keys: list[bytes]) -> set[bytes]:
    assert len(keys) == len(set(keys))
    return set(keys)
