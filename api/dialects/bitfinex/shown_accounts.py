"""Which accounts a key shows, and the book that shows them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from api.dialects.bitfinex.account_book import KeyedListeners
from api.dialects.bitfinex.api_keys import OWNER
from api.dialects.bitfinex.auth_request import LoginRefused
from api.dialects.bitfinex.event_objects import AUTH_FAILED
from api.dialects.bitfinex.ledger_book import LedgerBook, Statements
from api.dialects.bitfinex.valuation_book import ValuationBook, Valuations
from api.tables.market_prices import InputsAt
from api.tables.ranking import Order, Sort
from models.body_reader import no_row
from models.codec import decode_order, decode_row
from models.engine.stored_rows import readable
from models.engine.tables import MARKETS
from models.ids import account_key, canonical_id, market_of_key, split_key
from models.ledger.ledger_settings import symbol_reference
from models.ledger.priced_account import PricedAccount
from streams.process.unreadable_rows import note_unreadable
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from api.delivery.interest_writer import InterestSink
    from api.dialects.bitfinex.account_book import AccountBook
    from api.dialects.bitfinex.api_keys import ApiKey
    from api.dialects.bitfinex.calc_requests import Calculation
    from api.dialects.bitfinex.venue_symbols import VenueSymbols
    from api.tables.feeds import Feeds
    from api.tables.market_prices import MarketPrices
    from api.tables.ranking import Accounts, Line
    from models.kept_inputs import CalculationsMade
    from models.ledger.ledger_state import Holdings
    from streams.settings import DeploymentSettings

_BY_ADDRESS = Order(Sort.ADDRESS, is_descending=False)
# A key is for one holder, who reads all of it at once. Of more accounts no sum would be right, so none is shown.
_ACCOUNTS_MAX = 100


class Tables(NamedTuple):
    """What accounts are read out of.

    Attributes:
        feeds: The tables.
        prices: Marks and references.
        accounts: Find those of an owner.
        is_unsupported: Whether the figures of a deployment are unknown now.
        is_absent: Whether an account of a deployment that is in no table is known not to exist.
        interest: Hears which accounts are watched.
        clock_ms: Our own time, in Unix ms.
        keep: Called with a deployment and what calculations of its accounts were made of.
    """

    feeds: Feeds
    prices: MarketPrices
    accounts: Accounts
    is_unsupported: Callable[[str], bool]
    is_absent: Callable[[str], bool]
    interest: InterestSink
    clock_ms: Callable[[], int]
    keep: Callable[[str, CalculationsMade], None]


class Turn:
    """Calculations of one turn of the loop on accounts of a deployment, and what they are made of.

    Args:
        inputs: Marks and references, as of one instant.
    """

    def __init__(self, inputs: InputsAt) -> None:
        self._inputs = inputs
        self._accounts: dict[bytes, PricedAccount] = {}
        self._asked: list[tuple[str, int, int, str]] = []

    def priced(self, key: bytes, holdings: Holdings, row: bytes | None, asked: Calculation) -> PricedAccount:
        """An account as a calculation is to see it.

        Args:
            key: The account's key.
            holdings: What it holds.
            row: The statement that says so, None where it has none.
            asked: The calculation.
        """
        term, version = (0, 0) if row is None else decode_order(row)
        self._asked.append((key.decode(), term, version, str(asked)))
        account = self._accounts.get(key)
        if account is None or account.holdings is not holdings:
            account = self._accounts[key] = PricedAccount(holdings, self._inputs)
        return account

    def made(self) -> CalculationsMade:
        """What is kept of them."""
        return self._inputs.made(self._asked)


class ShownAccounts:
    """Makes books. It listens to the tables from the moment it is made.

    Args:
        deployments: Those that the dialect is mounted on.
        tables: What accounts are read out of.
        symbols: How markets of venues that are no ledger are called.
        currency: What the money of their accounts is called.
    """

    def __init__(
        self,
        deployments: Mapping[str, DeploymentSettings],
        tables: Tables,
        symbols: VenueSymbols,
        currency: str,
    ) -> None:
        self._deployments = deployments
        self._tables = tables
        self._symbols = symbols
        feeds = tables.feeds
        # What all calculations of one turn of the loop share, by deployment.
        self._turns: dict[str, Turn] = {}
        self._statements = Statements(feeds.statements.rows, KeyedListeners(), tables.is_absent, {})
        self._valuations = Valuations(
            feeds.valuations.rows,
            KeyedListeners(),
            self._symbol_of,
            tables.is_unsupported,
            tables.is_absent,
            tables.interest,
            currency,
        )
        feeds.statements.listen_rows(self._statements.listeners.tell)
        feeds.valuations.listen(self._valued)
        # Marks of before and of after it are never mixed.
        feeds.marks.listen(lambda _: self._turn_over())
        feeds.references.listen(lambda _: self._turn_over())

    @property
    def watched(self) -> Collection[str]:
        """Keys of the accounts that are shown to somebody."""
        listened = (self._statements.listeners.listeners, self._valuations.listeners.listeners)
        return {key.decode() for listeners in listened for key in listeners}

    async def book_of(self, key: ApiKey) -> AccountBook:
        """Make the book of a key.

        Raises:
            LoginRefused: It is of a deployment that is not served here, of a ledger and not of one account, or of more
                accounts than are shown as one.
        """
        deployment = self._deployments.get(key.deployment)
        if deployment is None:
            raise LoginRefused(AUTH_FAILED, "apikey: invalid")
        if not isinstance(deployment, LedgerDeploymentSettings):
            return ValuationBook(" ".join(key.accounts), await self.accounts_of(key), self._valuations)
        accounts = await self.accounts_of(key)
        if len(accounts) != 1:
            # Wallets of several accounts of an exchange are no wallet of anybody's.
            raise LoginRefused(AUTH_FAILED, "apikey: expected one account")
        return LedgerBook(accounts[0], self._statements, self._priced)

    async def accounts_of(self, key: ApiKey) -> Sequence[bytes]:
        """Keys of the accounts that a key shows now, in a stable order.

        Raises:
            LoginRefused: There are more than are shown as one.
        """
        found: dict[bytes, None] = {}
        for text in key.accounts:
            name = text.partition(":")[2]
            if name.startswith(OWNER):
                owner = canonical_id(name.removeprefix(OWNER))
                found |= dict.fromkeys(await self._of_owner(key.deployment, owner))
            else:
                found[account_key(key.deployment, name)] = None
        if len(found) > _ACCOUNTS_MAX:
            raise LoginRefused(AUTH_FAILED, f"apikey: expected at most {_ACCOUNTS_MAX} accounts")
        return tuple(found)

    async def _of_owner(self, deployment: str, owner: str) -> list[bytes]:
        def is_wanted(_key: bytes, line: Line) -> bool:
            return line.deployment == deployment and line.owner == owner

        walk = self._tables.accounts.walk(_BY_ADDRESS, None, is_wanted, owner)
        return [entry[2] async for entry, _ in walk]

    def _priced(self, key: bytes, holdings: Holdings, asked: Calculation) -> PricedAccount:
        """An account at the marks and settings of this turn of the loop: it is priced once for all who ask in it."""
        deployment, _ = split_key(key)
        turn = self._turns.get(deployment)
        if turn is None:
            if not self._turns:
                asyncio.get_running_loop().call_soon(self._turn_over)
            turn = Turn(InputsAt(self._tables.prices, deployment, self._tables.clock_ms()))
            self._turns[deployment] = turn
        return turn.priced(key, holdings, self._statements.rows.get(key), asked)

    def _turn_over(self) -> None:
        turns, self._turns = self._turns, {}
        for deployment, turn in turns.items():
            self._tables.keep(deployment, turn.made())

    def _symbol_of(self, deployment: str, market: int | str) -> str:
        key = f"{deployment}:{market}".encode()
        row = self._tables.feeds.markets.rows.get(key)
        name = None if row is None else readable(note_unreadable, MARKETS, key, row, _name_in)
        return self._symbols.symbol_of(str(market if name is None else name))

    def _valued(self, keys: Sequence[bytes]) -> None:
        listeners, rows = self._valuations.listeners, self._tables.feeds.valuations.rows
        for key in keys:
            if key in listeners.listeners:
                listeners.tell(key, rows.get(key, b""))


class NamedMarkets:
    """Finds the market of a symbol among the deployments that the dialect is mounted on.

    Args:
        deployments: These.
        tables: Markets and references are read out of them.
        symbols: How markets of venues that are no ledger are called.
    """

    def __init__(self, deployments: Mapping[str, DeploymentSettings], tables: Tables, symbols: VenueSymbols) -> None:
        self._deployments = deployments
        self._tables = tables
        self._symbols = symbols
        self._of_name: dict[tuple[str, str], int | str] = {}
        tables.feeds.markets.listen(self._heard)
        self._heard(list(tables.feeds.markets.rows))

    def find(self, symbol: str) -> tuple[str, int | str] | None:
        """Find a market: its deployment and its id there; None where no deployment has it."""
        for deployment, settings in self._deployments.items():
            market = self._of(deployment, settings, symbol)
            if market is not None:
                return deployment, market
        return None

    def _of(self, deployment: str, settings: DeploymentSettings, symbol: str) -> int | str | None:
        if isinstance(settings, LedgerDeploymentSettings):
            used = self._tables.prices.reference(deployment, symbol_reference(symbol))
            return None if used is None else str(used.value.price)
        name = self._symbols.market_of(symbol)
        return None if name is None else self._of_name.get((deployment, name))

    def _heard(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            row = self._tables.feeds.markets.rows.get(key)
            name = None if row is None else readable(note_unreadable, MARKETS, key, row, _name_in)
            deployment, market = market_of_key(key)
            if name:
                self._of_name[deployment, name] = market


def _name_in(row: bytes) -> str | None:
    name = decode_row(row).body.get("name")
    if name is not None and not isinstance(name, str):
        raise no_row(row, MARKETS, TypeError(f"expected a name, found {name!r:.200}"))
    return name
