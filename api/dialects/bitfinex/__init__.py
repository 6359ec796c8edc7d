"""What clients of the Bitfinex WebSocket v2 expect: an authenticated account channel, and calculations on request."""
