"""SYMMIO's dialect, as it is built in: what clients of its contracts and frontends of its SDK speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.dialects.mounting import DialectPackage, Mounted
from api.dialects.symmio import upnl_ws
from api.dialects.symmio.forwarding import ENGINES, Engines
from api.dialects.symmio.funding_history import FundingHistory
from api.dialects.symmio.funding_reader import FundingReader, FundingRecords
from api.dialects.symmio.legacy_routes import doors, path_prefixes
from api.dialects.symmio.live import Heard, Live
from api.dialects.symmio.owner_answers import OwnerAnswers, OwnersReader
from api.dialects.symmio.whitelist_reader import WhitelistReader
from api.http.error_bodies import error_response
from streams.settings import BadSettings, SymmioSettings
from streams.settings.dialects import DialectSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.dialects.mounting import Resource, Site

_KIND = "symmio"


def mount(site: Site, _section: DialectSettings) -> Mounted:
    """Mount the dialect on SYMMIO deployments, with what the cluster says.

    Raises:
        BadSettings: A deployment is of another kind, or as ``stand`` says.
    """
    whitelist, owners, charged = WhitelistReader(site.settings, site.clock), OwnerAnswers(), FundingRecords()
    heard = Heard(whitelist.accounts, lambda: whitelist.is_ready, owners, charged)
    readers = OwnersReader(site.settings, owners, site.clock), FundingReader(site.settings, charged, site.clock)
    return stand(site, heard, resources=(whitelist, *readers))


def stand(
    site: Site, heard: Heard, *, upnl_interval_s: float = upnl_ws.INTERVAL_S, resources: Sequence[Resource] = ()
) -> Mounted:
    """Mount the dialect.

    Args:
        site: Where it stands.
        heard: What is heard on topics.
        upnl_interval_s: Time between two frames of ``upnl-ws``, in s.
        resources: Read these topics.

    Raises:
        BadSettings: A deployment is of another kind, two claim one host, one has the name of an endpoint, opens a path
            that is none, or has a whitelist that cannot be read.
    """
    if foreign := sorted(name for name, one in site.deployments.items() if not isinstance(one, SymmioSettings)):
        msg = f"dialects.{site.name}.deployments: expected deployments of kind {_KIND}, found {', '.join(foreign)}"
        raise BadSettings(msg)
    live = Live(site, heard, upnl_interval_s)
    engines = site.app[ENGINES] = Engines(site.addresses)
    site.app.cleanup_ctx.append(engines.opened)

    def not_ready() -> Sequence[str]:
        return () if heard.is_whitelist_read() else ("the whitelist has not been read to its end yet",)

    return Mounted(
        path_prefixes=path_prefixes(live, site.deployments),
        doors=doors(site, live),
        error_body=error_response,
        watched_accounts=lambda: live.answers.watched_accounts,
        not_ready=not_ready,
        waits=(live.wake_when_warm,),
        resources=resources,
        funding=live.funding,
        charged=FundingHistory(heard.charged, site.deployments),
    )


SYMMIO = DialectPackage(_KIND, DialectSettings, mount)
"""The dialect; without a section of its kind it is mounted on every SYMMIO deployment."""
