"""What goes wrong in each rehearsal, and its cure."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from models.symmio.topics import CHAIN_BLOCKS
from streams.kafka.topics import DEAD_LETTERS, PRICE_TICKS, topic_name
from streams.process.clock import SystemClock
from streams.process.faults import EXIT_FAULT, EXIT_SUPERSEDED
from streams.replay.kafka_log import KafkaLog
from tests.rehearsals.cluster import DEPLOYMENT, MARKETS, SOURCE
from tests.rehearsals.machine_faults import FaultName, NotOnThisMachine, fill, set_fault, sized_volume
from tests.rehearsals.rehearsal import Rehearsal, everybody_hears, metrics_of, status_of
from tests.rehearsals.rendered import ROOT
from tests.support.eventually import eventually
from tests.support.pipeline import end_offset
from tests.support.records import chain_records, surviving_blocks
from tests.support.standing_records import by_key, standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.rehearsals.pods import Pod
    from tests.rehearsals.rehearsal import Stage

# Bounds of docs/freshness.md, in s.
_PROCESS_S, _BROKER_S, _OUTSIDE_S = 6.0, 6.0, 15.0
_PAUSED_S = 60.0
_BURST_S = 300.0
_FAULTY_S = 30.0
_SLOW_MS = 500
# More than a venue's clock may be found to differ from ours. A smaller step is followed after some 30 s, and prices are
# used again then, rightly so, while heartbeats are still old.
_CLOCK_MS = 2 * 3_600_000
_MAD_TIMES = 60
# What `tidemark repartition` ends with while somebody still writes to the topics before.
_GOES_ON = 1
# How many blocks both branches have for themselves; less than become final meanwhile.
_APART_BLOCKS = 4
PRICES = f"ingest-prices-{SOURCE}"
CHAIN = f"ingest-chain-{DEPLOYMENT}"
# Whoever reads rows is replaced before whoever writes them, and in the other order on the way back.
_ROLLOUT = ("api", CHAIN, PRICES, "worker")


async def _owner(stage: Stage) -> tuple[Pod, int]:
    """A worker that owns a partition, and the partition."""
    found: list[tuple[Pod, int]] = []

    async def is_there() -> bool:
        for pod in stage.cluster.of("worker"):
            owned = (await status_of(pod)).get("partitions")
            if owned:
                found.append((pod, owned[0]))
                return True
        return False

    await eventually(is_there, 60)
    return found[0]


async def _owned_again(stage: Stage, partition: int) -> None:
    async def is_owned() -> bool:
        owned = [(await status_of(pod)).get("partitions", ()) for pod in stage.cluster.of("worker")]
        return any(partition in one for one in owned)

    await eventually(is_owned, 120)


async def _restarted(pod: Pod, before: int) -> None:
    await eventually(lambda: pod.restarts > before, 60)
    await eventually(lambda: pod.is_ready, 120)


async def worker_killed(stage: Stage) -> None:
    """A worker is killed: its standby takes over, or it is back before its session is over."""
    pod, partition = await _owner(stage)
    before = pod.restarts
    async with stage.gone(f"worker:{partition}", _PROCESS_S):
        pod.signal(signal.SIGKILL)
        await _owned_again(stage, partition)
    await _restarted(pod, before)


async def volume_lost(stage: Stage) -> None:
    """A worker dies with its volume: its rows are read from the changelogs again."""
    pod, partition = await _owner(stage)
    before = pod.restarts
    async with stage.gone(f"worker:{partition}", _PROCESS_S):
        pod.signal(signal.SIGSTOP)
        pod.lose_volume("data")
        pod.signal(signal.SIGKILL)
        await _owned_again(stage, partition)
    await _restarted(pod, before)


async def poison_record(stage: Stage) -> None:
    """Somebody writes what is no price: it is a dead letter, and everything else goes on."""
    settings = stage.cluster.settings
    letters = topic_name(settings, DEAD_LETTERS)
    before = await end_offset(settings, letters)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    try:
        key = f"{SOURCE}:BTCUSDT".encode()
        await producer.send_and_wait(topic_name(settings, PRICE_TICKS), b'{"kind": "poison"}', key=key)
    finally:
        await producer.stop()

    async def is_told() -> bool:
        return await end_offset(settings, letters) > before

    await eventually(is_told, 60)
    await stage.alerted("DeadLetters")


async def writer_paused(stage: Stage) -> None:
    """The ingest of prices sleeps, its spare takes over, and it wakes up: it may write nothing more, and ends."""
    sleeper, spare = await _writer_and_spare(stage, PRICES)
    before = len(sleeper.exit_codes)
    sleeper.sleep()
    try:
        await eventually(lambda: _works(spare), 120)
    finally:
        sleeper.wake()
    await eventually(lambda: len(sleeper.exit_codes) > before, 60)
    assert sleeper.exit_codes[before] == EXIT_SUPERSEDED, sleeper.said[-2_000:]


async def nodes_forked(stage: Stage) -> None:
    """Two ingests of a chain have nodes on different branches, and take turns: one chain is written, then the other."""
    cluster = stage.cluster
    sleeper, before = await _writer_and_spare(stage, CHAIN)
    await before.end()
    spare = cluster.start(before.workload, before.name, rpc="rpc_elsewhere")
    await eventually(lambda: spare.is_ready, 60)
    left_at = (await cluster.world.tell(forked=True))["head"]

    async def has_parted() -> bool:
        return bool((await cluster.world.tell())["head"] >= left_at + _APART_BLOCKS)

    await eventually(has_parted, 60)
    # No more blocks, so that none of the branch becomes final however long it takes.
    elsewhere = (await cluster.world.tell(blocks=False))["elsewhere"]
    ended = len(sleeper.exit_codes)
    sleeper.sleep()
    try:
        await eventually(lambda: _is_followed(stage, elsewhere), 120)
    finally:
        sleeper.wake()
    await eventually(lambda: len(sleeper.exit_codes) > ended, 60)
    assert sleeper.exit_codes[ended] == EXIT_SUPERSEDED, sleeper.said[-2_000:]
    await cluster.world.tell(forked=False, blocks=True)

    async def has_come_back() -> bool:
        return await _is_followed(stage, (await cluster.world.tell())["elsewhere"])

    await eventually(has_come_back, 120)
    stage.notes.append(f"{_APART_BLOCKS} blocks and more gave way to a branch, and that to the chain")


async def _is_followed(stage: Stage, block_hash: str) -> bool:
    """Whether a block is the newest that stands in the topic."""
    blocks = surviving_blocks(await chain_records(stage.cluster.settings, DEPLOYMENT))
    return blocks[max(blocks)].hash == block_hash


async def all_killed(stage: Stage) -> None:
    """Each process is killed once, one after the other."""
    for pod in [*stage.cluster.pods.values()]:
        before = pod.restarts
        pod.signal(signal.SIGKILL)
        await _restarted(pod, before)
    stage.notes.append(f"{len(stage.cluster.pods)} processes")


async def rolled(stage: Stage) -> None:
    """Everything is replaced as a rollout does it, with preStop, grace periods and waits between pods."""
    await _roll(stage, _ROLLOUT)


async def upgraded_and_rolled_back(stage: Stage) -> None:
    """Everything is replaced by the version before, and by this one again, while records keep coming."""
    if stage.previous is None:
        msg = "expected the version before (make rehearse ARGS='--previous COMMIT'), found none"
        raise NotOnThisMachine(msg)
    stage.cluster.code = stage.previous
    try:
        await _roll(stage, tuple(reversed(_ROLLOUT)))
        await everybody_hears(stage)
    finally:
        stage.cluster.code = ROOT
    await _roll(stage, _ROLLOUT)


async def _roll(stage: Stage, workloads: Sequence[str]) -> None:
    for name in workloads:
        grace_s = stage.cluster.overlay.workloads[name].pod["terminationGracePeriodSeconds"]
        ended_s = await stage.cluster.roll(name)
        # Whoever has not ended by then is killed, which loses nothing either; on a crowded machine that is no fault.
        killed = sum(took_s >= grace_s for took_s in ended_s)
        late = f", {killed} of {len(ended_s)} were killed then" if killed else ""
        stage.notes.append(f"{name}: ended within {max(ended_s):.0f} s of {grace_s}{late}")


async def broker_restarted(stage: Stage) -> None:
    """The broker is killed, and started again on its data."""
    broker = stage.cluster.broker.broker
    async with stage.gone("broker", _BROKER_S):
        await asyncio.to_thread(broker.kill)
        broker.spawn()
        await asyncio.to_thread(broker.wait_ready)


async def broker_paused(stage: Stage) -> None:
    """The broker hangs for a minute, and for as long as it takes to be told of."""
    pid = stage.cluster.broker.broker.pid
    assert pid is not None
    async with stage.gone("broker", _BROKER_S):
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(_PAUSED_S)
            await stage.alerted("BrokerUnreachable")
        finally:
            os.kill(pid, signal.SIGCONT)


async def prices_frozen(stage: Stage) -> None:
    """The venue keeps its socket open and says nothing, and over REST it repeats its last prices; then it speaks."""
    async with stage.gone(f"prices:{SOURCE}", _OUTSIDE_S):
        await stage.cluster.world.tell(prices=False)
        try:
            await asyncio.sleep(_OUTSIDE_S)
            await stage.alerted("InputStale", part=f"prices:{SOURCE}")
        finally:
            await stage.cluster.world.tell(prices=True)


async def prices_mad(stage: Stage) -> None:
    """The venue says a tenth and ten times the price in turn, sixty times; then it is sane again."""
    before = (await stage.cluster.world.tell(mad=True))["published"]

    async def is_enough() -> bool:
        return bool((await stage.cluster.world.tell())["published"] > before + _MAD_TIMES)

    try:
        await eventually(is_enough, 120)
    finally:
        await stage.cluster.world.tell(mad=False)


async def clients_cut(stage: Stage) -> None:
    """The network between clients and replicas is cut, and comes back."""
    before = stage.watcher.opened
    stage.cluster.service.is_cut = True
    stage.cluster.service.cut()
    try:
        await asyncio.sleep(_OUTSIDE_S)
    finally:
        stage.cluster.service.is_cut = False
    await eventually(lambda: stage.watcher.opened > before, 60)


async def burst(stage: Stage) -> None:
    """Ten times as many prices for five minutes: what is late is not lost."""
    before = (await stage.cluster.world.tell(times=10))["published"]
    try:
        await asyncio.sleep(_BURST_S)
    finally:
        after = (await stage.cluster.world.tell(times=1))["published"]
    stage.notes.append(f"{(after - before) * MARKETS / _BURST_S:.0f} prices a second were said")


async def volume_full(stage: Stage) -> None:
    """A worker dies whose volume is full: it ends whenever it is started, others have its partitions; it gets room."""
    name = stage.cluster.of("worker")[-1].name
    pod = stage.cluster.pods[name]
    await pod.end()
    volume = pod.mounts.place("data")
    with sized_volume(volume):
        pod = stage.cluster.start(pod.workload, name)
        await eventually(lambda: pod.is_ready, 120)
        filler = await asyncio.to_thread(fill, volume)
        try:
            # What is new stands in memory for minutes before it is written; one that starts has to write at once.
            pod.signal(signal.SIGKILL)
            await eventually(lambda: len(pod.exit_codes) > 1, 120)
        finally:
            filler.unlink()
        assert pod.exit_codes[1] == EXIT_FAULT, (pod.exit_codes, pod.said[-2_000:])
        stage.notes.append(f"it ended with {EXIT_FAULT}")
        await eventually(lambda: pod.is_ready, 120)
        await pod.end()
    stage.cluster.start(pod.workload, name)


async def cluster_lost(stage: Stage) -> None:
    """All of Kafka is lost with every volume; a new cluster is made of the archive, and tables of what it held."""
    archive = str(stage.cluster.directory / "archive")
    code, _, faults = await stage.cluster.run("archive", "archive", "write", archive, "--older-than", "0s")
    assert code == 0, faults
    await stage.cluster.lose_everything()
    from_s = time.monotonic()
    code, said, faults = await stage.cluster.run(None, "archive", "restore", archive)
    assert code == 0, (said, faults)
    stage.notes.append(f"restored in {time.monotonic() - from_s:.0f} s")
    stage.cluster.start_all()
    await stage.cluster.all_ready()


async def repartitioned(stage: Stage) -> None:
    """Topics of twice as many partitions take over: copied while all works, and to the end while nothing does."""
    cluster, former = stage.cluster, stage.cluster.settings
    partitions = former.topics.partitions
    await cluster.configure_anew(2 * partitions)
    copy = ("repartition", "--from-prefix", former.topics.prefix)
    code, said, faults = await cluster.run(None, *copy)
    assert code == _GOES_ON, (said, faults)
    assert "still at work" in faults, faults
    from_s = time.monotonic()
    await cluster.shut_down()
    ended_s = time.monotonic()

    async def is_all() -> bool:
        return (await cluster.run(None, *copy))[0] == 0

    await eventually(is_all, 60)
    log = KafkaLog(cluster.broker.open, {}, SystemClock())
    for topic in (PRICE_TICKS, CHAIN_BLOCKS):
        before, after = [(await standing(log, [topic_name(one, topic)]))[0] for one in (former, cluster.settings)]
        assert by_key(before) == by_key(after), topic
    last_s = time.monotonic() - ended_s
    stage.cluster.start_all()
    await stage.cluster.all_ready()
    stage.notes.append(
        f"{partitions} partitions became {2 * partitions}; it took {ended_s - from_s:.0f} s to end all, {last_s:.0f} s "
        f"to copy the rest and look at it, {time.monotonic() - ended_s - last_s:.0f} s until all were ready"
    )


async def disk_slow(stage: Stage) -> None:
    """Disks of all pods take half a second for each fsync, for half a minute."""
    await _faulty(stage, list(stage.cluster.pods.values()), "fsync_ms", _SLOW_MS)


async def clock_behind(stage: Stage) -> None:
    """The clock of the ingest of prices is set back: what it says is old, and its prices are of the future to it."""
    writer, _ = await _writer_and_spare(stage, PRICES)
    async with stage.gone(f"prices:{SOURCE}", _PROCESS_S):
        await _faulty(stage, [writer], "clock_ms", -_CLOCK_MS, prices_alert=True)


async def _faulty(
    stage: Stage, pods: Sequence[Pod], name: FaultName, value_ms: int, *, prices_alert: bool = False
) -> None:
    places = [stage.cluster.faults_of(pod.name) for pod in pods]
    for place in places:
        set_fault(place, name, value_ms)
    try:
        await asyncio.sleep(_FAULTY_S)
        if prices_alert:
            await stage.alerted("InputStale", part=f"prices:{SOURCE}")
    finally:
        for place in places:
            set_fault(place, name, 0)


CHEAP = (
    Rehearsal("a worker is killed", worker_killed),
    Rehearsal("a poison record", poison_record),
    Rehearsal("a writer is paused, and wakes behind its spare", writer_paused),
    Rehearsal("the broker is killed and started again", broker_restarted),
)
"""Those that take seconds."""

DEAR = (
    Rehearsal("a worker loses its volume", volume_lost),
    Rehearsal("clients are cut off for 15 s", clients_cut),
    Rehearsal("each process is killed", all_killed),
    Rehearsal("the broker hangs for 60 s", broker_paused),
    Rehearsal("the source of prices freezes", prices_frozen),
    Rehearsal("the source of prices goes mad", prices_mad),
    Rehearsal("a worker's volume is full", volume_full),
    Rehearsal("disks take half a second for an fsync", disk_slow),
    Rehearsal("the clock of an ingest is set back two hours", clock_behind),
    Rehearsal("a rolling restart of everything", rolled),
    Rehearsal("a rollback to the version before, and an upgrade", upgraded_and_rolled_back),
    Rehearsal("ten times the load for 5 min", burst),
    Rehearsal("two nodes are on different branches", nodes_forked),
    Rehearsal("twice as many partitions", repartitioned),
    Rehearsal("the whole cluster is lost, and made of the archive", cluster_lost),
)
"""Those that take minutes."""


async def _writer_and_spare(stage: Stage, workload: str) -> tuple[Pod, Pod]:
    found: list[Pod] = []

    async def are_told_apart() -> bool:
        works = {pod: await _works(pod) for pod in stage.cluster.of(workload) if pod.is_ready}
        found[:] = sorted(works, key=lambda pod: not works[pod])
        return sorted(works.values()) == [False, True]

    await eventually(are_told_apart, 120)
    return found[0], found[1]


async def _works(pod: Pod) -> bool:
    """Whether an ingest is the one that writes: only that one beats."""
    found = re.search(r'^tidemark_heartbeats_total\{outcome="written"\} (\S+)$', await metrics_of(pod), re.MULTILINE)
    return found is not None and float(found[1]) > 0
