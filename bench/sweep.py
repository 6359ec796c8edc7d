"""How long the exposure book takes to find who is due: ``make bench`` or run it alone.

Builds a book of accounts that hold a market in each of some equal groups, publishes all of them, and moves prices by a
few bps, as a second does. Three claims, the first two beside the bare product that they cannot be faster than: all
prices moved; one price moved; one account put. What is told costs by the account, so it is printed how many that were,
and what a move by 2 % costs, which makes nearly all due at once. An account that was told is published again outside of
the time. Prints one line; figures of one run on one machine, to be compared only with others of its kind.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click
import numpy as np
import orjson

from bench.peers.launch import ROOT, python_of
from bench.peers.timed import Timed
from models.book import ExposureBook
from models.book_figures import Market, Shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DEADBAND = 0.0005
MOVE = 0.00025
JUMP = 0.02
MARGIN = 1e9
CHUNK = 10_000
PUT_AGAIN = 20_000
ONE_PRICE_SAMPLES_A_ROUND = 50


class Load:
    """Made-up accounts: ``symbol`` and ``signed`` are (accounts, positions)."""

    def __init__(self, accounts: int, positions: int, symbols: int) -> None:
        self.chance = np.random.default_rng(4)
        self.markets: list[Market] = [("bench", number) for number in range(symbols)]
        self.prices = self.chance.uniform(1, 1_000, symbols)
        group = symbols // positions
        # Each market of a group has the same number of holders, at random places.
        dealt = [self.chance.permutation(np.arange(accounts) % group) + group * at for at in range(positions)]
        self.symbol = np.stack(dealt, axis=1).astype(np.int32)
        self.signed = self.chance.normal(size=(accounts, positions))
        self.keys = [b"bench:0x%040x" % (number * 2**100) for number in range(accounts)]

    def exposures(self, rows: range | NDArray[np.intp]) -> list[dict[Market, float]]:
        """What ``put`` is told of these accounts."""
        return [
            {self.markets[at]: amount for at, amount in zip(symbols, amounts, strict=True)}
            for symbols, amounts in zip(self.symbol[rows].tolist(), self.signed[rows].tolist(), strict=True)
        ]

    def costs(self) -> NDArray[np.float64]:
        """Cost of opening at the first prices, an account each: uPnL is 0 there."""
        total: NDArray[np.float64] = (self.signed * self.prices[self.symbol]).sum(axis=1)
        return total

    def notionals(self) -> NDArray[np.float64]:
        """Notional at the first prices, an account each."""
        total: NDArray[np.float64] = (abs(self.signed) * self.prices[self.symbol]).sum(axis=1)
        return total

    def moved(self, scale: float = MOVE) -> Mapping[Market, float]:
        """The first prices, each moved by its own share of about ``scale``."""
        prices = self.prices * (1 + self.chance.normal(scale=scale, size=len(self.prices)))
        return dict(zip(self.markets, prices.tolist(), strict=True))


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def build(load: Load) -> tuple[ExposureBook, Timed, Timed]:
    """A book of all accounts, published at the first prices, and the times of its puts and publications."""
    book, puts, publications = ExposureBook(DEADBAND), Timed(), Timed()
    book.reprice(dict(zip(load.markets, load.prices.tolist(), strict=True)), 0.0)
    costs = load.costs().tolist()
    for first in range(0, len(load.keys), CHUNK):
        rows = range(first, min(first + CHUNK, len(load.keys)))
        exposures = load.exposures(rows)

        def put(rows: range = rows, exposures: list[dict[Market, float]] = exposures) -> None:
            for row, signed in zip(rows, exposures, strict=True):
                book.put(load.keys[row], signed, costs[row], MARGIN)

        puts.call(put)
    shown = [Shown(MARGIN, notional) for notional in load.notionals().tolist()]

    def publish() -> None:
        for key, figures in zip(load.keys, shown, strict=True):
            book.published(key, figures)

    publications.call(publish)
    return book, puts, publications


def put_again(load: Load, book: ExposureBook) -> Timed:
    """Put accounts that are there already, at random, with another amount in each market and one market changed."""
    rows = load.chance.choice(len(load.keys), min(PUT_AGAIN, len(load.keys)), replace=False)
    group = len(load.markets) // load.symbol.shape[1]
    load.symbol[rows, 0] = (load.symbol[rows, 0] + 1) % group
    load.signed[rows] *= 1.5
    exposures, costs, timed = load.exposures(rows), load.costs()[rows].tolist(), Timed()
    keys = [load.keys[row] for row in rows.tolist()]

    def put() -> None:
        for key, signed, cost in zip(keys, exposures, costs, strict=True):
            book.put(key, signed, cost, MARGIN)

    timed.call(put)
    return timed


def by_numpy(load: Load, rounds: int) -> Timed:
    """The product of all exposures and prices, without anybody asking who is due."""
    accounts, positions = load.symbol.shape
    symbol, signed = load.symbol.ravel(), load.signed.ravel()
    starts = np.arange(0, accounts * positions, positions)
    timed = Timed()
    for _ in range(rounds):
        timed.call(lambda: np.add.reduceat(load.prices.take(symbol) * signed, starts))
    return timed


def by_scipy(load: Load, rounds: int) -> Timed:
    """The same product by a sparse matrix, in scipy's own environment."""
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as directory:
        for name in ("symbol", "signed", "prices"):
            np.save(Path(directory) / name, getattr(load, name))
        command = [str(python_of("scipy")), "-m", "bench.peers.scipy", directory, str(rounds)]
        return Timed(**orjson.loads(subprocess.check_output(command, cwd=ROOT)))  # noqa: S603


@click.command()
@click.option("--accounts", default=1_000_000, show_default=True, help="Accounts in the book.")
@click.option("--positions", default=4, show_default=True, help="Markets that each of them holds.")
@click.option("--symbols", default=500, show_default=True, help="Markets, a multiple of --positions.")
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(min=5), help="Rounds of each claim.")
def main(accounts: int, positions: int, symbols: int, rounds: int) -> None:
    """Measure and print one line of JSON."""
    if symbols % positions:
        msg = f"expected a multiple of {positions} positions, found {symbols} symbols"
        raise click.BadParameter(msg)
    load = Load(accounts, positions, symbols)
    gc.collect()
    before = resident_bytes()
    book, puts, publications = build(load)
    gc.collect()
    resident = resident_bytes() - before
    shown = [Shown(MARGIN, notional) for notional in load.notionals().tolist()]
    row_of = {key: row for row, key in enumerate(load.keys)}

    def publish(keys: list[bytes]) -> None:
        # As if each had been published at the first prices: the next round's moves are as large as this one's.
        for key in keys:
            book.published(key, shown[row_of[key]])

    all_moved, told_by_all = Timed(), []
    for _ in range(rounds):
        told = all_moved.call(partial(book.reprice, load.moved(), 0.0))
        told_by_all.append(len(told))
        publish(told)

    jumped, told_by_jump = Timed(), []
    for _ in range(rounds):
        told = jumped.call(partial(book.reprice, load.moved(JUMP), 0.0))
        told_by_jump.append(len(told))
        publish(told)
    publish(book.reprice(load.moved(0.0), 0.0))

    one_moved, bare_one, told_by_one = Timed(), Timed(), []
    values = np.zeros(accounts)
    columns = [
        (found.astype(np.intp), load.signed[found, at])
        for at in range(positions)
        for number in range(symbols // positions)
        for found in [np.flatnonzero(load.symbol[:, at] == at * (symbols // positions) + number)]
    ]
    # Each sample is another market, so no sample finds its holders in the cache because of the one before.
    for sample in range(rounds * ONE_PRICE_SAMPLES_A_ROUND):
        at = sample * 37 % symbols
        market, price = load.markets[at], float(load.prices[at] * (1 + load.chance.normal(scale=MOVE)))
        told = one_moved.call(partial(book.reprice, {market: price}, 0.0))
        told_by_one.append(len(told))
        publish(told)
        rows, signed = columns[at]

        def shift(rows: NDArray[np.intp] = rows, signed: NDArray[np.float64] = signed) -> None:
            values[rows] += signed * 0.001

        bare_one.call(shift)

    bare = {"numpy take + reduceat": by_numpy(load, rounds), "scipy csr": by_scipy(load, rounds)}
    figures = {
        "accounts": accounts,
        "positions": positions,
        "symbols": symbols,
        "rounds": rounds,
        "build_s": round((sum(puts.wall_ns) + sum(publications.wall_ns)) / 1e9, 1),
        "resident_bytes_per_account": round(resident / accounts),
        "all_moved_ms": all_moved.medians(1e6),
        "all_moved_worst_ms": round(max(all_moved.process_ns) / 1e6, 3),
        "all_moved_told": round(median(told_by_all)),
        "jumped_ms": jumped.medians(1e6),
        "jumped_told": round(median(told_by_jump)),
        "bare_product_ms": {name: timed.medians(1e6) for name, timed in bare.items()},
        "times_the_bare_product": {
            name: round(median(all_moved.process_ns) / median(timed.process_ns), 2) for name, timed in bare.items()
        },
        "one_moved_us": one_moved.medians(1e3),
        "one_moved_holders": round(median(len(rows) for rows, _ in columns)),
        "one_moved_told": round(median(told_by_one)),
        "bare_take_and_add_us": bare_one.medians(1e3),
        "put_us": puts.medians(1e3, min(CHUNK, accounts)),
        "put_again_us": put_again(load, book).medians(1e3, min(PUT_AGAIN, accounts)),
        "published_us": publications.medians(1e3, accounts),
    }
    click.echo(orjson.dumps(figures))


if __name__ == "__main__":
    main()
