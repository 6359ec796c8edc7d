"""Which mark each market is valued at: the one place where a mark is chosen, for worker, api, funder and replay.

Beside the marks lie the references, which nobody has to choose.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec.structs import replace

from models.body_reader import no_row
from models.codec import decode_row
from models.engine.stored_rows import readable
from models.engine.tables import MARKETS
from models.freshness import is_settling
from models.ids import market_of_key, split_key
from models.prices import used_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from models.engine.stored_rows import NoteUnreadable
    from models.prices import Mark, UsedMark
    from models.references import UsedReference

MarketId = tuple[str, int | str]
"""(deployment, the market's id there): a number, or a text that is none."""


class Priced(Protocol):
    """A deployment, as far as the prices of its markets go."""

    def price_sources(self, name: str, /) -> Sequence[PriceSource]:
        """Where the price of the market of this name comes from, in order of preference."""


class DeploymentInputs:
    """The marks in use of one deployment's markets and its references, as venues are given them.

    Args:
        board: Has those of every deployment.
        deployment: The deployment.
    """

    def __init__(self, board: InputBoard, deployment: str) -> None:
        self._board = board
        self._deployment = deployment
        self._asked: dict[str, UsedReference] = {}
        # Each valuing asks for the mark of each position, so this is the look-up itself, with no call around it.
        self.mark: Callable[[int | str], UsedMark | None] = board.marks_of(deployment).get
        """The mark in use of a market, None where there is none."""

    def take_asked(self) -> Mapping[str, UsedReference]:
        """The references that were asked for, and found, since this was last called."""
        asked = self._asked
        if asked:
            self._asked = {}
        return asked

    def reference(self, name: str) -> UsedReference | None:
        """A reference of the deployment, None where nothing was said of it."""
        used = self._board.references.get((self._deployment, name))
        if used is not None:
            self._asked[name] = used
        return used


class PriceSource(NamedTuple):
    """Where a market's price may come from: the key of a mark, and how old it may be, in ms since it was received."""

    key: bytes
    max_age_ms: int


def choose_mark(candidates: Iterable[tuple[PriceSource, Mark | None]], now_ms: int) -> UsedMark | None:
    """Choose the mark of a market among its sources.

    Args:
        candidates: Each source with its newest mark, None where there is none, in order of preference.
        now_ms: The instant, Unix ms; a mark's age is counted from when it was received.

    Returns:
        The first that is not older than its source allows, and did not come late; else the one with the newest event
        time, as stale; None where there is no mark at all.
    """
    newest: tuple[bytes, Mark] | None = None
    for source, mark in candidates:
        if mark is None:
            continue
        if now_ms - mark.received_ms <= source.max_age_ms and not mark.is_late:
            return used_mark(source.key.decode(), mark, stale=False)
        if newest is None or mark.event_ms > newest[1].event_ms:
            newest = source.key, mark
    if newest is None:
        return None
    key, mark = newest
    return used_mark(key.decode(), mark, stale=True)


class InputBoard:
    """The mark in use of every market, and which of them moved; ``references`` are those of (deployment, name).

    Args:
        mark_of: The newest mark of a source's key, None where there is none.
    """

    def __init__(self, mark_of: Callable[[bytes], Mark | None]) -> None:
        self._mark_of = mark_of
        self._sources: dict[MarketId, tuple[PriceSource, ...]] = {}
        self._markets_of: dict[bytes, set[MarketId]] = {}
        # By deployment, so that whoever values its accounts looks marks up by the market alone.
        self._used: dict[str, dict[int | str, UsedMark]] = {}
        # When a market was last seen stale that had been fresh, until it has settled.
        self._stale_ms: dict[MarketId, int] = {}
        self._chosen_ms = 0
        self.references: dict[tuple[str, str], UsedReference] = {}

    def refer(self, key: bytes, used: UsedReference | None) -> str:
        """Take in a reference, or that there is none any more.

        Args:
            key: Its key, ``<deployment>:<name>``.
            used: The reference.

        Returns:
            The deployment, of which all accounts are to be valued anew.
        """
        named = split_key(key)
        if used is None:
            self.references.pop(named, None)
        else:
            self.references[named] = used
        return named[0]

    def put_row(
        self, key: bytes, row: bytes, deployments: Mapping[str, Priced], note: NoteUnreadable
    ) -> MarketId | None:
        """Take in a row of ``markets``; call ``choose`` for its market afterwards.

        Args:
            key: The row's key.
            row: The row; a market without a name, or whose row cannot be read, has no price.
            deployments: Say where the prices of their markets come from, by the deployment's name.
            note: Is told of a row that cannot be read.

        Returns:
            The market, None where its deployment is not configured.
        """
        market = market_of_key(key)
        deployment = deployments.get(market[0])
        if deployment is None:
            return None
        name = readable(note, MARKETS, key, row, _market_name)
        self.put_market(market, deployment.price_sources(name) if name else ())
        return market

    def add_named(self, market: MarketId, deployment: Priced) -> None:
        """Take in a market that has no row, since its id is its name, and choose its mark as of the last instant.

        Args:
            market: The market; one that is known already stays as it is.
            deployment: Says where its price comes from.
        """
        if market not in self._sources:
            self.put_market(market, deployment.price_sources(str(market[1])))
            self.choose((market,), self._chosen_ms)

    def put_market(self, market: MarketId, sources: Sequence[PriceSource]) -> None:
        """Say where a market's price comes from, in order of preference; call ``choose`` for it afterwards."""
        for source in self._sources.get(market, ()):
            self._markets_of[source.key].discard(market)
        for source in sources:
            self._markets_of.setdefault(source.key, set()).add(market)
        self._sources[market] = tuple(sources)

    def priced_by(self, keys: Iterable[bytes]) -> set[MarketId]:
        """The markets that have any of these marks among their sources."""
        return {market for key in keys for market in self._markets_of.get(key, ())}

    def choose(self, markets: Iterable[MarketId], now_ms: int) -> list[MarketId]:
        """Choose the marks of markets anew.

        Returns:
            Those whose mark, or whose staleness, is another than before.
        """
        moved = []
        self._chosen_ms = now_ms
        for market in markets:
            newest = self._newest(market, now_ms)
            used = self._settled(market, newest, now_ms)
            self._note(market, newest, used, now_ms)
            if used == self.used(*market):
                continue
            moved.append(market)
            deployment, name = market
            if used is None:
                del self._used[deployment][name]
            else:
                self._used.setdefault(deployment, {})[name] = used
        return moved

    def choose_all(self, now_ms: int) -> list[MarketId]:
        """The same for every market: marks grow stale without a word of anybody."""
        return self.choose(list(self._sources), now_ms)

    @property
    def markets(self) -> Iterable[MarketId]:
        """Every market that was put."""
        return self._sources.keys()

    def sources_of(self, market: MarketId) -> Sequence[PriceSource]:
        """Where the price of a market comes from, in order of preference; nothing where it was never put."""
        return self._sources.get(market, ())

    def stale_markets(self) -> frozenset[MarketId]:
        """The markets whose mark in use is stale."""
        return frozenset(
            (deployment, market)
            for deployment, marks in self._used.items()
            for market, used in marks.items()
            if used.stale
        )

    def chosen(self, market: MarketId, now_ms: int) -> UsedMark | None:
        """The mark that a market has at an instant, Unix ms; what is in use stays as it is."""
        return self._settled(market, self._newest(market, now_ms), now_ms)

    def _newest(self, market: MarketId, now_ms: int) -> UsedMark | None:
        sources = self._sources.get(market, ())
        return choose_mark([(source, self._mark_of(source.key)) for source in sources], now_ms)

    def _settled(self, market: MarketId, newest: UsedMark | None, now_ms: int) -> UsedMark | None:
        """A mark that went stale is stale until it has been fresh for a while."""
        stale_ms = self._stale_ms.get(market)
        if newest is None or newest.stale or stale_ms is None or not is_settling(stale_ms, now_ms):
            return newest
        return replace(newest, stale=True)

    def _note(self, market: MarketId, newest: UsedMark | None, used: UsedMark | None, now_ms: int) -> None:
        """Remember when a market was last seen stale that was fresh before; at the start nothing was."""
        if used is None or not used.stale:
            self._stale_ms.pop(market, None)
        elif newest is not None and newest.stale:
            before = self.used(*market)
            if market in self._stale_ms or (before is not None and not before.stale):
                self._stale_ms[market] = now_ms

    def used(self, deployment: str, market: int | str) -> UsedMark | None:
        """The mark that a market is valued at, None where no source has ever had one.

        Args:
            deployment: The market's deployment.
            market: Its id there.
        """
        marks = self._used.get(deployment)
        return None if marks is None else marks.get(market)

    def marks_of(self, deployment: str) -> Mapping[int | str, UsedMark]:
        """The mark in use of every market of a deployment that has one, now and later."""
        return self._used.setdefault(deployment, {})

    @property
    def in_use(self) -> Iterable[UsedMark]:
        """Every mark that is in use."""
        return chain.from_iterable(marks.values() for marks in self._used.values())


def _market_name(row: bytes) -> str:
    """The name that a row of ``markets`` gives its market, whatever else its venue says of it."""
    name = decode_row(row).body.get("name")
    if not isinstance(name, str):
        raise no_row(row, MARKETS, TypeError(f"expected a name, found {name!r:.200}"))
    return name
