"""``tidemark flash``: the figures of Flash positions without Kafka, to be held against what others calculate."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group
def flash() -> None:
    """Calculate figures of Flash Trade positions, without Kafka."""


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
