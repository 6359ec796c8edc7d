"""Settings of the api: where it listens, who may read, and how much one client may ask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator

from streams.settings.freshness import FreshnessSettings
from streams.settings.values import Name, Network, Origin, Port, Section

# A process is ended 60 s after it was told to, and the last requests take some of these.
_LONGEST_DRAIN_S = 50


class TokenKeySettings(Section):
    """A key by which tokens are checked: HS256's secret or EdDSA's public key (PEM), as text or in a file."""

    algorithm: Literal["HS256", "EdDSA"]
    key: SecretStr | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.key is None) == (self.file is None):
            msg = f"expected either key or file, found {'neither' if self.key is None else 'both'}"
            raise ValueError(msg)
        return self


class AuthSettings(Section):
    """Who may read: everybody in mode ``open``, in mode ``tokens`` whoever has a token signed by one of ``keys``.

    The ``kid`` in a token's header names its key; there are two keys while one takes over from the other. Where
    ``audience`` is set, a token must name it, so that tokens signed by the same keys for another service are refused.
    """

    mode: Literal["open", "tokens"] = "open"
    keys: dict[Name, TokenKeySettings] = Field(default_factory=dict)
    audience: str | None = None

    @model_validator(mode="after")
    def _some_key(self) -> Self:
        if self.mode == "tokens" and not self.keys:
            msg = "expected a key in mode tokens, found none; add an [auth.keys.KID] section"
            raise ValueError(msg)
        return self


class ApiLimitSettings(Section):
    """How much one client may ask of the api, so that no client can take it from the others.

    An address is one of IPv4, or the first 64 bits of one of IPv6. ``messages_per_s`` and ``messages_burst`` limit a
    connection; ``requests_per_s``, ``requests_burst`` and ``connections_per_address`` an address;
    ``connections_per_user`` a token's subject over all replicas. All others limit a replica; of logins of the Bitfinex
    websocket ``failed_authentications_per_minute`` are those of an address over all replicas.

    ``connections`` are those of all clients together; where the process may open fewer files, they are fewer. Requests
    are of any path, handshakes of websockets among them. ``head_s`` is the time in which the head of a request must
    have come, ``request_s`` the time in which the whole request must have come and its answer been taken, and
    ``idle_s`` for how long a connection may rest between two.
    """

    messages_per_s: PositiveInt = 10
    messages_burst: PositiveInt = 20
    requests_per_s: PositiveInt = 50
    requests_burst: PositiveInt = 200
    connections: PositiveInt = 20_000
    connections_per_address: PositiveInt = 100
    connections_per_user: PositiveInt = 20
    connection_attempts_per_s: PositiveInt = 200
    failed_authentications_per_minute: PositiveInt = 10
    head_s: PositiveFloat = 10.0
    request_s: PositiveFloat = 60.0
    idle_s: PositiveFloat = 75.0


class ApiSettings(Section):
    """The HTTP server. With ``upnl_as_number``, ``/partyA_upnl`` answers a JSON number instead of a decimal string.

    ``trusted_proxies`` are networks whose ``X-Forwarded-For`` is believed. ``allowed_origins`` are the origins whose
    pages may open websockets; a client that is not a browser has none. ``drain_s`` is the time over which open sockets
    are closed when the server stops: long enough that other replicas are not overrun by clients that come back,
    and 50 s at most, since a process that has not ended 60 s after it was told to is ended as it is. ``checkpoints`` is
    a directory of them (``tidemark checkpoint create``): explanations begin at the newest of use.
    """

    host: str = "127.0.0.1"
    port: Port = 8_080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 9_102
    upnl_as_number: bool = False
    max_lag_ms: PositiveInt = 10_000
    trusted_proxies: tuple[Network, ...] = ()
    allowed_origins: tuple[Origin, ...] = ("*",)
    drain_s: Annotated[PositiveFloat, Field(le=_LONGEST_DRAIN_S)] = 2.0
    checkpoints: Path | None = None
    limits: ApiLimitSettings = ApiLimitSettings()
    freshness: FreshnessSettings = FreshnessSettings()
