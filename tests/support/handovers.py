"""What the worker of one version leaves in Kafka in the middle of a script, as files that another version goes on from.

``python -m tests.support.handovers write DIRECTORY`` leaves it, ``python -m tests.support.handovers read DIRECTORY``
goes on from there and compares with what this version comes to alone. Run from two checkouts, it shows that each reads
the other's rows.
"""

from __future__ import annotations

import json
import lzma
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from models.codec import ORDER_BYTES, decode_row
from models.engine.tables import SUBTOTALS, VALUATIONS
from tests.support.fetched import Fetched
from tests.support.scripted import Handover, digest, left_in_the_middle, taken_over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HANDOVERS = Path(__file__).parents[1] / "data" / "handovers"
SCRIPTS = ("golden", "forks")
"""Those that are handed over: with the demo's a file would be of megabytes, and its rows are of the same kinds."""


def write_handover(directory: Path, script: str) -> None:
    """Leave in a directory what this version's worker leaves in the middle of a script."""
    left = left_in_the_middle(script)
    logs = [
        [tp.topic, tp.partition, [[_text(one.key), _text(one.value), one.timestamp] for one in log]]
        for tp, log in sorted(left.logs.items())
        if log
    ]
    committed = [[*tp, offset] for tp, offset in sorted(left.committed.items())]
    said = {"steps": left.steps, "at_ms": left.at_ms, "logs": logs, "committed": committed}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{script}.json.xz").write_bytes(lzma.compress(json.dumps(said).encode()))


def read_handover(directory: Path, script: str) -> Handover:
    """Read what a worker left in the middle of a script."""
    said: dict[str, Any] = json.loads(lzma.decompress((directory / f"{script}.json.xz").read_bytes()))
    logs = {
        TopicPartition(topic, partition): [
            Fetched(_bytes(key) or b"", _bytes(value), offset, timestamp)
            for offset, (key, value, timestamp) in enumerate(log)
        ]
        for topic, partition, log in said["logs"]
    }
    committed = {TopicPartition(topic, partition): offset for topic, partition, offset in said["committed"]}
    return Handover(said["steps"], said["at_ms"], logs, committed)


def digests_of(tables: Mapping[str, Mapping[bytes, bytes]]) -> dict[str, str]:
    """A digest of each table; of valuations without their order, and without the sums of nothing.

    How often an account was valued before a row stood depends on when a worker of that version flushed. A sum
    of nothing says what no row says: it stands where a worker once counted something in it, which one of before may not
    have done.
    """
    unordered = {key: bytes(ORDER_BYTES) + row[ORDER_BYTES:] for key, row in tables[VALUATIONS].items()}
    sums = {key: row for key, row in tables[SUBTOTALS].items() if not _is_of_nothing(decode_row(row).body)}
    return {table: digest(rows) for table, rows in {**tables, VALUATIONS: unordered, SUBTOTALS: sums}.items()}


def _is_of_nothing(body: Mapping[str, Any]) -> bool:
    return not (body["positions"] or body["unpriced"] or body.get("unknown_accounts"))


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


def main(arguments: Sequence[str]) -> None:
    """Write, or read and compare; what differs is the exit's text."""
    what, directory = arguments
    for script in SCRIPTS:
        if what == "write":
            write_handover(Path(directory), script)
            continue
        found = digests_of(taken_over(script, read_handover(Path(directory), script)))
        alone = digests_of(taken_over(script, left_in_the_middle(script)))
        if found != alone:
            sys.exit(f"{script}: {[table for table in alone if found.get(table) != alone[table]]} are others")


if __name__ == "__main__":
    main(sys.argv[1:])
