"""A judge of an epoch that looks at the chain and at the log of ticks alone, by docs/funding.md.

It says of each quote what should have become of it and at which rate. It shares nothing with what it judges: neither
the choice of a mark nor the arithmetic of a rate.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaConsumer
from eth_abi.abi import decode

from streams.kafka.topics import PRICE_TICKS, topic_name
from tests.evm.judge import charged_at_s, charged_rates, closed_at_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.evm.market import Scene

_E18 = 10**18
_PASSED_MS, _LOOK_BACK_MS, _LATER_MS = 2_000, 300_000, 5_000
# Funding of the market's epochs, scaled from the exchange's default interval; shares and bounds are the defaults.
_INTERVAL_S = 28_800
_SHARE, _MOST = Fraction(3, 4), Fraction(1, 100)
_REFUSE = "refuse"
_WORD = 64


class Said(NamedTuple):
    """A tick as it stands in the log: where, and what it says; times are Unix ms."""

    partition: int
    offset: int
    event_ms: int
    received_ms: int
    mark_e18: int
    rate_e18: int
    ends_ms: int


class Terms(NamedTuple):
    """A market's terms: the ticks of mark and rate, and what longs and shorts get, 1e18-scaled; who pays gets less."""

    mark: Said
    rate: Said
    long_e18: int
    short_e18: int


class Held(NamedTuple):
    """A quote: what it is charged by, and the times of the blocks that opened and closed it, Unix s."""

    symbol_id: int
    is_long: bool
    initial_price: int
    max_rate: int
    opened_s: int = 0
    closed_s: int | None = None

    def is_open_at(self, instant_s: int) -> bool:
        """Whether it was open at the end of the blocks of up to an instant."""
        return self.opened_s <= instant_s and (self.closed_s is None or self.closed_s > instant_s)


class Seen(NamedTuple):
    """What a judge sees of the chain: quotes, the rates that each was charged at, and why some are refused."""

    held: Mapping[int, Held]
    charged: Mapping[int, Sequence[int]]
    charged_at_s: Sequence[int]
    refused: Mapping[int, str]


class Verdict(NamedTuple):
    """What should have become of a quote: one of the names of outcomes, and the rate as the contract signs it."""

    outcome: str
    rate_e18: int = 0
    reason: str = ""


async def read_ticks(one: Scene) -> dict[tuple[str, str], list[Said]]:
    """Every tick in the log, by source and symbol, in the log's order."""
    consumer = AIOKafkaConsumer(
        topic_name(one.settings, PRICE_TICKS),
        bootstrap_servers=one.settings.kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    found: dict[tuple[str, str], list[Said]] = {}
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                for record in records:
                    tick = json.loads(record.value)
                    found.setdefault((tick["source"], tick["symbol"]), []).append(
                        Said(
                            partition.partition,
                            record.offset,
                            tick["event_ms"],
                            tick["received_ms"],
                            _scaled(tick["mark"]),
                            _scaled(tick["funding_rate"]),
                            tick["next_funding_ms"] or 0,
                        )
                    )
    finally:
        await consumer.stop()
    return found


def terms_at(said: Sequence[Sequence[Said]], at_s: int, epoch_s: int) -> Terms | str:
    """The terms of a market at an instant, or why it has none.

    Args:
        said: Every tick of each of its sources, in order of preference.
        at_s: The instant, Unix s.
        epoch_s: The market's funding epoch, s.
    """
    at_ms = at_s * 1_000
    marks: list[tuple[int | None, Said | None]] = []
    rates: list[tuple[int | None, Said | None]] = []
    for ticks in said:
        passing = next((at for at, tick in enumerate(ticks) if tick.event_ms > at_ms + _PASSED_MS), None)
        passed_ms = None if passing is None else ticks[passing].received_ms
        counting = [one for one in ticks[:passing] if at_ms - _LOOK_BACK_MS <= one.event_ms <= at_ms]
        marks.append((passed_ms, max(counting, key=lambda one: one.event_ms, default=None)))
        # Of the interval that ends first; what names no end may be of another, and counts where nothing names one.
        ends_ms = min((one.ends_ms for one in counting if one.ends_ms >= at_ms), default=0)
        newest = max((one for one in counting if one.ends_ms == ends_ms), key=lambda one: one.event_ms, default=None)
        rates.append((passed_ms, newest))
    mark, rate = _first(marks), _first(rates)
    if isinstance(mark, str):
        return mark
    if isinstance(rate, str):
        return rate
    paid = min(_MOST, Fraction(abs(rate.rate_e18) * epoch_s, _E18 * _INTERVAL_S))
    pays, gets = int(paid * _E18), int(paid * _SHARE * _E18)
    return Terms(mark, rate, *((-pays, gets) if rate.rate_e18 >= 0 else (gets, -pays)))


async def seen_of(one: Scene, refused: Mapping[int, str]) -> Seen:
    """Look at the chain as it is.

    Args:
        one: The scene; its quotes are all there are.
        refused: Why the contract refuses some of them, as ``refusals`` found it: it looks at every block.
    """
    closed_s = await closed_at_s(one)
    return Seen(
        {quote_id: await _held(one, quote_id, closed_s.get(quote_id)) for quote_id in range(1, len(one.quotes) + 1)},
        await charged_rates(one),
        await charged_at_s(one),
        refused,
    )


def verdicts(seen: Seen, terms: Mapping[int, Terms | str], window: tuple[int, int]) -> dict[int, Verdict]:
    """What should have become of each quote that is of the epoch, by its id: that was open at it, or was charged.

    Args:
        seen: What the chain shows.
        terms: Each market's terms, or why it has none.
        window: When the epoch is charged, from and to, Unix s; it has the quotes that were open then.
    """
    opens_s, closes_s = window
    found: dict[int, Verdict] = {}
    for quote_id, quote in seen.held.items():
        market = terms[quote.symbol_id]
        if isinstance(market, Terms):
            wanted = _toward_zero(
                -(market.long_e18 if quote.is_long else market.short_e18) * market.mark.mark_e18, quote.initial_price
            )
            rate_e18 = max(-quote.max_rate, min(quote.max_rate, wanted))
        else:
            rate_e18 = 0
        if quote_id in seen.charged:
            # What was closed or refused after it was charged is charged.
            found[quote_id] = Verdict("paid", rate_e18)
        elif not quote.is_open_at(opens_s):
            continue
        elif isinstance(market, str):
            found[quote_id] = Verdict("missed", reason=market)
        elif not quote.is_open_at(closes_s):
            found[quote_id] = Verdict("closed", reason="it is not open")
        elif not rate_e18:
            found[quote_id] = Verdict("free")
        elif quote_id in seen.refused:
            found[quote_id] = Verdict("culprits", reason=seen.refused[quote_id])
        else:
            found[quote_id] = Verdict("paid", rate_e18)
    return found


def _first(said: Iterable[tuple[int | None, Said | None]]) -> Said | str:
    """What the first source says that counts: it has passed the instant within five seconds of the first usable one."""
    told = list(said)
    usable_ms = [passed_ms for passed_ms, one in told if passed_ms is not None and one is not None]
    if not usable_ms:
        away = any(passed_ms is None for passed_ms, _ in told)
        since = "no source that it can be priced by has said anything since the epoch's instant"
        return since if away else "no source said a price in the five minutes before the epoch's instant"
    return next(
        one
        for passed_ms, one in told
        if passed_ms is not None and one is not None and passed_ms <= min(usable_ms) + _LATER_MS
    )


async def _held(one: Scene, quote_id: int, closed_s: int | None) -> Held:
    call = {"to": one.diamond.address, "data": one.diamond.data("getQuote", quote_id)}
    answer = (await one.chain.ask("eth_call", call, "latest"))[2:]
    words = [int(answer[at : at + _WORD], 16) for at in range(0, len(answer), _WORD)]
    quote = words[1:]
    return Held(quote[2], quote[3] == 0, quote[6], quote[19], closed_s=closed_s)


async def refusals(one: Scene) -> dict[int, str]:
    """The quotes that the chain's transactions made the contract refuse, with its reason."""
    selector = one.diamond.data(_REFUSE, 0, "")[:10]
    found: dict[int, str] = {}
    for number in range(int(await one.chain.ask("eth_blockNumber"), 16) + 1):
        block = await one.chain.ask("eth_getBlockByNumber", hex(number), True)  # noqa: FBT003 - JSON-RPC
        for sent in block["transactions"]:
            if sent["input"].startswith(selector):
                quote_id, reason = decode(["uint256", "string"], bytes.fromhex(sent["input"][10:]))
                found[quote_id] = reason
    return found


def _scaled(text: str) -> int:
    return int(Fraction(text) * _E18)


def _toward_zero(numerator: int, denominator: int) -> int:
    whole = abs(numerator) // denominator
    return whole if numerator >= 0 else -whole
