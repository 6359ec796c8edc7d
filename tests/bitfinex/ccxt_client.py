"""ccxt pro as it is: prints that it watches, and every balance that it hears, as lines of JSON."""

import asyncio
import json
import sys

import ccxt.pro

URL, KEY, SECRET = sys.argv[1:]


def tell(*said):
    print(json.dumps(said, default=str), flush=True)


async def run():
    exchange = ccxt.pro.bitfinex({"apiKey": KEY, "secret": SECRET})
    # Markets come from a REST api that no test has.
    exchange.markets, exchange.markets_by_id, exchange.symbols = {}, {}, []
    exchange.currencies, exchange.currencies_by_id = {}, {}
    exchange.urls["api"]["ws"] = {"public": URL, "private": URL}
    tell("watches")
    try:
        while True:
            balance = await exchange.watch_balance({"wallet": "margin"})
            tell("balance", balance["total"])
    except Exception as error:
        tell("raised", type(error).__name__, str(error))
    finally:
        await exchange.close()


asyncio.run(run())
