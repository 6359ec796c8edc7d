"""A client of Tidemark's websocket, ``/v1/ws``: see README.md."""

from tidemark_client.actions import Changed, Event, Gap, Heard, Held, Message, Refused, Status
from tidemark_client.client import Client
from tidemark_client.core import INTERVAL_MS, NOT_AUTHENTICATED, SUBPROTOCOL, Core
from tidemark_client.patch import patched
from tidemark_client.sync import SyncClient

__all__ = [
    "INTERVAL_MS",
    "NOT_AUTHENTICATED",
    "SUBPROTOCOL",
    "Changed",
    "Client",
    "Core",
    "Event",
    "Gap",
    "Heard",
    "Held",
    "Message",
    "Refused",
    "Status",
    "SyncClient",
    "patched",
]
