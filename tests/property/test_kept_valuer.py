"""What values an account again and again gives the rows and sums of one that never valued it before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from models.account_events import Transaction
from models.codec import encode_body
from models.prices import UsedMark
from models.subtotals import Counted, Subtotals
from models.symmio.account import advance
from models.symmio.venue import SYMMIO
from tests.support.symmio import ALICE, E18, HEDGER, SECOND_HEDGER, allocate, allocate_b, fee_out, log, send_quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.chain_records import RawLog
    from models.symmio.holding import Holding
    from models.valuations import Body

MARKETS = (1, 2, 3)

_opens = st.tuples(
    st.sampled_from(MARKETS), st.integers(0, 1), st.sampled_from((HEDGER, SECOND_HEDGER)), st.integers(1, 10**21)
)
_marks = st.none() | st.builds(
    UsedMark,
    st.sampled_from(("binance:X", "other:X")),
    st.integers(1, 10**22),
    st.integers(0, 3_000),
    st.integers(0, 9),
    st.booleans(),
)
# Most of the time one market's mark becomes another; now and then nothing does, or the deployment is unsupported.
_steps = st.lists(st.tuples(st.dictionaries(st.sampled_from(MARKETS), _marks, max_size=2), st.booleans()), max_size=12)


class At(NamedTuple):
    """The marks of an instant, as inputs of a valuation."""

    marks: Mapping[int | str, UsedMark | None]

    def mark(self, market: int | str) -> UsedMark | None:
        return self.marks.get(market)

    def reference(self, name: str) -> None:
        raise AssertionError(name)


def _holding(opens: list[tuple[int, int, str, int]]) -> Holding:
    logs: list[RawLog] = [allocate(10**24), allocate_b(15 * E18), allocate_b(500 * E18, SECOND_HEDGER)]
    for number, (market, side, party_b, amount) in enumerate(opens, start=1):
        logs += (
            fee_out(0),
            send_quote(number, symbol_id=market, side=side, quantity=amount),
            log("LockQuote", party_b, number),
            log("OpenPosition", number, ALICE, party_b, amount, 100 * E18),
        )
    return advance(None, Transaction((4, 2), 30, 1, "0x01", tuple(logs))).holding


@given(opens=st.lists(_opens, max_size=5), steps=_steps)
def test_a_kept_valuer_gives_the_bytes_of_a_new_one_and_changes_no_body_that_it_gave(
    opens: list[tuple[int, int, str, int]], steps: list[tuple[dict[int | str, UsedMark | None], bool]]
) -> None:
    holding = _holding(opens)
    kept = SYMMIO.valuer(holding, 3)
    marks: dict[int | str, UsedMark | None] = {}
    given_: list[tuple[Body, bytes]] = []
    for moved, unsupported in steps:
        marks |= moved
        valued = kept.value(At(marks), unsupported=unsupported)
        anew = SYMMIO.value(holding, 3, At(marks), unsupported=unsupported)
        assert (encode_body(anew.body), anew.shown) == (encode_body(valued.body), valued.shown)
        given_.append((valued.body, encode_body(valued.body)))
    assert [encoded for _, encoded in given_] == [encode_body(body) for body, _ in given_]


@given(opens=st.lists(_opens, max_size=5), steps=_steps)
def test_sums_of_bodies_that_share_positions_are_those_of_the_last_body_alone(
    opens: list[tuple[int, int, str, int]], steps: list[tuple[dict[int | str, UsedMark | None], bool]]
) -> None:
    valuer = SYMMIO.valuer(_holding(opens), 3)
    marks: dict[int | str, UsedMark | None] = {}
    followed, alone = Subtotals(), Subtotals()
    body: Body | None = None
    counted: Counted | None = None
    for moved, unsupported in steps:
        marks |= moved
        body = valuer.value(At(marks), unsupported=unsupported).body
        counted = followed.put("main", counted, body)
    if body is not None:
        alone.put("main", None, body)
    assert dict(alone.take_changed(0, set())) == {
        key: body for key, body in followed.take_changed(0, set()) if body["positions"] or "unknown_accounts" in body
    }
