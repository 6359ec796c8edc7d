"""``tidemark flash``: figures of Flash positions, to be held against others, and the table of the venue; no Kafka."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group
def flash() -> None:
    """Calculate figures of Flash Trade positions, and make the table of the venue, without Kafka."""


@flash.command
@click.argument("vectors", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
def metrics(vectors: Path) -> None:
    """Print the figures of each vector of FILE, one JSON line each, in its order.

    FILE is a JSON list of {"in": {…}}, whose fields docs/flash.md explains; "out" beside it is passed over.

    A line is {"profit_usd", "loss_usd", "leverage", "liquidation_price", "liquidation_exponent", "exit_fee_usd",
    "borrow_fee_usd"}, integers as texts: USD at 1e6, the leverage at 1e4. It is {"err"} where a vector has no figures,
    since something would be divided by 0.
    """
    from models.errors import BadRecord
    from models.flash.metric_vectors import read_vectors, vector_line

    try:
        text = vectors.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        msg = f"expected vectors as JSON in UTF-8 in {vectors}, found something else: {error}"
        raise BadRecord(msg) from error
    for vector in read_vectors(text):
        click.echo(json.dumps(vector_line(vector), separators=(",", ":")))


@flash.command
@click.option("--idl", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, metavar="FILE",
              help="The IDL of the programme, as Anchor writes it.")  # fmt: skip
@click.option("--pools", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, metavar="FILE",
              help="The venue's pool configuration (PoolConfig.json).")  # fmt: skip
@click.option("--source", required=True, help="Where both were published, with the commit; the table names it.")
@click.option("--cluster", default="mainnet-beta", show_default=True, help="The cluster of Solana whose pools to list.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it; else it is printed.")
def refresh(idl: Path, pools: Path, source: str, cluster: str, out: Path | None) -> None:
    """Make the table of Flash anew: programmes, pools, markets, tokens, and where the fields of accounts stand.

    A deployment goes by it where its setting `table` names the file. An IDL whose accounts stand otherwise than this
    version reads them is refused, and nothing is written.
    """
    from models.flash.flash_table import table_text
    from models.flash.table_making import make_table

    made = table_text(make_table(idl.read_bytes(), pools.read_bytes(), cluster=cluster, source=source))
    if out is None:
        click.echo(made, nl=False)
        return
    out.write_text(made, encoding="utf-8")
    click.echo(f"wrote {out}", err=True)
