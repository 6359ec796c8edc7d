"""Explains an account's change in a process of its own, for whoever must not be kept from other work by it.

It writes lines of JSON to stdout: how many records were read of how many there are, now and then, and as the last one
the explanation, or why there is none. ``refused`` follows from what was asked and will be said again, ``failed`` may
pass. ``streams.replay.explain_within_bounds`` starts it, and says with what.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from models.errors import TidemarkError
from models.explaining import NOWHERE
from streams.process.clock import SystemClock
from streams.replay.bounded_log import BrokenOff, NoSuchTopic
from streams.replay.checkpoints import BadCheckpoint, found_in
from streams.replay.explained import explain_account, explained_vector
from streams.replay.kafka_log import KafkaLog
from streams.replay.named_topics import kept_at_least
from streams.replay.shown_terms import Summary, standing_body, term_body
from streams.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.explaining import Term
    from streams.replay.bounded_log import Log, LogRecord
    from streams.settings import Settings

LARGEST = 200
"""How many of the largest terms are told; all are in the sums."""

TOO_LARGE = "it takes more memory than it may have: choose a shorter span, or ask tidemark explain, which has no bounds"

_SAY_EVERY = 5_000

_log = logging.getLogger(__name__)


async def explained_lines(
    log: Log, settings: Settings, deployment: str, account: str, *, since_ms: int, until_ms: int,
    say: Callable[[dict[str, Any]], None],
) -> None:  # fmt: skip
    """Explain a window, and say how far that is.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        account: The account, in any spelling of its venue.
        since_ms: The first instant, Unix ms.
        until_ms: The second one.
        say: Is told each line.
    """
    summary, read = Summary(LARGEST), 0

    def take(term: Term) -> None:
        summary.take(term)

    def count(_record: LogRecord) -> None:
        nonlocal read
        read += 1
        if read % _SAY_EVERY == 0:
            say({"read": read, "of": max(of, read)})

    try:
        vector = await explained_vector(log, settings, deployment, account, since_ms=since_ms, until_ms=until_ms)
        of = sum(span.end - span.begin for span in vector.values())
        say({"read": 0, "of": of})
        found = await explain_account(
            log, settings, deployment, account, since_ms=since_ms, until_ms=until_ms, on_term=take, on_record=count,
            checkpoints=await found_in(settings.api.checkpoints, log),
        )  # fmt: skip
    except (BadCheckpoint, BrokenOff, NoSuchTopic) as error:
        say({"failed": str(error)})
        return
    except TidemarkError as error:
        say({"refused": str(error)})
        return
    except KafkaError as error:
        say({"failed": f"expected Kafka to answer, found {error}"})
        return
    if not summary.terms and found.begin == found.end == NOWHERE:
        say({"refused": f"there was no account {account} of {deployment} in that time"})
        return
    say({
        "explained": {
            "begin": standing_body(found.begin),
            "end": standing_body(found.end),
            "terms": summary.terms,
            "upnl": [[name, market, str(value)] for (name, market), value in summary.upnl_e18.items()],
            "balance": [[name, str(value)] for name, value in summary.balance_e18.items()],
            "largest": [term_body(term) for term in summary.largest],
            "refused": len(found.refused),
            "doubts": list(found.doubts),
        }
    })  # fmt: skip


def main(deployment: str, account: str, since_ms: int, until_ms: int) -> None:
    """Explain a window of an account on stdout.

    Args:
        deployment: The account's deployment.
        account: The account.
        since_ms: The first instant, Unix ms.
        until_ms: The second one.
    """

    def say(line: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    try:
        settings = load_settings()
    except TidemarkError:
        # It may have secrets in it.
        _log.exception("configuration cannot be read by the process that explains")
        say({"failed": "the configuration cannot be read; the server's log says why"})
        return
    log = KafkaLog(settings.bootstrap, kept_at_least(settings), SystemClock())
    try:
        asyncio.run(explained_lines(log, settings, deployment, account, since_ms=since_ms, until_ms=until_ms, say=say))
    except MemoryError:
        say({"refused": TOO_LARGE})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
