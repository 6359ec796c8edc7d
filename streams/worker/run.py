"""A worker process: the Faust app under a worker that ends in time."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from models.errors import TidemarkError
from streams.kafka.topics import check_topics, registry
from streams.process.faults import EXIT_FAULT, print_last_line, print_traceback
from streams.process.garbage import collect_rarely
from streams.transport.slice_worker import SliceWorker
from streams.worker.faust_app import create_app

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.worker.faust_app import TidemarkApp


def run(settings: Settings) -> None:
    """Run a worker until it is told to stop (exit 0) or meets a fault (exit 70, nothing committed).

    Raises:
        BadTopic: Topics are missing or not as the configuration says; keys would go to other partitions.
        BadSettings: The admin port is taken.
        KafkaError: The broker was gone or refused something while the worker started.
    """
    asyncio.run(check_topics(settings.bootstrap, registry(settings)))
    run_app(create_app(settings))


def run_app(app: TidemarkApp) -> None:
    """Run a worker of this app, as ``run`` does."""
    collect_rarely()
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    try:
        # Faust's own lines are for a terminal; as JSON, its loggers write through the root's handler like all others.
        is_for_terminal = app.settings.log.format == "text"
        SliceWorker(app, loglevel="INFO", redirect_stdouts=False, override_logging=is_for_terminal).run()
    except (TidemarkError, KafkaError):
        raise
    except Exception as fault:  # noqa: BLE001 - this is the process's supervisor
        print_traceback(fault)
        print_last_line(fault)
        sys.exit(EXIT_FAULT)
