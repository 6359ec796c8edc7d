"""The accounts and rows that requests name, found in the tables, or the problem that says why they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from api.access.gate import principal_of
from api.dialects.native.channel_keys import canonical_account_key
from api.http.keys import FEEDS, SETTINGS, STANDINGS
from api.http.problems import NO_SUCH_ACCOUNT, NOT_KNOWN, Problem
from api.rest.query import Parameter, bad_parameter
from api.tables.standing import CurrentRow, NoSuchAccount, NotKnown, Unsupported
from models.codec import decode_order, decode_row
from models.engine.tables import DEPLOYMENTS, VALUATIONS
from models.errors import BadRow
from models.ids import account_key, split_key
from models.valuations import NO_ACCOUNT
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiohttp import web

    from api.tables.feeds import RowFeed
    from streams.settings import DeploymentSettings

_ACCOUNT_NAME = "account"


class AccountId(NamedTuple):
    """An account of a deployment that is served; ``address`` is its id there, in its one spelling."""

    deployment: str
    address: str

    @property
    def key(self) -> str:
        """The key of its rows, which is how users name it."""
        return account_key(self.deployment, self.address).decode()


class KnownAccount(NamedTuple):
    """An account's row as it may be shown; ``body`` is None while the account's deployment is unsupported."""

    key: str
    row: bytes
    body: dict[str, Any] | None


def parse_account(text: str, deployments: Mapping[str, DeploymentSettings]) -> AccountId | None:
    """Read ``<deployment>:<account>``; None where it is not an account of a deployment that is served."""
    key = canonical_account_key(text, deployments)
    return None if key is None else AccountId(*split_key(key.encode()))


def account_expected(deployments: Iterable[str]) -> str:
    """Say what is expected where an account is named, as "expected …" goes on."""
    return f"<deployment>:<account> with a deployment of {', '.join(deployments)}"


def account_parameter(deployments: Mapping[str, DeploymentSettings]) -> Parameter[AccountId]:
    """Describe the query parameter that names an account."""
    return Parameter(_ACCOUNT_NAME, account_expected(deployments), lambda text: parse_account(text, deployments))


def account_of_path(request: web.Request) -> AccountId:
    """Return the account that the path names.

    Raises:
        Problem: The path names none.
    """
    text, deployments = request.match_info[_ACCOUNT_NAME], request.app[SETTINGS].deployments
    account = parse_account(text, deployments)
    if account is None:
        raise bad_parameter(_ACCOUNT_NAME, account_expected(deployments), text)
    return account


def account_key_of_path(request: web.Request, deployments: Mapping[str, DeploymentSettings]) -> str | None:
    """Return the key of the account that the path names; None where it names none of these deployments."""
    account = parse_account(request.match_info[_ACCOUNT_NAME], deployments)
    return None if account is None else account.key


def known_account(request: web.Request, account: AccountId) -> KnownAccount:
    """Find an account; one that the client may not read looks like one that does not exist.

    Raises:
        Problem: There is no such account, or it is not known.
    """
    standings = request.app[STANDINGS]
    if principal_of(request).may_read(account.key):
        said = standings.of(account.deployment, account.address)
    else:
        said = standings.missing(account.deployment)
    if isinstance(said, CurrentRow):
        try:
            body = decode_row(said.row).body
        except BadRow as error:
            raise unreadable_account(account.key, said.row, error) from error
        if body.get("status") != NO_ACCOUNT:
            return KnownAccount(account.key, said.row, body)
        said = standings.missing(account.deployment)
    match said:
        case Unsupported(row=row):
            return KnownAccount(account.key, row, None)
        case NoSuchAccount():
            detail = f"no account {account.address} in deployment {account.deployment}"
            raise Problem(NO_SUCH_ACCOUNT, detail)
        case NotKnown(reason=reason):
            raise Problem(NOT_KNOWN, reason)
        case _:
            assert_never(said)


def row_of(request: web.Request, account: AccountId, feed: RowFeed, table: str) -> bytes | None:
    """Find an account's row in a table in which not every account has one.

    Args:
        request: The request, whose client may or may not read the account.
        account: The account.
        feed: The table.
        table: The table's name.

    Returns:
        The encoded row; None where the account exists and has no row in the table.

    Raises:
        Problem: There is no such account, or it is not known.
    """
    expect_read(feed, table)
    row = feed.rows.get(account.key.encode()) if principal_of(request).may_read(account.key) else None
    if row is None:
        known_account(request, account)
    return row


def unreadable_account(key: str, row: bytes, cause: BadRow) -> Problem:
    """Make the problem of an account whose row does not decode, and take note of it."""
    note_unreadable(VALUATIONS, key.encode(), row, cause)
    return Problem(NOT_KNOWN, f"the row of account {key} cannot be read")


def unreadable_row(table: str, key: str, row: bytes, cause: BadRow) -> Problem:
    """Make the problem of an account's row in another table that does not decode, and take note of it."""
    note_unreadable(table, key.encode(), row, cause)
    return Problem(NOT_KNOWN, f"the row of account {key} in table {table} cannot be read")


def readable(request: web.Request) -> Callable[[bytes, str], bool]:
    """Make the test, by an account's key and deployment, of whether the client is shown the account in lists.

    Rows of a deployment that is no longer served stay in the tables, so it tests that too.
    """
    principal = principal_of(request)
    wholly = {name: principal.may_read_all_of(name) for name in request.app[SETTINGS].deployments}
    return lambda key, deployment: deployment in wholly and (wholly[deployment] or principal.may_read(key.decode()))


def expect_read(feed: RowFeed, table: str) -> None:
    """Refuse to answer from a table that is still being read: what is missing would look as if it did not exist.

    Raises:
        Problem: The table is still being read.
    """
    if not feed.is_ready:
        raise Problem(NOT_KNOWN, f"table {table} is still being read, try again in some seconds")


def unsupported_deployments(request: web.Request) -> set[str]:
    """Return the deployments whose figures are unknown, whatever their accounts' rows say.

    One whose own row cannot be read may be unsupported, and counts as such.

    Raises:
        Problem: The rows are not read yet.
    """
    expect_read(request.app[FEEDS].deployments, DEPLOYMENTS)
    standings = request.app[STANDINGS]
    return {name for name in request.app[SETTINGS].deployments if not standings.is_supported(name)}


def etag_of(request: web.Request, row: bytes | None) -> str:
    """Return ``<epoch>-<term>.<version>``, the websocket's epoch and seq; without a row, ``<epoch>-none``."""
    seq = "none" if row is None else "{}.{}".format(*decode_order(row))
    return f"{request.app[SETTINGS].epoch}-{seq}"
