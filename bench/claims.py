"""``make bench``: runs every benchmark and ends with a table of what is claimed, what was found, and where it is told.

``python -m bench.claims sweep idle`` runs these two alone. What a program prints is passed on as it comes; figures are
read out of it. A claim that is not kept is said, and ends with 0 all the same: a figure is of a machine and an hour,
and it is for whoever reads it to say what it means.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bench.peers.launch import ROOT, markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_PAIR = re.compile(r"(\w+)=([-\d.]+)")


class FigureMissing(LookupError):
    """A benchmark did not print a figure; it has failed, or prints it otherwise."""

    def __init__(self, what: str) -> None:
        super().__init__(f"expected {what}, found none")


class Said:
    """What a benchmark has printed: lines of JSON, tables, pairs and sentences.

    Args:
        text: All of it.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: list[Mapping[str, Any]] = list(_read(text))

    def line(self, **where: object) -> Mapping[str, Any]:
        """The last line or row of a table that has these figures.

        Raises:
            FigureMissing: There is none.
        """
        found = [line for line in self._lines if all(line.get(name) == value for name, value in where.items())]
        if not found:
            what = f"a line with {where}"
            raise FigureMissing(what)
        return found[-1]

    def having(self, name: str) -> Mapping[str, Any]:
        """The last line or row that says a figure.

        Raises:
            FigureMissing: There is none.
        """
        return self.rows(name)[-1]

    def rows(self, name: str) -> Sequence[Mapping[str, Any]]:
        """All lines and rows that say a figure; at least one.

        Raises:
            FigureMissing: There is none.
        """
        found = [line for line in self._lines if line.get(name) is not None]
        if not found:
            what = f"a line with {name!r}"
            raise FigureMissing(what)
        return found

    def number(self, pattern: str) -> float:
        """The first group of a pattern in what was printed, as a number.

        Raises:
            FigureMissing: It is nowhere.
        """
        found = re.search(pattern, self._text)
        if found is None:
            what = f"something like {pattern!r}"
            raise FigureMissing(what)
        return float(found[1])


class Claim(NamedTuple):
    """What is claimed of one benchmark.

    Attributes:
        what: In words.
        figure: Reads it out of what was printed.
        bound: What it has to reach.
        is_most: Whether it must not be above the bound; else, not below.
        section: The heading in BENCHMARKS.md under which it is told, up to the command.
    """

    what: str
    figure: Callable[[Said], float]
    bound: float
    is_most: bool
    section: str


def at_most(what: str, bound: float, section: str, figure: Callable[[Said], float]) -> Claim:
    """A claim of a figure that must not be above a bound."""
    return Claim(what, figure, bound, is_most=True, section=section)


def at_least(what: str, bound: float, section: str, figure: Callable[[Said], float]) -> Claim:
    """A claim of a figure that must not be below a bound."""
    return Claim(what, figure, bound, is_most=False, section=section)


def _ratio(said: Said, figure: str, of: Mapping[str, object], by: Mapping[str, object]) -> float:
    return float(said.line(**of)[figure]) / float(said.line(**by)[figure])


_PEERS = "1. Against the peers"
_OWN_JOB = "On our own job"
_FRAME = "4. Price tick to the frame, and to the row"
_SOCKETS = "6. Sockets of `/v1/ws`"
_SATURATED, _PACED = {"load": "saturated", "system": "tidemark"}, {"load": "paced", "system": "tidemark"}
_THOUSAND = {"sockets": 1_000, "positions": 1}

# Each benchmark with what is claimed of it; some are there for their figures alone.
BENCHMARKS: Mapping[str, Sequence[Claim]] = {
    "transport": (
        at_least("decode, events/s, x a plain loop", 0.7, _PEERS,
                 lambda said: said.line(workload="decode", system="tidemark")["x floor"]),
        at_least("decode, events/s, x stock Faust", 30, _PEERS,
                 lambda said: said.line(workload="decode", system="tidemark")["x stock Faust"]),
        at_most("table, processor time an event, x Kafka Streams warm", 1, _PEERS,
                lambda said: _ratio(said, "CPU us/event", {"workload": "table", "system": "tidemark"},
                                    {"workload": "table", "system": "kafka streams warm"})),
    ),
    "valuations": (
        at_least("exact rows a core, saturated, x Kafka Streams", 1, _OWN_JOB,
                 lambda said: _ratio(said, "row_us", _SATURATED | {"system": "kafka streams"}, _SATURATED)),
        at_least("exact rows a core, paced, x Kafka Streams", 1, _OWN_JOB,
                 lambda said: _ratio(said, "row_us", _PACED | {"system": "kafka streams"}, _PACED)),
    ),
    "recovery": (
        at_least("rows/s out of a changelog, x stock Faust", 20, "2. Recovery",
                 lambda said: said.line(system="tidemark")["x stock Faust"]),
    ),
    "sweep": (
        at_most("1M accounts, all prices, x numpy's bare product", 0.6, "3. Sweep",
                lambda said: said.having("times_the_bare_product")["times_the_bare_product"]["numpy"]),
    ),
    "tick_to_row": (),
    "tick_to_frame": (
        at_most("cores of worker, api and broker, 1,000 sockets", 0.65, _FRAME,
                lambda said: sum(said.line(**_THOUSAND)[f"{one}_processor_share"]
                                 for one in ("api", "worker", "broker"))),
        at_most("requests to the broker a second, 1,000 sockets", 300, _FRAME,
                lambda said: said.line(**_THOUSAND)["requests_per_s"]),
    ),
    "age_shown": (
        at_most("10,000 sockets of 4 positions: age shown, p99, ms", 1_000, "How old is what sockets show",
                lambda said: said.line(ticks_per_s=500)["age_p99_ms"]),
    ),
    "growth": (
        at_most("the longest out of date, x its bound", 1, "5. As work grows",
                lambda said: max(row["oldest_row_s"] / row["bound_s"] for row in said.rows("bound_s"))),
    ),
    "sockets": (),
    "fanout": (
        at_most("a frame to one of 5,000 sockets, µs", 20, _SOCKETS,
                lambda said: said.having("us_a_frame")["us_a_frame"]),
    ),
    "slow_consumers": (
        at_most("p50 beside 100 who never read, x without them", 1.1, _SOCKETS,
                lambda said: said.having("p50_ratio")["p50_ratio"]),
    ),
    "idle": (
        at_most("an idle socket, KiB", 20, _SOCKETS, lambda said: said.having("idle_kib")["idle_kib"]),
    ),
    "leases": (
        at_most("places too many where four replicas race", 0, _SOCKETS,
                lambda said: said.number(r"race: .*overshoot (\d+)")),
    ),
    "calculations": (
        at_least("calculations/s, x the official limit of those users", 0.95, "Calculations of the Bitfinex websocket",
                 lambda said: said.having("calculations_per_s")["calculations_per_s"]
                 / said.having("official_limit_per_s")["official_limit_per_s"]),
    ),
    "flash_owners": (
        at_most("1,000 owners at 1 s: a frame's lateness, p99, ms", 1_000, "Owners of Flash",
                lambda said: said.number(r"every 1\.0 s: .*p99_ms=([\d.]+)")),
    ),
    "strangers": (
        at_most("/healthz among strangers, p99, x without them", 3, "Strangers",
                lambda said: said.having("healthz_ratio")["healthz_ratio"]),
        at_most("frames among strangers, p99, x without them", 3, "Strangers",
                lambda said: said.having("frames_ratio")["frames_ratio"]),
    ),
    "codecs": (),
    "kept": (),
    "row_cost": (),
    "store_cost": (),
    "frame_cost": (),
    "api_start": (
        at_most("processor time until a replica's first answer, s", 2, "9. The start of a replica",
                lambda said: said.having("answers_processor_s")["answers_processor_s"]),
    ),
    "first_frame": (),
    "curved": (
        at_most("accounts that are not linear in a mark, x linear ones", 1.1, "Accounts that are not linear in a mark",
                lambda said: said.number(r"processor time of curved ones ([\d.]+) x")),
    ),
    "replay": (
        at_least("ticks/s read, x a plain loop", 0.5, "Replay and exports",
                 lambda said: float(said.line(system="tidemark")["x the loop"])),
    ),
    "sizing": (),
}  # fmt: skip


def _read(text: str) -> Iterator[Mapping[str, Any]]:
    head: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if head is None:
                head = cells
            elif not set("".join(cells)) <= {"-", ":"}:
                yield dict(zip(head, map(_value, cells), strict=False))
            continue
        elif pairs := _PAIR.findall(line):
            yield {name: _value(value) for name, value in pairs}
        head = None


def _value(cell: str) -> object:
    text = cell.replace(",", "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return cell


def found(claim: Claim, said: Said) -> dict[str, object]:
    """A row of the table: what is claimed, the figure, whether it is kept, and where it is told."""
    bound = f"{'<=' if claim.is_most else '>='} {claim.bound:g}"
    try:
        figure = float(claim.figure(said))
    except FigureMissing as error:
        return {"claim": claim.what, "to be reached": bound, "found": str(error), "told": _told(claim)}
    is_kept = figure <= claim.bound if claim.is_most else figure >= claim.bound
    text = f"{figure:.3g}" if is_kept else f"{figure:.3g}, not reached"
    return {"claim": claim.what, "to be reached": bound, "found": text, "told": _told(claim)}


def _told(claim: Claim) -> str:
    return f"BENCHMARKS.md, {claim.section}"


def _run(name: str) -> Said:
    """Run a benchmark with our own interpreter, and pass on what it prints."""
    print(f"== bench/{name}.py", flush=True)
    lines = []
    with subprocess.Popen(  # noqa: S603 - a benchmark of ours
        [sys.executable, "-m", f"bench.{name}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        for line in running.stdout or ():
            lines.append(line)
            print(line, end="", flush=True)
    if running.returncode:
        print(f"expected bench.{name} to end with 0, found {running.returncode}", flush=True)
    return Said("".join(lines))


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
def main(names: Sequence[str]) -> None:
    """Run them, and print the table."""
    rows: list[dict[str, object]] = []
    for name in names or BENCHMARKS:
        said = _run(name)
        rows += [found(claim, said) for claim in BENCHMARKS[name]]
    print(markdown(rows))


if __name__ == "__main__":
    main()
