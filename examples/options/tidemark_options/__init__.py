"""Inverse contracts: sizes are in dollars, gains and losses in one coin, bitcoin: size x (1 / entry - 1 / mark).

Figures are in dollars, as at every venue: coins at the mark of the market XBTUSD, which settings give a source. Beside
them stand the same in coins, in the columns that end in ``_native``.

A record is a JSON object, keyed ``<deployment>:<account>``, the account's id in base58:

    {"kind": "paid", "time_ms": 1, "wallet": "main", "amount": "-0.5"}
    {"kind": "order", "time_ms": 2, "id": "7", "margin": "0.1"}          a margin of 0 takes the order out
    {"kind": "position", "time_ms": 3, "id": "9", "market": "BTCUSD", "size": "-500", "entry": "60000"}
    {"kind": "whole", "time_ms": 4, "wallets": {"main": "1"}, "orders": {}, "positions": {}}

A position of size 0 is closed. What is paid is added to a wallet, so a record must not be folded twice.
"""

from tidemark_options.venue import PACKAGE

__all__ = ["PACKAGE"]
