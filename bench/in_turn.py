"""What a tick, a row and a frame cost in processor time, by two checkouts in turn.

``python bench/in_turn.py --before DIR``. Rounds alternate, so that whatever else the machine does meets both alike.
Each figure is the median of its rounds, in µs of one process; a ratio below 1 is cheaper than before. The checkout of
before needs a ``.venv`` and jars of its own, and a ``bench/tick_to_row.py`` that prints ``worker_processor_share``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Figures = Mapping[str, float]

_RATE = 500
_US = 1_000_000


def _of_rows(line: Mapping[str, Any]) -> Figures:
    share = line["worker_processor_share"] * _US
    return {"worker, µs a tick": share / _RATE, "worker, µs a row": share / line["rows_per_s"]}


def _of_frames(line: Mapping[str, Any]) -> Figures:
    return {
        "worker, µs a tick": line["worker_processor_share"] * _US / _RATE,
        "api, µs a frame": line["api_processor_share"] * _US / line["frames_per_s"],
    }


def _of_growth(line: Mapping[str, Any]) -> Figures:
    return {"worker, µs a tick": float(line["processor_share"]) * _US / float(line["ticks_per_s"])}


def _transport(checkout: Path, seconds: int) -> Figures:
    del seconds
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        arguments = ["--rounds", "1", "--events", "200000", "--systems", "tidemark", "--json", file.name]
        _run(checkout, ["bench/transport.py", *arguments])
        lines = json.loads(Path(file.name).read_text())
    return {f"{line['workload']}, µs an event": line["CPU us/event"] for line in lines}


def _last_json(checkout: Path, command: list[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(_run(checkout, command).splitlines()[-1])
    return line


def _tick_to_row(checkout: Path, seconds: int) -> Figures:
    figures: dict[str, float] = {}
    for positions in (1, 4):
        sizes = ["--accounts", "1000", "--positions", str(positions), "--seconds", str(seconds)]
        line = _last_json(checkout, ["bench/tick_to_row.py", *sizes])
        figures |= {f"{name}, {positions} a holder": value for name, value in _of_rows(line).items()}
    return figures


def _saturated(checkout: Path, seconds: int) -> Figures:
    """More rows are due, 40,000 a second, than any worker values."""
    sizes = ["--accounts", "10000", "--positions", "4", "--store", "rocksdb", "--seconds", str(seconds)]
    line = _last_json(checkout, ["bench/tick_to_row.py", *sizes])
    return {"worker, µs a row": line["worker_processor_share"] * _US / line["rows_per_s"]}


def _tick_to_frame(checkout: Path, seconds: int) -> Figures:
    sizes = ["--sockets", "1000", "--positions", "1", "--seconds", str(seconds)]
    return _of_frames(_last_json(checkout, ["-m", "bench.tick_to_frame", *sizes]))


def _growth(checkout: Path, seconds: int) -> Figures:
    said = _run(checkout, ["bench/growth.py", "--accounts", "10000", "--seconds", str(seconds)]).splitlines()
    names, figures = ([cell.strip() for cell in line.strip("|").split("|")] for line in (said[0], said[-1]))
    return _of_growth(dict(zip(names, figures, strict=True)))


MEASURES: Mapping[str, Callable[[Path, int], Figures]] = {
    "transport": _transport,
    "tick_to_row": _tick_to_row,
    "saturated": _saturated,
    "tick_to_frame": _tick_to_frame,
    "growth": _growth,
}


def _run(checkout: Path, command: list[str]) -> str:
    """Run a benchmark of a checkout with its own interpreter; return what it prints.

    Raises:
        CalledProcessError: It failed.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("TIDEMARK_", "PYTHON"))}
    python = checkout / ".venv" / "bin" / "python"
    done = subprocess.run(  # noqa: S603 - an interpreter of ours with a benchmark of ours
        [python, *command], cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


@click.command()
@click.option("--before", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--after", default=Path(), type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=10, show_default=True, help="How long ticks are sent in each.")
@click.option("--measures", default=",".join(MEASURES), show_default=True, help="Which, by commas.")
def main(before: Path, after: Path, rounds: int, seconds: int, measures: str) -> None:
    """Measure, and print a table of medians and ratios."""
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for measure in measures.split(","):
            for name, checkout in (("before", before), ("after", after)):
                for figure, value in MEASURES[measure](checkout.absolute(), seconds).items():
                    found[measure, figure][name].append(value)
                    print(f"round {number + 1} {measure} {name}: {figure} {value:.1f}", file=sys.stderr, flush=True)
    print("| benchmark | figure | before | after | ratio |\n|---|---|---|---|---|")
    for (measure, figure), values in found.items():
        was, now = median(values["before"]), median(values["after"])
        print(f"| {measure} | {figure} | {was:.1f} | {now:.1f} | {now / was:.3f} |")


if __name__ == "__main__":
    main()
