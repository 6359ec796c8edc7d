"""What a deployment needs, worked out from unit costs that were measured: the tables of docs/sizing.md.

``python bench/sizing.py`` prints them. A unit cost changes where BENCHMARKS.md says another one, and nowhere else.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import click

# Of a worker, in cores: what 500 ticks/s cost it whatever it values, in fetches, marks, flushes and requests.
_WORKER_FIXED = 0.54
# A row of an account that somebody watches, and of one that is read from RocksDB in its turn, in s.
_WATCHED_ROW_S = 60e-6
_TURN_ROW_S = 130e-6
# What a price that moves costs for each account that holds its market, in s: one product, one comparison.
_HOLDER_S = 15e-9
# The bound on a row's age is so many rounds of all accounts.
_ROUNDS = 1.5
# Of an api replica: cores whatever it sends, and s for each frame to an account of its own.
_API_FIXED = 0.28
_FRAME_S = 33e-6
# A request to a broker, in s of the broker's processor time, and how many a second workers and replicas make each.
_REQUEST_S = 420e-6
_REQUESTS_OF_A_WORKER = 500
_REQUESTS_OF_A_REPLICA = 113
# Bytes: of an account in a worker's memory, and with its rows in RocksDB; of a row of valuations of four positions in a
# replica, and compressed in a changelog or on `served`; of a socket.
_ACCOUNT_IN_WORKER = 1.1 * 1024
_WORKER_BASE = 160 * 2**20
_ACCOUNT_IN_REPLICA = 2_900
_REPLICA_BASE = 150 * 2**20
_ROW_ON_DISK = 330
_SOCKET = 23.4 * 1024
# Rows of a changelog stand for an hour before they may be compacted.
_UNCOMPACTED_S = 3_600
# What may be used of a core, so that a takeover or a storm of ticks finds some left.
_USED = 0.7


class Case(NamedTuple):
    """A deployment: accounts of so many positions, markets that tick so often in all, sockets, workers."""

    accounts: int
    positions: int
    markets: int
    ticks_per_s: int
    sockets: int
    workers: int


class Needs(NamedTuple):
    """What it comes to. ``age_s`` is the bound on the age of rows that nobody watches."""

    watched_rows_per_s: float
    age_s: float
    worker_gib: float
    replicas: int
    replica_gib: float
    broker_cores: float
    disk_gib_an_hour: float
    network_mib_per_s: float


CASES = (
    Case(1_000, 4, 500, 500, 100, 1),
    Case(100_000, 4, 500, 500, 0, 1),
    Case(100_000, 4, 500, 500, 1_000, 1),
    Case(1_000_000, 4, 500, 500, 0, 1),
    Case(1_000_000, 4, 500, 500, 1_000, 4),
    Case(1_000_000, 4, 500, 500, 10_000, 8),
    Case(100_000_000, 4, 500, 500, 10_000, 64),
)


def needs(case: Case) -> Needs:
    """Work out what a case needs, with workers that use a whole core each and replicas that use ``_USED`` of one."""
    watched = case.sockets * case.positions * case.ticks_per_s / case.markets
    a_worker = case.accounts / case.workers
    holders_per_s = case.ticks_per_s * a_worker * case.positions / case.markets
    for_turns = 1 - _WORKER_FIXED - holders_per_s * _HOLDER_S - watched / case.workers * _WATCHED_ROW_S
    turns_per_s = max(0.0, for_turns) / _TURN_ROW_S
    age_s = _ROUNDS * a_worker / turns_per_s if turns_per_s else float("inf")
    rows_per_s = watched + min(turns_per_s, a_worker / 0.1) * case.workers
    replicas = max(2, ceil(watched * _FRAME_S / (_USED - _API_FIXED)))
    requests = case.workers * _REQUESTS_OF_A_WORKER + replicas * _REQUESTS_OF_A_REPLICA
    on_disk = rows_per_s * _ROW_ON_DISK
    return Needs(
        watched_rows_per_s=watched,
        age_s=max(0.1, age_s),
        worker_gib=(_WORKER_BASE + a_worker * _ACCOUNT_IN_WORKER) / 2**30,
        replicas=replicas,
        replica_gib=(_REPLICA_BASE + case.accounts * _ACCOUNT_IN_REPLICA + case.sockets * _SOCKET / replicas) / 2**30,
        broker_cores=requests * _REQUEST_S,
        disk_gib_an_hour=on_disk * _UNCOMPACTED_S / 2**30,
        # In: each row twice, to its changelog and to `served`. Out: to each replica, and to its worker and a standby.
        network_mib_per_s=on_disk * (2 + replicas + 2) / 2**20,
    )


def lines() -> list[str]:
    """The table, a line of Markdown each."""
    head = (
        "accounts", "sockets", "workers", "watched rows/s", "others at the latest after", "memory a worker",
        "replicas", "memory a replica", "broker, cores", "changelog an hour", "network",
    )  # fmt: skip
    rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for case in CASES:
        need = needs(case)
        cells = (
            f"{case.accounts:,}", f"{case.sockets:,}", f"{case.workers}", f"{need.watched_rows_per_s:,.0f}",
            "not at all" if need.age_s == float("inf") else f"{need.age_s:,.1f} s", f"{need.worker_gib:,.1f} GiB",
            f"{need.replicas}", f"{need.replica_gib:,.1f} GiB", f"{need.broker_cores:.1f}",
            f"{need.disk_gib_an_hour:,.1f} GiB", f"{need.network_mib_per_s:,.1f} MiB/s",
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return rows


@click.command()
def main() -> None:
    """Print the table."""
    click.echo("\n".join(lines()))


if __name__ == "__main__":
    main()
