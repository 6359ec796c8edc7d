"""The one place that says how a client of Kafka connects: the keyword arguments of every client that there is."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from streams.process.supervision import waited_out
from streams.settings.effective import BadSettings

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings.kafka_client import Bootstrap, KafkaSaslSettings, KafkaTlsSettings

# A connection that waits for longer is given up by the client itself.
_TOKEN_WITHIN_S = 20.0


class NoToken(KafkaError):  # type: ignore[misc]
    """There is no token to show to the broker. The client tries again; see kafka_client.sasl."""


def client_arguments(bootstrap: Bootstrap) -> dict[str, Any]:
    """Make the arguments that every client, producer and admin client of aiokafka is made with.

    Files are read each time, so that a client that is made later has the newest secret.

    Raises:
        BadSettings: A file cannot be read, or holds no certificate, key or secret.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": bootstrap.servers,
        "security_protocol": bootstrap.client.protocol,
    }
    if bootstrap.client.tls is not None:
        arguments["ssl_context"] = _tls_context(bootstrap.client.tls)
    if bootstrap.client.sasl is not None:
        arguments |= _sasl_arguments(bootstrap.client.sasl)
    return arguments


def consumer_arguments(bootstrap: Bootstrap) -> dict[str, Any]:
    """Make the arguments that every consumer of aiokafka is made with.

    Raises:
        BadSettings: A file cannot be read, or holds no certificate, key or secret.
    """
    return {**client_arguments(bootstrap), "client_rack": bootstrap.client.rack}


def _tls_context(tls: KafkaTlsSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ValueError) as error:
        msg = f"kafka_client.tls.ca: expected certificates in {tls.ca}, found: {error}"
        raise BadSettings(msg) from error
    context.check_hostname = tls.check_hostname
    if tls.certificate is not None:
        try:
            # Without a password for the key, OpenSSL would ask the terminal for it.
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
        except (OSError, ValueError) as error:
            msg = (
                f"kafka_client.tls: expected a certificate in {tls.certificate} and its key, not encrypted, in "
                f"{tls.key}, found: {error}"
            )
            raise BadSettings(msg) from error
    return context


def _sasl_arguments(sasl: KafkaSaslSettings) -> dict[str, Any]:
    if sasl.mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": sasl.mechanism, "sasl_oauth_token_provider": Tokens(sasl)}
    password = None if sasl.password is None else sasl.password.get_secret_value()
    return {
        "sasl_mechanism": sasl.mechanism,
        "sasl_plain_username": sasl.username,
        "sasl_plain_password": password if sasl.password_file is None else _secret_in(sasl.password_file),
    }


def _secret_in(path: Path) -> str:
    try:
        secret = path.read_text().strip()
    except (OSError, ValueError) as error:
        msg = f"kafka_client.sasl.password_file: expected a password in {path}, found a file that cannot be read"
        raise BadSettings(msg) from error
    if not secret:
        msg = f"kafka_client.sasl.password_file: expected a password in {path}, found an empty file"
        raise BadSettings(msg)
    return secret


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Hands out a token for each connection, from a file that is kept fresh or from a command that prints one.

    A broker ends a connection when its token has expired; the client connects again, with a new one.

    Args:
        sasl: Name the file or the command.
    """

    def __init__(self, sasl: KafkaSaslSettings) -> None:
        self._sasl = sasl

    async def token(self) -> str:
        """Find the token to show now.

        Raises:
            NoToken: There is none.
        """
        file = self._sasl.token_file
        if file is None:
            token = await self._printed()
        else:
            try:
                token = file.read_text().strip()
            except (OSError, ValueError) as error:
                msg = f"kafka_client.sasl.token_file: expected a token in {file}, found a file that cannot be read"
                raise NoToken(msg) from error
        if not token:
            msg = f"kafka_client.sasl: expected a token from {file or self._sasl.token_command[0]}, found nothing"
            raise NoToken(msg)
        return token

    async def _printed(self) -> str:
        # What the command prints is a secret, also where it fails, so no message repeats it.
        command = self._sasl.token_command
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
        except OSError as error:
            msg = f"kafka_client.sasl.token_command: expected {command[0]} to run, found: {error}"
            raise NoToken(msg) from error
        try:
            async with asyncio.timeout(_TOKEN_WITHIN_S):
                printed, _ = await process.communicate()
        except TimeoutError as error:
            msg = f"kafka_client.sasl.token_command: expected {command[0]} to end within {_TOKEN_WITHIN_S:.0f} s"
            raise NoToken(msg) from error
        finally:
            if process.returncode is None:
                process.kill()
                await waited_out(process.wait())
        if process.returncode != 0:
            msg = f"kafka_client.sasl.token_command: expected {command[0]} to succeed, found code {process.returncode}"
            raise NoToken(msg)
        return printed.decode(errors="replace").strip()
