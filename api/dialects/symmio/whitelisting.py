"""``/check_in-whitelist`` and ``/add-sub-address-in-whitelist``, and the operator's door to the list."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from api.access.gate import principal_of
from api.access.ingest_keys import IngestRefused, expect_ingest_key
from api.access.limits import TokenBuckets
from api.dialects.symmio.app_keys import HOLDINGS, WHITELIST
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.replies import BadParameter, Refusal, reply
from api.http.bodies import read_plain
from api.http.keys import CLOCK, RECORDS, SETTINGS, STANDINGS
from models.ids import account_key
from streams.kafka.single_records import NotWritten
from streams.kafka.topics import WHITELIST as WHITELIST_TOPIC
from streams.settings import WhitelistMode, symmio_deployments

if TYPE_CHECKING:
    from aiohttp import web

    from api.access.addresses import ClientAddresses
    from api.dialects.symmio.owners import Owners

# A frontend asks once for each sub-account that a person makes.
_ADDED_A_S, _ADDED_AT_ONCE = 1, 10
# A block and what is made of it are there within 2 to 3 s on the chains in question; browsers wait for much longer.
_MADE_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.05
# Answered within some seconds where each record takes the broker some ms; longer lists are for a file.
_RECORDS_MAX = 1_000
_ADDED = {"successful": True, "message": None}
_NOT_IN_SCOPE = "the token does not open this account"


class Whitelisting:
    """Answers what concerns the whitelist.

    Args:
        addresses: Tell where a request comes from; how much is written goes by it.
        owners: Tell whose a sub-account is that no block says.
    """

    def __init__(self, addresses: ClientAddresses, owners: Owners) -> None:
        self._addresses = addresses
        self._owners = owners
        self._adding = TokenBuckets(_ADDED_A_S, _ADDED_AT_ONCE)

    async def check(self, request: web.Request, deployment: str) -> web.Response:
        """Answer whether a wallet, or one of its sub-accounts, is served; the answer is a bare boolean.

        Frontends ask once when a wallet comes, and open no socket for it after anything but true. So where every
        sub-account is served, one that is not known yet is too: it may have its first sub-account made in a minute.

        Raises:
            BadRow: None is served as far as rows can be read, and one cannot be that may be a sub-account.
        """
        address = _address(request, "address")
        whitelist, principal = request.app[WHITELIST], principal_of(request)

        def is_shown(account: str) -> bool:
            return principal.may_read(account_key(deployment, account).decode())

        if is_shown(address) and whitelist.allows(deployment, address):
            return reply(body=True)
        await _warm(request)
        is_known = is_shown(address) and whitelist.is_known(deployment, address)
        if whitelist.mode_of(deployment) is WhitelistMode.MULTIACCOUNT and not is_known:
            return reply(body=True)
        multi_account = _address(request, "multi_account")
        owned = await request.app[HOLDINGS].sub_accounts(deployment, multi_account, address)
        is_served = any(is_shown(one) and whitelist.allows(deployment, one) for one in [address, *owned.known])
        if not is_served:
            owned.expect_all_read(principal.may_read)
        return reply(body=is_served)

    async def add(self, request: web.Request, deployment: str) -> web.Response:
        """Put a sub-account that the chain has confirmed onto the list; again is as good as once.

        One that the blocks read so far do not know may be older than they are: then ingest has its contract called.
        Or it is a second old, and is waited for. In mode ``multiaccount`` its own row puts it onto the list, which
        every replica follows; only what a call told is written.
        """
        address = _address(request, "address")
        whitelist = request.app[WHITELIST]
        if not principal_of(request).may_read(account_key(deployment, address).decode()):
            return _not_added(_NOT_IN_SCOPE)
        if whitelist.allows(deployment, address):
            return reply(_ADDED)
        if self._adding.take(self._addresses.limit_key_of(request), request.app[CLOCK].monotonic_s()):
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "expected fewer sub-accounts at a time")
        await _warm(request)
        if whitelist.allows(deployment, address):
            return reply(_ADDED)
        called = None
        if not whitelist.is_sub_account(deployment, address):
            called = await self._owners.owner_of(deployment, _address(request, "multi_account"), address)
            if called is None and not await whitelist.becomes_sub_account(deployment, address, _MADE_WITHIN_S):
                return _not_added(
                    f"{address} is no sub-account as far as blocks have been read, try again in some seconds"
                )
        if whitelist.allows(deployment, address):
            return reply(_ADDED)
        owner = called or whitelist.owner_of(deployment, address)
        is_listed = owner is not None and whitelist.allows(deployment, owner)
        if whitelist.mode_of(deployment) is WhitelistMode.LIST and not is_listed:
            return _not_added(f"{address} is not a sub-account of a listed wallet")
        await _write(request, account_key(deployment, address), {"by": "owner" if called is None else "call"})
        return reply(_ADDED)

    async def put(self, request: web.Request, deployment: str) -> web.Response:
        """Put accounts onto the list, or take them off, for who has the operator's key."""
        expect_operator(request, deployment)
        try:
            said = orjson.loads(await read_plain(request))
            add, remove = said.get("add", []), said.get("remove", [])
            addresses = [parse_address(one) for one in [*add, *remove]]
        except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
            raise BadParameter(
                ("body",), f'expected {{"add": ["0x…"]}}, found a fault: {error}', "value_error"
            ) from error
        if len(addresses) > _RECORDS_MAX:
            msg = f"expected at most {_RECORDS_MAX} addresses at once, found {len(addresses)}"
            raise BadParameter(("body",), msg, "value_error.list")
        if None in addresses:
            raise BadParameter(("body",), "expected addresses of 0x and 40 hex digits", "value_error.address")
        for number, address in enumerate(addresses):
            if address is not None:
                value = {"by": "operator"} if number < len(add) else None
                await _write(request, account_key(deployment, address), value)
        return reply(_ADDED)


def expect_operator(request: web.Request, deployment: str) -> None:
    """Refuse who does not have the deployment's ingest key.

    Raises:
        Refusal: The key is not sent as ``Authorization: Bearer …``, is another one, or none is configured.
    """
    key = symmio_deployments(request.app[SETTINGS])[deployment].ingest_key
    try:
        expect_ingest_key(request, deployment, key)
    except IngestRefused as error:
        raise Refusal(error.status, str(error)) from error


async def _warm(request: web.Request) -> None:
    """Wait until what is not in the tables, or not on the list, is known not to be.

    Raises:
        Refusal: That takes too long for a client.
    """
    whitelist = request.app[WHITELIST]
    try:
        async with asyncio.timeout(_MADE_WITHIN_S):
            await request.app[STANDINGS].wait_warm()
            while not whitelist.is_warm:  # noqa: ASYNC110 - it is rows and a list, and each has a reader of its own
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError as error:
        msg = "the tables are still being read, try again in some seconds"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, msg) from error


def _not_added(message: str) -> web.Response:
    return reply({"successful": False, "message": message})


async def _write(request: web.Request, key: bytes, value: dict[str, str] | None) -> None:
    record = None if value is None else orjson.dumps(value)
    try:
        await request.app[RECORDS].send(WHITELIST_TOPIC, key, record)
    except NotWritten as error:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the list cannot be written now, try again") from error


def _address(request: web.Request, name: str) -> str:
    text = request.match_info[name]
    address = parse_address(text)
    if address is None:
        raise BadParameter(("path", name), f"expected 0x and 40 hex digits, found {text[:80]!r}", "value_error.address")
    return address
