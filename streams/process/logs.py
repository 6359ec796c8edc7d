"""How a process writes its log: readable lines on a terminal, or one JSON object a line for machines.

Everything logs through the standard library, in the form ``what happened key=%s other=%d``. As JSON, what is named in
that way is a field of its own, so that the lines of one deployment, account, partition or block can be found together.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

from streams.process.log_repeats import FewRepeats
from streams.process.log_secrets import HidingFormatter, secrets_of

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from streams.settings import Settings

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
# A place in a format string for an argument, with the name that stands before it.
_PLACE = re.compile(r"(?:(?P<name>[a-z_]\w*)=)?%[-+ #0]*\d*(?:\.\d+)?(?P<kind>[a-zA-Z%])")
_PLAIN = (bool, int, float, str, type(None))


def log_to_stderr(settings: Settings, process: str) -> None:
    """Write log lines of INFO and above to stderr, of the Kafka client few of a kind from WARNING on; none has secrets.

    Args:
        settings: Say in which form, and have the secrets.
        process: What this process is, such as ``worker``; it is a field of each JSON line.
    """
    handler = logging.StreamHandler(sys.stderr)
    lines = text_formatter() if settings.log.format == "text" else json_formatter(process)
    handler.setFormatter(HidingFormatter(lines, secrets_of(settings)))
    handler.addFilter(FewRepeats("aiokafka"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    # aiohttp warns of every client that asks for a subprotocol it does not know.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


class _Lines(logging.Formatter):
    """Makes a line of each record, whatever others said that is told in it.

    A client, a node or a venue could else write lines of its own into the log, or steer the terminal that shows it.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - the library's name, and its types
        return "\n".join(map(_escaped, super().formatException(ei).split("\n")))


def text_formatter() -> logging.Formatter:
    """Make what turns a record into a line for a terminal, with a traceback below it where there is one."""
    return _Lines(_TEXT)


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def json_formatter(process: str) -> logging.Formatter:
    """Make what turns a record into a line of JSON.

    Args:
        process: What this process is.
    """

    def named(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        record: logging.LogRecord = event["_record"]
        return {**fields(record.msg, event.pop("positional_args")), **event, "process": process, "pid": record.process}

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            named,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True, default=str),
        ],
        pass_foreign_args=True,
    )


def fields(message: object, args: Sequence[object] | Mapping[str, object] | None) -> dict[str, object]:
    """Find what a message names: each ``name=%s`` with its argument. Numbers stay numbers, all else is text.

    Args:
        message: The format string.
        args: The arguments that were logged with it.
    """
    if not isinstance(message, str) or not isinstance(args, tuple):
        return {}
    found: dict[str, object] = {}
    left = iter(args)
    for place in _PLACE.finditer(message):
        if place["kind"] == "%":
            continue
        value = next(left, None)
        if place["name"] is not None:
            found[place["name"]] = value if isinstance(value, _PLAIN) else str(value)
    return found
