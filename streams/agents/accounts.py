"""Records of a venue's accounts → accounts, watermarks, quote-history, position-states."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import prometheus_client

from models.account_events import Progress
from models.engine.tables import ACCOUNTS, DEPLOYMENTS
from models.errors import BadRecord
from models.ids import canonical_id, is_account_id, split_key
from models.row_keys import expect_key
from streams.kafka.partitions import expect_in_place

if TYPE_CHECKING:
    from models.engine.deployment import InstalledVenue
    from models.engine.partition import PartitionEngine
    from models.venue import Positioned
    from streams.agents.state_releases import StateReleases
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows
    from streams.valuing.engines import Engines

_FOLDED = prometheus_client.Counter(
    "tidemark_account_records_total", "Account events, by what became of them.", ("outcome",)
)
_folded, _repeated, _refused = (_FOLDED.labels(outcome) for outcome in ("folded", "repeated", "refused"))
_SUSPECTS = prometheus_client.Counter(
    "tidemark_suspect_accounts_total", "Accounts that became suspect.", ("deployment",)
)
_UNTOLD = prometheus_client.Counter(
    "tidemark_untold_events_total", "What happened to accounts of which their venue shows no statement.", ("kind",)
)
# A transaction is decoded and folded in about 200 µs; the loop is given back every 10 ms.
_YIELD_EVERY = 50


class AccountsAgent:
    """Keeps ``accounts``, ``watermarks`` and ``quote-history``, and says what happened to ``position-states``.

    Args:
        installed: The venue whose records they are, with its deployments.
        rows: The tables.
        engines: Fold the records of each owned partition.
        releases: Wait for the states that are to stand later.
        clock: Tells what is news.
    """

    def __init__(
        self, installed: InstalledVenue, rows: Rows, engines: Engines, releases: StateReleases, clock: Clock
    ) -> None:
        self._venue, self._deployments = installed
        self._rows = rows
        self._engines = engines
        self._releases = releases
        self._clock = clock

    async def handle(self, part: Slice) -> None:
        """Fold a slice; each account's row is written once, after its states and the history of quotes that left it."""
        engine = self._engines[part.partition]
        for at, record in enumerate(part):
            self._apply(engine, record, part)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        await self.write(engine, part)

    async def write(self, engine: PartitionEngine, part: Slice) -> None:
        """Write what the slice's records come to."""
        kind = self._venue.kind
        accounts = engine[kind].accounts
        untold = accounts.untold
        step = accounts.take()
        _UNTOLD.labels(kind).inc(accounts.untold - untold)
        await self._rows.put_step(part.partition, step, part, partial(engine.written, kind))
        self._releases.look()

    def _apply(self, engine: PartitionEngine, record: Record[bytes | None], part: Slice) -> None:
        key, accounts = record.key or b"", engine[self._venue.kind].accounts
        before = accounts.folded, accounts.repeated
        try:
            folded = accounts.apply(key, self._decode(record, part), self._clock.now_ms())
        except BadRecord as error:
            _refused.inc()
            self._rows.refuse(part, record, error)
            return
        finally:
            _folded.inc(accounts.folded - before[0])
            _repeated.inc(accounts.repeated - before[1])
        for table, row_key in folded.rests_on:
            self._rows.restate(table, part.partition, row_key, part)
        deployment, _ = split_key(key)
        if folded.is_deployment_touched:
            engine.valuing.touch_deployment(deployment)
        if folded.suspicion is not None:
            _SUSPECTS.labels(deployment).inc()
            self._rows.refuse(part, record, BadRecord(folded.suspicion))

    def _decode(self, record: Record[bytes | None], part: Slice) -> Positioned:
        decoded = self._venue.decode(record.value or b"", (record.offset, -1))
        key = record.key or b""
        is_of_account = not isinstance(decoded, Progress)
        if is_of_account:
            expect_in_place(key, part.partition, self._rows.partitions)
        # What was routed has a key of the router's; of what comes from outside, a key may be anything.
        if self._venue.routed is not None:
            expect_key(ACCOUNTS if is_of_account else DEPLOYMENTS, key)
        elif is_of_account:
            self._expect_account(key)
        else:
            self._expect_deployment(key)
        return decoded

    def _expect_deployment(self, key: bytes) -> None:
        # How far another venue's deployment is folded stands in the same table.
        if key.decode(errors="replace") not in self._deployments:
            msg = f"expected the name of a configured {self._venue.kind} deployment, found {key!r:.200}"
            raise BadRecord(msg)

    def _expect_account(self, key: bytes) -> None:
        deployment, _, account = key.decode(errors="replace").partition(":")
        if deployment not in self._deployments:
            msg = f"expected a key of a configured deployment, found {key!r:.200}; add [deployments.{deployment:.60}]"
            raise BadRecord(msg)
        if not is_account_id(account):
            msg = f"expected an account's id of 1 to 64 letters, digits, '.', '_' or '-', found {account!r:.200}"
            raise BadRecord(msg)
        # Whoever asks for an account is given the one of the canonical spelling, so that no other may have a row.
        if self._venue.account_id(canonical_id(account)) != account:
            msg = f"expected the key <deployment>:<account> of a {self._venue.kind} account, found {key!r:.200}"
            raise BadRecord(msg)
