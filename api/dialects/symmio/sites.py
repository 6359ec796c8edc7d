"""The deployment that a request is for: named by its host, by a prefix of its path, or by a MultiAccount in the path.

Frontends are configured with an address and drop its prefix from some of their paths. So a request at the root names
its deployment by its host. Where it does not, no deployment is guessed: figures of another chain would look right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.settings import BadSettings, symmio_deployments

if TYPE_CHECKING:
    from streams.settings import Settings


class Sites:
    """Finds the deployment of a request.

    A host that a deployment claims serves that one alone. Any other host serves each deployment under the prefix of its
    name. If there is only one deployment and it claims no host, its root serves it too.

    Args:
        settings: The deployments, their hosts and MultiAccounts.

    Raises:
        BadSettings: Two deployments claim one host.
    """

    def __init__(self, settings: Settings) -> None:
        self._by_host: dict[str, str] = {}
        self._multi_accounts = {name: set(one.multi_accounts) for name, one in symmio_deployments(settings).items()}
        for name, deployment in symmio_deployments(settings).items():
            for host in deployment.hosts:
                if self._by_host.setdefault(host, name) != name:
                    msg = f"deployments.{name}.hosts: expected a host of its own, found {self._by_host[host]}'s {host}"
                    raise BadSettings(msg)
        served = symmio_deployments(settings)
        only = next(iter(served), None) if len(served) == 1 else None
        self._at_root = None if self._by_host else only

    def of(self, host: str, prefix: str | None) -> str | None:
        """Return the deployment of a request, None where it is for none.

        Args:
            host: The request's ``Host``, with a port or without.
            prefix: The deployment in whose prefix its path is, None at the root.
        """
        claimed = self._claimed(host)
        if claimed is not None:
            return claimed if prefix in (None, claimed) else None
        return prefix or self._at_root

    def of_multi_account(self, host: str, prefix: str | None, multi_account: str) -> str | None:
        """Return the deployment of a request that names a MultiAccount, None where it is for none.

        Contracts on several chains may have one address; then host or prefix say which is meant.

        Args:
            host: As for ``of``.
            prefix: As for ``of``.
            multi_account: Its address, in any case.
        """
        address = multi_account.lower()
        pinned = self._claimed(host) or prefix
        if pinned is not None:
            return pinned if self.of(host, prefix) and address in self._multi_accounts[pinned] else None
        having = [name for name, addresses in self._multi_accounts.items() if address in addresses]
        return having[0] if len(having) == 1 else None

    def _claimed(self, host: str) -> str | None:
        return self._by_host.get(host.lower().partition(":")[0].rstrip("."))
