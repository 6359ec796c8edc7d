"""Which mark each market is valued at, and which markets are said to have moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engine.board import InputBoard, PriceSource, choose_mark
from models.prices import Mark, UsedMark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.engine.board import MarketId

BTC: MarketId = ("main", 1)
ETH: MarketId = ("main", 2)
SOL: MarketId = ("other", 1)
A, B, C = PriceSource(b"a:X", 50), PriceSource(b"b:X", 100), PriceSource(b"c:X", 50)


def _newest(event_ms: int, received_ms: int) -> Mark:
    return Mark(100, None, None, None, event_ms, received_ms, 9)


def test_the_first_source_that_is_fresh_is_chosen() -> None:
    first, second = _newest(1_000, 1_000), _newest(9_000, 9_000)

    assert UsedMark("b:X", 100, 9_000, 9, stale=False) == choose_mark(
        [(PriceSource(b"a:X", 50), first), (PriceSource(b"b:X", 50), second)], 9_050
    )
    assert UsedMark("a:X", 100, 1_000, 9, stale=False) == choose_mark(
        [(PriceSource(b"a:X", 8_050), first), (PriceSource(b"b:X", 50), second)], 9_050
    )


def test_the_newest_mark_is_used_as_stale_where_none_is_fresh() -> None:
    candidates = [
        (PriceSource(b"a:X", 5), None),
        (PriceSource(b"b:X", 5), _newest(1_000, 9_000)),
        (PriceSource(b"c:X", 5), _newest(2_000, 2_000)),
    ]

    assert UsedMark("c:X", 100, 2_000, 9, stale=True) == choose_mark(candidates, 99_000)
    assert choose_mark([(PriceSource(b"a:X", 5), None)], 1) is None


@pytest.mark.parametrize(("now_ms", "stale"), [(999, False), (1_050, False), (1_051, True)])
def test_a_mark_is_fresh_up_to_its_greatest_age_and_where_our_clock_went_back(now_ms: int, *, stale: bool) -> None:
    assert UsedMark("a:X", 100, 3, 9, stale=stale) == choose_mark([(A, _newest(3, 1_000))], now_ms)


@pytest.mark.parametrize(
    ("late_ms", "ahead_ms", "max_late_ms", "stale"),
    [
        (15_000, 0, 5_000, True),
        (5_001, 0, 5_000, True),
        (5_000, 0, 5_000, False),
        (-30_000, 0, 5_000, False),
        # A clock that is behind makes events look old, one that is ahead makes them look young.
        (15_000, -15_000, 5_000, False),
        (15_000, -9_000, 5_000, True),
        (-15_000, 15_000, 5_000, False),
        (-5_000, 20_000, 5_000, True),
        (15_000, None, 5_000, False),
        (15_000, 0, None, False),
        (15_000, None, None, False),
    ],
)
def test_a_mark_whose_event_came_too_late_is_stale_however_new_its_receipt(
    late_ms: int, ahead_ms: int | None, max_late_ms: int | None, *, stale: bool
) -> None:
    mark = Mark(100, None, None, None, 90_000 - late_ms, 90_000, 9, ahead_ms, max_late_ms)
    used = choose_mark([(PriceSource(b"a:X", 50), mark)], 90_000)

    assert UsedMark("a:X", 100, 90_000 - late_ms, 9, stale=stale) == used


def test_a_source_that_is_in_time_is_chosen_before_one_that_is_late() -> None:
    late = Mark(1, None, None, None, 75_000, 90_000, 1, 0, 5_000)
    in_time = Mark(2, None, None, None, 89_000, 89_500, 2, 0, 5_000)
    first, second = PriceSource(b"a:X", 1_000), PriceSource(b"b:X", 1_000)

    assert UsedMark("b:X", 2, 89_000, 2, stale=False) == choose_mark([(first, late), (second, in_time)], 90_000)


def test_of_stale_marks_of_one_event_time_the_first_is_used() -> None:
    used = choose_mark([(B, _newest(7, 1)), (A, _newest(7, 2))], 9_000)

    assert used is not None
    assert "b:X" == used.key


class World:
    """A board, and the newest marks of its sources."""

    def __init__(self) -> None:
        self.marks: dict[bytes, Mark] = {}
        self.board = InputBoard(self.marks.get)

    def tick(self, source: PriceSource, at_ms: int, price: int = 100) -> None:
        self.marks[source.key] = Mark(price, None, None, None, at_ms, at_ms, at_ms)

    def key(self, market: MarketId = BTC) -> str | None:
        """The key of the mark in use."""
        used = self.board.used(*market)
        return None if used is None else used.key


@pytest.fixture
def world() -> World:
    """BTC is priced by A, then B; ETH by B; there is a mark of A and one of B at 1,000."""
    made = World()
    made.board.put_market(BTC, [A, B])
    made.board.put_market(ETH, [B])
    made.tick(A, 1_000)
    made.tick(B, 1_000)
    assert [BTC, ETH] == made.board.choose_all(1_000)
    return made


def test_a_market_without_sources_has_no_mark_and_never_moves() -> None:
    board = InputBoard({A.key: _newest(1, 1)}.get)
    board.put_market(BTC, [])

    assert [] == board.choose([BTC, SOL], 1)
    assert (None, None, None) == (board.used(*BTC), board.chosen(BTC, 1), board.used(*SOL))
    assert [] == list(board.in_use)


def test_markets_are_found_by_any_mark_that_may_price_them(world: World) -> None:
    assert {BTC} == world.board.priced_by([A.key])
    assert {BTC, ETH} == world.board.priced_by([B.key]) == world.board.priced_by([A.key, B.key])
    assert set() == world.board.priced_by([C.key])


def test_a_market_whose_sources_are_replaced_is_found_and_priced_by_the_new_ones_only(world: World) -> None:
    world.tick(C, 1_000)
    world.board.put_market(BTC, [C, B])
    assert "a:X" == world.key()
    assert (set(), {BTC}) == (world.board.priced_by([A.key]), world.board.priced_by([C.key]))
    assert {BTC, ETH} == world.board.priced_by([B.key])

    assert [BTC] == world.board.choose([BTC], 1_000)
    assert "c:X" == world.key()
    world.board.put_market(BTC, [])
    assert [BTC] == world.board.choose_all(1_000)
    assert [world.board.used(*ETH)] == list(world.board.in_use)
    assert [] == world.board.choose_all(1_000)


def test_only_markets_whose_mark_is_another_have_moved(world: World) -> None:
    assert [] == world.board.choose_all(1_000)
    world.tick(A, 1_001)
    assert [BTC] == world.board.choose_all(1_001)
    # A later tick of the same price is another mark; one of a source that is not preferred is not in use.
    world.tick(B, 1_002, price=200)
    assert [ETH] == world.board.choose(world.board.priced_by([B.key]), 1_002)


def test_a_market_that_is_not_chosen_anew_keeps_its_mark(world: World) -> None:
    world.tick(B, 1_002, price=200)
    world.tick(A, 1_002, price=300)
    assert [BTC] == world.board.choose([BTC], 1_002)

    used, other = world.board.used(*BTC), world.board.used(*ETH)
    assert used is not None
    assert other is not None
    assert (300, 100) == (used.mark_e18, other.mark_e18)


def test_a_market_moves_when_a_mark_grows_stale_and_when_a_fresh_one_comes(world: World) -> None:
    assert ([BTC], "b:X") == (world.board.choose_all(1_051), world.key())
    # Both of BTC are stale, and of one event time: the first of them is used.
    assert ([BTC, ETH], "a:X") == (world.board.choose_all(1_101), world.key())
    assert [True, True] == [used.stale for used in world.board.in_use]
    assert [] == world.board.choose_all(9_000)
    world.tick(A, 9_000)
    # The mark is another one, but it has not been fresh for long.
    assert [BTC] == world.board.choose_all(9_000)
    assert [True, True] == [used.stale for used in world.board.in_use]


def test_a_market_that_was_stale_is_fresh_again_when_it_has_not_been_stale_for_a_while(world: World) -> None:
    told: list[tuple[int, bool]] = []
    # The venue pauses three times in 11 s, and then speaks every 10 ms.
    ticks_ms = {
        *range(1_000, 3_000, 10),
        *range(4_000, 6_000, 10),
        *range(8_000, 10_000, 10),
        *range(12_000, 20_000, 10),
    }
    for at_ms in range(1_000, 20_000, 10):
        if at_ms in ticks_ms:
            world.tick(A, at_ms)
            world.tick(B, at_ms)
        world.board.choose_all(at_ms)
        used = world.board.used(*BTC)
        assert used is not None
        if not told or told[-1][1] != used.stale:
            told.append((at_ms, used.stale))

    # Stale at once, when both sources are too old; fresh when it has been so for five seconds.
    assert [(1_000, False), (3_100, True), (16_990, False)] == told


def test_a_market_that_is_stale_from_the_start_is_fresh_at_its_first_mark_that_is(world: World) -> None:
    other = World()
    other.board.put_market(BTC, (A,))
    other.tick(A, 1_000)
    other.board.choose_all(9_000)
    other.tick(A, 9_000)

    assert [BTC] == other.board.choose_all(9_000)
    assert [False] == [used.stale for used in other.board.in_use]


def test_what_would_be_chosen_can_be_asked_without_a_change_of_what_is_in_use(world: World) -> None:
    before = world.board.used(*BTC)
    later = world.board.chosen(BTC, 1_051)

    assert later is not None
    assert ("b:X", before) == (later.key, world.board.used(*BTC))


sources = st.lists(st.sampled_from((A, B, C)), unique=True, max_size=3)
markets = st.sampled_from((BTC, ETH, SOL))
steps = st.one_of(
    st.tuples(st.just("tick"), st.sampled_from((A, B, C)), st.integers(1, 3)),
    st.tuples(st.just("market"), markets, sources),
    st.tuples(st.just("wait"), st.integers(0, 60)),
    st.tuples(st.just("choose"), st.lists(markets, unique=True)),
    st.tuples(st.just("choose all")),
)


@settings(deadline=None)
@given(st.lists(steps, max_size=40))
def test_what_is_in_use_after_a_choice_is_what_is_chosen_at_its_instant(history: Sequence[tuple[object, ...]]) -> None:
    """A replica asks for the latter, a worker values at the former."""
    world, now_ms = World(), 1_000
    put: dict[MarketId, None] = {}
    for step in history:
        match step:
            case ("tick", PriceSource() as source, int(price)):
                world.tick(source, now_ms, price)
            case ("market", tuple((str(deployment), int(symbol_id))), list(its)):
                world.board.put_market((deployment, symbol_id), its)
                put[deployment, symbol_id] = None
            case ("wait", int(passed_ms)):
                now_ms += passed_ms
            case ("choose", list(chosen)):
                _choose(world, chosen, now_ms)
            case ("choose all",):
                _choose(world, list(put), now_ms)
            case _:
                pytest.fail(f"no such step: {step}")
    assert [market for market in put if world.board.used(*market) != world.board.chosen(market, now_ms)] == (
        world.board.choose_all(now_ms)
    )


def _choose(world: World, chosen: list[MarketId], now_ms: int) -> None:
    before = {market: world.board.used(*market) for market in (BTC, ETH, SOL)}
    expected = {market: world.board.chosen(market, now_ms) for market in chosen}
    moved = world.board.choose(chosen, now_ms)
    after = {market: world.board.used(*market) for market in (BTC, ETH, SOL)}

    assert [market for market in chosen if before[market] != expected[market]] == moved
    assert {**before, **expected} == after
    # In no particular order: markets may lose their mark and get one again.
    assert sorted((used for used in after.values() if used is not None), key=repr) == sorted(
        world.board.in_use, key=repr
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.tuples(st.integers(1, 5), st.integers(0, 9))))))
def test_a_choice_is_the_first_fresh_mark_or_the_first_of_the_newest(
    drawn: list[tuple[int, tuple[int, int] | None]],
) -> None:
    candidates = [
        (PriceSource(b"%d" % at, age), None if times is None else _newest(*times))
        for at, (age, times) in enumerate(drawn)
    ]
    known = [(source, mark) for source, mark in candidates if mark is not None]
    fresh = [source.key for source, mark in known if 9 - mark.received_ms <= source.max_age_ms]
    newest = max((mark.event_ms for _, mark in known), default=None)
    stale = [source.key for source, mark in known if mark.event_ms == newest]
    used = choose_mark(candidates, 9)

    if used is None:
        assert [] == known
    else:
        assert ([*fresh, *stale][0].decode(), not fresh) == (used.key, used.stale)
