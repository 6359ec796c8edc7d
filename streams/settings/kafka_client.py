"""Settings of the clients of Kafka: how both sides prove who they are, and in which rack a client is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator

from streams.settings.values import Section


class KafkaTlsSettings(Section):
    """TLS to the brokers, which is on where this section is.

    ``ca`` are the authorities that sign the brokers' certificates (PEM), by default those of the system.
    ``certificate`` and ``key`` (PEM) are the client's own, by which brokers may know it (mTLS). ``check_hostname`` is
    False only where brokers are reached under names that their certificates do not have.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    check_hostname: bool = True

    @model_validator(mode="after")
    def _whole_identity(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            msg = f"expected certificate and key together, found only {'certificate' if self.key is None else 'key'}"
            raise ValueError(msg)
        return self


class KafkaSaslSettings(Section):
    """Who this client is, by SASL.

    PLAIN and SCRAM need a ``username`` and a password, as text or in a file. OAUTHBEARER needs a token, which is read
    anew for each connection: from ``token_file``, or from what ``token_command`` prints.
    """

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    token_file: Path | None = None
    token_command: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _what_the_mechanism_needs(self) -> Self:
        by_password = (self.username, self.password, self.password_file)
        if self.mechanism == "OAUTHBEARER":
            if any(one is not None for one in by_password) or (self.token_file is None) == (not self.token_command):
                msg = "expected either token_file or token_command with OAUTHBEARER, and no username or password"
                raise ValueError(msg)
        elif (
            self.username is None
            or (self.password is None) == (self.password_file is None)
            or self.token_file is not None
            or self.token_command
        ):
            msg = f"expected username, and either password or password_file, with {self.mechanism}, and no token"
            raise ValueError(msg)
        return self


class KafkaClientSettings(Section):
    """What holds for every client of Kafka. ``rack`` lets it fetch from a replica in its own rack (``broker.rack``)."""

    rack: str | None = None
    tls: KafkaTlsSettings | None = None
    sasl: KafkaSaslSettings | None = None

    @model_validator(mode="after")
    def _no_secret_in_clear(self) -> Self:
        if self.sasl is not None and self.tls is None and not self.sasl.mechanism.startswith("SCRAM"):
            msg = (
                f"expected a section [kafka_client.tls] with {self.sasl.mechanism}, found none: whoever listens on the "
                "way would read the secret; SCRAM does not send it"
            )
            raise ValueError(msg)
        return self

    @property
    def protocol(self) -> Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]:
        """Kafka's name for what is spoken with the brokers."""
        if self.sasl is None:
            return "PLAINTEXT" if self.tls is None else "SSL"
        return "SASL_PLAINTEXT" if self.tls is None else "SASL_SSL"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How a client comes to the cluster: at which servers, and by which settings. As text it is the servers alone."""

    servers: str
    client: KafkaClientSettings = field(default_factory=KafkaClientSettings)

    def __str__(self) -> str:
        return self.servers
