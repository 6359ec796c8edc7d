"""The recorded deployment run through Kafka, and what must stand in the tables afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.ids import market_key, split_key
from models.prices import MarkTick, decode_mark
from models.symmio.account import decode_account
from models.symmio.valuation import choose_mark, value_account
from streams.settings import DeploymentSettings
from streams.topics import ACCOUNTS, MARKETS, MARKS, VALUATIONS
from tests.support.pipeline import changelog, feed_rows
from tests.support.recording import GOLDEN_LOGS, read_json, recorded_chain

if TYPE_CHECKING:
    from models.chain import ChainRecord
    from models.codec import Row
    from models.symmio.valuation import UsedMark
    from streams.settings import Settings

DEPLOYMENT = "golden"
SYMBOL = "BTCUSDT"
_FOREVER_MS = 10**15


def golden_deployment() -> dict[str, DeploymentSettings]:
    """The recorded Diamond; its marks never grow stale."""
    return {
        DEPLOYMENT: DeploymentSettings(
            chain_id=31337,
            diamond=read_json(GOLDEN_LOGS)["diamond"],
            default_sources=("binance-futures",),
            default_max_age_ms=_FOREVER_MS,
        )
    }


def golden_chain() -> list[ChainRecord]:
    """The recording as ingest would write it."""
    return list(recorded_chain(read_json(GOLDEN_LOGS)))


def ticks(symbol: str, count: int, *, start: int = 0) -> list[MarkTick]:
    """A price path of ``symbol``, one tick a ms; each tick's price tells its place."""
    return [
        MarkTick("binance-futures", symbol, at, at, f"{90 + at % 50}.{at % 97:02d}", None, None, None)
        for at in range(start + 1, start + count + 1)
    ]


def versioned(rows: dict[bytes, Row]) -> dict[bytes, tuple[int, dict[str, Any]]]:
    """Rows without their terms, which tell only who wrote them."""
    return {key: (row.version, row.body) for key, row in rows.items()}


async def valuation_differences(settings: Settings, valuations: dict[bytes, Row]) -> list[bytes]:
    """Accounts whose valuation is not the models' valuation of its row and the final marks."""
    accounts = await feed_rows(settings, ACCOUNTS)
    marks = {key: decode_mark(row.body) for key, row in (await feed_rows(settings, MARKS)).items()}
    markets = await feed_rows(settings, MARKETS)

    def mark_of(deployment: str, symbol_id: int) -> UsedMark | None:
        name = markets[market_key(deployment, symbol_id)].body["name"]
        key = f"binance-futures:{name}"
        return choose_mark([(key, marks.get(key.encode()), _FOREVER_MS)], 0)

    def expected(key: bytes) -> dict[str, Any]:
        row, deployment = accounts[key], split_key(key)[0]
        account = decode_account(row.body, row.version)
        return value_account(
            account, row.term, lambda symbol_id: mark_of(deployment, symbol_id), unsupported=False
        ).body()

    return [
        key
        for key in accounts.keys() | valuations.keys()
        if key not in valuations or _lists(expected(key)) != {**valuations[key].body, "last_complete": None}
    ]


async def versions_that_went_back(settings: Settings) -> list[bytes]:
    """Keys of valuations whose readers would have seen a version fall."""
    standing: dict[bytes, tuple[int, int]] = {}
    fell = []
    for key, row in await changelog(settings, VALUATIONS):
        order = standing.get(key, (-1, -1))
        if (row.term, row.version) < order:
            continue
        if row.version < order[1]:
            fell.append(key)
        standing[key] = (row.term, row.version)
    return fell


def _lists(body: Any) -> Any:  # noqa: ANN401 - JSON
    match body:
        case dict():
            return {name: _lists(part) for name, part in body.items()}
        case list() | tuple():
            return [_lists(part) for part in body]
        case _:
            return body
