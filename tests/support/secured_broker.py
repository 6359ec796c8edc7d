"""A broker that lets in only who proves who they are, and lets them do only what the table of access says.

Its listener in clear is the tests' own: who comes that way is a super user.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from streams.checks.access_checks import OPERATION_NUMBERS, RESOURCE_NUMBERS
from streams.kafka.access import grants
from streams.settings import Bootstrap, KafkaClientSettings
from tests.support.broker import JARS
from tests.support.certificates import Authority
from tidemark.acl_text import user_name
from tidemark.broker import Broker
from tidemark.broker.properties import HOST, Doors, server_properties
from tidemark.ports import any_free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aiokafka.protocol.admin import CreateAclsRequestStruct

    from streams.settings import Settings

PASSWORD = "of-a-test"
USERS = (
    "worker", "history", "api", "funder", "ingest-prices", "ingest-symmio", "webhooks", "tools", "archive", "analyst",
    "nobody",
)  # fmt: skip
_HOME = "broker"
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
# Numbers of Kafka's protocol.
_ALLOW, _LITERAL, _PREFIXED = 3, 3, 4


class SecuredBroker:
    """A running broker, its authority, and how each user reaches it."""

    def __init__(self, broker: Broker, authority: Authority, doors: Doors, directory: Path) -> None:
        self.broker = broker
        self.authority = authority
        self._doors = doors
        self._directory = directory

    def begin_anew(self) -> None:
        """Lose all that the broker holds, and start an empty one at its addresses, with its users but no rights."""
        self.broker.kill()
        home = self._directory / _HOME
        shutil.rmtree(home)
        _format(home, self._doors)
        self.broker.start()

    @property
    def open(self) -> Bootstrap:
        """The super user's way."""
        return Bootstrap(self.broker.bootstrap)

    def by_password(self, process: str, mechanism: str = "SCRAM-SHA-512", password: str = PASSWORD) -> Bootstrap:
        """The way of a process's user over TLS."""
        sasl = {"mechanism": mechanism, "username": user_name(process), "password": password}
        return self._way("SASLTLS", tls={"ca": self.authority.file}, sasl=sasl)

    def in_clear(self, process: str) -> Bootstrap:
        """The same without TLS."""
        sasl = {"mechanism": "SCRAM-SHA-512", "username": user_name(process), "password": PASSWORD}
        return self._way("SCRAM", sasl=sasl)

    def by_certificate(self, process: str) -> Bootstrap:
        """The way by mTLS; the user is called CN=tidemark-…, and has rights of its own."""
        own = self.authority.identity(user_name(process))
        return self._way("MTLS", tls={"ca": self.authority.file, "certificate": own.certificate, "key": own.key})

    def by_token(self, process: str) -> Bootstrap:
        """The way by a token, in a file."""
        file = self._directory / f"{process}.token"
        file.write_text(unsecured_token(user_name(process)))
        sasl = {"mechanism": "OAUTHBEARER", "token_file": file}
        return self._way("SASLTLS", tls={"ca": self.authority.file}, sasl=sasl)

    def _way(self, door: str, **client: object) -> Bootstrap:
        return Bootstrap(f"{HOST}:{self._doors.ports[door]}", KafkaClientSettings.model_validate(client))

    async def allow(self, settings: Settings) -> None:
        """Make exactly the access control lists of the table, for users by password and by certificate."""
        creations = [
            (
                RESOURCE_NUMBERS[grant.resource],
                grant.name,
                _PREFIXED if grant.is_prefix else _LITERAL,
                principal,
                "*",
                OPERATION_NUMBERS[operation],
                _ALLOW,
            )
            for process, allowed in grants(settings).items()
            for principal in (f"User:{user_name(process)}", f"User:CN={user_name(process)}")
            for grant in allowed
            for operation in grant.operations
        ]
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        await admin.start()
        try:
            answer = await admin._send_request(_CreateAcls(creations))
        finally:
            await admin.close()
        assert [0] * len(creations) == [one[0] for one in answer.creation_responses], answer


class _CreateAcls(CreateAclsRequest):  # type: ignore[misc]
    """Creates many at once. aiokafka's own request has room for one, and the broker writes each request to its disk."""

    def __init__(self, creations: Sequence[tuple[object, ...]]) -> None:
        self._creations = creations

    def build(self, request_struct_class: type[CreateAclsRequestStruct]) -> CreateAclsRequestStruct:
        """Make the request; the form without a kind of pattern is of brokers before 2.0."""
        return request_struct_class([*self._creations])


def unsecured_token(subject: str, lifetime_s: int = 3_600) -> str:
    """Make a token without a signature, which a broker without a validator of its own takes for development."""
    parts = ({"alg": "none"}, {"sub": subject, "iat": int(time.time()), "exp": int(time.time()) + lifetime_s})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), ""])


@contextmanager
def secured_broker(directory: Path) -> Iterator[SecuredBroker]:
    """Run a broker with listeners for SASL, with and without TLS, and for mTLS, and with the standard authorizer."""
    authority = Authority(directory)
    server = authority.identity("broker", HOST)
    ports = {name: any_free_port(HOST) for name in ("SASLTLS", "SCRAM", "MTLS")}
    protocols = {"SASLTLS": "SASL_SSL", "SCRAM": "SASL_PLAINTEXT", "MTLS": "SSL"}
    plain = " ".join(f'user_{user_name(user)}="{PASSWORD}"' for user in USERS)
    modules = "org.apache.kafka.common.security"
    properties: dict[str, object] = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": server.both,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.file,
        "listener.name.mtls.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": ",".join(_SCRAM),
        "listener.name.sasltls.sasl.enabled.mechanisms": ",".join((*_SCRAM, "PLAIN", "OAUTHBEARER")),
        "listener.name.sasltls.plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required {plain};",
        "listener.name.sasltls.oauthbearer.sasl.jaas.config": (
            f'{modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
        **{
            f"listener.name.{door}.{mechanism.lower()}.sasl.jaas.config": (
                f"{modules}.scram.ScramLoginModule required;"
            )
            for door in ("sasltls", "scram")
            for mechanism in _SCRAM
        },
    }
    doors = Doors(ports, protocols, properties)
    home = directory / _HOME
    broker = Broker(home, JARS, port=None, doors=doors)
    _format(home, doors)
    try:
        broker.start()
        yield SecuredBroker(broker, authority, doors, directory)
    finally:
        broker.kill()


def _format(home: Path, doors: Doors) -> None:
    """Format the broker's storage, with the passwords of SCRAM in it, which only the tool can put there."""
    home.mkdir()
    properties = home / "format.properties"
    properties.write_text(server_properties(home / "log", any_free_port(HOST), any_free_port(HOST), doors))
    cluster_id = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    users = [
        word
        for user in USERS
        for mechanism in _SCRAM
        for word in ("--add-scram", f"{mechanism}=[name={user_name(user)},password={PASSWORD}]")
    ]
    tool = ["java", "-cp", f"{JARS}/*", "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
    subprocess.run([*tool, *users], check=True, capture_output=True)
