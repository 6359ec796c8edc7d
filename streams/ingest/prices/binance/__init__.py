"""Binance's USD-margined futures as a source of prices."""
