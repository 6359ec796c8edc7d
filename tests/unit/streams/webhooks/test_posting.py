"""What goes out over HTTP, to where, and how answers are read."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from pydantic import ValidationError

from models.webhook_messages import WebhookMessage
from streams.settings.webhooks import WebhookSettings
from streams.webhooks.addresses import PrivateAddress, PublicResolver, is_public
from streams.webhooks.posting import HttpPoster, Outcome
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW_S = 1_800_000_000
MESSAGE = WebhookMessage(
    "msg_1", 1, "liquidatable", ("liquidatable", ""), 0, '{"type":"account.liquidatable","é":1}'.encode()
)


@asynccontextmanager
async def receiver(answers: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/hook", answers)
    # A handler that never ends is not waited for.
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def poster(url: str, **more: Any) -> AsyncIterator[HttpPoster]:  # noqa: ANN401 - settings
    settings = WebhookSettings.model_validate({"url": url, "secret": SECRET, "allow_private": True, **more})
    one = HttpPoster(settings, settings.key(), WallClock(lambda: NOW_S * 1_000))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


async def test_a_receiver_can_check_who_sent_what_by_the_standard() -> None:
    heard: list[tuple[dict[str, str], bytes]] = []

    async def takes(request: web.Request) -> web.Response:
        heard.append((dict(request.headers), await request.read()))
        return web.Response(status=204)

    async with receiver(takes) as url, poster(url) as one:
        assert Outcome.DELIVERED is (await one.post(MESSAGE)).outcome
    ((headers, body),) = heard
    named = {name.lower(): value for name, value in headers.items()}
    version, _, signature = named["webhook-signature"].partition(",")
    signed = f"{named['webhook-id']}.{named['webhook-timestamp']}.".encode() + body
    assert ("v1", "msg_1", str(NOW_S)) == (version, named["webhook-id"], named["webhook-timestamp"])
    assert base64.b64decode(signature) == hmac.new(KEY, signed, hashlib.sha256).digest()
    assert MESSAGE.body == body


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (302, Outcome.REDIRECTED),
        (400, Outcome.REFUSED),
        (410, Outcome.REFUSED),
        (429, Outcome.BUSY),
        (500, Outcome.BUSY),
    ],
)
async def test_an_answer_is_read_by_its_status(status: int, outcome: Outcome) -> None:
    headers = {"location": "http://127.0.0.1:1/elsewhere", "retry-after": "17"}

    async def answers(request: web.Request) -> web.Response:
        del request
        return web.Response(status=status, headers=headers)

    async with receiver(answers) as url, poster(url) as one:
        attempt = await one.post(MESSAGE)
    assert outcome is attempt.outcome
    assert attempt.retry_after_s in {None, 17.0}


async def test_one_that_never_answers_or_answers_without_end_is_left_in_time() -> None:
    async def hangs(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        if request.headers["webhook-id"] == "msg_1":
            await response.prepare(request)
            # More than is ever read, and yet an end: writes to who has left return at once and let nothing else run.
            for _ in range(1_000):
                await response.write(b"x" * 65_536)
        await asyncio.Event().wait()
        return response

    async with receiver(hangs) as url, poster(url, timeout_s=0.2) as one:
        endless = await one.post(MESSAGE)
        silent = await one.post(MESSAGE._replace(id="msg_2"))
    # It is the head of an answer that says that a message was taken; how long the rest is does not matter.
    assert endless.outcome in {Outcome.DELIVERED, Outcome.UNREACHABLE}
    assert Outcome.UNREACHABLE is silent.outcome


async def test_nothing_of_the_url_or_the_signature_is_said_of_an_attempt_that_fails() -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"this is no HTTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with poster(f"http://127.0.0.1:{port}/a-secret?key=a-secret") as one:
            not_understood = await one.post(MESSAGE)
    async with poster(f"http://127.0.0.1:{port}/a-secret") as one:
        nobody_there = await one.post(MESSAGE)
    for attempt in (not_understood, nobody_there):
        assert Outcome.UNREACHABLE is attempt.outcome
        assert "a-secret" not in attempt.said
        assert "v1," not in attempt.said
    assert "ClientResponseError" == not_understood.said
    assert nobody_there.said.startswith("ClientConnectorError: Connect call failed")


async def test_no_cookie_of_a_receiver_is_kept() -> None:
    heard: list[int] = []

    async def bakes(request: web.Request) -> web.Response:
        heard.append(len(request.cookies))
        response = web.Response(status=500)
        for number in range(50):
            response.set_cookie(f"c{len(heard)}-{number}", "x" * 20)
        return response

    async with receiver(bakes) as url, poster(url.replace("127.0.0.1", "localhost")) as one:
        for _ in range(3):
            await one.post(MESSAGE)
    assert [0, 0, 0] == heard


async def test_a_private_address_is_refused_before_anything_is_sent() -> None:
    heard: list[bytes] = []

    async def takes(request: web.Request) -> web.Response:
        heard.append(await request.read())
        return web.Response()

    async with receiver(takes) as url:
        of_us = url.replace("http:", "https:")
        async with poster(of_us, allow_private=False) as one:
            assert Outcome.PRIVATE is (await one.post(MESSAGE)).outcome
        # The second is the same address, once names are brought into the form in which they are connected to.
        for host in ("localhost", "127\u30020\u30020\u30021"):
            async with poster(of_us.replace("127.0.0.1", host), allow_private=False) as one:
                assert Outcome.PRIVATE is (await one.post(MESSAGE)).outcome
    assert [] == heard


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "ff02::1", "fec0::1", "::7f00:1", "64:ff9b:1::7f00:1", "3fff::1", "5f00::1", "192.0.0.8",
        "192.88.99.1",
    ],
)  # fmt: skip
def test_addresses_of_no_public_network_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_of_the_internet_are_known(address: str) -> None:
    assert is_public(address)


async def test_a_name_of_which_any_address_is_private_is_refused() -> None:
    class TwoAddresses(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: object = 0) -> list[Any]:
            del host, port, family
            return [{"host": "1.1.1.1"}, {"host": "10.0.0.1"}]

        async def close(self) -> None:
            pass

    with pytest.raises(PrivateAddress, match=r"found 10\.0\.0\.1"):
        await PublicResolver(TwoAddresses()).resolve("desk.example")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "http://desk.example/"}, "expected an https URL"),
        ({"url": "https://me:pass@desk.example/"}, "without a name or password"),
        ({"url": "https://:pass@desk.example/"}, "without a name or password"),
        ({"url": "ftp://desk.example/"}, "expected a URL such as"),
        ({"url": "https:///hooks"}, "expected a URL such as"),
        ({"url": "https://desk.example/#hooks"}, "expected a URL such as"),
        ({"url": "https://desk.example:99999/"}, "expected a URL such as"),
        ({"url": "https://[desk/"}, "expected a URL such as"),
        ({"url": f"https://{'a' * 64}.example/"}, "expected a URL such as"),
        ({"secret": "whsec_c2hvcnQ="}, "24 to 64 bytes"),
        ({"secret": "not-a-secret"}, "expected whsec_"),
        ({"secret": None}, "found neither"),
        ({"kinds": ("rekt",)}, "Input should be"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_hint(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WebhookSettings.model_validate({"url": "https://desk.example/", "secret": SECRET, **changed})
