"""Ingest of prices from Pyth: its paid stream (Lazer, now Pyth Pro), and Hermes."""
