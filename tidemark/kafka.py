"""Checks that Kafka is where the configuration says, and turns its client's errors into ones that say what to do."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaConnectionError, KafkaError

from models.errors import TidemarkError
from tidemark.broker.probe import cluster_id_at

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_PORT = 9_092
_ANSWER_WITHIN_S = 5.0
# A broker that was just started, or fails over, answers within seconds.
_ATTEMPTS = 3
_RETRY_S = 0.5


class NoBroker(TidemarkError):
    """No Kafka broker answers where ``kafka`` says. Start it, correct TIDEMARK_KAFKA, or use ``tidemark up``."""


class KafkaFailed(TidemarkError):
    """Kafka refused a request; the message says what its client said. Check the cluster."""


def require_broker(bootstrap: str) -> str:
    """Return ``bootstrap`` if a broker answers at one of its addresses.

    Raises:
        NoBroker: No broker answers.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_RETRY_S)
        if does_answer(bootstrap, _ANSWER_WITHIN_S):
            return bootstrap
    raise _no_broker(bootstrap)


def does_answer(bootstrap: str, timeout_s: float) -> bool:
    """Ask each address in turn whether a broker is there, for ``timeout_s`` each; return whether one is."""
    return any(cluster_id_at(*_host_and_port(server), timeout_s) is not None for server in bootstrap.split(","))


@contextmanager
def naming_the_broker(bootstrap: str) -> Iterator[None]:
    """Raise errors of the Kafka client as ours, which name ``bootstrap``; groups of nothing but such errors too.

    Raises:
        NoBroker: The broker cannot be reached.
        KafkaFailed: The broker refused a request.
    """
    try:
        yield
    except KafkaError as error:
        raise _named(error, bootstrap) from error
    except BaseExceptionGroup as group:
        ours, others = group.split((KafkaError, TidemarkError))
        kafka = None if others is not None or ours is None else ours.subgroup(KafkaError)
        if kafka is None:
            raise
        raise _named(_first(kafka), bootstrap) from group


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the largest port there is
        host, port = server.strip(), str(_DEFAULT_PORT)
    return host.strip("[]"), int(port)


def _named(error: BaseException, bootstrap: str) -> TidemarkError:
    if isinstance(error, KafkaConnectionError):
        return _no_broker(bootstrap)
    return KafkaFailed(f"expected Kafka at {bootstrap} to do what was asked, found {error!r}")


def _no_broker(bootstrap: str) -> NoBroker:
    return NoBroker(f"expected a Kafka broker at {bootstrap}, found none; set TIDEMARK_KAFKA or use `tidemark up`")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
