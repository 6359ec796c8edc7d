"""Certificates of a test: an authority, a broker's, and those of clients, as PEM files."""

from __future__ import annotations

import ipaddress
from datetime import UTC, timedelta
from datetime import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

_LONG_AGO = dt(2020, 1, 1, tzinfo=UTC)
_VALID = timedelta(days=36_500)


class Identity(NamedTuple):
    """Files of a certificate, of its key, and of both together."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates; ``file`` is its own."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def identity(self, name: str, host: str | None = None) -> Identity:
        """Sign a certificate for ``CN=name``, of a server at the IP address ``host`` where that is given."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key())
        if host is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
            builder = builder.add_extension(names, critical=False)
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made = Identity(*(self._directory / f"{name}.{end}" for end in ("crt", "key", "pem")))
        made.certificate.write_bytes(pem)
        made.key.write_bytes(secret)
        made.both.write_bytes(secret + pem)
        return made

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_LONG_AGO)
            .not_valid_after(_LONG_AGO + _VALID)
        )
