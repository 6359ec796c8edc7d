"""How a record is shown: decoded, as one line of text or of JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from models.codec import ORDER_BYTES, decode_order
from models.instants import rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.replay.bounded_log import LogRecord


def json_line(record: LogRecord, changelogs: Collection[str]) -> str:
    """One JSON object: topic, partition, offset, time, key, and the value as it was said.

    Numbers in a value stand as they were written, however long they are. Of a row, ``term`` and ``version`` stand
    beside the value; a value that is no JSON is ``undecoded``, as Python writes bytes.

    Args:
        record: The record.
        changelogs: Full names of the topics that hold rows.
    """
    said: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "time": rfc3339(record.time_ms),
        "time_ms": record.time_ms,
        "key": None if record.key is None else record.key.decode(errors="replace"),
    }
    return orjson.dumps({**said, **_value(record, changelogs)}).decode()


def text_line(record: LogRecord, changelogs: Collection[str]) -> str:
    """The same for people: time, place, key, and the value as JSON.

    Args:
        record: The record.
        changelogs: Full names of the topics that hold rows.
    """
    said = _value(record, changelogs)
    key = "" if record.key is None else record.key.decode(errors="replace")
    order = f"{said['term']}/{said['version']} " if "term" in said else ""
    value = said["undecoded"] if "undecoded" in said else orjson.dumps(said["value"]).decode()
    return f"{rfc3339(record.time_ms)} {record.topic}:{record.partition}:{record.offset} {key} {order}{value}"


def record_cells(record: LogRecord, changelogs: Collection[str]) -> tuple[Any, ...]:
    """The same as cells of a table: time in ns since 1970, topic, partition, offset, key, term, version, JSON text.

    Args:
        record: The record.
        changelogs: Full names of the topics that hold rows.
    """
    said = _value(record, changelogs)
    value = said.get("value")
    return (
        record.time_ms * 1_000_000, record.topic, record.partition, record.offset,
        None if record.key is None else record.key.decode(errors="replace"), said.get("term"), said.get("version"),
        said.get("undecoded") if value is None else orjson.dumps(value).decode(),
    )  # fmt: skip


def _value(record: LogRecord, changelogs: Collection[str]) -> dict[str, Any]:
    value = record.value
    if value is None:
        return {"value": None}
    said: dict[str, Any] = {}
    body = value
    if record.topic in changelogs and len(value) >= ORDER_BYTES:
        said["term"], said["version"] = decode_order(value)
        body = value[ORDER_BYTES:]
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"undecoded": repr(value)}
    # What is on one line is passed on as it is: parsed, a number beyond 64 bits would be rounded.
    if b"\n" in body or b"\r" in body:
        body = json.dumps(json.loads(body), separators=(",", ":")).encode()
    return {**said, "value": orjson.Fragment(body)}
