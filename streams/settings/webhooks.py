"""Settings of a webhook: where transitions of accounts' alarms are posted, and how they are signed."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, PositiveFloat, SecretStr, model_validator
from yarl import URL

from streams.settings.values import Name, Section

_PREFIX = "whsec_"
# Those of the Standard Webhooks specification.
_FEWEST_BYTES, _MOST_BYTES = 24, 64

AlertKind = Literal[
    "liquidatable",
    "recovered",
    "stale",
    "fresh",
    "unpriced",
    "priced",
    "unknown",
    "known",
    "hedger_liquidatable",
    "hedger_recovered",
]


def signing_key(text: str) -> bytes:
    """Read a secret as Standard Webhooks writes it: ``whsec_`` and 24 to 64 bytes in base64.

    Raises:
        ValueError: It is none. The message does not say what it is.
    """
    try:
        key = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.strip().startswith(_PREFIX) or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        msg = (
            f"expected {_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES} bytes in base64, found something else; "
            f'make one by: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
        raise ValueError(msg)
    return key


def _secret(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


def _target(secret: SecretStr) -> SecretStr:
    try:
        url = URL(secret.get_secret_value())
        host = url.raw_host or ""
        # A name that cannot be asked for would end whoever asks for it.
        host.encode("idna")
    except ValueError:
        # What is said of it may hold a part of it.
        url, host = URL(), ""
    is_plain = url.raw_user is None and url.raw_password is None and not url.raw_fragment
    if url.scheme not in {"http", "https"} or not host or not is_plain:
        msg = "expected a URL such as https://desk.example/hooks, without a name or password, found something else"
        raise ValueError(msg)
    return secret


class WebhookSettings(Section):
    """A receiver of alerts.

    Attributes:
        url: Where each message is posted. It is https, unless ``allow_private``. Many receivers know who posts by a
            part of it, so it is shown nowhere.
        secret: What messages are signed with; here or in a file, ``secret_file``.
        kinds: Which transitions are sent.
        deployments: Of which deployments; of all where none is named.
        allow_private: Whether addresses of private networks and of this machine may be posted to.
        timeout_s: How long a receiver may take to answer, in s.
    """

    url: Annotated[SecretStr, AfterValidator(_target)]
    secret: Annotated[SecretStr, AfterValidator(_secret)] | None = None
    secret_file: Path | None = None
    kinds: tuple[AlertKind, ...] = (
        *("liquidatable", "recovered", "stale", "fresh", "unknown", "known"),
        *("hedger_liquidatable", "hedger_recovered"),
    )
    deployments: tuple[Name, ...] = ()
    allow_private: bool = False
    timeout_s: PositiveFloat = 10.0

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            msg = f"expected either secret or secret_file, found {'neither' if self.secret is None else 'both'}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if urlsplit(self.url.get_secret_value()).scheme != "https" and not self.allow_private:
            msg = "expected an https URL, found one of http, which is for receivers with allow_private"
            raise ValueError(msg)
        return self

    def key(self) -> bytes:
        """The signing key, read from its file where it stands in one.

        Raises:
            OSError: The file cannot be read.
            ValueError: What stands in it is no secret.
        """
        if self.secret is not None:
            return signing_key(self.secret.get_secret_value())
        return signing_key("" if self.secret_file is None else self.secret_file.read_text())
