"""Bitfinex as a source of prices, by its public websocket."""
