"""``POST /ingest/ledger-events``: a ledger that has no access to Kafka says here what happened to its accounts."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson
from aiohttp import web

from api.access.ingest_keys import IngestRefused, expect_ingest_key
from api.http.bodies import read_plain
from api.http.error_bodies import error_response
from models.errors import BadRecord, TidemarkError
from models.ids import account_key
from models.ledger.ledger_records import decode_ledger_record
from models.ledger.ledger_venue import LEDGER_EVENTS
from streams.kafka.single_records import NotWritten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.kafka.single_records import RecordSink
    from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings

# With so many, the answer comes within a second even where each record takes the broker some ms.
_EVENTS_MAX = 100
# More would tell a producer nothing new.
_REFUSALS_SHOWN = 10


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """One event as a producer says it: whose it is, and the record as it is to be written."""

    account: str
    event: msgspec.Raw


class _Taken(NamedTuple):
    key: bytes
    record: bytes


class _Refused(TidemarkError):
    """Events cannot be taken. ``detail`` says of each why, by its index."""

    def __init__(self, message: str, detail: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.detail = detail


class LedgerDoor:
    """Takes events of ledgers, one or a list of them.

    Args:
        deployments: The ledgers, by name.
        records: Writes to the cluster.
    """

    def __init__(self, deployments: Mapping[str, LedgerDeploymentSettings], records: RecordSink) -> None:
        self._deployments = deployments
        self._records = records

    async def take(self, request: web.Request, deployment: str) -> web.Response:
        """Take events: all are checked before any is written, and all are written before the answer.

        They are written in their order. A producer may send them again where no answer came: an event that is known
        already changes nothing.
        """
        settings = self._deployments[deployment]
        try:
            expect_ingest_key(request, deployment, settings.ingest_key)
            events = _read(await read_plain(request), deployment, settings)
        except IngestRefused as error:
            return error_response(error.status, str(error))
        except _Refused as error:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            body = {"error_code": status.value, "error_message": str(error), "error_detail": error.detail}
            return web.json_response(body, status=status, dumps=lambda what: orjson.dumps(what).decode())
        for number, event in enumerate(events):
            try:
                await self._records.send(LEDGER_EVENTS, event.key, event.record)
            except NotWritten:
                msg = f"{number} of {len(events)} events are written for certain: send them all again"
                return error_response(HTTPStatus.SERVICE_UNAVAILABLE, msg)
        return web.json_response({"taken": len(events)})


def _read(raw: bytes, deployment: str, settings: LedgerDeploymentSettings) -> list[_Taken]:
    try:
        form: Any = list[msgspec.Raw] if raw.lstrip()[:1] == b"[" else msgspec.Raw
        said = msgspec.json.decode(raw, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"expected JSON, an event or a list of events, found a fault: {error}"
        raise _Refused(msg) from error
    events: list[msgspec.Raw] = said if isinstance(said, list) else [said]
    if len(events) > _EVENTS_MAX:
        msg = f"expected at most {_EVENTS_MAX} events at once, found {len(events)}"
        raise _Refused(msg)
    taken, faults = [], []
    for index, event in enumerate(events):
        try:
            taken.append(_taken(event, deployment, settings))
        except BadRecord as error:
            faults.append({"index": index, "message": str(error)})
    if faults:
        msg = f"expected events that can be folded, found {len(faults)} of {len(events)} that cannot: none is taken"
        raise _Refused(msg, faults[:_REFUSALS_SHOWN])
    return taken


def _taken(event: msgspec.Raw, deployment: str, settings: LedgerDeploymentSettings) -> _Taken:
    try:
        said = msgspec.json.decode(event, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f'expected {{"account": "…", "event": {{…}}}}, found {bytes(event)[:80]!r}: {error}'
        raise BadRecord(msg) from error
    if settings.account_id(said.account) != said.account:
        msg = f"expected an account of 1 to 64 letters, digits, '.', '_' and '-', found {said.account!r:.100}"
        raise BadRecord(msg)
    record = bytes(said.event)
    decode_ledger_record(record)
    return _Taken(account_key(deployment, said.account), record)
