"""The recorded deployment run through Kafka, and what must stand in the tables afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from models.chain_records import Block, Watermark
from models.ids import account_key, finished_quote_key, market_key, split_key
from models.prices import MarkTick, decode_mark
from models.symmio.account import AccountRow, advance, decode_account, encode_account, encode_finished, settle
from models.symmio.routing import route_block
from models.symmio.valuation import choose_mark, value_account
from streams.kafka.topics import ACCOUNTS, MARKETS, MARKS, VALUATIONS
from streams.settings import DeploymentSettings
from tests.support.pipeline import changelog, feed_rows
from tests.support.recording import GOLDEN_LOGS, read_json, recorded_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import ChainRecord
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


class Plain(NamedTuple):
    """Rows of accounts and of quote-history by key, each as version and body."""

    accounts: dict[bytes, tuple[int, dict[str, Any]]]
    history: dict[bytes, tuple[int, dict[str, Any]]]


def plain_fold(chain: Sequence[ChainRecord]) -> Plain:
    """What the models alone make of a chain, without Kafka, record by record in one loop."""
    rows: dict[str, AccountRow] = {}
    history: dict[bytes, tuple[int, dict[str, Any]]] = {}
    holders: dict[int, str] = {}
    final, begun = -1, False
    for offset, record in enumerate(chain):
        match record:
            case Block():
                routed = route_block(
                    record,
                    offset=offset,
                    diamond=read_json(GOLDEN_LOGS)["diamond"],
                    multi_accounts=frozenset(),
                    account_of=holders.get,
                    begun=begun,
                )
                begun = routed.begun
                holders |= {quote_id: account for quote_id, account, _ in routed.quotes}
                for account, transaction in routed.transactions:
                    rows[account] = advance(rows.get(account), transaction, final=final)
            case Watermark():
                final = record.final
                for account, row in rows.items():
                    rows[account], finished = settle(row, final, (offset, -1))
                    for quote in finished:
                        key = finished_quote_key(account_key(DEPLOYMENT, account), quote.quote_id)
                        history[key] = (rows[account].version, _json(encode_finished(quote, rows[account])))
            case _:
                msg = f"expected blocks and watermarks only, found {record}"
                raise ValueError(msg)
    accounts = {account_key(DEPLOYMENT, name): (row.version, _json(encode_account(row))) for name, row in rows.items()}
    return Plain(accounts, history)


def _json(body: dict[str, Any]) -> dict[str, Any]:
    return dict(orjson.loads(orjson.dumps(body)))


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
            account.holding, row.term, lambda symbol_id: mark_of(deployment, symbol_id), unsupported=False
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
