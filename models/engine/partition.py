"""The engine of one partition: what folds the records of each venue, and what values all accounts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from models.engine.accounts import Accounts
from models.engine.booker import Booker
from models.engine.stored_rows import readable
from models.engine.tables import ACCOUNTS
from models.engine.valuing import Valuing
from models.ids import split_key
from models.subtotals import deployment_of_sum
from models.watermarks import DeploymentWatermark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from models.engine.board import InputBoard
    from models.engine.deployment import Venues
    from models.engine.step import Stage
    from models.engine.stored_rows import StoredRows
    from models.venue import Notices, Venue


class Folding(NamedTuple):
    """What folds the records of one venue."""

    venue: Venue[Any, Any, Any]
    accounts: Accounts[Any, Any, Any]
    notices: Notices[Any, Any] | None


class PartitionEngine:
    """Folds and values the accounts of one partition.

    An account whose row its venue cannot read misses the records that come, which its row says from then on, and its
    figures are unknown. It is suspect once the row can be read again.
    Accounts of a venue that is not installed are left as they are, and so are their figures and the sums of these.

    Args:
        partition: Its number.
        rows: The tables that the steps are written to.
        venues: The venues and their deployments.
        board: The marks in use.
        deadband: Share of its notional by which an unwatched account's uPnL may move unseen, >= 0.
        sums: Keys of the subtotals that the partition has.
        is_booked: Whether what records do to accounts is booked, for readers of the topic ``bookings``.
        is_stated: Whether statements are made; False for whoever only values accounts.
    """

    def __init__(
        self,
        partition: int,
        rows: StoredRows,
        venues: Venues,
        *,
        board: InputBoard,
        deadband: float,
        sums: Iterable[bytes] = (),
        is_booked: bool = False,
        is_stated: bool = True,
    ) -> None:
        self._rows = rows
        self._venues = venues
        self.valuing = Valuing(
            partition,
            rows,
            venues=venues,
            board=board,
            watermark_of=self.watermark,
            deadband=deadband,
            # Nothing is counted of a venue that is not installed: its sums would be zeroed as those of no position.
            sums=[key for key in sums if venues.of(deployment_of_sum(key)) is not None],
        )
        self._foldings: dict[str, Folding] = {}
        for venue, deployments in venues.installed:
            notices = venue.notices(deployments, rows)
            booker = Booker(venue) if is_booked else None
            keys = self.valuing.exposures.keys
            accounts = Accounts(partition, rows, keys, venue, notices, booker=booker, is_stated=is_stated)
            self._foldings[venue.kind] = Folding(venue, accounts, notices)

    def __getitem__(self, kind: str) -> Folding:
        """What folds the records of a venue that is installed."""
        return self._foldings[kind]

    @property
    def foldings(self) -> Iterable[Folding]:
        """What folds the records of each venue."""
        return self._foldings.values()

    @property
    def notices(self) -> Iterator[Notices[Any, Any]]:
        """What tells the holders of accounts of their positions, of each venue that has something to tell."""
        return (one.notices for one in self.foldings if one.notices is not None)

    @property
    def watermarks(self) -> Iterator[tuple[str, DeploymentWatermark]]:
        """How far each deployment is folded in this partition."""
        return (one for folding in self.foldings for one in folding.accounts.watermarks)

    def watermark(self, deployment: str) -> DeploymentWatermark:
        """How far a deployment is folded in this partition."""
        folding = self._of(deployment)
        return DeploymentWatermark() if folding is None else folding.accounts.watermark(deployment)

    def restore_account(self, key: bytes, row: bytes) -> None:
        """Take in a row of ``accounts`` that was recovered."""
        folding = self._of(split_key(key)[0])
        if folding is None:
            return
        held = readable(self._rows.note_unreadable, ACCOUNTS, key, row, partial(folding.accounts.restore, key))
        if held is None:
            self.valuing.restore_unreadable(key)
        else:
            self.valuing.restore(key, held)

    def restore_watermark(self, key: bytes, row: bytes) -> None:
        """Take in a row of ``watermarks`` that was recovered."""
        folding = self._of(split_key(key)[0])
        if folding is not None:
            folding.accounts.restore_watermark(key, row)

    def restore_notices(self, key: bytes, row: bytes) -> None:
        """Take in a row of ``position-states`` that was recovered."""
        folding = self._of(split_key(key)[0])
        if folding is not None and folding.notices is not None:
            folding.notices.restore(key, row)

    def written(self, kind: str, stage: Stage) -> None:
        """The rows of a stage that a venue's accounts made are in the tables: have their accounts valued."""
        accounts = self._foldings[kind].accounts
        for write in stage.writes:
            if write.table != ACCOUNTS:
                continue
            held = accounts.written(write.key)
            if held is None:
                self.valuing.restore_unreadable(write.key)
            else:
                self.valuing.put(write.key, held)

    def _of(self, deployment: str) -> Folding | None:
        venue = self._venues.of(deployment)
        return None if venue is None else self._foldings[venue.kind]
