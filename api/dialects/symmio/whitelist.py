"""Which accounts legacy clients are served: all, a MultiAccount's sub-accounts, or those on a list."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, assert_never

from models.codec import decode_row
from models.ids import account_key
from streams.settings import BadSettings, WhitelistMode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from api.tables.feeds import Feeds
    from streams.settings import SymmioSettings

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
# This text is in a row that names the MultiAccount which made the account; decoding the row takes twenty times longer.
_OF_A_MULTI_ACCOUNT = b'"multi_account":"'


class Whitelist:
    """Tells whether an account is served.

    Args:
        deployments: Say of each how accounts come onto its list.
        feeds: The tables.
        added: Keys of the accounts that were put onto the list; the collection follows later changes.
        is_read: Whether ``added`` holds all that were put there before the start.

    Raises:
        BadSettings: A file cannot be read, or a line of it is no address.
    """

    def __init__(
        self,
        deployments: Mapping[str, SymmioSettings],
        feeds: Feeds,
        added: Collection[bytes],
        is_read: Callable[[], bool],
    ) -> None:
        self._modes = {name: one.whitelist.mode_of(one.multi_accounts) for name, one in deployments.items()}
        self._listed = {
            name: frozenset() if one.whitelist.file is None else _read(name, one.whitelist.file)
            for name, one in deployments.items()
        }
        self._valuations = feeds.valuations
        self._rows = feeds.valuations.rows
        self._added = added
        self._is_read = is_read
        self._expected: dict[bytes, set[asyncio.Future[None]]] = {}
        feeds.valuations.listen(self._heard)

    @property
    def is_warm(self) -> bool:
        """Whether an account that seems not to be served is known not to be."""
        return self._valuations.is_ready and self._is_read()

    def mode_of(self, deployment: str) -> WhitelistMode:
        """Return how accounts come onto a deployment's list."""
        return self._modes[deployment]

    def allows(self, deployment: str, address: str) -> bool:
        """Whether an account is served now; ``address`` is in lower case."""
        key = account_key(deployment, address)
        match self._modes[deployment]:
            case WhitelistMode.OPEN:
                return True
            case WhitelistMode.MULTIACCOUNT:
                return key in self._added or self.is_sub_account(deployment, address)
            case WhitelistMode.LIST:
                return key in self._added or address in self._listed[deployment]
            case mode:
                assert_never(mode)

    def is_sub_account(self, deployment: str, address: str) -> bool:
        """Whether the chain said that a MultiAccount made the account."""
        return self._is_sub_account(account_key(deployment, address))

    def is_known(self, deployment: str, address: str) -> bool:
        """Whether the chain said anything of the account."""
        return account_key(deployment, address) in self._rows

    async def becomes_sub_account(self, deployment: str, address: str, within_s: float) -> bool:
        """Wait until the chain says that a MultiAccount made an account.

        Args:
            deployment: The account's deployment.
            address: The account's address, in lower case.
            within_s: How long to wait at most, in s.

        Returns:
            False where the chain did not say so in time.
        """
        key = account_key(deployment, address)
        if self._is_sub_account(key):
            return True
        made = asyncio.get_running_loop().create_future()
        self._expected.setdefault(key, set()).add(made)
        try:
            async with asyncio.timeout(within_s):
                await made
        except TimeoutError:
            return False
        finally:
            self._expected[key].discard(made)
            if not self._expected[key]:
                del self._expected[key]
        return True

    def owner_of(self, deployment: str, address: str) -> str | None:
        """Return the wallet that had a sub-account made, None where the account is no sub-account.

        Raises:
            BadRow: The account's row does not decode.
        """
        row = self._rows.get(account_key(deployment, address))
        body = {} if row is None else decode_row(row).body
        return body.get("owner") if body.get("multi_account") else None

    def _is_sub_account(self, key: bytes) -> bool:
        row = self._rows.get(key)
        return row is not None and _OF_A_MULTI_ACCOUNT in row

    def _heard(self, keys: Sequence[bytes]) -> None:
        if not self._expected:
            return
        for key in keys:
            if key in self._expected and self._is_sub_account(key):
                for made in self._expected[key]:
                    if not made.done():
                        made.set_result(None)


def _read(deployment: str, file: Path) -> frozenset[str]:
    where = f"deployments.{deployment}.whitelist.file"
    try:
        lines = [line.partition("#")[0].strip().lower() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{where}: expected a file of addresses, one a line, found {file}: {error}"
        raise BadSettings(msg) from error
    for number, line in enumerate(lines, start=1):
        if line and not _ADDRESS.fullmatch(line):
            msg = f"{where}: expected an address or a comment (#) in line {number} of {file}, found {line[:60]!r}"
            raise BadSettings(msg)
    return frozenset(filter(None, lines))
