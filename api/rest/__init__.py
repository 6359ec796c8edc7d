"""``/v1``: what the websocket's channels say, for those who ask once. ``api/openapi.yaml`` is the contract."""
