"""``/v1``: what the websocket's channels show, for clients that ask once. ``api/openapi.yaml`` is the contract."""
