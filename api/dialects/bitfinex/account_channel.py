"""The account channel of one login: its snapshots, what happens after them, and what it asks to be calculated."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from api.delivery.subscription import Subscription
from api.dialects.bitfinex.account_book import Listener
from api.dialects.bitfinex.event_objects import CONCURRENCY, GENERIC, error
from api.dialects.bitfinex.heard_frames import SNAPSHOTS, Frame
from api.dialects.bitfinex.numbered_frames import ACCOUNT
from api.dialects.bitfinex.public_channels import HEARTBEAT_S
from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.bitfinex.account_book import AccountBook
    from api.dialects.bitfinex.calc_requests import Calculation
    from api.dialects.bitfinex.heard_frames import Hearing
    from api.dialects.bitfinex.numbered_frames import NumberedFrames

_log = logging.getLogger(__name__)


class AccountChannel(Subscription):
    """One login. It is a subscription only for its heartbeats; all else is sent in order and never left out.

    Args:
        outbox: The connection's.
        hub: Sends.
        frames: The connection's.
        book: What the login shows.
        hearing: What of it the login hears.
        says_unknown: Whether a calculation of what is not there is an error, and not silence.
    """

    __slots__ = ("_book", "_frames", "_hearing", "_hub", "_said_s", "_says_unknown")

    def __init__(
        self,
        outbox: Outbox,
        hub: Hub,
        frames: NumberedFrames,
        *,
        book: AccountBook,
        hearing: Hearing,
        says_unknown: bool,
    ) -> None:
        super().__init__(outbox)
        self._hub = hub
        self._frames = frames
        self._book = book
        self._hearing = hearing
        self._says_unknown = says_unknown
        self._said_s = 0.0

    def begin(self) -> None:
        """Send the snapshots, and from then on what happens."""
        self._frames.restart_account()
        self._say_snapshots(self._book.begin(Listener(self._on_frames, self._on_gap)))
        self._frames.is_synced = True

    def end(self) -> None:
        """Send nothing more."""
        self._hub.forget(self)
        self._book.end()

    def may_calculate(self, calculation: Calculation) -> bool:
        """Whether the login's key opens a calculation."""
        return self._hearing.may_calculate(calculation.kind)

    def calculate(self, calculation: Calculation) -> None:
        """Calculate something at the marks of now, and send it."""
        try:
            frame = self._book.calculate(calculation)
        except BadRow as bad:
            _log.warning("calculation is not made: %s", bad)
            frame = None
        if frame is not None:
            self._say(frame)
        elif self._says_unknown:
            self.say_unknown(f"{calculation.kind}_{calculation.subject}".rstrip("_"))

    def tell_left_out(self) -> None:
        """Tell that there was no place for something that it asked for."""
        self._hub.say(self.outbox, error(CONCURRENCY, "calc: rate limit"))

    def say_unknown(self, text: str) -> None:
        """Tell that a calculation is of nothing that is there, where the settings want it told."""
        if self._says_unknown:
            self._hub.say(self.outbox, error(GENERIC, "calc: unknown", {"key": text}))

    def take(self, now_s: float) -> bytes | None:
        """Encode a heartbeat, where nothing was said for so long."""
        if now_s < self._said_s + HEARTBEAT_S:
            self._hub.at(self, self._said_s + HEARTBEAT_S)
            return None
        self._said_s = now_s
        self._hub.at(self, now_s + HEARTBEAT_S)
        return self._frames.heartbeat(ACCOUNT)

    def _on_frames(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if self._hearing.hears(frame):
                self._say(frame)

    def _on_gap(self) -> None:
        self._say_snapshots(self._book.snapshots())

    def _say_snapshots(self, snapshots: Sequence[Frame]) -> None:
        by_type = {frame.type: frame for frame in snapshots}
        for type_ in SNAPSHOTS:
            snapshot = self._hearing.snapshot(by_type[type_])
            if snapshot is not None:
                self._say(snapshot)

    def _say(self, frame: Frame) -> None:
        self._hub.say(self.outbox, self._frames.of_account(frame.type, frame.payload))
        self._said_s = self._hub.now_s()
        self._hub.at(self, self._said_s + HEARTBEAT_S)
