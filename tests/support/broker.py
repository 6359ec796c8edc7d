"""The broker of a test run, and settings that keep tests on it apart."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.settings import Settings, TopicSettings, WorkerSettings
from tidemark.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slices:
    """How many records a slice has in a test that does not say: ``--slice-records``, else as many as in production."""

    records: int | None = None


JARS = Path(__file__).parents[2] / ".kafka" / "libs"
CLASS_ARCHIVE = JARS.parent / "classes.jsa"


def new_broker(directory: Path) -> Broker:
    """Return a broker, not started yet, on a free port: for tests that stop, kill or starve it."""
    return Broker(directory / "broker", JARS, port=None)


@contextmanager
def running_kafka() -> Iterator[str]:
    """Serve the bootstrap address of a test run: the cluster TIDEMARK_KAFKA names, else a broker of our own."""
    given = os.environ.get("TIDEMARK_KAFKA")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="tidemark-tests-", ignore_cleanup_errors=True) as scratch:
        broker = new_broker(Path(scratch))
        try:
            yield broker.start()
        finally:
            # Its data goes with it: an orderly end, which may take 10 s, would save what nobody reads.
            broker.kill()


def settings_of_a_test(bootstrap: str, data_dir: Path, **overrides: Any) -> Settings:  # noqa: ANN401 - as Settings takes
    """Make settings with a topic prefix that no other test has; ``overrides`` are fields of ``Settings``."""
    topics = TopicSettings.model_validate(overrides.pop("topics", TopicSettings(partitions=4)))
    own = topics.model_copy(update={"prefix": f"test-{uuid.uuid4().hex[:8]}-"})
    worker = WorkerSettings.model_validate(overrides.pop("worker", WorkerSettings()))
    if Slices.records is not None and "slice_records" not in worker.model_fields_set:
        worker = worker.model_copy(update={"slice_records": Slices.records})
    return Settings(**{"kafka": bootstrap, "data_dir": data_dir, "topics": own, "worker": worker, **overrides})
