"""Which positions were opened and which ended since an instant, by the records of ``account-events``.

With them, positions as they are now tell which there were at the instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.account_events import RolledBack, Transaction
from models.errors import BadRecord
from models.symmio.abi import decode_log
from models.symmio.events import ClosePosition, LiquidatePositionsPartyA, LiquidatePositionsPartyB, OpenPosition
from models.symmio.state import QuoteStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.account_events import AccountRecord
    from models.chain_records import LogOffset, RawLog


class Moves:
    """What was opened and what ended after an instant.

    Records of one account are added in the order of the log; of several accounts they may come in any order.

    Args:
        since_s: The instant, in the chain's time, Unix s.
    """

    def __init__(self, since_s: int) -> None:
        self._since_s = since_s
        self._found: list[_Move] = []

    def add(self, account: str, record: AccountRecord) -> None:
        """Take in a record.

        Args:
            account: Whose it is; of no meaning for records of the whole deployment.
            record: The record.
        """
        match record:
            case Transaction(time_s=time_s) if time_s > self._since_s:
                self._found += [
                    _Move(record.position, record.block, time_s, account, quote_id, is_opening)
                    for log in record.logs
                    for quote_id, is_opening in _moved(log)
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
        return {one.quote_id for one in self._found if one.is_opening}

    @property
    def ended(self) -> dict[int, Ended]:
        """The quotes that were open at the instant and have ended since."""
        opened = self.opened
        return {
            one.quote_id: Ended(one.account, one.time_s)
            for one in self._found
            if not one.is_opening and one.quote_id not in opened
        }


class Ended(NamedTuple):
    """Whose position ended, and when, in the chain's time, Unix s."""

    account: str
    time_s: int


class _Move(NamedTuple):
    position: LogOffset
    block: int
    time_s: int
    account: str
    quote_id: int
    is_opening: bool


def _moved(log: RawLog) -> Iterator[tuple[int, bool]]:
    """The quotes that a log opens or ends, each with whether it opens it."""
    try:
        event = decode_log(log)
    except BadRecord:
        # Who folds it says so, and nothing of the deployment is charged then.
        return
    match event:
        case OpenPosition(quote_id=quote_id):
            yield quote_id, True
        case ClosePosition(quote_id=quote_id, status=QuoteStatus.CLOSED):
            yield quote_id, False
        case LiquidatePositionsPartyA(quote_ids=quote_ids) | LiquidatePositionsPartyB(quote_ids=quote_ids):
            yield from ((quote_id, False) for quote_id in quote_ids)
        case _:
            pass
