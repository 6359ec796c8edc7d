"""bitfinex-api-py as it is: prints every event as a line of JSON, and asks for what stands on lines of its input."""

import asyncio
import dataclasses
import json
import sys

from bfxapi import Client

URL, KEY, SECRET = sys.argv[1:]
EVENTS = (
    "position_snapshot", "position_new", "position_update", "position_close", "wallet_snapshot", "wallet_update",
    "order_snapshot", "order_new", "base_margin_info", "symbol_margin_info", "funding_info_update", "balance_update",
    "notification", "disconnected", "funding_offer_snapshot", "funding_credit_snapshot", "funding_loan_snapshot",
)  # fmt: skip


def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value


def tell(event, *values):
    print(json.dumps([event, *map(plain, values)], default=str), flush=True)


client = Client(KEY, SECRET, wss_host=URL)
for name in EVENTS:
    client.wss.on(name, lambda *values, name=name: tell(name, *values))


async def follow_input():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        words = line.decode().split()
        if words == ["close"]:
            await client.wss.close()
        else:
            try:
                await client.wss.inputs.calc(*words)
            except Exception as error:  # between two connections
                tell("not sent", type(error).__name__)


@client.wss.on("authenticated")
async def authenticated(answer):
    tell("authenticated", answer)


async def run():
    following = asyncio.create_task(follow_input())
    try:
        await client.wss.start()
        tell("ended")
    except Exception as error:
        tell("raised", type(error).__name__, str(error))
    following.cancel()


asyncio.run(run())
