"""Checks that Kafka is where the configuration says, and turns its client's errors into ones that say what to do."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from models.errors import TidemarkError
from streams.kafka.connection import client_arguments
from tidemark.broker.probe import cluster_id_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Bootstrap

_DEFAULT_PORT = 9_092
_ANSWER_WITHIN_S = 5.0
# A broker that was just started, or fails over, answers within seconds.
_ATTEMPTS = 3
_RETRY_S = 0.5
_CLOSED_WITHIN_S = 1.0
_NOT_ADMITTED = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    # What a SCRAM exchange says that it cannot go on with.
    ValueError,
)


class NoBroker(TidemarkError):
    """No Kafka broker answers where ``kafka`` says. Start it, correct TIDEMARK_KAFKA, or use ``tidemark up``."""


class NotAdmitted(TidemarkError):
    """A broker and this client do not trust each other. Correct kafka_client.tls or kafka_client.sasl."""


class KafkaFailed(TidemarkError):
    """Kafka refused a request; the message says what its client said. Check the cluster."""


def require_broker(bootstrap: Bootstrap) -> Bootstrap:
    """Return ``bootstrap`` if a broker answers at one of its addresses.

    Raises:
        NoBroker: No broker answers.
        NotAdmitted: One does, and there is no trust between us.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_RETRY_S)
        if does_answer(bootstrap, _ANSWER_WITHIN_S):
            return bootstrap
    if bootstrap.client.protocol == "PLAINTEXT" and any(map(_listens, bootstrap.servers.split(","))):
        msg = (
            f"expected a Kafka broker at {bootstrap} that answers in clear, found something that listens and does not; "
            "if it wants TLS or SASL, set kafka_client, else correct TIDEMARK_KAFKA"
        )
        raise NoBroker(msg)
    raise _no_broker(bootstrap)


def does_answer(bootstrap: Bootstrap, timeout_s: float) -> bool:
    """Ask each address in turn whether a broker is there, for ``timeout_s`` each; return whether one is.

    Raises:
        NotAdmitted: One is there, and there is no trust between us.
    """
    addresses = map(_host_and_port, bootstrap.servers.split(","))
    if bootstrap.client.protocol == "PLAINTEXT":
        return any(cluster_id_at(*address, timeout_s) is not None for address in addresses)
    return any(asyncio.run(_admits(bootstrap, *address, timeout_s)) for address in addresses)


async def _admits(bootstrap: Bootstrap, host: str, port: int, timeout_s: float) -> bool:
    """Whether a broker is there and we trust each other.

    Its client hides the cause of a refusal behind many attempts, so one connection is made by hand.
    """
    arguments = client_arguments(bootstrap)
    del arguments["bootstrap_servers"]
    was_open = asyncio.Event()
    connection = AIOKafkaConnection(host, port, on_close=lambda *_: was_open.set(), **arguments)
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()
    except ssl.SSLError as error:
        raise _distrusted(error, host, port) from error
    except _NOT_ADMITTED as error:
        sasl = bootstrap.client.sasl
        who = "its certificate" if sasl is None else f"{sasl.username or 'its token'} by {sasl.mechanism}"
        msg = f"expected {host}:{port} to admit {who}, found: {error!r}; correct kafka_client"
        raise NotAdmitted(msg) from error
    except (OSError, EOFError, KafkaConnectionError) as error:
        # A broker may refuse our certificate only when TLS stands already.
        if isinstance(error.__cause__, ssl.SSLError):
            raise _distrusted(error.__cause__, host, port) from error
        return False
    finally:
        closed = connection.close()
        if was_open.is_set():
            await asyncio.wait([closed], timeout=_CLOSED_WITHIN_S)
    return True


def _distrusted(error: ssl.SSLError, host: str, port: int) -> NotAdmitted:
    found = error.reason or str(error)
    return NotAdmitted(
        f"expected TLS with {host}:{port} as kafka_client.tls says, found: {found}; correct it or the certificate"
    )


@contextmanager
def naming_the_broker(bootstrap: Bootstrap) -> Iterator[None]:
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


def _listens(server: str) -> bool:
    try:
        with socket.create_connection(_host_and_port(server), timeout=_ANSWER_WITHIN_S):
            return True
    except OSError:
        return False


def _named(error: BaseException, bootstrap: Bootstrap) -> TidemarkError:
    if isinstance(error, KafkaConnectionError):
        return _no_broker(bootstrap)
    return KafkaFailed(f"expected Kafka at {bootstrap} to do what was asked, found {error!r}")


def _no_broker(bootstrap: Bootstrap) -> NoBroker:
    return NoBroker(f"expected a Kafka broker at {bootstrap}, found none; set TIDEMARK_KAFKA or use `tidemark up`")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
