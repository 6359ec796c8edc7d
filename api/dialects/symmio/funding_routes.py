"""``/v1/funding/epochs`` and ``/v1/funding/charges``: at which terms quotes were charged, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from api.access.gate import Door, Filtered, Markets
from api.http.keys import SETTINGS
from api.http.problems import NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer
from api.rest.known import account_parameter, readable
from api.rest.pages import CURSOR, LIMIT, LIMIT_DEFAULT, bad_cursor, cursor_after, page
from api.rest.query import Parameter, Query, choice, whole
from api.tables.turns import next_turn
from models.codec import NUMBER_MAX
from models.ids import account_key
from models.symmio.funding_records import Epoch, Frozen
from models.symmio.funding_views import OPEN, OUTCOMES, charge_view, epoch_view, outcome_of_quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from api.dialects.symmio.funding_history import FundingHistory, Round, RoundId
    from api.rest.known import AccountId
    from models.symmio.funding_records import Plan
    from models.views import View

_EPOCHS, _CHARGES = "funding-epochs", "funding-charges"
_PARTS_OF_EPOCH = 3
# To look at an account's quotes takes some 10 µs.
_ACCOUNTS_BETWEEN_YIELDS = 50

_QUOTE_ID = whole("quote_id", 0, NUMBER_MAX)
_OUTCOME = choice("outcome", (*OUTCOMES.values(), OPEN))

Place = tuple[Any, ...]


def _read_epoch(text: str) -> Epoch | None:
    parts = text.split(":")
    if len(parts) != _PARTS_OF_EPOCH or not all(part.isascii() and part.isdecimal() for part in parts):
        return None
    return Epoch(*map(int, parts)) if len(text) < 60 else None  # noqa: PLR2004 - three numbers of 63 bits


_EPOCH: Parameter[Epoch] = Parameter("epoch", "an epoch as the lists of funding show it", _read_epoch)


class FundingEndpoints:
    """The endpoints.

    Args:
        history: What is on record.
    """

    def __init__(self, history: FundingHistory) -> None:
        self._history = history

    def doors(self) -> list[Door]:
        """Their routes; each answers HEAD as well as GET."""
        return [
            Door(web.get("/v1/funding/epochs", self.epochs), Markets()),
            Door(web.get("/v1/funding/charges", self.charges), Filtered()),
        ]

    async def epochs(self, request: web.Request) -> web.Response:
        """Answer a page of epochs, the newest first."""
        deployments = request.app[SETTINGS].deployments
        deployment = choice("deployment", deployments)
        query = Query(request, deployment, LIMIT, CURSOR)
        of, after, limit = query.get(deployment), _after(query, _EPOCHS), query.get(LIMIT) or LIMIT_DEFAULT
        self._expect_read()
        found = [
            (one.place, epoch_view(one.deployment, held.terms))
            for one, held in self._history.rounds()
            if held.terms is not None
            and one.deployment in deployments
            and of in {None, one.deployment}
            and (after is None or one.place > after)
        ]
        return await _answer(request, _EPOCHS, found[: limit + 1], limit)

    async def charges(self, request: web.Request) -> web.Response:
        """Answer a page of quotes with what became of them, the newest epoch first, then by account and quote."""
        deployments = request.app[SETTINGS].deployments
        account, deployment = account_parameter(deployments), choice("deployment", deployments)
        query = Query(request, account, deployment, _EPOCH, _QUOTE_ID, _OUTCOME, LIMIT, CURSOR)
        after, limit = _after(query, _CHARGES), query.get(LIMIT) or LIMIT_DEFAULT
        one, of, epoch = query.get(account), query.get(deployment), query.get(_EPOCH)
        quote_id, outcome = query.get(_QUOTE_ID), query.get(_OUTCOME)
        may_read = readable(request)
        self._expect_read()

        def is_round(found: RoundId) -> bool:
            return of in {None, found.deployment} and epoch in {None, found.epoch}

        def is_account(name: str, party_a: str) -> bool:
            return _is_of(one, name, party_a) and may_read(account_key(name, party_a), name)

        def is_quote(found: int, name: str) -> bool:
            return quote_id in {None, found} and outcome in {None, name}

        shown: list[tuple[Place, View]] = []
        async for place, view in self._found(after, is_round, is_account, is_quote):
            shown.append((place, view))
            if len(shown) > limit:
                break
        return await _answer(request, _CHARGES, shown, limit)

    async def _found(
        self,
        after: Place | None,
        is_round: Callable[[RoundId], bool],
        is_account: Callable[[str, str], bool],
        is_quote: Callable[[int, str], bool],
    ) -> AsyncIterator[tuple[Place, View]]:
        looked = 0
        for found, held in self._history.rounds():
            # What comes before the cursor's round is passed over whole.
            if not is_round(found) or (after is not None and found.place < after[: len(found.place)]):
                continue
            for party_a, plan in sorted(held.plans.items()):
                looked += 1
                if looked % _ACCOUNTS_BETWEEN_YIELDS == 0:
                    await next_turn()
                if is_account(found.deployment, party_a):
                    for place, view in self._of_account(found, held, plan, after, is_quote):
                        yield place, view

    def _of_account(
        self, found: RoundId, held: Round, plan: Plan, after: Place | None, is_quote: Callable[[int, str], bool]
    ) -> list[tuple[Place, View]]:
        terms, outcome = held.terms, held.outcomes.get(plan.party_a)
        if not isinstance(terms, Frozen):
            return []
        shown = []
        for quote in sorted(plan.quotes):
            place = (*found.place, plan.party_a, quote[0])
            if (after is None or place > after) and is_quote(quote[0], outcome_of_quote(outcome, quote[0])[0]):
                sent = self._history.sent(found.deployment, plan.epoch, quote[0])
                view = charge_view(found.deployment, plan, quote, frozen=terms, outcome=outcome, sent=sent)
                shown.append((place, view))
        return shown

    def _expect_read(self) -> None:
        if not self._history.is_read:
            raise Problem(NOT_KNOWN, "the records of funding are still being read, try again in some seconds")


def _is_of(one: AccountId | None, deployment: str, party_a: str) -> bool:
    return one is None or (one.deployment, one.address) == (deployment, party_a)


def _after(query: Query, name: str) -> Place | None:
    """Read the place after which a page begins.

    Raises:
        Problem: The cursor is not one of this list.
    """
    match query.get(CURSOR):
        case None:
            return None
        case [str(of), int(at), str(deployment), int(epoch_s), int(window_s), str(hedger)] if of == name == _EPOCHS:
            return at, deployment, epoch_s, window_s, hedger
        case [
            str(of), int(at), str(deployment), int(epoch_s), int(window_s), str(hedger), str(party_a), int(quote_id)
        ] if of == name == _CHARGES:  # fmt: skip
            return at, deployment, epoch_s, window_s, hedger, party_a, quote_id
        case _:
            raise bad_cursor()


async def _answer(request: web.Request, name: str, found: list[tuple[Place, View]], limit: int) -> web.Response:
    next_cursor = cursor_after((name, *found[limit - 1][0])) if len(found) > limit else None
    return await json_answer(request, await page([view for _, view in found[:limit]], next_cursor))
