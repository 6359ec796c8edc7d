"""Which dialects stand in the application: mounted where the configuration says, and asked as one by what is core's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from api.dialects.mounting import KINDS, Site, dialect_of
from api.http.error_bodies import error_response
from api.http.keys import CLOCK, CONNECTIONS, RECORDS, SETTINGS
from api.tables.charged_funding import ChargedOfDialects
from api.tables.market_funding import FundingOfDialects
from streams.settings import BadSettings
from streams.settings.dialects import DialectSettings
from streams.settings.faults import faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
    from http import HTTPStatus

    from aiohttp import web

    from api.access.addresses import ClientAddresses
    from api.access.auth import Guard
    from api.access.gate import Gate
    from api.delivery.interest_writer import InterestSink
    from api.dialects.mounting import Again, DialectPackage, Mounted, Resource
    from streams.replicas.lease_holder import Leases
    from streams.settings import Settings

    Find = Callable[[str], DialectPackage | None]

logger = logging.getLogger(__name__)


class Standing(NamedTuple):
    """A dialect that is mounted on some deployments, by the name of its section."""

    name: str
    deployments: Collection[str]
    mounted: Mounted


class MountedDialects:
    """The dialects of one application, beside core's own ``/v1``.

    Args:
        standing: The dialects.

    Attributes:
        funding: The funding of all deployments that a dialect knows it of.
        charged: The funding that was charged, likewise.
    """

    def __init__(self, standing: Sequence[Standing]) -> None:
        self._standing = standing
        self.funding, self.charged = FundingOfDialects(), ChargedOfDialects()
        for _, deployments, mounted in standing:
            if mounted.funding is not None:
                self.funding.add(deployments, mounted.funding)
            if mounted.charged is not None:
                self.charged.add(mounted.charged)

    def serve(self, app: web.Application, gate: Gate) -> None:
        """Serve the routes of every dialect; those of core are served already.

        Raises:
            BadSettings: Two dialects, or a dialect and core, have a path in common.
        """
        own = {_first(route.resource.canonical): "the api" for route in app.router.routes() if route.resource}
        own.pop("/", None)
        taken: dict[str, str] = {}
        for name, _, mounted in self._standing:
            for prefix in sorted(mounted.path_prefixes):
                other = own.get(_first(prefix)) or next(
                    (by for path, by in taken.items() if _is_within(prefix, path) or _is_within(path, prefix)), None
                )
                if other is not None:
                    msg = (
                        f"dialects.{name}: expected paths that nothing else has, found {prefix}, which is one of "
                        f"{other}; give it, or the deployment that is called so, another name"
                    )
                    raise BadSettings(msg)
            taken |= dict.fromkeys(mounted.path_prefixes, f"dialects.{name}")
            _expect_within(name, mounted)
            gate.mount(app, mounted.doors)

    def error(self, path: str, status: HTTPStatus, message: str) -> web.Response:
        """Answer a request to a path with an error, in the form of the dialect that has the path.

        Args:
            path: The request's path.
            status: The status of the answer.
            message: What was expected and what was found.
        """
        for _, _, mounted in self._standing:
            if any(_is_within(path, prefix) for prefix in mounted.path_prefixes):
                return mounted.error_body(status, message)
        return error_response(status, message)

    @property
    def watched_accounts(self) -> Collection[str]:
        """Keys of the accounts that some dialect serves to somebody."""
        return {key for _, _, mounted in self._standing for key in mounted.watched_accounts()}

    @property
    def not_ready(self) -> Sequence[str]:
        """Why this replica should get no traffic yet, a sentence each."""
        return [reason for _, _, mounted in self._standing for reason in mounted.not_ready()]

    @property
    def resources(self) -> Sequence[Resource]:
        """What the process starts and stops."""
        return [one for _, _, mounted in self._standing for one in mounted.resources]

    @property
    def waits(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What runs beside the application."""
        return [wait for _, _, mounted in self._standing for wait in mounted.waits]


def mount_dialects(
    app: web.Application,
    *,
    interest: InterestSink,
    leases: Leases,
    guard: Guard,
    addresses: ClientAddresses,
    find: Find,
) -> MountedDialects:
    """Mount every dialect that the configuration names. One whose kind is not installed is told of, and left out.

    Args:
        app: The public application, with what ``Site.app`` says.
        interest: As for ``Site``, and so are the others.
        leases: Count over all replicas.
        guard: Checks tokens.
        addresses: Tell where a request comes from.
        find: Finds the dialect of a kind; None where none is installed.

    Raises:
        BadSettings: A section is wrong, or a dialect cannot be mounted as it says.
        BadPackage: Two packages bring one kind, or what is installed for one is no dialect.
    """
    settings, standing = app[SETTINGS], []
    for name, section in _sections(settings, find):
        package = find(section.kind)
        if package is None:
            logger.error("dialects.%s is not served: %s", name, KINDS.missing(section.kind))
            continue
        named = {of: one for of, one in settings.deployments.items() if of in section.deployments}
        installed = {of: one for of, one in named.items() if one.is_installed}
        if not installed:
            logger.error("dialects.%s is not served: no venue of its deployments is installed", name)
            continue
        site = Site(
            app=app,
            name=name,
            deployments=installed,
            settings=settings.model_copy(update={"deployments": installed}),
            interest=interest,
            leases=leases,
            connections=app[CONNECTIONS],
            guard=guard,
            addresses=addresses,
            records=app[RECORDS],
            clock=app[CLOCK],
        )
        standing.append(Standing(name, installed, package.mount(site, _read(name, section, package.settings))))
    return MountedDialects(standing)


def again_of(settings: Settings, deployment: str, find: Find = dialect_of) -> Again | None:
    """What makes once more what was calculated of accounts of a deployment; None where no dialect of it keeps that.

    Args:
        settings: Name the dialects.
        deployment: The deployment.
        find: Finds the dialect of a kind; None where none is installed.
    """
    packages = (find(section.kind) for _, section in _sections(settings, find) if deployment in section.deployments)
    return next((one.again for one in packages if one is not None and one.again is not None), None)


def _sections(settings: Settings, find: Find) -> Iterator[tuple[str, DialectSettings]]:
    """The sections of the configuration, and what it says by saying nothing.

    A venue may have a dialect of its own, which has the venue's kind. Where no section is of that kind, it is mounted
    on all deployments of the venue.
    """
    said = {section.kind for section in settings.dialects.values()}
    unsaid = {one.kind for one in settings.deployments.values() if one.is_installed} - said
    for kind in sorted(unsaid):
        if find(kind) is not None:
            names = tuple(name for name, one in settings.deployments.items() if one.kind == kind)
            yield kind, DialectSettings(kind=kind, deployments=names)
    yield from settings.dialects.items()


def _read(name: str, section: DialectSettings, form: type[DialectSettings]) -> DialectSettings:
    try:
        return form.model_validate(section.model_dump())
    except ValidationError as error:
        raise BadSettings(faults(error, form, "dialects", name)) from error


def _expect_within(name: str, mounted: Mounted) -> None:
    for door in mounted.doors:
        path = getattr(door.route, "path", None)
        if not isinstance(path, str) or not any(_is_within(path, prefix) for prefix in mounted.path_prefixes):
            msg = f"dialects.{name}: expected routes within its path_prefixes, found {path or door.route}"
            raise BadSettings(msg)


def _is_within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix.rstrip('/')}/")


def _first(path: str) -> str:
    return f"/{path.split('/')[1]}"
