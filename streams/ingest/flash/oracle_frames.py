"""Reads the accounts of Flash's oracle into ticks. Pure.

An oracle says its time in seconds, and may say several prices in one. Marks are ordered by their time, so the second
one of a second is taken to be a millisecond later, and so on; whole seconds are still the oracle's. Slots order
nothing here: a node that says one of the future would hold back the true prices of all others until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.flash.flash_accounts import CustomOracle, decode_account
from models.flash.flash_texts import native_text
from models.prices import FUTURE_MAX_MS, MarkTick, OracleSaid
from streams.ingest.prices.price_frames import BadTick, Frame, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_MS_PER_S = 1_000
# A worker reads plain decimals of at most so many places.
_PLACES_MAX = 18


class OracleReader:
    """Makes ticks of the states of one oracle, each price once.

    Args:
        symbol: The token's symbol.
        session_of: Tells which session of its market is on, given an instant in Unix ms.
    """

    def __init__(self, symbol: str, session_of: Callable[[int], str | None]) -> None:
        self._symbol = symbol
        self._session_of = session_of
        self._last: tuple[bytes, str | None] | None = None
        # What was said of the newest second: it comes again from other nodes, which may be behind. A price that returns
        # within its second is taken for that too, until the next one.
        self._said: set[tuple[bytes, str | None]] = set()
        self._event_ms = 0

    def read(self, data: bytes, source: str, received_ms: int) -> Frame:
        """Read a state of the account.

        Args:
            data: Its bytes.
            source: The source's name.
            received_ms: When it came, Unix ms.

        Returns:
            A frame without a tick where it says what was said before.
        """
        said = data, self._session_of(received_ms)
        if said in self._said:
            return Frame([], [], 0)
        try:
            tick = self._tick(decode_account(CustomOracle, data), source, received_ms, said[1])
        except BadRecord as error:
            return Frame([], [Refused(data, error, self._symbol)], 0)
        if tick is None:
            return Frame([], [], 0)
        if tick.event_ms % _MS_PER_S == 0:
            self._said.clear()
        self._said.add(said)
        self._last = said
        return Frame([tick], [], 0)

    def again(self, source: str, received_ms: int) -> Frame:
        """What was said last, once more where another session has begun since."""
        if self._last is None:
            return Frame([], [], 0)
        return self.read(self._last[0], source, received_ms)

    def _tick(self, oracle: CustomOracle, source: str, received_ms: int, session: str | None) -> MarkTick | None:
        places = -oracle.expo
        if not 0 <= places <= _PLACES_MAX or oracle.price == 0 or oracle.publish_time <= 0:
            msg = f"expected a price above 0 of at most {_PLACES_MAX} places and its time, found {oracle}"
            raise BadTick(msg)
        event_ms = oracle.publish_time * _MS_PER_S
        if event_ms - received_ms > FUTURE_MAX_MS:
            # A worker refuses it, and prices of before it would never be said again.
            msg = f"expected a time at most {FUTURE_MAX_MS} ms after {received_ms}, found {oracle}"
            raise BadTick(msg)
        if event_ms + _MS_PER_S <= self._event_ms:
            return None
        event_ms = max(event_ms, self._event_ms + 1)
        if event_ms // _MS_PER_S > oracle.publish_time:
            return None
        self._event_ms = event_ms
        price, average, confidence = (
            native_text(number, places, places) for number in (oracle.price, oracle.ema, oracle.conf)
        )
        said = OracleSaid(oracle.expo, average, confidence, session)
        return MarkTick(source, self._symbol, event_ms, received_ms, price, None, None, None, oracle=said)
