"""Which positions were opened, charged and ended since an instant, by the records of ``account-events``.

With them, positions as they are now tell which there were at the instant.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from models.account_events import RolledBack, Transaction
from models.errors import BadRecord
from models.symmio.abi import decode_log
from models.symmio.events import (
    ChargeFundingRate,
    ClosePosition,
    LiquidatePositionsPartyA,
    LiquidatePositionsPartyB,
    OpenPosition,
)
from models.symmio.funding_plan import paid_epoch
from models.symmio.state import QuoteStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.account_events import AccountRecord
    from models.chain_records import LogOffset, RawLog
    from models.symmio.funding_records import Epoch


class Moves:
    """What was opened and what ended after an instant, and what was charged.

    Records of one account are added in the order of the log; of several accounts they may come in any order.

    Args:
        since_s: The instant, in the chain's time, Unix s.
        is_whole: Whether all records since the instant are still kept; nothing is known where some are not.
    """

    def __init__(self, since_s: int, *, is_whole: bool = True) -> None:
        self.is_whole = is_whole
        self._since_s = since_s
        self._found: list[_Move] = []

    def add(self, account: str, record: AccountRecord) -> None:
        """Take in a record.

        Args:
            account: Whose it is; of no meaning for records of the whole deployment.
            record: The record.
        """
        match record:
            case Transaction(time_s=time_s):
                self._found += [
                    _Move(record.position, record.block, time_s, account, quote_id, kind)
                    for log in record.logs
                    for quote_id, kind in _moved(log)
                    # A fork may put a charge into a block of before the instant, which is paid all the same.
                    if time_s > self._since_s or kind is _Kind.CHARGED
                ]
            case RolledBack(position=position, ancestor=ancestor):
                # Each partition says it: what came after it in another one stays.
                self._found = [one for one in self._found if one.block <= ancestor or one.position > position]
            case _:
                # Nothing else opens or ends a position.
                pass

    @property
    def opened(self) -> set[int]:
        """The quotes that were not open at the instant, since they were opened after it."""
        return {one.quote_id for one in self._found if one.kind is _Kind.OPENED}

    @property
    def ended(self) -> dict[int, Ended]:
        """The quotes that were open at the instant and have ended since."""
        opened = self.opened
        return {
            one.quote_id: Ended(one.account, one.time_s)
            for one in self._found
            if one.kind is _Kind.ENDED and one.quote_id not in opened
        }

    def has_charged(self, epoch: Epoch, quote_id: int) -> bool:
        """Whether a quote was charged for an epoch, whoever sent it: the contract decides by a block's time which.

        Args:
            epoch: One whose window opens at the instant.
            quote_id: The quote.
        """
        return any(
            one.quote_id == quote_id and paid_epoch(one.time_s, epoch.epoch_s, epoch.window_s) == epoch.pays_s
            for one in self._found
            if one.kind is _Kind.CHARGED
        )


class Ended(NamedTuple):
    """Whose position ended, and when, in the chain's time, Unix s."""

    account: str
    time_s: int


class _Kind(Enum):
    OPENED = auto()
    CHARGED = auto()
    ENDED = auto()


class _Move(NamedTuple):
    position: LogOffset
    block: int
    time_s: int
    account: str
    quote_id: int
    kind: _Kind


def _moved(log: RawLog) -> Iterator[tuple[int, _Kind]]:
    """The quotes that a log opens, charges or ends, each with which of them it does."""
    try:
        event = decode_log(log)
    except BadRecord:
        # Who folds it says so, and nothing of the deployment is charged then.
        return
    match event:
        case OpenPosition(quote_id=quote_id):
            yield quote_id, _Kind.OPENED
        case ChargeFundingRate() as charge:
            yield from ((quote_id, _Kind.CHARGED) for quote_id in charge.quote_ids)
        case ClosePosition(quote_id=quote_id, status=QuoteStatus.CLOSED):
            yield quote_id, _Kind.ENDED
        case LiquidatePositionsPartyA(quote_ids=quote_ids) | LiquidatePositionsPartyB(quote_ids=quote_ids):
            yield from ((quote_id, _Kind.ENDED) for quote_id in quote_ids)
        case _:
            pass
