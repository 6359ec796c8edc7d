"""The table that ``make bench`` ends with: what is claimed, what was found, and where it is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.claims import BENCHMARKS, Claim, Said, at_least, at_most, found

BENCH = Path(__file__).resolve().parents[3] / "bench"
SAID = """ready
{"sockets": 1000, "share": 0.25, "medians": {"numpy": 0.8}}
{"sockets": 10000, "share": 0.5}
| system | events/s | x floor |
| --- | --- | --- |
| tidemark | 742,850 | 1.27 |
| another | 1,000 |  |

sockets=5000 us_a_frame=16.9 ratio=1.69
race: 4 replicas ask for 20 of 20 each: overshoot 0, slots left 0
"""


def headings() -> set[str]:
    """The headings of BENCHMARKS.md, each up to its command."""
    text = (BENCH / "BENCHMARKS.md").read_text(encoding="utf-8")
    return {head.partition(":")[0].strip() for head in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)}


def test_every_benchmark_is_run_and_every_claim_is_told_of() -> None:
    # in_turn measures another checkout beside this one, which has to be named.
    there = {file.stem for file in BENCH.glob("[a-z]*.py")} - {"claims", "in_turn"}

    assert there == set(BENCHMARKS)
    assert set() == {claim.section for claims in BENCHMARKS.values() for claim in claims} - headings()


def test_figures_are_read_out_of_json_tables_pairs_and_sentences() -> None:
    said = Said(SAID)

    assert 0.25 == said.line(sockets=1000)["share"]
    assert 0.5 == said.having("share")["share"]
    assert {"numpy": 0.8} == said.having("medians")["medians"]
    assert (742_850, 1.27) == (said.line(system="tidemark")["events/s"], said.having("x floor")["x floor"])
    assert 16.9 == said.having("us_a_frame")["us_a_frame"]
    assert 0 == said.number(r"race: .*overshoot (\d+)")


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (at_most("shares", 0.5, "x", lambda said: said.having("share")["share"]), "0.5"),
        (at_most("shares", 0.4, "x", lambda said: said.having("share")["share"]), "0.5, not reached"),
        (at_least("floors", 1, "x", lambda said: said.having("x floor")["x floor"]), "1.27"),
        (at_least("floors", 2, "x", lambda said: said.having("x floor")["x floor"]), "1.27, not reached"),
        (at_most("none", 1, "x", lambda said: said.having("age")["age"]), "expected a line with 'age', found none"),
    ],
)
def test_a_row_says_whether_a_claim_is_kept(claim: Claim, text: str) -> None:
    row = found(claim, Said(SAID))

    assert (text, "BENCHMARKS.md, x") == (row["found"], row["told"])
