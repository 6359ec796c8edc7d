"""What is written of rehearsals and soaks: a row a rehearsal, and what a process holds that it did not hold before."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.rehearsals.figures import BEGIN, END, Row, write_rows
from tests.rehearsals.machine import Held
from tests.rehearsals.plot import Line, write_plot
from tests.rehearsals.proof import Proof
from tests.rehearsals.soak import Sample, grown, late

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


LAST = (("a", 3), ("b", 4), ("c", 2))


def row(name: str, took_s: float) -> Row:
    return Row(name, date(2026, 11, 29), "12 prices", took_s, Proof(3, 2, 1), 40, "-")


def test_a_rehearsal_that_is_played_again_has_its_newest_row_and_others_keep_theirs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n\nnothing yet\n{END}\nafter\n")

    write_rows([row("b", 1), row("c", 2)], "abc", page)
    write_rows([row("a", 3), row("b", 4)], "abc", page)

    lines = page.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert [f"| {name} | 2026-11-29 | 12 prices | {took_s} | 3 | 2 | 1 | 40 | - |" for name, took_s in LAST] == rows
    assert ("before", "after") == (lines[0], lines[-1])
    assert "nothing yet" not in lines


def samples(memory_mb: Callable[[int], float], descriptors: Callable[[int], int]) -> list[Sample]:
    return [Sample(5.0 * at, {"worker-0": Held(memory_mb(at), descriptors(at))}, 0, 1.0) for at in range(40)]


def test_what_grows_only_at_first_is_flat() -> None:
    assert [] == grown(samples(lambda at: min(100 + 10 * at, 200), lambda at: min(50 + at, 60)))


def test_memory_and_descriptors_that_keep_growing_are_told_of() -> None:
    assert ["worker-0 held 129 MB, and later 169 MB", "worker-0 held 79 descriptors, and later 119"] == grown(
        samples(lambda at: 100 + 2 * at, lambda at: 50 + 2 * at)
    )


def test_what_leaks_is_told_of_though_it_was_not_seen_at_one_look() -> None:
    looks = samples(lambda at: 100 + 2 * at, lambda _: 50)
    looks[35] = looks[35]._replace(held={})

    assert ["worker-0 held 129 MB, and later 168 MB"] == grown(looks)


def test_what_is_gone_at_the_end_is_told_of() -> None:
    looks = samples(lambda _: 100, lambda _: 50)

    assert ["worker-0 was not there for half of a quarter of the time"] == grown(
        [one if at < 30 else one._replace(held={}) for at, one in enumerate(looks)]
    )


def test_records_that_wait_and_frames_that_grow_old_without_end_are_told_of() -> None:
    looks = samples(lambda _: 100, lambda _: 50)

    assert [] == late(looks)
    assert ["1450 records waited for workers, and later 3450"] == late(
        [one._replace(waiting=100 * at) for at, one in enumerate(looks)]
    )
    assert ["frames were 14 s old, and later 34 s"] == late([one._replace(age_s=at) for at, one in enumerate(looks)])


def test_a_soak_whose_frames_said_nothing_of_marks_is_not_judged_young() -> None:
    looks = samples(lambda _: 100, lambda _: 50)

    assert ["no frame said how old its marks were for half of a quarter of the time"] == late(
        [one if at < 30 else one._replace(age_s=None) for at, one in enumerate(looks)]
    )


def test_of_a_soak_that_was_too_short_nothing_is_said() -> None:
    assert [] == grown([])
    assert [] == late([])


def test_a_plot_has_a_line_of_each_figure_without_what_was_not_known(tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    write_plot(path, [0, 60, 120], {"memory & more": [Line("a", [1, None, 2]), Line("b", [1, 1, 1])]}, "soak")

    drawn = ET.parse(path).getroot()
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    assert [2, 3] == [len(line.attrib["points"].split()) for line in lines]
