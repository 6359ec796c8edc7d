"""What a dialect is to the api: a package that is found by its kind and mounts itself on named deployments.

A package brings a dialect by an entry point of the group ``tidemark.dialects``, whose name is the kind and whose object
is a ``DialectPackage``. A section ``[dialects.NAME]`` of that kind has it mounted when the api starts.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from streams.settings.installed import Kinds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from http import HTTPStatus

    from aiohttp import web

    from api.access.addresses import ClientAddresses
    from api.access.auth import Guard
    from api.access.gate import Door
    from api.delivery.connections import Connections
    from api.delivery.interest_writer import InterestSink
    from api.tables.charged_funding import ChargedFunding
    from api.tables.market_funding import MarketFunding
    from models.venue import Inputs
    from streams.kafka.single_records import RecordSink
    from streams.process.clock import Clock
    from streams.replicas.lease_holder import Leases
    from streams.settings import DeploymentSettings, Settings
    from streams.settings.dialects import DialectSettings

KINDS = Kinds(
    "tidemark.dialects",
    {
        "bitfinex": "api.dialects.bitfinex.bitfinex_dialect:BITFINEX",
        "flash": "api.dialects.flash.flash_dialect:FLASH",
        "ledger": "api.dialects.ledger.ledger_dialect:LEDGER",
        "symmio": "api.dialects.symmio.symmio_dialect:SYMMIO",
    },
)


class Site(NamedTuple):
    """What a dialect is given when it is mounted.

    Attributes:
        app: The public application; its keys (``api.http.keys``) are there already, tables among them.
        name: The name of the dialect's section.
        deployments: The deployments that it is mounted on, by name; at least one. One whose venue is not installed here
            is not among them.
        settings: The configuration, with no other deployments than these.
        interest: Hears which accounts are watched.
        leases: Count over all replicas.
        connections: Serve websockets: a socket that is opened through them is limited, counted, and drained when the
            server goes away, as its ``Dialect`` (``api.delivery.dialect``) says.
        guard: Checks tokens.
        addresses: Tell where a request comes from.
        records: Takes records that clients send.
        clock: The process's clock.
    """

    app: web.Application
    name: str
    deployments: Mapping[str, DeploymentSettings]
    settings: Settings
    interest: InterestSink
    leases: Leases
    connections: Connections
    guard: Guard
    addresses: ClientAddresses
    records: RecordSink
    clock: Clock


class Resource(Protocol):
    """What runs beside the application in the api's process; a ``TopicReader`` is one."""

    topic: str
    """The full name of the topic that it reads, which the log names it by."""

    async def start(self) -> None:
        """Begin. After an error nothing is left open, and it is tried again.

        Raises:
            TopicMissing: The topic does not exist yet.
            KafkaConnectionError: The broker cannot be reached.
        """

    async def closed(self) -> None:
        """Wait until it ends, which it does only by an error, and raise that error; the process ends by it."""

    async def stop(self) -> None:
        """End it."""


def _nothing() -> tuple[str, ...]:
    return ()


class Mounted(NamedTuple):
    """A dialect as it stands in the application. ``mount`` makes it, and starts nothing.

    Attributes:
        path_prefixes: The beginnings of the paths that it takes, such as ``/ws/2``: that path and all below it. No
            other dialect, and nothing of the api's own, may have a path there.
        doors: Its routes, each with what it reads; all are within ``path_prefixes``.
        error_body: Makes the answer to what is refused within its paths: no such path, no token, too many requests, a
            fault. It is given the status and what was found.
        watched_accounts: Keys of the accounts that it serves to somebody now.
        not_ready: Why this replica should get no traffic yet, a sentence each, such as that a topic is still being
            read.
        waits: Coroutines that run beside the application, and are cancelled when it ends.
        resources: What the api's process starts and stops; an application without a process has none running.
        funding: The funding of its deployments' markets, which ``/v1`` shows; None where it knows of none.
        charged: The funding of its deployments that was charged, likewise.
    """

    path_prefixes: Collection[str]
    doors: Sequence[Door]
    error_body: Callable[[HTTPStatus, str], web.Response]
    watched_accounts: Callable[[], Collection[str]] = _nothing
    not_ready: Callable[[], Sequence[str]] = _nothing
    waits: Sequence[Callable[[], Awaitable[None]]] = ()
    resources: Sequence[Resource] = ()
    funding: MarketFunding | None = None
    charged: ChargedFunding | None = None


class Again(Protocol):
    """Makes once more what a replica calculated of an account (``models/kept_inputs.py``)."""

    def __call__(self, statement: bytes, asked: str, inputs: Inputs, /) -> object:
        """Make the frame that clients were sent, as JSON has it; None where none was.

        Args:
            statement: The row of the account's statement.
            asked: What was asked, as it was kept.
            inputs: Marks and references that were used.

        Raises:
            BadRecord: An input is not held any more.
            BadRow: The statement is none of this dialect's.
        """


class DialectPackage(NamedTuple):
    """A kind of dialect.

    Attributes:
        kind: Its kind, which sections name.
        settings: The class that its sections are read by.
        mount: Mounts it, given its site and its section. It raises ``BadSettings`` where it cannot be served so.
        again: Makes once more what it calculated of an account and had kept; None where it keeps nothing.
    """

    kind: str
    settings: type[DialectSettings]
    mount: Callable[[Site, Any], Mounted]
    again: Again | None = None


@cache
def dialect_of(kind: str) -> DialectPackage | None:
    """Find the dialect of a kind; None where none is installed.

    Raises:
        BadPackage: Two packages bring this kind, or its object is no ``DialectPackage`` of this kind.
    """
    return KINDS.find(kind, DialectPackage)
