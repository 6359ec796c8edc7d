"""How a process that meets a fault ends: its exit code, and its last line, which names the cause."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress

from streams.process.log_secrets import HidingFormatter

# EX_SOFTWARE of sysexits.h: the fault is ours or our surroundings', and to start the process again may mend it.
EXIT_FAULT = 70
# Another process does the work: started again, this one waits for its turn.
EXIT_SUPERSEDED = 76


def cause_of(error: BaseException) -> str:
    """Say in one line what an error is: its type and message, of a group those of each error in it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(cause_of(one) for one in error.exceptions)
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def print_traceback(error: BaseException) -> None:
    """Print where an error came from to stderr, if that can still be written to."""
    _print("".join(traceback.format_exception(error)))


def print_last_line(error: BaseException) -> None:
    """Print the line that names the cause of the process's end to stderr, if that can still be written to."""
    _print(f"tidemark: a fault ended the process: {cause_of(error)}\n")


def _print(text: str) -> None:
    for handler in logging.getLogger().handlers:
        # What ends a process may be an error of a library, with all of an URL in it.
        if isinstance(handler.formatter, HidingFormatter):
            text = handler.formatter.hidden(text)
    # On a full disk a log cannot be written. The process has to end all the same, with its own exit code.
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
