"""quixstreams: a dataframe with JSON topics and state in RocksDB; it sends its changelog at each checkpoint (5 s)."""

from __future__ import annotations

from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]

from bench.peers.job import Clock, Job, folder


def run(job: Job) -> None:
    """Read the topic to its end, or only recover the state."""
    clock, fold = Clock(job), folder(job)
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=job.directory,
        loglevel="WARNING",
        on_message_processed=lambda *_: end() if clock.did() else None,
    )
    topic = app.topic(job.topic, value_deserializer="json")
    changelog = f"changelog__{job.group}--{job.topic}--default"

    def end() -> None:
        # What the application does when it is stopped; its closing of consumer and stores is no work on events.
        app._processing_context.commit_checkpoint(force=True)  # noqa: SLF001
        clock.end(changelog)

    def decode(_: Any) -> None:  # noqa: ANN401
        clock.begin()

    def write(event: dict[str, Any], state: Any) -> None:  # noqa: ANN401
        clock.begin()
        state.set("row", fold(state.get("row"), event))

    recover = app._state_manager.do_recovery  # noqa: SLF001

    def timed_recovery() -> None:
        clock.begin()
        recover()
        if clock.did(job.count):
            clock.end(changelog)

    if job.workload == "recovery":
        app._state_manager.do_recovery = timed_recovery  # noqa: SLF001
    frame = app.dataframe(topic)
    frame.update(decode) if job.workload == "decode" else frame.update(write, stateful=True)
    app.run()


if __name__ == "__main__":
    run(Job.from_arguments())
