"""What the accounts of one partition are worth: which are to be valued next, and the rows that come of it."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from models.book import ExposureBook
from models.book_figures import REACH, Exposure
from models.codec import ORDER_BYTES, decode_order, encode_body
from models.engine.alarms import Alarms
from models.engine.board import DeploymentInputs
from models.engine.missed_records import read_held
from models.engine.recent import Recent
from models.engine.step import Write
from models.engine.stored_rows import readable
from models.engine.tables import ACCOUNTS, VALUATIONS
from models.engine.totals import Totals
from models.errors import BadRow, NoAnswer
from models.ids import split_key
from models.money import E18
from models.provenance import Provenances, says_the_same
from models.valuations import NOWHERE, UNPRICED, as_of_row, unknown_figures, with_last_complete_of_row
from models.venue import Valued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from models.engine.board import InputBoard, MarketId
    from models.engine.deployment import Venues
    from models.engine.stored_rows import StoredRows
    from models.venue import Held, Valuer, Venue
    from models.watermarks import DeploymentWatermark

T = TypeVar("T")

# What is held takes some 2 kB, so that those kept for an account's next valuation are 4 MB a partition.
_HELD_KEPT = 2_000
_UNEXPOSED = Exposure({}, 0.0, 0.0)
_NO_ORDER = bytes(ORDER_BYTES)


class _Known(NamedTuple):
    """A deployment: its venue, the inputs of its accounts, and the provenance of their valuations."""

    deployment: str
    venue: Venue[Any, Any, Any]
    inputs: DeploymentInputs
    provenances: Provenances


class _Kept(NamedTuple):
    """What an account holds by the row that stands in the table, what values it, and its deployment."""

    held: Held
    valuer: Valuer
    known: _Known


class Valuing:
    """Finds the accounts that should be shown and values them exactly; of all others only exposures are in memory.

    ``urgent`` are accounts to be valued at the next flush, ``deferred`` those that are valued in turns beside it.

    Args:
        partition: Its number.
        rows: The tables that the rows are written to.
        venues: Say what each account is worth.
        board: The marks in use.
        watermark_of: How far a deployment is folded in this partition.
        deadband: Share of its notional by which an unwatched account's uPnL may move unseen, >= 0.
        sums: Keys of the subtotals that the partition has.
    """

    def __init__(
        self,
        partition: int,
        rows: StoredRows,
        *,
        venues: Venues,
        board: InputBoard,
        watermark_of: Callable[[str], DeploymentWatermark],
        deadband: float,
        sums: Iterable[bytes] = (),
    ) -> None:
        self._rows = rows
        self._venues = venues
        self._board = board
        self._known: dict[str, _Known] = {}
        self._watermark_of = watermark_of
        self._moved: set[MarketId] = set()
        self._held: Recent[_Kept] = Recent(_HELD_KEPT)
        self._on_touched: Callable[[], None] = _nothing
        self._curved = _Curved()
        # Their exposures were made at other references, or out of reach of the marks in use.
        self._outdated: set[bytes] = set()
        # Their venue cannot say their exposures: no mark would have them valued, so no figure of theirs would hold.
        self._unexposed: set[bytes] = set()
        # Whether marks are others than when they were asked for last.
        self._has_moved = False
        self.exposures = ExposureBook(deadband)
        self.alarms = Alarms(rows)
        self.totals = Totals(partition, rows, sums, self._sum_up_anew)
        self.urgent: set[bytes] = set()
        self.deferred: deque[bytes] = deque()

    def listen(self, on_touched: Callable[[], None]) -> None:
        """Call ``on_touched`` whenever anything becomes urgent, or may have."""
        self._on_touched = on_touched

    @property
    def accounts(self) -> int:
        """How many accounts there are."""
        return len(self.exposures)

    @property
    def is_behind(self) -> bool:
        """Whether any account waits until nothing is urgent."""
        return bool(self.deferred)

    def restore(self, key: bytes, held: Held) -> None:
        """Take in an account that was recovered, whose venue is installed."""
        deployment, _ = split_key(key)
        known = self._know(deployment)
        exposure = self._exposure(key, known, held)
        priced = self._venues.priced(deployment)
        for market in exposure.signed:
            if isinstance(market[1], str) and priced is not None and market not in self.exposures.markets:
                self._board.add_named(market, priced)
                self._moved.add(market)
                # A reference may have named it just now, in a turn beside what is urgent, and no mark of it moves.
                self._on_touched()
        slack = exposure.slack
        self.exposures.put(key, exposure.signed, exposure.cost, exposure.margin, slack=slack or 0.0)
        self._curved.put(key, () if slack is None else exposure.signed, slack or 0.0)

    def restore_unreadable(self, key: bytes) -> None:
        """Take in an account whose row its venue cannot read: whatever its valuation says, its figures are unknown."""
        self._held.drop(key)
        self.exposures.put(key, _UNEXPOSED.signed, _UNEXPOSED.cost, _UNEXPOSED.margin)
        self._curved.put(key, (), 0.0)
        self.touch((key,))

    def put(self, key: bytes, held: Held) -> None:
        """Take in an account whose row has just been written; its valuation is to be looked at."""
        self._held.drop(key)
        self.restore(key, held)
        self.touch((key,))

    def restated(self, key: bytes) -> None:
        """The account's row was written again under another term, which its valuation names."""
        self._held.drop(key)
        # One of a venue that is not installed is not in the book.
        if key in self.exposures.keys():  # noqa: SIM118 - the book itself would be searched through
            self.touch((key,))

    def touch(self, keys: Iterable[bytes]) -> None:
        """Have accounts valued at the next flush."""
        self.urgent.update(keys)
        self._on_touched()

    def touch_deployment(self, deployment: str) -> None:
        """Have every account of a deployment valued."""
        self.touch(self._accounts_of(deployment))

    def refer(self, deployment: str) -> None:
        """A reference of a deployment changed: have its accounts valued in turns, and their exposures made anew."""
        concerned = self._accounts_of(deployment)
        self._outdated.update(concerned)
        self.deferred.extend(self.exposures.tell(concerned))
        self._on_touched()

    def watch(self, key: bytes) -> None:
        """Somebody watches an account from now on."""
        if self.exposures.watch(key):
            self.touch((key,))

    def unwatch(self, key: bytes) -> None:
        """Nobody watches an account any more."""
        self.exposures.unwatch(key)

    def move(self, markets: Iterable[MarketId]) -> None:
        """Have the accounts looked at that hold any of these markets, whose marks are others than before."""
        self._has_moved = True
        held = [market for market in markets if market in self.exposures.markets]
        if held:
            self._moved.update(held)
            self._on_touched()

    def move_all(self) -> None:
        """Have all accounts looked at."""
        self.move(self.exposures.markets)

    def look(self, before_s: float) -> None:
        """Let the accounts wait for their turn that have moved since before a time.

        So do those whose exposures could not be said, if any mark moved since: that may be what was missing.
        """
        self.deferred.extend(self.exposures.overdue(before_s))
        if self._has_moved and self._unexposed:
            self._outdated.update(self._unexposed)
            self.deferred.extend(self.exposures.tell(self._unexposed))
        self._has_moved = False

    def press(self) -> None:
        """Have the accounts valued at the next flush that wait for their turn and should not."""
        pressing = self.exposures.pressing()
        if pressing:
            self.touch(pressing)

    def take_urgent(self, at_s: float) -> set[bytes]:
        """Take in the marks that moved, and hand out the accounts that are to be valued now.

        Args:
            at_s: The instant, by a clock that never goes back.
        """
        moved, self._moved = self._moved, set()
        self._reprice({market: self._price(market) for market in moved}, at_s)
        urgent, self.urgent = self.urgent, set()
        return urgent

    def oldest_s(self, now_s: float) -> float:
        """For how long the row is out of date that has been so for longest, 0 where none is."""
        moved_s = self.exposures.oldest_s()
        return 0.0 if moved_s is None else now_s - moved_s

    def value(self, key: bytes, at_ms: int, *, is_urgent: bool) -> Write | None:
        """Value an account at the marks in use.

        Args:
            key: The account.
            at_ms: The instant, Unix ms, which the row names.
            is_urgent: Whether it should be shown at once; what it holds is kept for the next time then, as it is where
                there is room for all accounts.

        Returns:
            The valuations row, or None where it is as it was. Or a row of ``alerts`` that has to be durable before the
            valuation is written: call ``acknowledged`` when it is, and the account is valued again.
        """
        if self.alarms.is_waiting(key):
            return None
        found = self._valued(key, at_ms, is_urgent=is_urgent)
        if found is None:
            return None
        held, known, (body, shown) = found
        made = known.provenances.made(at_ms, known.inputs.take_asked())
        transition = self.alarms.transition(key, body, made)
        if transition is not None:
            return transition
        row = self._rows.read(VALUATIONS, key)
        if body["status"] == UNPRICED and row is not None:
            body = self._said_by(key, row, partial(with_last_complete_of_row, body)) or body
        is_counted = self.exposures.was_published(key)
        encoded = encode_body(body)
        is_changed = row is None or not says_the_same(row, encoded)
        if is_changed or not is_counted:
            self.totals.note(key, row if is_counted else None, body)
        if key in self._outdated:
            self._outdated.discard(key)
            if held is not None:
                self.restore(key, held)
        self.exposures.published(key, shown, self._curved.slack_of(key))
        if not is_changed:
            return None
        version = 1 if row is None else decode_order(row)[1] + 1
        return Write(VALUATIONS, key, version, known.provenances.join(encoded, made))

    def acknowledged(self, key: bytes, *, is_urgent: bool) -> None:
        """The account's transition is durable: value it again, as urgently as when the transition was made."""
        self.alarms.acknowledged(key)
        if is_urgent or self.exposures.is_pressing(key):
            self.urgent.add(key)
        else:
            self.deferred.append(key)
        self._on_touched()

    def _sum_up_anew(self) -> None:
        """Have all accounts valued, and counted as if they never had been."""
        self.exposures.forget_published()
        self.touch(self.exposures)

    def _reprice(self, marks: dict[MarketId, float], at_s: float) -> None:
        # A mark may be another without a price that moved: a later tick, another source, one that has become stale.
        touched = [market for market, mark in marks.items() if self.exposures.mark(market) == mark]
        due = self.exposures.reprice(marks, at_s)
        for market in touched:
            due += self.exposures.touch(market, at_s)
        for market, mark in marks.items():
            beyond = self._curved.beyond_reach(market, mark)
            self._outdated.update(beyond)
            due += self.exposures.tell(beyond)
        for key in due:
            if self.exposures.is_pressing(key):
                self.urgent.add(key)
            else:
                self.deferred.append(key)

    def _price(self, market: MarketId) -> float:
        used = self._board.used(*market)
        return 0.0 if used is None else used.mark_e18 / E18

    def _accounts_of(self, deployment: str) -> list[bytes]:
        prefix = f"{deployment}:".encode()
        return [key for key in self.exposures if key.startswith(prefix)]

    def _know(self, deployment: str) -> _Known:
        """What is the same for all accounts of a deployment; made once, as each valuing asks."""
        known = self._known.get(deployment)
        if known is None:
            venue = self._venues.of(deployment)
            if venue is None:
                msg = f"expected accounts of installed venues, found one of {deployment}: install its package"
                raise BadRow(msg)
            configured = self._venues.priced(deployment)
            settings = "" if configured is None else configured.settings
            inputs = DeploymentInputs(self._board, deployment)
            provenances = Provenances(f"{venue.kind}/{venue.figures_version}", settings)
            known = _Known(deployment, venue, inputs, provenances)
            self._known[deployment] = known
        return known

    def _exposure(self, key: bytes, known: _Known, held: Held) -> Exposure:
        """The account's exposure; none, and the account is to be valued, where its venue cannot say it."""
        was_unexposed = key in self._unexposed
        try:
            exposure = known.venue.exposure(known.deployment, held, known.inputs)
            self._unexposed.discard(key)
        except BadRow as error:
            self._note(key, error)
            exposure = _UNEXPOSED
            self._unexposed.add(key)
        if was_unexposed != (key in self._unexposed):
            self.touch((key,))
        return exposure

    def _valued(self, key: bytes, at_ms: int, *, is_urgent: bool) -> tuple[Held | None, _Known, Valued] | None:
        """Value an account; its figures are unknown where its venue cannot say them. None where it has no row."""
        held: Held | None = None
        try:
            found = self._hold(key, is_urgent=is_urgent)
            if found is None:
                return None
            held, valuer, known = found
            is_unsupported = self._watermark_of(known.deployment).unsupported_since is not None
            known.inputs.take_asked()
            valued = valuer.value(known.inputs, unsupported=is_unsupported)
            if key not in self._unexposed:
                return held, known, valued
        except BadRow as error:
            self._note(key, error)
            self._held.drop(key)
        order = decode_order(self._rows.read(ACCOUNTS, key) or _NO_ORDER)
        position = NOWHERE if held is None else held.applied
        row = self._rows.read(VALUATIONS, key)
        as_of_ms = None if row is None else self._said_by(key, row, as_of_row)
        if as_of_ms is None:
            as_of_ms = at_ms
        return held, self._know(split_key(key)[0]), Valued(unknown_figures(order, position, as_of_ms), None)

    def _said_by(self, key: bytes, row: bytes, decode: Callable[[bytes], T]) -> T | None:
        """What the account's valuation says; None where it cannot be read, since it is made anew in any case."""
        return readable(self._rows.note_unreadable, VALUATIONS, key, row, decode)

    def _note(self, key: bytes, error: BadRow) -> None:
        """Take note that the venue can make nothing of the account's row; a package's fault was counted as one."""
        if isinstance(error, NoAnswer):
            return
        self._rows.note_unreadable(ACCOUNTS, key, self._rows.read(ACCOUNTS, key) or b"", error)

    def _hold(self, key: bytes, *, is_urgent: bool) -> _Kept | None:
        """What is known of an account, kept for the next time where it is worth it.

        Accounts that are valued in turns would push each other out where there are more of them than are kept.
        """
        found = self._held.get(key)
        if found is None:
            found = self._read_held(key)
            if found is not None and (is_urgent or len(self.exposures) <= _HELD_KEPT):
                self._held.put(key, found)
        return found

    def _read_held(self, key: bytes) -> _Kept | None:
        row = self._rows.read(ACCOUNTS, key)
        if row is None:
            return None
        known = self._know(split_key(key)[0])
        held = read_held(known.venue, row)
        return _Kept(held, known.venue.valuer(held, decode_order(row)[0]), known)


class _Curved:
    """The accounts whose exposures hold only near the marks that they were made at, by market."""

    def __init__(self) -> None:
        self._markets_of: dict[bytes, tuple[MarketId, ...]] = {}
        self._accounts_of: dict[MarketId, set[bytes]] = {}
        self._anchors: dict[MarketId, float] = {}
        self._slack_of: dict[bytes, float] = {}

    def put(self, key: bytes, markets: Iterable[MarketId], slack: float) -> None:
        """Set or replace an account.

        Args:
            key: The account.
            markets: Those of its exposure, none where it is linear.
            slack: That of its exposure.
        """
        before, after = self._markets_of.get(key, ()), tuple(markets)
        if before != after:
            for market in before:
                self._accounts_of[market].discard(key)
            for market in after:
                self._accounts_of.setdefault(market, set()).add(key)
        if after:
            self._markets_of[key], self._slack_of[key] = after, slack
        elif before:
            del self._markets_of[key], self._slack_of[key]

    def slack_of(self, key: bytes) -> float:
        """By how much an account's value may lie below its tangent, 0 of one that is linear."""
        return self._slack_of.get(key, 0.0)

    def beyond_reach(self, market: MarketId, mark: float) -> Sequence[bytes]:
        """The accounts whose exposures a market's new mark is out of reach of; it is the anchor from then on."""
        accounts = self._accounts_of.get(market)
        if not accounts:
            self._anchors.pop(market, None)
            return ()
        anchor = self._anchors.get(market)
        if anchor is not None and abs(mark - anchor) <= REACH * anchor:
            return ()
        self._anchors[market] = mark
        return tuple(accounts)


def _nothing() -> None:
    """Does nothing: nobody listens yet."""
