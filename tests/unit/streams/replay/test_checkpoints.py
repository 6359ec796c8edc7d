"""Checkpoints: whoever begins at one comes to what the whole log comes to, and reads less."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest

from models.engine.tables import TABLES
from streams.replay.account_at import At, value_account_at
from streams.replay.accounts_at import fold_accounts_at, raw_vector
from streams.replay.bounded_log import Held, OutOfRetention, Place
from streams.replay.checkpoints import BadCheckpoint, Checkpoints
from streams.replay.explained import explain_account
from tests.support.golden import (
    DEPLOYMENT,
    FORKS,
    FORKS_SYMBOL,
    SYMBOL,
    forked_chain,
    forked_deployment,
    golden_chain,
    golden_deployment,
)
from tests.support.told_log import Story, tell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from models.explaining import Term

CODE = "1.2.3"


@pytest.fixture(scope="module")
def golden() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)


@pytest.fixture(scope="module")
def forks() -> Story:
    return tell(FORKS, forked_deployment(), forked_chain(), FORKS_SYMBOL)


def deployment_of(story: Story) -> str:
    return next(iter(story.last)).decode().partition(":")[0]


def instants(story: Story) -> list[int]:
    return sorted({one.time_ms for one in story.records})


async def make(story: Story, directory: Path, at_ms: int, cluster: str | None = None) -> Checkpoints:
    checkpoints, log, name = Checkpoints(directory, CODE, cluster), story.log(), deployment_of(story)
    begun = await fold_accounts_at(log, story.settings, name, at_ms, on_record=lambda _: None, checkpoints=checkpoints)
    vector = await raw_vector(log, story.settings, name, at_ms)
    checkpoints.write(begun.fold, {place: span.end for place, span in vector.items()}, at_ms)
    return checkpoints


async def asof(story: Story, key: bytes, at: At, checkpoints: Checkpoints | None) -> tuple[object, int]:
    name, _, account = key.decode().partition(":")
    read = [0]

    def count(_: object) -> None:
        read[0] += 1

    found = await value_account_at(
        story.log(), story.settings, name, account, at, on_record=count, checkpoints=checkpoints
    )
    return None if found is None else (found.body, found.at_ms, found.offset, found.doubts), read[0]


@pytest.mark.parametrize("name", ["golden", "forks"])
async def test_from_a_checkpoint_an_account_is_what_it_is_from_the_first_record_and_less_is_read(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    story: Story = request.getfixturevalue(name)
    times, draws, less = instants(story), random.Random(3), 0
    # The second one goes on from the first.
    await make(story, tmp_path, times[len(times) // 3])
    checkpoints = await make(story, tmp_path, times[len(times) // 2])
    for _ in range(8):
        key, at = draws.choice(sorted(story.last)), At(time_ms=draws.choice(times))
        if draws.random() < 0.5:
            at = At(offset=draws.choice(sorted(story.folded.values())))

        whole, read = await asof(story, key, at, None)
        found, read_less = await asof(story, key, at, checkpoints)

        assert whole == found
        assert read_less <= read
        less += read_less < read
    assert less


@pytest.mark.parametrize("name", ["golden", "forks"])
async def test_all_accounts_fold_from_a_checkpoint_to_the_same_rows(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    story: Story = request.getfixturevalue(name)
    times = instants(story)
    checkpoints = await make(story, tmp_path, times[len(times) // 2])

    async def tables(of: Checkpoints | None) -> Mapping[str, dict[bytes, bytes]]:
        begun = await fold_accounts_at(
            story.log(), story.settings, deployment_of(story), times[-1], on_record=lambda _: None, checkpoints=of
        )
        return {table: dict(begun.fold.engine.tables.items(table)) for table in TABLES if table != "quote-history"}

    assert await tables(None) == await tables(checkpoints)


async def test_what_is_explained_from_a_checkpoint_has_the_same_terms(golden: Story, tmp_path: Path) -> None:
    times = instants(golden)
    checkpoints = await make(golden, tmp_path, times[len(times) // 2])
    name, _, account = max(golden.last).decode().partition(":")

    async def explained(of: Checkpoints | None) -> tuple[object, list[Term]]:
        terms: list[Term] = []
        found = await explain_account(
            golden.log(), golden.settings, name, account, since_ms=times[len(times) // 2 + 9], until_ms=times[-1],
            on_term=terms.append, on_record=lambda _: None, checkpoints=of,
        )  # fmt: skip
        return found[:3], terms

    whole = await explained(None)
    assert whole == await explained(checkpoints)
    assert whole[1]


async def test_where_first_records_are_gone_a_checkpoint_is_begun_at_and_is_needed(
    golden: Story, tmp_path: Path
) -> None:
    times = instants(golden)
    checkpoints = await make(golden, tmp_path, times[len(times) // 2])
    ((_, head),) = checkpoints.list()
    log, key = golden.log(), max(golden.last)
    (place,) = [
        one for one in log._held if one.topic == head.topic and one.partition in head.ends and head.ends[one.partition]
    ]
    log._held = {**log._held, place: Held(head.ends[place.partition], log._held[place].end, times[0])}
    log.of[place] = [one for one in log.of[place] if one.offset >= head.ends[place.partition]]
    name, _, account = key.decode().partition(":")

    found = await value_account_at(
        log, golden.settings, name, account, At(time_ms=times[-1]), on_record=lambda _: None, checkpoints=checkpoints
    )

    assert found is not None
    assert (await asof(golden, key, At(time_ms=times[-1]), None))[0] == (
        found.body, found.at_ms, found.offset, found.doubts,
    )  # fmt: skip
    for at_ms in (times[-1], times[4]):
        with pytest.raises(OutOfRetention):
            await value_account_at(
                log, golden.settings, name, account, At(time_ms=at_ms), on_record=lambda _: None,
                checkpoints=None if at_ms == times[-1] else checkpoints,
            )  # fmt: skip


async def test_the_newest_of_a_deployment_stay_whoever_made_them_and_others_are_left_alone(
    golden: Story, tmp_path: Path
) -> None:
    for at_ms in instants(golden)[-4:]:
        await make(golden, tmp_path, at_ms)
    checkpoints = Checkpoints(tmp_path, CODE)
    paths = [path for path, _ in checkpoints.list()]

    assert [] == checkpoints.keep("another", 1)
    assert paths[:2] == checkpoints.keep(deployment_of(golden), 2)
    assert paths[2:] == [path for path, _ in Checkpoints(tmp_path, "1.2.4").list()]
    assert [] == checkpoints.keep(deployment_of(golden), 2)


async def test_a_checkpoint_of_another_version_is_passed_over_and_a_damaged_one_refused(
    golden: Story, tmp_path: Path
) -> None:
    times, key = instants(golden), max(golden.last)
    checkpoints = await make(golden, tmp_path, times[len(times) // 2])
    at = At(time_ms=times[-1])
    _, whole = await asof(golden, key, at, None)

    assert whole == (await asof(golden, key, at, Checkpoints(tmp_path, "1.2.4")))[1]
    with pytest.raises(BadCheckpoint, match="found a checkpoint"):
        await make(golden, tmp_path, times[len(times) // 2])
    ((path, _),) = checkpoints.list()
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:-1])))
    with pytest.raises(BadCheckpoint, match="digest"):
        await asof(golden, key, at, checkpoints)
    path.write_bytes(b"nonsense")
    with pytest.raises(BadCheckpoint, match="expected a checkpoint"):
        checkpoints.list()


async def test_a_checkpoint_of_another_cluster_is_refused_and_one_that_names_none_is_used(
    golden: Story, tmp_path: Path
) -> None:
    times, key = instants(golden), max(golden.last)
    at, half_ms = At(time_ms=times[-1]), times[len(times) // 2]
    await make(golden, tmp_path / "none", half_ms)
    _, read = await asof(golden, key, at, Checkpoints(tmp_path / "none", CODE, "ours"))
    assert read < (await asof(golden, key, at, None))[1]

    own = tmp_path / "ours"
    await make(golden, own, half_ms, "ours")
    assert read == (await asof(golden, key, at, Checkpoints(own, CODE, "ours")))[1]
    with pytest.raises(BadCheckpoint, match="of the cluster theirs"):
        await asof(golden, key, at, Checkpoints(own, CODE, "theirs"))


async def test_over_an_archive_checkpoints_of_each_cluster_hold_as_far_as_its_records_are_those_of_the_archive(
    golden: Story, tmp_path: Path
) -> None:
    times, key = instants(golden), max(golden.last)
    at, half_ms = At(time_ms=times[-1]), times[len(times) // 2]
    await make(golden, tmp_path, half_ms, "lost")
    ((_, head),) = Checkpoints(tmp_path, CODE).list()
    _, whole = await asof(golden, key, at, None)

    def over(shared: Mapping[str, Mapping[int, int]], cluster: str | None) -> Checkpoints:
        return Checkpoints(tmp_path, CODE, cluster, {head.topic: shared})

    ends, less = head.ends, {number: end - 1 for number, end in head.ends.items()}
    for cluster in ("lost", "rebuilt", None):
        assert whole > (await asof(golden, key, at, over({"lost": ends, "rebuilt": ends}, cluster)))[1]
    for shared in ({"lost": less, "rebuilt": ends}, {"rebuilt": ends}):
        with pytest.raises(BadCheckpoint, match="of the cluster rebuilt"):
            await asof(golden, key, at, over(shared, "rebuilt"))

    fold = (await fold_accounts_at(
        golden.log(), golden.settings, deployment_of(golden), half_ms, on_record=lambda _: None
    )).fold  # fmt: skip
    made = Checkpoints(tmp_path / "made", CODE, None, {head.topic: {"parted": less, "rebuilt": ends}})
    assert "rebuilt" == made.write(fold, {Place(head.topic, one): end for one, end in ends.items()}, half_ms)[1].cluster
