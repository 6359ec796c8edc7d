"""Raw records of a deployment folded by the engine in memory, as the workers fold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.engine.in_memory import Engine
from models.engine.missed_records import read_held
from models.engine.tables import ACCOUNTS
from models.errors import BadRecord
from streams.kafka.partitions import partition_of
from streams.kafka.topics import topic_name
from streams.replay.bounded_log import OutOfRetention, Place, ReplayError
from streams.settings.venues import engine_deployments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from models.engine.tables import MemoryTables
    from models.venue import Held as HeldAccount
    from models.venue import Positioned
    from streams.replay.bounded_log import Held, Log, LogRecord
    from streams.settings import Settings

# Accounts of that many records, some kB each, may wait in memory for their rows to be written; without statements only
# the accounts themselves do, and what happened to them does not.
_UNWRITTEN_MAX = 50_000
_UNSTATED_MAX = 200_000


class NoDeployment(ReplayError):
    """There is no such deployment in the configuration, or its venue is not installed."""


class RawFold:
    """Folds the raw records of some or all accounts of a deployment, in the order of each partition.

    Args:
        settings: Have the deployment.
        name: The deployment.
        wanted: The accounts' keys; None for all.
        tables: What was folded before; by default nothing.
        on_folded: Is told each record that was folded into an account or into the whole deployment, with its key.
        is_stated: Whether statements are made; False for whoever only values accounts, and keeps no checkpoint.

    Raises:
        NoDeployment: There is none of that name, or its venue is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        wanted: Collection[bytes] | None,
        *,
        tables: MemoryTables | None = None,
        on_folded: Callable[[bytes, Positioned], None] | None = None,
        is_stated: bool = True,
    ) -> None:
        deployments = engine_deployments(settings.deployments)
        found = deployments.get(name)
        if found is None or found.venue is None:
            msg = f"expected one of the deployments {', '.join(sorted(deployments)) or '(none)'}, found {name!r}"
            raise NoDeployment(msg)
        self.deployment = found
        self.venue = found.venue
        self.topic = topic_name(settings, found.venue.raw.name)
        self.engine = Engine({name: found}, tables, wanted=wanted, on_folded=on_folded, is_stated=is_stated)
        self._routes = None if found.venue.routed is None else found.venue.routes({name: found.own}, self.engine.tables)
        self.name = name
        self._prefix = f"{name}:".encode()
        self._wanted = None if wanted is None else frozenset(wanted)
        self._unwritten = 0
        self._unwritten_max = _UNWRITTEN_MAX if is_stated else _UNSTATED_MAX

    def partitions(self, held: Mapping[Place, Held]) -> dict[int, frozenset[bytes]]:
        """In which partitions of the raw topic the accounts' records stand, and which of the wanted ones in each.

        Args:
            held: What the log holds of the topic.
        """
        count = len(held)
        if self.venue.routed is not None:
            return {partition_of(self.name.encode(), count): self._wanted or frozenset()}
        if self._wanted is None:
            return {number: frozenset() for number in range(count)}
        numbers = {partition_of(key, count) for key in self._wanted}
        return {
            number: frozenset(key for key in self._wanted if partition_of(key, count) == number) for number in numbers
        }

    def decode(self, record: LogRecord) -> object | None:
        """Decode a raw record of the deployment without folding it; None where it is of others, or cannot be read."""
        if self._routes is None or record.key != self.name.encode():
            return None
        try:
            return self._routes.decode(record.value or b"")
        except BadRecord:
            return None

    def take(self, record: LogRecord) -> object | None:
        """Fold a record, and return it decoded; None where it is of others, or cannot be read."""
        decoded = self.put(record)
        self.write()
        return decoded

    def put(self, record: LogRecord) -> object | None:
        """Fold a record as ``take`` does; rows are written when ``write`` is called, which is to be soon.

        Each account's row is then written once, whatever changed it: that is most of what a record takes.
        """
        value = record.value or b""
        if self.venue.routed is not None:
            if record.key != self.name.encode():
                return None
            return self.engine.raw_value(self.name, value, record.offset, record.time_ms)
        if record.key is None or not record.key.startswith(self._prefix):
            return None
        if self._wanted is not None and record.key not in self._wanted:
            return None
        try:
            decoded = self.venue.decode(value, (record.offset, -1))
        except BadRecord as error:
            self.engine.refused.append(str(error))
            return None
        self.engine.account_record(record.key, decoded, record.time_ms)
        self._unwritten += 1
        if self._unwritten >= self._unwritten_max:
            self.write()
        return decoded

    def held_account(self, key: bytes) -> HeldAccount | None:
        """What an account holds, as far as it is folded and written; None where there is none.

        Raises:
            BadRow: Its venue can make nothing of its row.
        """
        row = self.engine.tables.read(ACCOUNTS, key)
        return None if row is None else read_held(self.venue, row)

    def write(self) -> None:
        """Write the rows of what was put."""
        if self._unwritten:
            self.engine.fold(self.venue.kind)
            self._unwritten = 0


async def held_from_the_first(log: Log, topic: str) -> Mapping[Place, Held]:
    """What a log holds of a topic whose every record is needed.

    Args:
        log: The log.
        topic: Its full name.

    Raises:
        OutOfRetention: Its first records are gone.
        NoSuchTopic: There is no such topic.
    """
    held = await log.held([topic])
    expect_first(held)
    return held


def expect_first(held: Mapping[Place, Held]) -> None:
    """Check that nothing is gone of places whose every record is needed.

    Raises:
        OutOfRetention: Their first records are gone.
    """
    for place, one in held.items():
        if one.begin > 0:
            msg = (
                f"expected {place.topic}:{place.partition} from its first record on, since accounts are folded from "
                f"it, found offset {one.begin} to be the oldest that is held"
            )
            raise OutOfRetention(msg)
