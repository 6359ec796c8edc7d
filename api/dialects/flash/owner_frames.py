"""An owner's basket out of the tables, as HTTP answers it and as sockets are sent it."""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from api.dialects.flash.owner_streams import BasketFrame
from api.tables.standing import NoSuchAccount
from models.engine.tables import STATEMENTS
from models.errors import BadRecord, BadRow
from models.flash.basket_snapshot import Opened, opened_of, order_figures, position_figures
from models.flash.flash_accounts import Basket, decode_account
from models.ids import account_key
from models.statements import decode_statement
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from api.dialects.flash.flash_board import FlashBoard
    from api.dialects.flash.owner_streams import OwnerId
    from api.tables.standing import NotKnown
    from models.flash.basket_views import Calculate
    from models.flash.flash_listing import Listing
    from models.flash.flash_prices import Uncomputable


# A basket in memory takes some 10 KiB, with its base64. Those unused for longest are read again.
_READ_MAX = 10_000
BASKET_FIGURES, METRICS = "basket", "metrics"
"""What was calculated of a basket, as it is kept: figures of positions and orders, or of positions alone."""


class OnBoard(NamedTuple):
    """A basket as it was read out of a row.

    Attributes:
        key: The account's key.
        row: The row, by which it is known whether it is still the newest.
        pubkey: The basket's address.
        data: Its bytes as base64.
        opened: What of it there are figures of.
    """

    key: str
    row: bytes
    pubkey: str
    data: str
    opened: Opened

    def contents(self) -> Basket:
        """The whole basket."""
        return decode_account(Basket, base64.b64decode(self.data))


class Absent(NamedTuple):
    """The owner has no basket."""


class Unknown(NamedTuple):
    """Nothing is known of the owner; ``reason`` is a sentence for a person."""

    reason: str


_COLD = Unknown("the tables are still being read, try again in some seconds")


class Snapshot(NamedTuple):
    """A basket with its figures, and why some of these are missing."""

    body: dict[str, Any]
    omitted: tuple[Mapping[str, Uncomputable], Mapping[str, Uncomputable]]

    @property
    def first_omission(self) -> Uncomputable | None:
        """Why the first of the markets that are left out is; None where none is."""
        return next((error for part in self.omitted for error in part.values()), None)


class TableFrames:
    """Makes snapshots and frames of owners.

    Args:
        deployment: The deployment.
        statements: Rows of the table ``statements`` by key.
        board: Tells the markets of now.
        missing: What may be said of an account that is in no table.
        why_unsure: Why what the tables say of an account may be old, by its key; None where it is not.
        calculate: Makes the figures of a position.
        pnl: Which figures these are, as settings call them.
        on_omitted: Called with how many markets of a frame had to be left out.
    """

    def __init__(
        self,
        deployment: str,
        statements: Mapping[bytes, bytes],
        board: FlashBoard,
        *,
        missing: Callable[[], NoSuchAccount | NotKnown],
        why_unsure: Callable[[bytes], str | None],
        calculate: Calculate,
        pnl: str,
        on_omitted: Callable[[int], object],
    ) -> None:
        self._deployment = deployment
        self._statements = statements
        self._board = board
        self._missing = missing
        self._why_unsure = why_unsure
        self._calculate = calculate
        self._pnl = pnl
        self._on_omitted = on_omitted
        self._read: OrderedDict[str, OnBoard] = OrderedDict()
        self._is_warm = False

    def warm(self) -> None:
        """Note that the tables have been read: what is in none of them from now on is known not to be there."""
        self._is_warm = True

    def find(self, of: OwnerId) -> OnBoard | Absent | Unknown:
        """An owner's basket as the newest row has it; unknown while that may be old, since frames cannot say so."""
        if not self._is_warm:
            return _COLD
        owner = of.owner
        key = account_key(self._deployment, owner)
        row = None if of.is_hidden else self._statements.get(key)
        if row is None:
            missing = self._missing()
            return Absent() if isinstance(missing, NoSuchAccount) else Unknown(missing.reason)
        unsure = self._why_unsure(key)
        if unsure is not None:
            return Unknown(unsure)
        known = self._read.get(owner)
        if known is not None and known.row is row:
            self._read.move_to_end(owner)
            return known
        try:
            found = _read(key.decode(), row)
        except (BadRow, BadRecord) as error:
            note_unreadable(STATEMENTS, key, row, BadRow(str(error)))
            return Unknown("the basket cannot be read")
        if isinstance(found, OnBoard):
            self._read[owner] = found
            if len(self._read) > _READ_MAX:
                self._read.popitem(last=False)
        return found

    def snapshot(self, of: OwnerId) -> Snapshot | Unknown:
        """The fields of ``MbBasketSnapshotDto``, with figures of now."""
        found = self.find(of)
        match found:
            case Unknown():
                return found
            case Absent():
                nothing = {"owner": of.owner, "basketPubkey": None, "basketData": None}
                return Snapshot({**nothing, "positionMetrics": {}, "orderMetrics": {}}, ({}, {}))
            case OnBoard():
                snapshot = _snapshot(of.owner, found, self._board.now(), self._calculate)
                self._kept(found, BASKET_FIGURES)
                return snapshot

    def basket(self, of: OwnerId) -> BasketFrame | None:
        """As ``OwnerFrames`` says."""
        snapshot = self.snapshot(of)
        if isinstance(snapshot, Unknown):
            return None
        positions, orders = snapshot.omitted
        omitted = len(positions) + len(orders)
        if omitted:
            self._on_omitted(omitted)
        token = snapshot.body["basketData"], *(frozenset(part) for part in snapshot.omitted)
        return BasketFrame(orjson.dumps({"type": "basket", "data": snapshot.body}), token, not omitted)

    def metrics(self, of: OwnerId) -> bytes | None:
        """As ``OwnerFrames`` says."""
        found = self.find(of)
        if not isinstance(found, OnBoard):
            return None
        figures = position_figures(found.opened, self._board.now(), self._calculate)
        self._kept(found, METRICS)
        if figures.omitted:
            self._on_omitted(len(figures.omitted))
        return orjson.dumps({"type": "metrics", "data": figures.shown})

    def _kept(self, of: OnBoard, what: str) -> None:
        self._board.calculated(of.key, of.row, f"{what} {self._pnl}")


def _snapshot(owner: str, found: OnBoard, listing: Listing, calculate: Calculate) -> Snapshot:
    positions = position_figures(found.opened, listing, calculate)
    orders = order_figures(found.opened, listing)
    body = {
        "owner": owner,
        "basketPubkey": found.pubkey,
        "basketData": found.data,
        "positionMetrics": positions.shown,
        "orderMetrics": orders.shown,
    }
    return Snapshot(body, (positions.omitted, orders.omitted))


def calculated_again(row: bytes, what: str, listing: Listing, calculate: Calculate) -> dict[str, Any] | None:
    """Make the frame once more in which figures of a basket were sent; None of a row without a basket.

    Args:
        row: The row of the owner's statement.
        what: ``BASKET_FIGURES`` or ``METRICS``.
        listing: The markets of that moment.
        calculate: Makes the figures of a position.

    Raises:
        BadRow, BadRecord: The row is none of this venue's.
    """
    found = _read("", row)
    if not isinstance(found, OnBoard):
        return None
    if what == METRICS:
        return {"type": METRICS, "data": position_figures(found.opened, listing, calculate).shown}
    snapshot = _snapshot(decode_statement(row).body["owner"], found, listing, calculate)
    return {"type": BASKET_FIGURES, "data": snapshot.body}


def _read(key: str, row: bytes) -> OnBoard | Absent | Unknown:
    """Read a row of ``statements``.

    Args:
        key: The account's key.
        row: The row.

    Raises:
        BadRow, BadRecord: It is none of this venue's.
    """
    body = decode_statement(row).body
    try:
        basket, suspect = body["basket"], body["suspect"]
        if suspect is not None:
            return Unknown(f"the basket is not known: {suspect}")
        if basket is None:
            return Absent()
        data = basket["data"]
        opened = opened_of(decode_account(Basket, base64.b64decode(data, validate=True)))
        return OnBoard(key, row, basket["pubkey"], data, opened)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"expected the statement of an account of Flash, found {body!r:.200} ({error!r})"
        raise BadRow(msg) from error
