"""A venue of an installed package beside SYMMIO: folded, valued, uninstalled while records come, installed again."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from models.engine.tables import ACCOUNTS, VALUATIONS
from models.money import E18
from models.prices import MarkTick
from streams.kafka.deadletter import decode_dead_letter
from streams.kafka.partitions import partition_of
from streams.kafka.topics import DEAD_LETTERS, create_topics, registry, topic_name
from streams.settings import BadSettings, WorkerSettings, load_settings
from streams.settings.venues import KINDS, package_of
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, Oracle, golden_chain, golden_deployment, versioned
from tests.support.pipeline import all_committed, feed_rows, producer, records_of, worker, write_chain, write_ticks
from tests.support.venues import EXAMPLES, install

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from models.codec import Row
    from streams.settings import Settings
    from tests.support.pipeline import WorkerProcess

ANN, BOB = b"game:Ann", b"game:ann"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example's package, installed for this process and for those that it starts."""
    directory = install(EXAMPLES / "paper", tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(directory))
    monkeypatch.syspath_prepend(str(directory))
    importlib.invalidate_caches()
    package_of.cache_clear()
    yield directory
    package_of.cache_clear()


def cash(amount: str, at_ms: int = 1) -> dict[str, Any]:
    return {"kind": "cash", "time_ms": at_ms, "amount": amount}


def opened(size: str, entry: str, at_ms: int = 2) -> dict[str, Any]:
    return {"kind": "position", "time_ms": at_ms, "market": "BTCUSDT", "size": size, "entry": entry}


async def say(settings: Settings, *records: tuple[bytes, object]) -> None:
    async with producer(settings) as sender:
        for key, record in records:
            await sender.send(topic_name(settings, "paper-records"), json.dumps(record).encode(), key=key)


async def rows_of_symmio(settings: Settings) -> dict[bytes, tuple[int, dict[str, Any]]]:
    rows = await feed_rows(settings, ACCOUNTS)
    return versioned({key: row for key, row in rows.items() if key.startswith(f"{DEPLOYMENT}:".encode())})


async def valued(settings: Settings, key: bytes, upnl: int) -> bool:
    row: Row | None = (await feed_rows(settings, VALUATIONS)).get(key)
    return row is not None and row.body["upnl"] == str(upnl * E18)


async def causes(settings: Settings) -> Sequence[str]:
    letters = await records_of(settings, topic_name(settings, DEAD_LETTERS))
    return [decode_dead_letter(value).reason for _, value in letters]


async def test_accounts_of_a_package_live_beside_symmio_s_and_outlive_its_absence(
    settings: Callable[..., Settings], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = package_of("paper")
    assert game is not None
    deployments = {**golden_deployment(), "game": game.settings(kind="paper", default_sources=("binance-futures",))}
    mine, chain = settings(deployments=deployments), golden_chain()
    half = len(chain) // 2
    await create_topics(mine.bootstrap, registry(mine))
    await write_ticks(mine, [MarkTick("binance-futures", "BTCUSDT", 1, 1, "110", None, None, None)])
    async with worker(mine) as process:
        await process.ready()
        await write_chain(mine, DEPLOYMENT, chain[:half])
        wrong = [(b"game:a b", cash("1")), (b"elsewhere:Ann", cash("1")), (b"game:", cash("1"))]
        await say(mine, (ANN, cash("1000")), (BOB, cash("5")), (ANN, opened("2", "100")), *wrong, (BOB, {"kind": "?"}))
        await eventually(lambda: valued(mine, ANN, 20), 30)
        await all_committed(mine)
        process.kill()
    assert "suspect" == (await feed_rows(mine, VALUATIONS))[BOB].body["status"]
    assert 4 == len(await causes(mine))

    monkeypatch.delenv("PYTHONPATH")
    async with worker(mine) as process:
        await process.ready()
        await write_chain(mine, DEPLOYMENT, chain[half:])
        await say(mine, (ANN, opened("3", "100", 3)))
        await all_committed(mine)
        status = await process.status()
        process.kill()
    oracle = Oracle(golden_deployment(), chain).rows(ACCOUNTS, mine.topics.partitions)
    assert oracle == await rows_of_symmio(mine)
    assert len(oracle) == status["accounts"]
    assert await valued(mine, ANN, 20)

    monkeypatch.setenv("PYTHONPATH", str(site))
    async with worker(mine) as process:
        await process.ready()
        await eventually(lambda: valued(mine, ANN, 30), 30)
        await say(mine, (BOB, {"kind": "snapshot", "time_ms": 4, "cash": "7", "positions": {}}))
        await eventually(lambda: valued(mine, BOB, 0), 30)
    assert oracle == await rows_of_symmio(mine)


async def test_while_half_the_workers_lack_the_package_only_its_accounts_there_wait(
    settings: Callable[..., Settings], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = package_of("paper")
    assert game is not None
    deployments = {**golden_deployment(), "game": game.settings(kind="paper", default_sources=("binance-futures",))}
    # With standbys a worker that joins owns nothing at first.
    mine = settings(deployments=deployments, worker=WorkerSettings(standby_replicas=0))
    chain = golden_chain()
    await create_topics(mine.bootstrap, registry(mine))
    keys = [f"game:player-{number}".encode() for number in range(16)]

    async def known() -> set[bytes]:
        return (await feed_rows(mine, ACCOUNTS)).keys() & set(keys)

    async with worker(mine) as having:
        await having.ready()
        monkeypatch.delenv("PYTHONPATH")
        async with worker(mine, instance="worker-1") as lacking:
            await eventually(lambda: _share(having, lacking), 60)
            await write_chain(mine, DEPLOYMENT, chain)
            await say(mine, *((key, cash("7")) for key in keys))
            owned = set((await having.status())["partitions"])
            there = {key for key in keys if partition_of(key, mine.topics.partitions) in owned}
            assert there
            assert there != set(keys)
            await eventually(lambda: _knows(known, there), 30)
            oracle = Oracle(golden_deployment(), chain).rows(ACCOUNTS, mine.topics.partitions)
            await eventually(lambda: _folded(mine, oracle), 60)
            assert there == await known()
            lacking.kill()
        monkeypatch.setenv("PYTHONPATH", str(site))
        async with worker(mine, instance="worker-1"):
            await eventually(lambda: _knows(known, set(keys)), 60)
    assert oracle == await rows_of_symmio(mine)


async def _share(*processes: WorkerProcess) -> bool:
    return all([await one.is_ready() and len((await one.status())["partitions"]) > 0 for one in processes])


async def _knows(known: Callable[[], Awaitable[set[bytes]]], keys: set[bytes]) -> bool:
    return await known() == keys


async def _folded(settings: Settings, oracle: dict[bytes, tuple[int, dict[str, Any]]]) -> bool:
    return await rows_of_symmio(settings) == oracle


@pytest.mark.usefixtures("site")
def test_a_section_is_read_by_the_settings_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tidemark.toml"
    monkeypatch.setenv("TIDEMARK_CONFIG", str(file))
    file.write_text('[deployments.game]\nkind = "paper"\ndefault_max_age_ms = 700\n')
    assert ["flash", "ledger", "paper", "symmio"] == KINDS.names()
    assert ("PaperSettings", 700) == (
        type(load_settings().deployments["game"]).__name__,
        load_settings().deployments["game"].default_max_age_ms,
    )
    file.write_text('[deployments.game]\nkind = "paper"\nrpc = ["http://node"]\n')
    said = r"deployments\.game\.rpc: expected a key that there is, found an unknown one; there are default_max_age_ms, "
    with pytest.raises(BadSettings, match=said + "default_sources, kind, markets$"):
        load_settings()


def test_a_kind_that_is_not_installed_fails_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tidemark.toml"
    monkeypatch.setenv("TIDEMARK_CONFIG", str(file))
    file.write_text('[deployments.later]\nkind = "not-installed"\nanything = 5\n')

    assert "not-installed" == load_settings().deployments["later"].kind
    assert {"paper-records"}.isdisjoint(topic.name for topic in registry(load_settings()))
