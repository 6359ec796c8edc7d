"""``/v1/funding/epochs`` and ``/v1/funding/charges``: at which terms quotes were charged, and what became of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from api.http.keys import CHARGED, SETTINGS
from api.http.problems import NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer
from api.rest.known import account_parameter, readable
from api.rest.pages import CURSOR, LIMIT, LIMIT_DEFAULT, bad_cursor, cursor_after, page
from api.rest.query import Parameter, Query, choice, whole
from api.tables.charged_funding import OUTCOMES
from api.tables.turns import next_turn
from models.codec import NUMBER_MAX
from models.ids import account_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from aiohttp import web

    from api.tables.charged_funding import ChargedEpoch, ChargedQuote
    from models.views import View

    Place = tuple[Any, ...]

_EPOCHS, _CHARGES = "funding-epochs", "funding-charges"
# To look at an account's quotes takes some 10 µs.
_ACCOUNTS_BETWEEN_YIELDS = 50

_QUOTE_ID = whole("quote_id", 0, NUMBER_MAX)
_OUTCOME = choice("outcome", OUTCOMES)
_EPOCH_TEXT = re.compile(r"[0-9]{1,19}:[0-9]{1,19}:[0-9]{1,19}", re.ASCII)
_EPOCH: Parameter[str] = Parameter(
    "epoch", "an epoch as the lists of funding show it", lambda text: text if _EPOCH_TEXT.fullmatch(text) else None
)


async def funding_epochs(request: web.Request) -> web.Response:
    """Answer a page of epochs, the newest first."""
    deployments = request.app[SETTINGS].deployments
    deployment = choice("deployment", deployments)
    query = Query(request, deployment, LIMIT, CURSOR)
    of, after, limit = query.get(deployment), _after(query, _EPOCHS), query.get(LIMIT) or LIMIT_DEFAULT
    found = [
        (epoch.place, view)
        for epoch in _read_epochs(request)
        if epoch.place[1] in deployments
        and of in {None, epoch.place[1]}
        and (after is None or epoch.place > after)
        and (view := epoch.view) is not None
    ]
    return await _answer(request, _EPOCHS, found[: limit + 1], limit)


async def funding_charges(request: web.Request) -> web.Response:
    """Answer a page of quotes with what became of them, the newest epoch first, then by account and quote."""
    deployments = request.app[SETTINGS].deployments
    account, deployment = account_parameter(deployments), choice("deployment", deployments)
    query = Query(request, account, deployment, _EPOCH, _QUOTE_ID, _OUTCOME, LIMIT, CURSOR)
    after, limit = _after(query, _CHARGES), query.get(LIMIT) or LIMIT_DEFAULT
    one, of, epoch_text = query.get(account), query.get(deployment), query.get(_EPOCH)
    quote_id, outcome = query.get(_QUOTE_ID), query.get(_OUTCOME)
    may_read = readable(request)

    def is_epoch(epoch: ChargedEpoch) -> bool:
        _, name, text, _ = epoch.place
        # What comes before the cursor's epoch is passed over whole.
        is_reached = after is None or epoch.place >= after[: len(epoch.place)]
        return of in {None, name} and epoch_text in {None, text} and is_reached

    def is_account(name: str, address: str) -> bool:
        key = account_key(name, address)
        return (one is None or one.key.encode() == key) and may_read(key, name)

    def is_quote(quote: ChargedQuote) -> bool:
        return quote_id in {None, quote.quote_id} and outcome in {None, quote.outcome}

    epochs = [epoch for epoch in _read_epochs(request) if is_epoch(epoch)]
    shown: list[tuple[Place, View]] = []
    async for place, quote in _quotes(epochs, is_account):
        if (after is None or place > after) and is_quote(quote):
            shown.append((place, quote.view()))
            if len(shown) > limit:
                break
    return await _answer(request, _CHARGES, shown, limit)


async def _quotes(
    epochs: Sequence[ChargedEpoch], is_account: Callable[[str, str], bool]
) -> AsyncIterator[tuple[Place, ChargedQuote]]:
    looked = 0
    for epoch in epochs:
        for address in epoch.accounts:
            looked += 1
            if looked % _ACCOUNTS_BETWEEN_YIELDS == 0:
                await next_turn()
            if is_account(epoch.place[1], address):
                for quote in epoch.quotes(address):
                    yield (*epoch.place, address, quote.quote_id), quote


def _read_epochs(request: web.Request) -> Sequence[ChargedEpoch]:
    charged = request.app[CHARGED]
    if not charged.is_read:
        raise Problem(NOT_KNOWN, "the records of funding are still being read, try again in some seconds")
    return charged.epochs()


def _after(query: Query, name: str) -> Place | None:
    """Read the place after which a page begins.

    Raises:
        Problem: The cursor is not one of this list.
    """
    match query.get(CURSOR):
        case None:
            return None
        case [str(of), int(at), str(deployment), str(epoch), str(hedger)] if of == name == _EPOCHS:
            return at, deployment, epoch, hedger
        case [str(of), int(at), str(deployment), str(epoch), str(hedger), str(address), int(quote_id)] if (
            of == name == _CHARGES
        ):
            return at, deployment, epoch, hedger, address, quote_id
        case _:
            raise bad_cursor()


async def _answer(request: web.Request, name: str, found: Sequence[tuple[Place, View]], limit: int) -> web.Response:
    next_cursor = cursor_after((name, *found[limit - 1][0])) if len(found) > limit else None
    return await json_answer(request, await page([view for _, view in found[:limit]], next_cursor))
