"""``tidemark fold``: what a file of raw logs comes to, without Kafka, to be held against what a node answers."""

from __future__ import annotations

import gzip
import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from models.symmio.replay import Replay


class _BlockNumbers(click.ParamType):
    name = "blocks"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"expected block numbers such as 284,681, found {value!r}", param, ctx)


@click.command
@click.argument("logs", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="LOGS.json.gz")
@click.option("--at", type=_BlockNumbers(), metavar="BLOCK,BLOCK…", help="After which blocks; the last if not given.")
def fold(logs: Path, at: tuple[int, ...] | None) -> None:
    """Fold the raw logs of a Diamond and print the state after some blocks, one JSON line each.

    LOGS.json.gz holds one JSON object: "diamond", its address; "blocks", number to hash, parentHash and timestamp;
    "logs", rows as eth_getLogs answers them.

    A line is {"block", "A", "B", "Q"}: A maps an account to balanceInfoOfPartyA, B a party B and an account, joined, to
    balanceInfoOfPartyB, Q a quote id to [status, quantity, closed amount, opened price, initial opened price, [cva, lf,
    amm, bmm], party B, party A, average closed price, quantity to close, requested close price, order type, symbol id,
    position type, initial [cva, lf, amm, bmm]]. An average closed price that no log says is null.

    \b
    Two blocks, to be held against a node:
        tidemark fold logs.json.gz --at 284,681
    """  # noqa: D301 - click wants its \b as it is
    from models.symmio.replay import Replay
    from streams.ingest.symmio.recording import BadRecording, read_recorded_blocks

    blocks = deque(read_recorded_blocks(logs))
    if not blocks:
        msg = f"expected blocks in {logs}, found none"
        raise BadRecording(msg)
    wanted = (blocks[-1].number,) if at is None else at
    replay = Replay(_diamond(logs))
    lines: dict[int, str] = {}
    for number in sorted(set(wanted)):
        while blocks and blocks[0].number <= number:
            replay.fold(blocks.popleft())
        lines[number] = _line(replay, number)
    for number in wanted:
        click.echo(lines[number])


def _diamond(logs: Path) -> str:
    from streams.ingest.symmio.recording import BadRecording

    diamond = json.loads(gzip.decompress(logs.read_bytes())).get("diamond")
    if not isinstance(diamond, str):
        msg = f"expected the Diamond's address as diamond in {logs}, found {diamond!r}"
        raise BadRecording(msg)
    return diamond


def _line(replay: Replay, number: int) -> str:
    return json.dumps({"block": number, **replay.snapshot()}, separators=(",", ":"))
