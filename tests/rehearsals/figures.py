"""The table of docs/rehearsals.md: one row a rehearsal, that of the last time it was played to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.rehearsals.rendered import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from tests.rehearsals.proof import Proof

PAGE = ROOT / "docs" / "rehearsals.md"
BEGIN, END = "<!-- figures: make rehearse -->", "<!-- end of figures -->"
_COLUMNS = (
    *("what happens", "played on", "load a second", "over after s", "records folded"),
    *("rows the same", "valuations the same", "claims", "seen"),
)


class Row(NamedTuple):
    """What was seen of a rehearsal.

    Attributes:
        name: The rehearsal's.
        played_on: The day, in UTC.
        load: Said in words.
        took_s: How long it took until it was over, in s.
        proof: What was compared.
        claims: How many claims of surfaces were looked at.
        seen: What else was noted.
    """

    name: str
    played_on: date
    load: str
    took_s: float
    proof: Proof
    claims: int
    seen: str

    @property
    def text(self) -> str:
        """The row of the table."""
        proof = self.proof
        compared = (proof.records, proof.rows, proof.valuations, self.claims)
        cells = (self.played_on, self.load, f"{self.took_s:.0f}", *compared, self.seen)
        return f"| {self.name} | {' | '.join(map(str, cells))} |"


def write_rows(rows: Sequence[Row], order: Sequence[str], page: Path = PAGE) -> None:
    """Put rows into the table; those of rehearsals that were not played stay.

    Args:
        rows: What was seen.
        order: The names of all rehearsals, as the table has them.
        page: Where the table is.
    """
    text = page.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    standing = (line for line in text[len(before) : text.index(END)].splitlines() if line.startswith("| "))
    known = {line.split(" | ")[0].removeprefix("| "): line for line in standing}
    known |= {row.name: row.text for row in rows}
    head = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    table = [known[name] for name in order if name in known]
    page.write_text("\n".join([before, "", *head, *table, "", after]))
