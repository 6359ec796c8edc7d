from __future__ import annotations

import pytest

from bench.load.processes import Taken
from bench.load.rows import DEPLOYMENT, SOURCE, account_row, address, symbol
from bench.peers.launch import PeerFailed
from bench.valuations import SYMBOLS, Load, Run, expect_exact, table
from models.codec import encode_body
from models.ids import account_key
from models.money import E18
from models.prices import UsedMark
from models.provenance import join_provenance, provenance
from models.symmio.valuation import value_account
from models.symmio.venue import SYMMIO

LOAD = Load(accounts=3, positions=2, rate=1, is_paced=False)
MARKS = {
    f"{SOURCE}:{symbol(at)}": UsedMark(f"{SOURCE}:{symbol(at)}", (100 + at) * E18, 10**12 + at, at, stale=False)
    for at in range(1, SYMBOLS + 1)
}


def _bodies() -> dict[bytes, bytes]:
    of_market = dict(zip(range(1, SYMBOLS + 1), MARKS.values(), strict=True))
    made = provenance(1_700_000_000_000, "symmio/1", "0123456789abcdef")
    bodies = {}
    for number in range(1, LOAD.accounts + 1):
        held = SYMMIO.held(account_row(number, LOAD.positions, SYMBOLS))
        body = encode_body(value_account(held, 0, of_market.get, unsupported=False).body)
        bodies[account_key(DEPLOYMENT, address(number))] = join_provenance(body, made)
    return bodies


def test_rows_that_are_what_the_models_make_of_the_newest_marks_count() -> None:
    expect_exact(LOAD, _bodies(), MARKS)


def test_a_row_that_differs_by_one_digit_keeps_a_run_from_counting() -> None:
    bodies = _bodies()
    key = account_key(DEPLOYMENT, address(2))
    bodies[key] = bodies[key].replace(b'"upnl":"', b'"upnl":"1', 1)
    with pytest.raises(PeerFailed, match="expected the row"):
        expect_exact(LOAD, bodies, MARKS)


def _run(row_us: float, waiting_share: float) -> Run:
    return Run(1_000.0, 1_000.0, row_us, 9.0, 10.0, 0.5, 0.3, waiting_share, None, None)


def test_runs_without_a_processor_are_left_out_where_others_count() -> None:
    lines = list(table({("saturated", "one"): [_run(10.0, 0.1), _run(90.0, 0.5), _run(12.0, 0.0)]}))
    assert [(line["runs that count"], line["row_us"]) for line in lines] == [("2 of 3", 11.0)]


def test_where_no_run_counts_the_table_says_so_beside_its_figures() -> None:
    lines = list(table({("saturated", "one"): [_run(90.0, 0.5)]}))
    assert [(line["runs that count"], line["row_us"]) for line in lines] == [("0 of 1", 90.0)]


def test_what_waited_for_a_processor_is_a_share_of_what_was_ready_to_run() -> None:
    taken = Taken(5.0, 3.0).since(Taken(2.0, 2.0))
    assert (taken, taken.waiting_share) == (Taken(3.0, 1.0), 0.25)
    assert Taken(0.0, 0.0).waiting_share == 0.0
