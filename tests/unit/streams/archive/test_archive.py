"""The log in an archive: the records of Kafka, joined with it, and found where altered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import msgspec
import pytest
from moto.server import ThreadedMotoServer

from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog, JoinedLog
from streams.archive.topic_index import read_index, write_index
from streams.replay.bounded_log import BadArchive, NoSuchTopic, OutOfRetention, Place, Span
from streams.replay.captured_log import CapturedLog, CaptureWriter
from streams.replay.log_window import check_offsets, resolve_times
from tests.support.listed_archive import PLACES, TOPIC, archive, findings, log_of, make_small_segments, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from streams.archive.archive_store import ArchiveStore
    from streams.replay.bounded_log import Log

BUCKET = "tidemark-archive"


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small_segments(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> ArchiveStore:
    return opened_store(str(tmp_path / "archive"))


async def digest(log: Log, vector: Mapping[Place, Span], directory: Path) -> str:
    writer = CaptureWriter(directory, vector)
    for one in await read(log, vector):
        writer.take(one)
    return writer.finish(code="test", made_ms=1, since_ms=None, until_ms=None).digest


async def test_an_archive_has_every_record_to_the_last_byte_and_one_digest_with_the_log_and_captures(
    store: ArchiveStore, tmp_path: Path
) -> None:
    log = log_of(64)
    assert {} == await archive(log, store, 10**9)

    archived = ArchivedLog(store)
    assert await read(log) == await read(archived)
    assert await log.held([TOPIC]) == {
        place: one._replace(until_ms=None) for place, one in (await archived.held([TOPIC])).items()
    }
    vector = {PLACES[0]: Span(7, 50), PLACES[1]: Span(0, 65)}
    first = await digest(log, vector, tmp_path / "of log")
    assert {first} == {
        await digest(archived, vector, tmp_path / "of archive"),
        await digest(CapturedLog(tmp_path / "of log"), vector, tmp_path / "of capture"),
    }
    assert ([], []) == findings(store)
    with pytest.raises(NoSuchTopic, match="found t"):
        await archived.held(["other"])


async def test_what_is_archived_again_is_not_doubled_and_what_came_since_follows(store: ArchiveStore) -> None:
    for end in (20, 20, 47, 90):
        await archive(log_of(end), store, 10**9)
        assert await read(log_of(end)) == await read(ArchivedLog(store))
    assert ([], []) == findings(store)


async def test_what_is_younger_than_the_instant_stays(store: ArchiveStore) -> None:
    log = log_of(60)
    await archive(log, store, 30_000)

    found = await read(ArchivedLog(store))
    wanted = await resolve_times(log, [TOPIC], None, 30_000)
    assert await read(log, wanted) == found
    with pytest.raises(OutOfRetention, match="held until"):
        await resolve_times(ArchivedLog(store), [TOPIC], None, 31_000)


@pytest.mark.parametrize("begin", [0, 10, 33, 40])
async def test_archive_and_log_are_joined_without_gap_or_doubling(store: ArchiveStore, begin: int) -> None:
    whole = log_of(100)
    await archive(log_of(60), store, 42_000)
    joined = JoinedLog(ArchivedLog(store), log_of(100, begin))

    assert await read(whole) == await read(joined)
    for since_ms, until_ms in ((0, 101_000), (12_000, 30_000), (12_000, 70_000), (50_000, 80_000), (41_000, 43_000)):
        vector = await resolve_times(whole, [TOPIC], since_ms, until_ms)
        assert vector == await resolve_times(joined, [TOPIC], since_ms, until_ms)
        assert await read(whole, vector) == await read(joined, vector)


async def test_what_was_deleted_before_it_was_archived_is_said_and_never_read_over(store: ArchiveStore) -> None:
    await archive(log_of(30), store, 10**9)
    later = log_of(100, 50)

    joined = JoinedLog(ArchivedLog(store), later)
    assert 50 == (await joined.held([TOPIC]))[PLACES[0]].begin
    with pytest.raises(OutOfRetention):
        await check_offsets(joined, {PLACES[0]: Span(20, 60)})
    lost = await archive(later, store, 10**9)

    assert {PLACES[0]: [Span(30, 50)], PLACES[1]: [Span(31, 50)]} == lost
    assert 50 == (await ArchivedLog(store).held([TOPIC]))[PLACES[0]].begin
    assert await read(later) == await read(ArchivedLog(store))
    assert [one.partition(":")[2] for one in findings(store)[0]] == [
        "0: offsets 30-50 were deleted before they were archived",
        "1: offsets 31-50 were deleted before they were archived",
    ]


async def test_what_was_archived_before_a_gap_is_read_by_itself_and_never_together_with_what_follows(
    store: ArchiveStore,
) -> None:
    whole, later = log_of(100), log_of(100, 50)
    await archive(log_of(30), store, 34_000)
    not_archived = JoinedLog(ArchivedLog(store), later)
    beside = await read(not_archived)
    assert beside == await read(later)
    await archive(log_of(80, 50), store, 10**9)

    for log in (ArchivedLog(store), JoinedLog(ArchivedLog(store), later), not_archived):
        for vector in ({PLACES[0]: Span(5, 20)}, {PLACES[0]: Span(0, 30)}, {PLACES[0]: Span(55, 80)}):
            await check_offsets(log, vector)
            assert await read(whole, vector) == await read(log, vector)
        by_time = await resolve_times(log, [TOPIC], 7_000, 22_000)
        assert by_time == await resolve_times(whole, [TOPIC], 7_000, 22_000)
        assert await read(whole, by_time) == await read(log, by_time)
        for over in (Span(5, 60), Span(25, 31), Span(35, 40)):
            with pytest.raises(OutOfRetention, match=r"found 50.* and before it 0-30: read"):
                await check_offsets(log, {PLACES[0]: over})
        with pytest.raises(OutOfRetention, match=r"it is held from its beginning to .* too"):
            await resolve_times(log, [TOPIC], 7_000, 60_000)
    with pytest.raises(OutOfRetention):
        await resolve_times(not_archived, [TOPIC], 7_000, None)


async def test_a_gap_that_the_cluster_still_holds_is_none(store: ArchiveStore) -> None:
    await archive(log_of(30), store, 10**9)
    await archive(log_of(80, 50), store, 10**9)

    # As where an index was put back from a copy.
    joined = JoinedLog(ArchivedLog(store), log_of(100, 20))
    assert (0, 100) == (await joined.held([TOPIC]))[PLACES[0]][:2]
    assert await read(log_of(100)) == await read(joined)


async def test_an_archive_of_another_cluster_or_of_a_topic_made_anew_is_refused(store: ArchiveStore) -> None:
    await archive(log_of(30), store, 10**9)
    other = log_of(60)
    other.cluster_id = "other"

    with pytest.raises(BadArchive, match="of one cluster, found listed archived and other live"):
        await archive(other, store, 10**9)
    with pytest.raises(BadArchive, match="of one cluster"):
        await JoinedLog(ArchivedLog(store), other).held([TOPIC])
    with pytest.raises(BadArchive, match="made anew"):
        await archive(log_of(10), store, 10**9)
    with pytest.raises(BadArchive, match="made anew"):
        await JoinedLog(ArchivedLog(store), log_of(10)).held([TOPIC])
    await ArchivedLog(store).add_cluster(TOPIC, "other")
    await archive(other, store, 10**9)
    assert await read(log_of(60)) == await read(ArchivedLog(store))


async def test_clusters_that_parted_are_not_mixed_whichever_of_them_goes_on(store: ArchiveStore) -> None:
    await archive(log_of(30), store, 10**9)
    await ArchivedLog(store).add_cluster(TOPIC, "other")
    ours, other = log_of(60), log_of(100)
    other.cluster_id = "other"
    assert await read(other) == await read(JoinedLog(ArchivedLog(store), other))

    await archive(ours, store, 10**9)
    with pytest.raises(BadArchive, match=r"t:0 of the cluster other to be .* up to 30 only"):
        await JoinedLog(ArchivedLog(store), other).held([TOPIC])
    with pytest.raises(BadArchive, match="another cluster wrote the rest"):
        await archive(other, store, 10**9)
    # What was lost and is made anew of the archive has all of it again.
    await ArchivedLog(store).add_cluster(TOPIC, "other")
    await archive(other, store, 10**9)
    with pytest.raises(BadArchive, match="t:0 of the cluster listed"):
        await JoinedLog(ArchivedLog(store), log_of(200)).held([TOPIC])
    assert await read(log_of(100)) == await read(ArchivedLog(store))


async def test_an_archive_is_of_the_cluster_that_it_was_made_of_also_after_it_was_restored(store: ArchiveStore) -> None:
    await archive(log_of(30), store, 10**9)
    await ArchivedLog(store).add_cluster(TOPIC, "a-rebuilt")
    assert "listed" == await ArchivedLog(store).cluster()
    ends = {0: 30, 1: 31, 2: 0}
    assert {TOPIC: {"listed": ends, "a-rebuilt": ends}} == await ArchivedLog(store).all_clusters()

    rebuilt = log_of(60)
    rebuilt.cluster_id = "a-rebuilt"
    await archive(rebuilt, store, 10**9)
    assert "a-rebuilt" == await ArchivedLog(store).cluster()


async def test_what_was_altered_cut_or_removed_is_found_and_never_read(store: ArchiveStore, tmp_path: Path) -> None:
    await archive(log_of(33), store, 10**9)
    files = sorted((tmp_path / "archive").rglob("*.parquet"))
    content = files[0].read_bytes()
    assert len(files) > 3
    files[0].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    files[1].write_bytes(files[1].read_bytes()[:-9])
    files[2].unlink()
    files[3].with_name(files[3].name + ".json").unlink()
    (files[0].parent / "stray.parquet.partial").write_bytes(b"x")

    found, left_over = findings(store)

    assert ["it was altered", "it was altered", "no such file", "its manifest"] == [
        next(word for word in ("it was altered", "no such file", "its manifest") if word in one) for one in found
    ]
    assert ["t/0/stray.parquet.partial (not finished)"] == left_over
    with pytest.raises(BadArchive, match="altered"):
        await read(ArchivedLog(store))


def test_where_there_is_nothing_no_archive_is_checked(store: ArchiveStore) -> None:
    with pytest.raises(BadArchive, match="found no topic"):
        findings(store)


async def test_files_without_their_index_and_an_index_without_its_files_are_found(store: ArchiveStore) -> None:
    await archive(log_of(33), store, 10**9)
    index = read_index(store, TOPIC)
    assert index is not None
    partitions = {number: msgspec.structs.replace(one, segments=()) for number, one in index.partitions.items()}
    write_index(store, msgspec.structs.replace(index, partitions=partitions))
    assert [
        "t:0: expected segments up to offset 33, found them to end at 0",
        "t:1: expected segments up to offset 34, found them to end at 0",
    ] == findings(store)[0]

    store._files.rm(f"{store}/{TOPIC}/index.json")
    assert ["t: expected an index of its files, found none: archive it again"] == findings(store)[0]


def test_what_is_no_place_for_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="expected a directory or a URL"):
        opened_store("nosuchthing://bucket/archive")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadArchive, match="expected to reach"):
        opened_store(str(tmp_path / "file")).write("a", b"x")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an archive in an S3-compatible store."""
    for name, text in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("EC2_METADATA_DISABLED", "true")):
        monkeypatch.setenv(f"AWS_{name}", text)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        boto3.client("s3", region_name="us-east-1", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}/archive?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    finally:
        server.stop()


async def test_an_object_store_holds_an_archive_as_a_directory_does(bucket: str) -> None:
    store = opened_store(bucket)
    with pytest.raises(NoSuchTopic, match="found nothing"):
        await ArchivedLog(store).held([TOPIC])
    await archive(log_of(20), store, 10**9)
    await archive(log_of(33), store, 30_000)

    assert await read(log_of(33)) == await read(JoinedLog(ArchivedLog(opened_store(bucket)), log_of(33, 12)))
    assert ([], []) == findings(store)
    assert f"{BUCKET}/archive" == str(store)


async def test_a_store_in_memory_holds_an_archive(tmp_path: Path) -> None:
    store = opened_store(f"memory://{tmp_path.name}")
    await archive(log_of(20), store, 10**9)
    assert await read(log_of(20)) == await read(ArchivedLog(store))
    assert ([], []) == findings(store)
