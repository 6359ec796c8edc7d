"""One connection of ``/ws/2``: what its client sends, and what it is answered."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from aiohttp import WSCloseCode

from api.dialects.bitfinex import event_objects as events
from api.dialects.bitfinex.account_channel import AccountChannel
from api.dialects.bitfinex.auth_request import LoginRefused
from api.dialects.bitfinex.calc_queue import Overflows
from api.dialects.bitfinex.calc_requests import TooMany, read_calc
from api.dialects.bitfinex.heard_frames import Hearing
from api.dialects.bitfinex.logins import caps_of
from api.dialects.bitfinex.numbered_frames import NumberedFrames
from api.dialects.bitfinex.public_channels import PublicChannel, channel_of
from api.dialects.bitfinex.wire_flags import are_flags
from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.bitfinex.account_book import AccountBook
    from api.dialects.bitfinex.api_keys import ApiKey
    from api.dialects.bitfinex.calc_lanes import CalcLanes
    from api.dialects.bitfinex.logins import Login, Logins
    from api.dialects.bitfinex.public_channels import Quotes

_log = logging.getLogger(__name__)

# Most clients give up a login after ten seconds.
_WARM_WITHIN_S = 5.0
# ccxt passes over what it reads together with the answer to its login, and would wait for the next change of a wallet.
_SNAPSHOTS_AFTER_S = 0.05
_CHANNELS_MAX = 30
_ECHOED = ("channel", "symbol", "pair", "key")
_ECHOED_MAX = 64


class Desk(NamedTuple):
    """What all sessions of an endpoint share.

    Attributes:
        hub: Sends.
        logins: Check logins.
        book_of: Finds what a key shows.
        lanes: Make calculations.
        quotes: Tell marks.
        clock_ms: Our own time, in Unix ms.
        says_unknown: Whether a calculation of what is not there is an error.
        wait_warm: Waits until the tables have been read.
        is_open: Whether prices are shown to those who have not logged in.
    """

    hub: Hub
    logins: Logins
    book_of: Callable[[ApiKey], Awaitable[AccountBook]]
    lanes: CalcLanes
    quotes: Quotes
    clock_ms: Callable[[], int]
    says_unknown: bool
    wait_warm: Callable[[], Awaitable[None]]
    is_open: bool


class _LoggedIn(NamedTuple):
    login: Login
    channel: AccountChannel
    book: AccountBook


class SocketSession:
    """One connection.

    Args:
        outbox: The connection's.
        desk: What all sessions share.
        client: The key of the client's address in limits.
    """

    def __init__(self, outbox: Outbox, desk: Desk, client: str) -> None:
        self._outbox = outbox
        self._desk = desk
        self._client = client
        self._frames = NumberedFrames(desk.clock_ms)
        self._logged_in: _LoggedIn | None = None
        self._channels: dict[int, tuple[tuple[Any, ...], PublicChannel]] = {}
        self._channel_number = 0
        self._overflows = Overflows()

    @property
    def login(self) -> Login | None:
        """Who is logged in."""
        return None if self._logged_in is None else self._logged_in.login

    @property
    def book(self) -> AccountBook | None:
        """What the login shows."""
        return None if self._logged_in is None else self._logged_in.book

    def begin(self, server_id: str, *, is_operative: bool) -> None:
        """Send the first frame."""
        self.say(events.info(server_id, is_operative=is_operative))

    def end(self) -> None:
        """Send nothing more; the connection is gone."""
        self.log_out()
        self._end_channels()

    def say(self, message: bytes) -> None:
        """Send a message in its turn."""
        self._desk.hub.say(self._outbox, message)

    def log_out(self) -> None:
        """Show the account no more."""
        logged_in, self._logged_in = self._logged_in, None
        if logged_in is not None:
            logged_in.channel.end()
            self._desk.lanes.leave(logged_in.login.key.user, logged_in.channel)

    async def take(self, text: str) -> None:
        """Answer a message."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            self.say(events.error(events.UNKNOWN_EVENT, "json: invalid"))
            return
        match message:
            case {"event": "auth"}:
                await self._log_in(message)
            case {"event": str(event)}:
                self._take_event(event, message)
            case [0, str(type_), _, payload, *_]:
                await self._take_input(type_, payload)
            case _:
                self.say(events.error(events.UNKNOWN_EVENT, "event: unknown"))

    def _take_event(self, event: str, message: Mapping[str, Any]) -> None:
        match event:
            case "ping":
                self.say(events.pong(_small(message.get("cid")), self._desk.clock_ms()))
            case "conf":
                self._configure(message.get("flags"))
            case "unauth":
                self._unauth()
            case "subscribe":
                self._subscribe(message)
            case "unsubscribe":
                self._unsubscribe(message.get("chanId"))
            case _:
                self.say(events.error(events.UNKNOWN_EVENT, "event: unknown"))

    def _configure(self, flags: object) -> None:
        if not are_flags(flags):
            self.say(events.conf_failed())
            return
        assert isinstance(flags, int)  # noqa: S101 - as are_flags says
        self._frames.flags = flags
        self.say(events.conf_accepted(flags))

    def _unauth(self) -> None:
        if self._logged_in is None:
            self.say(events.error(events.UNAUTH_FAILED, "unauth: not authenticated"))
            return
        self.log_out()
        if not self._desk.is_open:
            self._end_channels()
        self.say(events.unauth_accepted())

    def _end_channels(self) -> None:
        for _, channel in self._channels.values():
            channel.end()
        self._channels.clear()

    async def _log_in(self, message: Mapping[str, Any]) -> None:
        if self._logged_in is not None:
            self.say(events.error(events.AUTH_FAILED, "auth: dup"))
            return
        try:
            await self._wait_warm()
            login = await self._desk.logins.check(message, self._client)
            book = await self._readable_book(login.key)
        except LoginRefused as refused:
            self.say(events.auth_failed(refused.code, refused.text))
            return
        key = login.key
        channel = AccountChannel(
            self._outbox,
            self._desk.hub,
            self._frames,
            book=book,
            hearing=Hearing(key, login.filters),
            says_unknown=self._desk.says_unknown,
        )
        self._logged_in = logged_in = _LoggedIn(login, channel, book)
        self._desk.lanes.enter(key.user, channel)
        self.say(events.auth_accepted(key.user_id, str(uuid.uuid4()), caps_of(key), login.sub_id))
        await asyncio.sleep(_SNAPSHOTS_AFTER_S)
        # A key may have been taken away meanwhile.
        if self._logged_in is logged_in:
            channel.begin()

    async def _wait_warm(self) -> None:
        """Wait for the tables: what is not read yet would look as if it were not there."""
        try:
            async with asyncio.timeout(_WARM_WITHIN_S):
                await self._desk.wait_warm()
        except TimeoutError as error:
            raise LoginRefused(events.NOT_READY, "auth: not ready, try again") from error

    async def _readable_book(self, key: ApiKey) -> AccountBook:
        book = await self._desk.book_of(key)
        try:
            book.snapshots()
        except BadRow as error:
            _log.warning("login is refused, since its account cannot be read: %s", error)
            raise LoginRefused(events.NOT_READY, "auth: not ready, the account cannot be read") from error
        return book

    async def _take_input(self, type_: str, payload: Any) -> None:  # noqa: ANN401 - whatever a client sends
        if self._logged_in is None:
            self.say(events.error(events.AUTH_FAILED, "auth: invalid"))
        elif type_ == "calc":
            await self._calculate(self._logged_in, payload)
        else:
            self.say(events.error(events.GENERIC, "input: not supported", {"type": type_[:_ECHOED_MAX]}))

    async def _calculate(self, logged_in: _LoggedIn, payload: Any) -> None:  # noqa: ANN401 - whatever a client sends
        asked = read_calc(payload)
        if isinstance(asked, TooMany):
            self.say(events.error(events.PARAMS, "calc: limit"))
            return
        channel = logged_in.channel
        for text in asked.unknown:
            channel.say_unknown(text[:_ECHOED_MAX])
        opened = [one for one in asked.calculations if channel.may_calculate(one)]
        if not await self._desk.lanes.ask(logged_in.login.key.user, channel, opened):
            return
        channel.tell_left_out()
        if self._overflows.is_last_straw(self._desk.hub.now_s()):
            self._desk.hub.close(self._outbox, WSCloseCode.POLICY_VIOLATION, b"calc: rate limit")

    def _subscribe(self, message: Mapping[str, Any]) -> None:
        echoed = {name: message[name] for name in _ECHOED if isinstance(message.get(name), str)}
        echoed = {name: text[:_ECHOED_MAX] for name, text in echoed.items()}
        found = channel_of(message)
        if not self._desk.is_open and self._logged_in is None:
            self.say(events.error(events.SUBSCRIBE_FAILED, "subscribe: auth required", echoed))
            return
        if found is None:
            self.say(events.error(events.SUBSCRIBE_UNKNOWN, "subscribe: unknown channel", echoed))
            return
        symbol, show = found
        market = self._desk.quotes.market_of(symbol)
        what = (message["channel"], symbol)
        if market is None:
            self.say(events.error(events.SUBSCRIBE_FAILED, "symbol: invalid", echoed))
        elif any(what == of for of, _ in self._channels.values()):
            self.say(events.error(events.SUBSCRIBE_DUPLICATE, "subscribe: dup", echoed))
        elif len(self._channels) >= _CHANNELS_MAX:
            self.say(events.error(events.SUBSCRIBE_LIMIT, "subscribe: limit", echoed))
        else:
            self._channel_number += 1
            channel = PublicChannel(
                self._outbox,
                self._desk.hub,
                self._frames,
                number=self._channel_number,
                quotes=self._desk.quotes,
                market=market,
                show=show,
            )
            self._channels[channel.number] = what, channel
            if what[0] == "ticker":
                echoed |= {"symbol": symbol, "pair": symbol[1:]}
            self.say(events.subscribed(channel.number, echoed))
            channel.begin()

    def _unsubscribe(self, number: object) -> None:
        found = self._channels.pop(number, None) if isinstance(number, int) else None
        if found is None:
            self.say(events.error(events.UNSUBSCRIBE_NOT, "unsubscribe: invalid"))
            return
        found[1].end()
        self.say(events.unsubscribed(found[1].number))


def _small(cid: object) -> object:
    """A client's ``cid`` where it is a number or a short text, which are what clients send."""
    is_small = isinstance(cid, int | float) or (isinstance(cid, str) and len(cid) <= _ECHOED_MAX)
    return cid if is_small else None
