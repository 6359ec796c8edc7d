"""A worker process: the Faust app under a worker that ends in time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streams.app import create_app
from streams.transport.process import SliceWorker

if TYPE_CHECKING:
    from streams.settings import Settings


def run(settings: Settings) -> None:
    """Run a worker until it is told to stop (exit 0) or meets a fault (exit 70, nothing committed)."""
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    app = create_app(settings)
    SliceWorker(app, loglevel="INFO", redirect_stdouts=False).execute_from_commandline()
