"""Ingest of an exchange: its prices go to ``price-ticks``, the facts of its markets to ``instrument-facts``."""
