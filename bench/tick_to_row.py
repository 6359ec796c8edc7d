"""From a price tick to a changed valuation row in another process, p50 and p99: ``make bench`` or run it alone.

Writes ticks at a fixed rate to price-ticks on a broker of its own, with one worker valuing 50 accounts of one position
each, and follows the valuations changelog as a replica of the api does. Every tick's price is its own, so a row tells
which tick it shows. Prints one line; a figure of one run on one machine, to be compared only with others of its kind.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import click
import orjson

from models.chain import Checkpoint, Join, Joined, PartyBView, QuoteView, SymbolView, Watermark, encode_chain_record
from models.codec import decode_row
from models.ids import mark_key
from models.money import E18, format_e18, parse_e18
from models.prices import MarkTick, encode_tick
from streams.feed import Feed
from streams.settings import DeploymentSettings
from streams.topics import CHAIN_BLOCKS, PRICE_TICKS, VALUATIONS, changelog_name, create_topics, registry, topic_name
from tests.support.broker import running_kafka, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.pipeline import producer, worker

SYMBOLS = 50
WARM_UP_SHARE = 6
HEDGER = "0x" + "b" * 40


def symbol(number: int) -> str:
    """Name of the market ``number``."""
    return f"S{number}USDT"


def chain() -> list[bytes]:
    """One account for each symbol, with one open position of 1 unit, as a join would write them."""
    money = str(10**6 * E18)
    symbols = tuple(SymbolView(n, symbol(n), True, "0", "0", "0", "0", 0, 0) for n in range(1, SYMBOLS + 1))  # noqa: FBT003
    records: list[Join | Checkpoint | Joined | Watermark] = [Join(1, "0x1", 1, symbols)]
    for number in range(1, SYMBOLS + 1):
        quote = QuoteView(
            number, number, 0, 0, 4, HEDGER, (), str(E18), str(E18), str(E18), str(E18), str(E18), "0", "0", "0", "0",
            ("1", "1", "1", "1"), ("1", "1", "1", "1"), "0", "0", 0, "0",
        )  # fmt: skip
        balances = (money, "1", "1", "1", "1", "0", "0", "0", "0")
        account = f"0x{number:040x}"
        records.append(
            Checkpoint(
                1, "0x1", 1, account, None, None, None, balances, False, "0", (PartyBView(HEDGER, balances),), (quote,)  # noqa: FBT003
            )
        )  # fmt: skip
    return [encode_chain_record(record) for record in [*records, Joined(1, SYMBOLS), Watermark(1, 1, 1)]]


async def measure(bootstrap: str, directory: Path, rate: int, seconds: int) -> list[float]:
    """Milliseconds from the call that sends a tick to its row's arrival, for each row seen after the warm-up."""
    deployment = DeploymentSettings(chain_id=1, diamond="0x" + "d" * 40, default_max_age_ms=10**9)
    settings = settings_of_a_test(bootstrap, directory, deployments={"bench": deployment})
    await create_topics(bootstrap, registry(settings))
    sent_s: dict[int, float] = {}
    seen: list[float] = []

    def on_rows(keys: object) -> None:
        now_s = time.perf_counter()
        for key in keys:  # type: ignore[attr-defined]
            for position in decode_row(feed.rows[key]).body["positions"]:
                tick = int(position["mark"] or 0) // 10**12
                if tick in sent_s:
                    seen.append((now_s - sent_s.pop(tick)) * 1000)

    async with producer(settings) as sender, worker(settings) as process:
        for record in chain():
            await sender.send(topic_name(settings, CHAIN_BLOCKS), record, key=b"bench")
        await process.ready()
        await eventually(process.folding, 20)
        feed = Feed(bootstrap, changelog_name(settings, VALUATIONS), on_rows)
        await feed.start()
        await feed.wait_ready()
        started_s = time.perf_counter()
        for number in range(1, rate * seconds + 1):
            name = symbol(number % SYMBOLS + 1)
            price = format_e18(parse_e18("1") + number * 10**12)
            tick = MarkTick("binance-futures", name, number, number, price, None, None, None)
            await asyncio.sleep(max(0.0, started_s + number / rate - time.perf_counter()))
            sent_s[10**6 + number] = time.perf_counter()
            await sender.send(topic_name(settings, PRICE_TICKS), encode_tick(tick), key=mark_key(tick.source, name))
        await asyncio.sleep(1)
        await feed.stop()
    return seen[len(seen) // WARM_UP_SHARE :]


@click.command()
@click.option("--rate", default=500, show_default=True, help="Ticks a second.")
@click.option("--seconds", default=10, show_default=True, help="How long.")
def main(rate: int, seconds: int) -> None:
    """Measure and print one line of JSON."""
    with running_kafka() as bootstrap, tempfile.TemporaryDirectory() as directory:
        delays_ms = sorted(asyncio.run(measure(bootstrap, Path(directory), rate, seconds)))
    figures = {
        "ticks_per_s": rate,
        "rows_seen": len(delays_ms),
        **{f"p{share}_ms": round(delays_ms[len(delays_ms) * share // 100], 1) for share in (50, 90, 99)},
    }
    click.echo(orjson.dumps(figures))


if __name__ == "__main__":
    main()
