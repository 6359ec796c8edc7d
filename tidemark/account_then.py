"""An account as of the past, for the command line and for Python alike: recomputed, as it was shown, and calculated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from models.errors import BadRecord, BadRow
from streams.replay.account_at import key_of, value_account_at
from streams.replay.calculated_at import calculated_at
from streams.replay.served_at import differing, served_at
from streams.replay.unreadable_records import unreadable_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.dialects.mounting import Again
    from models.errors import TidemarkError
    from streams.replay.account_at import AccountAt, At
    from streams.replay.bounded_log import Log, LogRecord, Place
    from streams.replay.calculated_at import Calculated
    from streams.replay.checkpoints import Checkpoints
    from streams.replay.served_at import ServedRow
    from streams.replay.unreadable_records import UnreadableRecord
    from streams.settings import Settings


class CalculatedFrame(NamedTuple):
    """What a replica of the api calculated of an account, and what comes of the same inputs again.

    Attributes:
        calculated: What was asked, of which inputs, and where that is kept.
        frame: As it was sent; None where it cannot be made again.
        doubt: Why not; None where it can.
    """

    calculated: Calculated
    frame: Any
    doubt: str | None


class AccountThen(NamedTuple):
    """An account as of an instant of the past.

    Attributes:
        key: Its key.
        recomputed: What the log says of it; None where there was no such account.
        shown: What was shown of it last by then; None where nothing was that is still held, or nobody asked.
        differs: The columns in which the two differ.
        calculated: What a replica had calculated of it last by then; None where no dialect of its deployment
            calculates, or nobody asked.
        unreadable: Records of what was shown and calculated that cannot be read; they may have been newer.
    """

    key: str
    recomputed: AccountAt | None
    shown: ServedRow | None
    differs: tuple[str, ...]
    calculated: tuple[CalculatedFrame, ...] | None
    unreadable: tuple[UnreadableRecord, ...] = ()


async def account_then(
    log: Log, settings: Settings, deployment: str, account: str, at: At, *, is_served: bool,
    checkpoints: Checkpoints | None, on_record: Callable[[LogRecord], None],
) -> AccountThen:  # fmt: skip
    """Find an account as of an instant, a block or an offset.

    Args:
        log: Where the topics are.
        settings: Have the deployment and its dialects.
        deployment: Its name.
        account: The account, as its venue spells it.
        at: As of when.
        is_served: Whether to find what was shown and calculated then, too.
        checkpoints: Where checkpoints are; None for every record to be folded.
        on_record: Is told each record that was read.

    Raises:
        ReplayError: The log cannot say it.
    """
    from api.dialects.mounted_dialects import again_of  # noqa: PLC0415 - only who asks for what was shown needs it

    key = key_of(settings, deployment, account)
    found = await value_account_at(log, settings, deployment, account, at, on_record=on_record, checkpoints=checkpoints)
    shown_ms = at.time_ms if found is None else found.at_ms
    if not is_served or shown_ms is None:
        return AccountThen(key.decode(), found, None, (), None)
    unreadable: dict[tuple[Place, int], UnreadableRecord] = {}

    def note(record: LogRecord, error: TidemarkError) -> None:
        # Who looks back further and further reads some twice.
        unreadable[record.place, record.offset] = unreadable_record(record, error)

    shown = await served_at(log, settings, key, shown_ms, on_record=on_record, on_unreadable=note)
    recomputed = {} if found is None else json.loads(json.dumps(found.body))
    differs = () if shown is None else tuple(differing(shown.body, recomputed))
    again, frames = again_of(settings, deployment), None
    if again is not None:
        kept = await calculated_at(
            log, settings, key, shown_ms, on_record=on_record, on_unreadable=note, checkpoints=checkpoints
        )
        frames = tuple(_made_again(one, again) for one in kept)
    return AccountThen(key.decode(), found, shown, differs, frames, tuple(unreadable.values()))


def _made_again(one: Calculated, again: Again) -> CalculatedFrame:
    if one.statement is None:
        doubt = f"no raw record leaves the account as it was when it was asked {one.asked}"
        return CalculatedFrame(one, None, doubt)
    try:
        return CalculatedFrame(one, again(one.statement, one.asked, one.inputs), None)
    except (BadRecord, BadRow) as error:
        return CalculatedFrame(one, None, str(error))
