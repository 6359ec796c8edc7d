"""What belongs to ledgers alone in the api, as it is built in: the door for their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.access.gate import Door, OwnKey
from api.dialects.ledger.ledger_door import LedgerDoor
from api.dialects.mounting import DialectPackage, Mounted
from api.http.error_bodies import error_response
from models.ledger.ledger_account import KIND
from streams.settings import BadSettings
from streams.settings.dialects import DialectSettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings

if TYPE_CHECKING:
    from api.dialects.mounting import Site

_PATH = "/ingest/ledger-events"


def mount(site: Site, _section: DialectSettings) -> Mounted:
    """Mount the door under the name of each ledger, and at the root where there is only one.

    Raises:
        BadSettings: A deployment is of another kind.
    """
    ledgers = {name: one for name, one in site.deployments.items() if isinstance(one, LedgerDeploymentSettings)}
    if foreign := sorted(site.deployments.keys() - ledgers.keys()):
        msg = f"dialects.{site.name}.deployments: expected deployments of kind {KIND}, found {', '.join(foreign)}"
        raise BadSettings(msg)
    door = LedgerDoor(ledgers, site.records)
    paths = {f"/{name}{_PATH}": name for name in ledgers}
    if len(ledgers) == 1:
        paths[_PATH] = next(iter(ledgers))

    def serve(path: str, name: str) -> Door:
        async def take(request: web.Request) -> web.Response:
            return await door.take(request, name)

        return Door(web.post(path, take), OwnKey())

    return Mounted(
        path_prefixes=paths.keys(),
        doors=[serve(path, name) for path, name in paths.items()],
        error_body=error_response,
    )


LEDGER = DialectPackage(KIND, DialectSettings, mount)
"""The dialect; without a section of its kind it is mounted on every ledger."""
