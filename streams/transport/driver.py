"""The transport as Faust finds it: by the scheme of a broker's address (entry point ``faust.transports``)."""

from __future__ import annotations

from faust.transport.drivers import aiokafka as driver

from streams.transport.slice_consumer import SliceConsumer

SCHEME = "slices"


class SliceTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer: ``slices://host:port``."""

    Consumer = SliceConsumer
