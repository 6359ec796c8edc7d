"""What it costs a worker to take acknowledged rows into its store, with what the store's own threads do meanwhile.

Rows of valuations with four positions, of as many accounts as a partition of the saturated load has, are put and
acknowledged in batches, again and again, until RocksDB has written several memtables out. Prints processor time a row
of the whole process, and of its thread alone.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click

from bench.load.rows import DEPLOYMENT, address
from bench.row_cost import World
from models.codec import encode_row
from models.ids import account_key
from streams.transport.stores import MemoryStore, RocksStore, RowStore

ACCOUNTS = 1_250
_BATCH_ROWS = 100


class Table(NamedTuple):
    """What a store asks of its table."""

    name: str


class Conf(NamedTuple):
    """What a store asks of its app's settings."""

    tabledir: Path


class App(NamedTuple):
    """What a store asks of its app."""

    conf: Conf


def measured(store: RowStore, rows: int) -> tuple[float, float]:
    """Processor time a row, in µs: of the process, and of this thread."""
    body = World(1, 4).a_body()
    keys = [account_key(DEPLOYMENT, address(number)) for number in range(ACCOUNTS)]
    batches = [
        [(keys[at % ACCOUNTS], encode_row(1, at, body)) for at in range(first, first + _BATCH_ROWS)]
        for first in range(0, rows, _BATCH_ROWS)
    ]
    store.restored(0, 0)
    began_s, began_own_s = time.process_time(), time.thread_time()
    for number, batch in enumerate(batches):
        for key, row in batch:
            store.put(0, key, row)
        store.acknowledged(0, batch, number * _BATCH_ROWS)
    own_s = time.thread_time() - began_own_s
    return (time.process_time() - began_s) * 1e6 / rows, own_s * 1e6 / rows


@click.command()
@click.option("--rows", default=40_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(rows: int, rounds: int) -> None:
    """Print the least of some rounds, for each kind of store."""
    for kind in (MemoryStore, RocksStore):
        found = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as directory:
                store = kind("store://", App(Conf(Path(directory))), Table("valuations"), table_name="valuations")
                found.append(measured(store, rows))
                store.forget(0)
        process_us, own_us = min(found)
        click.echo(f"store cost: {kind.__name__}: {process_us:.2f} µs a row, of its own thread {own_us:.2f}")


if __name__ == "__main__":
    main()
